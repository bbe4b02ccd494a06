// SPDX-License-Identifier: BSD-3-Clause
// Sizes of packets and numbers of buffers: arithmetic only, so that it can be tested without a
// device.
//
// A packet must fit whatever it passes: the device's or the kernel's MTU, the packet buffer (frames
// are never chained: decision 6), and with net_af_packet one frame of the ring that the kernel
// shares with the driver, whose head it uses for itself. What does not fit is lost without a
// counter of ours - the kernel cuts a frame that is larger than its ring's, the driver frees one
// that is larger than the device's MTU and reports it as sent - so a port never claims more than
// the smallest of them.
//
// Tags: a kernel device carries one tag beside its MTU. PMDs differ, between none and two, which
// shows in the distance of their longest frame to their largest MTU; they are told an MTU with the
// difference on top. Where that is more than they take, the rest is the port's `tag_debt`.
//
// Buffers: each receive descriptor holds one all the time, each transmit descriptor until the
// device has sent it. Beside them: every worker's cache in the pool (1.5 times its size, at the
// worst), what it has in hand (a burst, its fragments and lists), a full ring of packets for the
// host.

#include "dataplane/io/size.h"

#define RING_HEAD 66u  // what TPACKET_V2 uses of a frame before the packet's first byte
#define CACHE     384u // 1.5 times BUFFER_CACHE of main.c
#define IN_HAND   256u
#define HOST_RING 512u
#define LEAST     1024u
#define DEFAULT   16384u

static void bound(struct size *size, uint32_t have, uint32_t less, const char *by)
{
	uint32_t mtu = have > less ? have - less : 0;

	if (have == 0 || mtu >= size->mtu)
		return;
	size->mtu = (uint16_t)mtu;
	size->bound = by;
}

uint32_t size_overhead(uint32_t max_frame, uint32_t max_mtu)
{
	uint32_t between = max_frame - max_mtu;

	// A limit of only one of the two, or none, says nothing.
	if (max_mtu >= UINT16_MAX || max_frame <= max_mtu || between < SIZE_LINK - SIZE_TAGS)
		return SIZE_LINK;
	return between < SIZE_LINK ? between : SIZE_LINK;
}

uint16_t size_device_mtu(uint16_t mtu, uint32_t overhead, uint32_t max_mtu)
{
	uint32_t want = mtu + SIZE_LINK - overhead;

	return (uint16_t)(max_mtu != 0 && want > max_mtu ? max_mtu : want);
}

struct size size_of_port(const struct size_limits *l)
{
	struct size size = {.mtu = SIZE_MTU_MAX, .bound = "the largest there is"};
	uint32_t tagged = l->device_mtu + l->overhead - SIZE_LINK; // with two tags

	bound(&size, l->wanted, 0, "mtu= of --port");
	bound(&size, l->device_mtu, 0, "the device's MTU");
	bound(&size, l->ring_frame, RING_HEAD + SIZE_LINK - 4, "framesz of net_af_packet");
	bound(&size, l->chunk, SIZE_LINK - 4, "one chunk of AF_XDP's memory");
	bound(&size, l->buffer, SIZE_LINK, "--buffer-size");
	if (l->device_mtu != 0 && tagged < size.mtu)
		size.tag_debt = (uint8_t)(size.mtu - tagged);
	return size;
}

uint32_t size_buffer_for(uint32_t mtu)
{
	return (mtu + SIZE_LINK + 1023) / 1024 * 1024;
}

uint32_t size_ring_frame_for(uint16_t mtu)
{
	uint32_t need = mtu + RING_HEAD + SIZE_LINK - 4, frame = 2048;

	while (frame < need) // blocks are powers of two, and frames have to fill them
		frame *= 2;
	return frame;
}

static uint32_t buffers(const struct size_users *u, uint32_t each_worker)
{
	uint32_t n =
		u->rx_descriptors + u->tx_descriptors + u->hand_over + u->workers * each_worker;

	n += (n + 2) / 3; // so that three quarters are n: the last one is the shapers'
	return (n + 1023) / 1024 * 1024;
}

uint32_t size_buffers_least(const struct size_users *u)
{
	uint32_t n = buffers(u, CACHE + IN_HAND);

	return n < LEAST ? LEAST : n;
}

uint32_t size_buffers_default(const struct size_users *u)
{
	uint32_t n = buffers(u, CACHE + IN_HAND + HOST_RING);

	return n < DEFAULT ? DEFAULT : n;
}
