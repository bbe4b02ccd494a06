// SPDX-License-Identifier: BSD-3-Clause
// Ports on kernel devices, called as a worker and the main thread call them: one end of a veth is
// the port's, the other this test's. Opened by a real opener, as root, in a network namespace of
// the test's own.

#include "dataplane/io/device.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <rte_eal.h>
#include <rte_mbuf.h>

#ifndef XDP_USE_SG // Debian 12's headers are older
#define XDP_USE_SG (1 << 4)
#endif

#define BUFFER   9728u
#define PATIENCE 5 // s
#define SMALLEST 60u
#define ETHERNET 14u
#define TAG      4u
// Packets with two tags where a frame is one page: of it the program's room in front is not the
// frame's, nor struct skb_shared_info.
#define IN_A_PAGE (4096u - 256u - 320u - ETHERNET - 2 * TAG)

enum { PACKET, XDP, XDP_FEW, PORTS }; // what the opener was given

static const struct opener_device devices[PORTS] = {
	[PACKET] = {.name = "cv-port", .mode = DEVICE_PACKET},
	[XDP] = {.name = "cv-port", .mode = DEVICE_XDP_WHOLE},
	[XDP_FEW] = {.name = "cv-port", .mode = DEVICE_XDP_WHOLE, .descriptors = 64},
};
static struct opener *opener;
static struct rte_mempool *pool;
static struct device_error said;
static int far = -1; // packet socket on the other end

// --- the veth ---

static void run(const char *format, ...)
{
	char command[512];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	assert_int_equal(system(command), 0);
}

static void make_veth(unsigned mtu)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int room = 64 << 20, on = 1;

	run("ip link add cv-port mtu %u type veth peer name cv-far mtu %u", mtu, mtu);
	run("for d in cv-port cv-far; do echo 1 >/proc/sys/net/ipv6/conf/$d/disable_ipv6 && "
	    "ip link set $d up || exit 1; done");
	far = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	assert_return_code(far, errno);
	to.sll_ifindex = (int)if_nametoindex("cv-far");
	setsockopt(far, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	setsockopt(far, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on));
	assert_return_code(bind(far, (const struct sockaddr *)&to, sizeof(to)), errno);
}

static int remove_veth(void **state)
{
	if (far >= 0)
		close(far);
	far = -1;
	return if_nametoindex("cv-port") != 0 && system("ip link del cv-port") != 0 ? -1 : 0;
}

static int try_port(unsigned which, unsigned workers, struct port **port)
{
	const struct device_config config = {.name = "test",
		.device = devices[which].name,
		.netns = "",
		.index = which,
		.opener = opener,
		.mode = devices[which].mode,
		.buffer_size = BUFFER,
		.workers = workers,
		.descriptors = devices[which].descriptors,
		.pool = pool};

	return device_open(&config, port, &said);
}

static struct port *open_port(unsigned which, unsigned workers)
{
	struct port *port = NULL;

	if (try_port(which, workers, &port) != 0)
		fail_msg("%s", said.text);
	assert_true(port->up);
	return port;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// --- frames ---

static unsigned fill(uint8_t *frame, unsigned length, unsigned vlan)
{
	static const uint8_t macs[] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};
	const uint8_t tag[TAG] = {0x81, 0, (uint8_t)(vlan >> 8), (uint8_t)vlan};
	unsigned at = sizeof(macs);

	memcpy(frame, macs, sizeof(macs));
	if (vlan != 0) {
		memcpy(frame + at, tag, TAG);
		at += TAG;
	}
	frame[at++] = 0x88; // local experimental (IEEE 802)
	frame[at++] = 0xb5;
	for (unsigned i = at; i < length; i++)
		frame[i] = (uint8_t)(i * 7);
	return length;
}

static void send_far(unsigned length, unsigned count)
{
	uint8_t frame[BUFFER];

	fill(frame, length, 0);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(send(far, frame, length, 0), length);
}

static struct rte_mbuf *make(unsigned length)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	assert_non_null(m);
	fill((uint8_t *)rte_pktmbuf_append(m, (uint16_t)length), length, 0);
	return m;
}

// The next frame that is there; its tag is beside it.
static void expect_far(unsigned length)
{
	struct pollfd readable = {.fd = far, .events = POLLIN};
	uint8_t frame[BUFFER], wanted[BUFFER];

	fill(wanted, length, 0);
	assert_int_equal(poll(&readable, 1, PATIENCE * 1000), 1);
	assert_int_equal(recv(far, frame, sizeof(frame), 0), length);
	assert_memory_equal(frame, wanted, ETHERNET);
}

// Of a queue: the next frame.
static struct rte_mbuf *expect_near(struct port *port, uint16_t queue)
{
	double end = now() + PATIENCE;
	struct rte_mbuf *m;

	while (port->rx(port, queue, &m, 1) == 0)
		assert_true(now() < end);
	return m;
}

