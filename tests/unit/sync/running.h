/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SYNC_RUNNING_H
#define SYNC_RUNNING_H

// A whole route thread between a fake kernel and a fake data plane, for tests: edge "east" of base_yaml, synced.

#include "tests/unit/sync/fixture.h"

struct event_base;

#define ACME   "peering/acme-01/private"
#define GLOBEX "peering/globex-01/private"

extern struct configuration configuration;
extern struct fake_dataplane fake;
extern struct event_base *base;
extern struct node *node;
extern struct sync *running;           // the ledger's side of it
extern struct domains_options options; // of the next start; base and node are filled in
extern char path[96];                  // of the data plane's socket

int running_start(void **state); // cmocka's setup and teardown
int running_stop(void **state);
void start_sync(void);
void start_sync_refusing(const char *host); // a domain of this host name cannot be made
void stop_sync(void);
void restart_sync(void);
const struct intent_domain *domain_called(const char *name);       // fails when there is none
const struct intent_interface *interface_called(const char *name); // likewise
const struct intent_limiter *limiter_called(const char *name);     // likewise
void publish(void);                                                // what was configured

double running_now(void);
void turn(void);
void settle(void); // until there is nothing left to tell the data plane
#define WAIT_SECONDS(condition, seconds)                                                      \
	do {                                                                                  \
		for (double until = running_now() + (seconds); !(condition);) {               \
			if (running_now() > until)                                            \
				fail_msg("%s:%d: never: %s", __FILE__, __LINE__, #condition); \
			turn();                                                               \
		}                                                                             \
	} while (0)
#define WAIT(condition) WAIT_SECONDS(condition, 10)

enum dataplane_state state_of(void);
uint32_t vrf(const char *name);
uint32_t interface(const char *name);
void say_synced(void);
void say_synced_but(const char *domain); // the kernel has told all of the others
void say_all(void);                      // what the kernel says in every test

#endif
