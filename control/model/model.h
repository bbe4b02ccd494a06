/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_H
#define MODEL_H

// The model: every object of every noun as one immutable, reference-counted snapshot. A change makes a new
// snapshot that shares what did not change. Reading needs no lock, from any thread that holds a reference;
// making a new one needs none either.
//
// Each noun has a struct in its own header (control/model/circuit.h ...) whose first member is the object.
// Objects refer to each other by name: model_circuit(model, link->circuit).

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/model/finding.h"
#include "control/model/nouns.h"
#include "control/model/schema.h"

struct json_t;

// Names: "acme-ams-01"; of a noun with several key fields they are joined by "/": "ams1/wan0" (port),
// "acme-ams-01/primary" (link), "acme-ams-01/private" (peering), "acme-ams-01/acme-prod" (connection).
#define NAME_MAX_LENGTH 63  // of one part: [a-z0-9] then [a-z0-9-]*
#define OBJECT_NAME_MAX 160 // of a whole name, terminator included

struct object {
	const struct noun *noun;
	const char *name;
	unsigned int references; // atomic; object_ref() and object_unref()
	uint64_t digest; // of its fields, secrets and generated ones apart; the same on every edge
	uint64_t identity; // in this process: a change and another name leave it as it is
};
const struct object *object_ref(const struct object *object);
void object_unref(const struct object *object);
// Another object: this one under the name that the other, of the same noun, has. NULL = no memory.
struct object *object_named(const struct object *object, const struct object *other);
struct json_t *object_json(const struct object *object); // a new reference; the key fields included
struct model;
// Name of the customer whose the object is, NULL = nobody's. Borrowed from the snapshot.
const char *object_customer(const struct model *model, const struct object *object);

// Every secret of the object, until visit returns non-zero (which is returned).
int object_secrets(const struct object *object,
	int (*visit)(void *ctx, const struct secret *secret), void *ctx);

enum host_domain { HOST_DOMAIN_NETNS, HOST_DOMAIN_TABLE, HOST_DOMAIN_VRF };

// What validation has to know of the node file.
struct model_options {
	enum host_domain host_domain; // TABLE: peering subnets are unique
	bool lab;                     // both links of a circuit may be on one edge
};

struct model *model_create(const struct model_options *options); // empty; NULL = no memory
struct model *model_ref(const struct model *model);
void model_unref(const struct model *model); // NULL is fine
const struct model_options *model_options(const struct model *model);
// Over all objects, in no order: equal on every edge that holds the same objects.
uint64_t model_digest(const struct model *model);

unsigned int model_count(const struct model *model, enum noun_id noun);
// Sorted by name. Borrowed from the snapshot.
const struct object *model_at(const struct model *model, enum noun_id noun, unsigned int index);
const struct object *model_find(
	const struct model *model, enum noun_id noun, const char *name); // NULL = none
// Index of the first object whose name is not before `prefix`: to walk "acme-ams-01/..." or a page of a list.
unsigned int model_lower_bound(const struct model *model, enum noun_id noun, const char *prefix);
// Every object that refers to this one, in no order, until visit returns non-zero (which is returned).
int model_referrers(const struct model *model, enum noun_id noun, const char *name,
	int (*visit)(void *ctx, const struct object *object), void *ctx);

