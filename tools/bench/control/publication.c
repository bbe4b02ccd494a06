// SPDX-License-Identifier: BSD-3-Clause
// What a change of the configuration costs the route thread before anything is sent: fragments of N
// circuits with links, peerings, connections and vNets (../model/generate.h) are built from
// nothing, then follow single changes, 200 in a row, and 1,000 that come faster than they are
// taken. Thread CPU time; median, least and most of the runs.
//
//	bench-publication [CIRCUITS [RUNS]]		default 10000 5

#include "control/model/intent.h"
#include "control/publication.h"
#include "control/store/store.h"
#include "tools/bench/model/generate.h"

#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RUNS_MAX 64
#define ROW      200
#define FLOOD    1000

enum row { BUILD, CIRCUIT, VNET, IN_A_ROW, OVERTAKEN, ROWS };
static const char *const names[ROWS] = {"all fragments from nothing", "circuit set, one",
	"vnet set, one", "circuit set, 200 in a row", "circuit set, 1000 overtaking"};
static double ms[ROWS][RUNS_MAX];

static const char *const ports[] = {"wan0", "wan1", "wan2", "wan3", "core0"};
static const struct node_view node = {"ams1", 5, ports};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void stop(const char *what, const char *why)
{
	fprintf(stderr, "bench-publication: %s: %s\n", what, why);
	exit(1);
}

static struct publication *publish(struct model *model, struct ids *ids)
{
	struct publication *publication = calloc(1, sizeof(*publication));

	if (publication == NULL)
		abort();
	publication->references = 1;
	publication->model = model;
	publication->ids = ids;
	return publication;
}

// The store gives the ids; it is not measured here.
static struct publication *first(const char *text)
{
	char directory[] = "/tmp/bench-publication-XXXXXX", path[64], name[80];
	struct model_options options = {0};
	struct model *empty = model_create(&options), *model = NULL;
	struct findings findings = {0};
	struct api_error error = {0};
	struct store *store;
	struct ids *ids = NULL;
	uint64_t revision;

	if (mkdtemp(directory) == NULL)
		exit(1);
	snprintf(path, sizeof(path), "%s/store.db", directory);
	if (model_parse(empty, text, strlen(text), "bench", &model, &findings) != 0)
		stop("check", findings.item[0].message);
	const struct store_options store_options = {.path = path};
	const struct store_commit all = {
		.old = empty, .new = model, .actor = "bench", .verb = "bench"};
	if (store_open(&store, &store_options, &error) != 0 ||
		store_commit(store, &all, &revision, &ids, &error) != 0)
		stop("store", error.message);
	store_close(store);
	snprintf(name, sizeof(name), "%s.key", path);
	unlink(name);
	unlink(path);
	rmdir(directory);
	model_unref(empty);
	return publish(model, ids);
}

static struct publication *changed(
	const struct publication *old, const char *noun, const char *name, json_t *fields)
{
	json_t *changes = json_pack("[{s:s, s:s, s:s, s:o}]", "op", "set", "noun", noun, "name",
		name, "fields", fields);
	struct findings findings = {0};
	struct model *model = NULL;

	if (model_change(old->model, changes, &model, &findings) != 0)
		stop("change", findings.item[0].message);
	json_decref(changes);
	return publish(model, ids_ref(old->ids));
}

static struct publication *set_burst(
	const struct publication *old, unsigned int circuit, unsigned int burst)
{
	char name[32], text[16];

	snprintf(name, sizeof(name), "circuit-%05u", circuit);
	snprintf(text, sizeof(text), "%ums", burst);
	return changed(old, "circuit", name, json_pack("{s:s}", "burst", text));
}

// What the route thread does with a publication; ms of it.
static double take(struct fragments *fragments, struct publication *publication)
{
	const struct fragment *old, *new;
	double start = now();

	fragments_update(fragments, publication, NULL, NULL);
	while (fragments_next(fragments, &old, &new))
		continue;
	return now() - start;
}

static void measure(struct publication *begin, unsigned int circuits, int run)
{
	struct fragments *fragments = fragments_create(&node);
	struct publication_slot slot = {0};
	struct publication *current = publication_ref(begin), *next;

	ms[BUILD][run] = take(fragments, current);
	next = set_burst(current, circuits / 2, 60);
	ms[CIRCUIT][run] = take(fragments, next);
	publication_unref(current);
	current = next;
	next = changed(
		current, "vnet", "vnet-00000", json_pack("{s:[s]}", "prefixes", "10.8.0.0/16"));
	ms[VNET][run] = take(fragments, next);
	publication_unref(current);
	current = next;
	for (unsigned int i = 0; i < ROW; i++) {
		next = set_burst(current, i % circuits, 70);
		ms[IN_A_ROW][run] += take(fragments, next);
		publication_unref(current);
		current = next;
	}
	for (unsigned int i = 0; i < FLOOD; i++) {
		next = set_burst(current, i % circuits, 80);
		publication_put(&slot, publication_ref(next));
		publication_unref(current);
		current = next;
	}
	next = publication_take(&slot);
	if (next != current || next->references != 2)
		stop("slot", "it does not hold the newest alone");
	ms[OVERTAKEN][run] = take(fragments, next);
	publication_unref(next);
	publication_unref(current);
	if (run == 0) {
		struct fragments_counters counters;
		fragments_counters(fragments, &counters);
		printf("%u fragments of %.0f bytes on average, %u shared sets of rules\n",
			counters.held, (double)counters.bytes / counters.held, counters.sets);
	}
	fragments_destroy(fragments);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	unsigned int circuits = argc > 1 ? (unsigned int)atoi(argv[1]) : 10000;
	int runs = argc > 2 ? atoi(argv[2]) : 5;

	if (circuits < 1 || circuits > 64000 || runs < 1 || runs > RUNS_MAX) {
		fprintf(stderr, "usage: bench-publication [CIRCUITS 1..64000 [RUNS 1..%d]]\n",
			RUNS_MAX);
		return 2;
	}
	char *text = bench_configuration(circuits);
	struct publication *begin = first(text);
	for (int run = 0; run < runs; run++)
		measure(begin, circuits, run);
	printf("%u circuits and vNets, %d runs, ms of thread CPU time\n", circuits, runs);
	printf("%-30s %10s %10s %10s\n", "", "median", "min", "max");
	for (int row = 0; row < ROWS; row++) {
		qsort(ms[row], (size_t)runs, sizeof(double), compare);
		printf("%-30s %10.3f %10.3f %10.3f\n", names[row], ms[row][runs / 2], ms[row][0],
			ms[row][runs - 1]);
	}
	publication_unref(begin);
	free(text);
	return 0;
}
