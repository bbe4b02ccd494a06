// SPDX-License-Identifier: BSD-3-Clause
// What the model and the store cost at scale: a configuration of N circuits (each with two links, a peering, a
// connection and a vNet with two tunnels) is checked, checked again unchanged, shown, changed by one field,
// committed and loaded. Thread CPU time; median, least and most of the runs.
//
//	bench-model [CIRCUITS [RUNS]]		default 10000 5

#include "control/model/model.h"
#include "control/store/store.h"

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

static char *generate(unsigned int circuits)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	fprintf(out, "version: 1\nedges:\n");
	for (int e = 1; e <= 2; e++) {
		fprintf(out, "- name: ams%d\n  ports:\n", e);
		for (int p = 0; p < 4; p++)
			fprintf(out, "  - name: wan%d\n    faces: customer\n", p);
		fprintf(out, "  - name: core0\n    faces: core\n    address: 192.0.2.%d/24\n", e);
	}
	fprintf(out, "customers:\n");
	for (unsigned int i = 0; i <= circuits / 10; i++)
		fprintf(out, "- name: customer-%05u\n", i);
	fprintf(out, "circuits:\n");
	for (unsigned int i = 0; i < circuits; i++) {
		fprintf(out, "- name: circuit-%05u\n  customer: customer-%05u\n", i, i / 10);
		fprintf(out,
			"  service-key: 00000000-0000-4000-8000-%012u\n  bandwidth: 100mbps\n  "
			"links:\n",
			i);
		for (int e = 1; e <= 2; e++)
			fprintf(out,
				"  - role: %s\n    edge: ams%d\n    port: wan%u\n    outer-tag: "
				"%u\n    inner-tag: %u\n",
				e == 1 ? "primary" : "secondary", e, i % 4, i / 4 % 4000 + 1,
				i / 16000 + 1);
		fprintf(out, "  peerings:\n  - type: private\n    primary-subnet: 169.254.10.0/30\n"
			     "    secondary-subnet: 169.254.10.4/30\n    peer-asn: 65001\n    "
			     "local-asn: 64900\n");
		fprintf(out, "  connections:\n  - vnet: vnet-%05u\n", i);
	}
	fprintf(out, "vnets:\n");
	for (unsigned int i = 0; i < circuits; i++) {
		fprintf(out,
			"- name: vnet-%05u\n  customer: customer-%05u\n  prefixes: [10.9.0.0/16]\n "
			" tunnels:\n",
			i, i / 10);
		for (int e = 1; e <= 2; e++)
			fprintf(out,
				"  - {edge: ams%d, gateway: 192.0.2.%u, local: 192.0.2.%d, key: "
				"%u}\n",
				e, 40 + i % 8, e, i);
	}
	fclose(out);
	return text;
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
	char *text = generate(circuits);
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
