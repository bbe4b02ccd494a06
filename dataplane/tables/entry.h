/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TABLES_ENTRY_H
#define TABLES_ENTRY_H

// Forwarding entries: all that a worker needs to send a packet on, in one cache line, indexed by
// the FIB's answer.
//
// Groups, paths and interfaces have one each, in one array: the FIB's answer is a group's slot and
// thereby an index; a path's entry is what a choice among several leads to; an interface's serves
// what enters behind lookup (the kernel's packets for a tunnel). A tunnel's entry names, in `via`,
// the group that leads to its far end in the core: an entry too, shared by nearly all tunnels and
// so always warm.
//
// One writer. What is one word to a worker (path_state) is outside. An entry changes as a whole:
// `seq` is odd meanwhile, and entry_read() copies it or says that it could not.

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/wire/types.h"

struct dataplane;
struct tables;

enum entry_kind {
	ENTRY_DROP,
	ENTRY_LOCAL,
	ENTRY_L2,
	ENTRY_GRE4,
	ENTRY_GRE6,
	ENTRY_UDP4, // reserved
	ENTRY_UDP6, // reserved
	ENTRY_MULTI,
};

#define ENTRY_KEY        (1u << 0) // GRE with key
#define ENTRY_CHECKSUM   (1u << 1) // reserved: GRE with checksum
#define ENTRY_SEQUENCE   (1u << 2) // reserved: GRE with sequence number
#define ENTRY_DF         (1u << 3) // reserved: DF always set outside
#define ENTRY_PIPE       (1u << 4) // reserved: the inner DSCP stays inside
#define ENTRY_VOUCHES    (1u << 5) // for a source of `owner`
#define ENTRY_DOWN       (1u << 6) // the way out is down
#define ENTRY_UNRESOLVED (1u << 7) // l2: nobody knows the neighbor's MAC

#define OWNER_MIXED    UINT32_MAX
#define REWRITE_MAX    24u
#define GRE4_FRONT_MAX 28u

struct entry {
	uint16_t seq; // even = stable
	uint8_t kind;
	uint8_t flags;
	uint32_t path;  // usable if path_state[path] says so; 0 is always
	uint32_t out;   // interface slot, of any VRF
	uint32_t owner; // of that interface; multi: of all paths, OWNER_MIXED if they differ
	uint32_t limiter_out;
	uint32_t account; // slot in the stats segment; 0 = none
	uint32_t via;     // tunnel: the core's entry (0 = down); l2: neighbor; multi: block; local:
			  // interface
	uint16_t mtu;     // of the way out itself: for a tunnel the core's, less the outer header,
			  // counts beside it
	int16_t overhead; // added to an IP packet's length for limiter_out
	union {
		uint16_t port; // l2
		uint16_t sum;  // gre4: of the front's IP header, as far as it is known; host order
	};
	uint8_t length; // of what it puts in front of a packet: MACs and tags, or outer IP and GRE
			// header
	uint8_t pad;
	union {
		struct {
			uint8_t pad[4];
			uint8_t rewrite[REWRITE_MAX]; // right-aligned: MACs, tags, IPv4 ethertype
		} l2;
		struct {
			// Right-aligned: outer IPv4 header, GRE around IPv4. Length, TOS, id, DF
			// and checksum are 0.
			uint8_t front[GRE4_FRONT_MAX];
		} gre4;
		struct {
			uint8_t remote[16];
			uint32_t key;   // network order
			uint32_t local; // interface slot that has the local address
			uint8_t ttl;
			uint8_t pad[3];
		} gre6;
	};
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct entry) == 64, "entry");

static inline bool entry_is_tunnel(const struct entry *e)
{
	return e->kind >= ENTRY_GRE4 && e->kind <= ENTRY_UDP6;
}

// The largest IP packet that `e` takes when it leaves by `l2`, which is `e` itself if it is no
// tunnel.
static inline unsigned entry_mtu(const struct entry *e, const struct entry *l2)
{
	if (e == l2)
		return e->mtu;
	unsigned core = l2->mtu - e->length;
	return e->mtu < core ? e->mtu : core;
}

#define ENTRY_TRIES 4096 // some 100 us: by then the writer is not writing but was put to sleep

// False: the writer did not finish; treat it as down.
static inline bool entry_read(const struct entry *from, struct entry *to)
{
	for (unsigned i = 0; i < ENTRY_TRIES; i++) {
		uint16_t seq = __atomic_load_n(&from->seq, __ATOMIC_ACQUIRE);
		__builtin_memcpy(to, from, sizeof(*to));
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__builtin_expect(
			    !(seq & 1) && __atomic_load_n(&from->seq, __ATOMIC_RELAXED) == seq, 1))
			return true;
#ifdef __SSE2__
		__builtin_ia32_pause();
#endif
	}
	return false;
}

// Writer's side.

// Writes what differs; `e->seq` is ignored.
void entry_write(struct entry *to, const struct entry *e);
// What the records say of a path or of an interface itself, as an entry without path and account.
void entry_of_way(
	const struct dataplane *dp, uint32_t interface, uint32_t neighbor, struct entry *e);
// The interface changed: its own entry, those of its paths, those of their groups.
void entries_follow_interface(struct dataplane *dp, uint32_t interface);
// The path's record, or something it names, changed.
void entries_follow_path(struct dataplane *dp, uint32_t path);

#endif
