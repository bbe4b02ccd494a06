// SPDX-License-Identifier: BSD-3-Clause

// IPv4 fragmentation (RFC 791 section 3.2) of what may be fragmented and does not fit.
//
// Fragments are the one thing here that needs buffers of its own, and one packet becomes many, so they go into a
// list of their own with a fixed room: a stream of oversize packets costs its own customer packets (`no-buffer`), never
// the burst of somebody else. All or nothing: a packet that cannot be sent whole is not sent in part.
//
// Options with the copied flag go into every fragment; the others stay in the first, and no-operations stand in
// their place elsewhere, so that every fragment has the same header length.

#include "dataplane/stages/fragment.h"

#include "dataplane/stages/ip.h"
#include "dataplane/stages/stages.h"

#define OPTION_END    0u
#define OPTION_NOP    1u
#define OPTION_COPIED 0x80u

static void blank_options(uint8_t *ip, unsigned header)
{
	for (unsigned at = 20; at < header && ip[at] != OPTION_END;) {
		unsigned size = ip[at] == OPTION_NOP || at + 1 == header ? 1 : ip[at + 1];
		if (size == 0 || at + size > header)
			size = header - at;
		if (!(ip[at] & OPTION_COPIED))
			memset(ip + at, OPTION_NOP, size);
		at += size;
	}
}

static unsigned way_mtu(const struct worker *w, const struct packet *p)
{
	const struct interface *out = &w->tables->interface[p->out];
	unsigned core = w->tables->neighbor[p->neighbor].mtu;
	if (out->out_kind != WIRE_INTERFACE_GRE)
		return out->mtu;
	return RTE_MIN((unsigned)out->mtu, core - out->outer_bytes);
}

// One fragment: `bytes` of payload from `at` on.
static void make_fragment(struct worker *w, struct rte_mbuf *m, const uint8_t *whole,
	const struct packet *p, unsigned at, unsigned bytes)
{
	unsigned header = (whole[0] & 15u) * 4;
	unsigned field = load_be16(whole + 6);
	uint16_t length = (uint16_t)(header + bytes);
	uint8_t *ip = rte_pktmbuf_mtod(m, uint8_t *);
	memcpy(ip, whole, header);
	memcpy(ip + header, whole + header + at, bytes);
	bool more = header + at + bytes < p->length;
	field = (field & ~0x1fffu) | ((field & 0x1fff) + (at >> 3)) | (more ? IPV4_MF : 0);
	if ((field & 0x1fff) != 0)
		blank_options(ip, header);
	store16(ip + 2, be16(length));
	store16(ip + 6, be16((uint16_t)field));
	store16(ip + 10, 0);
	store16(ip + 10, (uint16_t)~fold(ipv4_sum(ip)));
	uint16_t port = output_frame(w, m, 0, length, p);

	struct fragment_list *list = &w->fragments;
	list->mbuf[list->count] = m;
	list->interface[list->count] = p->out;
	list->bytes[list->count] = length;
	list->port[list->count++] = port;
}

void fragment(struct worker *w, struct rte_mbuf *m, const struct packet *p)
{
	const uint8_t *whole = rte_pktmbuf_mtod_offset(m, const uint8_t *, p->l3);
	unsigned header = (whole[0] & 15u) * 4;
	unsigned step = (way_mtu(w, p) - header) & ~7u;
	unsigned payload = p->length - header, n = 0;
	for (unsigned at = 0; at < payload; at += step)
		n++;
	struct rte_mbuf **piece = &w->fragments.mbuf[w->fragments.count];
	w->dead[w->dead_count++] = m;
	if (w->fragments.count + n > FRAGMENT_ROOM ||
		rte_pktmbuf_alloc_bulk(w->pool, piece, n) != 0) {
		w->sparse[p->out].tx_drops[TX_DROP_NO_BUFFER]++;
		return;
	}
	for (unsigned at = 0, i = 0; i < n; at += step, i++)
		make_fragment(w, piece[i], whole, p, at, RTE_MIN(step, payload - at));
	w->sparse[p->out].extra_fragments += n - 1;
}
