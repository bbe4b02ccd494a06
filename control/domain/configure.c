// SPDX-License-Identifier: BSD-3-Clause
// The configuration's records in the ledger: VRFs, limiters, interfaces and our addresses on them. Wanting a record that is
// already so costs a comparison. A tunnel's record names the next-hop group it leaves by: underlay.c writes it.

#include "control/domain/state.h"

#include <string.h>

void configure_domain(struct domains *domains, const struct intent_domain *wanted)
{
	struct wire_vrf record = {.vrf = wanted->id};

	if (!domains->sync.ready)
		return;
	strncpy(record.name, wanted->host_name, sizeof(record.name) - 1);
	record_want(&domains->sync.records, WIRE_VRF_SET, RANK_VRF, &record);
}

static void fill_tunnel(struct wire_interface *record, const struct intent_tunnel *tunnel)
{
	record->kind = WIRE_INTERFACE_GRE;
	record->flags |= WIRE_INTERFACE_KEY;
	record->key = tunnel->key;
	record->family = tunnel->local.family;
	record->ttl = tunnel->ttl;
	memcpy(record->local, tunnel->local.bytes, sizeof(record->local));
	memcpy(record->remote, tunnel->remote.bytes, sizeof(record->remote));
}

struct wire_interface interface_record(const struct intent_interface *wanted)
{
	struct wire_interface record = {
		.interface = wanted->id,
		.uid = wanted->uid,
		.vrf = wanted->domain,
		.owner = wanted->owner,
		.mtu = wanted->mtu,
		.flags = (wanted->up ? WIRE_INTERFACE_UP : 0) |
			 (wanted->source_check ? WIRE_INTERFACE_SOURCE_CHECK : 0),
	};

	if (wanted->kind == INTENT_TUNNEL) {
		fill_tunnel(&record, &wanted->tunnel);
		return record;
	}
	record.kind = WIRE_INTERFACE_ETHERNET;
	record.port = wanted->port;
	record.vlans = wanted->vlans;
	record.vlan[0] = wanted->vlan[0];
	record.vlan[1] = wanted->vlan[1];
	record.limiter_in = wanted->limiter_in;
	record.limiter_out = wanted->limiter_out;
	if (wanted->kind == INTENT_CORE)
		record.flags |= WIRE_INTERFACE_CORE;
	return record;
}

struct wire_local local_record(const struct intent_interface *wanted, unsigned int family)
{
	const struct ip_address *address = &wanted->address[family].local;
	struct wire_local local = {
		.vrf = wanted->domain,
		.interface = wanted->id,
		.family = address->family,
	};
	memcpy(local.addr, address->bytes, sizeof(local.addr));
	return local;
}

void configure_interface(struct domains *domains, const struct intent_interface *wanted)
{
	const struct wire_interface record = interface_record(wanted);

	if (!domains->sync.ready)
		return;
	record_want(&domains->sync.records, WIRE_INTERFACE_SET, RANK_ETHERNET, &record);
	for (unsigned int i = 0; i < 2; i++) {
		const struct wire_local local = local_record(wanted, i);
		if (local.family != 0)
			record_want(&domains->sync.records, WIRE_LOCAL_SET, RANK_LOCAL, &local);
	}
}

void configure_limiter(struct domains *domains, const struct intent_limiter *wanted)
{
	const struct wire_limiter record = {
		.uid = wanted->uid,
		.rate = wanted->rate,
		.burst = wanted->burst,
		.ramp = wire_ramp_default(wanted->rate),
		.ef_rate = wanted->ef_rate,
		.packet_rate = wanted->packet_rate,
		.queue = wanted->queue,
		.limiter = wanted->id,
		.flags = wanted->queue != 0 ? WIRE_LIMITER_SHAPE : 0,
		.overhead = wanted->overhead,
		.account = wanted->count_frames ? WIRE_ACCOUNT_L2 : WIRE_ACCOUNT_L3,
	};

	if (domains->sync.ready)
		record_want(&domains->sync.records, WIRE_LIMITER_SET, RANK_LIMITER, &record);
}

static void unwant(struct domains *domains, struct record *record)
{
	if (record != NULL && record->wanted)
		record_unwant(&domains->sync.records, record);
}

void unconfigure_domain(struct domains *domains, uint32_t id)
{
	unwant(domains, record_find_id(&domains->sync.records, WIRE_VRF_SET, id));
}

void unconfigure_limiter(struct domains *domains, uint32_t id)
{
	unwant(domains, record_find_id(&domains->sync.records, WIRE_LIMITER_SET, id));
}

void unconfigure_local(
	struct domains *domains, const struct intent_interface *was, unsigned int family)
{
	const struct wire_local local = local_record(was, family);
	struct record *record = record_find(&domains->sync.records, WIRE_LOCAL_SET, &local);

	// An address that went to another interface is that one's.
	if (record != NULL &&
		((const struct wire_local *)(const void *)record->value)->interface == was->id)
		unwant(domains, record);
}

void unconfigure_interface(struct domains *domains, const struct intent_interface *was)
{
	for (unsigned int i = 0; i < 2; i++)
		if (was->address[i].local.family != 0)
			unconfigure_local(domains, was, i);
	unwant(domains, record_find_id(&domains->sync.records, WIRE_INTERFACE_SET, was->id));
}
