/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef STORE_H
#define STORE_H

// Where the model lives: one SQLite file (0600, WAL, synchronous=FULL), opened by one process at a time. It
// holds the objects, their history by revision, the audit, the ids and the sealed secrets. All functions run
// on the store thread, one call after the other.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/api/error.h"
#include "control/model/ids.h"
#include "control/model/model.h"

struct json_t;

// --- store ---------------------------------------------------------------------------------------------

struct store_options {
	const char *path; // of the database; its directory must exist
	const char *
		key_path; // 32 bytes, 0600, seals secrets; NULL = PATH.key. Generated when the store is new
	uint32_t quarantine; // s before a released id is given out again; 0 = 3600
	struct model_options model;
};

struct store;
// Opens, creates or migrates. Refuses (API_REFUSED, with a hint): a file that is not ours, a newer or damaged
// one, one that another process has open, a key that does not fit.
int store_open(struct store **store, const struct store_options *options, struct api_error *error);
void store_close(struct store *store); // NULL is fine

// What is in it. *model and *ids are new references.
struct store_state {
	struct model *model;
	struct ids *ids;
	uint8_t uuid[16];
	uint64_t revision; // 0 = nothing was ever committed
};
// *findings: what this version does not like about it, which is no failure (model_load()).
int store_load(struct store *store, struct store_state *state, struct findings *findings,
	struct api_error *error);

// One change = one transaction: objects, history, audit, ids given and released, secrets sealed.
struct store_commit {
	const struct model *old; // what was committed before
	const struct model *new;
	const char *actor;     // "uid:0" or a role's name
	const char *on_behalf; // NULL = nobody
	const char *verb;      // "circuit.set", "config.apply"
	const char
		*object; // what it was asked for, for the audit; NULL = taken from the difference
};
// *revision is the new one; *ids a new reference. Nothing is changed when it fails.
int store_commit(struct store *store, const struct store_commit *commit, uint64_t *revision,
	struct ids **ids, struct api_error *error);

// A line of audit for a verb that was refused or changes no model.
int store_audit(struct store *store, const char *actor, const char *on_behalf, const char *verb,
	const char *object, const char *result);
// Newest first, at most `limit`, older than `before` (0 = from the newest): [{"id", "time", "actor",
// "on_behalf", "verb", "object", "result", "revision"}...]. A new reference; NULL = it cannot be read.
struct json_t *store_audit_list(struct store *store, uint64_t before, unsigned int limit);
// [{"revision", "time", "actor", "verb", "objects"}...], likewise.
struct json_t *store_history(struct store *store, uint64_t before, unsigned int limit);

#endif
