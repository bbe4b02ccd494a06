// SPDX-License-Identifier: BSD-3-Clause
// Fragments and what they were made from.
//
// For each object whose noun realises something there is a slot with its fragment, and for each
// input that a fragment's realise function looked at there is a node with the slots that looked
// (links in both directions, so that a slot that is rebuilt leaves its nodes in the time of its own
// inputs, however many others look at the same). A publication is compared with the one before by
// pointer; each object that differs marks its own slot and the slots at the nodes that it can
// matter to: by its name, as a child of the objects in front of each "/" of its name, as one of its
// noun. Marked slots wait in a queue; each call rebuilds one. The slot of an object that was renamed goes on under its new
// name, so that what comes of it is a change, not an end and a beginning.
//
// Sets of policy rules are shared: an equal one that a fragment here holds is used again. They are
// counted here, by the policies that name them, since a set alone does not tell whether anybody but
// the table still wants it.

#include "control/publication.h"

#include "control/base/array.h"
#include "control/base/table.h"
#include "control/model/intent.h"

#include <sodium.h>
#include <sys/queue.h>

#include <stdlib.h>
#include <string.h>

#define SLOT_KIND 255 // beside enum input_kind

struct key { // a digest of kind, noun and name: names are too long to keep, and nobody can make two collide
	uint8_t bytes[16];
};

struct use {
	LIST_ENTRY(use) at_input, at_slot;
	struct input *input;
	struct slot *slot;
};
LIST_HEAD(uses, use);

struct input { // something that was looked at
	struct entry entry;
	struct key key;
	struct uses uses;
};

struct slot {
	struct entry entry;
	struct key key;
	const struct object *object;     // as it was seen last; a reference
	const struct fragment *fragment; // NULL = it means nothing here; a reference
	struct uses uses;
	bool marked;
	bool nameless; // its object is gone, another one has its name
	STAILQ_ENTRY(slot) next;
};

struct shared { // a set of rules
	struct entry entry;
	uint64_t digest;     // key: several may have the same
	struct shared *more; // with this digest
	struct policy_set *set;
	unsigned int users; // policies of fragments in slots
};

struct fragments {
	const struct node_view *node;
	struct publication *publication;
	struct table slots, inputs, sets;
	STAILQ_HEAD(, slot) marked;
	const struct fragment *released; // what fragments_next() gave out as old
	const struct object *last;       // whose it was; a reference
	bool last_nameless;
	struct slot *building;
	uint64_t built, changed;
};

static struct key key_of(unsigned int kind, enum noun_id noun, const char *name)
{
	const uint8_t head[2] = {(uint8_t)kind, (uint8_t)noun};
	crypto_generichash_state state;
	struct key key;

	crypto_generichash_init(&state, NULL, 0, sizeof(key.bytes));
	crypto_generichash_update(&state, head, sizeof(head));
	crypto_generichash_update(&state, (const uint8_t *)name, strlen(name));
	crypto_generichash_final(&state, key.bytes, sizeof(key.bytes));
	return key;
}

static void *must(void *memory)
{
	if (memory == NULL)
		abort();
	return memory;
}

// --- shared sets -----------------------------------------------------------------------------------------

static uint64_t hash_text(uint64_t hash, const char *text)
{
	for (; text != NULL && *text != '\0'; text++)
		hash = (hash ^ (uint8_t)*text) * 0x100000001b3u;
	return (hash ^ 0xff) * 0x100000001b3u;
}

// With the names, which policy_digest() leaves out: many vNets have equal prefixes.
static uint64_t set_digest(struct policy_set *set)
{
	struct policy_set *sets[1] = {set};
	const struct policy policy = {.set = sets, .sets = 1, .otherwise = POLICY_ACCEPT};
	uint64_t hash = policy_digest(&policy);
	unsigned int count;
	const struct policy_rule *rule = policy_set_rules(set, &count);

	for (unsigned int i = 0; i < count; i++)
		hash = hash_text(hash_text(hash, rule[i].name), rule[i].object);
	return hash;
}

static struct shared *shared_find(struct fragments *fragments, struct policy_set *set)
{
	uint64_t digest = set_digest(set);
	struct shared *shared = table_find(&fragments->sets, &digest);

	while (shared != NULL && shared->set != set && !policy_set_equal(shared->set, set))
		shared = shared->more;
	return shared;
}

static struct policy_set *intern(void *ctx, struct policy_set *set)
{
	struct fragments *fragments = ctx;
	struct shared *shared = shared_find(fragments, set);

	if (shared != NULL) {
		policy_set_unref(set);
		return policy_set_ref(shared->set);
	}
	shared = must(calloc(1, sizeof(*shared)));
	shared->digest = set_digest(set);
	shared->set = policy_set_ref(set);
	struct shared *first = table_find(&fragments->sets, &shared->digest);
	if (first != NULL) {
		shared->more = first->more;
		first->more = shared;
	} else {
		table_add(&fragments->sets, shared);
	}
	return set;
}

