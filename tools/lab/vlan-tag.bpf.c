// SPDX-License-Identifier: BSD-3-Clause
// VLAN tags on a plain Ethernet device, for kernels without VLAN devices: a customer router in a namespace
// then speaks 802.1Q or QinQ on the wire. Two clsact classifiers: "push" (egress) adds the stack, outermost
// tag last; "pop" (ingress) takes exactly that stack off and drops every other frame. The tags are fixed at
// compile time: -DOUTER=N (0 = none) -DINNER=N -DOUTER_TPID=0x8100|0x88a8.

#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#ifndef OUTER_TPID
#define OUTER_TPID 0x8100
#endif

static __always_inline int pop(struct __sk_buff *skb, __u16 vid)
{
	if (!skb->vlan_present || (skb->vlan_tci & 0xfff) != vid)
		return -1;
	return bpf_skb_vlan_pop(skb);
}

SEC("push")
int push_tags(struct __sk_buff *skb)
{
#if OUTER
	if (bpf_skb_vlan_push(skb, bpf_htons(0x8100), INNER))
		return TC_ACT_SHOT;
	if (bpf_skb_vlan_push(skb, bpf_htons(OUTER_TPID), OUTER))
		return TC_ACT_SHOT;
#else
	if (bpf_skb_vlan_push(skb, bpf_htons(OUTER_TPID), INNER))
		return TC_ACT_SHOT;
#endif
	return TC_ACT_OK;
}

SEC("pop")
int pop_tags(struct __sk_buff *skb)
{
#if OUTER
	if (pop(skb, OUTER))
		return TC_ACT_SHOT;
#endif
	if (pop(skb, INNER))
		return TC_ACT_SHOT;
	return skb->vlan_present ? TC_ACT_SHOT : TC_ACT_OK;
}

char _license[] SEC("license") = "Dual BSD/GPL";
