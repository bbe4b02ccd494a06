// SPDX-License-Identifier: BSD-3-Clause
// The host path: between the workers' rings and the kernel's TAP and TUN devices.
//
// The kernel is our host stack: packets to our addresses and ARP/ND go there, BGP speakers talk
// from there. For each interface the controller hands over one queue of a TAP (Ethernet: frames
// without tags) or TUN (GRE: packets). To the kernel a frame loses its tags; from the kernel it
// gets them, and leaves by the port without lookup, limiter or bill. Counting is described in
// host.h; what is counted here is counted as writer STATS_HOST.
//
// One thread does all of this. The main thread changes descriptors and attributes under a mutex
// that a turn holds too; a turn is bounded, so nobody waits long, and workers never touch the
// mutex. Turns must be inside an RCU read section when workers run (thread.c sees to it).

#include "dataplane/io/host_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <rte_ether.h>
#include <rte_ring_elem.h>

#include "dataplane/tables/interface.h"
#include "dataplane/tables/tables.h"
#include "dataplane/tables/vrf.h"

#define RING_DEFAULT 512u
#define BURST        32u
#define READS        16u // frames from one descriptor per turn
#define EVENTS       64
#define SOURCES      64u // interfaces whose ICMP sources change under one lock

#define PUNT_RATE_DEFAULT 2000u
#define ASK_RATE          10u // a second
#define ICMP_RATE_DEFAULT 100u

static struct stats_interface *count(struct host *h, uint32_t slot)
{
	return stats_interface(h->dp->stats, STATS_HOST, slot);
}

static struct stats_sparse *sparse(struct host *h, uint32_t slot)
{
	return stats_sparse(h->dp->stats, STATS_HOST, slot);
}

// A packet that the kernel or we made and that gets no further: in and out, so that the law holds.
static void drop_made(struct host *h, uint32_t slot, enum drop_reason reason)
{
	sparse(h, slot)->generated++;
	sparse(h, slot)->drops[reason]++;
}

static bool enter(struct host *h, uint32_t slot, uint32_t generation, struct rte_mbuf *m,
	enum host_entry_kind kind)
{
	struct host_entry e = {.mbuf = m,
		.slot = slot,
		.generation = generation,
		.tenure = h->dp->tables->interface[slot].tenure,
		.kind = kind};

	return !rte_ring_enqueue_elem(h->queue[slot % h->workers].from_host, &e, sizeof(e));
}

// --- to the kernel ---

static bool write_ethernet(const struct host_interface *to, const struct host_item *item, bool same,
	const struct interface *target)
{
	static const uint8_t nobody[6] = {0x02};
	uint8_t *data = rte_pktmbuf_mtod(item->mbuf, uint8_t *), *l3 = data + item->l3;
	uint32_t length = rte_pktmbuf_data_len(item->mbuf) - item->l3;
	uint8_t header[14];
	struct iovec iov[2] = {{header, sizeof(header)}, {l3, length}};

	if (same && item->l3 >= 14) {
		memcpy(header, data, 12);
		memcpy(header + 12, l3 - 2, 2);
	} else { // came in by another interface
		memcpy(header, target->mac, 6);
		memcpy(header + 6, nobody, 6);
		header[12] = length && l3[0] >> 4 == 6 ? 0x86 : 0x08;
		header[13] = length && l3[0] >> 4 == 6 ? 0xdd : 0x00;
	}
	return writev(to->fd, iov, 2) == (ssize_t)(length + sizeof(header));
}

static bool write_packet(const struct host_interface *to, const struct host_item *item)
{
	uint8_t *l3 = rte_pktmbuf_mtod_offset(item->mbuf, uint8_t *, item->l3);
	uint32_t length = rte_pktmbuf_data_len(item->mbuf) - item->l3;

	return write(to->fd, l3, length) == (ssize_t)length;
}

