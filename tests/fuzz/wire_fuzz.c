// SPDX-License-Identifier: BSD-3-Clause
// Fuzzing of the controller's socket: whatever arrives, the data plane neither crashes nor leaks
// nor lets a descriptor go, and a well-behaved controller is served afterwards.
//
// An input is a row of steps. Step: one byte kind, one byte length, then up to that many bytes.
//   kind 0        the bytes are sent as they are
//   kind 1..127   a message of type kind % 64 with a correct header; the bytes are its records
//   kind 128..    the same, but the message is a sample record of that type whose bytes are
//     overwritten; of interfaces to be exchanged up to four, each with a share of the bytes
// Some messages carry descriptors. The tables live through all inputs, as they would under attack. After each
// input no two interfaces have the same tags or the same tunnel, and no place in the maps is left over.
//
// Built with -Dfuzz=true and clang this is a libFuzzer target; otherwise main() makes inputs itself
// from CULVERT_SEED and it runs as a unit test.

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/control.h"
#include "dataplane/dataplane.h"
#include "dataplane/io/host.h"
#include "dataplane/log.h"
#include "dataplane/tables/interface.h"
#include "dataplane/tables/tables.h"
#include "dataplane/tables/walk.h"
#include "dataplane/wire/link.h"
#include "tests/unit/wire/samples.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// In place of the data plane's own: thousands of refusals are not news here.
void log_line(const char *level, const char *message, const char *format, ...)
{
}

static struct dataplane *dp;
static struct host *host;
static struct control *control;
static int null_fd;
static unsigned long long exchanges, exchanged; // tried with well-formed records, taken

static void must(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "wire_fuzz: %s\n", what);
	abort();
}

static _Alignas(64) char no_pool[4096]; // no packet, no buffer

static void set_up(void)
{
	struct stats_config stats = {
		.interfaces = 64, .limiters = 64, .workers = 1, .hz = 1000000000};
	struct dataplane_config config = {.workers = 1, .hz = 1000000000, .fib_bytes = 16u << 20};
	struct host_config host_config = {.workers = 1, .hz = 1000000000};
	static struct port port = {.mtu = 1500, .up = 1, .name = "wan0"};
	struct stats_segment *segment;
	char note[256];

	must(!stats_open(&stats, &segment, note, sizeof(note)), note);
	config.stats = segment;
	config.pool = (struct rte_mempool *)(void *)no_pool;
	must(!dataplane_create(&config, &dp), "dataplane_create");
	must(!dataplane_add_port(dp, &port), "dataplane_add_port");
	must(!host_create(dp, &host_config, &host), "host_create");
	must(!control_create(&(struct control_config){.dp = dp, .host = host}, &control),
		"control_create");
	null_fd = open("/dev/null", O_RDONLY);
}

static int connect_controller(struct wire_link **link)
{
	int s[2];

	must(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, s), "socketpair");
	must(!wire_link_adopt(s[0], WIRE_TO_DATAPLANE, link), "adopt");
	control_adopt(control, *link);
	return s[1];
}

static void turn(void)
{
	for (int i = 0; i < 64 && (control_turn(control) | dataplane_poll(dp)); i++)
		;
}

static void drain(int fd)
{
	uint8_t answer[WIRE_MESSAGE_MAX];

	while (recv(fd, answer, sizeof(answer), MSG_DONTWAIT) > 0)
		turn();
}

static void send_bytes(int fd, const void *bytes, size_t length, unsigned descriptors)
{
	_Alignas(struct cmsghdr) char control_data[CMSG_SPACE(4 * sizeof(int))] = {0};
	struct iovec iov = {(void *)(uintptr_t)bytes, length};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (descriptors) {
		struct cmsghdr *c;

		msg.msg_control = control_data;
		msg.msg_controllen = CMSG_SPACE(descriptors * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(descriptors * sizeof(int));
		for (unsigned i = 0; i < descriptors; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &null_fd, sizeof(int));
	}
	sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT); // the other end may be closed by now
}

static void hello(int fd)
{
	static struct wire_message m;
	struct wire_hello r = {.revision = UINT64_MAX};
	struct wire_begin begin = {.scope = WIRE_SCOPE_NEXTHOPS, .flags = WIRE_FORCE};

	wire_message_start(&m, WIRE_HELLO, 0);
	wire_message_add(&m, &r);
	send_bytes(fd, m.data, m.header.len, 0);
	wire_message_start(&m, WIRE_BEGIN, 1); // whoever the store belonged to: now to us
	wire_message_add(&m, &begin);
	send_bytes(fd, m.data, m.header.len, 0);
	turn();
}

