/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CONTROL_BENCH_H
#define CONTROL_BENCH_H

// The controller's messages against real tables, for the tests of control.c. No EAL, no port of a device, no packet.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/control.h"
#include "dataplane/dataplane.h"
#include "dataplane/wire/link.h"

#define CORE 1u // VRF of the underlay

struct bench {
	struct stats_segment *stats;
	struct dataplane *dp;
	struct host *host;
	struct control *control;
	struct wire_link *link; // the controller's end
	struct port port;
	uint8_t store[16];
};

extern struct bench bench;
extern struct wire_message message; // the last that came
extern int fds[WIRE_FDS_MAX];
extern unsigned fds_count;

void connect_controller(void);
int set_up(void **state);
int set_up_large(void **state);
int tear_down(void **state);
void turn(void);
int next_message(void);
int acknowledged(uint64_t seq);
uint64_t send_records(
	uint16_t type, const void *records, unsigned count, const int *descriptors, unsigned n);
int call(uint16_t type, const void *records, unsigned count);
int result(uint16_t type, const void *record);
void hello(const uint8_t store[16], uint64_t revision);
int begin(uint32_t scope, uint32_t vrf, uint64_t revision, uint32_t flags);
int end(uint32_t scope, uint32_t vrf, uint64_t count);
struct wire_interface interface(uint32_t id);
int set_interface(uint32_t id);
int set_vrf(uint32_t id);
struct wire_route route(uint32_t vrf, uint8_t third);
unsigned routes(uint32_t vrf);
void configure(unsigned interfaces);

#endif
