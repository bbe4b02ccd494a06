// SPDX-License-Identifier: BSD-3-Clause
// The files of one BIRD: which there are, and how new ones take the place of old ones. A new text is first written as
// NAME.new, with a bird.conf.new that includes it; only when the daemon's own parser has accepted them all are they
// renamed, included files first. So what lies there under its final name is always a configuration that was accepted
// as a whole, whenever the daemon or culvertd may die. One exception: whether a group is announced, or a session
// disabled, is a word in its file that needs no parser, and is written in place at once.
//
// Of each text only a digest is kept: what is wanted, and what lies under the final name. Only what was declared anew
// is rendered.
//
// Files of an earlier life stay in use until speakers_sweep() where nobody has said anything better yet: that of a
// session that is not declared, that of a domain whose announcements have not been said. And what was declared after
// the texts were rendered, while the parser read them, is included as it lies there. The main file in use includes what there
// is, by two patterns; so what goes is removed, and no text changes with it. So a culvertd that comes again to an
// unchanged model renders the texts that are there, and the daemon is told nothing that takes a protocol away. That it has
// read them is a file too, bird.told, which goes before one of them changes, or what the daemon runs by a command: neither
// parser nor daemon reads them again.
//
// An edge may have thousands of files: writing and renaming stop when the turn is over, and go on in the next.

#include "control/speakers/bird/bird.h"

#include "control/base/clock.h"
#include "control/speakers/bird/render.h"
#include "control/speakers/files.h"

#include <dirent.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 48, RENDERED_FEW = 10 };
#define SLICE_NS 2000000u
static const char told[] = "bird.told";

// What the files are of.
enum part { PART_DOMAIN, PART_SESSION };
static const char *const stem[] = {[PART_DOMAIN] = "domain", [PART_SESSION] = "peering"};

static void file_name(char name[NAME_BYTES], enum part part, uint32_t id, const char *suffix)
{
	snprintf(name, NAME_BYTES, "%s-%u.conf%s", stem[part], id, suffix);
}

static void digest(uint8_t out[16], const char *text)
{
	crypto_generichash(out, 16, (const unsigned char *)text, strlen(text), NULL, 0);
}

// --- one file

static void look(const struct speaker *speaker, struct speaker_file *file, const char *name)
{
	if (file->looked)
		return;
	file->looked = true;
	char *text = files_read(speaker->directory, name);
	file->there = text != NULL;
	if (text != NULL)
		digest(file->installed, text);
	free(text);
}

// Takes the text over. 0 or -errno.
static int write_new(const struct speaker *speaker, struct speaker_file *file, enum part part,
	uint32_t id, char *text)
{
	char name[NAME_BYTES];
	uint8_t before[16];
	int err = 0;

	if (text == NULL)
		return -ENOMEM;
	speaker->speakers->counters.rendered++;
	file_name(name, part, id, "");
	look(speaker, file, name);
	memcpy(before, file->wanted, sizeof(before));
	digest(file->wanted, text);
	file->rendered = true;
	// Another text deserves another try, the same does not.
	if (memcmp(before, file->wanted, sizeof(before)) != 0)
		file->refused = false;
	file_name(name, part, id, ".new");
	if (speaker_file_is_new(file))
		err = files_write(speaker->directory, name, text);
	file->stale = err != 0;
	free(text);
	return err;
}

void config_will_change(const struct speaker *speaker)
{
	struct bird *bird = speaker->own;

	bird->changes++;
	bird->marked = false;
	files_remove(speaker->directory, told);
}

static int rename_new(const struct speaker *speaker, struct speaker_file *file, enum part part,
	uint32_t id, bool *changed)
{
	char from[NAME_BYTES], to[NAME_BYTES];

	if (!speaker_file_is_new(file))
		return 0;
	*changed = true;
	config_will_change(speaker);
	file_name(from, part, id, ".new");
	file_name(to, part, id, "");
	int err = files_rename(speaker->directory, from, to);
	if (err != 0) {
		file->stale = true; // somebody took it away: written anew
		return err;
	}
	memcpy(file->installed, file->wanted, sizeof(file->installed));
	file->there = true;
	return 0;
}

// --- which files the main file includes

// Of what is in use: all there are, so that the text does not change with them.
static const char *const all[] = {
	[PART_DOMAIN] = "include \"domain-*.conf\";\n",
	[PART_SESSION] = "include \"peering-*.conf\";\n",
};