static void deliver(struct host *h, const struct host_item *item)
{
	bool redirect = item->reason == HOST_LOCAL && item->info && item->info != item->slot;
	uint32_t slot = redirect ? item->info : item->slot;
	const struct interface *target = slot < h->slots ? interface_at(h->dp, slot) : NULL;
	const struct host_interface *to = &h->interface[slot < h->slots ? slot : 0];
	bool sent;

	if (redirect && (target == NULL || target->generation != item->info_generation)) {
		sparse(h, item->slot)->drops[DROP_STALE]++;
		return;
	}
	if (target == NULL || to->fd < 0 || to->generation != target->generation) {
		sparse(h, item->slot)->drops[DROP_HOST_NONE]++;
		return;
	}
	sent = to->ethernet ? write_ethernet(to, item, !redirect, target) : write_packet(to, item);
	if (sent)
		count(h, item->slot)->to_host++;
	else
		sparse(h, item->slot)->drops[DROP_HOST_ERROR]++;
}

// The address an ICMP error comes from: the in-interface's, else in IPv6 the one of the interface
// the packet was to leave by, as tunnels have none. NULL: neither.
static const uint8_t *source_of(struct host *h, const struct host_item *item, bool ipv6)
{
	const struct host_interface *in = &h->interface[item->slot], *out;
	const struct interface *target;

	if (in->has_source[ipv6])
		return ipv6 ? in->source6 : in->source4;
	target = ipv6 && item->out && item->out < h->slots ? interface_at(h->dp, item->out) : NULL;
	if (target == NULL || target->generation != item->out_generation)
		return NULL;
	out = &h->interface[item->out];
	return out->has_source[1] ? out->source6 : NULL;
}

static void answer(struct host *h, const struct host_item *item, uint64_t now)
{
	struct host_interface *from = &h->interface[item->slot];
	const uint8_t *l3 = rte_pktmbuf_mtod_offset(item->mbuf, const uint8_t *, item->l3);
	uint32_t length = rte_pktmbuf_data_len(item->mbuf) - item->l3;
	uint64_t ahead = rate_ahead(from->icmp_arrival, now, h->icmp_burst, h->icmp_interval);
	const uint8_t *source = source_of(h, item, length && l3[0] >> 4 == 6);
	enum drop_reason why;
	struct rte_mbuf *m;

	m = icmp_error(h, source, l3, length, item, &why);
	if (m == NULL) {
		if (why != DROP_COUNT)
			drop_made(h, item->slot, why);
		return;
	}
	if (ahead > h->icmp_burst) {
		drop_made(h, item->slot, DROP_ICMP_LIMITED);
		rte_pktmbuf_free(m);
		return;
	}
	from->icmp_arrival = now + ahead + h->icmp_interval;
	if (!enter(h, item->slot, item->generation, m, HOST_ENTER_LOOKUP)) {
		drop_made(h, item->slot, DROP_HOST_FULL);
		rte_pktmbuf_free(m);
		return;
	}
	sparse(h, item->slot)->generated++;
}

static unsigned take_class(struct host *h, struct rte_ring *ring, uint64_t now)
{
	struct host_item items[BURST];
	unsigned n = rte_ring_dequeue_burst_elem(ring, items, sizeof(items[0]), BURST, NULL);

	for (unsigned i = 0; i < n; i++) {
		const struct host_item *item = &items[i];
		const struct interface *in = interface_at(h->dp, item->slot);
		bool ours = item->reason == HOST_LOCAL || item->reason == HOST_NEIGHBOR;

		if (in == NULL || in->generation != item->generation) {
			bool same = h->dp->tables->interface[item->slot].tenure == item->tenure;

			if (ours)
				sparse(h, same ? item->slot : 0)->drops[DROP_STALE]++;
		} else if (ours) {
			deliver(h, item);
		} else {
			answer(h, item, now);
		}
		rte_pktmbuf_free(item->mbuf);
	}
	return n;
}

// --- from the kernel ---

static bool carried(const uint8_t *frame, uint32_t length, const struct host_interface *i)
{
	unsigned type;

	if (length < 14 || length > i->mtu + 14u)
		return false;
	type = (unsigned)frame[12] << 8 | frame[13];
	return type == RTE_ETHER_TYPE_IPV4 || type == RTE_ETHER_TYPE_IPV6 ||
	       type == RTE_ETHER_TYPE_ARP;
}