static void shared_remove(struct fragments *fragments, struct shared *shared)
{
	struct shared *first = table_find(&fragments->sets, &shared->digest);

	if (first == shared) {
		table_remove(&fragments->sets, shared);
		if (shared->more != NULL)
			table_add(&fragments->sets, shared->more);
	} else {
		while (first->more != shared)
			first = first->more;
		first->more = shared->more;
	}
	policy_set_unref(shared->set);
	free(shared);
}

// The policies of a fragment name their sets, or do not any more.
static void count_sets(struct fragments *fragments, const struct fragment *fragment, int by)
{
	for (unsigned int d = 0; d < fragment->domains.count; d++) {
		const struct policy *policy = &fragment->domains.item[d].import;
		for (unsigned int i = 0; i < policy->sets; i++) {
			struct shared *shared = shared_find(fragments, policy->set[i]);
			shared->users += (unsigned int)by;
			if (shared->users == 0)
				shared_remove(fragments, shared);
		}
	}
}

// --- marking -------------------------------------------------------------------------------------------

static void mark(struct fragments *fragments, struct slot *slot)
{
	if (slot->marked)
		return;
	slot->marked = true;
	STAILQ_INSERT_TAIL(&fragments->marked, slot, next);
}

static void mark_users(
	struct fragments *fragments, enum input_kind kind, enum noun_id noun, const char *name)
{
	struct use *use;

	if (fragments->inputs.count == 0)
		return; // the first publication
	struct key key = key_of(kind, noun, name);
	const struct input *input = table_find(&fragments->inputs, &key);
	if (input == NULL)
		return;
	LIST_FOREACH (use, &input->uses, at_input)
		mark(fragments, use->slot);
}

static void mark_own(struct fragments *fragments, const struct object *object)
{
	struct key key = key_of(SLOT_KIND, object->noun->id, object->name);
	struct slot *slot = table_find(&fragments->slots, &key);

	if (slot == NULL) {
		slot = must(calloc(1, sizeof(*slot)));
		slot->key = key;
		table_add(&fragments->slots, slot);
	}
	const struct object *before = slot->object;
	slot->object = object_ref(object);
	object_unref(before);
	mark(fragments, slot);
}

static void mark_name(struct fragments *fragments, const struct object *object)
{
	enum noun_id noun = object->noun->id;
	char parent[OBJECT_NAME_MAX];

	mark_users(fragments, INPUT_OBJECT, noun, object->name);
	mark_users(fragments, INPUT_ALL, noun, "");
	for (const char *slash = strchr(object->name, '/'); slash != NULL;
		slash = strchr(slash + 1, '/')) {
		size_t length = (size_t)(slash - object->name);
		memcpy(parent, object->name, length);
		parent[length] = '\0';
		mark_users(fragments, INPUT_CHILDREN, noun, parent);
	}
}

// --- other names ---------------------------------------------------------------------------------------

struct difference {
	const struct object *old, *new;
	struct slot *slot; // on its way from one name to the other
};

struct differences {
	LIST_OF(struct difference) all;
};

static bool is_renamed(const struct difference *difference)
{
	return difference->old != NULL && difference->new != NULL &&
	       strcmp(difference->old->name, difference->new->name) != 0;
}

static void collect(void *ctx, const struct object *old, const struct object *new)
{
	struct differences *differences = ctx;

	*(struct difference *)APPEND(differences->all) = (struct difference){old, new, NULL};
}

static void leave_name(struct fragments *fragments, struct difference *difference)
{
	struct key key =
		key_of(SLOT_KIND, difference->old->noun->id, difference->old->name);

	difference->slot = table_find(&fragments->slots, &key);
	if (difference->slot != NULL)
		table_remove(&fragments->slots, difference->slot);
}

// Whoever has it still is gone: what was his ends first.
static void take_name(struct fragments *fragments, struct difference *difference)
{
	struct key key =
		key_of(SLOT_KIND, difference->new->noun->id, difference->new->name);
	struct slot *slot = difference->slot, *before = table_find(&fragments->slots, &key);

	if (before != NULL) {
		table_remove(&fragments->slots, before);
		before->nameless = true;
		if (before->marked)
			STAILQ_REMOVE(&fragments->marked, before, slot, next);
		before->marked = true;
		STAILQ_INSERT_HEAD(&fragments->marked, before, next);
	}
	if (slot == NULL)
		return;
	slot->key = key;
	table_add(&fragments->slots, slot);
}