static bool declared(const struct speaker *speaker, enum part part, uint32_t id)
{
	const struct served_session *session;
	const struct served_domain *domain;

	if (part == PART_DOMAIN) {
		domain = served_domain(speaker->speakers, id);
	} else {
		session = served_session(speaker->speakers, id);
		domain = session != NULL ? session->domain : NULL;
	}
	return domain != NULL && domain->speaker == speaker; // another store's ids are of others
}

// "peering-7.conf" of this part; not "peering-7.conf.new" nor "peering-07.conf".
static bool name_of_part(const char *text, enum part part, uint32_t *id)
{
	char expected[NAME_BYTES];
	size_t length = strlen(stem[part]);

	if (strncmp(text, stem[part], length) != 0 || text[length] != '-')
		return false;
	*id = (uint32_t)strtoul(text + length + 1, NULL, 10);
	file_name(expected, part, *id, "");
	return strcmp(text, expected) == 0;
}

// Of an earlier life, and of nobody in this one.
static bool is_leftover(const struct speaker *speaker, const char *name, enum part part)
{
	uint32_t id;

	return name_of_part(name, part, &id) && !declared(speaker, part, id);
}

struct new_includes {
	FILE *out[2]; // by part
	char *text[2];
	size_t size[2];
};

static void include(const struct new_includes *includes, enum part part, const char *name)
{
	fprintf(includes->out[part], "include \"%s\";\n", name);
}

static void include_leftovers(const struct speaker *speaker, const struct new_includes *includes)
{
	DIR *directory = speaker->speakers->swept ? NULL : opendir(speaker->directory);
	const struct dirent *entry;

	while (directory != NULL && (entry = readdir(directory)) != NULL)
		for (enum part part = PART_DOMAIN; part <= PART_SESSION; part++)
			if (is_leftover(speaker, entry->d_name, part))
				include(includes, part, entry->d_name);
	if (directory != NULL)
		closedir(directory);
}

static void include_file(const struct speaker *speaker, const struct new_includes *includes,
	struct speaker_file *file, enum part part, uint32_t id)
{
	char name[NAME_BYTES];

	file_name(name, part, id, "");
	// Declared since the texts were rendered: what an earlier life left of it, if anything.
	look(speaker, file, name);
	if (!speaker_file_is_new(file) && !file->there)
		return; // quarantined, and nothing good to fall back on
	file_name(name, part, id, speaker_file_is_new(file) ? ".new" : "");
	include(includes, part, name);
}

// What the parser is to read: what is new under its temporary name. False: no memory.
static bool new_includes(const struct speaker *speaker, struct new_includes *includes)
{
	struct served_session *session;
	struct served_domain *domain;
	bool good = true;

	for (unsigned int i = 0; i < 2; i++)
		includes->out[i] = open_memstream(&includes->text[i], &includes->size[i]);
	good = includes->out[0] != NULL && includes->out[1] != NULL;
	if (good) {
		TAILQ_FOREACH (domain, &speaker->domains, link)
			include_file(speaker, includes, &domain->file, PART_DOMAIN, domain->id);
		TAILQ_FOREACH (session, &speaker->sessions, link)
			include_file(speaker, includes, &session->file, PART_SESSION, session->id);
		include_leftovers(speaker, includes);
	}
	for (unsigned int i = 0; i < 2; i++)
		if (includes->out[i] != NULL && fclose(includes->out[i]) != 0)
			good = false;
	return good;
}

static int write_main(const struct speaker *speaker)
{
	struct new_includes includes = {.text = {NULL, NULL}};
	char *text = NULL;

	if (new_includes(speaker, &includes))
		text = render_main(
			speaker, NULL, includes.text[PART_DOMAIN], includes.text[PART_SESSION]);
	int err = text != NULL ? files_write(speaker->directory, "bird.conf.new", text) : -ENOMEM;

	free(text);
	free(includes.text[0]);
	free(includes.text[1]);
	return err;
}

static char *main_text(const struct speaker *speaker)
{
	return render_main(speaker, "bird.log", all[PART_DOMAIN], all[PART_SESSION]);
}

// --- the steps

