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
#include "control/publication.h"
#include "control/model/ids.h"

#include <string.h>
#include <time.h>

// --- a direction ---------------------------------------------------------------------------------------

static const struct desired_limiter *limiter_of(const struct sync *sync, uint64_t uid)
{
	for (unsigned int i = 0; i < sync->desired->limiters.count; i++)
		if (sync->desired->limiters.item[i].record.uid == uid)
			return &sync->desired->limiters.item[i];
	return NULL;
}

static void add_class(json_t *json, const char *class, const struct stats_limiter *sum, int i)
{
	json_object_set_new(json, class,
		json_pack("{s:o, s:o, s:o, s:o}", "packets", json_u64(sum->passed[i].packets),
			"bytes", json_u64(sum->passed[i].bytes), "limited_packets",
			json_u64(sum->limited[i].packets), "limited_bytes",
			json_u64(sum->limited[i].bytes)));
}

static json_t *contract_json(const struct wire_limiter *record)
{
	return json_pack("{s:o, s:o, s:f, s:o, s:b, s:f}", "rate", json_u64(record->rate),
		"burst_bytes", json_u64(record->burst), "burst_ms",
		(double)record->burst * 8000 / (double)record->rate, "ef_rate",
		json_u64(record->ef_rate), "shaped", (record->flags & WIRE_LIMITER_SHAPE) != 0,
		"queue_ms", (double)record->queue / 1e6);
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
	const struct sync *sync, uint64_t uid, const struct limiter_counters *c, json_t *json)
{
	const struct desired_limiter *limiter = limiter_of(sync, uid);

	json_object_set_new(json, "ef_packets", json_u64(c->sum.passed[1].packets));
	json_object_set_new(json, "ef_bytes", json_u64(c->sum.passed[1].bytes));
	json_object_set_new(json, "ef_limited_packets", json_u64(c->sum.limited[1].packets));
	json_object_set_new(json, "ef_limited_bytes", json_u64(c->sum.limited[1].bytes));
	add_class(json, "best_effort", &c->sum, 0);
	add_class(json, "ef", &c->sum, 1);
	json_object_set_new(
		json, "contract", limiter != NULL ? contract_json(&limiter->record) : json_null());
	json_object_set_new(json, "peak_bytes", c->known ? json_u64(c->peak) : json_null());
	json_object_set_new(json, "peak_rate", c->known ? json_u64(c->peak * 8000) : json_null());
	json_object_set_new(json, "unshaped_packets", json_u64(c->fallbacks));
	json_object_set_new(json, "last_drops", episode_json(c));
}

json_t *direction_json(
	const struct sync *sync, const struct link *link, const char *direction, bool full)
{
	struct id id = ids_of(
		sync->desired->publication->ids, ID_LIMITER, "%s/%s", link->object.name, direction);
	struct limiter_counters c;

	if (id.id == 0 || !link_is_ours(sync, link))
		return json_null();
	counters_limiter(sync, id.uid, &c);
	uint64_t since = counters_limited_since(&c);
	json_t *json = json_pack("{s:o, s:o, s:o, s:o, s:o}", "packets",
		json_u64(c.sum.passed[0].packets + c.sum.passed[1].packets), "bytes",
		json_u64(c.sum.passed[0].bytes + c.sum.passed[1].bytes), "limited_packets",
		json_u64(c.sum.limited[0].packets + c.sum.limited[1].packets), "limited_bytes",
		json_u64(c.sum.limited[0].bytes + c.sum.limited[1].bytes), "limited_since",
		since != 0 ? json_u64(since) : json_null());
	if (full)
		add_details(sync, id.uid, &c, json);
	json_object_set_new(json, "rate", c.rates_known ? json_u64(c.rate) : json_null());
	json_object_set_new(
		json, "limited_rate", c.rates_known ? json_u64(c.limited_rate) : json_null());
	return json;
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

static json_t *interface_json(const struct sync *sync, const struct desired_interface *interface)
{
	struct stats_interface sum = {0};
	struct stats_sparse sparse = {0};

	counters_interface(sync, interface->record.uid, &sum, &sparse);
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "interface",
		interface->name, "rx_packets", json_u64(sum.rx_packets), "rx_bytes",
		json_u64(sum.rx_bytes), "tx_packets", json_u64(sum.tx_packets), "tx_bytes",
		json_u64(sum.tx_bytes), "forwarded", json_u64(sum.forwarded), "to_host",
		json_u64(sum.to_host), "from_host", json_u64(sum.from_host), "generated",
		json_u64(sparse.generated), "drops", drops_json(&sparse), "tx_drops",
		tx_drops_json(&sparse));
}

// --- circuit.stats -------------------------------------------------------------------------------------

void method_circuit_stats(struct rpc_call *call)
{
	struct sync *sync = call_sync(call);
	const struct object *child, *inner;

	if (sync == NULL)
		return;
	const char *name = rpc_string(call, "circuit"), *only = rpc_string(call, "link");
	if (!find_circuit(call, sync, name))
		return;
	json_t *links = json_array();
	MODEL_CHILDREN(sync->desired->publication->model, NOUN_LINK, name, child)
	{
		const struct link *link = (const struct link *)child;
		json_t *interfaces = json_array();
		if (only != NULL && strcmp(role_name(link), only) != 0) {
			json_decref(interfaces);
			continue;
		}
		MODEL_CHILDREN(sync->desired->publication->model, NOUN_PEERING, name, inner)
		{
			const struct desired_interface *attachment =
				attachment_of(sync, (const struct peering *)inner, link);
			if (attachment != NULL)
				json_array_append_new(interfaces, interface_json(sync, attachment));
		}
		json_array_append_new(links,
			json_pack("{s:s, s:s, s:o, s:o, s:o}", "link", role_name(link), "edge",
				link->edge, "in", direction_json(sync, link, "in", true), "out",
				direction_json(sync, link, "out", true), "interfaces", interfaces));
	}
	rpc_reply(call, json_pack("{s:s, s:I, s:o}", "circuit", name, "time",
				(json_int_t)time(NULL), "links", links));
}
