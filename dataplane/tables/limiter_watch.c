// SPDX-License-Identifier: BSD-3-Clause
// Peaks and drop episodes, from what workers leave in their parts.
//
// A worker notes its fullest window (2^29 units, about a millisecond) of the current and of the
// last epoch (some seconds), and the windows of the first and last drop of its current run. The
// main thread adds up workers whose fullest windows are the same one. Workers that peak in
// different windows are not added: the figure never says more than what arrived, and for a circuit
// whose traffic one worker sees it is exact. Bytes are offered ones, dropped or not, as the
// question is why the limiter had to drop.

#include "dataplane/tables/limiter_watch.h"

#include <string.h>

#define load(p)     __atomic_load_n(p, __ATOMIC_RELAXED)
#define store(p, v) __atomic_store_n(p, v, __ATOMIC_RELAXED)

#define MINUTE 60u

struct candidate {
	uint32_t window, bytes;
};

static uint64_t scale(uint64_t a, uint64_t b, uint64_t c)
{
	return c ? (uint64_t)((unsigned __int128)a * b / c) : 0;
}

static struct candidate unpack(uint64_t packed)
{
	return (struct candidate){.window = (uint32_t)packed, .bytes = (uint32_t)(packed >> 32)};
}

static bool ahead_of(uint64_t a, uint64_t b, uint64_t by)
{
	return (int64_t)(a - b) > (int64_t)by;
}

static uint64_t window_start(uint32_t window, uint64_t now)
{
	uint32_t age = (uint32_t)(now >> LIMITER_WINDOW_SHIFT) - window;

	return now - ((uint64_t)age << LIMITER_WINDOW_SHIFT);
}

// The fullest window among all workers that is not older than `windows`.
static uint64_t fullest(
	struct stats_limiter_part *const *part, unsigned writers, uint32_t window, uint32_t windows)
{
	struct candidate c[2 * 18];
	unsigned n = 0;
	uint64_t best = 0;

	for (unsigned w = 0; w < writers && n + 2 <= sizeof(c) / sizeof(c[0]); w++) {
		c[n++] = unpack(load(&part[w]->peak));
		c[n++] = unpack(load(&part[w]->last_peak));
	}
	for (unsigned i = 0; i < n; i++) {
		uint64_t sum = 0;

		if (!c[i].bytes || window - c[i].window > windows)
			continue;
		for (unsigned k = 0; k < n; k++)
			sum += c[k].window == c[i].window ? c[k].bytes : 0;
		best = sum > best ? sum : best;
	}
	return best;
}

static void look_peak(struct limiter_watch *watch, struct stats_limiter_word *word,
	struct stats_limiter_part *const *part, unsigned writers, uint64_t now, uint64_t hz)
{
	uint32_t second_windows = (uint32_t)((hz << LIMITER_UNIT_SHIFT) >> LIMITER_WINDOW_SHIFT);
	uint64_t second = scale(now, 1, hz << LIMITER_UNIT_SHIFT), most = 0, bytes;

	bytes = fullest(part, writers, (uint32_t)(now >> LIMITER_WINDOW_SHIFT), 2 * second_windows);
	if (second - watch->second >= MINUTE)
		memset(watch->peak, 0, sizeof(watch->peak));
	else
		for (uint64_t s = watch->second + 1; s <= second; s++)
			watch->peak[s % MINUTE] = 0;
	watch->second = second;
	if (bytes > watch->peak[second % MINUTE])
		watch->peak[second % MINUTE] = (uint32_t)bytes;
	for (unsigned i = 0; i < MINUTE; i++)
		most = watch->peak[i] > most ? watch->peak[i] : most;
	// From a window to a millisecond.
	store(&word->peak_bytes,
		scale(most, (hz << LIMITER_UNIT_SHIFT) / 1000, 1ull << LIMITER_WINDOW_SHIFT));
}

static void begin_run(struct limiter_watch *watch, struct stats_limiter_part *const *part,
	unsigned writers, uint64_t now)
{
	watch->running = true;
	watch->run_packets = watch->limited_packets;
	watch->run_bytes = watch->limited_bytes;
	watch->first = now;
	for (unsigned w = 0; w < writers; w++) {
		uint64_t first = window_start(load(&part[w]->drop_first), now);
		uint64_t last = window_start(load(&part[w]->drop_last), now);

		// Runs of workers that had none lately are older than a look.
		if (last && now - last < (4096ull << LIMITER_WINDOW_SHIFT) &&
			watch->first - first < 1ull << 62)
			watch->first = first;
	}
}

int limiter_look(struct limiter_watch *watch, struct stats_limiter_word *word,
	struct stats_limiter_part *const *part, unsigned writers, uint64_t now, uint64_t realtime,
	uint64_t uid, struct wire_episode *episode)
{
	uint64_t hz = word->hz, packets = 0, bytes = 0, second = hz << LIMITER_UNIT_SHIFT;

	if (!hz)
		return 0;
	look_peak(watch, word, part, writers, now, hz);
	for (unsigned w = 0; w < writers; w++)
		for (unsigned class = 0; class < 2; class ++) {
			packets += load(&part[w]->count.limited[class].packets);
			bytes += load(&part[w]->count.limited[class].bytes);
		}
	if (!watch->primed) { // counts of an earlier run of the process are no drops of this one
		watch->primed = true;
		watch->limited_packets = packets;
		watch->limited_bytes = bytes;
	}
	if (packets != watch->limited_packets) {
		if (!watch->running)
			begin_run(watch, part, writers, now);
		watch->last = now;
		for (unsigned w = 0; w < writers; w++) {
			uint64_t last = window_start(load(&part[w]->drop_last), now) +
					(1ull << LIMITER_WINDOW_SHIFT);

			if (w == 0 || (int64_t)(last - watch->last) > 0)
				watch->last = last;
		}
		watch->limited_packets = packets;
		watch->limited_bytes = bytes;
	}
	if (!watch->running)
		return 0;
	if (ahead_of(watch->first, now, second) || ahead_of(watch->last, now, second) ||
		ahead_of(watch->first, watch->last, second)) // the clock has jumped: that is all we know
		watch->first = watch->last = now;
	store(&word->episode_start, realtime - scale(now - watch->first, 1000000000u, second));
	store(&word->episode_length, scale(watch->last - watch->first, 1000000000u, second));
	store(&word->episode_bytes, bytes - watch->run_bytes);
	store(&word->episode_packets, packets - watch->run_packets);
	if ((int64_t)(now - watch->last) < (int64_t)second)
		return 0;
	watch->running = false;
	*episode = (struct wire_episode){
		.uid = uid,
		.start = word->episode_start,
		.length = word->episode_length,
		.bytes = word->episode_bytes,
		.packets = word->episode_packets,
	};
	return 1;
}
