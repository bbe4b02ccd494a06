// SPDX-License-Identifier: BSD-3-Clause
// The steering program: gives the data plane's socket what is the data plane's, leaves everything
// else to the kernel. It stands on a device as long as the process that attached it lives.
//
// What is the data plane's is dropped while it has no socket, never passed: a customer's frame has
// no business in the kernel's stack. What cannot be read as the data plane's is not.
//
// With TAG_HINT (Linux 6.8 and a driver that has it) the tag may stand beside the frame, where a
// VLAN device of a veth's other end or a NIC that strips tags leaves it: it is asked for, and put
// back in front of what goes to the socket. Without it such a frame looks untagged.
//
// Reads bytes of the packet and its own maps, nothing of the kernel's: no CO-RE.

#include "bpf/steer.h"

#include <linux/bpf.h>
#include <linux/if_ether.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define MACS 12
#define TAG  4

const volatile __u32 whole; // the port is the data plane's alone: no map is asked

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, STEER_QUEUES);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, STEER_TAGS);
	__type(key, __u32);
	__type(value, __u32);
} tags SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, STEER_ADDRESSES);
	__type(key, struct steer_address);
	__type(value, __u32);
} addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct steer_counts);
} verdicts SEC(".maps");

#ifdef TAG_HINT
extern int bpf_xdp_metadata_rx_vlan_tag(
	const struct xdp_md *ctx, __be16 *vlan_proto, __u16 *vlan_tci) __ksym;
#endif

// The outer tag, wherever it stands.
struct outer {
	__be16 tpid; // 0 = untagged
	__be16 tci;
	_Bool beside;
};

static __always_inline int verdict(enum steer_verdict which, int action)
{
	struct steer_counts *counts = bpf_map_lookup_elem(&verdicts, &(__u32){0});

	if (counts)
		counts->frames[which]++;
	return action;
}

static __always_inline _Bool is_tag(__be16 type)
{
	return type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD);
}

// False: the frame ends before.
static __always_inline _Bool find_outer(const struct xdp_md *ctx, struct outer *o)
{
	const __u8 *frame = (const void *)(long)ctx->data, *end = (const void *)(long)ctx->data_end;

#ifdef TAG_HINT
	__u16 tci = 0;

	o->beside = bpf_xdp_metadata_rx_vlan_tag(ctx, &o->tpid, &tci) == 0;
	if (o->beside) {
		o->tci = bpf_htons(tci);
		return 1;
	}
#endif
	if (frame + ETH_HLEN > end)
		return 0;
	o->tpid = *(const __be16 *)(frame + MACS);
	if (!is_tag(o->tpid)) {
		o->tpid = 0;
		return 1;
	}
	if (frame + ETH_HLEN + TAG > end)
		return 0;
	o->tci = *(const __be16 *)(frame + MACS + 2);
	return 1;
}

static __always_inline __u32 owner_of(const struct outer *o)
{
	__u32 vid = o->tpid ? bpf_ntohs(o->tci) & 0xfff : 0, *owner;

	if (vid && o->tpid == bpf_htons(ETH_P_8021AD))
		vid += STEER_88A8;
	owner = bpf_map_lookup_elem(&tags, &vid);
	return owner ? *owner : STEER_LEAVE;
}

// Where offsets vary the kernel reads for us: it allows pointers to be moved by what was read to
// those only who may see all of its memory.
static __always_inline _Bool is_address(struct xdp_md *ctx, __u32 at, __u32 family, __u32 length)
{
	struct steer_address key = {.family = family};

	return bpf_xdp_load_bytes(ctx, at, key.bytes, length) == 0 &&
	       bpf_map_lookup_elem(&addresses, &key) != 0;
}

// What has to reach an address of ours: packets to it whatever is in them (fragments and errors of
// the path belong to a tunnel as well as GRE), and who asks for it.
static __always_inline _Bool for_address(struct xdp_md *ctx, const struct outer *o)
{
	__u32 at = MACS + (o->tpid && !o->beside ? TAG : 0);
	__be16 type = 0;
	__u8 next = 0, message = 0;

	if (bpf_xdp_load_bytes(ctx, at, &type, 2))
		return 0;
	if (is_tag(type)) { // an inner one is stepped over
		at += TAG;
		if (bpf_xdp_load_bytes(ctx, at, &type, 2))
			return 0;
	}
	at += 2;
	if (type == bpf_htons(ETH_P_ARP))
		return is_address(ctx, at + 24, 4, 4);
	if (type == bpf_htons(ETH_P_IP))
		return is_address(ctx, at + 16, 4, 4);
	if (type != bpf_htons(ETH_P_IPV6))
		return 0;
	if (is_address(ctx, at + 24, 6, 16))
		return 1;
	// neighbor solicitation, sent to many for the one that it names
	return bpf_xdp_load_bytes(ctx, at + 6, &next, 1) == 0 && next == 58 &&
	       bpf_xdp_load_bytes(ctx, at + 40, &message, 1) == 0 && message == 135 &&
	       is_address(ctx, at + 48, 6, 16);
}

static __always_inline _Bool put_back(struct xdp_md *ctx, const struct outer *o)
{
	__u8 *frame, *end;

	if (bpf_xdp_adjust_head(ctx, -TAG))
		return 0;
	frame = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (frame + MACS + TAG > end)
		return 0;
	for (int i = 0; i < MACS; i++)
		frame[i] = frame[i + TAG];
	*(__be16 *)(frame + MACS) = o->tpid;
	*(__be16 *)(frame + MACS + 2) = o->tci;
	return 1;
}

static __always_inline _Bool is_ours(struct xdp_md *ctx, struct outer *o)
{
	if (!find_outer(ctx, o))
		return whole;
	if (whole)
		return 1;
	switch (owner_of(o)) {
	case STEER_TAKE:
		return 1;
	case STEER_ADDRESSED:
		return for_address(ctx, o);
	default:
		return 0;
	}
}

SEC("xdp")
int steer(struct xdp_md *ctx)
{
	struct outer o = {};

	if (!is_ours(ctx, &o))
		return verdict(STEER_LEFT, XDP_PASS);
	if (o.beside && !put_back(ctx, &o))
		return verdict(STEER_NO_ROOM, XDP_DROP);
	if (bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_DROP) != XDP_REDIRECT)
		return verdict(STEER_NO_SOCKET, XDP_DROP);
	return verdict(STEER_TAKEN, XDP_REDIRECT);
}

char _license[] SEC("license") = "Dual BSD/GPL";
