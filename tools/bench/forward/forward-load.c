// SPDX-License-Identifier: BSD-3-Clause
// forward-load: what tools/bench/forward/forward feeds a data plane with. One row of the benchmark (row.h), given to
//
//	forward-load pcap FILE ROW...      writes the frames of its flows,
//	forward-load routes ROW...         prints the routes of its first circuit, for a peer's tables,
//	forward-load load SOCKET ROW...    is a controller that sets up its interfaces, limiters and routes,
//	forward-load tsc                   prints the TSC's frequency in Hz,
//
// so that every frame has a circuit to come in on and a route to leave by. Row: --circuits N --routes N --flows N
// --seed N --pairs N --pair N [--internal] [--zipf] [--imix] [--decap] [--check]

#include "tools/bench/forward/row.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

static int print_tsc(void)
{
	struct timespec a, b;
	uint64_t start, end, ns;

	clock_gettime(CLOCK_MONOTONIC_RAW, &a);
	start = __rdtsc();
	do {
		clock_gettime(CLOCK_MONOTONIC_RAW, &b);
		end = __rdtsc();
		ns = (uint64_t)(b.tv_sec - a.tv_sec) * 1000000000 + (uint64_t)b.tv_nsec -
		     (uint64_t)a.tv_nsec;
	} while (ns < 200000000);
	printf("%.0f\n", (double)(end - start) * 1e9 / (double)ns);
	return 0;
}

static int print_routes(const struct row *row)
{
	uint64_t state = circuit_seed(row, 0);

	for (uint32_t r = 0; r < row->routes; r++) {
		struct prefix p = random_prefix(row, 0, &state);
		printf("%u.%u.%u.%u/%u\n", p.addr >> 24, p.addr >> 16 & 255, p.addr >> 8 & 255,
			p.addr & 255, p.len);
	}
	return 0;
}

static int usage(void)
{
	fprintf(stderr, "usage: forward-load pcap FILE|routes|load SOCKET --circuits N --routes N "
			"--flows N --seed N --pairs N --pair N [--internal] [--zipf] "
			"[--imix] [--decap] [--check]\n"
			"       forward-load tsc\n");
	return 2;
}

static int read_row(int argc, char **argv, struct row *row)
{
	const struct option options[] = {{"circuits", 1, NULL, 'c'}, {"routes", 1, NULL, 'r'},
		{"flows", 1, NULL, 'f'}, {"pairs", 1, NULL, 'n'}, {"pair", 1, NULL, 'p'},
		{"seed", 1, NULL, 's'}, {"imix", 0, &row->imix, 1}, {"decap", 0, &row->decap, 1},
		{"check", 0, &row->check, 1}, {"zipf", 0, &row->zipf, 1},
		{"internal", 0, &row->internal, 1}, {0}};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		uint64_t value = optarg != NULL ? strtoull(optarg, NULL, 10) : 0;

		if (option == '?')
			return -1;
		if (option == 'c')
			row->circuits = (uint32_t)value;
		if (option == 'r')
			row->routes = (uint32_t)value;
		if (option == 'f')
			row->flows = (uint32_t)value;
		if (option == 'n')
			row->pairs = (uint32_t)value;
		if (option == 'p')
			row->pair = (uint32_t)value;
		if (option == 's')
			row->seed = value;
	}
	if (row->circuits == 0 || row->circuits > 1000000 || row->routes == 0 ||
		row->flows < row->circuits || row->pairs == 0 || row->pairs > 16 ||
		row->pair >= row->pairs)
		return -1;
	return 0;
}

int main(int argc, char **argv)
{
	struct row row = {.circuits = 1, .routes = 1000, .flows = 1024, .pairs = 1, .seed = 1};

	if (read_row(argc, argv, &row) != 0 || optind == argc)
		return usage();
	const char *verb = argv[optind], *path = argv[optind + 1];
	if (strcmp(verb, "tsc") == 0)
		return print_tsc();
	if (strcmp(verb, "routes") == 0)
		return print_routes(&row);
	if (path == NULL)
		return usage();
	if (strcmp(verb, "load") == 0)
		return load(path, &row);
	if (strcmp(verb, "pcap") != 0)
		return usage();
	if (write_pcap(path, &row) != 0) {
		perror(path);
		return 1;
	}
	return 0;
}
