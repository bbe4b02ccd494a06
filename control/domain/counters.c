// SPDX-License-Identifier: BSD-3-Clause
// The stats segment, read-only, through the descriptor that comes with the data plane's HELLO. It is read by copying, so
// that a data plane that shortens it makes counters unknown and nothing worse. Values are sums over all writers.
//
// Once a second every limiter is read for its rate of the last second, and the counters of deleted objects
// are read for the last time: they go into the store, and then the data plane may use their place again.
//
// The last run of drops stands in the segment, where it grows while it lasts, and comes as an event when it has
// ended. The later of the two counts: the segment also knows what happened while we were not there, and the
// event is still known when the data plane came back with a new segment.

#include "control/domain/state.h"

#include "control/base/clock.h"
#include "control/base/log.h"
#include "control/domain/domain.h"

#include "dataplane/wire/stats_reader.h"

#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MINUTE_NS      60000000000u
#define FINALS_AT_ONCE 128

static const enum stats_kind kinds[3] = {STATS_INTERFACE, STATS_LIMITER, STATS_ACCOUNT};

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

struct sample {
	uint64_t uid;
	uint64_t passed, limited; // bytes
	uint64_t rate, limited_rate;
	bool rated;
};

struct episode { // of one limiter
	struct entry entry;
	uint64_t uid;
	struct wire_episode last;
};

struct rates {
	uint64_t time; // CLOCK_MONOTONIC ns
	uint32_t slots;
	struct sample slot[];
};

void counters_detach(struct sync *sync)
{
	stats_reader_close(sync->stats);
	sync->stats = NULL;
	free(sync->rates);
	sync->rates = NULL;
}

void counters_attach(struct sync *sync, int fd)
{
	counters_detach(sync);
	if (fd < 0)
		return;
	int error = stats_reader_open(fd, &sync->stats);
	if (error != 0) {
		sync->stats = NULL;
		log_warning("domain",
			"counters cannot be read: the data plane's descriptor is no stats segment "
			"of this "
			"version",
			log_text("error", strerror(-error)));
		return;
	}
	uint32_t slots = stats_reader_slots(sync->stats, STATS_LIMITER);
	sync->rates = calloc(1, sizeof(*sync->rates) + slots * sizeof(struct sample));
	if (sync->rates != NULL)
		sync->rates->slots = slots;
}

// --- once a second -------------------------------------------------------------------------------------

static void sample_limiter(
	struct sample *sample, uint64_t uid, const struct stats_limiter *sum, uint64_t ns)
{
	uint64_t passed = sum->passed[0].bytes + sum->passed[1].bytes;
	uint64_t limited = sum->limited[0].bytes + sum->limited[1].bytes;

	sample->rated = sample->uid == uid && passed >= sample->passed && ns > 0;
	if (sample->rated) {
		double second = 1e9 / (double)ns;
		sample->rate = (uint64_t)((double)(passed - sample->passed) * 8 * second);
		sample->limited_rate = (uint64_t)((double)(limited - sample->limited) * 8 * second);
	}
	sample->uid = uid;
	sample->passed = passed;
	sample->limited = limited;
}

static bool any_live(const struct stats_reader *stats, uint32_t first, uint32_t n)
{
	for (uint32_t slot = first; slot < first + n; slot++) {
		if (stats_reader_entry(stats, STATS_LIMITER, slot)->state == STATS_LIVE)
			return true;
	}
	return false;
}

static void sample_chunk(struct sync *sync, uint32_t first, uint32_t n, uint64_t ns)
{
	struct stats_limiter sum[STATS_READER_CHUNK];

	if (!any_live(sync->stats, first, n) ||
		stats_reader_limiters(sync->stats, first, n, sum) != 0)
		return;
	for (uint32_t i = 0; i < n; i++) {
		const struct stats_entry *entry =
			stats_reader_entry(sync->stats, STATS_LIMITER, first + i);
		if (entry->state == STATS_LIVE)
			sample_limiter(&sync->rates->slot[first + i], entry->uid, &sum[i], ns);
	}
}

