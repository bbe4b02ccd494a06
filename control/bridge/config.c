// SPDX-License-Identifier: BSD-3-Clause
// The files of one speaker: which there are, and how new ones take the place of old ones. A new text of a peering
// is first written as peering-ID.conf.new, with a bird.conf.new that includes it; only when the daemon's own
// parser has accepted them all are they renamed, included files first. So what lies there under its final name
// is always a configuration that was accepted as a whole, whenever the daemon or culvertd may die.

#include "control/bridge/speaker.h"

#include "control/bridge/files.h"
#include "control/bridge/render.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void file_name(char name[48], uint32_t peering, const char *suffix)
{
	snprintf(name, 48, "peering-%u.conf%s", peering, suffix);
}

bool config_changed(const struct peering *peering)
{
	return !peering->quarantined && peering->text &&
	       (peering->installed == NULL || strcmp(peering->text, peering->installed) != 0);
}

// ---- which files the main file includes

struct includes {
	char **path;
	unsigned int count, room;
};

static void include(struct includes *list, const char *directory, const char *name)
{
	if (list->count == list->room) {
		unsigned int room = list->room ? list->room * 2 : 16;
		char **path = realloc(list->path, room * sizeof(*path));
		if (path == NULL)
			return;
		list->path = path;
		list->room = room;
	}
	if (asprintf(&list->path[list->count], "%s/%s", directory, name) >= 0)
		list->count++;
}

// Files of an earlier life that nobody has declared yet.
static void include_leftovers(const struct speaker *speaker, struct includes *list)
{
	const struct bridge *bridge = speaker->space->bridge;
	DIR *directory = bridge->swept ? NULL : opendir(speaker->directory);
	const struct dirent *entry;
	unsigned int id;
	char expected[48];

	while (directory && (entry = readdir(directory)) != NULL) {
		if (sscanf(entry->d_name, "peering-%u.conf", &id) != 1)
			continue;
		file_name(expected, id, "");
		if (strcmp(entry->d_name, expected) == 0 &&
			idmap_get(&bridge->peerings, id) == NULL)
			include(list, speaker->directory, expected);
	}
	if (directory)
		closedir(directory);
}

// The main file's text. fresh: changed peerings are included under their temporary names.
static char *main_text(const struct speaker *speaker, bool fresh)
{
	struct includes list = {0};
	const struct peering *peering;
	char name[48];

	TAILQ_FOREACH (peering, &speaker->peerings, entry) {
		bool new = config_changed(peering);
		if (!new && peering->installed == NULL)
			continue; // quarantined, and nothing good to fall back on
		file_name(name, peering->declared.id, new &&fresh ? ".new" : "");
		include(&list, speaker->directory, name);
	}
	include_leftovers(speaker, &list);
	char *text = render_main(speaker, (const char *const *)list.path, list.count);
	for (unsigned int i = 0; i < list.count; i++)
		free(list.path[i]);
	free(list.path);
	return text;
}

int config_write(struct speaker *speaker)
{
	struct peering *peering;
	char name[48];
	int err = 0;

	TAILQ_FOREACH (peering, &speaker->peerings, entry) {
		if (!peering->quarantined) {
			free(peering->text);
			peering->text = render_peering(peering);
			if (peering->text == NULL)
				return -ENOMEM;
		}
		file_name(name, peering->declared.id, ".new");
		if (config_changed(peering))
			err = files_write(speaker->directory, name, peering->text);
		if (err)
			return err;
	}
	char *text = main_text(speaker, true);
	if (text == NULL)
		return -ENOMEM;
	err = files_write(speaker->directory, "bird.conf.new", text);
	free(text);
	return err;
}

// The checked files take the old ones' places, included ones first.
int config_commit(struct speaker *speaker)
{
	struct peering *peering;
	char from[48], to[48];
	int err = 0;

	char *text = main_text(speaker, false);
	TAILQ_FOREACH (peering, &speaker->peerings, entry) {
		if (!config_changed(peering))
			continue;
		file_name(from, peering->declared.id, ".new");
		file_name(to, peering->declared.id, "");
		int failed = files_rename(speaker->directory, from, to);
		err = failed ? failed : err;
		if (failed == 0) {
			free(peering->installed);
			peering->installed = strdup(peering->text);
		}
	}
	if (text == NULL)
		return -ENOMEM;
	if (err == 0)
		err = files_write(speaker->directory, "bird.conf.new", text);
	if (err == 0)
		err = files_rename(speaker->directory, "bird.conf.new", "bird.conf");
	free(text);
	return err;
}
