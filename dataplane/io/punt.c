// SPDX-License-Identifier: BSD-3-Clause
// The workers' end of the host path: packets to us are sorted into classes, policed and put into
// rings; what the host path wants sent is taken out.
//
// Who shares what decides who can starve whom. A ring per worker and class keeps a flood of pings
// from BGP, and ICMP error material from both. A rate per interface within each class keeps one
// customer from another: it is the generic cell rate algorithm over an array that only this worker
// touches, so it costs a line or two and no atomics. Everything here runs in a worker: no lock, no
// system call, no division.
//
// The kernel's neighbor table is shared by all, whatever namespace they are in, and what asks for us
// goes into it with the address it says it has. So customers ask at a rate of its own, which leaves
// room for others as the kernel forgets strangers after 5 s when it needs their place.

#include "dataplane/io/host_private.h"

#include <rte_ip.h>
#include <rte_ring_elem.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "dataplane/wire/drop.h"

#define PORT_BGP      179
#define PORT_BFD      3784
#define PORT_BFD_ECHO 3785
#define PORT_BFD_HOPS 4784

#define ARP_REPLY 2

#define ND_FIRST         133 // ICMPv6 types
#define ND_ADVERTISEMENT 136
#define ND_LAST          137

#define REFUSED(reason) (-(int)(reason)-1)

static bool routing_ports(uint8_t protocol, const uint8_t *l4)
{
	uint16_t source = (uint16_t)(l4[0] << 8 | l4[1]), target = (uint16_t)(l4[2] << 8 | l4[3]);

	if (protocol == IPPROTO_TCP)
		return source == PORT_BGP || target == PORT_BGP;
	return protocol == IPPROTO_UDP &&
	       (target == PORT_BFD || target == PORT_BFD_ECHO || target == PORT_BFD_HOPS);
}

// Makes the kernel remember its sender: ARP but its answers, neighbor discovery but advertisements,
// and what has a link-local source and may be answered.
static bool asks(const struct host_item *item, const uint8_t *l3, uint32_t length)
{
	if (length < 8 || l3[0] >> 4 == 4)
		return false;
	if (l3[0] >> 4 != 6)
		return l3[6] != 0 || l3[7] != ARP_REPLY;
	if (length < 40 || (item->l4 == 0 && !item->part))
		return true; // what it is cannot be seen
	if (item->l4 != 0 && item->l4 < length && item->protocol == IPPROTO_ICMPV6 &&
		l3[item->l4] >= ND_FIRST && l3[item->l4] <= ND_LAST)
		return l3[item->l4] != ND_ADVERTISEMENT;
	return l3[8] == 0xfe && (l3[9] & 0xc0) == 0x80;
}

static enum host_class classify(const struct host_item *item)
{
	const uint8_t *l3 = rte_pktmbuf_mtod_offset(item->mbuf, const uint8_t *, item->l3);
	uint32_t length = rte_pktmbuf_data_len(item->mbuf) - item->l3;

	if (item->reason != HOST_NEIGHBOR && item->reason != HOST_LOCAL)
		return HOST_ERROR;
	if (!item->core && asks(item, l3, length))
		return HOST_ASK;
	if (item->reason == HOST_NEIGHBOR)
		return HOST_ND;
	if (item->l4 != 0 && length >= item->l4 + 4u &&
		routing_ports(item->protocol, l3 + item->l4))
		return HOST_ROUTING;
	return HOST_OTHER;
}

int host_punt(struct host_queue *queue, const struct host_item *item, uint64_t now)
{
	struct host_item copy = *item;
	const struct host_rate *rate;
	uint64_t *arrival, ahead;

	if (item->slot >= queue->slots || rte_pktmbuf_data_len(item->mbuf) < item->l3)
		return REFUSED(DROP_HOST_NONE);
	copy.class = (uint8_t)classify(item);
	arrival = &queue->arrival[item->slot][copy.class];
	rate = &queue->rate[copy.class];
	ahead = rate_ahead(*arrival, now, rate->burst, rate->interval);
	if (ahead > rate->burst)
		return REFUSED(DROP_HOST_LIMITED);
	if (rte_ring_enqueue_elem(queue->to_host[copy.class], &copy, sizeof(copy)))
		return REFUSED(DROP_HOST_FULL);
	*arrival = now + ahead + rate->interval;
	return 0;
}

unsigned host_take(struct host_queue *queue, struct host_entry *entries, unsigned max)
{
	return rte_ring_dequeue_burst_elem(queue->from_host, entries, sizeof(*entries), max, NULL);
}