static struct port_losses losses(struct port *port)
{
	struct port_losses l = {0};

	port->kind->losses(port, &l);
	return l;
}

// Since the port was opened, and nothing else: causes of struct port_losses by what is to be seen.
static void expect_losses(struct port *port, struct port_losses wanted)
{
	struct port_losses l = losses(port);

	for (double end = now() + PATIENCE; memcmp(&l, &wanted, sizeof(l)) != 0 && now() < end;)
		l = losses(port);
	assert_int_equal(l.missed, wanted.missed);
	assert_int_equal(l.no_ring, wanted.no_ring);
	assert_int_equal(l.no_chunk, wanted.no_chunk);
	assert_int_equal(l.no_socket, wanted.no_socket);
	assert_int_equal(l.large, wanted.large);
	assert_int_equal(l.broken, wanted.broken);
	assert_int_equal(l.left, wanted.left);
}

// --- how large a frame may be ---

static bool kernel_has_segments(void)
{
	struct sockaddr_xdp nowhere = {
		.sxdp_family = AF_XDP, .sxdp_ifindex = INT32_MAX, .sxdp_flags = XDP_USE_SG};
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0), err;

	err = bind(fd, (const struct sockaddr *)&nowhere, sizeof(nowhere)) < 0 ? errno : 0;
	close(fd);
	return err != EINVAL;
}

static void pass(struct port *port, unsigned length, unsigned vlan)
{
	uint8_t wanted[BUFFER];
	struct rte_mbuf *m;

	assert_int_equal(send(far, wanted, fill(wanted, length, vlan), 0), length);
	m = expect_near(port, 0);
	assert_int_equal(m->data_len, length);
	assert_memory_equal(rte_pktmbuf_mtod(m, uint8_t *), wanted, length);
	assert_int_equal(port->tx(port, 0, &m, 1), 1);
	expect_far(length - (vlan != 0 ? TAG : 0));
}

// Whatever the port says that it carries, it does, to the byte and with a tag.
static void carries_what_it_says(unsigned which, unsigned mtu)
{
	struct port *port;

	make_veth(mtu);
	port = open_port(which, 1);
	if (which == XDP && mtu > IN_A_PAGE && !kernel_has_segments())
		mtu = IN_A_PAGE;
	assert_int_equal(port->mtu, mtu);
	pass(port, SMALLEST, 0);
	pass(port, mtu + ETHERNET, 0);
	pass(port, mtu + ETHERNET + TAG, 100);
	port->kind->close(port);
	remove_veth(NULL);
}

static void test_each_carries_what_it_says(void **state)
{
	static const unsigned mtus[] = {1500, 2034, IN_A_PAGE, IN_A_PAGE + 1, 3506};

	for (unsigned i = 0; i < sizeof(mtus) / sizeof(mtus[0]); i++) {
		carries_what_it_says(PACKET, mtus[i]);
		carries_what_it_says(XDP, mtus[i]);
	}
	carries_what_it_says(PACKET, 9000);
}

// Beyond what the plain program's one page holds, a frame is several chunks, or the kernel is not
// able to and the port is refused: no frame is lost that the port says it carries.
static void test_beyond_a_page(void **state)
{
	// before and behind the places where it is one chunk and where two
	static const unsigned mtus[] = {3507, 3814, 3815, 4082, 4083, 8174, 8175, 9000};
	struct port *port;

	for (unsigned i = 0; i < sizeof(mtus) / sizeof(mtus[0]); i++) {
		if (kernel_has_segments()) {
			carries_what_it_says(XDP, mtus[i]);
			continue;
		}
		make_veth(mtus[i]);
		assert_int_equal(try_port(XDP, 1, &port), -ERANGE);
		assert_non_null(strstr(said.text, "MTU"));
		remove_veth(NULL);
	}
}

// --- what is not taken ---

static void test_a_transmit_ring_takes_what_it_holds(void **state)
{
	enum { MORE = 300, ALL = 2048 + MORE };
	static struct rte_mbuf *frames[ALL];
	struct port *port;
	unsigned taken;
	double end = now() + PATIENCE;

	make_veth(1500);
	port = open_port(XDP, 1);
	for (unsigned i = 0; i < ALL; i++)
		frames[i] = make(SMALLEST);
	taken = port->tx(port, 0, frames, ALL);
	assert_int_equal(taken, ALL - MORE); // what was not is the caller's still
	while (taken < ALL) {                // who comes again, and calls this each turn
		port->kind->send_others(port, 0);
		taken += port->tx(port, 0, frames + taken, (uint16_t)(ALL - taken));
		assert_true(now() < end);
	}
	for (unsigned i = 0; i < ALL; i++) {
		port->kind->send_others(port, 0);
		expect_far(SMALLEST);
	}
	port->kind->close(port);
}

