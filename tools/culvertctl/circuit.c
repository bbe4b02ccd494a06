// SPDX-License-Identifier: BSD-3-Clause

// Circuits as the person on duty wants them: one line for each link, and a last line that says what is wrong.

#include "tools/culvertctl/command.h"

#include "control/api/methods.h"
#include "tools/culvertctl/table.h"

#include <jansson.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// --- list ----------------------------------------------------------------------------------------------

static void rate_cell(const struct context *context, struct table *table, const json_t *link,
	const char *direction, const char *key)
{
	const json_t *rate = json_object_get(json_object_get(link, direction), key);
	char text[TEXT_MAX];

	if (json_is_integer(rate))
		table_cell(table, number_text(context, json_integer_value(rate), text));
	else
		table_cell(table, NULL);
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

// Since when a limiter of this link drops, now or within the last minute; 0 = none does.
static int64_t link_limited_since(const json_t *link)
{
	return earlier(get_number(json_object_get(link, "in"), "limited_since"),
		get_number(json_object_get(link, "out"), "limited_since"));
}

static int64_t limited_since(const json_t *circuit)
{
	int64_t since = 0;
	const json_t *link;
	size_t i;

	json_array_foreach (json_object_get(circuit, "links"), i, link)
		since = earlier(since, link_limited_since(link));
	return since;
}

// 0 at this moment is not 0 of the last minute, in which the last line says there were drops.
static void limited_cell(const struct context *context, struct table *table, const json_t *link)
{
	const json_t *in = json_object_get(json_object_get(link, "in"), "limited_rate");
	const json_t *out = json_object_get(json_object_get(link, "out"), "limited_rate");
	int64_t rate = json_integer_value(in) + json_integer_value(out);
	char text[TEXT_MAX];

	if (!json_is_integer(in) && !json_is_integer(out))
		table_cell(table, NULL);
	else if (rate == 0 && link_limited_since(link) != 0)
		table_cell(table, "recently");
	else
		table_cell(table, number_text(context, rate, text));
}

// Several peerings share a link: routes are added up, the session is the first that is not up.
static void peering_cells(struct table *table, const json_t *link)
{
	const json_t *peerings = json_object_get(link, "peerings"), *peering, *worst = NULL;
	int64_t accepted = 0, limit = 0;
	bool known = true;
	char text[TEXT_MAX], age[TEXT_MAX];
	size_t i;

	json_array_foreach ((json_t *)peerings, i, peering) {
		accepted += get_number(peering, "accepted");
		known = known && !json_is_null(json_object_get(peering, "accepted"));
		limit += get_number(peering, "limit");
		if (worst == NULL || strcmp(get_text(worst, "session"), "established") == 0)
			worst = peering;
	}
	if (worst == NULL || json_is_null(json_object_get(link, "in"))) {
		table_cell(table, NULL);
		table_cell(table, NULL);
		return;
	}
	if (limit > 0)
		snprintf(text, sizeof(text), "%" PRId64 "/%" PRId64, accepted, limit);
	else
		snprintf(text, sizeof(text), "%" PRId64, accepted);
	table_cell(table, known ? text : NULL);
	snprintf(text, sizeof(text), "%.64s %.32s", get_text(worst, "session"),
		age_text(get_number(worst, "since"), age));
	table_state(table, text);
}

static void circuit_rows(const struct context *context, struct table *table, const json_t *circuit)
{
	const json_t *link;
	char text[TEXT_MAX];
	size_t i;

	json_array_foreach (json_object_get(circuit, "links"), i, link) {
		table_cell(table, get_text(circuit, "circuit"));
		table_cell(table, get_text(circuit, "customer"));
		table_cell(table, get_text(link, "link"));
		table_state(table, get_text(link, "state"));
		table_cell(table, number_text(context, get_number(circuit, "bandwidth"), text));
		rate_cell(context, table, link, "in", "rate");
		rate_cell(context, table, link, "out", "rate");
		limited_cell(context, table, link);
		peering_cells(table, link);
	}
	if (json_array_size(json_object_get(circuit, "links")) > 0)
		return;
	table_cell(table, get_text(circuit, "circuit"));
	table_cell(table, get_text(circuit, "customer"));
	table_cell(table, NULL);
	table_state(table, get_text(circuit, "state"));
	table_cell(table, number_text(context, get_number(circuit, "bandwidth"), text));
	for (int column = 0; column < 5; column++)
		table_cell(table, NULL);
}

static bool is_in_trouble(const char *state)
{
	return strcmp(state, "degraded") == 0 || strcmp(state, "down") == 0;
}

// "acme-ams-01 limited since 14:02, secondary unknown"
static void print_trouble(const json_t *circuit, const char *separator)
{
	bool trouble = is_in_trouble(get_text(circuit, "state"));
	time_t since = (time_t)limited_since(circuit);
	char when[32];
	struct tm local;

	printf("%s %s", separator, get_text(circuit, "circuit"));
	if (since != 0 && localtime_r(&since, &local) != NULL &&
		strftime(when, sizeof(when), "%H:%M", &local) > 0)
		printf(" limited since %s%s", when, trouble ? "," : "");
	if (trouble)
		printf(" %s", get_text(circuit, "reason"));
}

#define NAMED 3 // circuits that the last line names

static void print_summary(const json_t *items)
{
	static const char *const states[] = {"partial", "degraded", "down", "disabled", "unknown"};
	const json_t *circuit, *first = NULL;
	size_t count = json_array_size(items), limited = 0, named = 0, i;

	printf("%zu circuit%s", count, count == 1 ? "" : "s");
	for (size_t state = 0; state < sizeof(states) / sizeof(states[0]); state++) {
		size_t matching = 0;

		json_array_foreach ((json_t *)items, i, circuit)
			matching += strcmp(get_text(circuit, "state"), states[state]) == 0;
		if (matching > 0)
			printf(", %zu %s", matching, states[state]);
	}
	json_array_foreach ((json_t *)items, i, circuit)
		limited += limited_since(circuit) != 0;
	if (limited > 0)
		printf(", %zu limited", limited);
	json_array_foreach ((json_t *)items, i, circuit) {
		if (!is_in_trouble(get_text(circuit, "state")) && limited_since(circuit) == 0)
			continue;
		if (named++ == 0)
			first = circuit;
		if (named <= NAMED)
			print_trouble(circuit, named == 1 ? ":" : ";");
	}
	if (named > NAMED)
		printf("; %zu more", named - NAMED);
	if (first != NULL)
		printf(" (culvertctl circuit show %s)", get_text(first, "circuit"));
	putchar('\n');
}

int run_circuit_list(struct context *context)
{
	static const char *const titles[] = {"NAME", "CUSTOMER", "LINK", "STATE", ">BW", ">IN",
		">OUT", ">LIMITED", ">ROUTES", "BGP", NULL};
	json_t *result, *items, *circuit;
	struct table *table;
	int status;
	size_t i;

	if (!context->json)
		json_object_set_new(context->params, "brief", json_true());
	result = ask_list(context, API_CIRCUIT_STATUS, json_incref(context->params), &status);
	if (result == NULL)
		return status;
	items = json_object_get(result, "items");
	if (context->json) {
		print_json(result);
	} else {
		table = table_create(context, titles);
		json_array_foreach (items, i, circuit)
			circuit_rows(context, table, circuit);
		table_end(table);
		if (!context->no_header) // it is no circuit
			print_summary(items);
	}
	json_decref(result);
	return 0;
}

// --- show ----------------------------------------------------------------------------------------------

// A speaker keeps its last error until there is another one: how long ago it was first seen tells what it is worth.
static void print_detail(const json_t *peering)
{
	int64_t since = get_number(peering, "detail_since");
	char age[TEXT_MAX];

	printf("    last error: %s", get_text(peering, "detail"));
	if (since != 0)
		printf(" (first seen %s ago)", age_text(since, age));
	putchar('\n');
	if (*get_text(peering, "hint") != '\0')
		printf("    hint: %s\n", get_text(peering, "hint"));
}

// What no rule has seen, but the daemon threw away.
static void print_invalid(const json_t *invalid)
{
	char age[TEXT_MAX];
	const json_t *item;
	size_t i;

	json_array_foreach ((json_t *)invalid, i, item) {
		const char *prefix = get_text(item, "prefix");

		printf("    %s: %s%s%s (%" PRId64 " times, %s ago)\n",
			*prefix != '\0' ? "rejected" : "invalid", prefix,
			*prefix != '\0' ? ": " : "", get_text(item, "reason"),
			get_number(item, "count"), age_text(get_number(item, "last"), age));
	}
}

// Whoever could not be told, or cannot now.
static void print_silence(const json_t *peering)
{
	const json_t *untold = json_object_get(peering, "untold"),
		     *daemon = json_object_get(peering, "daemon");
	int64_t hold = get_number(untold, "hold");
	time_t until = (time_t)get_number(untold, "until");
	char when[32] = "", seconds[32] = "";
	struct tm local;

	if (json_is_object(daemon))
		printf("    %s: %s (%s)\n", get_text(daemon, "state"), get_text(daemon, "message"),
			get_text(daemon, "hint"));
	if (!json_is_object(untold))
		return;
	if (localtime_r(&until, &local) != NULL)
		strftime(when, sizeof(when), "%H:%M:%S", &local);
	if (hold > 0)
		snprintf(seconds, sizeof(seconds), " of %" PRId64 " s", hold);
	printf("    not told: the BGP daemon hung when the session ended; his router keeps it until "
	       "its hold time%s is over, at %s at the latest\n",
		seconds, when);
}

static void print_session(const struct context *context, const json_t *peering)
{
	const json_t *reset = json_object_get(peering, "last_reset"),
		     *timers = json_object_get(peering, "timers"),
		     *messages = json_object_get(peering, "messages");
	const char *session = get_text(peering, "session");
	char age[TEXT_MAX], text[4][TEXT_MAX];

	printf("%s%s%s %s  %s AS%" PRId64 " -> %s\n", color_begin(context, session), session,
		color_end(context), age_text(get_number(peering, "since"), age),
		get_text(peering, "remote"), get_number(peering, "remote_asn"),
		get_text(peering, "local"));
	print_silence(peering);
	if (*get_text(peering, "detail") != '\0')
		print_detail(peering);
	if (json_is_object(reset))
		printf("    last reset: %s (%s ago)\n", get_text(reset, "reason"),
			age_text(get_number(reset, "time"), age));
	printf("    routes: %s of %" PRId64 " accepted, %s rejected, %s held, %s advertised\n",
		known_text(context, json_object_get(peering, "accepted"), text[0]),
		get_number(peering, "limit"),
		known_text(context, json_object_get(peering, "rejected"), text[1]),
		known_text(context, json_object_get(peering, "held"), text[2]),
		known_text(context, json_object_get(peering, "advertised"), text[3]));
	if (json_is_object(timers))
		printf("    timers: hold %" PRId64 " s, keepalive %" PRId64 " s\n",
			get_number(timers, "hold"), get_number(timers, "keepalive"));
	if (json_is_object(messages))
		printf("    received: %" PRId64 " updates (%" PRId64 " invalid), %" PRId64
		       " withdrawals; sent: %" PRId64 ", %" PRId64 "\n",
			get_number(messages, "updates_in"), get_number(messages, "invalid_in"),
			get_number(messages, "withdraws_in"), get_number(messages, "updates_out"),
			get_number(messages, "withdraws_out"));
	print_invalid(json_object_get(peering, "invalid"));
}

// "IPv6 ", where the peering has a session of the other address family on that link, too.
static const char *family_text(const json_t *sessions, const json_t *session)
{
	const char *link = get_text(session, "link"), *peering = get_text(session, "peering");
	int64_t family = get_number(session, "family");
	const json_t *other;
	size_t i;

	json_array_foreach ((json_t *)sessions, i, other) {
		if (get_number(other, "family") != family &&
			strcmp(get_text(other, "peering"), peering) == 0 &&
			strcmp(get_text(other, "link"), link) == 0)
			return family == 6 ? "IPv6  " : "IPv4  ";
	}
	return "";
}

static void print_peerings(const struct context *context, const json_t *link)
{
	const json_t *peerings = json_object_get(link, "peerings"), *peering;
	size_t i;

	json_array_foreach ((json_t *)peerings, i, peering) {
		printf("  peering %s  %s", get_text(peering, "peering"),
			family_text(peerings, peering));
		print_session(context, peering);
	}
}

// As configured, and its sessions here.
int run_peering_show(struct context *context)
{
	int status;
	json_t *result = ask(context, &status), *live;
	const json_t *session;
	size_t i;

	if (result == NULL)
		return status;
	live = ask_method(context, API_PEERING_STATUS,
		json_pack("{s:s}", "peering", context->argument), &status);
	if (live != NULL)
		json_object_set(result, "status", json_object_get(live, "items"));
	if (context->json) {
		print_json(result);
	} else {
		printf("peering %s\n", get_text(json_object_get(result, "object"), "full_name"));
		print_object(context, json_object_get(result, "object"));
		json_array_foreach (json_object_get(live, "items"), i, session) {
			printf("  session on %s (%s)  %s", get_text(session, "link"),
				get_text(session, "edge"),
				family_text(json_object_get(live, "items"), session));
			print_session(context, session);
		}
	}
	json_decref(live);
	json_decref(result);
	return status;
}

static void print_direction(
	const struct context *context, const json_t *link, const char *direction)
{
	const json_t *counters = json_object_get(link, direction);
	char packets[TEXT_MAX], bytes[TEXT_MAX], rate[TEXT_MAX], limited[TEXT_MAX];

	if (!json_is_object(counters))
		return;
	printf("  %-3s  %s bit/s, %s packets, %s bytes, %s packets limited\n", direction,
		known_text(context, json_object_get(counters, "rate"), rate),
		known_text(context, json_object_get(counters, "packets"), packets),
		known_text(context, json_object_get(counters, "bytes"), bytes),
		known_text(context, json_object_get(counters, "limited_packets"), limited));
}

static void print_state(const struct context *context, const char *state, const char *reason)
{
	printf("%s%s%s%s%s\n", color_begin(context, state), state, color_end(context),
		*reason == '\0' ? "" : ": ", reason);
}

static void print_circuit(
	const struct context *context, const json_t *object, const json_t *circuit)
{
	static const char *const shown[] = {"customer", "bandwidth", "burst", "shape-in",
		"shape-out", "ef-bandwidth", "packet-rate", "accounting", "overhead", "service-key",
		"location", "provider", "model", "handoff", "provider-state", "sku", "billing",
		"subscription", "description"};
	const json_t *link, *tunnel;
	size_t i;

	printf("circuit %s  ", get_text(object, "full_name"));
	print_state(context, get_text(circuit, "state"), get_text(circuit, "reason"));
	for (i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
		char *text = value_text(context, json_object_get(object, shown[i]), SHOW_TEXT);

		if (*text != '\0')
			printf("  %-14s  %s\n", shown[i], text);
		free(text);
	}
	json_array_foreach (json_object_get(circuit, "links"), i, link) {
		printf("link %s  %s/%s", get_text(link, "link"), get_text(link, "edge"),
			get_text(link, "port"));
		if (*get_text(link, "vlan") != '\0')
			printf(" vlan %s", get_text(link, "vlan"));
		printf("  ");
		print_state(context, get_text(link, "state"), get_text(link, "reason"));
		print_direction(context, link, "in");
		print_direction(context, link, "out");
		print_peerings(context, link);
	}
	json_array_foreach (json_object_get(circuit, "tunnels"), i, tunnel) {
		printf("tunnel of vnet %s  ", get_text(tunnel, "vnet"));
		print_state(context, get_text(tunnel, "state"), get_text(tunnel, "reason"));
	}
}

// Carries what was sold, as far as this edge sees: nothing else is well, a disabled circuit neither.
static bool is_well(const json_t *circuit)
{
	const char *state = get_text(circuit, "state");
	const json_t *tunnel;
	size_t i;

	json_array_foreach (json_object_get(circuit, "tunnels"), i, tunnel)
		if (strcmp(get_text(tunnel, "state"), "up") != 0)
			return false;
	return strcmp(state, "up") == 0 || strcmp(state, "partial") == 0;
}

int run_circuit_show(struct context *context)
{
	json_t *result, *live, *circuit;
	int status;

	result = ask(context, &status);
	if (result == NULL)
		return status;
	live = ask_method(context, API_CIRCUIT_STATUS,
		json_pack("{s:s}", "circuit", context->argument), &status);
	circuit = json_array_get(json_object_get(live, "items"), 0);
	if (circuit != NULL)
		json_object_set(result, "status", circuit);
	bool checks = strcmp(context->command->verb, "check") == 0;
	int missing = 0;
	if (live != NULL && !context->json)
		print_circuit(context, json_object_get(result, "object"), circuit);
	if (live != NULL && checks)
		missing = print_missing(context, result);
	if (live != NULL && context->json)
		print_json(result);
	if (status == 0 && checks) {
		status = missing;
		if (status == 0 && !is_well(circuit))
			status = 1;
	}
	json_decref(live);
	json_decref(result);
	return status;
}
