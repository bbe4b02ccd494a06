// SPDX-License-Identifier: BSD-3-Clause
// Attached by a bpf_link in the driver's own receive path: it goes with the process, by kill -9
// too, and nobody can replace it meanwhile. Not in the kernel's generic path, which is slower than
// a packet socket and hides tags as well.
//
// Tags: a VLAN device of a veth's other end leaves them beside the frame, and most NICs strip them,
// so that a tagged frame looks untagged. Best is the program that asks the driver for them (Linux
// 6.8), which is bound to its device; else a NIC is told to strip none, and looked at.
//
// Frames of several buffers: a kernel whose sockets do not take them (before 6.6) loses them behind
// the program without a word. There the program says that it is for one buffer, and drivers refuse
// it on a device whose MTU is larger.

#include "dataplane/io/steer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/if_xdp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "dataplane/io/netdev.h"
#include "steer.skel.h"
#include "steer_hint.skel.h"

#ifndef BPF_F_XDP_DEV_BOUND_ONLY // Debian 12's headers are older
#define BPF_F_XDP_DEV_BOUND_ONLY (1u << 6)
#endif

#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4)
#endif

#define RX_CHUNKS 4096u // 16 MiB of a queue

static bool is_among(const char *const *names, const char *driver)
{
	while (*names != NULL && strcmp(*names, driver) != 0)
		names++;
	return *names != NULL;
}

bool steer_suits(const char *device)
{
	static const char *const names[] = {
		"i40e", "ice", "igb", "igc", "ixgbe", "mlx5_core", "stmmac", NULL};
	int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char driver[NETDEV_DRIVER];

	if (control < 0)
		return false;
	netdev_driver(control, device, driver);
	close(control);
	return is_among(names, driver);
}

// Drivers that answer the program's question; others may say that they do not know.
static bool has_hint(const char *driver)
{
	static const char *const names[] = {"veth", "ice", "mlx5_core", NULL};

	return is_among(names, driver);
}

// Frames come from a kernel on the same machine, with what it leaves to its devices.
static bool is_software(const char *driver)
{
	static const char *const names[] = {"veth", "tun", NULL};

	return is_among(names, driver);
}

// Which flags it knows, the kernel looks at first.
static bool takes_segments(void)
{
	struct sockaddr_xdp nowhere = {
		.sxdp_family = AF_XDP, .sxdp_ifindex = INT32_MAX, .sxdp_flags = XDP_USE_SG};
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	bool known = fd >= 0 && bind(fd, (const struct sockaddr *)&nowhere, sizeof(nowhere)) < 0 &&
		     errno != EINVAL;

	if (fd >= 0)
		close(fd);
	return known;
}

// --- loading ---

// The one object that is loaded, by either skeleton.
struct loaded {
	struct steer *plain;
	struct steer_hint *hint;
	const struct bpf_program *program;
	const struct bpf_map *map[4];
};

#define TAKE(l, skeleton)                                                                      \
	((l)->program = (skeleton)->progs.steer, (l)->map[0] = (skeleton)->maps.sockets,       \
		(l)->map[1] = (skeleton)->maps.tags, (l)->map[2] = (skeleton)->maps.addresses, \
		(l)->map[3] = (skeleton)->maps.verdicts)

static void add_flags(struct bpf_program *program, uint32_t flags)
{
	bpf_program__set_flags(program, bpf_program__flags(program) | flags);
}

static int load_hint(struct loaded *l, bool whole, uint32_t flags, int ifindex)
{
	struct steer_hint *h = l->hint = steer_hint__open();

	if (h == NULL)
		return -errno;
	TAKE(l, h);
	h->rodata->whole = whole;
	bpf_program__set_ifindex(h->progs.steer, (uint32_t)ifindex);
	add_flags(h->progs.steer, flags | BPF_F_XDP_DEV_BOUND_ONLY);
	return steer_hint__load(h);
}

static int load_plain(struct loaded *l, bool whole, uint32_t flags)
{
	struct steer *p = l->plain = steer__open();

	if (p == NULL)
		return -errno;
	TAKE(l, p);
	p->rodata->whole = whole;
	add_flags(p->progs.steer, flags);
	return steer__load(p);
}

static void unload(struct loaded *l)
{
	steer_hint__destroy(l->hint);
	steer__destroy(l->plain);
}

