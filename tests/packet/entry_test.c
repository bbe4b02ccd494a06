// SPDX-License-Identifier: BSD-3-Clause

// Forwarding entries follow everything that they are made from, and nothing else is written: after any row of
// changes each entry is what its records say, and one change rewrites the entries that name it.

#include <pthread.h>

#include "dataplane/tables/interface.h"
#include "dataplane/tables/limiters.h"
#include "dataplane/tables/nexthop.h"
#include "dataplane/tables/tables.h"
#include "dataplane/tables/vrf.h"
#include "dataplane/tables/walk.h"
#include "tests/packet/packet.h"

#define LIMITERS 4u

static const struct entry *group_entry(const struct rig *rig, uint32_t id)
{
	const struct tables *t = rig->dp->tables;
	return &t->entry[slots_find(&t->group_slots, id)];
}

static const struct entry *path_entry(const struct rig *rig, uint32_t id)
{
	const struct tables *t = rig->dp->tables;
	return &t->entry[ENTRY_OF_PATH(t, slots_find(&t->path_slots, id))];
}

static void assert_same(const struct entry *a, const struct entry *b)
{
	assert_memory_equal(&a->kind, &b->kind, sizeof(*a) - offsetof(struct entry, kind));
	assert_int_equal(a->seq & 1, 0);
}

// Byte by byte as a worker reads it.
static void what_entries_say(void **state)
{
	static const uint8_t behind[] = {2, 0, 0, 0, 0, 0x10, 0x81, 0, 0, 200, 0x81, 0, 0, 7, 8, 0};
	struct rig *rig = *state;
	const struct tables *t = rig->dp->tables;
	const struct entry *e = group_entry(rig, ATTACHMENT(GLOBEX));
	assert_int_equal(e->kind, ENTRY_L2);
	assert_int_equal(e->flags, ENTRY_VOUCHES);
	assert_int_equal(e->out, interface_find(rig->dp, ATTACHMENT(GLOBEX)));
	assert_int_equal(e->owner, PEERING(GLOBEX));
	assert_int_equal(e->mtu, 1500);
	assert_int_equal(e->port, 0);
	assert_int_equal(e->length, 22);
	assert_memory_equal(e->l2.rewrite + 2, mac_customer[GLOBEX], 6);
	assert_memory_equal(e->l2.rewrite + 8, behind, sizeof(behind));
	assert_same(e, path_entry(rig, ATTACHMENT(GLOBEX)));
	assert_int_equal(t->path_state[e->path].up, 1);
	assert_int_equal(t->path_state[e->path].live, 1);

	e = group_entry(rig, TUNNEL(ACME));
	assert_int_equal(e->kind, ENTRY_GRE4);
	assert_int_equal(e->flags, ENTRY_VOUCHES | ENTRY_KEY);
	assert_int_equal(e->length, 28);
	assert_int_equal(e->via, slots_find(&t->group_slots, CORE_GROUP));
	assert_memory_equal(e->gre4.front,
		"\x45\x00\x00\x00\x00\x00\x00\x00\x40\x2f\x00\x00"
		"\x0a\xff\x00\x01\xc6\x33\x64\x01\x20\x00\x08\x00\x00\x00\x03\xe9",
		28);
	assert_int_equal(e->sum, 0xba64);
	assert_int_equal(t->entry[e->via].flags, 0); // the core vouches for nobody
	// The tunnel's own entry is the same, of no path.
	struct entry own = *e;
	own.path = 0;
	assert_same(&own, &t->entry[ENTRY_OF_INTERFACE(t, e->out)]);
	assert_int_equal(t->path_state[0].up, 1);

	assert_int_equal(t->entry[1].kind, ENTRY_DROP); // blackhole
	e = &t->entry[t->local_group[interface_find(rig->dp, ATTACHMENT(ACME))]];
	assert_int_equal(e->kind, ENTRY_LOCAL);
	assert_int_equal(e->via, interface_find(rig->dp, ATTACHMENT(ACME)));
}

static uint64_t writes(const struct tables *t)
{
	uint64_t sum = 0;
	uint32_t last = ENTRY_OF_INTERFACE(t, t->interface_slots.capacity);
	for (uint32_t i = 0; i < last; i++)
		sum += t->entry[i].seq / 2;
	return sum;
}

