// SPDX-License-Identifier: BSD-3-Clause
// What the model and the store cost at scale: a configuration of N circuits (each with two links, a peering, a
// connection and a vNet with two tunnels) is checked, checked again unchanged, shown, changed by one field,
// committed and loaded. Thread CPU time; median, least and most of the runs.
//
//	bench-model [CIRCUITS [RUNS]]		default 10000 5

#include "control/model/model.h"
#include "control/store/store.h"
#include "tools/bench/model/generate.h"

#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RUNS_MAX 64

enum row { CHECK, AGAIN, SHOW, CHANGE, COMMIT, COMMIT_ONE, LOAD, ROWS };
static const char *const names[ROWS] = {"config check, all new", "config check, unchanged",
	"config show", "change of one circuit", "commit of all (fsync apart)",
	"commit of one (fsync apart)", "load from the store"};

static double ms[ROWS][RUNS_MAX];

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void stop(const char *what, const struct findings *findings, const struct api_error *error)
{
	fprintf(stderr, "bench-model: %s: %s\n", what,
		findings->count ? findings->item[0].message : error->message);
	exit(1);
}

static void measure_store(
	const struct model *empty, const struct model *model, const struct model *changed, int run)
{
	char directory[] = "/tmp/bench-model-XXXXXX", path[64], name[80];
	struct findings findings = {0};
	struct api_error error = {0};
	struct store_state state;
	struct store *store;
	struct ids *ids;
	uint64_t revision;

	if (!mkdtemp(directory))
		exit(1);
	snprintf(path, sizeof(path), "%s/store.db", directory);
	struct store_options options = {.path = path};
	if (store_open(&store, &options, &error))
		stop("store", &findings, &error);
	struct store_commit all = {.old = empty, .new = model, .actor = "bench", .verb = "bench"};
	double start = now();
	if (store_commit(store, &all, &revision, &ids, &error))
		stop("commit", &findings, &error);
	ms[COMMIT][run] = now() - start;
	ids_unref(ids);
	struct store_commit one = {.old = model, .new = changed, .actor = "bench", .verb = "bench"};
	start = now();
	if (store_commit(store, &one, &revision, &ids, &error))
		stop("commit", &findings, &error);
	ms[COMMIT_ONE][run] = now() - start;
	ids_unref(ids);
	store_close(store);
	start = now();
	if (store_open(&store, &options, &error) || store_load(store, &state, &findings, &error))
		stop("load", &findings, &error);
	ms[LOAD][run] = now() - start;
	model_unref(state.model);
	ids_unref(state.ids);
	store_close(store);
	snprintf(name, sizeof(name), "%s.key", path);
	unlink(name);
	unlink(path);
	rmdir(directory);
}

static void measure(const char *text, int run)
{
	struct model_options options = {0};
	struct model *empty = model_create(&options), *model = NULL, *same = NULL, *changed = NULL;
	struct findings findings = {0};
	struct api_error error = {0};

	double start = now();
	if (model_parse(empty, text, strlen(text), "bench", &model, &findings))
		stop("check", &findings, &error);
	ms[CHECK][run] = now() - start;
	start = now();
	if (model_parse(model, text, strlen(text), "bench", &same, &findings) || same != model)
		stop("check again", &findings, &error);
	ms[AGAIN][run] = now() - start;
	start = now();
	free(model_yaml(model));
	ms[SHOW][run] = now() - start;
	json_t *changes = json_pack("[{s:s, s:s, s:s, s:{s:s}}]", "op", "set", "noun", "circuit",
		"name", "circuit-00000", "fields", "bandwidth", "1gbps");
	start = now();
	if (model_change(model, changes, &changed, &findings))
		stop("change", &findings, &error);
	ms[CHANGE][run] = now() - start;
	json_decref(changes);
	measure_store(empty, model, changed, run);
	model_unref(changed);
	model_unref(same);
	model_unref(model);
	model_unref(empty);
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
		fprintf(stderr, "usage: bench-model [CIRCUITS 1..64000 [RUNS 1..%d]]\n", RUNS_MAX);
		return 2;
	}
	char *text = bench_configuration(circuits);
	for (int run = 0; run < runs; run++)
		measure(text, run);
	printf("%u circuits, %.1f MB of YAML, %d runs, ms of thread CPU time\n", circuits,
		(double)strlen(text) / 1e6, runs);
	printf("%-30s %10s %10s %10s\n", "", "median", "min", "max");
	for (int row = 0; row < ROWS; row++) {
		qsort(ms[row], (size_t)runs, sizeof(double), compare);
		printf("%-30s %10.2f %10.2f %10.2f\n", names[row], ms[row][runs / 2], ms[row][0],
			ms[row][runs - 1]);
	}
	free(text);
	return 0;
}
