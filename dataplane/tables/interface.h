/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TABLES_INTERFACE_H
#define TABLES_INTERFACE_H

// Interfaces: attachments (port, VLAN stack) and GRE tunnels, as a packet meets them that comes in;
// what one going out needs is in the forwarding entries. The slot is the one of the counters in the
// stats segment. Line 0 is all there is to read but for tunnels over IPv6.

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/tables/map.h"
#include "dataplane/wire/types.h"

struct dataplane;
struct port;

#define INTERFACE_SLOT_NONE 0u

struct interface {
	uint32_t vrf;        // slot; 0 = not an interface (free, or a port's unclassified)
	uint32_t owner;      // as on the wire
	uint32_t limiter_in; // limiter slot, 0 = none
	uint32_t generation; // of this slot: what is parked across turns compares it
	uint8_t flags;       // WIRE_INTERFACE_*
	uint8_t kind;        // WIRE_INTERFACE_ETHERNET, _GRE, 0
	uint8_t family;      // GRE: of the outer header
	uint8_t l2_bytes;    // Ethernet: header + tags
	uint16_t port;       // Ethernet
	uint8_t mac[6];      // Ethernet: ours
	uint32_t remote4;    // GRE over IPv4: outer source of what comes in, network order
	uint32_t local4;
	uint32_t key;       // host order
	uint32_t id;        // wire id
	int16_t account_in; // added to an IP packet's length for limiter_in
	uint16_t mtu;       // largest IP packet
	// Grows when the interface is deleted, not when it is changed: as long as it is the same
	// the slot counts for the same object, so what was parked for an earlier shape of it is
	// charged to it all the same.
	uint32_t tenure;
	int16_t pad1[4];

	// GRE over IPv6, both directions
	uint8_t remote6[16] __attribute__((aligned(64)));
	uint8_t local6[16];
	uint8_t pad2[32];
};
_Static_assert(sizeof(struct interface) == 128, "interface");

int interface_set(struct dataplane *dp, const struct wire_interface *r);
// Several as one change, of interfaces that are new, changed or as they are: error[i] is what
// setting record i would give in the state in which every interface named has given up its entrance
// (given nonzero, the caller has refused it already: then the others are only checked). 0: all are
// set (error[i] 0 or 1); -ECANCELED: some error[i] is negative and nothing is changed; -ENOMEM
// likewise. Waits for one grace period if an interface becomes another one.
int interface_exchange(
	struct dataplane *dp, const struct wire_interface *record, unsigned count, int *error);
int interface_delete(
	struct dataplane *dp, uint32_t id); // -EBUSY: neighbors, paths or local addresses use it
uint32_t interface_find(const struct dataplane *dp, uint32_t id); // slot, 0 = none
uint32_t interface_count(const struct dataplane *dp);

// By slot, for holders of (slot, generation): NULL if the slot is free.
const struct interface *interface_at(const struct dataplane *dp, uint32_t slot);
const struct wire_interface *interface_record(
	const struct dataplane *dp, uint32_t slot); // main thread

// The MTU in force: the record's, or less where its port carries less.
uint16_t interface_mtu(const struct dataplane *dp, const struct wire_interface *r);

// After a port's MTU changed: its interfaces' follow it. `changed` is called for those that did.
void interfaces_follow_port(
	struct dataplane *dp, uint32_t port, void (*changed)(void *ctx, uint32_t slot), void *ctx);

// The slot a port charges for frames of no interface.
int interface_add_unclassified(struct dataplane *dp, uint32_t port, uint32_t *slot);

#endif
