// SPDX-License-Identifier: BSD-3-Clause

// The data plane as an object: puts tables, FIB, grace periods, counters, ports and workers
// together.
//
// There is no global state: a process may have as many data planes as it likes, each with its own
// workers and its own time. What runs them (threads, the wire, the host path) is built on top and
// is not known here.

#include "dataplane/dataplane.h"

#include "dataplane/tables/fib.h"
#include "dataplane/tables/limiter_wheel.h"
#include "dataplane/tables/reclaim.h"
#include "dataplane/tables/tables.h"
#include "dataplane/worker.h"

#include <rte_cycles.h>
#include <rte_rcu_qsbr.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RECLAIM_BUDGET 256u
#define FIB_BUDGET     256u

static uint64_t real_clock(void)
{
	return rte_rdtsc();
}

static uint64_t fib_token(void *ctx)
{
	return reclaim_token(ctx);
}

static bool fib_done(void *ctx, uint64_t token)
{
	return reclaim_done(ctx, token);
}

static struct rte_ring *new_events(void)
{
	ssize_t size = rte_ring_get_memsize_elem(sizeof(struct worker_event), WORKER_EVENTS);
	struct rte_ring *r = aligned_alloc(64, ((size_t)size + 63) & ~(size_t)63);
	if (r != NULL &&
		rte_ring_init(r, "events", WORKER_EVENTS, RING_F_SP_ENQ | RING_F_SC_DEQ) != 0) {
		free(r);
		return NULL;
	}
	return r;
}

static int add_worker(struct dataplane *dp, unsigned index)
{
	struct worker *w = aligned_alloc(64, (sizeof(*w) + 63) & ~(size_t)63);
	if (w == NULL)
		return -ENOMEM;
	memset(w, 0, sizeof(*w));
	w->dp = dp;
	w->index = (uint16_t)index;
	w->ip_id = (uint16_t)(index << 12); // far from what other workers send in the same moment
	w->tables = dp->tables;
	w->fib = dp->fib;
	w->roots4 = fib_roots4(dp->fib);
	w->qsbr = reclaim_qsbr(dp->reclaim);
	w->hot = stats_interface(dp->stats, index, 0);
	w->sparse = stats_sparse(dp->stats, index, 0);
	w->words = stats_limiter_word(dp->stats, 0);
	w->parts = stats_limiter_part(dp->stats, index, 0);
	w->accounts = stats_account(dp->stats, index, 0);
	w->port = dp->port;
	w->pool = dp->pool;
	// Shapers may hold a quarter of the buffers.
	w->parked_max = dp->pool->size / 4 / dp->workers;
	w->wheel = wheel_create(w->parked_max + WORKER_TIMERS, sizeof(struct timer));
	w->events = new_events();
	if (w->wheel == NULL || w->events == NULL) {
		wheel_destroy(w->wheel);
		free(w->events);
		free(w);
		return -ENOMEM;
	}
	for (unsigned port = 0; port < PORT_MAX; port++)
		w->tx_queue[port] = (uint16_t)index;
	dp->worker[index] = w;
	return 0;
}

static void remove_worker(struct worker *w)
{
	const struct timer *timer;
	if (w == NULL)
		return;
	while ((timer = wheel_drain(w->wheel)) != NULL)
		rte_pktmbuf_free(timer->mbuf); // NULL is fine
	wheel_destroy(w->wheel);
	free(w->events);
	free(w);
}

static void defaults(struct dataplane_config *c)
{
	if (c->vrfs == 0)
		c->vrfs = DATAPLANE_VRFS;
	if (c->neighbors == 0)
		c->neighbors = DATAPLANE_NEIGHBORS;
	if (c->paths == 0)
		c->paths = DATAPLANE_PATHS;
	if (c->groups == 0)
		c->groups = DATAPLANE_GROUPS;
	if (c->locals == 0)
		c->locals = DATAPLANE_LOCALS;
	if (c->fib_bytes == 0)
		c->fib_bytes = DATAPLANE_FIB_BYTES;
	if (c->clock == NULL)
		c->clock = real_clock;
}

