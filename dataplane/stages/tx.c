// SPDX-License-Identifier: BSD-3-Clause

// Frames leave: per port what the burst put in its list, then the fragments. tx is counted here, on
// the interface and the account the next hop named, when the port has really taken the frame; what
// it did not take is dropped and counted there too. Nothing waits for the next turn.

#include "dataplane/stages/stages.h"

// The port did not take the last `n` of the frames that end at `end`: they are out of their shares.
static __rte_noinline void take_back(struct worker *w, struct tx_share *last,
	struct rte_mbuf *const *end, unsigned n, enum tx_drop why)
{
	for (unsigned i = 1; i <= n; i++) {
		while (last->packets == 0)
			last--;
		last->packets--;
		last->bytes -= end[-(int)i]->pkt_len - last->front;
		w->sparse[last->interface].tx_drops[why]++;
	}
}

// Frames of one port.
static void send(struct worker *w, struct rte_mbuf **mbuf, unsigned n, struct tx_share *share,
	unsigned shares)
{
	const unsigned number = share->port;
	struct port *port = w->port[number];
	bool up = __atomic_load_n(&port->up, __ATOMIC_RELAXED);
	unsigned sent = likely(up) ? port->tx(port, w->tx_queue[number], mbuf, (uint16_t)n) : 0;
	if (unlikely(sent < n)) {
		take_back(w, &share[shares - 1], mbuf + n, n - sent, up ? TX_DROP_FULL : TX_DROP_DOWN);
		rte_pktmbuf_free_bulk(mbuf + sent, n - sent);
	}
	for (const struct tx_share *s = share; s < share + shares; s++) {
		w->hot[s->interface].tx_packets += s->packets;
		w->hot[s->interface].tx_bytes += s->bytes;
		if (s->account != 0) {
			w->accounts[s->account].packets += s->packets;
			w->accounts[s->account].bytes += s->bytes;
		}
	}
}

void tx_flush_port(struct worker *w, unsigned port)
{
	struct tx_list *list = &w->tx[port];
	unsigned n = list->count, shares = list->shares;
	list->count = list->shares = 0;
	if (n != 0)
		send(w, list->mbuf, n, list->share, shares);
}

void tx_flush_fragments(struct worker *w)
{
	struct fragment_list *f = &w->fragments;
	struct rte_mbuf **mbuf = f->mbuf;
	for (unsigned i = 0, n; i < f->shares; i += n) {
		unsigned packets = f->share[i].packets;
		for (n = 1; i + n < f->shares && f->share[i + n].port == f->share[i].port; n++)
			packets += f->share[i + n].packets;
		send(w, mbuf, packets, &f->share[i], n);
		mbuf += packets;
	}
	f->count = f->shares = 0;
}

void stage_tx(struct worker *w)
{
	for (; w->tx_ports != 0; w->tx_ports &= w->tx_ports - 1)
		tx_flush_port(w, (unsigned)__builtin_ctzll(w->tx_ports));
	if (unlikely(w->fragments.count != 0))
		tx_flush_fragments(w);
}
