/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WIRE_STATS_H
#define WIRE_STATS_H

// The stats segment: one preallocated, prefaulted file on hugetlbfs or tmpfs. The data plane writes
// it, the controller and tools read it, and it outlives both: a restarted data plane takes it up
// again. All numbers are host order, monotone 64-bit counts; readers may see a line half updated
// between two packets, never a torn number.
//
//   header | directories of interfaces, limiters, accounts | limiter words
//          | per writer: hot lines by interface, limiter parts, accounts, sparse blocks, each by
//          slot
//
// A writer is a worker, the host-path thread, or the fold: counts of writers that no longer exist.
// A value is the sum over all writers.

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/wire/drop.h"

#define STATS_MAGIC   0x31535643u
#define STATS_WRITERS 18u // 16 workers, host path, fold
#define STATS_HOST    16u
#define STATS_FOLD    17u

#define STATS_FREE    0u
#define STATS_LIVE    1u
#define STATS_DELETED 2u // final values stay until the controller releases the uid

// First in the file. `layout` is a hash over every size and number that the layout depends on: a
// file with another one is never interpreted.
struct stats_header {
	uint32_t magic;
	uint32_t version;
	uint64_t layout;
	uint64_t size;     // of the file in bytes
	uint64_t segment;  // random per creation of the file: counters started from 0
	uint64_t instance; // random per start of a data plane
	uint64_t hz;       // TSC ticks per second that the limiter words were written with
	uint64_t start;    // CLOCK_REALTIME ns of the last start
	uint32_t starts;
	uint32_t workers;
	uint32_t slots[3]; // interface, limiter, account
	uint32_t pad;
	uint64_t entry_offset[3];
	uint64_t word_offset;
	uint64_t writer_offset;
	uint64_t writer_stride;
	uint64_t limiter_offset; // within a writer's part; hot lines come first
	uint64_t account_offset;
	uint64_t sparse_offset;
	char boot[40];       // kernel's boot id
	uint64_t moving;     // odd while counts move between lines: sums are not to be trusted
	uint64_t move_armed; // redo log of one such move: 1 = the rest is valid
	uint64_t move_from;  // offsets in the file
	uint64_t move_to;
	uint64_t move_words; // 1..8
	uint64_t move_value[8];
	uint64_t changes; // of the directories: a reader's index is good while this stands
};

// Uids that the data plane gives itself; the controller's stay below 2^63. Slot 0 counts for the
// data plane as a whole; each port has one that counts its frames that belong to no interface.
#define STATS_UID_SELF           UINT64_MAX
#define STATS_UID_OWN            (1ull << 63)
#define STATS_UNCLASSIFIED(port) (STATS_UID_OWN | (port))

// Directory entry: which object a slot counts for.
struct stats_entry {
	uint64_t uid;
	uint32_t generation; // grows each time the slot gets a new owner
	uint32_t state;      // STATS_*
};
static_assert(sizeof(struct stats_entry) == 16, "stats_entry");

// One cache line per writer and interface. The two laws of docs/architecture.md:
//   rx + generated + reassembled =
//       forwarded + to_host + consumed + decapsulated + fragments_consumed + sum(drops)
//   sum(tx + tx_drops) = sum(forwarded + from_host + originated + extra_fragments)
struct stats_interface {
	uint64_t rx_packets;
	uint64_t rx_bytes; // IP packet lengths, as billed
	uint64_t tx_packets;
	uint64_t tx_bytes;
	uint64_t forwarded; // packets that came in here and were handed to an out-interface
	uint64_t to_host;
	uint64_t decapsulated;
	uint64_t from_host; // packets the kernel sent out of here
};
static_assert(sizeof(struct stats_interface) == 64, "stats_interface");