// How many entries a change rewrites. Going down is none: every entry of the path asks path_state[].
static void one_change_writes_what_names_it(void **state)
{
	struct rig *rig = *state;
	const struct tables *t = rig->dp->tables;
	uint64_t before = writes(t);
	uint32_t path = slots_find(&t->path_slots, TUNNEL(ACME));
	set_path(rig, TUNNEL(ACME), TUNNEL(ACME), 0, false);
	assert_int_equal(t->path_state[path].up, 0);
	assert_int_equal(writes(t), before);
	set_path(rig, TUNNEL(ACME), TUNNEL(ACME), 0, true);
	assert_int_equal(t->path_state[path].up, 1);
	assert_int_equal(writes(t), before);
	// A customer's MAC: his path's entry and his group's.
	set_neighbor(rig, ATTACHMENT(ACME), ATTACHMENT(ACME), PEER, mac_core);
	assert_int_equal(writes(t), before += 2);
	// The core's: no tunnel.
	set_neighbor(rig, CORE, CORE, CORE_ROUTER, NULL);
	assert_int_equal(writes(t), before += 2);
	assert_int_equal(group_entry(rig, CORE_GROUP)->flags & ENTRY_UNRESOLVED, ENTRY_UNRESOLVED);
	// A tunnel's MTU: its own entry, its path's, its group's.
	struct wire_interface r = get_interface(rig, TUNNEL(ACME));
	r.mtu = 1400;
	set_interface(rig, &r);
	assert_int_equal(writes(t), before += 3);
	assert_int_equal(group_entry(rig, TUNNEL(ACME))->mtu, 1400);
}

struct random {
	struct rig *rig;
	uint64_t seed;
	uint64_t taken;
};

static uint32_t below(struct random *x, uint32_t n)
{
	return (uint32_t)(rig_random(&x->seed) % n);
}

static void note(struct random *x, int result)
{
	x->taken += result == 0;
}

static void change_interface(struct random *x)
{
	uint32_t c = 1 + below(x, CUSTOMERS);
	struct wire_interface r = get_interface(x->rig, below(x, 2) ? ATTACHMENT(c) : TUNNEL(c));
	switch (below(x, 7)) {
	case 0:
		r.flags ^= WIRE_INTERFACE_UP;
		break;
	case 1:
		r.mtu = (uint16_t)(1000 + below(x, 400));
		break;
	case 2:
		r.owner = 1 + below(x, 3);
		break;
	case 3:
		r.limiter_out = below(x, LIMITERS + 1);
		break;
	case 4:
		r.limiter_in = below(x, LIMITERS + 1);
		break;
	case 5:
		r.flags ^= WIRE_INTERFACE_PARKED;
		break;
	default:
		if (r.kind == WIRE_INTERFACE_GRE)
			r.underlay = below(x, 2) ? CORE_GROUP : 0;
		else
			r.mac[5] = (uint8_t)below(x, 4);
	}
	note(x, interface_set(x->rig->dp, &r));
}

static void change_limiter(struct random *x)
{
	uint32_t id = 1 + below(x, LIMITERS);
	const struct wire_limiter l = {.uid = 5000 + id,
		.limiter = id,
		.rate = 100000000,
		.burst = 625000,
		.overhead = (int16_t)(below(x, 9) - 4),
		.account = (uint8_t)below(x, 2)};
	note(x, limiter_set(x->rig->dp, &l));
}

static void change_path(struct random *x)
{
	uint32_t id = 200 + below(x, 6), to = 1 + below(x, CUSTOMERS);
	bool tunnel = below(x, 2);
	const struct wire_path p = {.path = id,
		.interface = tunnel ? TUNNEL(to) : ATTACHMENT(to),
		.neighbor = tunnel ? 0 : ATTACHMENT(to),
		.up = (uint8_t)below(x, 2),
		.account = below(x, 3)};
	note(x, below(x, 4) ? path_set(x->rig->dp, &p) : path_delete(x->rig->dp, id));
}

static void change_group(struct random *x)
{
	struct wire_group g = {.group = 200 + below(x, 6), .count = 1 + below(x, 3)};
	for (unsigned i = 0; i < g.count; i++) {
		g.path[i] = 200 + below(x, 6);
		g.weight[i] = 1;
	}
	note(x, below(x, 4) ? group_set(x->rig->dp, &g) : group_delete(x->rig->dp, g.group));
}

static void change_neighbor(struct random *x)
{
	uint32_t c = 1 + below(x, CUSTOMERS);
	const struct wire_neighbor n = {.neighbor = ATTACHMENT(c),
		.interface = ATTACHMENT(c),
		.addr = {169, 254, 10, 1},
		.mac = {2, 0, 0, 0, 0, (uint8_t)below(x, 4)},
		.family = WIRE_IPV4,
		.state = (uint8_t)below(x, 2)};
	note(x, neighbor_set(x->rig->dp, &n));
}