static void test_a_packet_socket_says_what_it_takes(void **state)
{
	struct rte_mbuf *frames[3] = {
		make(SMALLEST), make(1500 + ETHERNET + TAG + 1), make(SMALLEST)};
	struct port *port;

	make_veth(1500);
	port = open_port(PACKET, 1);
	assert_int_equal(port->tx(port, 0, frames, 3), 1);
	expect_far(SMALLEST);
	run("ip link set cv-far down");
	assert_int_equal(port->tx(port, 0, frames + 2, 1), 0);
	run("ip link set cv-far up");
	getsockopt(far, SOL_SOCKET, SO_ERROR, &(int){0},
		&(socklen_t){sizeof(int)}); // that it was down
	assert_int_equal(port->tx(port, 0, frames + 2, 1), 1);
	expect_far(SMALLEST);
	rte_pktmbuf_free(frames[1]);
	port->kind->close(port);
}

// The second worker has no queue. A frame that came before the device's MTU was known is thrown
// away, and holds up nothing behind it.
static void test_what_is_handed_over_and_too_large(void **state)
{
	struct rte_mbuf *frames[2];
	struct port *port;

	make_veth(1500);
	port = open_port(XDP, 2);
	frames[0] = make(5000);
	frames[1] = make(SMALLEST);
	assert_int_equal(port->tx(port, 1, frames, 2), 2);
	for (double end = now() + 0.1; now() < end;)
		port->kind->send_others(port, 0);
	expect_far(SMALLEST);
	port->kind->close(port);
}

// --- what is lost before us ---

// From the map of the program that stands on the device.
static void take_socket_away(void)
{
	uint32_t queue = 0, id = 0, maps[8];
	struct bpf_prog_info program = {
		.map_ids = (uint64_t)(uintptr_t)maps, .nr_map_ids = sizeof(maps) / sizeof(maps[0])};
	uint32_t length = sizeof(program);
	int fd, taken = 0;

	assert_int_equal(bpf_xdp_query_id((int)if_nametoindex("cv-port"), 0, &id), 0);
	fd = bpf_prog_get_fd_by_id(id);
	assert_int_equal(bpf_obj_get_info_by_fd(fd, &program, &length), 0);
	close(fd);
	for (uint32_t i = 0; i < program.nr_map_ids; i++) {
		struct bpf_map_info map = {0};

		length = sizeof(map);
		fd = bpf_map_get_fd_by_id(maps[i]);
		assert_int_equal(bpf_obj_get_info_by_fd(fd, &map, &length), 0);
		if (map.type == BPF_MAP_TYPE_XSKMAP && bpf_map_delete_elem(fd, &queue) == 0)
			taken++;
		close(fd);
	}
	assert_int_equal(taken, 1);
}

static void test_losses_by_cause(void **state)
{
	struct port *port;

	if (!kernel_has_segments())
		skip();
	make_veth(9000);
	port = open_port(XDP_FEW, 1);
	send_far(SMALLEST, 63);
	send_far(5000, 2); // two chunks, and there is one
	expect_losses(port, (struct port_losses){.missed = 2});
	send_far(SMALLEST, 1);
	send_far(SMALLEST, 3); // and none
	expect_losses(port, (struct port_losses){.missed = 2, .no_chunk = 3});
	for (unsigned i = 0; i < 64; i++)
		rte_pktmbuf_free(expect_near(port, 0));
	send_far(SMALLEST, 1); // it has them again
	rte_pktmbuf_free(expect_near(port, 0));
	take_socket_away();
	send_far(SMALLEST, 7);
	expect_losses(port, (struct port_losses){.missed = 2, .no_chunk = 3, .no_socket = 7});
	port->kind->close(port);
}

int main(void)
{
	char *eal[] = {"test-io-kernel-port", "--no-huge", "--no-shconf", "-m", "96", "--no-pci",
		"--no-telemetry", "--log-level", "error", "-l", "0", NULL};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_each_carries_what_it_says, remove_veth),
		cmocka_unit_test_teardown(test_beyond_a_page, remove_veth),
		cmocka_unit_test_teardown(test_a_transmit_ring_takes_what_it_holds, remove_veth),
		cmocka_unit_test_teardown(test_a_packet_socket_says_what_it_takes, remove_veth),
		cmocka_unit_test_teardown(test_what_is_handed_over_and_too_large, remove_veth),
		cmocka_unit_test_teardown(test_losses_by_cause, remove_veth),
	};
	int failed;

	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0) {
		printf("needs root\n");
		return 77;
	}
	if (opener_start(devices, PORTS, &opener) != 0 ||
		rte_eal_init(sizeof(eal) / sizeof(eal[0]) - 1, eal) < 0)
		return 1;
	pool = rte_pktmbuf_pool_create(
		"packets", 4095, 0, 0, RTE_PKTMBUF_HEADROOM + BUFFER, SOCKET_ID_ANY);
	if (pool == NULL)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	opener_stop(opener);
	return failed;
}