struct stats_sparse {
	uint64_t drops[DROP_MAX]; // by enum drop_reason, of packets that came in here
	uint64_t tx_drops[4]; // packets that should have left here: tx-full, tx-down, no-buffer,
			      // restart
	uint64_t generated;   // ICMP errors caused by packets that came in here
	uint64_t reassembled;
	uint64_t fragments_consumed;
	uint64_t extra_fragments; // fragments sent minus packets fragmented, on the out-interface
	uint64_t consumed;   // packets to us that a worker answers itself: BFD, probes, keepalives
	uint64_t originated; // packets a worker made itself, on the out-interface
	uint64_t missed; // on a port's unclassified: frames its device or kernel had no room for
	// of them, on a port with AF_XDP sockets: the worker was behind; so far that there was no
	// memory for more; there was no socket
	uint64_t missed_ring;
	uint64_t missed_memory;
	uint64_t missed_socket;
	uint64_t left; // likewise: frames that are the kernel's and were left to it; in no law
	uint64_t reserved[1];
};
static_assert(sizeof(struct stats_sparse) == 512, "stats_sparse");

// The limiter itself: what all workers of one contract share. dataplane/tables/limiter.h says what
// the times mean. The parameters stand beside the word so that a decision costs one cache line;
// they are derived from the wire record and the clock, and written anew at every LIMITER_SET. Times
// and costs are in units of 2^-8 TSC ticks; a cost is units per byte (or per packet) with 16
// fractional bits.
struct stats_limiter_word {
	// first line: every decision
	// theoretical arrival time: now = nothing of the burst in use, now + lo = all of it
	uint64_t tat;
	uint64_t cost;
	uint64_t lo;      // level above which best effort is dropped with growing probability ...
	uint64_t hi;      // ... and above which always
	uint64_t slope;   // 2^48 / (hi - lo), rounded up
	uint64_t quantum; // largest lease; 0 = none
	uint64_t surplus; // leases are taken below this level only
	uint32_t flags;   // LIMITER_*
	uint32_t generation; // grows with each change of the parameters
	// second line: EF, packet rate and shaping, when flags say so
	uint64_t tat_ef;
	uint64_t ef; // level above which EF is dropped too
	uint64_t ef_cost;
	uint64_t ef_lo;
	uint64_t tat_packets;
	uint64_t packet_cost;
	uint64_t packet_lo;
	uint64_t slack; // shaping: level up to which packets leave at once
	// third line: the main thread's account of what happened
	uint64_t hz;             // frequency the parameters were derived with
	uint64_t peak_bytes;     // highest 1 ms of the last minute, offered bytes
	uint64_t episode_start;  // last run of drops: CLOCK_REALTIME ns, 0 = never
	uint64_t episode_length; // ns; grows while the run lasts
	uint64_t episode_bytes;
	uint64_t episode_packets;
	uint64_t fallbacks; // shaping: packets policed because the shaper's memory was used up
	uint64_t repairs;   // times the sweep found the word in an impossible place
};
static_assert(sizeof(struct stats_limiter_word) == 192, "stats_limiter_word");

// What a limiter did; bytes are accounted bytes. This is what sums over writers and moves between
// them. [0] best effort, [1] EF.
struct stats_limiter {
	struct {
		uint64_t packets;
		uint64_t bytes;
	} passed[2], limited[2];
};
static_assert(sizeof(struct stats_limiter) == 64, "stats_limiter");

// One writer's part of a limiter: two lines, of which a packet within a lease touches the first
// only. All but `count` is the worker's own, means nothing to others and is void after a restart.
struct stats_limiter_part {
	uint64_t credit; // what is left of the lease, units; 0 = none
	uint64_t expiry; // the lease is void after this
	// with a lease: the cost it was taken at; without: best effort is refused until then (0:
	// not)
	uint64_t terms;
	uint64_t dice; // packets that the ramp had to judge
	// bytes << 32 | number of the window (about 1 ms) in which they were offered
	uint64_t window;
	uint64_t peak; // likewise, the fullest one of this epoch
	struct stats_limiter count;
	uint32_t drop_first; // window of the first and of the last drop of the latest run
	uint32_t drop_last;
	uint64_t last_peak; // the fullest one of the epoch before
};
static_assert(offsetof(struct stats_limiter_part, count) == 48, "best effort passed: first line");
static_assert(sizeof(struct stats_limiter_part) == 128, "stats_limiter_part");

// What left by the paths that name this account: IP packets and their bytes, as billed. One
// writer's part.
struct stats_account {
	uint64_t packets;
	uint64_t bytes;
};
static_assert(sizeof(struct stats_account) == 16, "stats_account");

#endif
