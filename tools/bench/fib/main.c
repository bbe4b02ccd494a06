/* SPDX-License-Identifier: BSD-3-Clause */
// fib-bench: the FIB beside DPDK's tables and a 16-8-8 mtrie, in one run. Text on stdout, figures
// as CSV, and a picture. Verdicts against the targets are ratios within the run, so they hold on a
// shared machine as long as the load is the same for all; absolute figures are this machine's.

#include "tools/bench/fib/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint64_t memory_available(void)
{
	FILE *file = fopen("/proc/meminfo", "r");
	char line[128];
	unsigned long long kb = 0;
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %llu kB", &kb) == 1)
			break;
	if (file)
		fclose(file);
	return kb * 1024;
}

static const struct {
	const char *name;
	void (*run)(const struct options *o);
} sections[] = {
	{"memory", bench_memory},
	{"lookup", bench_lookup},
	{"update", bench_update},
	{"concurrent", bench_concurrent},
	{"ipv6", bench_ipv6},
};

static void usage(void)
{
	printf("usage: fib-bench [-q] [-s SECTION] [-v VRFS] [-c CSV] [-p SVG]\n"
	       "  -q  quick: without the 1M-route tables and with at most 1,000 VRFs\n"
	       "  -s  one of: memory lookup update concurrent ipv6\n"
	       "  -v  most VRFs of the large cases (10000)\n"
	       "  -c  figures as CSV      -p  picture of memory and rate against the number of "
	       "VRFs\n");
}

int main(int argc, char **argv)
{
	struct options o = {.vrfs = 10000};
	const char *csv = NULL, *svg = NULL;
	for (int opt; (opt = getopt(argc, argv, "qs:v:c:p:h")) != -1;) {
		switch (opt) {
		case 'q':
			o.quick = true;
			o.vrfs = o.vrfs > 1000 ? 1000 : o.vrfs;
			break;
		case 's':
			o.only = optarg;
			break;
		case 'v':
			o.vrfs = (unsigned)atoi(optarg);
			break;
		case 'c':
			csv = optarg;
			break;
		case 'p':
			svg = optarg;
			break;
		default:
			usage();
			return opt == 'h' ? 0 : 2;
		}
	}
	if (peers_init() != 0) {
		fprintf(stderr, "EAL did not start\n");
		return 1;
	}
	struct fib *probe = fib_create(1, 1 << 21, NULL);
	static const char *const isas[] = {"portable", "AVX2", "AVX-512"};
	printf("fib-bench: code %s, %.1f GB available\n", isas[fib_isa(probe)],
		(double)memory_available() / 1e9);
	fib_free(probe);
	for (unsigned i = 0; i < sizeof(sections) / sizeof(sections[0]); i++)
		if (!o.only || !strcmp(o.only, sections[i].name))
			sections[i].run(&o);
	if ((csv && report_csv(csv) != 0) || (svg && report_svg(svg) != 0)) {
		perror("fib-bench");
		return 1;
	}
	return 0;
}
