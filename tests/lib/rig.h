/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIB_RIG_H
#define LIB_RIG_H

// A whole data plane in the test's own process: ports are queues in memory, time stands still unless the test moves
// it, and nothing needs root, hugepages or a device. Put a frame in, let it run until nothing moves any
// more, take frames out.
//
// rig_check() is called after every case: both counting laws of docs/architecture.md hold, and every packet buffer
// is back in the pool.

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/dataplane.h"
#include "dataplane/io/host.h"
#include "dataplane/wire/drop.h"
#include "tests/lib/frame.h"

#define RIG_PORTS 4u
#define RIG_QUEUE 1024u
#define RIG_HZ    2600000000ull

struct rig_port {
	struct port port;
	unsigned in_count, out_count;
	unsigned room; // frames tx takes in one call
	struct rte_mbuf *in[RIG_QUEUE];
	struct rte_mbuf *out[RIG_QUEUE];
};

struct rig {
	struct dataplane *dp;
	struct stats_segment *stats;
	struct host *host;
	struct rig_port port[RIG_PORTS];
	unsigned available; // buffers in the pool at the start
	bool in_total; // check the first law in total only: an interface was deleted under its packets
};

struct rig_config {
	unsigned workers; // 0 = 1
	uint8_t tpid[RIG_PORTS];
	unsigned interfaces; // room; 0 = 256
	bool no_host;
};

void rig_eal(void); // once per process, before the first rig
void rig_open(struct rig *rig, const struct rig_config *config); // NULL = defaults
void rig_close(struct rig *rig);                                 // checks, then takes it down

extern uint64_t rig_now; // TSC ticks, of all rigs

void rig_send(struct rig *rig, unsigned port, const struct frame *f);
void rig_run(struct rig *rig);
bool rig_receive(struct rig *rig, unsigned port, struct frame *f);

// Runs, then: the next frame out of the port is exactly this. / Nothing else has left by any port.
void rig_expect(struct rig *rig, unsigned port, const struct frame *f);
void rig_expect_nothing(struct rig *rig);

// The other end of an interface's TAP or TUN: read and write whole frames or packets.
int rig_tap(struct rig *rig, uint32_t interface);
void rig_expect_tap(struct rig *rig, int fd, const struct frame *f); // runs first

// Counters of an interface by its wire id; 0 = port's unclassified.
struct rig_counts {
	struct stats_interface hot;
	struct stats_sparse sparse;
};
struct rig_counts rig_counts(struct rig *rig, uint32_t interface);
struct rig_counts rig_unclassified(struct rig *rig, unsigned port);
void rig_expect_drop(struct rig *rig, uint32_t interface, enum drop_reason reason, uint64_t n);
void rig_check(struct rig *rig);

// Seed of a random test: from the environment's CULVERT_SEED, else random; printed.
uint64_t rig_seed(void);
// CULVERT_LONG multiplies the count of random tests: 1 (what tools/test --long says) by 500, else by its number.
uint64_t rig_scale(uint64_t count);
uint64_t rig_random(uint64_t *state); // splitmix64

#endif