// Names may go round in a circle.
static void rename_slots(struct fragments *fragments, const struct differences *differences)
{
	struct difference *each = differences->all.item;
	unsigned int count = differences->all.count;

	for (unsigned int i = 0; i < count; i++)
		if (is_renamed(&each[i]))
			leave_name(fragments, &each[i]);
	for (unsigned int i = 0; i < count; i++)
		if (is_renamed(&each[i]))
			take_name(fragments, &each[i]);
}

void fragments_update(struct fragments *fragments, struct publication *publication,
	void (*renamed)(void *ctx, const struct object *old, const struct object *new), void *ctx)
{
	struct publication *before = fragments->publication;
	struct differences differences = {0};

	fragments->publication = publication_ref(publication);
	model_compare(before != NULL ? before->model : NULL, publication->model, collect,
		&differences);
	rename_slots(fragments, &differences);
	for (unsigned int i = 0; i < differences.all.count; i++) {
		const struct difference *difference = &differences.all.item[i];
		const struct object *old = difference->old, *new = difference->new,
				    *object = new != NULL ? new : old;
		// One that is gone, and whose name is another's, has been marked.
		if (object->noun->realise != NULL &&
			(new != NULL || model_find(publication->model, old->noun->id, old->name) == NULL))
			mark_own(fragments, object);
		mark_name(fragments, object);
		if (!is_renamed(difference))
			continue;
		mark_name(fragments, old);
		if (renamed != NULL)
			renamed(ctx, old, new);
	}
	free(differences.all.item);
	publication_unref(before);
}

// --- building ------------------------------------------------------------------------------------------

static void forget_uses(struct fragments *fragments, struct slot *slot)
{
	struct use *use;

	while ((use = LIST_FIRST(&slot->uses)) != NULL) {
		struct input *input = use->input;
		LIST_REMOVE(use, at_slot);
		LIST_REMOVE(use, at_input);
		free(use);
		if (LIST_EMPTY(&input->uses)) {
			table_remove(&fragments->inputs, input);
			free(input);
		}
	}
}

static void looked(void *ctx, enum input_kind kind, enum noun_id noun, const char *name)
{
	struct fragments *fragments = ctx;
	struct slot *slot = fragments->building;
	struct key key = key_of(kind, noun, name);
	struct input *input = table_find(&fragments->inputs, &key);
	struct use *use;

	// Asked for twice; a fragment has few inputs.
	LIST_FOREACH (use, &slot->uses, at_slot)
		if (use->input == input)
			return;
	if (input == NULL) {
		input = must(calloc(1, sizeof(*input)));
		input->key = key;
		LIST_INIT(&input->uses);
		table_add(&fragments->inputs, input);
	}
	use = must(calloc(1, sizeof(*use)));
	use->input = input;
	use->slot = slot;
	LIST_INSERT_HEAD(&input->uses, use, at_input);
	LIST_INSERT_HEAD(&slot->uses, use, at_slot);
}

static const struct fragment *build(
	struct fragments *fragments, struct slot *slot, const struct object *object)
{
	const struct realise_hooks hooks = {looked, intern, fragments};

	fragments->building = slot;
	const struct fragment *fragment = fragment_build(fragments->publication->model,
		fragments->publication->ids, fragments->node, object, &hooks);
	fragments->building = NULL;
	fragments->built++;
	count_sets(fragments, fragment, 1);
	if (!fragment_empty(fragment))
		return fragment;
	fragment_unref(fragment);
	return NULL;
}

static void slot_free(struct fragments *fragments, struct slot *slot)
{
	forget_uses(fragments, slot);
	if (!slot->nameless)
		table_remove(&fragments->slots, slot);
	object_unref(slot->object);
	free(slot);
}

bool fragments_next(
	struct fragments *fragments, const struct fragment **old, const struct fragment **new)
{
	struct slot *slot = STAILQ_FIRST(&fragments->marked);

	fragment_unref(fragments->released);
	fragments->released = NULL;
	if (slot == NULL)
		return false;
	STAILQ_REMOVE_HEAD(&fragments->marked, next);
	slot->marked = false;
	forget_uses(fragments, slot);
	const struct object *object =
		slot->nameless ? NULL
			       : model_find(fragments->publication->model, slot->object->noun->id,
					 slot->object->name);
	object_unref(fragments->last);
	fragments->last = object_ref(slot->object);
	fragments->last_nameless = slot->nameless;
	const struct fragment *before = slot->fragment,
			      *after = object != NULL ? build(fragments, slot, object) : NULL;
	if (before != NULL && after != NULL && fragment_equal(before, after)) {
		// Who borrows from the old one goes on doing so.
		count_sets(fragments, after, -1);
		fragment_unref(after);
		after = before;
	} else if (before != NULL) {
		count_sets(fragments, before, -1);
		fragments->released = before;
	}
	fragments->changed += before != after;
	slot->fragment = after;
	*old = before;
	*new = after;
	if (object == NULL)
		slot_free(fragments, slot);
	return true;
}