// Without its announcements the text would withdraw what an earlier life announced.
static bool keeps_earlier(const struct speaker *speaker, struct served_domain *domain)
{
	char name[NAME_BYTES];

	if (domain->announced || speaker->speakers->swept)
		return false;
	file_name(name, PART_DOMAIN, domain->id, "");
	look(speaker, &domain->file, name);
	return domain->file.there;
}

static int write_domains(struct speaker *speaker, uint64_t end)
{
	struct served_domain *domain;
	int err = 0;

	TAILQ_FOREACH (domain, &speaker->domains, link)
		if (domain->file.stale && err == 0) {
			if (clock_ns() > end)
				return 1;
			if (keeps_earlier(speaker, domain)) // which it reads, once
				continue;
			err = write_new(speaker, &domain->file, PART_DOMAIN, domain->id,
				render_domain(domain));
		}
	return err;
}

static int write_sessions(struct speaker *speaker, uint64_t end)
{
	struct served_session *session;
	int err = 0;

	TAILQ_FOREACH (session, &speaker->sessions, link)
		if (session->file.stale && err == 0) {
			if (clock_ns() > end)
				return 1;
			err = write_new(speaker, &session->file, PART_SESSION, session->id,
				render_session(session));
		}
	return err;
}

int config_write(struct speaker *speaker)
{
	uint64_t end = clock_ns() + SLICE_NS, before = speaker->speakers->counters.rendered;
	int err = files_make_directory(speaker->directory);

	if (err == 0)
		err = write_domains(speaker, end);
	if (err == 0)
		err = write_sessions(speaker, end);
	if (err == 0 && speaker->speakers->counters.rendered - before > RENDERED_FEW)
		return 1; // the main file names them all: in a turn of its own
	return err != 0 || !config_is_new(speaker) ? err : write_main(speaker);
}

// Whether the text lies there already.
static bool is_there(const struct speaker *speaker, const char *name, const char *text)
{
	char *there = files_read(speaker->directory, name);
	bool same = there != NULL && strcmp(there, text) == 0;

	free(there);
	return same;
}

bool config_is_new(const struct speaker *speaker)
{
	const struct served_session *session;
	const struct served_domain *domain;

	TAILQ_FOREACH (domain, &speaker->domains, link)
		if (speaker_file_is_new(&domain->file))
			return true;
	TAILQ_FOREACH (session, &speaker->sessions, link)
		if (speaker_file_is_new(&session->file))
			return true;
	char *text = main_text(speaker);
	bool same = text != NULL && is_there(speaker, "bird.conf", text);
	free(text);
	return !same;
}

static int commit_main(const struct speaker *speaker, bool *changed)
{
	char *text = main_text(speaker);
	int err = 0;

	if (text == NULL)
		return -ENOMEM;
	if (is_there(speaker, "bird.conf", text)) {
		files_remove(speaker->directory, "bird.conf.new");
	} else {
		*changed = true;
		config_will_change(speaker);
		err = files_write(speaker->directory, "bird.conf.new", text);
		if (err == 0)
			err = files_rename(speaker->directory, "bird.conf.new", "bird.conf");
	}
	free(text);
	return err;
}

static int rename_files(struct speaker *speaker, uint64_t end, bool *changed)
{
	struct served_session *session;
	struct served_domain *domain;
	int err = 0;

	TAILQ_FOREACH (domain, &speaker->domains, link)
		if (err == 0 && speaker_file_is_new(&domain->file)) {
			if (clock_ns() > end)
				return 1;
			err = rename_new(speaker, &domain->file, PART_DOMAIN, domain->id, changed);
		}
	TAILQ_FOREACH (session, &speaker->sessions, link)
		if (err == 0 && speaker_file_is_new(&session->file)) {
			if (clock_ns() > end)
				return 1;
			err = rename_new(
				speaker, &session->file, PART_SESSION, session->id, changed);
		}
	return err;
}

// What an earlier life left of what nobody has declared in this one; sessions before the domains that they name.
static int remove_leftovers(struct speaker *speaker, uint64_t end, bool *changed)
{
	struct bird *bird = speaker->own;
	const struct dirent *entry;

	for (; speaker->speakers->swept && bird->tidying >= PART_DOMAIN; bird->tidying--) {
		if (bird->leftovers == NULL)
			bird->leftovers = opendir(speaker->directory);
		while (bird->leftovers != NULL && (entry = readdir(bird->leftovers)) != NULL) {
			if (is_leftover(speaker, entry->d_name, (enum part)bird->tidying)) {
				*changed = true;
				config_will_change(speaker);
				files_remove(speaker->directory, entry->d_name);
			}
			if (clock_ns() > end)
				return 1;
		}
		if (bird->leftovers != NULL)
			closedir(bird->leftovers);
		bird->leftovers = NULL;
	}
	return 0;
}

