/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_GENERATE_H
#define BENCH_GENERATE_H

// A configuration of two edges, ams1 and ams2, with four customer ports each, and N circuits
// (circuit-00000..) of a tenth as many customers: each with a link on either edge, a private
// peering, and a connection to a vNet (vnet-00000..) of its own with a tunnel from either edge. For
// free().
char *bench_configuration(unsigned int circuits);

#endif