static uint32_t owner_of(const struct rig *rig, const struct wire_group *g)
{
	const struct tables *t = rig->dp->tables;
	uint32_t owner = 0;
	for (uint32_t i = 0; i < g->count; i++) {
		uint32_t path = slots_find(&t->path_slots, g->path[i]);
		uint32_t of = interface_record(
			rig->dp, interface_find(rig->dp, t->path_record[path].interface))
				      ->owner;
		if (i != 0 && of != owner)
			return OWNER_MIXED;
		owner = of;
	}
	return owner;
}

static int check_path(void *ctx, const void *record)
{
	const struct rig *rig = ctx;
	const struct wire_path *r = record;
	const struct tables *t = rig->dp->tables;
	uint32_t slot = slots_find(&t->path_slots, r->path);
	uint32_t out = interface_find(rig->dp, r->interface);
	const struct entry *e = &t->entry[ENTRY_OF_PATH(t, slot)];
	const struct wire_interface *i = interface_record(rig->dp, out);
	struct entry wanted;
	entry_of_way(rig->dp, out, slots_find(&t->neighbor_slots, r->neighbor), &wanted);
	wanted.path = slot;
	wanted.account = t->path_account[slot];
	assert_same(e, &wanted);
	// What the builder itself might get wrong.
	assert_int_equal(e->owner, i->owner);
	assert_int_equal(e->mtu, i->mtu);
	assert_int_equal(e->limiter_out, limiter_find(rig->dp, i->limiter_out));
	assert_int_equal(!(e->flags & ENTRY_DOWN),
		(i->flags & (WIRE_INTERFACE_UP | WIRE_INTERFACE_PARKED)) == WIRE_INTERFACE_UP);
	if (r->account != 0)
		assert_int_equal(rig->stats->entry[STATS_ACCOUNT][e->account].uid, r->account);
	assert_int_equal(t->path_state[slot].up, r->up);
	return 0;
}

static int check_group(void *ctx, const void *record)
{
	const struct rig *rig = ctx;
	const struct wire_group *r = record;
	const struct entry *e = group_entry(rig, r->group);
	if (r->count == 1) {
		assert_same(e, path_entry(rig, r->path[0]));
		return 0;
	}
	assert_int_equal(e->kind, ENTRY_MULTI);
	assert_int_equal(e->owner, owner_of(rig, r));
	assert_int_equal(!!(e->flags & ENTRY_VOUCHES), e->owner != 0 && e->owner != OWNER_MIXED);
	return 0;
}

static void entries_follow_everything(void **state)
{
	static void (*const change[])(struct random *) = {change_interface, change_limiter,
		change_path, change_group, change_group, change_neighbor};
	struct rig *rig = *state;
	struct random x = {.rig = rig, .seed = rig_seed()};
	uint64_t rounds = rig_scale(20000);
	for (uint64_t i = 0; i < rounds; i++) {
		change[below(&x, 6)](&x);
		walk_all(rig->dp, WIRE_PATH_SET, 0, check_path, rig);
		walk_all(rig->dp, WIRE_GROUP_SET, 0, check_group, rig);
		dataplane_poll(rig->dp);
	}
	printf("%lu of %lu changes taken\n", (unsigned long)x.taken, (unsigned long)rounds);
	assert_true(x.taken > rounds / 5);
	// All goes, and nothing is left in anybody's list.
	const struct tables *t = rig->dp->tables;
	for (uint32_t id = 200; id < 206; id++)
		group_delete(rig->dp, id);
	for (uint32_t id = 200; id < 206; id++)
		path_delete(rig->dp, id);
	for (uint32_t slot = 1; slot < t->path_slots.capacity; slot++)
		assert_true(t->path_groups.first[slot] == 0 || t->path_slots.id[slot] != 0);
	for (uint32_t c = 1; c <= CUSTOMERS; c++) {
		uint32_t out = interface_find(rig->dp, ATTACHMENT(c));
		uint32_t only = slots_find(&t->path_slots, ATTACHMENT(c));
		assert_int_equal(t->interface_paths.first[out], only);
		assert_int_equal(t->interface_paths.next[only], 0);
	}
}

// What leaves by a path counts for its account: packets as they leave, fragments each, what the port does not take not at
// all; down and up are two accounts, and another path of the same interface is a third.

static void set_account(struct rig *rig, uint32_t path, uint64_t account)
{
	const struct wire_path p = {.path = path,
		.interface = path,
		.neighbor = path % 10 == 0 ? path : 0,
		.up = 1,
		.account = account};
	assert_int_equal(path_set(rig->dp, &p), 0);
}