// Typed access, each NULL when there is none.
#define MODEL_NOUN(symbol, noun)                                                                   \
	struct noun;                                                                               \
	static inline const struct noun *model_##noun(const struct model *model, const char *name) \
	{                                                                                          \
		return (const struct noun *)model_find(model, NOUN_##symbol, name);                \
	}                                                                                          \
	static inline const struct noun *model_##noun##_at(                                        \
		const struct model *model, unsigned int index)                                     \
	{                                                                                          \
		return (const struct noun *)model_at(model, NOUN_##symbol, index);                 \
	}
NOUN_LIST(MODEL_NOUN)
#undef MODEL_NOUN

// for (i...) over the objects whose name starts with "PARENT/": the links, peerings or connections of a circuit,
// the ports of an edge. Use: MODEL_CHILDREN(model, NOUN_LINK, circuit->object.name, link_object) { ... }
#define MODEL_CHILDREN(model, noun, parent, child)                                      \
	for (unsigned int child##_index = model_first_child(model, noun, parent);       \
		((child) = model_child_at(model, noun, parent, child##_index)) != NULL; \
		child##_index++)
unsigned int model_first_child(const struct model *model, enum noun_id noun, const char *parent);
const struct object *model_child_at(
	const struct model *model, enum noun_id noun, const char *parent, unsigned int index);

// --- changing ------------------------------------------------------------------------------------------
//
// *findings is empty before: the caller zeroes it.

// changes: array of {"op": "create"|"set"|"ensure"|"delete"|"rename"|"recreate"|"replace", "noun", "name", "fields": {..}},
// applied in order as one: all or nothing. "set" changes the fields named, null = back to the default; "ensure" is create if there is none of that
// name, else set. A list is given whole, or as {"add": [..], "remove": [..]} against what it was: an added element that
// is there already changes nothing, or takes its place where the list has a merge key; one to remove must be
// there. A change is refused for what it breaks, not for what was broken before. A name may be given whole or
// by its key fields. Secrets: {"value": text} or {"keep": fingerprint}, of any peering; a {"file": path} is read by culvertctl.
// Deleting a circuit takes its links and peerings along, connections have to go first; what a new one brings along is
// with its noun (struct noun, brings). "rename" has "to" instead of fields:
// the object is called so from here on, also in the changes that follow; its parts ("OLD/primary") and whatever refers to it
// follow, and all stay what they were: ids, history, traffic. Refused where the name is not the user's to choose (a link's is
// its circuit's; an edge's and a port's stand in the node file), and where the new one is taken or no name. "recreate" of a circuit makes a successor, called "to" or NAME-r2, with the fields given
// in place of its own, a new service key, links ("links": {"primary": {fields}} says otherwise) on other tags and, once it is
// provisioned, its peerings on other subnets ("peerings": {"private": {fields}}), with their passwords; asked for again with "to" it makes
// what is lacking. "replace" moves the connections to the circuit "to" and deletes the one they were on, unless its provider has
// it still. On success *out is a
// new snapshot (or another reference to `old` when nothing is different). Otherwise -EINVAL with findings, or
// -ENOMEM.
int model_change(const struct model *old, const struct json_t *changes, struct model **out,
	struct findings *findings);

// The same for a whole configuration file: what it does not name is deleted. Objects that are equal to those
// of `old` are taken over from it, with their generated fields and kept secrets. Secrets: {file: PATH},
// {credential: NAME} (of $CREDENTIALS_DIRECTORY) or {keep: FINGERPRINT}, never clear text. May run on any thread.
int model_parse(const struct model *old, const char *text, size_t length, const char *file_name,
	struct model **out, struct findings *findings);

// The same; secret gives the text of {keep: FINGERPRINT} as a new string, NULL = unknown to it. It may be NULL.
int model_parse_with(const struct model *old, const char *text, size_t length, const char *file_name,
	char *(*secret)(void *ctx, const char *fingerprint), void *ctx, struct model **out,
	struct findings *findings);

// For the store: builds a snapshot from stored objects. What this version's tables and rules do not like (it may be newer
// than what was stored) is listed in *findings and is no failure; only an object that cannot be made out at all is
// left out. 0 or -ENOMEM.
struct model_source {
	const char *noun;
	const char *name;
	const char *json;
};
// secret gives the clear text of a fingerprint as a new string, NULL = unknown.
int model_load(const struct model_options *options, const struct model_source *sources,
	unsigned int count, char *(*secret)(void *ctx, const char *fingerprint), void *ctx,
	struct model **out, struct findings *findings);

// For the store, too: takes these objects back to what was stored of them once; json NULL = there was none of that name.
// What follows a workflow is where it stands today, of an object that comes back at its beginning (judged) or where it was;
// a hashed secret, which may have been given anew, is today's. judged: as a user's change, with -EINVAL and findings; else no rule is in its way.
int model_back(const struct model *old, const struct model_source *sources, unsigned int count,
	char *(*secret)(void *ctx, const char *fingerprint), void *ctx, bool judged,
	struct model **out, struct findings *findings);

// What no longer satisfies the rules: all of it is checked. 0, whatever is found, or -ENOMEM.
int model_check(const struct model *model, struct findings *findings);

// The whole model as YAML that model_parse() takes back. A new string for free().
char *model_yaml(const struct model *model);

// --- difference ----------------------------------------------------------------------------------------

struct model_difference {
	const struct object *old; // NULL = created
	const struct object *new; // NULL = deleted; of another name than `old` = renamed
};
struct model_diff {
	unsigned int count;
	struct model_difference *item; // nouns in order of enum, (new) names in order; holds references
	const struct model *old, *new; // likewise
};
// By pointer, so it costs what changed and a glance at the rest. NULL = no memory.
struct model_diff *model_diff(const struct model *old, const struct model *new);
void model_diff_free(struct model_diff *diff);
// Every object that is another one than before, also when its fields are the same (deleted and made again, it may have
// other ids), by noun. One that has another name now is visited once, with both. old NULL = nothing was.
void model_compare(const struct model *old, const struct model *new,
	void (*visit)(void *ctx, const struct object *old, const struct object *new), void *ctx);
// [{"op", "noun", "name", "was": its old name (of op "rename"), "effect", "fields": [{"field", "from", "to", "effect"}..],
// "text": the line(s) below}..]
struct json_t *model_diff_json(const struct model_diff *diff);
struct json_t *model_difference_json(const struct model_diff *diff, unsigned int index); // one of them
// "+ circuit acme-ams-01 (new)", "- link ... (traffic interrupted)",
// "~ circuit acme-ams-01 bandwidth 50mbps -> 100mbps (hitless)", "~ circuit acme-ams-1 was acme-ams-01 (no traffic
// effect)": one per line. A new string for free().
char *model_diff_text(const struct model_diff *diff);

#endif
