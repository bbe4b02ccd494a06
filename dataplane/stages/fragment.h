/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef STAGES_FRAGMENT_H
#define STAGES_FRAGMENT_H

#include "dataplane/worker.h"

// Takes an IPv4 packet without DF that is larger than its way out allows, puts its fragments into the worker's
// fragment list, ready to send, and the packet itself to the dead. Counts on the out-interface.
void fragment(struct worker *w, struct rte_mbuf *m, const struct packet *p);

// output.c: puts the frame around the IP packet of `length` bytes at `offset`; returns the port it leaves by.
uint16_t output_frame(struct worker *w, struct rte_mbuf *m, uint16_t offset, uint16_t length,
	const struct packet *p);

#endif
