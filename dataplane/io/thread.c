// SPDX-License-Identifier: BSD-3-Clause
// Threads: one loop for workers, one for the host path.
//
// A worker turns for ever. With the idle mode on it gives its core away after a number of empty
// turns: it goes offline for RCU, sleeps 50 us (200 us when it stays idle) and comes back; a core
// that is shared with a BGP daemon is then not burnt. The host-path thread sleeps in epoll_wait, 1
// ms at most because the workers' rings cannot wake it (a worker makes no system call), and is
// offline meanwhile.

#include "dataplane/io/thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>

#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_rcu_qsbr.h>

#include "dataplane/io/device.h"
#include "dataplane/io/host_private.h"

#define EMPTY_TURNS 256u  // before the first sleep
#define LONG_IDLE   2048u // empty turns and sleeps before the longer one
#define NAP_NS      50000
#define LONG_NAP_NS 200000

struct io_thread {
	struct io_threads *all;
	unsigned index;
	unsigned lcore; // LCORE_ID_ANY: a thread of its own
	pthread_t thread;
	bool started;
};

struct io_threads {
	struct io_threads_config config;
	int stop;
	struct io_thread worker[DATAPLANE_WORKERS];
};

static void nap(struct rte_rcu_qsbr *qsbr, unsigned reader, long ns)
{
	struct timespec t = {0, ns};

	rte_rcu_qsbr_thread_offline(qsbr, reader);
	nanosleep(&t, NULL);
	rte_rcu_qsbr_thread_online(qsbr, reader);
}

// Not when a packet that a shaper holds back would come too late for it: a nap takes as long as it
// says, and about as long again until the core is there.
static void rest(struct io_thread *t, long ns)
{
	struct dataplane *dp = t->all->config.dp;
	uint64_t wait = worker_wait(dp->worker[t->index], rte_rdtsc());

	if (wait > 2 * (uint64_t)ns * (dp->hz / 1000000) / 1000)
		nap(dataplane_qsbr(dp), t->index, ns);
}

static int work(void *arg)
{
	struct io_thread *t = arg;
	struct dataplane *dp = t->all->config.dp;
	struct rte_rcu_qsbr *qsbr = dataplane_qsbr(dp);
	unsigned empty = 0;

	prctl(PR_SET_TIMERSLACK, 1000); // 50 us mean 50 us
	rte_rcu_qsbr_thread_register(qsbr, t->index);
	rte_rcu_qsbr_thread_online(qsbr, t->index);
	while (!__atomic_load_n(&t->all->stop, __ATOMIC_RELAXED)) {
		unsigned n = worker_turn(dp->worker[t->index], rte_rdtsc());

		n += device_send_others(dp, t->index);
		if (n) {
			empty = 0;
			continue;
		}
		if (t->all->config.idle_sleep && ++empty > EMPTY_TURNS)
			rest(t, empty > LONG_IDLE ? LONG_NAP_NS : NAP_NS);
	}
	rte_rcu_qsbr_thread_offline(qsbr, t->index);
	rte_rcu_qsbr_thread_unregister(qsbr, t->index);
	return 0;
}

static void *work_thread(void *arg)
{
	struct io_thread *t = arg;
	bool registered;

	registered = rte_thread_register() == 0; // for the pool's cache; works without
	work(t);
	if (registered)
		rte_thread_unregister();
	return NULL;
}

static int start_worker(struct io_thread *t)
{
	int err;

	if (t->lcore != LCORE_ID_ANY)
		err = rte_eal_remote_launch(work, t, t->lcore);
	else
		err = -pthread_create(&t->thread, NULL, work_thread, t);
	t->started = !err;
	return err;
}

int io_threads_start(const struct io_threads_config *config, struct io_threads **threads)
{
	struct io_threads *all = calloc(1, sizeof(*all));
	unsigned lcore = rte_get_next_lcore(-1, 1, 0);
	int err = 0;

	if (all == NULL)
		return -ENOMEM;
	all->config = *config;
	for (unsigned w = 0; w < config->dp->workers && !err; w++) {
		struct io_thread *t = &all->worker[w];

		t->all = all;
		t->index = w;
		t->lcore = LCORE_ID_ANY;
		if (lcore < RTE_MAX_LCORE) {
			t->lcore = lcore;
			lcore = rte_get_next_lcore(lcore, 1, 0);
		}
		err = start_worker(t);
	}
	if (err) {
		io_threads_stop(all);
		return err;
	}
	*threads = all;
	return 0;
}

void io_threads_stop(struct io_threads *all)
{
	if (all == NULL)
		return;
	__atomic_store_n(&all->stop, 1, __ATOMIC_RELAXED);
	for (unsigned w = 0; w < DATAPLANE_WORKERS; w++) {
		struct io_thread *t = &all->worker[w];

		if (!t->started)
			continue;
		if (t->lcore != LCORE_ID_ANY)
			rte_eal_wait_lcore(t->lcore);
		else
			pthread_join(t->thread, NULL);
	}
	free(all);
}

static void *host_loop(void *arg)
{
	struct host *h = arg;
	struct rte_rcu_qsbr *qsbr = dataplane_qsbr(h->dp);
	bool registered = rte_thread_register() == 0;
	struct epoll_event e;

	rte_rcu_qsbr_thread_register(qsbr, DATAPLANE_READER_HOST);
	while (__atomic_load_n(&h->running, __ATOMIC_RELAXED)) {
		unsigned n;

		rte_rcu_qsbr_thread_online(qsbr, DATAPLANE_READER_HOST);
		n = host_turn(h, rte_rdtsc());
		rte_rcu_qsbr_thread_offline(qsbr, DATAPLANE_READER_HOST);
		if (!n)
			epoll_wait(h->epoll, &e, 1, 1);
	}
	rte_rcu_qsbr_thread_unregister(qsbr, DATAPLANE_READER_HOST);
	if (registered)
		rte_thread_unregister();
	return NULL;
}

int host_thread_start(struct host *h)
{
	int err;

	h->running = 1;
	err = -pthread_create(&h->thread, NULL, host_loop, h);
	if (err)
		h->running = 0;
	return err;
}

void host_thread_stop(struct host *h)
{
	if (h == NULL || !h->running)
		return;
	__atomic_store_n(&h->running, 0, __ATOMIC_RELAXED);
	pthread_join(h->thread, NULL);
}
