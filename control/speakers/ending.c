// SPDX-License-Identifier: BSD-3-Clause
// The end of a daemon takes a while, and a domain of the same name, and so a speaker of the same directory, may come
// meanwhile. It waits: else it would talk to the old daemon, and lose its files with those of the old. Also what an
// earlier culvertd left behind and nobody has declared since.

#include "control/speakers/state.h"

#include "control/base/log.h"
#include "control/speakers/child.h"
#include "control/speakers/files.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

struct speaker_ending {
	LIST_ENTRY(speaker_ending) entry;
	struct child *child;
	char directory[];
};

bool speaker_is_ending(const struct speakers *speakers, const char *directory)
{
	const struct speaker_ending *ending;

	LIST_FOREACH (ending, &speakers->endings, entry)
		if (strcmp(ending->directory, directory) == 0)
			return true;
	return false;
}

static void forget_ending(struct speaker_ending *ending)
{
	LIST_REMOVE(ending, entry);
	child_forget(ending->child);
	free(ending);
}

static void on_stopped(void *ctx, int status, const char *output)
{
	struct speaker_ending *ending = ctx;
	char reason[128];

	ending->child = NULL;
	snprintf(reason, sizeof(reason), "%.*s", (int)strcspn(output, "\r\n"), output);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		files_remove_all(ending->directory);
	else
		log_error("speakers", "speaker does not stop",
			log_text("directory", ending->directory), log_text("reason", reason));
	forget_ending(ending);
}

void speaker_end(struct speakers *speakers, const char *directory, const char *netns)
{
	const char *const argv[] = {speakers->launcher, "stop", directory, netns, NULL};
	size_t size = strlen(directory) + 1;

	if (speaker_is_ending(speakers, directory))
		return;
	struct speaker_ending *begun = calloc(1, sizeof(*begun) + size);
	if (begun == NULL)
		abort();
	memcpy(begun->directory, directory, size);
	LIST_INSERT_HEAD(&speakers->endings, begun, entry);
	if (speakers->launcher[0] == '\0')
		on_stopped(begun, 0, ""); // whoever started it stops it
	else if (child_start(&begun->child, speakers->base, argv, on_stopped, begun) != 0)
		on_stopped(begun, -1, "cannot run the launcher");
}

void speakers_forget_endings(struct speakers *speakers)
{
	struct speaker_ending *ending;

	while ((ending = LIST_FIRST(&speakers->endings)) != NULL)
		forget_ending(ending);
}

static bool instance_open(const struct speakers *speakers, const char *name)
{
	const struct speaker *speaker;

	LIST_FOREACH (speaker, &speakers->list, entry)
		if (speaker->ops != &static_speaker && strcmp(speaker->name, name) == 0)
			return true;
	return false;
}

void speakers_sweep(struct speakers *speakers)
{
	char path[512];
	const struct dirent *entry;
	struct speaker *speaker;

	speakers->swept = true;
	snprintf(path, sizeof(path), "%s/bird", speakers->run_dir);
	DIR *directory = opendir(path);
	while (directory != NULL && (entry = readdir(directory)) != NULL) {
		if (entry->d_name[0] == '.' || instance_open(speakers, entry->d_name))
			continue;
		snprintf(path, sizeof(path), "%s/bird/%.200s", speakers->run_dir, entry->d_name);
		log_info("speakers", "swept", log_text("directory", path));
		speaker_end(speakers, path, "-");
	}
	if (directory != NULL)
		closedir(directory);
	LIST_FOREACH (speaker, &speakers->list, entry)
		steps_changed(speaker);
}