static void sample_rates(struct sync *sync)
{
	struct rates *rates = sync->rates;
	uint64_t now = clock_ns(), ns = rates->time != 0 ? now - rates->time : 0;

	rates->time = now;
	for (uint32_t first = 0; first < rates->slots; first += STATS_READER_CHUNK) {
		uint32_t left = rates->slots - first;
		sample_chunk(
			sync, first, left < STATS_READER_CHUNK ? left : STATS_READER_CHUNK, ns);
	}
}

static void forget_episode(struct sync *sync, uint64_t uid)
{
	struct episode *episode = table_find(&sync->episodes, &uid);

	if (episode == NULL)
		return;
	table_remove(&sync->episodes, episode);
	free(episode);
}

// --- what was counted last -----------------------------------------------------------------------------

static json_t *final_interface(const struct sync *sync, uint32_t slot)
{
	struct stats_interface sum;
	struct stats_sparse sparse;

	if (stats_reader_interface(sync->stats, slot, &sum, &sparse) != 0)
		return NULL;
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "kind", "interface", "rx_packets",
		number(sum.rx_packets), "rx_bytes", number(sum.rx_bytes), "tx_packets",
		number(sum.tx_packets), "tx_bytes", number(sum.tx_bytes), "forwarded",
		number(sum.forwarded));
}

static json_t *final_limiter(const struct sync *sync, uint32_t slot)
{
	struct stats_limiter sum;

	if (stats_reader_limiters(sync->stats, slot, 1, &sum) != 0)
		return NULL;
	return json_pack("{s:s, s:o, s:o, s:o, s:o}", "kind", "limiter", "packets",
		number(sum.passed[0].packets + sum.passed[1].packets), "bytes",
		number(sum.passed[0].bytes + sum.passed[1].bytes), "limited_packets",
		number(sum.limited[0].packets + sum.limited[1].packets), "limited_bytes",
		number(sum.limited[0].bytes + sum.limited[1].bytes));
}

static json_t *final_account(const struct sync *sync, uint32_t slot)
{
	struct stats_account sum;

	if (stats_reader_accounts(sync->stats, slot, 1, &sum) != 0)
		return NULL;
	return json_pack("{s:s, s:o, s:o}", "kind", "connection", "packets", number(sum.packets),
		"bytes", number(sum.bytes));
}

// A connection without a path is there all the same, and its account counts on with the next one.
static bool is_over(const struct sync *sync, enum stats_kind kind, const struct stats_entry *entry)
{
	return entry->state == STATS_DELETED &&
	       !(kind == STATS_ACCOUNT && join_counts(sync->domains, entry->uid));
}

// The next ones that are over, from where the scan stands. NULL = there are no more.
static json_t *next_finals(struct sync *sync)
{
	static json_t *(*const read[])(const struct sync *sync, uint32_t slot) = {
		[STATS_INTERFACE] = final_interface,
		[STATS_LIMITER] = final_limiter,
		[STATS_ACCOUNT] = final_account,
	};
	struct final_scan *scan = &sync->finals;
	json_t *list = json_array();

	for (; scan->kind < 3 && json_array_size(list) < FINALS_AT_ONCE;
		scan->kind++, scan->slot = 1) {
		uint32_t slots = stats_reader_slots(sync->stats, kinds[scan->kind]);
		while (scan->slot < slots && json_array_size(list) < FINALS_AT_ONCE) {
			enum stats_kind kind = kinds[scan->kind];
			uint32_t slot = scan->slot++;
			const struct stats_entry *entry =
				stats_reader_entry(sync->stats, kind, slot);
			json_t *counters =
				is_over(sync, kind, entry) ? read[kind](sync, slot) : NULL;
			if (counters != NULL)
				json_array_append_new(
					list, json_pack("{s:o, s:o}", "uid", number(entry->uid),
						      "counters", counters));
		}
		if (scan->slot < slots)
			break;
	}
	if (json_array_size(list) > 0)
		return list;
	json_decref(list);
	return NULL;
}

// They are kept until somebody has stored them: bills are made of them.
static void give_finals(struct sync *sync)
{
	json_t *list = sync->stats != NULL ? next_finals(sync) : NULL;

	sync->finals.under_way = list != NULL;
	if (list == NULL)
		return;
	if (sync->final != NULL)
		sync->final(sync->event_ctx, list);
	else
		domains_finals_stored(sync->domains, list, true);
}