static void expect_account(struct rig *rig, uint64_t account, uint64_t packets, uint64_t bytes)
{
	struct stats_account sum;
	int64_t slot = stats_find(rig->stats, STATS_ACCOUNT, account);
	rig_run(rig);
	assert_true(slot > 0);
	assert_int_equal(stats_sum_account(rig->stats, (uint32_t)slot, &sum), 0);
	assert_int_equal(sum.packets, packets);
	assert_int_equal(sum.bytes, bytes);
}

static void send_up(struct rig *rig, unsigned bytes, unsigned n)
{
	static struct frame f;
	for (unsigned i = 0; i < n; i++) {
		frame_payload(&f, bytes - 20);
		frame_ipv4(&f, &ipv4_up);
		frame_attachment(&f, ACME, 0x0800, true);
		rig_send(rig, 0, &f);
	}
}

static void send_down(struct rig *rig, unsigned bytes)
{
	static struct frame f;
	const struct ipv4 outer = outer_down(ACME);
	frame_payload(&f, bytes - 20);
	frame_ipv4(&f, &ipv4_down);
	frame_tunnel(&f, ACME, 0x0800, &outer);
	frame_core(&f, false);
	rig_send(rig, 1, &f);
}

static void accounts_count_what_leaves(void **state)
{
	struct rig *rig = *state;
	set_account(rig, TUNNEL(ACME), 9001);
	set_account(rig, ATTACHMENT(ACME), 9002);
	send_up(rig, 100, 5);
	send_down(rig, 200);
	expect_account(rig, 9001, 5, 500);
	expect_account(rig, 9002, 1, 200);
	// 1,472 bytes fit into the tunnel: two fragments of 1,468 and 52.
	send_up(rig, 1500, 1);
	expect_account(rig, 9001, 7, 500 + 1500 + 20);
	rig->port[1].room = 2;
	send_up(rig, 100, 5);
	expect_account(rig, 9001, 9, 2020 + 200);
	rig->port[1].room = RIG_QUEUE;
	// The path changes its account, and one of a group of two counts for itself.
	set_account(rig, TUNNEL(ACME), 9003);
	send_up(rig, 100, 1);
	expect_account(rig, 9003, 1, 100);
	const struct wire_path other = {
		.path = 77, .interface = TUNNEL(ACME), .up = 1, .account = 9004};
	const struct wire_group both = {
		.group = TUNNEL(ACME), .count = 2, .path = {TUNNEL(ACME), 77}, .weight = {1, 1}};
	assert_int_equal(path_set(rig->dp, &other), 0);
	assert_int_equal(group_set(rig->dp, &both), 0);
	set_path(rig, TUNNEL(ACME), TUNNEL(ACME), 0, false);
	send_up(rig, 100, 3);
	expect_account(rig, 9004, 3, 300);
	assert_int_equal(rig_counts(rig, TUNNEL(ACME)).hot.tx_packets, 5 + 2 + 2 + 1 + 3);
}

// Copied whole or not at all, whatever the writer does meanwhile.
struct writer {
	struct entry entry;
	int stop;
};

static void *write_over_and_over(void *arg)
{
	struct writer *w = arg;
	struct entry e;
	for (uint8_t value = 0; !__atomic_load_n(&w->stop, __ATOMIC_RELAXED); value++) {
		memset(&e, value, sizeof(e));
		entry_write(&w->entry, &e);
	}
	return NULL;
}

static void copies_are_whole(void **state)
{
	static struct writer w;
	uint64_t rounds = rig_scale(200000), good = 0, kinds = 0;
	uint8_t last = 0;
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, write_over_and_over, &w), 0);
	for (uint64_t i = 0; i < rounds; i++) {
		struct entry e;
		if (!entry_read(&w.entry, &e))
			continue;
		good++;
		const uint8_t *bytes = &e.kind;
		for (size_t at = 0; at < sizeof(e) - offsetof(struct entry, kind); at++)
			assert_int_equal(bytes[at], e.kind);
		kinds += e.kind != last;
		last = e.kind;
	}
	__atomic_store_n(&w.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	printf("%lu of %lu copies, %lu times another value\n", (unsigned long)good,
		(unsigned long)rounds, (unsigned long)kinds);
	assert_true(good > rounds / 2 && kinds > 0);
	// A writer that never finishes does not hold a reader.
	struct entry e = {.seq = 1}, copy;
	assert_false(entry_read(&e, &copy));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PACKET_TEST(what_entries_say),
		PACKET_TEST(one_change_writes_what_names_it),
		PACKET_TEST(entries_follow_everything),
		PACKET_TEST(accounts_count_what_leaves),
		cmocka_unit_test(copies_are_whole),
	};
	rig_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
