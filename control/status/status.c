// SPDX-License-Identifier: BSD-3-Clause
// Entries stand in one hash table by (kind, name). Those with a problem stand in the list of its cause, which is their
// kind, state and reason; causes stand in two lists, errors and warnings, in the order in which they came. All of that and
// counts by kind and level are kept as entries change, so that `status` costs its causes and not the edge.

#include "control/status/status.h"

#include "control/base/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

struct item {
	struct entry entry;
	struct {
		uint32_t kind;
		char name[STATUS_NAME_MAX];
	} key; // zero behind the name: compared as bytes
	struct status status;
	char *reason, *hint;
	uint64_t mark;       // of the last set
	struct cause *cause; // NULL = no problem
	TAILQ_ENTRY(item) problem;
};

TAILQ_HEAD(items, item);

struct cause {
	struct entry entry;
	struct cause_key {
		uint32_t kind, level;
		uint64_t state, reason; // hashes
	} key;
	struct items items;
	unsigned int count;
	TAILQ_ENTRY(cause) next;
};

// How many of a kind are in one state.
struct in_state {
	struct entry entry;
	struct state_key {
		uint32_t kind;
		char state[24];
	} key; // zero behind the word
	unsigned int count;
};

struct statuses {
	struct table items;
	struct table causes;
	TAILQ_HEAD(causes, cause) problems[STATUS_LEVELS]; // ERROR and WARNING are used
	unsigned int count[STATUS_KIND_COUNT][STATUS_LEVELS];
	struct table states; // struct in_state
	uint64_t mark;
	status_watcher watcher;
	void *ctx;
};

const char *status_kind_name(enum status_kind kind)
{
#define STATUS_KIND_NAME(symbol, name) name,
	static const char *const names[] = {STATUS_KINDS(STATUS_KIND_NAME)};
#undef STATUS_KIND_NAME
	return names[kind];
}

struct statuses *statuses_create(void)
{
	struct statuses *statuses = calloc(1, sizeof(*statuses));

	if (statuses == NULL)
		return NULL;
	statuses->items = TABLE_OF(struct item, key);
	statuses->states = TABLE_OF(struct in_state, key);
	statuses->causes = TABLE_OF(struct cause, key);
	for (unsigned int i = 0; i < STATUS_LEVELS; i++)
		TAILQ_INIT(&statuses->problems[i]);
	return statuses;
}

static void free_item(void *ctx, void *entry)
{
	struct item *item = entry;
	free(item->reason);
	free(item->hint);
	free(item);
}

static void free_entry(void *ctx, void *entry)
{
	free(entry);
}

void statuses_destroy(struct statuses *statuses)
{
	if (statuses == NULL)
		return;
	table_clear(&statuses->items, free_item, NULL);
	table_clear(&statuses->states, free_entry, NULL);
	table_clear(&statuses->causes, free_entry, NULL);
	free(statuses);
}

void statuses_watch(struct statuses *statuses, status_watcher watcher, void *ctx)
{
	statuses->watcher = watcher;
	statuses->ctx = ctx;
}

static struct item *find(const struct statuses *statuses, enum status_kind kind, const char *name,
	struct item *wanted)
{
	memset(&wanted->key, 0, sizeof(wanted->key));
	wanted->key.kind = kind;
	snprintf(wanted->key.name, sizeof(wanted->key.name), "%s", name);
	return table_find(&statuses->items, &wanted->key);
}

static char *copy(const char *text)
{
	char *copied = strdup(text != NULL ? text : "");
	if (copied == NULL)
		abort();
	return copied;
}

static bool is_problem(enum status_level level)
{
	return level >= STATUS_WARNING;
}

static struct in_state *in_state(
	const struct statuses *statuses, enum status_kind kind, const char *state)
{
	struct state_key key = {.kind = kind};

	snprintf(key.state, sizeof(key.state), "%s", state);
	return table_find(&statuses->states, &key);
}

// By kind and level, and by state, of which there are as many entries as words.
static void count(struct statuses *statuses, const struct status *status, unsigned int change)
{
	struct in_state *counted = in_state(statuses, status->kind, status->state);

	if (counted == NULL) {
		counted = calloc(1, sizeof(*counted));
		if (counted == NULL)
			abort();
		counted->key.kind = status->kind;
		memcpy(counted->key.state, status->state, strlen(status->state));
		table_add(&statuses->states, counted);
	}
	counted->count += change;
	statuses->count[status->kind][status->level] += change;
}

