/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TABLES_INTERFACE_PRIVATE_H
#define TABLES_INTERFACE_PRIVATE_H

// What the two halves of the interface table share: interface.c (their life) and interface_write.c
// (their contents).

#include "dataplane/tables/interface.h"

struct tables;

// What a record refers to, by slot; 0 = nothing.
struct interface_refs {
	uint32_t vrf;
	uint32_t limiter_in;
	uint32_t limiter_out;
	uint32_t underlay;
};

// -EINVAL: out of range, or not of its kind.
int interface_check(const struct dataplane *dp, const struct wire_interface *r);
// -ENOENT: refers to what is not there.
int interface_resolve(
	const struct dataplane *dp, const struct wire_interface *r, struct interface_refs *refs);

// What may change at any moment: aligned stores, up last.
void interface_write_soft(struct dataplane *dp, uint32_t slot, const struct wire_interface *r,
	const struct interface_refs *refs);
// What no worker may see change: the interface is in no map, down, and grace has passed since. A
// new generation.
void interface_write_hard(struct dataplane *dp, uint32_t slot, const struct wire_interface *r,
	const struct interface_refs *refs);

#endif