const struct object *fragments_object(const struct fragments *fragments, bool *nameless)
{
	*nameless = fragments->last_nameless;
	return fragments->last;
}

bool fragments_pending(const struct fragments *fragments)
{
	return !STAILQ_EMPTY(&fragments->marked);
}

// --- looking -------------------------------------------------------------------------------------------

const struct publication *fragments_publication(const struct fragments *fragments)
{
	return fragments->publication;
}

struct each {
	void (*visit)(void *ctx, const struct fragment *fragment);
	void *ctx;
};

static void visit_slot(void *ctx, void *entry)
{
	const struct each *each = ctx;
	const struct slot *slot = entry;

	if (slot->fragment != NULL)
		each->visit(each->ctx, slot->fragment);
}

void fragments_each(const struct fragments *fragments,
	void (*visit)(void *ctx, const struct fragment *fragment), void *ctx)
{
	struct each each = {visit, ctx};

	table_each(&fragments->slots, visit_slot, &each);
}

const struct fragment *fragments_find(const struct fragments *fragments, int noun, const char *name)
{
	struct key key = key_of(SLOT_KIND, (enum noun_id)noun, name);
	const struct slot *slot = table_find(&fragments->slots, &key);

	return slot != NULL ? slot->fragment : NULL;
}

static void add_up(void *ctx, const struct fragment *fragment)
{
	struct fragments_counters *counters = ctx;

	counters->held++;
	counters->bytes += fragment_bytes(fragment);
}

static void count_shared(void *ctx, void *entry)
{
	unsigned int *count = ctx;

	for (const struct shared *shared = entry; shared != NULL; shared = shared->more)
		++*count;
}

void fragments_counters(const struct fragments *fragments, struct fragments_counters *counters)
{
	*counters = (struct fragments_counters){
		.built = fragments->built, .changed = fragments->changed};
	fragments_each(fragments, add_up, counters);
	table_each(&fragments->sets, count_shared, &counters->sets);
}

struct comparison {
	const struct fragments *other;
	const char *difference;
};

static void compare(void *ctx, const struct fragment *fragment)
{
	struct comparison *comparison = ctx;
	const struct fragment *theirs =
		fragments_find(comparison->other, (int)fragment->key.noun, fragment->key.name);

	if (theirs == NULL || !fragment_equal(fragment, theirs))
		comparison->difference = fragment->key.name;
}

bool fragments_equal(const struct fragments *a, const struct fragments *b, const char **difference)
{
	struct comparison comparison = {.other = b};

	fragments_each(a, compare, &comparison);
	comparison.other = a;
	fragments_each(b, compare, &comparison);
	*difference = comparison.difference;
	return comparison.difference == NULL;
}

// --- life ----------------------------------------------------------------------------------------------

struct fragments *fragments_create(const struct node_view *node)
{
	struct fragments *fragments = must(calloc(1, sizeof(*fragments)));

	fragments->node = node;
	fragments->slots = TABLE_OF(struct slot, key);
	fragments->inputs = TABLE_OF(struct input, key);
	fragments->sets = TABLE_OF(struct shared, digest);
	STAILQ_INIT(&fragments->marked);
	return fragments;
}

struct fragments *fragments_full(struct publication *publication, const struct node_view *node)
{
	struct fragments *fragments = fragments_create(node);
	const struct fragment *old, *new;

	fragments_update(fragments, publication, NULL, NULL);
	while (fragments_next(fragments, &old, &new))
		continue;
	return fragments;
}

static void free_slot(void *ctx, void *entry)
{
	struct slot *slot = entry;

	forget_uses(ctx, slot);
	fragment_unref(slot->fragment);
	object_unref(slot->object);
	free(slot);
}

static void free_shared(void *ctx, void *entry)
{
	for (struct shared *shared = entry, *more; shared != NULL; shared = more) {
		more = shared->more;
		policy_set_unref(shared->set);
		free(shared);
	}
}

void fragments_destroy(struct fragments *fragments)
{
	struct slot *slot;

	if (fragments == NULL)
		return;
	while ((slot = STAILQ_FIRST(&fragments->marked)) != NULL && slot->nameless) { // they are the first
		STAILQ_REMOVE_HEAD(&fragments->marked, next);
		free_slot(fragments, slot);
	}
	fragment_unref(fragments->released);
	object_unref(fragments->last);
	table_clear(&fragments->slots, free_slot, fragments);
	table_clear(&fragments->inputs, NULL, NULL);
	table_clear(&fragments->sets, free_shared, NULL);
	publication_unref(fragments->publication);
	free(fragments);
}