static int no_words(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

static int load(struct loaded *l, bool whole, uint32_t flags, const char *driver, int ifindex,
	uint32_t *tags)
{
	int err = has_hint(driver) ? load_hint(l, whole, flags, ifindex) : -EOPNOTSUPP;

	*tags = err ? PORT_TAGS_HIDDEN : PORT_TAGS_SURE;
	if (err)
		err = load_plain(l, whole, flags);
	return err && err != -EPERM ? -ENOEXEC : err;
}

// --- descriptors ---

struct made {
	int *fd;
	unsigned count;
};

static int take(struct made *m, int fd)
{
	if (fd < 0)
		return -errno;
	m->fd[m->count++] = fd;
	return 0;
}

static int take_maps(struct made *m, const struct loaded *l)
{
	int err = 0;

	for (unsigned i = 0; i < 4 && !err; i++)
		err = take(m, fcntl(bpf_map__fd(l->map[i]), F_DUPFD_CLOEXEC, 0));
	return err;
}

static int make_promiscuous(struct made *m, int ifindex)
{
	struct packet_mreq all = {.mr_ifindex = ifindex, .mr_type = PACKET_MR_PROMISC};
	int err = take(m, socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));

	if (!err && setsockopt(m->fd[STEER_PROMISCUOUS], SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all,
			    sizeof(all)) < 0)
		err = -errno;
	return err;
}

static int attach(struct made *m, const struct loaded *l, int ifindex)
{
	LIBBPF_OPTS(bpf_link_create_opts, o, .flags = XDP_FLAGS_DRV_MODE);
	int err = take(m, bpf_link_create(bpf_program__fd(l->program), ifindex, BPF_XDP, &o));

	return err == -EEXIST ? -EBUSY : err;
}

// Memory that is locked belongs to who has the right to lock it: mapped here for as long as that
// takes, and by the data plane afterwards.
static int make_sockets(struct made *m, uint32_t rx_chunks, unsigned queues)
{
	uint64_t bytes = steer_memory(rx_chunks);
	int err = take(m, memfd_create("culvert-frames", MFD_CLOEXEC)),
	    memory = m->fd[STEER_MEMORY];
	uint8_t *area;

	if (!err && ftruncate(memory, (off_t)(queues * bytes)) < 0)
		err = -errno;
	if (err)
		return err;
	area = mmap(NULL, queues * bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	if (area == MAP_FAILED)
		return -errno;
	for (unsigned q = 0; q < queues && !err; q++) {
		struct xdp_umem_reg part = {.addr = (uintptr_t)(area + q * bytes),
			.len = bytes,
			.chunk_size = STEER_CHUNK};

		err = take(m, socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
		if (!err && setsockopt(m->fd[STEER_SOCKET + q], SOL_XDP, XDP_UMEM_REG, &part,
				    sizeof(part)) < 0)
			err = -errno;
	}
	munmap(area, queues * bytes);
	return err;
}

static uint32_t switch_stripping_off(int control, const char *device, const char *driver)
{
	// The other end of these is who puts tags beside frames, and is not ours to switch.
	if (is_software(driver))
		return PORT_TAGS_HIDDEN;
	return netdev_switch_off(control, device, "rx-vlan-hw-parse") == 0 &&
			       netdev_switch_off(control, device, "rx-vlan-stag-hw-parse") == 0
		       ? PORT_TAGS_SWITCHED
		       : PORT_TAGS_HIDDEN;
}

static int open_all(struct made *m, const struct steer_config *c, uint32_t *number)
{
	const char *name = c->device;
	int err = take(m, socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)), control = m->fd[0];
	struct loaded l = {0};
	struct netdev device;
	char driver[NETDEV_DRIVER];
	bool segments = takes_segments();
	uint32_t tags;
	unsigned queues;

	if (!err)
		err = netdev_read(control, name, &device);
	if (err)
		return err;
	if (!device.ethernet)
		return -EAFNOSUPPORT;
	queues = netdev_queues(control, name);
	if (queues > STEER_QUEUES)
		return -E2BIG;
	netdev_driver(control, name, driver);
	err = load(&l, c->whole, segments ? BPF_F_XDP_HAS_FRAGS : 0, driver, device.index, &tags);
	if (!err && tags != PORT_TAGS_SURE)
		tags = switch_stripping_off(control, name, driver);
	*number =
		tags | (is_software(driver) ? STEER_PARTIAL : 0) | (segments ? STEER_SEGMENTS : 0);
	if (!err)
		err = take_maps(m, &l);
	if (!err)
		err = make_promiscuous(m, device.index);
	if (!err)
		err = attach(m, &l, device.index);
	if (!err)
		err = make_sockets(m, c->rx_chunks, queues);
	unload(&l);
	return err;
}

uint32_t steer_rx_chunks(uint32_t descriptors)
{
	uint32_t chunks = 64;

	while (chunks < (descriptors != 0 ? descriptors : RX_CHUNKS) && chunks < 32768)
		chunks *= 2;
	return chunks;
}

int steer_open(const struct steer_config *c, int fd[STEER_FDS], unsigned *count, uint32_t *number)
{
	struct made m = {.fd = fd};
	int err;

	libbpf_set_print(no_words);
	*number = 0;
	err = open_all(&m, c, number);
	*count = m.count;
	return err;
}
