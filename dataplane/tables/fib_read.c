/* SPDX-License-Identifier: BSD-3-Clause */
// Routes by name: from the caller's struct to a place in the shadow and back, and reading what is
// there.

#include "dataplane/tables/fib_private.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

struct key route_address(const struct fib_route *route)
{
	struct key addr = {0, 0};
	if (route->family == FIB_IPV4) {
		uint32_t word;
		memcpy(&word, route->addr, 4);
		addr.hi = (uint64_t)be32toh(word) << 32;
	} else {
		memcpy(&addr, route->addr, 16);
		addr.hi = be64toh(addr.hi);
		addr.lo = be64toh(addr.lo);
	}
	return addr;
}

struct key bits_behind(unsigned len) // set bits behind the first len
{
	if (len >= 64)
		return (struct key){0, len == 128 ? 0 : ~0ull >> (len - 64)};
	return (struct key){~0ull >> len, ~0ull};
}

int route_check(const struct fib_route *route)
{
	if ((route->family != FIB_IPV4 && route->family != FIB_IPV6) ||
		route->len > max_len(route->family) || (route->group & ~FIB_GROUP_MASK))
		return -EINVAL;
	struct key addr = route_address(route), rest = bits_behind(route->len);
	return (addr.hi & rest.hi) || (addr.lo & rest.lo) ? -EINVAL : 0;
}

struct place route_place(const struct fib_route *route)
{
	struct key addr = route_address(route);
	unsigned slice = (route->len - 1u) / 16;
	return (struct place){
		key_of(addr, slice), slice, key_next(addr, slice), route->len - 16 * slice};
}

int fib_get(const struct fib *fib, uint32_t slot, struct fib_route *route)
{
	struct vrf *vrf = slot < fib->max_vrfs ? fib->vrfs[slot] : NULL;
	if (!vrf)
		return -ENOENT;
	route->group = 0;
	int error = route_check(route);
	if (error)
		return error;
	const struct table *t = &vrf->table[route->family == FIB_IPV6];
	if (route->len == 0) {
		route->group = t->def & FIB_GROUP_MASK;
		route->origin = t->def_origin;
		return t->def ? 0 : -ENOENT;
	}
	struct place at = route_place(route);
	entry e = entry_make(at.pos, at.len, 0, 0);
	struct chunk *c = chunks_find(&fib->shadow, &t->chunks, at.key, at.slice);
	unsigned i = c ? entries_find(chunk_entries(&fib->shadow, c), c->n, e) : 0;
	if (!c || i == c->n || ((chunk_entries(&fib->shadow, c)[i] ^ e) & ENTRY_ORDER))
		return -ENOENT;
	route->group = entry_group(chunk_entries(&fib->shadow, c)[i]);
	route->origin = entry_origin(chunk_entries(&fib->shadow, c)[i]);
	return 0;
}

static struct fib_route route_of(const struct table *t, const struct chunk *c, entry e)
{
	struct fib_route route = {.group = entry_group(e),
		.family = t->family,
		.len = (uint8_t)(c->slice * 16 + entry_len(e)),
		.origin = entry_origin(e)};
	struct key addr = {c->hi, c->lo};
	*(c->slice < 4 ? &addr.hi : &addr.lo) |= (uint64_t)entry_first(e)
						 << (48 - 16 * (c->slice & 3));
	uint64_t words[2] = {htobe64(addr.hi), htobe64(addr.lo)};
	memcpy(route.addr, words, t->family == FIB_IPV6 ? 16 : 4);
	return route;
}

int fib_dump(const struct fib *fib, uint32_t slot, uint8_t family, const struct fib_route *after,
	int (*callback)(void *ctx, const struct fib_route *route), void *ctx)
{
	const struct vrf *vrf = slot < fib->max_vrfs ? fib->vrfs[slot] : NULL;
	if (!vrf || (family != FIB_IPV4 && family != FIB_IPV6))
		return vrf ? -EINVAL : -ENOENT;
	const struct table *t = &vrf->table[family == FIB_IPV6];
	struct fib_route route = {
		.group = t->def & FIB_GROUP_MASK, .family = family, .origin = t->def_origin};
	int stop = !after && t->def ? callback(ctx, &route) : 0;
	struct chunk *c;
	unsigned i = 0;
	if (after && after->len) {
		struct place at = route_place(after);
		entry e = entry_make(at.pos, at.len, 0, 0);
		c = chunks_from(&fib->shadow, &t->chunks, at.key, at.slice);
		if (c && c->hi == at.key.hi && c->lo == at.key.lo && c->slice == at.slice) {
			const entry *list = chunk_entries(&fib->shadow, c);
			i = entries_find(list, c->n, e);
			i += i < c->n && !((list[i] ^ e) & ENTRY_ORDER);
		}
	} else {
		c = chunks_from(&fib->shadow, &t->chunks, (struct key){0}, 0);
	}
	while (c && !stop) {
		const entry *list = chunk_entries(&fib->shadow, c);
		for (; i < c->n && !stop; i++) {
			route = route_of(t, c, list[i]);
			stop = callback(ctx, &route);
		}
		i = 0;
		c = chunks_from(
			&fib->shadow, &t->chunks, (struct key){c->hi, c->lo}, c->slice + 1u);
	}
	return stop;
}