void domains_finals_stored(struct domains *domains, json_t *list, bool stored)
{
	struct sync *sync = domains_sync(domains);
	const json_t *final;
	size_t i;

	json_array_foreach (list, i, final) {
		uint64_t uid = (uint64_t)json_integer_value(json_object_get(final, "uid"));
		if (!stored)
			break; // asked for again with the next tick
		forget_episode(sync, uid);
		dataplane_release(sync->dataplane, uid);
	}
	json_decref(list);
	if (stored)
		give_finals(sync);
	else
		sync->finals.under_way = false;
}

void counters_tick(struct sync *sync)
{
	if (sync->stats == NULL || stats_reader_refresh(sync->stats) != 0)
		return;
	if (sync->rates != NULL)
		sample_rates(sync);
	if (dataplane_status(sync->dataplane)->state != DATAPLANE_SYNCED)
		return;
	if (sync->finals.under_way)
		return;
	sync->finals = (struct final_scan){.slot = 1};
	give_finals(sync);
}

// --- reading -------------------------------------------------------------------------------------------

void counters_episode(struct sync *sync, const struct wire_episode *news)
{
	struct episode *episode;

	if (sync->episodes.key_size == 0)
		sync->episodes = TABLE_OF(struct episode, uid);
	episode = table_find(&sync->episodes, &news->uid);
	if (episode == NULL) {
		episode = calloc(1, sizeof(*episode));
		if (episode == NULL)
			abort();
		episode->uid = news->uid;
		table_add(&sync->episodes, episode);
	}
	episode->last = *news;
}

static void read_word(
	const struct sync *sync, uint32_t slot, uint64_t uid, struct limiter_counters *counters)
{
	struct stats_limiter_word word;

	if (stats_reader_word(sync->stats, slot, &word) != 0)
		return;
	const struct wire_episode last = {
		.uid = uid,
		.start = word.episode_start,
		.length = word.episode_length,
		.bytes = word.episode_bytes,
		.packets = word.episode_packets,
	};
	counters->peak = word.peak_bytes;
	counters->fallbacks = word.fallbacks;
	if (last.start + last.length >= counters->episode.start + counters->episode.length)
		counters->episode = last;
}

static uint64_t realtime_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t counters_limited_since(const struct limiter_counters *counters)
{
	uint64_t end = counters->episode.start + counters->episode.length;

	return counters->episode.start != 0 && end + MINUTE_NS > realtime_ns()
		       ? counters->episode.start / 1000000000u
		       : 0;
}

void counters_limiter(const struct sync *sync, uint64_t uid, struct limiter_counters *counters)
{
	const struct episode *episode = table_find(&sync->episodes, &uid);

	*counters = (struct limiter_counters){.known = false};
	if (episode != NULL)
		counters->episode = episode->last;
	if (sync->stats == NULL)
		return;
	int64_t slot = stats_reader_find(sync->stats, STATS_LIMITER, uid);
	struct stats_limiter sum;
	if (slot < 0 || stats_reader_limiters(sync->stats, (uint32_t)slot, 1, &sum) != 0)
		return;
	counters->sum = sum;
	counters->known = true;
	read_word(sync, (uint32_t)slot, uid, counters);
	// A run ends with a second without drops; it is looked at once a second.
	counters->dropping =
		counters->episode.start != 0 &&
		counters->episode.start + counters->episode.length + 1500000000u > realtime_ns();
	if (sync->rates == NULL || slot >= sync->rates->slots)
		return;
	const struct sample *sample = &sync->rates->slot[slot];
	counters->rates_known = sample->rated && sample->uid == uid;
	counters->rate = sample->rate;
	counters->limited_rate = sample->limited_rate;
}

bool counters_readable(const struct sync *sync)
{
	return sync->stats != NULL && stats_reader_refresh(sync->stats) == 0;
}

bool counters_interface(const struct sync *sync, uint64_t uid, struct stats_interface *sum,
	struct stats_sparse *sparse)
{
	if (sync->stats == NULL)
		return false;
	int64_t slot = stats_reader_find(sync->stats, STATS_INTERFACE, uid);
	return slot >= 0 && stats_reader_interface(sync->stats, (uint32_t)slot, sum, sparse) == 0;
}
