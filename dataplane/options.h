/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DATAPLANE_OPTIONS_H
#define DATAPLANE_OPTIONS_H

// The command line: EAL arguments, "--", ours.

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "dataplane/io/opener.h"
#include "dataplane/io/port.h"

struct options_port {
	char name[WIRE_NAME_MAX];
	char device[64];
	char netns[OPENER_NETNS_MAX]; // of a kernel device; "" = that of this process
	uint8_t outer_tpid;
	uint8_t mode; // enum device_mode
	uint16_t mtu; // 0 = not given
};

struct options {
	const char *socket;
	const char *stats; // NULL = the default place, "none" = in memory of this process only
	uint32_t workers;  // 0 = as many as EAL worker lcores, at least 1
	uint32_t buffers;  // 0 = computed from ports, queues and workers
	uint32_t buffer_size; // bytes of a frame a buffer holds; 0 = what the ports need
	uint32_t descriptors;
	uint32_t interfaces; // slots; 0 = those of the stats segment, else a default
	uint32_t limiters;
	uint32_t vrfs;
	uint32_t fib_memory; // MiB
	uint32_t punt_rate;
	uint32_t icmp_rate;
	uid_t uid;
	bool idle_sleep;
	uint32_t ports;
	struct options_port port[PORT_MAX];
	int eal_count; // arguments for rte_eal_init(), argv[0] included
};

enum options_result { OPTIONS_RUN, OPTIONS_DONE, OPTIONS_WRONG };

// Prints help, version or one line about what is wrong itself.
enum options_result options_parse(int argc, char **argv, struct options *options);

// Whoever writes a node file gives no options: which of its fields are those that the text speaks of, "" = none.
void options_fields(const char *text, char *fields, size_t size);

#endif
