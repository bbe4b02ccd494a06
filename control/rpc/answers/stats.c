// SPDX-License-Identifier: BSD-3-Clause
// circuit.stats: what a link carried in each direction, and what its limiter did about it.
//
// "Why are there drops below my rate?" is answered by three figures that stand beside each other: the contract
// with its burst, the fullest millisecond of the last minute, and the last run of drops. A minute's average
// hides what a burst did within ten milliseconds.

#include "control/rpc/answers/answers.h"

#include "control/model/link.h"
#include "control/model/model.h"
#include "control/model/peering.h"

#include <string.h>
#include <time.h>

// --- a direction ---------------------------------------------------------------------------------------

static json_t *class_json(const struct limiter_counters *c, int i)
{
	const struct stats_limiter *sum = &c->sum;

	return json_pack("{s:o, s:o, s:o, s:o}", "packets",
		json_known(c->known, sum->passed[i].packets), "bytes",
		json_known(c->known, sum->passed[i].bytes), "limited_packets",
		json_known(c->known, sum->limited[i].packets), "limited_bytes",
		json_known(c->known, sum->limited[i].bytes));
}

static json_t *contract_json(const struct intent_limiter *limiter)
{
	return json_pack("{s:o, s:o, s:f, s:o, s:b, s:f}", "rate", json_u64(limiter->rate),
		"burst_bytes", json_u64(limiter->burst), "burst_ms",
		(double)limiter->burst * 8000 / (double)limiter->rate, "ef_rate",
		json_u64(limiter->ef_rate), "shaped", limiter->queue != 0, "queue_ms",
		(double)limiter->queue / 1e6);
}

static json_t *episode_json(const struct limiter_counters *c)
{
	if (c->episode.start == 0)
		return json_null();
	return json_pack("{s:o, s:f, s:o, s:o, s:b}", "start",
		json_u64(c->episode.start / 1000000000u), "length_ms",
		(double)(c->episode.length / 1000) / 1e3, "bytes", json_u64(c->episode.bytes),
		"packets", json_u64(c->episode.packets), "ongoing", c->dropping);
}

static void add_details(
	const struct intent_limiter *limiter, const struct limiter_counters *c, json_t *json)
{
	bool known = c->known;

	json_object_set_new(json, "ef_packets", json_known(known, c->sum.passed[1].packets));
	json_object_set_new(json, "ef_bytes", json_known(known, c->sum.passed[1].bytes));
	json_object_set_new(
		json, "ef_limited_packets", json_known(known, c->sum.limited[1].packets));
	json_object_set_new(json, "ef_limited_bytes", json_known(known, c->sum.limited[1].bytes));
	json_object_set_new(json, "best_effort", class_json(c, 0));
	json_object_set_new(json, "ef", class_json(c, 1));
	json_object_set_new(json, "contract", contract_json(limiter));
	json_object_set_new(json, "peak_bytes", json_known(known, c->peak));
	json_object_set_new(json, "peak_rate", json_known(known, c->peak * 8000));
	json_object_set_new(json, "unshaped_packets", json_known(known, c->fallbacks));
	json_object_set_new(json, "last_drops", episode_json(c));
}

static void add_sums(const struct limiter_counters *c, json_t *json)
{
	json_object_set_new(json, "packets",
		json_known(c->known, c->sum.passed[0].packets + c->sum.passed[1].packets));
	json_object_set_new(json, "bytes",
		json_known(c->known, c->sum.passed[0].bytes + c->sum.passed[1].bytes));
	json_object_set_new(json, "limited_packets",
		json_known(c->known, c->sum.limited[0].packets + c->sum.limited[1].packets));
	json_object_set_new(json, "limited_bytes",
		json_known(c->known, c->sum.limited[0].bytes + c->sum.limited[1].bytes));
}

static json_t *direction_json(
	const struct sync *sync, const struct intent_limiter *limiter, enum detail detail)
{
	struct limiter_counters c;

	counters_limiter(sync, limiter->uid, &c);
	uint64_t since = counters_limited_since(&c);
	json_t *json = json_object();
	if (detail != DETAIL_BRIEF || since != 0)
		json_object_set_new(json, "limited_since", json_known(since != 0, since));
	if (detail != DETAIL_BRIEF || c.rates_known) {
		json_object_set_new(json, "rate", json_known(c.rates_known, c.rate));
		json_object_set_new(
			json, "limited_rate", json_known(c.rates_known, c.limited_rate));
	}
	if (detail >= DETAIL_USUAL)
		add_sums(&c, json);
	if (detail == DETAIL_FULL)
		add_details(limiter, &c, json);
	return json;
}

