// SPDX-License-Identifier: BSD-3-Clause

// What is for us: packets to our addresses, ARP and neighbor discovery. Classify and lookup find
// them and put them on a list of their own; here it is decided who gets them. That is the host
// path, which is bounded and sorts them into classes, so that a flood of one kind starves no other.

#include "dataplane/stages/stages.h"

static int punt(struct worker *w, unsigned i)
{
	const struct local_list *l = &w->local;
	const struct packet *p = &l->packet[i];
	const struct interface *interface = w->tables->interface;
	const struct host_item item = {
		.mbuf = l->mbuf[i],
		.slot = p->in,
		.generation = interface[p->in].generation,
		.tenure = interface[p->in].tenure,
		.info = l->info[i],
		.info_generation = interface[l->info[i]].generation,
		.l3 = p->l3,
		.l4 = p->l4,
		.protocol = p->protocol,
		.reason = l->reason[i],
		.part = !!(p->flags & PACKET_PART),
		.core = !!(interface[p->in].flags & WIRE_INTERFACE_CORE),
	};
	return host_punt(w->host, &item, w->now);
}

void stage_local(struct worker *w)
{
	struct local_list *l = &w->local;
	for (unsigned i = 0; i < l->count; i++) {
		int result = w->host != NULL ? punt(w, i) : 0;
		if (likely(w->host != NULL && result == 0))
			continue;
		enum drop_reason reason = w->host != NULL ? host_punt_drop(result) : DROP_HOST_NONE;
		w->sparse[l->packet[i].in].drops[reason]++;
		bury(w, l->mbuf[i]);
	}
	l->count = 0;
}
