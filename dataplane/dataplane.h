/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DATAPLANE_H
#define DATAPLANE_H

// One data plane: its tables, ports, workers and counters. Many may live in one process (packet
// tests, what-if traces); the EAL is initialised outside, once, and is used for packet buffers
// only.
//
// Threads: one main thread calls everything declared here and in tables/; each worker's thread
// calls worker_turn(); the host-path thread reads tables under the qsbr. The main thread must not
// be one of the readers while they are online.

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/io/port.h"
#include "dataplane/wire/stats_file.h"

struct fib;
struct host_queue;
struct reclaim;
struct rte_mempool;
struct rte_rcu_qsbr;
struct tables;
struct worker;

#define DATAPLANE_WORKERS     16u
#define DATAPLANE_READERS     (DATAPLANE_WORKERS + 1) // qsbr thread ids: worker index; host path below
#define DATAPLANE_READER_HOST DATAPLANE_WORKERS

// What a table has room for when dataplane_config says 0. Memory is taken as slots are used.
#define DATAPLANE_VRFS      32768u
#define DATAPLANE_NEIGHBORS 65536u
#define DATAPLANE_PATHS     65536u
#define DATAPLANE_GROUPS    262144u
#define DATAPLANE_LOCALS    65536u
#define DATAPLANE_FIB_BYTES (2ull << 30)

struct dataplane_config {
	// Room in the tables; 0 = the defaults above.
	uint32_t vrfs;
	uint32_t neighbors;
	uint32_t paths;
	uint32_t groups;
	uint32_t locals;
	uint64_t fib_bytes; // of forwarding memory: reserved, taken as routes come
	uint32_t workers;   // 1..DATAPLANE_WORKERS
	uint64_t hz;        // TSC ticks per second, as calibrated
	// TSC now, for the writer's side; NULL = the real one.
	uint64_t (*clock)(void);
	// Borrowed, both outlive the data plane: counters (how many interfaces and limiters they
	// have room for is how many there may be), and buffers for fragments.
	struct stats_segment *stats;
	struct rte_mempool *pool;
};

struct dataplane {
	struct tables *tables; // tables/tables.h
	struct fib *fib;
	struct reclaim *reclaim;
	struct stats_segment *stats;
	struct rte_mempool *pool;
	struct port *port[PORT_MAX];
	uint32_t ports;
	uint32_t workers;
	struct worker *worker[DATAPLANE_WORKERS];
	uint64_t hz;
	uint64_t (*clock)(void);
	uint64_t written;   // records applied that changed something, ...
	uint64_t unchanged; // ... and that found things as they should be; for HELLO
};

// 0, -EINVAL (config), -ENOMEM.
int dataplane_create(const struct dataplane_config *config, struct dataplane **dp);
void dataplane_destroy(
	struct dataplane *dp); // no worker or host thread runs any more; NULL is fine

// Ports are numbered in the order they are added; all before the first worker turn. Borrowed.
// -ENOSPC, -EINVAL.
int dataplane_add_port(struct dataplane *dp, struct port *port);

// Main thread, often (say every ms): reclaim and FIB slices, bounded. Returns work done; 0 = idle.
unsigned dataplane_poll(struct dataplane *dp);

// The qsbr all readers report to. Readers register and go online/offline themselves; worker_turn()
// reports quiescence at its end; a worker that is not registered counts as never holding anything.
struct rte_rcu_qsbr *dataplane_qsbr(struct dataplane *dp);

// What workers have to tell: calls cb for up to `max` events, fairly between workers. Main thread.
// Returns how many.
struct worker_event;
unsigned dataplane_events(struct dataplane *dp, unsigned max,
	void (*cb)(void *ctx, const struct worker_event *event), void *ctx);

// Workers. Before the first turn: which receive queues it polls, which transmit queue of each port
// it uses (default: its index), and its end of the host path (default NULL: packets to us drop
// `host-none`).
int worker_add_queue(struct worker *worker, uint32_t port, uint16_t queue); // -ENOSPC, -EINVAL
void worker_set_tx_queue(struct worker *worker, uint32_t port, uint16_t queue);
void worker_set_host(struct worker *worker, struct host_queue *queue);

// One turn: at most one burst of each receive queue through all the stages, then what the host path
// wants sent. `now` in TSC ticks. Returns the packets seen; 0 = idle.
unsigned worker_turn(struct worker *worker, uint64_t now);

// How long the worker may stay away after an idle turn before something it holds back is due, in
// TSC ticks; UINT64_MAX = it holds nothing back.
uint64_t worker_wait(const struct worker *worker, uint64_t now);

#endif
