/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef STATUS_H
#define STATUS_H

// The one table of what is how: (object, state, reason, since), written where a state changes and nowhere else.
// Answers, events, exit codes, later availability and the exporter read it; nobody works out a state when asked.
//
// Belongs to the route thread. Setting what is already so costs a lookup and tells nobody.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// X(symbol, kind as shown: with the name it makes the object, "link acme-ams-01/primary")
// clang-format off
#define STATUS_KINDS(X) \
	X(EDGE,      "edge")       /* this edge as a whole: adoption, model problems of it */ \
	X(DATAPLANE, "data-plane") \
	X(KERNEL,    "kernel")     /* what was put back, what cannot be had */ \
	X(STORE,     "store")      /* its files, and the room for them */ \
	X(SPEAKER,   "speaker") \
	X(PORT,      "port") \
	X(INTERFACE, "interface") \
	X(DOMAIN,    "domain") \
	X(LIMIT,     "limit")      /* route limit of a peering and family */ \
	X(SESSION,   "session") \
	X(FAR_END,   "far-end")    /* of a session that ended without a word to him */ \
	X(TUNNEL,    "tunnel") \
	X(NEIGHBOR,  "neighbor") \
	X(RECORD,    "record")     /* what the data plane refuses */ \
	X(PROBLEM,   "problem")    /* an object of the model that cannot be realised here */ \
	X(RULE,      "rule")       /* that a stored object does not keep */ \
	X(LINK,      "link") \
	X(CIRCUIT,   "circuit")
// clang-format on
#define STATUS_KIND_ENUM(symbol, name) STATUS_##symbol,
enum status_kind { STATUS_KINDS(STATUS_KIND_ENUM) STATUS_KIND_COUNT };
#undef STATUS_KIND_ENUM
const char *status_kind_name(enum status_kind kind);

// How bad it is. Only WARNING and ERROR are problems: they make `status` exit 1.
enum status_level {
	STATUS_OK,
	STATUS_NOTE,    // not up, and rightly so: disabled, another edge's, still starting
	STATUS_WARNING, // works, but less than was sold
	STATUS_ERROR,
};
#define STATUS_LEVELS 4

#define STATUS_NAME_MAX 200 // terminator included

struct status {
	enum status_kind kind;
	const char *name;
	char state[24]; // one word: "up", "down", "established", "refused", ...
	enum status_level level;
	const char *reason; // a sentence without full stop, "" = nothing to say
	const char *hint;   // the next command, ""
	uint64_t since;     // UNIX time of the last change of `state`
};

struct statuses;
struct statuses *statuses_create(void);           // NULL = no memory
void statuses_destroy(struct statuses *statuses); // NULL is fine

// Told of every change. old is NULL when the object is new, now is NULL when it is gone; one that was renamed has its old name
// in old, and the same state. Valid during the call; it may
// not set or clear anything. One watcher.
typedef void (*status_watcher)(void *ctx, const struct status *old, const struct status *now);
void statuses_watch(struct statuses *statuses, status_watcher watcher, void *ctx);

// Texts are copied; NULL reason or hint = "". A change of reason or hint alone keeps `since`. True: something changed.
bool status_set(struct statuses *statuses, enum status_kind kind, const char *name,
	enum status_level level, const char *state, const char *reason, const char *hint);
// The object is gone. Unknown is fine.
void status_clear(struct statuses *statuses, enum status_kind kind, const char *name);
// The objects have other names now, all at once, for names may go round in a circle; what was under a name that is another's
// now is gone. The watcher is told of each with the same state and two names. Unknown is fine.
struct status_rename {
	enum status_kind kind;
	char from[STATUS_NAME_MAX], to[STATUS_NAME_MAX];
};
void statuses_rename(
	struct statuses *statuses, const struct status_rename *rename, unsigned int count);
// Everything of the kind that was not set since the mark is gone: for writers that go through all they have.
uint64_t statuses_mark(struct statuses *statuses);
void status_clear_unmarked(struct statuses *statuses, enum status_kind kind, uint64_t mark);

// NULL = unknown. Valid until the next change of the object.
const struct status *status_get(
	const struct statuses *statuses, enum status_kind kind, const char *name);
// How many of the kind are at this level. O(1).
unsigned int status_count(
	const struct statuses *statuses, enum status_kind kind, enum status_level level);
// How many of the kind are in this state. O(1).
unsigned int status_in_state(
	const struct statuses *statuses, enum status_kind kind, const char *state);
// Problems, errors before warnings, circuits behind all others, oldest first within each. Of more than
// STATUS_ALIKE of one kind, state and reason only one is visited, with how many others suffer from the same; else `alike`
// is 0. Visited are so many that `visit` has said of `max` that it tells them. Costs what there is to tell, however many
// objects are well or suffer from one cause. Returns how many problems there are.
#define STATUS_ALIKE 3
unsigned int status_problems(const struct statuses *statuses, unsigned int max,
	bool (*visit)(void *ctx, const struct status *status, unsigned int alike), void *ctx);

#endif