void add_directions(
	const struct sync *sync, const struct link *link, enum detail detail, json_t *json)
{
	static const char *const names[] = {"in", "out"}; // the order of a link's limiters
	const struct fragment *fragment = fragment_of(sync, NOUN_LINK, link->object.name);

	for (unsigned int i = 0; i < 2; i++)
		json_object_set_new(json, names[i],
			fragment != NULL && i < fragment->limiters.count
				? direction_json(sync, &fragment->limiters.item[i], detail)
				: json_null());
}

// --- interfaces ----------------------------------------------------------------------------------------

static json_t *drops_json(const struct stats_sparse *sparse)
{
#define DROP_NAME(symbol, name, help) name,
	static const char *const names[] = {DROP_REASONS(DROP_NAME)};
#undef DROP_NAME
	json_t *drops = json_object();

	for (unsigned int i = 0; i < DROP_COUNT; i++)
		if (sparse->drops[i] != 0)
			json_object_set_new(drops, names[i], json_u64(sparse->drops[i]));
	return drops;
}

static json_t *tx_drops_json(const struct stats_sparse *sparse)
{
	static const char *const names[] = {"tx-full", "tx-down", "no-buffer", "restart"};
	json_t *drops = json_object();

	for (unsigned int i = 0; i < 4; i++)
		if (sparse->tx_drops[i] != 0)
			json_object_set_new(drops, names[i], json_u64(sparse->tx_drops[i]));
	return drops;
}

static json_t *interface_json(const struct sync *sync, const struct intent_interface *interface)
{
	struct stats_interface sum;
	struct stats_sparse sparse;
	bool known = counters_interface(sync, interface->uid, &sum, &sparse);

	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "interface",
		interface->name, "rx_packets", json_known(known, sum.rx_packets), "rx_bytes",
		json_known(known, sum.rx_bytes), "tx_packets", json_known(known, sum.tx_packets),
		"tx_bytes", json_known(known, sum.tx_bytes), "forwarded",
		json_known(known, sum.forwarded), "to_host", json_known(known, sum.to_host),
		"from_host", json_known(known, sum.from_host), "generated",
		json_known(known, sparse.generated), "drops",
		known ? drops_json(&sparse) : json_null(), "tx_drops",
		known ? tx_drops_json(&sparse) : json_null());
}

// --- circuit.stats -------------------------------------------------------------------------------------

static json_t *interfaces_json(
	const struct sync *sync, const char *circuit, const struct link *link)
{
	json_t *interfaces = json_array();
	const struct object *child;

	MODEL_CHILDREN(model_of(sync), NOUN_PEERING, circuit, child)
	{
		const struct intent_interface *attachment =
			attachment_of(sync, (const struct peering *)child, link);
		if (attachment != NULL)
			json_array_append_new(interfaces, interface_json(sync, attachment));
	}
	return interfaces;
}

void method_circuit_stats(struct rpc_call *call)
{
	struct sync *sync = call_sync(call);
	const struct object *child;

	if (sync == NULL)
		return;
	const char *name = rpc_string(call, "circuit"), *only = rpc_string(call, "link");
	char wanted[OBJECT_NAME_MAX + 1];
	snprintf(wanted, sizeof(wanted), "%s/%s", name, only != NULL ? only : "");
	if (!find_object(call, NOUN_CIRCUIT, name) ||
		(only != NULL && !find_object(call, NOUN_LINK, wanted)))
		return;
	json_t *links = json_array();
	MODEL_CHILDREN(model_of(sync), NOUN_LINK, name, child)
	{
		const struct link *link = (const struct link *)child;
		if (only != NULL && strcmp(role_name(link), only) != 0)
			continue;
		json_t *json = json_pack("{s:s, s:s, s:o}", "link", role_name(link), "edge",
			link->edge, "interfaces", interfaces_json(sync, name, link));
		add_directions(sync, link, DETAIL_FULL, json);
		json_array_append_new(links, json);
	}
	rpc_reply(call, with_unknown(sync, true,
				json_pack("{s:s, s:I, s:o}", "circuit", name, "time",
					(json_int_t)time(NULL), "links", links)));
}
