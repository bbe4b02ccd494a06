// SPDX-License-Identifier: BSD-3-Clause

// What an interface's record becomes: the ranges and references that a record must have, and the
// two or three lines that workers read, derived from it. Who may have which entrance, and when each
// of these may be written under running workers, is interface.c's.

#include "dataplane/tables/interface_private.h"

#include "dataplane/tables/limiter.h"
#include "dataplane/tables/limiters.h"
#include "dataplane/tables/tables.h"
#include "dataplane/tables/vrf.h"

#include <errno.h>
#include <string.h>

#define FLAGS                                                                    \
	(WIRE_INTERFACE_UP | WIRE_INTERFACE_SOURCE_CHECK | WIRE_INTERFACE_CORE | \
		WIRE_INTERFACE_KEY | WIRE_INTERFACE_PARKED)

static int check_ethernet(const struct dataplane *dp, const struct wire_interface *r)
{
	if (r->port >= dp->ports || r->vlans > 2 || (r->mac[0] & 1))
		return -EINVAL;
	for (unsigned i = 0; i < 2; i++) {
		if (i < r->vlans ? r->vlan[i] == 0 || r->vlan[i] > 4094 : r->vlan[i] != 0)
			return -EINVAL;
	}
	if (r->key != 0 || r->underlay != 0 || r->family != 0 || r->ttl != 0 ||
		(r->flags & WIRE_INTERFACE_KEY) || !wire_addr_is_zero(r->local, 0, 16) ||
		!wire_addr_is_zero(r->remote, 0, 16))
		return -EINVAL;
	if (dp->port[r->port]->merges && !(r->flags & WIRE_INTERFACE_CORE))
		return -EOPNOTSUPP;
	if (dp->port[r->port]->tags == PORT_TAGS_HIDDEN && r->vlans != 0)
		return -EOPNOTSUPP;
	return 0;
}

// MTU is enforced by us, and what a device cannot carry is lost without a trace: no interface
// claims more than its port.
uint16_t interface_mtu(const struct dataplane *dp, const struct wire_interface *r)
{
	if (r->kind != WIRE_INTERFACE_ETHERNET)
		return r->mtu;
	uint16_t most = port_mtu(dp->port[r->port], r->vlans);
	return r->mtu < most ? r->mtu : most;
}

static int check_gre(const struct wire_interface *r)
{
	if (r->vlans != 0 || r->vlan[0] != 0 || r->vlan[1] != 0 || r->port != 0 || r->ttl == 0 ||
		(r->flags & WIRE_INTERFACE_CORE) || !wire_addr_is_zero(r->mac, 0, 6) ||
		(!(r->flags & WIRE_INTERFACE_KEY) && r->key != 0))
		return -EINVAL;
	if (r->family == WIRE_IPV4) {
		return wire_addr_is_zero(r->local, 4, 16) && wire_addr_is_zero(r->remote, 4, 16) &&
				       !wire_addr_is_zero(r->local, 0, 4) &&
				       !wire_addr_is_zero(r->remote, 0, 4)
			       ? 0
			       : -EINVAL;
	}
	return r->family == WIRE_IPV6 && !wire_addr_is_zero(r->local, 0, 16) &&
			       !wire_addr_is_zero(r->remote, 0, 16)
		       ? 0
		       : -EINVAL;
}

int interface_check(const struct dataplane *dp, const struct wire_interface *r)
{
	if (r->uid == 0 || r->uid >> 63 || r->interface == 0 || (r->flags & ~FLAGS) ||
		r->mtu < 576 || r->mtu > 9600 || r->owner == OWNER_MIXED)
		return -EINVAL;
	if (r->kind == WIRE_INTERFACE_ETHERNET)
		return check_ethernet(dp, r);
	return r->kind == WIRE_INTERFACE_GRE ? check_gre(r) : -EINVAL;
}

int interface_resolve(
	const struct dataplane *dp, const struct wire_interface *r, struct interface_refs *refs)
{
	refs->vrf = vrf_find(dp, r->vrf);
	refs->limiter_in = limiter_find(dp, r->limiter_in);
	refs->limiter_out = limiter_find(dp, r->limiter_out);
	refs->underlay = slots_find(&dp->tables->group_slots, r->underlay);
	if (refs->vrf == 0 || (r->limiter_in != 0 && refs->limiter_in == 0) ||
		(r->limiter_out != 0 && refs->limiter_out == 0) ||
		(r->underlay != 0 && refs->underlay == 0))
		return -ENOENT;
	return 0;
}

int16_t interface_overhead(const struct tables *t, uint32_t limiter, unsigned vlans)
{
	return limiter == 0 ? 0 : (int16_t)limiter_account(&t->limiter_record[limiter], vlans);
}

// What may change at any moment.
void interface_write_soft(struct dataplane *dp, uint32_t slot, const struct wire_interface *r,
	const struct interface_refs *refs)
{
	const struct tables *t = dp->tables;
	struct interface *i = &t->interface[slot];
	__atomic_store_n(&i->limiter_in, refs->limiter_in, __ATOMIC_RELAXED);
	__atomic_store_n(&i->account_in, interface_overhead(t, refs->limiter_in, r->vlans),
		__ATOMIC_RELAXED);
	__atomic_store_n(&i->mtu, interface_mtu(dp, r), __ATOMIC_RELAXED);
	uint8_t flags = (uint8_t)r->flags;
	if (flags & WIRE_INTERFACE_PARKED)
		flags &= (uint8_t)~WIRE_INTERFACE_UP;
	__atomic_store_n(&i->flags, flags, __ATOMIC_RELEASE);
}

// What no worker may see change.
void interface_write_hard(struct dataplane *dp, uint32_t slot, const struct wire_interface *r,
	const struct interface_refs *refs)
{
	struct interface *i = &dp->tables->interface[slot];
	__atomic_store_n(&i->generation, i->generation + 1, __ATOMIC_RELEASE);
	i->vrf = refs->vrf;
	i->owner = r->owner;
	i->id = r->interface;
	i->kind = r->kind;
	i->family = r->family;
	i->key = r->key;
	i->port = (uint16_t)r->port;
	i->l2_bytes = 0;
	if (r->kind == WIRE_INTERFACE_GRE) {
		memcpy(&i->remote4, r->remote, 4);
		memcpy(&i->local4, r->local, 4);
		memcpy(i->remote6, r->remote, 16);
		memcpy(i->local6, r->local, 16);
		return;
	}
	i->l2_bytes = 14 + 4 * r->vlans;
	memcpy(i->mac, wire_addr_is_zero(r->mac, 0, 6) ? dp->port[r->port]->mac : r->mac, 6);
}

// The limiter's accounting changed.
void interfaces_follow_limiter(struct dataplane *dp, uint32_t limiter)
{
	struct tables *t = dp->tables;
	const struct links *in = &t->limiter_in_interfaces, *out = &t->limiter_out_interfaces;
	for (uint32_t slot = in->first[limiter]; slot != 0; slot = in->next[slot])
		__atomic_store_n(&t->interface[slot].account_in,
			interface_overhead(t, limiter, t->interface_record[slot].vlans),
			__ATOMIC_RELAXED);
	for (uint32_t slot = out->first[limiter]; slot != 0; slot = out->next[slot]) {
		entries_follow_interface(dp, slot);
	}
}
