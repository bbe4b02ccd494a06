// SPDX-License-Identifier: BSD-3-Clause
// A tag is its interfaces', an address that of every address of ours that is the same, in whichever
// routing domain: each is counted, and goes with the last.

#include "dataplane/io/xdp_owned.h"

#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>

#include "dataplane/io/port.h"
#include "dataplane/io/steer.h"

static uint32_t owner_of(const struct xdp_owned *o, uint32_t vid)
{
	return o->tags[0][vid] != 0   ? STEER_TAKE
	       : o->tags[1][vid] != 0 ? STEER_ADDRESSED
				      : STEER_LEAVE;
}

static void write_owner(const struct xdp_owned *o, const int *fd, uint32_t vid)
{
	uint32_t owner = owner_of(o, vid), leave = STEER_LEAVE, other = vid + STEER_88A8;
	int map = fd[STEER_TAGS_MAP];

	bpf_map_update_elem(
		map, &vid, vid != 0 && o->outer_tpid == PORT_TPID_88A8 ? &leave : &owner, 0);
	if (vid != 0)
		bpf_map_update_elem(
			map, &other, o->outer_tpid == PORT_TPID_8100 ? &leave : &owner, 0);
}

void xdp_own_tag(struct xdp_owned *o, const int *fd, uint16_t vid, bool core, int change)
{
	uint32_t before = owner_of(o, vid);

	o->tags[core][vid] += (uint32_t)change;
	if (fd != NULL && owner_of(o, vid) != before)
		write_owner(o, fd, vid);
}

static void write_address(const int *fd, const struct steer_address *a)
{
	uint32_t one = 1;

	bpf_map_update_elem(fd[STEER_ADDRESSES_MAP], a, &one, 0);
}

int xdp_own_address(
	struct xdp_owned *o, const int *fd, uint8_t family, const uint8_t *address, int change)
{
	struct steer_address a = {.family = family};
	unsigned at = 0;

	memcpy(a.bytes, address, family == WIRE_IPV4 ? 4 : 16);
	while (at < o->addresses && memcmp(&o->address[at].address, &a, sizeof(a)) != 0)
		at++;
	if (at == o->addresses) {
		if (change < 0) // there was no room for it
			return 0;
		if (at == STEER_ADDRESSES)
			return -ENOSPC;
		o->address[o->addresses++].address = a;
		if (fd != NULL)
			write_address(fd, &a);
	}
	o->address[at].users += (uint32_t)change;
	if (o->address[at].users != 0)
		return 0;
	o->address[at] = o->address[--o->addresses];
	o->address[o->addresses].users = 0;
	if (fd != NULL)
		bpf_map_delete_elem(fd[STEER_ADDRESSES_MAP], &a);
	return 0;
}

void xdp_own_all(const struct xdp_owned *o, const int *fd)
{
	for (uint32_t vid = 0; vid < STEER_88A8; vid++)
		if (owner_of(o, vid) != STEER_LEAVE)
			write_owner(o, fd, vid);
	for (unsigned i = 0; i < o->addresses; i++)
		write_address(fd, &o->address[i].address);
}