int dataplane_create(const struct dataplane_config *given, struct dataplane **out)
{
	struct dataplane_config c = *given;
	defaults(&c);
	if (c.workers == 0 || c.workers > DATAPLANE_WORKERS || c.stats == NULL || c.pool == NULL ||
		c.hz == 0)
		return -EINVAL;
	struct dataplane *dp = calloc(1, sizeof(*dp));
	if (dp == NULL)
		return -ENOMEM;
	dp->stats = c.stats;
	dp->pool = c.pool;
	dp->hz = c.hz;
	dp->clock = c.clock;
	dp->workers = c.workers;
	int error = reclaim_create(DATAPLANE_READERS, &dp->reclaim);
	if (error != 0)
		goto fail;
	struct fib_reclaim grace = {.ctx = dp->reclaim, .token = fib_token, .done = fib_done};
	dp->fib = fib_create(c.vrfs, c.fib_bytes, &grace);
	error = dp->fib == NULL ? -errno : tables_create(&c, dp->reclaim, &dp->tables);
	for (unsigned i = 0; error == 0 && i < c.workers; i++)
		error = add_worker(dp, i);
	if (error != 0)
		goto fail;
	*out = dp;
	return 0;
fail:
	dataplane_destroy(dp);
	return error;
}

void dataplane_destroy(struct dataplane *dp)
{
	if (dp == NULL)
		return;
	for (unsigned i = 0; i < dp->workers; i++)
		remove_worker(dp->worker[i]);
	if (dp->fib != NULL)
		fib_free(dp->fib);
	reclaim_destroy(dp->reclaim); // runs what is noted, so the tables must still be there
	tables_destroy(dp->tables);
	free(dp);
}

int dataplane_add_port(struct dataplane *dp, struct port *port)
{
	if (dp->ports == PORT_MAX)
		return -ENOSPC;
	int error = interface_add_unclassified(dp, dp->ports, &port->unclassified);
	if (error != 0)
		return error;
	port->index = (uint16_t)dp->ports;
	port->readers = dataplane_qsbr(dp);
	dp->port[dp->ports++] = port;
	return 0;
}

unsigned dataplane_poll(struct dataplane *dp)
{
	unsigned work = reclaim_poll(dp->reclaim, RECLAIM_BUDGET);
	work += fib_slice(dp->fib, FIB_BUDGET);
	return work + groups_poll(dp);
}

unsigned dataplane_events(struct dataplane *dp, unsigned max,
	void (*cb)(void *ctx, const struct worker_event *event), void *ctx)
{
	unsigned n = 0;
	struct worker_event e;
	for (unsigned w = 0; w < dp->workers; w++) {
		unsigned end = n + (max - n) / (dp->workers - w);
		while (n < end &&
			rte_ring_sc_dequeue_elem(dp->worker[w]->events, &e, sizeof(e)) == 0) {
			cb(ctx, &e);
			n++;
		}
	}
	return n;
}

struct rte_rcu_qsbr *dataplane_qsbr(struct dataplane *dp)
{
	return reclaim_qsbr(dp->reclaim);
}

int worker_add_queue(struct worker *w, uint32_t port, uint16_t queue)
{
	if (port >= w->dp->ports || queue >= w->dp->port[port]->rx_queues)
		return -EINVAL;
	if (w->rx_count == WORKER_QUEUES)
		return -ENOSPC;
	w->rx[w->rx_count++] = (struct rx_queue){.port = w->dp->port[port], .queue = queue};
	return 0;
}

void worker_set_tx_queue(struct worker *w, uint32_t port, uint16_t queue)
{
	w->tx_queue[port] = queue;
}

void worker_set_host(struct worker *w, struct host_queue *queue)
{
	w->host = queue;
}
