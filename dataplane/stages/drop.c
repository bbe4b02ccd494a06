// SPDX-License-Identifier: BSD-3-Clause

// How packets end that nobody wants: they are collected and freed in bulk, once per burst. Their
// reasons were counted when they were known. Some are the raw material of ICMP errors, and are
// offered to the host path first.

#include "dataplane/stages/stages.h"

static int offer(struct worker *w, unsigned i, unsigned reason, uint32_t info)
{
	const struct packet *p = &w->burst.packet[i];
	const struct interface *interface = w->tables->interface;
	bool known = reason == HOST_TTL || reason == HOST_TOO_BIG || reason == HOST_UNREACHABLE;
	uint32_t out = known ? p->out : 0;
	const struct host_item item = {
		.mbuf = w->burst.mbuf[i],
		.slot = p->in,
		.generation = interface[p->in].generation,
		.tenure = interface[p->in].tenure,
		.info = info,
		.out = out,
		.out_generation = interface[out].generation,
		.l3 = p->l3,
		.reason = (uint8_t)reason,
	};
	return host_punt(w->host, &item, w->now);
}

void burst_drop_icmp(
	struct worker *w, unsigned i, enum drop_reason drop, unsigned reason, uint32_t info)
{
	// No errors about errors of ours, nor about frames that were sent to many (RFC 1812
	// 4.3.2.7).
	bool quiet = w->burst.packet[i].flags & (PACKET_FREE | PACKET_GROUP | PACKET_HOST);
	if (w->host == NULL || quiet || offer(w, i, reason, info) != 0) {
		burst_drop(w, i, drop);
		return;
	}
	w->sparse[w->burst.packet[i].in].drops[drop]++;
	w->burst.packet[i].pending = (uint8_t)drop;
	w->burst.alive &= ~(1u << i);
}

void stage_drop(struct worker *w)
{
	if (w->dead_count != 0)
		rte_pktmbuf_free_bulk(w->dead, w->dead_count);
	w->dead_count = 0;
}