static struct cause_key cause_of(const struct status *status)
{
	return (struct cause_key){
		.kind = status->kind,
		.level = status->level,
		.state = table_hash(status->state, strlen(status->state)),
		.reason = table_hash(status->reason, strlen(status->reason)),
	};
}

static struct cause *add_cause(struct statuses *statuses, const struct cause_key *key)
{
	struct cause *cause = calloc(1, sizeof(*cause));

	if (cause == NULL)
		abort();
	cause->key = *key;
	TAILQ_INIT(&cause->items);
	table_add(&statuses->causes, cause);
	TAILQ_INSERT_TAIL(&statuses->problems[key->level], cause, next);
	return cause;
}

static void join_cause(struct statuses *statuses, struct item *item)
{
	const struct cause_key key = cause_of(&item->status);

	if (!is_problem(item->status.level))
		return;
	item->cause = table_find(&statuses->causes, &key);
	if (item->cause == NULL)
		item->cause = add_cause(statuses, &key);
	TAILQ_INSERT_TAIL(&item->cause->items, item, problem);
	item->cause->count++;
}

static void leave_cause(struct statuses *statuses, struct item *item)
{
	struct cause *cause = item->cause;

	if (cause == NULL)
		return;
	item->cause = NULL;
	TAILQ_REMOVE(&cause->items, item, problem);
	if (--cause->count > 0)
		return;
	TAILQ_REMOVE(&statuses->problems[cause->key.level], cause, next);
	table_remove(&statuses->causes, cause);
	free(cause);
}

// With another state or reason. Whoever has it alone keeps its place in the list, unless it is another's, or as bad no more.
static void change_cause(struct statuses *statuses, struct item *item)
{
	const struct cause_key key = cause_of(&item->status);
	struct cause *cause = item->cause;

	if (cause != NULL && memcmp(&cause->key, &key, sizeof(key)) == 0)
		return;
	if (cause == NULL || cause->count > 1 || cause->key.level != key.level ||
		table_find(&statuses->causes, &key) != NULL) {
		leave_cause(statuses, item);
		join_cause(statuses, item);
		return;
	}
	table_remove(&statuses->causes, cause);
	cause->key = key;
	table_add(&statuses->causes, cause);
}

static struct item *add(struct statuses *statuses, const struct item *wanted)
{
	struct item *item = calloc(1, sizeof(*item));

	if (item == NULL)
		abort();
	item->key = wanted->key;
	item->status.kind = item->key.kind;
	item->status.name = item->key.name;
	table_add(&statuses->items, item);
	return item;
}

bool status_set(struct statuses *statuses, enum status_kind kind, const char *name,
	enum status_level level, const char *state, const char *reason, const char *hint)
{
	struct item wanted, *item = find(statuses, kind, name, &wanted);
	bool is_new = item == NULL;

	if (is_new)
		item = add(statuses, &wanted);
	item->mark = statuses->mark;
	if (!is_new && item->status.level == level && strcmp(item->status.state, state) == 0 &&
		strcmp(item->reason, reason != NULL ? reason : "") == 0 &&
		strcmp(item->hint, hint != NULL ? hint : "") == 0)
		return false;
	struct status old = item->status;
	char *old_reason = item->reason, *old_hint = item->hint;
	if (!is_new)
		count(statuses, &old, -1u);
	if (is_new || strcmp(old.state, state) != 0)
		item->status.since = (uint64_t)time(NULL);
	item->status.level = level;
	snprintf(item->status.state, sizeof(item->status.state), "%s", state);
	item->status.reason = item->reason = copy(reason);
	item->status.hint = item->hint = copy(hint);
	count(statuses, &item->status, 1);
	change_cause(statuses, item);
	if (statuses->watcher != NULL)
		statuses->watcher(statuses->ctx, is_new ? NULL : &old, &item->status);
	free(old_reason);
	free(old_hint);
	return true;
}

