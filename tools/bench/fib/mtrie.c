/* SPDX-License-Identifier: BSD-3-Clause */
// A plain 16-8-8 multi-bit trie for the bench, of the shape and with the node sizes of VPP's
// ip4_mtrie (a root of 65,536 leaves with their lengths, plies of 256), written anew, build only. A
// leaf is a value with the low bit set or the number of a ply. Lookup takes four packets a step, as
// there, and prefetches the root a batch ahead.

#include "tools/bench/fib/bench.h"

#include <stdlib.h>
#include <string.h>

struct ply {
	uint32_t leaf[256];
	uint8_t len[256];
	uint8_t rest[64];
};
struct mtrie {
	uint32_t root[65536];
	uint8_t root_len[65536];
	struct ply *plies;
	uint32_t n, room;
};

struct mtrie *mtrie_create(void)
{
	struct mtrie *m = huge_alloc(sizeof(*m));
	m->room = 64;
	m->n = 1; // ply 0 is not used, so that an empty leaf (0) is told from one
	m->plies = huge_alloc(m->room * sizeof(*m->plies));
	return m;
}

void mtrie_free(struct mtrie *m)
{
	huge_free(m->plies, m->room * sizeof(*m->plies));
	huge_free(m, sizeof(*m));
}

size_t mtrie_bytes(const struct mtrie *m)
{
	return sizeof(m->root) + sizeof(m->root_len) + m->n * sizeof(struct ply);
}

static uint32_t new_ply(struct mtrie *m, uint32_t leaf, uint8_t len)
{
	if (m->n == m->room) {
		struct ply *more = huge_alloc(2 * m->room * sizeof(*more));
		memcpy(more, m->plies, m->n * sizeof(*more));
		huge_free(m->plies, m->room * sizeof(*more));
		m->plies = more;
		m->room *= 2;
	}
	struct ply *p = &m->plies[m->n];
	for (unsigned i = 0; i < 256; i++)
		p->leaf[i] = leaf;
	memset(p->len, len, 256);
	return m->n++ << 1;
}

static void set_ply(
	struct mtrie *m, uint32_t ply, unsigned level, uint32_t addr, unsigned len, uint32_t leaf);

static void set_leaf(struct mtrie *m, uint32_t *at, uint8_t *at_len, unsigned len, uint32_t leaf)
{
	if (*at && !(*at & 1)) { // a ply: everything in it that is shorter
		uint32_t ply = *at >> 1;
		for (unsigned i = 0; i < 256; i++)
			set_leaf(m, &m->plies[ply].leaf[i], &m->plies[ply].len[i], len, leaf);
	} else if (*at_len <= len) {
		*at = leaf;
		*at_len = (uint8_t)len;
	}
}

static void set_ply(
	struct mtrie *m, uint32_t ply, unsigned level, uint32_t addr, unsigned len, uint32_t leaf)
{
	unsigned slot = addr >> (24 - level) & 255;
	if (len <= level + 8) {
		for (unsigned i = 0; i < 1u << (level + 8 - len); i++)
			set_leaf(m, &m->plies[ply].leaf[slot + i], &m->plies[ply].len[slot + i],
				len, leaf);
		return;
	}
	uint32_t next = m->plies[ply].leaf[slot];
	if (!next || (next & 1)) {
		next = new_ply(m, next, m->plies[ply].len[slot]);
		m->plies[ply].leaf[slot] = next;
	}
	set_ply(m, next >> 1, level + 8, addr, len, leaf);
}

void mtrie_add(struct mtrie *m, uint32_t addr, unsigned len, uint32_t value)
{
	uint32_t slot = addr >> 16, leaf = value << 1 | 1;
	if (len <= 16) {
		for (uint32_t i = 0; i < 1u << (16 - len); i++)
			set_leaf(m, &m->root[slot + i], &m->root_len[slot + i], len, leaf);
		return;
	}
	uint32_t next = m->root[slot];
	if (!next || (next & 1))
		m->root[slot] = next = new_ply(m, next, m->root_len[slot]);
	set_ply(m, next >> 1, 16, addr, len, leaf);
}

static inline uint32_t step(const struct mtrie *m, uint32_t leaf, uint32_t byte)
{
	return leaf && !(leaf & 1) ? m->plies[leaf >> 1].leaf[byte] : leaf;
}

static inline __attribute__((always_inline)) void lookup(
	const struct mtrie *const *of, const uint32_t *addr, uint32_t *out, unsigned n)
{
	unsigned i = 0;
	for (; i + 4 <= n; i += 4) {
		uint32_t leaf[4];
		for (unsigned k = 0; k < 4; k++)
			leaf[k] = of[i + k]->root[addr[i + k] >> 16];
		for (unsigned k = 0; k < 4; k++)
			leaf[k] = step(of[i + k], leaf[k], addr[i + k] >> 8 & 255);
		for (unsigned k = 0; k < 4; k++)
			out[i + k] = step(of[i + k], leaf[k], addr[i + k] & 255) >> 1;
	}
	for (; i < n; i++)
		out[i] = step(of[i], step(of[i], of[i]->root[addr[i] >> 16], addr[i] >> 8 & 255),
				 addr[i] & 255) >>
			 1;
}

void mtrie_lookup(struct mtrie *const *of_vrf, const uint32_t *vrf, const uint32_t *addr,
	uint32_t *out, unsigned n)
{
	const struct mtrie *of[FIB_BULK];
	for (unsigned i = 0; i < n; i++) {
		of[i] = of_vrf[vrf[i]];
		__builtin_prefetch(&of[i]->root[addr[i] >> 16]);
		__builtin_prefetch(&of[i]->plies);
	}
	lookup(of, addr, out, n);
}

void mtrie_lookup_one(const struct mtrie *m, const uint32_t *addr, uint32_t *out, unsigned n)
{
	const struct mtrie *of[FIB_BULK];
	for (unsigned i = 0; i < n; i++)
		of[i] = m;
	lookup(of, addr, out, n);
}