// A session that was ended while the parser read: a word more than what it saw.
static int write_ended(struct speaker *speaker)
{
	struct served_session *session;
	int err = 0;

	TAILQ_FOREACH (session, &speaker->sessions, link)
		if (session->ended && session->file.stale && err == 0)
			err = write_new(speaker, &session->file, PART_SESSION, session->id,
				render_session(session));
	return err;
}

int config_commit(struct speaker *speaker, bool *changed)
{
	uint64_t end = clock_ns() + SLICE_NS;
	// What was toggled while the parser read: the word of now, not the one it saw.
	int err = write_domains(speaker, end);

	if (err == 0)
		err = write_ended(speaker);
	if (err == 0)
		err = rename_files(speaker, end, changed);
	if (err == 0)
		err = remove_leftovers(speaker, end, changed);
	return err != 0 ? err : commit_main(speaker, changed);
}

void config_told(struct speaker *speaker)
{
	struct bird *bird = speaker->own;

	bird->marked = files_write(speaker->directory, told, "") == 0;
}

bool config_was_told(const struct speaker *speaker)
{
	char *text = files_read(speaker->directory, told);
	bool was = text != NULL;

	free(text);
	return was;
}

int config_toggle(struct speaker *speaker, struct served_domain *domain)
{
	int err = write_new(speaker, &domain->file, PART_DOMAIN, domain->id, render_domain(domain));
	bool changed = false; // does not matter: the daemon has been told already

	return err != 0 ? err
			: rename_new(speaker, &domain->file, PART_DOMAIN, domain->id, &changed);
}

int config_end(struct speaker *speaker, struct served_session *session)
{
	bool changed = false;
	int err = write_new(
		speaker, &session->file, PART_SESSION, session->id, render_session(session));

	return err != 0 ? err
			: rename_new(speaker, &session->file, PART_SESSION, session->id, &changed);
}

bool config_announces(
	const struct speaker *speaker, const struct served_domain *domain, uint32_t group)
{
	static const char open[] = " {\n", disabled[] = "\tdisabled;";
	char name[NAME_BYTES], protocol[40];
	bool found = false;

	file_name(name, PART_DOMAIN, domain->id, "");
	char *text = files_read(speaker->directory, name);
	for (uint8_t family = 4; text != NULL && family <= 6 && !found; family += 2) {
		render_group(protocol, domain->id, group, family);
		const char *at = strstr(text, protocol);
		if (at == NULL)
			continue;
		at += strlen(protocol);
		found = strncmp(at, open, strlen(open)) == 0 &&
			strncmp(at + strlen(open), disabled, strlen(disabled)) != 0;
	}
	free(text);
	return found;
}

// --- what goes

void config_forget(struct speaker *speaker, const struct served_domain *domain,
	const struct served_session *session)
{
	char name[NAME_BYTES];

	struct bird *bird = speaker->own;

	config_will_change(speaker);
	bird->removed = true;
	if (session != NULL)
		file_name(name, PART_SESSION, session->id, "");
	else
		file_name(name, PART_DOMAIN, domain->id, "");
	files_remove(speaker->directory, name);
}

void config_lost(struct speaker *speaker)
{
	struct served_session *session;
	struct served_domain *domain;

	TAILQ_FOREACH (domain, &speaker->domains, link)
		domain->file.there = false, domain->file.stale = true;
	TAILQ_FOREACH (session, &speaker->sessions, link)
		session->file.there = false, session->file.stale = true;
}

bool config_drop_leftover(const struct speaker *speaker, const char *complaint)
{
	struct bird *bird = speaker->own;
	char name[NAME_BYTES];

	for (enum part part = PART_DOMAIN; part <= PART_SESSION; part++) {
		snprintf(name, sizeof(name), "%s-", stem[part]);
		const char *at = strstr(complaint, name);
		if (at == NULL)
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(at, ":, \r\n"), at);
		if (!is_leftover(speaker, name, part))
			continue;
		config_will_change(speaker);
		bird->removed = true;
		files_remove(speaker->directory, name);
		return true;
	}
	return false;
}
