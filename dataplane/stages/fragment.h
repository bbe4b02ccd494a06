/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef STAGES_FRAGMENT_H
#define STAGES_FRAGMENT_H

#include <stdint.h>

#include <rte_config.h>
#include <rte_mbuf.h>

// How many fragments the IPv4 packet of `length` bytes at `ip` makes where packets of `mtu` bytes
// fit, which is at least its header and 8 more.
unsigned fragment_count(const uint8_t *ip, unsigned length, unsigned mtu);

// Writes them, IP packets each, into that many empty buffers.
void fragment(const uint8_t *ip, unsigned length, unsigned mtu, struct rte_mbuf **piece);

#endif