static void drop(struct statuses *statuses, struct item *item)
{
	count(statuses, &item->status, -1u);
	leave_cause(statuses, item);
	table_remove(&statuses->items, item);
	if (statuses->watcher != NULL)
		statuses->watcher(statuses->ctx, &item->status, NULL);
	free_item(NULL, item);
}

void status_clear(struct statuses *statuses, enum status_kind kind, const char *name)
{
	struct item wanted, *item = find(statuses, kind, name, &wanted);

	if (item != NULL)
		drop(statuses, item);
}

void statuses_rename(
	struct statuses *statuses, const struct status_rename *rename, unsigned int count)
{
	struct item **items = calloc(count + 1, sizeof(struct item *)), wanted;

	if (items == NULL)
		abort();
	for (unsigned int i = 0; i < count; i++) {
		items[i] = find(statuses, rename[i].kind, rename[i].from, &wanted);
		if (items[i] != NULL)
			table_remove(&statuses->items, items[i]);
	}
	for (unsigned int i = 0; i < count; i++) {
		if (items[i] == NULL)
			continue;
		struct item *other = find(statuses, rename[i].kind, rename[i].to, &wanted);
		if (other != NULL)
			drop(statuses, other);
		struct status old = items[i]->status;
		old.name = rename[i].from;
		items[i]->key = wanted.key;
		table_add(&statuses->items, items[i]);
		if (statuses->watcher != NULL)
			statuses->watcher(statuses->ctx, &old, &items[i]->status);
	}
	free(items);
}

uint64_t statuses_mark(struct statuses *statuses)
{
	return ++statuses->mark;
}

struct sweep {
	struct statuses *statuses;
	enum status_kind kind;
	uint64_t mark;
};

static void drop_unmarked(void *ctx, void *entry)
{
	const struct sweep *sweep = ctx;
	struct item *item = entry;

	if (item->status.kind == sweep->kind && item->mark < sweep->mark)
		drop(sweep->statuses, item);
}

void status_clear_unmarked(struct statuses *statuses, enum status_kind kind, uint64_t mark)
{
	struct sweep sweep = {statuses, kind, mark};
	table_each(&statuses->items, drop_unmarked, &sweep);
}

const struct status *status_get(
	const struct statuses *statuses, enum status_kind kind, const char *name)
{
	struct item wanted;
	const struct item *item = find(statuses, kind, name, &wanted);
	return item != NULL ? &item->status : NULL;
}

unsigned int status_count(
	const struct statuses *statuses, enum status_kind kind, enum status_level level)
{
	return statuses->count[kind][level];
}

unsigned int status_in_state(
	const struct statuses *statuses, enum status_kind kind, const char *state)
{
	const struct in_state *counted = in_state(statuses, kind, state);

	return counted != NULL ? counted->count : 0;
}

static unsigned int visit_cause(const struct cause *cause, unsigned int max,
	bool (*visit)(void *ctx, const struct status *status, unsigned int alike), void *ctx)
{
	const struct item *item = TAILQ_FIRST(&cause->items);
	unsigned int shown = 0;

	if (cause->count > STATUS_ALIKE)
		return visit(ctx, &item->status, cause->count - 1);
	for (; item != NULL && shown < max; item = TAILQ_NEXT(item, problem))
		shown += visit(ctx, &item->status, 0);
	return shown;
}

unsigned int status_problems(const struct statuses *statuses, unsigned int max,
	bool (*visit)(void *ctx, const struct status *status, unsigned int alike), void *ctx)
{
	const struct cause *cause;
	unsigned int shown = 0, all = 0;

	// What thousands of circuits suffer from is told before them.
	for (unsigned int pass = 0; pass < 2 * (STATUS_LEVELS - STATUS_WARNING); pass++) {
		bool circuits = pass % 2 == 1;
		TAILQ_FOREACH (cause, &statuses->problems[STATUS_LEVELS - 1 - pass / 2], next) {
			if (shown == max)
				break;
			if ((cause->key.kind == STATUS_CIRCUIT) == circuits)
				shown += visit_cause(cause, max - shown, visit, ctx);
		}
	}
	for (unsigned int kind = 0; kind < STATUS_KIND_COUNT; kind++)
		all += statuses->count[kind][STATUS_WARNING] + statuses->count[kind][STATUS_ERROR];
	return all;
}