static const struct sample *sample_of(uint16_t type)
{
	for (size_t i = 0; i < SAMPLES; i++)
		if (samples[i].type == type)
			return &samples[i];
	return NULL;
}

// One that the tables take.
static const struct wire_interface plain_interface = {.uid = 1,
	.interface = 1,
	.vrf = 1,
	.owner = 1,
	.flags = WIRE_INTERFACE_UP,
	.mtu = 1500,
	.kind = WIRE_INTERFACE_ETHERNET,
	.vlans = 1,
	.vlan = {1}};

// An interface that the tables take, of few ids and tags, so that they get in each other's way; `n` counts in a
// message. In every second exchange each gets the tag that the next one has.
static struct wire_interface make_interface(const uint8_t *bytes, size_t length, unsigned n)
{
	struct wire_interface r = plain_interface;
	uint32_t id = 1 + (length > 0 ? bytes[0] % 8 : 0), next;

	r.uid = r.interface = id + n;
	if (length % 16 == 5)
		r.flags |= WIRE_INTERFACE_PARKED;
	r.vlan[0] = (uint16_t)(1 + (length > n ? bytes[n] : n) % 24);
	next = interface_find(dp, id + (n + 1) % (1 + (unsigned)length / 8 % 4));
	if (length % 2 && next)
		r.vlan[0] = interface_record(dp, next)->vlan[0];
	return r;
}

static void add_samples(struct wire_message *m, const uint8_t *bytes, size_t length)
{
	uint16_t type = m->header.type, size = wire_type_info(type)->size;
	bool exchange = type == WIRE_INTERFACE_EXCHANGE;
	unsigned count = exchange ? 1 + (unsigned)length / 8 % 4 : 1;

	for (unsigned n = 0; n < count; n++) {
		uint8_t record[512];

		if ((exchange || type == WIRE_INTERFACE_SET) && length % 8 != 7) {
			struct wire_interface r = make_interface(bytes, length, n);

			memcpy(record, &r, sizeof(r));
		} else {
			memcpy(record, sample_of(type)->record, size);
		}
		// With few bytes as it is, with more like nothing on earth.
		for (size_t i = (exchange ? 32 : 0) + 2 * n; i + 1 < length; i += 2 * count)
			record[bytes[i] % size] = bytes[i + 1];
		wire_message_add(m, record);
	}
}

static bool same_entrance(const struct wire_interface *a, const struct wire_interface *b)
{
	if (a->kind != b->kind || ((a->flags | b->flags) & WIRE_INTERFACE_PARKED))
		return false;
	if (a->kind == WIRE_INTERFACE_ETHERNET)
		return a->port == b->port && !memcmp(a->vlan, b->vlan, sizeof(a->vlan));
	return a->family == b->family && a->key == b->key &&
	       !((a->flags ^ b->flags) & WIRE_INTERFACE_KEY) && !memcmp(a->local, b->local, 16) &&
	       !memcmp(a->remote, b->remote, 16);
}

static int count_same(void *ctx, const void *record)
{
	const struct wire_interface *one = ctx, *r = record;

	must(one->interface == r->interface || !same_entrance(one, r),
		"two interfaces have one entrance");
	return 0;
}

static int compare_all(void *ctx, const void *record)
{
	struct wire_interface copy = *(const struct wire_interface *)record;

	return walk_all(dp, WIRE_INTERFACE_SET, 0, count_same, &copy);
}

static void check_tables(void)
{
	const struct tables *t = dp->tables;
	uint32_t named = 0;

	walk_all(dp, WIRE_INTERFACE_SET, 0, compare_all, NULL);
	for (uint32_t slot = 1; slot <= t->interface_slots.high; slot++)
		named += t->interface_slots.id[slot] != 0 &&
			 !(t->interface_record[slot].flags & WIRE_INTERFACE_PARKED);
	must(t->vlans.used + t->tunnels.used == named, "a place in a map is left over");
}

