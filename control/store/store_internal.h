/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H

// What the files behind store.h share.

#include <sodium.h>
#include <sqlite3.h>

#include "control/store/store.h"

#include <sys/queue.h>

#define SUM_WORDS  4
#define SEAL_BYTES 32
#define DOUBT_MAX  512

struct row_sum { // of keyed hashes, modulo 2^256
	uint64_t word[SUM_WORDS];
};

struct audit_line { // of what changes no model
	STAILQ_ENTRY(audit_line) entry;
	int64_t time, revision;
	const char *actor, *on_behalf, *verb, *object, *result;
};

struct store {
	sqlite3 *db;
	struct statement { // prepared once; sql is compared by address
		const char *sql;
		sqlite3_stmt *prepared;
	} * statement;
	unsigned int statements; // as many as there are places in the code that ask
	char *path, *key_path;
	uint32_t quarantine, keep_revisions, keep_audit;
	unsigned int lines; // of audit since they were last pruned
	STAILQ_HEAD(, audit_line) waiting; // for room: audit_write()
	unsigned int waiting_count;
	struct model_options options;
	uint8_t uuid[16];
	uint8_t key[crypto_secretbox_KEYBYTES];
	struct ids *ids; // as committed
	struct store_file {
		uint64_t device, inode; // 0 = it was not there
	} file[3]; // place.c: database, log, key, as they were opened
	// vouch.c
	uint8_t seal_key[crypto_generichash_KEYBYTES];
	struct row_sum sum, committed;
	unsigned int watched;  // tables
	bool keeps_old;        // of what is migrated
	int migrated_from;     // a version, 0 = it is as it was
	bool unsealed;         // as an older version left it
	int log_pages;         // that are not in the file yet
	bool behind;           // there was no room to put them there: tried again before the next change
	int64_t changes;       // of the connection before the transaction
	char doubt[DOUBT_MAX]; // why it may not be what the last commit left, "" = it is
};

// --- SQL -----------------------------------------------------------------------------------------------

// A statement with its values bound: 's' const char * (NULL allowed), 'i' int64_t, 'b' const void * and int.
// sql is a literal: the statement is kept for the next time. It has to be given back with finish(), and not
// asked for again before. NULL when it cannot be prepared.
sqlite3_stmt *query(struct store *store, const char *sql, const char *types, ...);
void finish(sqlite3_stmt *statement); // NULL is fine
// The same, stepped to its end and finished. 0 or -EIO.
int execute(struct store *store, const char *sql, const char *types, ...);
// The one integer it gives, `none` when there is no row or it fails.
int64_t query_integer(struct store *store, int64_t none, const char *sql, const char *types, ...);
const char *column_text(sqlite3_stmt *statement, int column); // never NULL
int run_sql(struct store *store, const char *text); // any number of statements without values; 0 or -EIO
// Fills *error from what SQLite says last.
int store_fail(struct store *store, struct api_error *error, const char *doing);
bool store_is_full(struct store *store); // that was why the last call failed
int64_t store_now(void); // CLOCK_REALTIME seconds

// --- schema -----------------------------------------------------------------------------------------

struct migration {
	const char *sql; // NULL = the tables stay. The columns of what is vouched for do
	// The fields of one object of today or of the history. True: they were changed. NULL = all stay.
	bool (*fields)(const char *noun, struct json_t *fields);
};
extern const char store_tables[]; // SQL
int store_schema(void); // the newest version that is known
int store_migrate(struct store *store, struct api_error *error);
// The steps all[from - 1] to all[to - 2] as one transaction; after an error store_undo().
int store_take(struct store *store, const struct migration *all, int from, int to);

// --- ids -----------------------------------------------------------------------------------------------

int ids_load(struct store *store); // from the database into store->ids
int ids_seed(struct store *store); // the underlay's, in a new store
// Inside a transaction: takes the database from the ids that were needed to those that are. What has another name keeps its
// own under other keys. `change` collects what to tell ids_commit(); it is to be freed with ids_discard() when the
// transaction fails.
struct ids_change {
	struct id_key **come;
	struct id_key **gone;
	unsigned int come_count, come_room, gone_count, gone_room;
	unsigned int renamed; // of those that come
};
int ids_change(struct store *store, const struct model_diff *diff, struct ids_change *change);
// Those that the object lacks.
int ids_complete(struct store *store, const struct object *object, struct ids_change *change);
void ids_discard(struct ids_change *change);
// After the transaction: the new snapshot. 0 or -ENOMEM.
int ids_commit(struct store *store, struct ids_change *change);

void free_sources(struct model_source *sources, unsigned int count);

// --- history -------------------------------------------------------------------------------------------

// Within a transaction: what the object is from this revision on, and which secrets it needs.
int history_write(struct store *store, int64_t revision, const struct object *object, const char *json);
// Likewise: revisions that are too many go, and secrets that none needs any more. Of each object the newest of them
// stays, out of which the first revision that is left is made.
int history_prune(struct store *store, int64_t revision);

// --- what waits for confirmation -----------------------------------------------------------------------

// Within a transaction.
int pending_write(struct store *store, const struct store_commit *commit, uint64_t before,
	uint64_t revision, const char *actor);
int pending_settle(struct store *store);
void pending_read(struct store *store, struct store_pending *pending);

// --- audit ---------------------------------------------------------------------------------------------

#define ACTOR_MAX STORE_ACTOR_MAX

// "uid:0" becomes "uid:0/root".
void actor_name(const char *actor, char name[ACTOR_MAX]);
// Within a transaction. The oldest lines and revisions that are too many go.
int audit_change(struct store *store, const struct store_commit *commit, const struct model_diff *diff,
	const char *objects, int64_t revision);
// Likewise, of what changed no object, at once or not at all. actor as actor_name() gives it.
int audit_line(struct store *store, const char *actor, const char *on_behalf, const char *verb,
	const char *object, int64_t revision);
// Lines that found no room, outside of a transaction. 0 = all are written.
int audit_write(struct store *store);
void audit_forget(struct store *store);
// Within the transaction that releases an id: what it counted will be asked for under this name.
int final_expect(struct store *store, const struct id_key *key);

// --- what the store vouches for ----------------------------------------------------------------------------

bool vouch_log_exists(const struct store *store); // SQLite's log of changes, before it is opened
// Everything goes into the file, so that it alone is whole or says that it is not.
int vouch_checkpoint(struct store *store);
int vouch_watch(struct store *store);             // from now on each row that comes or goes is counted
int vouch_watch_new(struct store *store);         // .. of tables that were not there, too
// Compares with the seal; fills store->doubt. had_log: there was one before it was opened.
int vouch_open(struct store *store, bool had_log, struct api_error *error);
void vouch_rest(struct store *store); // between two transactions: the log may have become long
// A transaction over the model. store_end() commits unless rc is an error, and gives it or its own; then store_undo().
int store_begin(struct store *store);
int store_end(struct store *store, int rc);
void store_undo(struct store *store);

// --- where it lies ---------------------------------------------------------------------------------------

void place_remember(struct store *store); // the files that are open
// Refuses when the next culvertd would not find what is written now.
int place_check(struct store *store, struct api_error *error);

// --- secrets -------------------------------------------------------------------------------------------

// Reads or makes the key file. `fresh`: the store is new.
int key_open(struct store *store, bool fresh, struct api_error *error);
// The word by which a key is known to fit; sealed: there is a seal, and it may not be missing.
int key_check_write(struct store *store, bool sealed);
int secret_seal(struct store *store, const struct secret *secret);
// A new string, NULL = unknown or damaged. ctx is the store.
char *secret_unseal(void *ctx, const char *fingerprint);

#endif
