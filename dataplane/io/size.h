/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IO_SIZE_H
#define IO_SIZE_H

// How large a packet a port can carry, and how many packet buffers a set of ports takes.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIZE_MTU_MAX 9600u // of the wire's interfaces
#define SIZE_TAGS    8u    // two VLAN tags
#define SIZE_LINK \
	26u // Ethernet header, two tags and the FCS that some devices store with the frame

// What limits a port. 0 = does not apply.
struct size_limits {
	uint32_t wanted;     // of --port; 0 = as much as there is
	uint32_t device_mtu; // as the device, or the kernel device under the port, has it
	uint32_t overhead; // bytes beside its MTU that it lets pass, FCS included: size_overhead()
	uint32_t buffer;   // bytes of a frame that a packet buffer holds
	uint32_t ring_frame; // net_af_packet: `framesz`
	uint32_t chunk;      // AF_XDP: bytes of a frame that is received into one
};

struct size {
	uint16_t mtu;      // largest IP packet that the port carries untagged
	uint8_t tag_debt;  // bytes by which the largest packet is smaller with two tags
	const char *bound; // what it is bound by, for people
};

struct size size_of_port(const struct size_limits *limits);

#define SIZE_OVERHEAD_KERNEL 22u // header, FCS and one tag

// The same of a packet socket, which lets a tag pass beside the MTU only if its TPID is 0x8100.
static inline uint32_t size_overhead_socket(bool tpid_88a8)
{
	return SIZE_OVERHEAD_KERNEL - (tpid_88a8 ? 4 : 0);
}

// From a PMD's longest frame and largest MTU.
uint32_t size_overhead(uint32_t max_frame, uint32_t max_mtu);

// What a device is to be told so that a packet of `mtu` passes with two tags, if it takes that.
uint16_t size_device_mtu(uint16_t mtu, uint32_t overhead, uint32_t max_mtu);

// The other way: what has to be given so that a port carries `mtu`. Buffers in units of 1024, to
// which some devices round down what they may fill.
uint32_t size_buffer_for(uint32_t mtu);
uint32_t size_ring_frame_for(uint16_t mtu);

// Who holds packet buffers.
struct size_users {
	uint32_t rx_descriptors; // over all queues of all ports
	uint32_t tx_descriptors;
	uint32_t hand_over; // places in rings between workers
	uint32_t workers;
};

// Buffers with which the data plane starts and forwards, and the default: with what packets for the
// host take. A quarter of either is the shapers'.
uint32_t size_buffers_least(const struct size_users *users);
uint32_t size_buffers_default(const struct size_users *users);

#endif
