/* SPDX-License-Identifier: BSD-3-Clause */
// The picture for docs/performance.md: memory and lookup rate against the number of VRFs of 4,000
// routes. What was measured in the run is drawn with dots; what does not fit in memory is computed,
// dashed, and has no rate.

#include "tools/bench/fib/bench.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define PANEL_W 360.0
#define PANEL_H 260.0
#define TOP     60.0
#define POINTS  4u

static const unsigned vrfs[POINTS] = {1, 24, 1000, 10000};

static const struct {
	const char *who, *memory, *colour;
	double bytes; // per VRF, where it was not measured
} lines[] = {
	{"culvert", "culvert", "#1f6fb2", 0},
	{"mtrie x4", "mtrie 16-8-8", "#c4571b", 2.1e6},
	{"rte_lpm", "rte_lpm", "#5b8c3e", 67.1e6},
	{"rte_fib scalar", "", "#8b5fa8", 67.1e6},
};

static double rate_of(unsigned i, const char *who)
{
	char what[48];
	snprintf(what, sizeof(what), vrfs[i] == 1 ? "1 VRF, 4k, uniform" : "%u VRFs, 4k, uniform",
		vrfs[i]);
	const struct figure *f = report_find("lookup", what, who);
	return f ? f->median : 0;
}

// MB; *measured tells whether it was.
static double memory_of(unsigned i, unsigned line, bool *measured)
{
	char what[48];
	snprintf(what, sizeof(what), "%u VRFs, 4k, zipf", vrfs[i]);
	const struct figure *f = report_find("lookup-memory", what, lines[line].memory);
	if (!f && vrfs[i] == 1) { // a 24th of that of 24
		f = report_find("lookup-memory", "24 VRFs, 4k, zipf", lines[line].memory);
		*measured = f != NULL;
		return f ? f->median / 24 : lines[line].bytes / 1e6;
	}
	*measured = f != NULL;
	return f ? f->median : vrfs[i] * lines[line].bytes / 1e6;
}

static double x_of(double left, unsigned i)
{
	return left + PANEL_W * log10(vrfs[i]) / 4;
}

static double y_of(double part)
{
	return TOP + PANEL_H * (1 - part);
}

static void axes(
	FILE *out, double left, const char *title, double low, double high, bool logarithmic)
{
	fprintf(out, "<text x=\"%.0f\" y=\"%.0f\" font-weight=\"bold\">%s</text>\n", left, TOP - 24,
		title);
	for (unsigned i = 0; i <= 4; i++) {
		double y = y_of(i / 4.0), value = low + (high - low) * i / 4;
		fprintf(out,
			"<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>\n",
			left, y, left + PANEL_W, y);
		fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>\n",
			left - 6, y + 4, logarithmic ? pow(10, value) : value);
	}
	for (unsigned i = 0; i < POINTS; i++)
		fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%u</text>\n",
			x_of(left, i), TOP + PANEL_H + 18, vrfs[i]);
	fprintf(out,
		"<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">VRFs of 4,000 routes</text>\n",
		left + PANEL_W / 2, TOP + PANEL_H + 36);
}

static void segment(
	FILE *out, double x0, double y0, double x1, double y1, const char *colour, bool dashed)
{
	fprintf(out,
		"<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" "
		"stroke-width=\"2\"%s/>\n",
		x0, y0, x1, y1, colour, dashed ? " stroke-dasharray=\"5 4\"" : "");
}

static void dot(FILE *out, double x, double y, const char *colour)
{
	fprintf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" fill=\"%s\"/>\n", x, y, colour);
}

static void memory_panel(FILE *out, double left)
{
	const double low = -2, high = 6; // 10 kB to 1 TB
	axes(out, left, "Forwarding memory, MB (both axes logarithmic)", low, high, true);
	for (unsigned k = 0; k < 3; k++) { // rte_fib's is rte_lpm's
		double last_y = 0;
		for (unsigned i = 0; i < POINTS; i++) {
			bool measured;
			double mb = memory_of(i, k, &measured),
			       y = y_of((log10(mb) - low) / (high - low));
			if (mb <= 0)
				break;
			if (i)
				segment(out, x_of(left, i - 1), last_y, x_of(left, i), y,
					lines[k].colour, !measured);
			if (measured)
				dot(out, x_of(left, i), y, lines[k].colour);
			last_y = y;
		}
	}
}

static void rate_panel(FILE *out, double left)
{
	double high = 0;
	for (unsigned k = 0; k < 4; k++)
		for (unsigned i = 0; i < POINTS; i++)
			high = fmax(high, rate_of(i, lines[k].who));
	high = ceil(high / 40) * 40;
	axes(out, left, "Lookups, millions per second and core, random VRF per packet", 0, high,
		false);
	for (unsigned k = 0; k < 4; k++)
		for (unsigned i = 0; i < POINTS; i++) {
			double rate = rate_of(i, lines[k].who),
			       before = i ? rate_of(i - 1, lines[k].who) : 0;
			if (rate <= 0)
				break;
			if (i)
				segment(out, x_of(left, i - 1), y_of(before / high), x_of(left, i),
					y_of(rate / high), lines[k].colour, false);
			dot(out, x_of(left, i), y_of(rate / high), lines[k].colour);
		}
}

int report_svg(const char *path)
{
	FILE *out = fopen(path, "w");
	if (!out)
		return -1;
	fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"940\" height=\"400\" "
		     "font-family=\"sans-serif\" font-size=\"12\">\n"
		     "<rect width=\"940\" height=\"400\" fill=\"white\"/>\n");
	memory_panel(out, 70);
	rate_panel(out, 540);
	for (unsigned k = 0; k < 4; k++) {
		double x = 70 + 200 * k;
		segment(out, x, 384, x + 24, 384, lines[k].colour, false);
		fprintf(out, "<text x=\"%.0f\" y=\"388\">%s</text>\n", x + 30,
			k == 2 ? "rte_lpm (memory: rte_fib too)" : lines[k].who);
	}
	fprintf(out, "</svg>\n");
	return fclose(out);
}
