// SPDX-License-Identifier: BSD-3-Clause
// What the kernel does to a frame on its way into the ring, undone.
//
// Tag: the kernel takes the outer one off and says TCI and TPID beside the frame, wherever it found
// it: in the frame, or beside it already, where a VLAN device or a tc program of a veth's other end
// leaves it. It goes back behind the MACs, before any tag that is still there.
//
// Checksum: what comes out of a kernel on the same machine (veth, virtio) may have only the pseudo
// header's sum in it. The virtio header says from where on to sum, and where the result goes, both
// counted from the frame without its outer tag.
//
// Segments: likewise, TCP may leave it to the device to cut a packet of up to 64 KiB, or the kernel
// may have put one together. Such a one is no packet of any wire, and one that is larger than the
// device lets pass is refused, not cut.
//
// Nothing that the slot says is believed beyond its bounds.

#include "dataplane/io/ring.h"

#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <stdbool.h>
#include <string.h>

#include <rte_ip.h>

#define MACS     12u
#define ETHERNET 14u
#define TAG      4u
#define TPID     0x8100 // where the kernel does not say which

static void put_be16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put_tag(uint8_t *out, uint16_t tpid, uint16_t tci)
{
	put_be16(out, tpid);
	put_be16(out + 2, tci);
}

static bool finish_checksum(
	const struct virtio_net_hdr *about, uint8_t *frame, uint32_t length, uint32_t tag)
{
	uint32_t start = about->csum_start, at = start + about->csum_offset;
	uint16_t sum;

	if (start < ETHERNET || at + 2 > length - tag)
		return false;
	sum = (uint16_t)~rte_raw_cksum(frame + tag + start, length - tag - start);
	if (sum == 0)
		sum = 0xffff; // the same number, and in UDP 0 says that there is none
	memcpy(frame + tag + at, &sum, sizeof(sum));
	return true;
}

int ring_frame(const void *slot, uint32_t size, uint32_t status, uint32_t largest, uint8_t *out,
	uint32_t room)
{
	struct tpacket2_hdr h;
	struct virtio_net_hdr about;
	const uint8_t *frame;
	uint32_t tag;

	if (size < sizeof(h))
		return RING_BROKEN;
	memcpy(&h, slot, sizeof(h)); // shared memory: read once
	if (h.tp_mac < sizeof(h) + sizeof(about) || h.tp_mac > size ||
		h.tp_snaplen > size - h.tp_mac)
		return RING_BROKEN;
	frame = (const uint8_t *)slot + h.tp_mac;
	memcpy(&about, frame - sizeof(about), sizeof(about));
	tag = (status & TP_STATUS_VLAN_VALID) && h.tp_snaplen >= MACS ? TAG : 0;
	if (h.tp_len > h.tp_snaplen || h.tp_snaplen + tag > room ||
		(about.gso_type != VIRTIO_NET_HDR_GSO_NONE && h.tp_snaplen > largest))
		return RING_LARGE;
	if (tag == 0) {
		memcpy(out, frame, h.tp_snaplen);
	} else {
		memcpy(out, frame, MACS);
		put_tag(out + MACS, status & TP_STATUS_VLAN_TPID_VALID ? h.tp_vlan_tpid : TPID,
			h.tp_vlan_tci);
		memcpy(out + MACS + TAG, frame + MACS, h.tp_snaplen - MACS);
	}
	if ((about.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) &&
		!finish_checksum(&about, out, h.tp_snaplen + tag, tag))
		return RING_BROKEN;
	return (int)(h.tp_snaplen + tag);
}
