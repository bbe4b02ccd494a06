// SPDX-License-Identifier: BSD-3-Clause

// Frames leave: per port what the burst put in its list, then the fragments. tx is counted here, on
// the interface and the account the next hop named, when the port has really taken the frame; what
// it did not take is dropped and counted there too. Nothing waits for the next turn.

#include "dataplane/stages/stages.h"

static inline bool same_charge(const struct charge *a, const struct charge *b)
{
	_Static_assert(sizeof(struct charge) == sizeof(uint64_t), "compared as one word");
	return load64(a) == load64(b);
}

static void count_sent(
	struct worker *w, const struct charge *charge, const uint16_t *bytes, unsigned n)
{
	for (unsigned i = 0; i < n;) {
		struct charge c = charge[i];
		uint64_t packets = 0, sum = 0;
		for (; i < n && same_charge(&charge[i], &c); i++) {
			packets++;
			sum += bytes[i];
		}
		w->hot[c.interface].tx_packets += packets;
		w->hot[c.interface].tx_bytes += sum;
		if (c.account != 0) {
			w->accounts[c.account].packets += packets;
			w->accounts[c.account].bytes += sum;
		}
	}
}

static void send(struct worker *w, unsigned number, struct rte_mbuf **mbuf,
	const struct charge *charge, const uint16_t *bytes, unsigned n)
{
	struct port *port = w->port[number];
	bool up = __atomic_load_n(&port->up, __ATOMIC_RELAXED);
	unsigned sent = likely(up) ? port->tx(port, w->tx_queue[number], mbuf, (uint16_t)n) : 0;
	count_sent(w, charge, bytes, sent);
	for (unsigned i = sent; i < n; i++)
		w->sparse[charge[i].interface].tx_drops[up ? TX_DROP_FULL : TX_DROP_DOWN]++;
	if (unlikely(sent < n))
		rte_pktmbuf_free_bulk(mbuf + sent, n - sent);
}

void tx_flush_port(struct worker *w, unsigned port)
{
	struct tx_list *list = &w->tx[port];
	unsigned n = list->count;
	list->count = 0;
	send(w, port, list->mbuf, list->charge, list->bytes, n);
}

void tx_flush_fragments(struct worker *w)
{
	struct fragment_list *f = &w->fragments;
	for (unsigned i = 0; i < f->count;) {
		unsigned n = 1;
		while (i + n < f->count && f->port[i + n] == f->port[i])
			n++;
		send(w, f->port[i], f->mbuf + i, f->charge + i, f->bytes + i, n);
		i += n;
	}
	f->count = 0;
}

void stage_tx(struct worker *w)
{
	for (; w->tx_ports != 0; w->tx_ports &= w->tx_ports - 1)
		tx_flush_port(w, (unsigned)__builtin_ctzll(w->tx_ports));
	if (unlikely(w->fragments.count != 0))
		tx_flush_fragments(w);
}
