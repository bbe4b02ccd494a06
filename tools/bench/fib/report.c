/* SPDX-License-Identifier: BSD-3-Clause */
// Figures as they come: a line of text each, kept for the CSV file and the picture.

#include "tools/bench/fib/bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIGURES 512u

static struct figure figures[FIGURES];
static unsigned n_figures;

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

const struct figure *report_find(const char *section, const char *what, const char *who)
{
	for (unsigned i = 0; i < n_figures; i++)
		if (!strcmp(figures[i].section, section) && !strcmp(figures[i].what, what) &&
			(!who || !strcmp(figures[i].who, who)))
			return &figures[i];
	return NULL;
}

void report(const char *section, const char *what, const char *who, const char *unit,
	double *values, unsigned n)
{
	if (n_figures == FIGURES || n == 0)
		return;
	qsort(values, n, sizeof(*values), by_value);
	const struct figure *first = report_find(section, what, NULL);
	struct figure *f = &figures[n_figures++];
	snprintf(f->section, sizeof(f->section), "%s", section);
	snprintf(f->what, sizeof(f->what), "%s", what);
	snprintf(f->who, sizeof(f->who), "%s", who);
	snprintf(f->unit, sizeof(f->unit), "%s", unit);
	f->median = values[n / 2];
	f->min = values[0];
	f->max = values[n - 1];
	f->ratio = first ? f->median / first->median : 1;
	printf("  %-34s %-16s %12.6g %-9s", what, who, f->median, unit);
	if (n > 1)
		printf(" [%.4g..%.4g]", f->min, f->max);
	if (first)
		printf("  x%.3g", f->ratio);
	printf("\n");
	fflush(stdout);
}

void report_one(
	const char *section, const char *what, const char *who, const char *unit, double value)
{
	report(section, what, who, unit, &value, 1);
}

void report_heading(const char *text)
{
	printf("\n%s\n", text);
}

void report_verdict(const char *target, bool met, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	printf("  %s  %s: ", met ? "met   " : "MISSED", target);
	vprintf(format, args);
	printf("\n");
	fflush(stdout);
	va_end(args);
}

int report_csv(const char *path)
{
	FILE *file = fopen(path, "w");
	if (!file)
		return -1;
	fprintf(file, "section,case,contender,unit,median,min,max,ratio\n");
	for (unsigned i = 0; i < n_figures; i++) {
		const struct figure *f = &figures[i];
		fprintf(file, "%s,\"%s\",\"%s\",%s,%.6g,%.6g,%.6g,%.4g\n", f->section, f->what,
			f->who, f->unit, f->median, f->min, f->max, f->ratio);
	}
	return fclose(file);
}
