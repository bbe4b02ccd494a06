// SPDX-License-Identifier: BSD-3-Clause

// Nobody's packet comes out at somebody else's.
//
// Random networks of customers whose addresses, prefixes, tags and keys overlap as much as the rules allow, under random
// change: routes, paths and interfaces go up and down, tags and keys are taken from one customer and given to
// the next, customers leave and others get their ids. A shadow model, which knows nothing of the tables, says
// of each packet by which interfaces it may leave, or that it must not. Every packet carries its customer and its
// number; whatever leaves is compared with the model, and at the end nothing may be missing.
//
// Count: 20 networks of 10,000 packets, times CULVERT_LONG.

#include "tests/packet/packet.h"

#include "dataplane/tables/interface.h"
#include "dataplane/tables/nexthop.h"
#include "dataplane/tables/vrf.h"
#include "dataplane/tables/walk.h"

#include <stdio.h>

#define OWNERS    6u
#define EXITS     24u // interfaces of all customers
#define ROUTES    24u // of each VRF
#define BATCH     100u
#define NETWORKS  20u
#define PER       10000u
#define FIRST_ID  100u // wire ids of exits and what belongs to them
#define SECOND_ID 200u // neighbor, path and group of IPv6 on an exit of Ethernet, which has both families
#define DROP_EXIT UINT32_MAX

struct prefix {
	uint8_t addr[16];
	uint8_t family;
	uint8_t len;
};

struct exit_ {
	bool live, up, gre, keyed;
	bool path_up[2]; // of IPv4, of IPv6; a tunnel has one path for both
	unsigned
		owner; // which customer; each has a peering VRF for Ethernet and a vNet VRF for tunnels
	unsigned port, outer, inner;
	uint32_t remote, key;
};

struct route_ {
	bool live;
	struct prefix prefix;
	uint32_t exits; // bits of exits, or DROP_EXIT = blackhole
};

struct shadow {
	struct rig *rig;
	uint64_t seed;
	uint64_t uid;
	struct exit_ exit[EXITS];
	struct route_ route[OWNERS][2][ROUTES];
	uint32_t expected[BATCH]; // exits by which packet i may leave
	unsigned owner_of[BATCH];
	uint64_t gone[EXITS]; // uids whose counters the controller has not let go yet
	unsigned gone_count;
	uint64_t left, stopped;
};

static uint64_t pick(struct shadow *s, uint64_t n)
{
	return rig_random(&s->seed) % n;
}

static uint32_t vrf_id(unsigned owner, bool vnet)
{
	return 10 + owner * 2 + vnet;
}

// A universe small enough that everybody's prefixes cover everybody's addresses.
static void random_addr(struct shadow *s, uint8_t family, uint8_t addr[16])
{
	uint64_t r = rig_random(&s->seed);
	memset(addr, 0, 16);
	if (family == WIRE_IPV4) {
		addr[0] = 10;
		addr[1] = r & 3;
		addr[2] = r >> 8 & 7;
		addr[3] = (uint8_t)(r >> 16);
		return;
	}
	addr[0] = 0x20;
	addr[1] = r & 3;
	addr[2] = r >> 8 & 1;
	addr[8] = r >> 9 & 1;
	addr[15] = (uint8_t)(r >> 16);
}

