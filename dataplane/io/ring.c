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
// Segments: likewise, TCP may leave it to the device to cut a packet of up to 64 KiB up, which
// segment.c then does. One that the device lets pass as it is goes on as it is.
//
// Nothing that the slot says is believed beyond its bounds.

#include "dataplane/io/ring.h"

#include <linux/if_packet.h>
#include <string.h>

#include <rte_ip.h>

#define ETHERNET 14u
#define TPID     0x8100 // where the kernel does not say which

static void put_be16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

uint32_t ring_tag(uint32_t status, uint16_t tpid, uint16_t tci, uint8_t put[RING_TAG])
{
	if (!(status & TP_STATUS_VLAN_VALID))
		return 0;
	put_be16(put, status & TP_STATUS_VLAN_TPID_VALID ? tpid : TPID);
	put_be16(put + 2, tci);
	return RING_TAG;
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

bool ring_read(const void *slot, uint32_t size, uint32_t status, struct ring_slot *r)
{
	struct tpacket2_hdr h;

	if (size < sizeof(h))
		return false;
	memcpy(&h, slot, sizeof(h)); // shared memory: read once
	if (h.tp_mac < sizeof(h) + sizeof(r->about) || h.tp_mac > size ||
		h.tp_snaplen > size - h.tp_mac)
		return false;
	r->frame = (const uint8_t *)slot + h.tp_mac;
	r->length = h.tp_snaplen;
	r->whole = h.tp_len <= h.tp_snaplen;
	r->tag = h.tp_snaplen >= RING_MACS ? ring_tag(status, h.tp_vlan_tpid, h.tp_vlan_tci, r->put)
					   : 0;
	memcpy(&r->about, r->frame - sizeof(r->about), sizeof(r->about));
	return true;
}

int ring_copy(const struct ring_slot *r, uint32_t largest, uint8_t *out, uint32_t room)
{
	if (!r->whole || r->length + r->tag > room)
		return RING_LARGE;
	if (r->about.gso_type != VIRTIO_NET_HDR_GSO_NONE && r->length > largest)
		return RING_SEGMENTS;
	if (r->tag == 0) {
		memcpy(out, r->frame, r->length);
	} else {
		memcpy(out, r->frame, RING_MACS);
		memcpy(out + RING_MACS, r->put, RING_TAG);
		memcpy(out + RING_MACS + RING_TAG, r->frame + RING_MACS, r->length - RING_MACS);
	}
	if ((r->about.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) &&
		!finish_checksum(&r->about, out, r->length + r->tag, r->tag))
		return RING_BROKEN;
	return (int)(r->length + r->tag);
}
