// SPDX-License-Identifier: BSD-3-Clause
// The stats segment, read-only: attached when the data plane says where it is, kept when it goes away, so
// that the counters of a dead data plane can still be read. Values are sums over all writers.
//
// Once a second every limiter is read for its rate of the last second, and the counters of deleted objects
// are read for the last time: they are logged, and the data plane may use their place again.
//
// The last run of drops stands in the segment, where it grows while it lasts, and comes as an event when it has
// ended. The later of the two counts: the segment also knows what happened while we were not there, and the
// event is still known when the data plane came back with a new segment.

#include "control/sync/state.h"

#include "control/base/clock.h"

#include "dataplane/wire/stats_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MINUTE_NS 60000000000u

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
	stats_close(sync->stats);
	sync->stats = NULL;
	free(sync->rates);
	sync->rates = NULL;
}

void counters_attach(struct sync *sync, const struct wire_hello *hello)
{
	counters_detach(sync);
	if (hello->stats[0] != '/')
		return;
	if (memchr(hello->stats, '\0', sizeof(hello->stats)) == NULL ||
		stats_attach(hello->stats, &sync->stats) != 0) {
		sync->stats = NULL;
		fprintf(stderr, "level=warning msg=\"counters cannot be read\" path=%.255s\n",
			hello->stats);
		return;
	}
	uint32_t slots = sync->stats->slots[STATS_LIMITER];
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

static void sample_rates(struct sync *sync)
{
	struct rates *rates = sync->rates;
	uint64_t now = clock_ns(), ns = rates->time != 0 ? now - rates->time : 0;

	rates->time = now;
	for (uint32_t slot = 1; slot < rates->slots; slot++) {
		const struct stats_entry *entry = &sync->stats->entry[STATS_LIMITER][slot];
		struct stats_limiter sum;
		if (entry->state == STATS_LIVE && stats_sum_limiter(sync->stats, slot, &sum) == 0)
			sample_limiter(&rates->slot[slot], entry->uid, &sum, ns);
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

static void release_deleted(struct sync *sync, enum stats_kind kind)
{
	for (uint32_t slot = 1; slot < sync->stats->slots[kind]; slot++) {
		const struct stats_entry *entry = &sync->stats->entry[kind][slot];
		if (entry->state != STATS_DELETED)
			continue;
		struct stats_interface sum;
		struct stats_sparse sparse;
		if (kind == STATS_INTERFACE) {
			if (stats_sum_interface(sync->stats, slot, &sum, &sparse) != 0)
				continue;
			fprintf(stderr,
				"level=info msg=\"final counters\" uid=%llu rx_packets=%llu "
				"rx_bytes=%llu tx_packets=%llu tx_bytes=%llu\n",
				(unsigned long long)entry->uid, (unsigned long long)sum.rx_packets,
				(unsigned long long)sum.rx_bytes,
				(unsigned long long)sum.tx_packets,
				(unsigned long long)sum.tx_bytes);
		}
		forget_episode(sync, entry->uid);
		dataplane_release(sync->dataplane, entry->uid);
	}
}

void counters_tick(struct sync *sync)
{
	if (sync->stats == NULL)
		return;
	if (sync->rates != NULL)
		sample_rates(sync);
	if (dataplane_status(sync->dataplane)->state != DATAPLANE_SYNCED)
		return;
	release_deleted(sync, STATS_INTERFACE);
	release_deleted(sync, STATS_LIMITER);
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
	const struct stats_limiter_word *word = stats_limiter_word(sync->stats, slot);
#define READ(member) __atomic_load_n(&word->member, __ATOMIC_RELAXED)
	const struct wire_episode last = {
		.uid = uid,
		.start = READ(episode_start),
		.length = READ(episode_length),
		.bytes = READ(episode_bytes),
		.packets = READ(episode_packets),
	};

	counters->peak = READ(peak_bytes);
	counters->fallbacks = READ(fallbacks);
#undef READ
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
	int64_t slot = stats_find(sync->stats, STATS_LIMITER, uid);
	if (slot < 0 || stats_sum_limiter(sync->stats, (uint32_t)slot, &counters->sum) != 0)
		return;
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

bool counters_interface(const struct sync *sync, uint64_t uid, struct stats_interface *sum,
	struct stats_sparse *sparse)
{
	if (sync->stats == NULL)
		return false;
	int64_t slot = stats_find(sync->stats, STATS_INTERFACE, uid);
	return slot >= 0 && stats_sum_interface(sync->stats, (uint32_t)slot, sum, sparse) == 0;
}