static void mask(struct prefix *p)
{
	for (unsigned bit = p->len; bit < 128; bit++)
		p->addr[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
}

static unsigned path_of(const struct exit_ *x, uint8_t family)
{
	return !x->gre && family == WIRE_IPV6;
}

static bool covers(const struct prefix *p, const uint8_t *addr)
{
	for (unsigned bit = 0; bit < p->len; bit++) {
		if ((p->addr[bit / 8] ^ addr[bit / 8]) & (0x80 >> bit % 8))
			return false;
	}
	return true;
}

static const struct route_ *longest(
	const struct shadow *s, unsigned owner, bool vnet, uint8_t family, const uint8_t *addr)
{
	const struct route_ *best = NULL;
	for (unsigned i = 0; i < ROUTES; i++) {
		const struct route_ *r = &s->route[owner][vnet][i];
		if (r->live && r->prefix.family == family && covers(&r->prefix, addr) &&
			(best == NULL || r->prefix.len > best->prefix.len))
			best = r;
	}
	return best;
}

// By which exits a packet may leave; 0 = it must be dropped.
static uint32_t verdict(const struct shadow *s, const struct exit_ *in, uint8_t family,
	const uint8_t *source, const uint8_t *destination)
{
	const struct route_ *to = longest(s, in->owner, in->gre, family, destination);
	const struct route_ *from = longest(s, in->owner, in->gre, family, source);
	uint32_t may = 0;
	bool vouched = false;
	if (!in->live || !in->up || to == NULL || to->exits == DROP_EXIT || from == NULL ||
		from->prefix.len == 0 || from->exits == DROP_EXIT)
		return 0;
	for (unsigned e = 0; e < EXITS; e++) {
		const struct exit_ *x = &s->exit[e];
		if (from->exits >> e & 1)
			vouched |= x->owner == in->owner && x->gre == in->gre;
		if ((to->exits >> e & 1) && x->path_up[path_of(x, family)])
			may |= 1u << e;
	}
	if (!vouched)
		return 0;
	// Interfaces that are down are not avoided, as paths are: a flow dealt to one is dropped.
	return may;
}

// --- the tables, as a controller would change them ---

static void write_exit(struct shadow *s, unsigned e)
{
	const struct exit_ *x = &s->exit[e];
	struct wire_interface r = {
		.uid = s->uid,
		.interface = FIRST_ID + e,
		.vrf = vrf_id(x->owner, x->gre),
		.owner = vrf_id(x->owner, x->gre),
		.flags = WIRE_INTERFACE_SOURCE_CHECK | (x->up ? WIRE_INTERFACE_UP : 0) |
			 (x->gre && x->keyed ? WIRE_INTERFACE_KEY : 0),
		.mtu = 1400,
		.kind = x->gre ? WIRE_INTERFACE_GRE : WIRE_INTERFACE_ETHERNET,
	};
	uint32_t slot = interface_find(s->rig->dp, r.interface);
	if (slot != 0)
		r.uid = interface_record(s->rig->dp, slot)->uid;
	else
		s->uid++;
	if (x->gre) {
		const uint8_t local[4] = {10, 255, 0, 1},
			      remote[4] = {198, 51, 100, (uint8_t)x->remote};
		r.family = WIRE_IPV4;
		r.ttl = 64;
		r.key = x->keyed ? x->key : 0;
		r.underlay = CORE_GROUP;
		memcpy(r.local, local, 4);
		memcpy(r.remote, remote, 4);
	} else {
		r.port = x->port;
		r.vlans = (x->outer != 0) + (x->inner != 0);
		r.vlan[0] = (uint16_t)x->outer;
		r.vlan[1] = (uint16_t)x->inner;
	}
	int error = interface_set(s->rig->dp, &r);
	if (error < 0)
		fail_msg("interface refused: %d", error);
}

static void write_path(struct shadow *s, unsigned e)
{
	const struct exit_ *x = &s->exit[e];
	for (unsigned i = 0; i < (x->gre ? 1 : 2); i++) {
		uint32_t id = (i == 0 ? FIRST_ID : SECOND_ID) + e;
		const struct wire_path r = {.path = id,
			.interface = FIRST_ID + e,
			.neighbor = x->gre ? 0 : id,
			.up = x->path_up[i]};
		assert_true(path_set(s->rig->dp, &r) >= 0);
	}
}

// The routers behind an attachment, one for each family, have MACs of their own.
static void write_neighbors(struct shadow *s, unsigned e)
{
	for (unsigned i = 0; i < 2 && !s->exit[e].gre; i++) {
		struct wire_neighbor r = {.neighbor = (i == 0 ? FIRST_ID : SECOND_ID) + e,
			.interface = FIRST_ID + e,
			.addr = {169, 254, 10, 1},
			.mac = {2, 1, (uint8_t)(1 + i), 1, 1, (uint8_t)e},
			.family = i == 0 ? WIRE_IPV4 : WIRE_IPV6,
			.state = WIRE_NEIGHBOR_RESOLVED};
		if (i == 1)
			memcpy(r.addr, (const uint8_t[16]){0xfd, [15] = 1}, 16);
		assert_true(neighbor_set(s->rig->dp, &r) >= 0);
	}
}

static void write_groups(struct shadow *s, unsigned e)
{
	for (unsigned i = 0; i < (s->exit[e].gre ? 1 : 2); i++) {
		uint32_t id = (i == 0 ? FIRST_ID : SECOND_ID) + e;
		const struct wire_group r = {.group = id, .count = 1, .path = {id}, .weight = {1}};
		assert_true(group_set(s->rig->dp, &r) >= 0);
	}
}

static bool entrance_free(const struct shadow *s, const struct exit_ *x)
{
	for (unsigned e = 0; e < EXITS; e++) {
		const struct exit_ *o = &s->exit[e];
		if (!o->live || o == x || o->gre != x->gre)
			continue;
		if (x->gre ? o->remote == x->remote && o->keyed == x->keyed &&
					(!x->keyed || o->key == x->key)
			   : o->port == x->port && o->outer == x->outer && o->inner == x->inner)
			return false;
	}
	return true;
}

static bool random_entrance(struct shadow *s, struct exit_ *x)
{
	x->port = 2 * (unsigned)pick(s, 2); // 0 and 2; the core is 1
	x->outer = (unsigned)pick(s, 4);
	x->inner = x->outer != 0 ? (unsigned)pick(s, 4) : 0;
	x->remote = 1 + (uint32_t)pick(s, 2);
	x->keyed = pick(s, 4) != 0;
	x->key = (uint32_t)pick(s, 6);
	return entrance_free(s, x);
}

static void add_exit(struct shadow *s, unsigned e)
{
	struct exit_ x = {.live = true,
		.up = true,
		.path_up = {true, true},
		.owner = (unsigned)pick(s, OWNERS),
		.gre = pick(s, 2)};
	if (!random_entrance(s, &x))
		return;
	s->exit[e] = x;
	write_exit(s, e);
	write_neighbors(s, e);
	write_path(s, e);
	write_groups(s, e);
}

static void delete_route(struct shadow *s, unsigned owner, bool vnet, struct route_ *r)
{
	struct wire_route w = {
		.vrf = vrf_id(owner, vnet), .family = r->prefix.family, .len = r->prefix.len};
	memcpy(w.addr, r->prefix.addr, 16);
	assert_int_equal(route_delete(s->rig->dp, &w), 0);
	r->live = false;
}

// What is in use stays.

static int delete_group(void *ctx, const void *record)
{
	group_delete(ctx, ((const struct wire_group *)record)->group);
	return 0;
}

static int delete_path(void *ctx, const void *record)
{
	path_delete(ctx, ((const struct wire_path *)record)->path);
	return 0;
}

static int delete_neighbor(void *ctx, const void *record)
{
	neighbor_delete(ctx, ((const struct wire_neighbor *)record)->neighbor);
	return 0;
}

static void remove_exit(struct shadow *s, unsigned e)
{
	struct dataplane *dp = s->rig->dp;
	for (unsigned o = 0; o < OWNERS; o++) {
		for (unsigned i = 0; i < 2 * ROUTES; i++) {
			struct route_ *r = &s->route[o][i / ROUTES][i % ROUTES];
			if (r->live && r->exits != DROP_EXIT && (r->exits >> e & 1))
				delete_route(s, o, i / ROUTES, r);
		}
	}
	// Groups of several paths, and what they leave idle.
	walk_all(dp, WIRE_GROUP_SET, 0, delete_group, dp);
	walk_all(dp, WIRE_PATH_SET, 0, delete_path, dp);
	walk_all(dp, WIRE_NEIGHBOR_SET, 0, delete_neighbor, dp);
	if (path_delete(dp, FIRST_ID + e) == -EBUSY || path_delete(dp, SECOND_ID + e) == -EBUSY)
		fail_msg("path in use");
	if (!s->exit[e].gre) {
		neighbor_delete(dp, FIRST_ID + e);
		neighbor_delete(dp, SECOND_ID + e);
	}
	s->gone[s->gone_count++] = interface_record(dp, interface_find(dp, FIRST_ID + e))->uid;
	assert_int_equal(interface_delete(dp, FIRST_ID + e), 0);
	s->exit[e].live = false;
	// The sweep took the idle groups, paths and neighbors of others with it: put them back.
	for (unsigned o = 0; o < EXITS; o++) {
		if (!s->exit[o].live)
			continue;
		write_neighbors(s, o);
		write_path(s, o);
		write_groups(s, o);
	}
}

// The exits of one customer, a random one or several of them.
static uint32_t random_target(struct shadow *s, unsigned owner, uint8_t family, uint32_t *group)
{
	uint32_t own = 0;
	*group = WIRE_GROUP_BLACKHOLE;
	for (unsigned e = 0; e < EXITS; e++)
		own |= (uint32_t)(s->exit[e].live && s->exit[e].owner == owner) << e;
	if (own == 0 || pick(s, 20) == 0)
		return DROP_EXIT;
	uint32_t some = own & (uint32_t)rig_random(&s->seed);
	if (some == 0)
		some = own & -own;
	struct wire_group g = {.group = (family == WIRE_IPV6 ? 1u << 25 : 1u << 24) + some};
	for (unsigned e = 0; e < EXITS; e++) {
		if (!(some >> e & 1))
			continue;
		*group = (path_of(&s->exit[e], family) == 0 ? FIRST_ID : SECOND_ID) + e;
		g.path[g.count] = *group;
		g.weight[g.count++] = (uint16_t)(1 + e % 3);
		if (g.count == WIRE_GROUP_PATHS)
			break;
	}
	if (g.count > 1) {
		if (group_set(s->rig->dp, &g) < 0)
			fail_msg("group refused");
		*group = g.group;
	}
	return some;
}

static void random_route(struct shadow *s)
{
	unsigned owner = (unsigned)pick(s, OWNERS), vnet = (unsigned)pick(s, 2);
	struct route_ *r = &s->route[owner][vnet][pick(s, ROUTES)];
	uint32_t group;
	if (r->live && pick(s, 3) == 0) {
		delete_route(s, owner, vnet, r);
		return;
	}
	if (!r->live) {
		struct prefix p = {.family = pick(s, 3) == 0 ? WIRE_IPV6 : WIRE_IPV4};
		unsigned longest_len = p.family == WIRE_IPV4 ? 32 : 128;
		random_addr(s, p.family, p.addr);
		p.len = pick(s, 16) == 0 ? 0 : (uint8_t)(8 + pick(s, longest_len - 7));
		mask(&p);
		for (unsigned i = 0; i < ROUTES; i++) {
			const struct route_ *o = &s->route[owner][vnet][i];
			if (o->live && memcmp(&o->prefix, &p, sizeof(p)) == 0)
				return;
		}
		r->prefix = p;
	}
	r->exits = random_target(s, owner, r->prefix.family, &group);
	r->live = true;
	struct wire_route w = {.vrf = vrf_id(owner, vnet),
		.group = group,
		.family = r->prefix.family,
		.len = r->prefix.len};
	memcpy(w.addr, r->prefix.addr, 16);
	assert_true(route_set(s->rig->dp, &w) >= 0);
}

static void random_change(struct shadow *s)
{
	unsigned e = (unsigned)pick(s, EXITS);
	struct exit_ *x = &s->exit[e], moved = *x;
	if (!x->live) {
		add_exit(s, e);
		return;
	}
	switch (pick(s, 8)) {
	case 0:
		remove_exit(s, e); // its tags or key, and its ids, are free for the next
		break;
	case 1:
		x->up = !x->up;
		write_exit(s, e);
		break;
	case 2:
		moved.path_up[pick(s, 2)] ^= true;
		memcpy(x->path_up, moved.path_up, sizeof(x->path_up));
		write_path(s, e);
		break;
	case 3: // another entrance, in place, under running routes
		if (random_entrance(s, &moved) && (moved.gre || moved.port == x->port)) {
			*x = moved;
			write_exit(s, e);
		}
		break;
	default:
		random_route(s);
	}
}

// --- packets ---

static void header(struct shadow *s, struct frame *f, uint8_t family, const uint8_t *source,
	const uint8_t *destination)
{
	if (family == WIRE_IPV6) {
		struct ipv6 h = {.protocol = 17, .hop_limit = 9};
		memcpy(h.source, source, 16);
		memcpy(h.destination, destination, 16);
		frame_ipv6(f, &h);
		return;
	}
	struct ipv4 h = {.protocol = 17, .ttl = 9};
	for (unsigned i = 0; i < 4; i++) {
		h.source = h.source << 8 | source[i];
		h.destination = h.destination << 8 | destination[i];
	}
	frame_ipv4(f, &h);
}

static void enclose(struct rig *rig, struct frame *f, const struct exit_ *x, uint8_t family)
{
	uint16_t type = family == WIRE_IPV6 ? 0x86dd : 0x0800;
	if (x->gre) {
		const struct gre g = {
			.flags = x->keyed ? GRE_KEY : 0, .key = x->key, .protocol = type};
		const struct ipv4 outer = {.source = IP4(198, 51, 100, x->remote),
			.destination = OUTER,
			.protocol = 47,
			.ttl = 9};
		frame_gre(f, &g);
		frame_ipv4(f, &outer);
		frame_core(f, false);
		rig_send(rig, 1, f);
		return;
	}
	frame_type(f, type);
	if (x->inner != 0)
		frame_tag(f, (uint16_t)x->inner, 0x8100);
	if (x->outer != 0)
		frame_tag(f, (uint16_t)x->outer, 0x8100);
	frame_macs(f, rig->port[x->port].port.mac, mac_customer[1]);
	rig_send(rig, x->port, f);
}

static void send_one(struct shadow *s, uint32_t number)
{
	static struct frame f;
	// An entrance that belongs to somebody, or, sometimes, that has no owner (any more).
	struct exit_ *in = &s->exit[pick(s, EXITS)], none = {.gre = pick(s, 2)};
	uint8_t source[16], destination[16], family = pick(s, 3) == 0 ? WIRE_IPV6 : WIRE_IPV4;
	if (!in->live) {
		if (!random_entrance(s, &none))
			return;
		in = &none;
	}
	random_addr(s, family, source);
	random_addr(s, family, destination);
	s->expected[number] = in->live ? verdict(s, in, family, source, destination) : 0;
	s->owner_of[number] = in->owner;
	frame_payload(&f, 16);
	memcpy(f.data, &number, 4);
	frame_udp(&f, (uint16_t)rig_random(&s->seed), 7);
	header(s, &f, family, source, destination);
	enclose(s->rig, &f, in, family);
}

// The frame around and the packet inside are whole, and the frame goes to the exit's neighbor and no other.
static void check_frame(const struct shadow *s, unsigned e, const struct frame *f, bool keyed)
{
	const struct exit_ *x = &s->exit[e];
	unsigned l3 = 14 + 4 * (x->outer != 0) + 4 * (x->inner != 0);
	if (x->gre) {
		l3 = 14 + 20 + 4 + 4 * keyed;
		assert_int_equal(frame_checksum(f->data + 14, 20), 0);
		assert_int_equal((unsigned)f->data[16] << 8 | f->data[17], f->length - 14);
	}
	const uint8_t *ip = f->data + l3;
	const uint8_t neighbor[6] = {2, 1, ip[0] >> 4 == 6 ? 2 : 1, 1, 1, (uint8_t)e};
	assert_memory_equal(f->data, x->gre ? mac_core : neighbor, 6);
	assert_memory_equal(f->data + 6, s->rig->port[x->gre ? 1 : x->port].port.mac, 6);
	if (ip[0] >> 4 == 4) {
		assert_int_equal(ip[8], 8);
		assert_int_equal(frame_checksum(ip, 20), 0);
		assert_int_equal((unsigned)ip[2] << 8 | ip[3], f->length - l3);
	} else {
		assert_int_equal(ip[7], 8);
		assert_int_equal(40 + ((unsigned)ip[4] << 8 | ip[5]), f->length - l3);
	}
}

// Which exit a frame that left belongs to, and the number in it.
static unsigned identify(
	const struct shadow *s, unsigned port, const struct frame *f, uint32_t *number)
{
	memcpy(number, f->data + f->length - 16, 4);
	unsigned outer = 0, inner = 0;
	bool keyed = false;
	uint32_t remote = 0, key = 0;
	if (port == 1) {
		const uint8_t *gre = f->data + 34;
		remote = f->data[33];
		keyed = gre[0] & 0x20;
		if (keyed)
			key = (uint32_t)gre[4] << 24 | (uint32_t)gre[5] << 16 |
			      (uint32_t)gre[6] << 8 | gre[7];
	} else if (f->data[12] == 0x81) {
		outer = f->data[15];
		if (f->data[16] == 0x81)
			inner = f->data[19];
	}
	for (unsigned e = 0; e < EXITS; e++) {
		const struct exit_ *x = &s->exit[e];
		if (!x->live || x->gre != (port == 1))
			continue;
		if (x->gre ? x->remote == remote && x->keyed == keyed && (!keyed || x->key == key)
			   : x->port == port && x->outer == outer && x->inner == inner) {
			check_frame(s, e, f, keyed);
			return e;
		}
	}
	fail_msg("left by an entrance of nobody");
	return 0;
}

static void batch(struct shadow *s)
{
	static struct frame f;
	memset(s->expected, 0, sizeof(s->expected));
	for (uint32_t i = 0; i < BATCH; i++)
		send_one(s, i);
	rig_run(s->rig);
	while (s->gone_count > 0)
		assert_int_equal(stats_slot_release(s->rig->stats, s->gone[--s->gone_count]), 0);
	for (unsigned port = 0; port < RIG_PORTS; port++) {
		while (rig_receive(s->rig, port, &f)) {
			uint32_t number;
			unsigned e = identify(s, port, &f, &number);
			assert_true(number < BATCH);
			assert_int_equal(s->exit[e].owner, s->owner_of[number]);
			assert_true(s->expected[number] >> e & 1);
			s->expected[number] = 0;
			s->left++;
		}
	}
	// What is missing must have been dealt to an interface that is down.
	for (uint32_t i = 0; i < BATCH; i++) {
		bool excused = s->expected[i] == 0;
		for (unsigned e = 0; e < EXITS; e++)
			excused |= (s->expected[i] >> e & 1) && !s->exit[e].up;
		s->stopped += s->expected[i] == 0;
		assert_true(excused);
	}
}

static void random_networks(void **state)
{
	static struct shadow s;
	uint64_t seed = rig_seed(), count = rig_scale(PER),
		 networks = rig_scale(1) > 1 ? 1000 : NETWORKS;
	uint64_t left = 0;
	if (networks == 1000)
		count = rig_scale(PER) * NETWORKS / networks;
	for (uint64_t n = 0; n < networks; n++) {
		static struct rig rig;
		const struct rig_config c = {.no_host = true}; // ICMP errors would be in the way
		memset(&s, 0, sizeof(s));
		s.rig = &rig;
		s.uid = 1000000;
		s.seed = seed + n * 0x1000003;
		rig_open(&rig, &c);
		set_vrf(&rig, UNDERLAY);
		set_ethernet(&rig, CORE, UNDERLAY, 0, WIRE_INTERFACE_CORE, 1, 0, 0);
		set_neighbor(&rig, CORE, CORE, CORE_ROUTER, mac_core);
		set_path(&rig, CORE, CORE, CORE, true);
		set_group(&rig, CORE_GROUP, CORE);
		for (unsigned v = 0; v < 2 * OWNERS; v++)
			set_vrf(&rig, vrf_id(v / 2, v % 2));
		for (unsigned e = 0; e < EXITS; e++)
			add_exit(&s, e);
		for (unsigned r = 0; r < 300; r++)
			random_route(&s);
		rig.in_total = true;
		for (uint64_t i = 0; i < count / BATCH; i++) {
			for (unsigned changes = (unsigned)pick(&s, 6); changes > 0; changes--)
				random_change(&s);
			batch(&s);
		}
		left += s.left;
		rig_close(&rig);
	}
	printf("%lu of %lu packets left, none by another's exit\n", (unsigned long)left,
		(unsigned long)(networks * count));
	assert_true(left > networks * count / 20);
}

// Where the kernel makes one packet of fragments of two, no tag tells them apart any more.
static void port_that_merges(void **state)
{
	static struct rig rig;
	rig_open(&rig, NULL);
	set_vrf(&rig, UNDERLAY);
	rig.port[1].port.merges = 1;
	set_ethernet(&rig, CORE, UNDERLAY, 0, WIRE_INTERFACE_CORE, 1, 0, 0);
	struct wire_interface r = get_interface(&rig, CORE);
	r.uid = 1000000;
	r.interface = FIRST_ID;
	r.vlans = 1;
	r.vlan[0] = 100;
	r.flags = WIRE_INTERFACE_UP;
	assert_int_equal(interface_set(rig.dp, &r), -EOPNOTSUPP);
	rig.port[1].port.merges = 0;
	assert_int_equal(interface_set(rig.dp, &r), 0);
	rig_close(&rig);
}

static struct wire_interface attachment(struct rig *rig, uint32_t number, uint16_t vid)
{
	struct wire_interface r = get_interface(rig, CORE);

	r.uid = 1000000 + number;
	r.interface = FIRST_ID + number;
	r.port = 1;
	r.vlans = vid != 0;
	r.vlan[0] = vid;
	r.flags = WIRE_INTERFACE_UP;
	return r;
}

// Where a driver may hide a tag, a frame that looks untagged may be one of another's.
static void port_that_hides_tags(void **state)
{
	static struct rig rig;
	struct wire_interface tagged, other, plain, both[2];
	int error[2] = {0};

	rig_open(&rig, NULL);
	set_vrf(&rig, UNDERLAY);
	set_ethernet(&rig, CORE, UNDERLAY, 0, WIRE_INTERFACE_CORE, 0, 0, 0);
	tagged = attachment(&rig, 0, 100);
	other = attachment(&rig, 1, 200);
	plain = attachment(&rig, 2, 0);

	rig.port[1].port.tags = PORT_TAGS_HIDDEN;
	assert_int_equal(interface_set(rig.dp, &tagged), -EOPNOTSUPP);
	assert_int_equal(interface_set(rig.dp, &plain), 0);

	rig.port[1].port.tags = PORT_TAGS_SWITCHED;
	assert_int_equal(interface_set(rig.dp, &tagged), -EOPNOTSUPP);
	assert_int_equal(interface_delete(rig.dp, plain.interface), 0);
	assert_int_equal(interface_set(rig.dp, &tagged), 0);
	assert_int_equal(interface_set(rig.dp, &tagged), 1);
	assert_int_equal(interface_set(rig.dp, &other), 0);
	assert_int_equal(interface_set(rig.dp, &plain), -EOPNOTSUPP);
	// The last of its kind may become the other, and two at once; not one of two.
	both[0] = tagged;
	both[0].vlans = both[0].vlan[0] = 0;
	assert_int_equal(interface_set(rig.dp, &both[0]), -EOPNOTSUPP);
	both[1] = other;
	both[1].port = 0;
	both[1].vlan[0] = 300;
	assert_int_equal(interface_exchange(rig.dp, both, 2, error), 0);
	assert_int_equal(interface_set(rig.dp, &plain), -EEXIST);

	rig.port[1].port.tags = PORT_TAGS_SURE;
	assert_int_equal(interface_set(rig.dp, &tagged), 0);
	rig_close(&rig);
}

// --- what a port is told is its own, where the rest is the kernel's ---

static uint32_t owned[4096];
static bool watched;

static void own_tag(struct port *port, uint16_t vid, bool core, int change)
{
	owned[vid] += (uint32_t)change;
	if (watched) // they change hands, and are nobody else's meanwhile
		assert_true(owned[100] != 0 && owned[200] != 0);
}

static void tags_stay_owned(void **state)
{
	static const struct port_kind kind = {.own_tag = own_tag};
	static struct rig rig;
	struct wire_interface one, two, swapped[2];
	int error[2] = {0};

	rig_open(&rig, NULL);
	set_vrf(&rig, UNDERLAY);
	set_ethernet(&rig, CORE, UNDERLAY, 0, WIRE_INTERFACE_CORE, 0, 0, 0);
	rig.port[1].port.kind = &kind;
	one = swapped[0] = attachment(&rig, 0, 100);
	two = swapped[1] = attachment(&rig, 1, 200);
	assert_int_equal(interface_set(rig.dp, &one), 0);
	assert_int_equal(interface_set(rig.dp, &two), 0);
	watched = true;
	swapped[0].vlan[0] = 200;
	swapped[1].vlan[0] = 100;
	assert_int_equal(interface_exchange(rig.dp, swapped, 2, error), 0);
	swapped[0].flags |= WIRE_INTERFACE_PARKED; // still nobody else's
	assert_int_equal(interface_set(rig.dp, &swapped[0]), 0);
	swapped[0].flags = 0;
	swapped[0].mac[5] = 4;
	swapped[0].mac[0] = 2;
	assert_int_equal(interface_set(rig.dp, &swapped[0]), 0);
	swapped[0].uid = 999; // refused
	assert_int_equal(interface_set(rig.dp, &swapped[0]), -EEXIST);
	watched = false;
	assert_int_equal(owned[100] + owned[200], 2);
	assert_int_equal(interface_delete(rig.dp, one.interface), 0);
	assert_int_equal(interface_delete(rig.dp, two.interface), 0);
	assert_int_equal(owned[100] + owned[200], 0);
	rig.port[1].port.kind = NULL;
	rig_close(&rig);
}

static int addresses;

static void own_address(struct port *port, uint8_t family, const uint8_t *address, int change)
{
	assert_int_equal(family, WIRE_IPV4);
	assert_memory_equal(address, "\xc0\x00\x02\x63", 4);
	addresses += change;
}

// The same address in the core of two routing domains is the port's as long as one of them has it,
// and as long as its interface is one to the core.
static void addresses_stay_owned(void **state)
{
	static const struct port_kind kind = {.own_address = own_address};
	static struct rig rig;
	struct wire_local one = {.vrf = UNDERLAY,
				  .interface = CORE,
				  .family = WIRE_IPV4,
				  .addr = {192, 0, 2, 99}},
			  two = one;
	struct wire_interface moved;

	rig_open(&rig, NULL);
	set_vrf(&rig, UNDERLAY);
	set_vrf(&rig, 7);
	set_ethernet(&rig, CORE, UNDERLAY, 0, WIRE_INTERFACE_CORE, 0, 0, 0);
	set_ethernet(&rig, 70, 7, 0, WIRE_INTERFACE_CORE, 1, 100, 0);
	rig.port[1].port.kind = &kind;
	two.vrf = 7;
	two.interface = 70;
	assert_int_equal(local_set(rig.dp, &one), 0);
	assert_int_equal(addresses, 1);
	assert_int_equal(local_set(rig.dp, &two), 0);
	assert_int_equal(local_set(rig.dp, &two), 1);
	assert_int_equal(addresses, 2);
	assert_int_equal(local_delete(rig.dp, &one), 0);
	assert_int_equal(addresses, 1);
	moved = get_interface(&rig, 70);
	moved.flags &= ~WIRE_INTERFACE_CORE;
	assert_int_equal(interface_set(rig.dp, &moved), 0);
	assert_int_equal(addresses, 0);
	moved.flags |= WIRE_INTERFACE_CORE;
	assert_int_equal(interface_set(rig.dp, &moved), 0);
	assert_int_equal(addresses, 1);
	assert_int_equal(local_delete(rig.dp, &two), 0);
	assert_int_equal(addresses, 0);
	rig.port[1].port.kind = NULL;
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(port_that_merges),
		cmocka_unit_test(port_that_hides_tags),
		cmocka_unit_test(tags_stay_owned),
		cmocka_unit_test(addresses_stay_owned),
		cmocka_unit_test(random_networks),
	};
	rig_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