// Pushes the VLAN stack. -ENOSPC: no headroom, which a fresh buffer always has.
static int push_tags(struct rte_mbuf *m, const struct host_interface *i)
{
	unsigned bytes = 4u * i->vlans;
	uint8_t *head = (uint8_t *)rte_pktmbuf_prepend(m, (uint16_t)bytes);

	if (head == NULL)
		return -ENOSPC;
	memmove(head, head + bytes, 12);
	for (unsigned t = 0; t < i->vlans; t++) {
		uint16_t tpid = t == 0 ? i->tpid : RTE_ETHER_TYPE_VLAN;
		uint8_t *tag = head + 12 + 4 * t;

		tag[0] = (uint8_t)(tpid >> 8);
		tag[1] = (uint8_t)tpid;
		tag[2] = (uint8_t)(i->vlan[t] >> 8);
		tag[3] = (uint8_t)i->vlan[t];
	}
	return 0;
}

static void send_out(
	struct host *h, uint32_t slot, const struct host_interface *i, struct rte_mbuf *m)
{
	const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
	uint32_t length = rte_pktmbuf_data_len(m);
	enum drop_reason reason = DROP_HOST_FRAME;

	if (i->ethernet ? !carried(data, length, i) || push_tags(m, i)
			: length < 20 || length > i->mtu)
		goto drop;
	reason = DROP_INTERFACE_DOWN;
	if (!i->up)
		goto drop;
	reason = DROP_HOST_FULL;
	if (!enter(h, slot, i->generation, m, i->ethernet ? HOST_ENTER_PORT : HOST_ENTER_TUNNEL))
		goto drop;
	count(h, slot)->from_host++;
	return;

drop:
	drop_made(h, slot, reason);
	rte_pktmbuf_free(m);
}

static void lose(struct host *h, struct host_interface *i)
{
	epoll_ctl(h->epoll, EPOLL_CTL_DEL, i->fd, NULL);
	i->lost = 1;
	__atomic_store_n(&h->lost, h->lost + 1, __ATOMIC_RELAXED);
}

static unsigned read_frames(struct host *h, uint32_t slot)
{
	struct host_interface *i = &h->interface[slot];
	const struct interface *in = interface_at(h->dp, slot);
	unsigned n;

	if (i->fd < 0)
		return 0;
	for (n = 0; n < READS; n++) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(h->pool);
		ssize_t got;

		if (m == NULL)
			return n; // left in the kernel's queue
		got = read(i->fd, rte_pktmbuf_mtod(m, void *), rte_pktmbuf_tailroom(m));
		if (got <= 0) {
			rte_pktmbuf_free(m);
			if (got == 0 || (errno != EAGAIN && errno != EINTR))
				lose(h, i); // a device that was deleted: for ever
			return n;
		}
		if (in == NULL || in->generation != i->generation) {
			rte_pktmbuf_free(m);
		} else if (got == rte_pktmbuf_tailroom(m)) { // and perhaps cut there
			drop_made(h, slot, DROP_HOST_FRAME);
			rte_pktmbuf_free(m);
		} else {
			m->data_len = (uint16_t)got;
			m->pkt_len = (uint32_t)got;
			send_out(h, slot, i, m);
		}
	}
	return n;
}

unsigned host_turn(struct host *h, uint64_t now)
{
	struct epoll_event events[EVENTS];
	unsigned done = 0;
	int n;

	pthread_mutex_lock(&h->lock);
	for (int class = 0; class < HOST_CLASSES; class ++)
		for (unsigned w = 0; w < h->workers; w++)
			done += take_class(h, h->queue[w].to_host[class], now);
	n = epoll_wait(h->epoll, events, EVENTS, 0);
	for (int i = 0; i < n; i++)
		done += read_frames(h, events[i].data.u32);
	pthread_mutex_unlock(&h->lock);
	return done;
}

// --- what the main thread sets ---

// close() alone leaves it in the epoll set as long as somebody, say the controller, has a copy.
static void drop_descriptor(struct host *h, struct host_interface *i)
{
	if (i->fd >= 0) {
		epoll_ctl(h->epoll, EPOLL_CTL_DEL, i->fd, NULL);
		close(i->fd);
	}
	i->fd = -1;
	__atomic_store_n(&h->lost, h->lost - i->lost, __ATOMIC_RELAXED);
	i->lost = 0;
}

