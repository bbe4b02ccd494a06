// SPDX-License-Identifier: BSD-3-Clause
// The stats segment, read-only: attached when the data plane says where it is.

#include "control/sync/state.h"

#include "dataplane/wire/stats_file.h"

#include <stdio.h>

void counters_attach(struct sync *sync, const struct wire_hello *hello)
{
	counters_detach(sync);
	if (hello->stats[0] != '/')
		return;
	if (stats_attach(hello->stats, &sync->stats) != 0)
		fprintf(stderr, "level=warning msg=\"counters cannot be read\" path=%.255s\n",
			hello->stats);
	sync->stats_instance = hello->instance;
}

void counters_detach(struct sync *sync)
{
	stats_close(sync->stats);
	sync->stats = NULL;
}

// Final values of what was deleted are booked, then the data plane may use their place again.
static void release_deleted(struct sync *sync, enum stats_kind kind)
{
	for (uint32_t slot = 1; slot < sync->stats->slots[kind]; slot++) {
		const struct stats_entry *entry = &sync->stats->entry[kind][slot];
		if (entry->state != STATS_DELETED)
			continue;
		if (kind == STATS_INTERFACE) {
			struct stats_interface sum;
			struct stats_sparse sparse;
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
		dataplane_release(sync->dataplane, entry->uid);
	}
}

void counters_tick(struct sync *sync)
{
	if (sync->stats == NULL || dataplane_status(sync->dataplane)->state != DATAPLANE_SYNCED)
		return;
	release_deleted(sync, STATS_INTERFACE);
	release_deleted(sync, STATS_LIMITER);
}
