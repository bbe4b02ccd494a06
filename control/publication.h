/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PUBLICATION_H
#define PUBLICATION_H

// What the main thread hands to the route thread after each commit: one consistent state of
// everything that is configured. Immutable and reference-counted, so no thread ever waits for
// another to read it.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct findings; // control/model/finding.h
struct model;    // control/model/model.h
struct ids;      // control/model/ids.h

struct publication {
	unsigned int references; // atomic
	struct model *model;
	struct ids *ids;
	uint8_t store[16]; // uuid of the store
	uint64_t revision; // of `model`
	// What this version's rules have against the model, although it is in force; NULL =
	// nothing.
	struct findings *problems;
	struct { // its model goes back to that of `before` unless it is confirmed
		bool waits;
		uint64_t before;
		int64_t until;   // UNIX time
		char actor[128]; // who made it: "uid:0/root"
		char decider[64]; // the edge whose revision `decided` decides; "" = this one
		uint64_t decided;
	} pending;
	const char *doubt; // why the store may not be what it was left as, NULL = it is; lives as long as the process
};

// Whether its model has an edge of this name.
bool publication_has_edge(const struct publication *publication, const char *name);
struct publication *publication_ref(const struct publication *publication);
void publication_unref(struct publication *publication); // NULL is fine

// Each of `problems`: what it is about, which rule, a sentence, a hint.
void publication_problems(const struct publication *publication,
	void (*visit)(void *ctx, const char *path, const char *rule, const char *message,
		const char *hint),
	void *ctx);

// --- from thread to thread -------------------------------------------------------------------------------

// Room for one: whoever is slow sees the newest and none of those in between, and nobody queues.
struct publication_slot {
	struct publication *publication; // atomic
};
// Takes the reference over. True: the slot was empty, the other side has to be told to look.
bool publication_put(struct publication_slot *slot, struct publication *publication);
// The newest, with its reference; NULL = taken already.
struct publication *publication_take(struct publication_slot *slot);

// --- fragments -------------------------------------------------------------------------------------------

// What the configuration means for this edge, kept in one fragment for each object
// (control/model/intent.h). A new publication rebuilds only the fragments whose inputs are other
// objects than before. Used by one thread.
struct fragment;
struct fragments;
struct node_view;
struct object;

struct fragments *fragments_create(const struct node_view *node); // borrowed
void fragments_destroy(struct fragments *fragments);              // NULL is fine
// The configuration is now this one; takes a reference of its own. Costs what changed and a glance
// at the rest. renamed, which may be NULL, is called for every object that has another name now, whether it means anything
// or not, before any of their fragments comes.
void fragments_update(struct fragments *fragments, struct publication *publication,
	void (*renamed)(void *ctx, const struct object *old, const struct object *new), void *ctx);
// Rebuilds the next fragment that may have changed. *old and *new are what it was and what it is, with other names in it when
// its object was renamed; NULL = it means nothing here; the same twice = nothing came of it. Borrowed: *new until it is
// replaced, *old until the next call. False: all is as the publication says.
bool fragments_next(
	struct fragments *fragments, const struct fragment **old, const struct fragment **new);
// Of the fragment that came last: its object as the newest publication has it, or as it was last. *nameless: it is gone, and
// its name is another's.
const struct object *fragments_object(const struct fragments *fragments, bool *nameless);
bool fragments_pending(
	const struct fragments *fragments); // there is something left for fragments_next()
const struct publication *fragments_publication(
	const struct fragments *fragments); // borrowed, NULL before the first
// Each that means something, in no order.
void fragments_each(const struct fragments *fragments,
	void (*visit)(void *ctx, const struct fragment *fragment), void *ctx);
// The fragment of an object, NULL = it means nothing here. noun: enum noun_id.
const struct fragment *fragments_find(
	const struct fragments *fragments, int noun, const char *name);
// The oracle: everything built at once from one publication.
struct fragments *fragments_full(struct publication *publication, const struct node_view *node);
// Whether both hold equal fragments; *difference names one that differs.
bool fragments_equal(const struct fragments *a, const struct fragments *b, const char **difference);

struct fragments_counters {
	uint64_t built;    // fragments, since the beginning
	uint64_t changed;  // of those, that came out different
	unsigned int held; // that mean something
	unsigned int sets; // shared rule sets
	size_t bytes;      // of all fragments
};
void fragments_counters(const struct fragments *fragments, struct fragments_counters *counters);

#endif