int host_set(struct host *h, uint32_t slot, uint32_t generation, int fd, bool ethernet)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u32 = slot};
	int err = 0;

	if (!slot || slot >= h->slots || interface_at(h->dp, slot) == NULL) {
		close(fd);
		return -ENOENT;
	}
	pthread_mutex_lock(&h->lock);
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || epoll_ctl(h->epoll, EPOLL_CTL_ADD, fd, &e) < 0) {
		err = errno == EPERM ? -EINVAL : -errno;
		close(fd);
	} else {
		drop_descriptor(h, &h->interface[slot]);
		h->interface[slot].fd = fd;
		h->interface[slot].vrf = interface_record(h->dp, slot)->vrf;
		h->interface[slot].generation = generation;
		h->interface[slot].ethernet = ethernet;
	}
	pthread_mutex_unlock(&h->lock);
	if (!err)
		host_update(h, slot);
	return err;
}

int host_unset(struct host *h, uint32_t slot)
{
	if (!slot || slot >= h->slots || h->interface[slot].fd < 0)
		return -ENOENT;
	pthread_mutex_lock(&h->lock);
	drop_descriptor(h, &h->interface[slot]);
	pthread_mutex_unlock(&h->lock);
	return 0;
}

bool host_lost(struct host *h, uint32_t *slot)
{
	bool found = false;

	if (__atomic_load_n(&h->lost, __ATOMIC_RELAXED) == 0)
		return false;
	pthread_mutex_lock(&h->lock);
	for (uint32_t s = 1; s < h->slots && !found; s++) {
		if (!h->interface[s].lost)
			continue;
		h->interface[s].lost = 0;
		__atomic_store_n(&h->lost, h->lost - 1, __ATOMIC_RELAXED);
		*slot = s;
		found = true;
	}
	pthread_mutex_unlock(&h->lock);
	return found;
}

void host_update(struct host *h, uint32_t slot)
{
	const struct wire_interface *r;
	struct host_interface *i;
	uint8_t tpid = PORT_TPID_8100;

	if (!slot || slot >= h->slots)
		return;
	i = &h->interface[slot];
	r = interface_record(h->dp, slot);
	if (r == NULL || interface_at(h->dp, slot) == NULL)
		return;
	if (r->kind == WIRE_INTERFACE_ETHERNET && r->port < h->dp->ports)
		tpid = h->dp->port[r->port]->outer_tpid;
	pthread_mutex_lock(&h->lock);
	if (i->fd >= 0 && i->vrf != r->vrf)
		drop_descriptor(h, i); // a device of the domain it was in
	i->generation = interface_at(h->dp, slot)->generation;
	i->mtu = interface_mtu(h->dp, r);
	i->up = !!(r->flags & WIRE_INTERFACE_UP);
	i->vlans = r->vlans;
	i->vlan[0] = r->vlan[0];
	i->vlan[1] = r->vlan[1];
	i->tpid = tpid == PORT_TPID_88A8 ? RTE_ETHER_TYPE_QINQ : RTE_ETHER_TYPE_VLAN;
	pthread_mutex_unlock(&h->lock);
}

unsigned host_follow_locals(struct host *h)
{
	struct host_source source[SOURCES];
	unsigned n = 0;

	while (n < SOURCES && local_changed(h->dp, &source[n].slot)) {
		struct host_source *s = &source[n++];

		s->has[0] = local_of(h->dp, s->slot, WIRE_IPV4, s->source4);
		s->has[1] = local_of(h->dp, s->slot, WIRE_IPV6, s->source6);
	}
	if (n)
		host_set_sources(h, source, n);
	return n;
}

void host_set_sources(struct host *h, const struct host_source *source, unsigned n)
{
	pthread_mutex_lock(&h->lock);
	for (unsigned k = 0; k < n; k++) {
		const struct host_source *s = &source[k];
		struct host_interface *i = &h->interface[s->slot < h->slots ? s->slot : 0];

		memcpy(i->source4, s->source4, sizeof(i->source4));
		memcpy(i->source6, s->source6, sizeof(i->source6));
		i->has_source[0] = s->has[0];
		i->has_source[1] = s->has[1];
	}
	pthread_mutex_unlock(&h->lock);
}