static void step(int fd, uint8_t kind, const uint8_t *bytes, size_t length)
{
	static struct wire_message m;
	const struct wire_type_info *info = wire_type_info(kind % 64);

	if (!kind) {
		send_bytes(fd, bytes, length, length % 3);
		return;
	}
	wire_message_start(&m, kind % 64, kind);
	if (!info) {
		memcpy(m.data + m.header.len, bytes, length);
		m.header.len += (uint32_t)length;
	} else if (kind < 128) {
		memcpy(m.data + m.header.len, bytes, length);
		m.header.count = (uint16_t)(length / info->size);
		m.header.len += m.header.count * info->size;
	} else {
		add_samples(&m, bytes, length);
	}
	send_bytes(fd, m.data, m.header.len, m.header.type == WIRE_HOST_SET ? 2 : 0);
	if (m.header.type == WIRE_INTERFACE_EXCHANGE) {
		uint64_t before = dp->written;

		turn();
		exchanges++;
		exchanged += dp->written > before;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct wire_message m;
	struct wire_link *link;
	struct wire_vrf vrf = {.vrf = 1};
	int fd;

	if (!dp)
		set_up();
	fd = connect_controller(&link);
	hello(fd);
	for (size_t at = 0; at + 2 <= size;) {
		uint8_t kind = data[at], length = data[at + 1];

		at += 2;
		if (length > size - at)
			length = (uint8_t)(size - at);
		step(fd, kind, data + at, length);
		at += length;
		turn();
		drain(fd);
	}
	close(fd);
	turn();
	check_tables();

	fd = connect_controller(&link);
	hello(fd);
	drain(fd);
	wire_message_start(&m, WIRE_VRF_SET, 77);
	wire_message_add(&m, &vrf);
	send_bytes(fd, m.data, m.header.len, 0);
	turn();
	must(recv(fd, m.data, sizeof(m.data), MSG_DONTWAIT) == (ssize_t)sizeof(m.header) &&
			m.header.type == WIRE_ACK && m.header.seq == 77,
		"a well-behaved controller is not served");
	close(fd);
	turn();
	return 0;
}

#ifndef FUZZ_ENGINE
// One random input that looks somewhat like a conversation.
static size_t make_input(uint8_t *out, size_t room)
{
	size_t size = 0;
	unsigned steps = (unsigned)random() % 64;

	for (unsigned i = 0; i < steps && size + 2 + 255 < room; i++) {
		uint8_t length = (uint8_t)(random() % (random() % 4 ? 8 : 256));

		// Mostly real types, samples more often than raw records.
		out[size++] = random() % 32 ? (uint8_t)((random() % 3 ? 128 : 64) +
							samples[(size_t)random() % SAMPLES].type)
					    : (uint8_t)random();
		out[size++] = length;
		for (unsigned k = 0; k < length; k++)
			out[size++] = random() % 2 ? (uint8_t)(random() % 4) : (uint8_t)random();
	}
	return size;
}

int main(int argc, char **argv)
{
	const char *text = getenv("CULVERT_SEED");
	unsigned seed = text ? (unsigned)strtoul(text, NULL, 0) : (unsigned)getpid();
	unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 3000;
	uint8_t input[16384];
	bool open_before[256];

	printf("CULVERT_SEED=%u rounds=%u\n", seed, rounds);
	fflush(stdout);
	srandom(seed);
	set_up();
	for (int fd = 0; fd < 256; fd++)
		open_before[fd] = fcntl(fd, F_GETFD) >= 0;
	for (unsigned i = 0; i < rounds; i++)
		LLVMFuzzerTestOneInput(input, make_input(input, sizeof(input)));
	for (int fd = 0; fd < 256; fd++)
		if (fcntl(fd, F_GETFD) >= 0 && !open_before[fd]) {
			printf("descriptor %d was left open\n", fd);
			return 1;
		}
	printf("exchanges=%llu of %llu ", (unsigned long long)exchanged,
		(unsigned long long)exchanges);
	printf("written=%llu unchanged=%llu\n", (unsigned long long)dp->written,
		(unsigned long long)dp->unchanged);
	if (rounds >= 1000 && exchanged < rounds / 100) {
		printf("hardly any exchange got through\n");
		return 1;
	}
	if (rounds >= 1000 && dp->written < rounds / 4) {
		printf("hardly anything got through: the harness does not test what it should\n");
		return 1;
	}
	control_destroy(control);
	host_destroy(host);
	{
		struct stats_segment *s = dp->stats;

		dataplane_destroy(dp);
		stats_close(s);
	}
	close(null_fd);
	return 0;
}
#endif
