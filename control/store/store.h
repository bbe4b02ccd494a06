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
	uint32_t keep_revisions; // of the history; 0 = 10000
	uint32_t keep_audit;     // changes, and as many other lines; 0 = 100000
	bool restoring;          // an older one is not kept beside it: the backup is there
	struct model_options model;
};

struct store;
// Opens, creates or migrates; the older one is kept as PATH.schema-VERSION. Refuses (API_REFUSED, with a hint): a file that is not ours, a newer or damaged
// one, one that another process has open, a key that does not fit.
int store_open(struct store **store, const struct store_options *options, struct api_error *error);
void store_close(struct store *store); // NULL is fine

// A revision that goes back by itself unless somebody confirms it in time.
#define STORE_ACTOR_MAX 128
struct store_pending {
	uint64_t revision; // 0 = none
	uint64_t before;   // what it goes back to
	int64_t until;     // UNIX time, ms
	char boot[40];     // the kernel's, and within it, whatever becomes of the clock:
	int64_t until_boot; // CLOCK_BOOTTIME, ms
	int64_t span;       // ms, that it was given
	char actor[STORE_ACTOR_MAX]; // "uid:0/root"
	// Not "": it is a part of a change of several edges, which this one decides about, under this revision of its own.
	char decider[64];
	uint64_t decided; // ..
};
// ms until it goes back, 0 = now.
int64_t store_pending_left(const struct store_pending *pending);

// What is in it. *model and *ids are new references.
struct store_state {
	struct model *model;
	struct ids *ids;
	uint8_t uuid[16];
	uint64_t revision; // 0 = nothing was ever committed
	const char *doubt; // why it may not be what the last commit left, "" = it is; lives as long as the store
	bool reads_otherwise; // than its digest says
	struct store_pending pending;
	int migrated_from;    // the schema's version that it was of, 0 = today's
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
	uint64_t confirm_ms;   // not 0: it goes back unless it is confirmed so soon
	const char *decider;   // .. NULL = by this store alone
	uint64_t decided;
	const uint64_t *again; // the revision that it takes up again, NULL = none
	bool settles;          // nothing waits for confirmation any more
	struct store_pending *pending; // out, with confirm_ms: what waits now
};
// *revision is the new one; *ids a new reference. Nothing is changed when it fails.
int store_commit(struct store *store, const struct store_commit *commit, uint64_t *revision,
	struct ids **ids, struct api_error *error);

// What waits for confirmation is final; a line of audit with it. On disk when it returns 0.
int store_confirm(struct store *store, const char *actor, const char *on_behalf,
	const struct store_pending *pending, struct api_error *error);
// The model of an older revision, out of the history, as a change of `old`: what is equal stays the same object, and
// what follows a workflow stays where it is. judged: through all rules that bind a user's change, with findings; else
// none is in its way. 0 is what there was before the first. API_NOT_FOUND when the history does not have it any more.
int store_back(struct store *store, const struct model *old, uint64_t revision, bool judged,
	struct model **model, struct findings *findings, struct api_error *error);
// The newest revision but one, *revision; API_NOT_FOUND when there is none.
int store_before(struct store *store, uint64_t *revision, struct api_error *error);

// What is there is meant, whatever the doubt was.
int store_accept(struct store *store);

// A line of audit for a verb that was refused or changes no model. When it is not 0 it waits, with its time, and is written
// as soon as there is room.
int store_audit(struct store *store, const char *actor, const char *on_behalf, const char *verb,
	const char *object, const char *result);
struct store_filter { // of a list, newest first
	uint64_t before;    // an id or revision that is not there any more; 0 = from the newest
	unsigned int limit; // rows
	int64_t since;      // UNIX time
	const char *object; // "acme-ams-01", with its parts, or "circuit acme-ams-01"; NULL = all
	const char *actor;  // "uid:0", "root" or "uid:0/root"; NULL = all
};
// [{"id", "time", "actor", "on_behalf", "verb", "object", "result", "revision", "changes"}...], changes as
// model_diff_json() has them. A new reference; NULL = it cannot be read.
struct json_t *store_audit_list(struct store *store, const struct store_filter *filter);
// [{"revision", "time", "actor", "on_behalf", "verb", "objects", "object", "again", "pending"}...], likewise; by `before`
// and `limit` only. object: the first of them by name; pending: UNIX time until which it waits.
struct json_t *store_history(struct store *store, const struct store_filter *filter);

// What deleted objects counted last, before their places in the data plane are given to others: on disk when it
// returns 0. [{"uid", "counters": {..}}..]
int store_finals_put(struct store *store, const struct json_t *list);
// [{"id", "object", "deleted", "time", "counters"}...] with id its uid, likewise; by all but `actor`.
struct json_t *store_finals(struct store *store, const struct store_filter *filter);

// How its files and their file system are. Costs a few calls of the kernel; may wait as long as a disk does.
#define STORE_ROOM (100ull << 20) // bytes; with fewer left it is time to make room
struct store_place {
	char missing[32]; // "database", "log of changes" or "key", whose name is not the file's that is open any more; "" = none
	char path[256];   // ..: that name
	bool full;        // nothing can be written: what runs goes on, changes are refused
	uint64_t left;    // bytes, UINT64_MAX = not known
};
#define STORE_FILES_HINT                                                                           \
	"culvertctl backup FILE; stop culvertd; culvertctl restore --replace FILE; if what is "    \
	"there now is meant, only start culvertd again"
// Tries again what found no room.
void store_look(struct store *store, struct store_place *place);

// --- backup ----------------------------------------------------------------------------------------------

// All of it, the key too, into a file. *about is a new reference: {"culvert", "schema", "store", "revision", "time",
// "database"}.
int store_backup(struct store *store, int fd, struct json_t **about, struct api_error *error);
// Where the options say, of a store that nobody has open. Refuses a file that is damaged or of a version that is not
// known, a store that is in use and, unless it is to be replaced, one that is there.
int store_restore(const char *file, const struct store_options *options, bool replace,
	struct json_t **about, struct api_error *error);

#endif