// --- life ---

static struct rte_ring *new_ring(const char *name, unsigned count, unsigned item)
{
	ssize_t size = rte_ring_get_memsize_elem(item, count);
	struct rte_ring *r;

	if (size < 0)
		return NULL;
	size = (size + 63) & ~(ssize_t)63;
	r = aligned_alloc(64, (size_t)size);
	if (r && rte_ring_init(r, name, count, RING_F_SP_ENQ | RING_F_SC_DEQ)) {
		free(r);
		return NULL;
	}
	return r;
}

static void free_items(struct rte_ring *ring)
{
	struct host_item item;

	while (ring && !rte_ring_dequeue_elem(ring, &item, sizeof(item)))
		rte_pktmbuf_free(item.mbuf);
	free(ring);
}

static void free_entries(struct rte_ring *ring)
{
	struct host_entry entry;

	while (ring && !rte_ring_dequeue_elem(ring, &entry, sizeof(entry)))
		rte_pktmbuf_free(entry.mbuf);
	free(ring);
}

static int create_queue(struct host *h, struct host_queue *q, const struct host_config *c)
{
	unsigned size = c->ring_size ? c->ring_size : RING_DEFAULT;
	unsigned rate = c->punt_rate ? c->punt_rate : PUNT_RATE_DEFAULT;

	q->slots = h->slots;
	for (int class = 0; class < HOST_CLASSES; class ++)
		q->rate[class] = (struct host_rate){c->hz / rate, c->hz / 20}; // 50 ms of the rate
	if (rate > ASK_RATE)
		q->rate[HOST_ASK] = (struct host_rate){c->hz / ASK_RATE, 2 * c->hz};
	q->arrival = calloc(h->slots, sizeof(*q->arrival));
	q->from_host = new_ring("from-host", size, sizeof(struct host_entry));
	if (q->arrival == NULL || q->from_host == NULL)
		return -ENOMEM;
	for (int class = 0; class < HOST_CLASSES; class ++) {
		q->to_host[class] = new_ring("to-host", size, sizeof(struct host_item));
		if (q->to_host[class] == NULL)
			return -ENOMEM;
	}
	return 0;
}

int host_create(struct dataplane *dp, const struct host_config *c, struct host **host)
{
	unsigned icmp_rate = c->icmp_rate ? c->icmp_rate : ICMP_RATE_DEFAULT;
	struct host *h;
	int err = 0;

	if (!c->workers || c->workers > DATAPLANE_WORKERS || !c->hz)
		return -EINVAL;
	h = calloc(1, sizeof(*h));
	if (h == NULL)
		return -ENOMEM;
	pthread_mutex_init(&h->lock, NULL);
	h->dp = dp;
	h->pool = c->pool;
	h->workers = c->workers;
	h->slots = dp->stats->slots[STATS_INTERFACE];
	h->icmp_interval = c->hz / icmp_rate;
	h->icmp_burst = 10 * h->icmp_interval;
	h->interface = calloc(h->slots, sizeof(*h->interface));
	h->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (h->epoll < 0)
		err = -errno;
	else if (h->interface == NULL)
		err = -ENOMEM;
	for (uint32_t i = 0; !err && i < h->slots; i++)
		h->interface[i].fd = -1;
	for (unsigned w = 0; !err && w < h->workers; w++)
		err = create_queue(h, &h->queue[w], c);
	if (err) {
		host_destroy(h);
		return err;
	}
	*host = h;
	return 0;
}

void host_destroy(struct host *h)
{
	if (h == NULL)
		return;
	for (unsigned w = 0; w < h->workers; w++) {
		struct host_queue *q = &h->queue[w];

		for (int class = 0; class < HOST_CLASSES; class ++)
			free_items(q->to_host[class]);
		free_entries(q->from_host);
		free(q->arrival);
	}
	for (uint32_t i = 0; h->interface && i < h->slots; i++)
		drop_descriptor(h, &h->interface[i]);
	if (h->epoll >= 0)
		close(h->epoll);
	pthread_mutex_destroy(&h->lock);
	free(h->interface);
	free(h);
}

struct host_queue *host_queue(struct host *h, unsigned worker)
{
	return &h->queue[worker];
}
