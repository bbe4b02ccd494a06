// SPDX-License-Identifier: BSD-3-Clause

// `circuit stats`: what was carried and limited, class by class, and the figures that explain why.

#include "tools/culvertctl/command.h"

#include "tools/culvertctl/table.h"

#include <jansson.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const directions[] = {"in", "out"};

// --- classes -------------------------------------------------------------------------------------------

static void class_row(struct table *table, const json_t *link, const char *direction,
	const char *class, const char *key)
{
	static const struct column columns[] = {
		{">PACKETS", "packets", SHOW_NUMBER},
		{">BYTES", "bytes", SHOW_NUMBER},
		{">LIMITED", "limited_packets", SHOW_NUMBER},
		{">LIMITED BYTES", "limited_bytes", SHOW_NUMBER},
		{0},
	};
	const json_t *counters = json_object_get(json_object_get(link, direction), key);

	table_cell(table, get_text(link, "link"));
	table_cell(table, direction);
	table_cell(table, class);
	table_row(table, columns, json_is_object(counters) ? counters : NULL);
}

static void print_classes(const struct context *context, const json_t *links)
{
	static const char *const titles[] = {"LINK", "DIRECTION", "CLASS", ">PACKETS", ">BYTES",
		">LIMITED", ">LIMITED BYTES", NULL};
	struct table *table = table_create(context, titles);
	const json_t *link;
	size_t i;

	json_array_foreach ((json_t *)links, i, link)
		for (size_t j = 0; j < 2; j++) {
			class_row(table, link, directions[j], "best effort", "best_effort");
			class_row(table, link, directions[j], "EF", "ef");
		}
	table_end(table);
}

// --- rates, contract, peak -----------------------------------------------------------------------------

static void rate_cell(
	const struct context *context, struct table *table, const json_t *object, const char *key)
{
	char text[TEXT_MAX];

	table_cell(table, known_text(context, json_object_get(object, key), text));
}

// "312.5k (50ms)"
static void burst_cell(const struct context *context, struct table *table, const json_t *contract)
{
	char text[TEXT_MAX], whole[TEXT_MAX];

	if (!json_is_object(contract)) {
		table_cell(table, NULL);
		return;
	}
	snprintf(whole, sizeof(whole), "%.256s (%.4gms)",
		number_text(context, get_number(contract, "burst_bytes"), text),
		json_real_value(json_object_get(contract, "burst_ms")));
	table_cell(table, whole);
}

static void mode_cell(struct table *table, const json_t *contract)
{
	char text[TEXT_MAX];

	if (!json_is_object(contract)) {
		table_cell(table, NULL);
		return;
	}
	snprintf(text, sizeof(text), "shape %.4gms",
		json_real_value(json_object_get(contract, "queue_ms")));
	table_cell(table, json_is_true(json_object_get(contract, "shaped")) ? text : "police");
}

// "2026-11-21 14:02:07 for 2.5ms, 4 packets, 6k bytes"
static void drops_cell(const struct context *context, struct table *table, const json_t *drops)
{
	char when[TEXT_MAX], packets[TEXT_MAX], bytes[TEXT_MAX], whole[TEXT_MAX];
	double ms = json_real_value(json_object_get(drops, "length_ms"));

	if (!json_is_object(drops)) {
		table_cell(table, NULL);
		return;
	}
	snprintf(whole, sizeof(whole), "%.64s for %.*f%s, %.64s packets, %.64s bytes%s",
		time_text(get_number(drops, "start"), when), 1, ms < 1000 ? ms : ms / 1000,
		ms < 1000 ? "ms" : "s", number_text(context, get_number(drops, "packets"), packets),
		number_text(context, get_number(drops, "bytes"), bytes),
		json_is_true(json_object_get(drops, "ongoing")) ? ", ongoing" : "");
	table_cell(table, whole);
}

static void print_limiters(const struct context *context, const json_t *links)
{
	static const char *const titles[] = {"LINK", "DIRECTION", ">RATE", ">LIMITED RATE",
		">CONTRACT", "BURST", "MODE", ">PEAK 1MS", ">PEAK BYTES", "LAST DROPS", NULL};
	struct table *table = table_create(context, titles);
	const json_t *link;
	size_t i;

	json_array_foreach ((json_t *)links, i, link)
		for (size_t j = 0; j < 2; j++) {
			const json_t *counters = json_object_get(link, directions[j]);
			const json_t *contract = json_object_get(counters, "contract");

			table_cell(table, get_text(link, "link"));
			table_cell(table, directions[j]);
			rate_cell(context, table, counters, "rate");
			rate_cell(context, table, counters, "limited_rate");
			rate_cell(context, table, contract, "rate");
			burst_cell(context, table, contract);
			mode_cell(table, contract);
			rate_cell(context, table, counters, "peak_rate");
			rate_cell(context, table, counters, "peak_bytes");
			drops_cell(context, table, json_object_get(counters, "last_drops"));
		}
	table_end(table);
}

// --- drops ---------------------------------------------------------------------------------------------

static size_t drop_count(const json_t *links)
{
	const json_t *link, *interface;
	size_t count = 0, i, j;

	json_array_foreach ((json_t *)links, i, link)
		json_array_foreach (json_object_get(link, "interfaces"), j, interface)
			count += json_object_size(json_object_get(interface, "drops")) +
				 json_object_size(json_object_get(interface, "tx_drops"));
	return count;
}

static void print_drops(const struct context *context, const json_t *links)
{
	static const char *const titles[] = {"INTERFACE", "REASON", ">PACKETS", NULL};
	struct table *table = table_create(context, titles);
	const json_t *link, *interface;
	const char *kinds[] = {"drops", "tx_drops"}, *reason;
	char text[TEXT_MAX];
	json_t *packets;
	size_t i, j;

	json_array_foreach ((json_t *)links, i, link)
		json_array_foreach (json_object_get(link, "interfaces"), j, interface)
			for (size_t kind = 0; kind < 2; kind++)
				json_object_foreach (
					json_object_get(interface, kinds[kind]), reason, packets) {
					if (json_integer_value(packets) == 0)
						continue;
					table_cell(table, get_text(interface, "interface"));
					table_cell(table, reason);
					table_cell(
						table, number_text(context,
							       json_integer_value(packets), text));
				}
	table_end(table);
}

int run_circuit_stats(struct context *context)
{
	json_t *result, *links;
	int status;

	result = ask(context, &status);
	if (result == NULL)
		return status;
	links = json_object_get(result, "links");
	if (context->json) {
		print_json(result);
	} else {
		print_classes(context, links);
		putchar('\n');
		print_limiters(context, links);
		if (drop_count(links) > 0) {
			putchar('\n');
			print_drops(context, links);
		}
	}
	status = tell_unknown(result);
	json_decref(result);
	return status;
}
