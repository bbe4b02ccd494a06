/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BIRD_PARSE_H
#define BIRD_PARSE_H

// Reads `show route .. all`.

#include "control/policy/policy.h"

typedef void (*parse_row)(
	void *ctx, const struct policy_route *route); // arrays live until it returns

struct route_reader { // zeroed to begin with, `row` and `ctx` filled in
	parse_row row;
	void *ctx;
	bool open; // a route is being read
	struct policy_route route;
	struct {
		unsigned int count;
		uint32_t *item;
	} path, communities;
	struct {
		unsigned int count;
		struct policy_large *item;
	} larges;
};

// A line as the daemon's client gives it (birdc_line). A finished route goes to `row`.
void parse_line(struct route_reader *reader, unsigned int code, const char *text);
void parse_end(struct route_reader *reader); // the last one; memory goes

#endif
