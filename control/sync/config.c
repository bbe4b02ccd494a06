// SPDX-License-Identifier: BSD-3-Clause
// The configuration's records in the ledger: VRFs, limiters, Ethernet interfaces and our addresses on them.
// (Tunnels: underlay.c, since they name a next-hop group.) Wanting a record that is already so costs a
// comparison, so all of them are wanted again at each publication; what the old configuration had and the
// new has not is taken back.

#include "control/sync/state.h"

#include <string.h>

static struct wire_local local_record(const struct desired_interface *interface)
{
	struct wire_local local = {
		.vrf = interface->record.vrf,
		.interface = interface->id,
		.family = interface->local.family,
	};
	memcpy(local.addr, interface->local.bytes, sizeof(local.addr));
	return local;
}

static void want_all(struct sync *sync, const struct desired *desired)
{
	for (unsigned int i = 0; i < desired->domains.count; i++)
		record_want(
			&sync->records, WIRE_VRF_SET, RANK_VRF, &desired->domains.item[i].record);
	for (unsigned int i = 0; i < desired->limiters.count; i++)
		record_want(&sync->records, WIRE_LIMITER_SET, RANK_LIMITER,
			&desired->limiters.item[i].record);
	for (unsigned int i = 0; i < desired->interfaces.count; i++) {
		const struct desired_interface *interface = &desired->interfaces.item[i];
		if (interface->kind == INTERFACE_TUNNEL)
			continue;
		record_want(&sync->records, WIRE_INTERFACE_SET, RANK_ETHERNET, &interface->record);
		const struct wire_local local = local_record(interface);
		record_want(&sync->records, WIRE_LOCAL_SET, RANK_LOCAL, &local);
	}
}

static void unwant(struct sync *sync, uint16_t type, const void *value)
{
	struct record *record = record_find(&sync->records, type, value);
	if (record != NULL && record->wanted)
		record_unwant(&sync->records, record);
}

static const struct desired_limiter *find_limiter(const struct desired *desired, uint32_t id)
{
	unsigned int low = 0, high = desired->limiters.count;

	while (low < high) {
		unsigned int middle = low + (high - low) / 2;
		if (desired->limiters.item[middle].record.limiter < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < desired->limiters.count && desired->limiters.item[low].record.limiter == id
		       ? &desired->limiters.item[low]
		       : NULL;
}

static void unwant_interface(struct sync *sync, const struct desired_interface *old)
{
	const struct desired_interface *now = desired_interface(sync->desired, old->id);

	if (old->kind != INTERFACE_TUNNEL) {
		const struct wire_local was = local_record(old);
		bool same = now != NULL && now->record.vrf == old->record.vrf &&
			    ip_address_compare(&now->local, &old->local) == 0;
		if (!same)
			unwant(sync, WIRE_LOCAL_SET, &was);
	}
	if (now == NULL)
		unwant(sync, WIRE_INTERFACE_SET, &old->record);
}

static void unwant_stale(struct sync *sync, const struct desired *old)
{
	for (unsigned int i = 0; i < old->interfaces.count; i++)
		unwant_interface(sync, &old->interfaces.item[i]);
	for (unsigned int i = 0; i < old->limiters.count; i++)
		if (find_limiter(sync->desired, old->limiters.item[i].record.limiter) == NULL)
			unwant(sync, WIRE_LIMITER_SET, &old->limiters.item[i].record);
	for (unsigned int i = 0; i < old->domains.count; i++)
		if (desired_domain(sync->desired, old->domains.item[i].id) == NULL)
			unwant(sync, WIRE_VRF_SET, &old->domains.item[i].record);
}

void config_apply(struct sync *sync, const struct desired *old)
{
	if (!sync->ready)
		return;
	if (old != NULL)
		unwant_stale(sync, old);
	want_all(sync, sync->desired);
}
