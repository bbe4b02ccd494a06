/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BRIDGE_STATE_H
#define BRIDGE_STATE_H

// What the parts of the bridge share: the declared objects and where they live in the kernel. Only the route
// thread touches any of it.

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "control/base/clock.h"
#include "control/bridge/bridge.h"
#include "control/bridge/held.h"
#include "control/bridge/hops.h"
#include "control/bridge/idmap.h"
#include "control/bridge/netlink.h"
#include "control/bridge/routes.h"

struct event;
struct event_base;
struct mirror;
struct patch;

// glibc's sys/queue.h lacks these.
#ifndef TAILQ_FOREACH_SAFE
#define TAILQ_FOREACH_SAFE(var, head, field, next)                                     \
	for ((var) = TAILQ_FIRST(head); (var) && ((next) = TAILQ_NEXT(var, field), 1); \
		(var) = (next))
#define STAILQ_FOREACH_SAFE(var, head, field, next)                                      \
	for ((var) = STAILQ_FIRST(head); (var) && ((next) = STAILQ_NEXT(var, field), 1); \
		(var) = (next))
#define LIST_FOREACH_SAFE(var, head, field, next) \
	for ((var) = LIST_FIRST(head); (var) && ((next) = LIST_NEXT(var, field), 1); (var) = (next))
#endif

enum { TURN_NS = 2000000 }; // longest work in one turn of the loop

// One network namespace of ours: of one domain (mode netns, and the underlay) or of all (mode table).
struct space {
	struct bridge *bridge;
	LIST_ENTRY(space) entry;
	char *name; // in /run/netns
	int fd;
	bool shared;     // by all customer domains
	bool found;      // was there without our mark: used, nothing in it is swept
	bool mark_old;   // its mark is to be written
	int mark_error;  // of the last attempt to
	bool retry;      // of what waits in `held`, this second
	bool doubted;    // its settings are to be looked at
	bool name_taken; // it cannot be bound
	bool lost;       // its name is another namespace's: it is left to end with its domains
	struct held_list held; // our routes and rules
	uint32_t domain_count, interface_count;
	struct netlink command; // for requests answered at once
	int packets;            // socket for announcements (presence.c), -1 = none
	struct mirror *mirror;
	struct space_sweep *sweep; // sweep.c: what is being removed, NULL = nothing
	struct idmap links;        // ifindex -> struct host_link
	struct idmap tables;       // kernel table -> struct host_domain
	TAILQ_HEAD(domain_list, host_domain) domains;
	uint32_t writer; // netlink port of the routing daemon, 0 = not heard of
	bool taken;      // from one of its domains at least (reconcile.c)
};

// A device of the namespace, ours or not.
struct host_link {
	uint32_t ifindex;
	uint32_t id; // of the interface, 0 when not ours; known before it is declared
	bool running;
	bool seen;   // heard of by an event since the links' dump began
	bool missed; // a route over it was left out or taken away while it was down
	struct host_interface *interface; // NULL when not ours, or not declared yet
};

enum domain_sync { DOMAIN_SYNCED, DOMAIN_WAITING, DOMAIN_DUMPING };

struct host_domain {
	uint32_t id;
	char *name;
	struct space *space;
	TAILQ_ENTRY(host_domain) entry;
	uint32_t table; // kernel table of its learned routes
	enum domain_sync sync;
	struct routes routes;
	struct taken {                     // of the routing daemon's, by somebody else
		uint64_t at;               // clock_ns of the first, 0 = nothing
		unsigned int asked;        // times that the daemon was asked to put them in again
		uint32_t writer;           // who wrote there until then, 0 = not known
		struct host_route_key key; // of the first
	} taken;
	LIST_HEAD(, host_interface) interfaces;
	struct bridge_static *statics;
	unsigned int static_count;
};

struct host_neighbor {
	LIST_ENTRY(host_neighbor) entry;
	struct ip_address address;
	bool usable;
	bool seen;
	bool written_over; // another entry is in its place
	bool somebody;     // ..: and not the kernel's own
	uint8_t mac[6];
};

struct host_interface {
	struct bridge_interface declared; // name and pointers into this struct
	char name[16];
	struct host_domain *domain;
	LIST_ENTRY(host_interface) of_domain;
	uint32_t ifindex; // 0 = the device is gone
	int anchor;       // detached queue
	bool carrier;     // wanted; attaching a queue raises the device's
	bool made;        // there was a device: when it is not there, somebody took it
	uint8_t ruled;    // bits, by the address: its rules are held (shared namespace)
	bool was_away;    // without carrier since its link came up last
	uint8_t due;      // REPAIR_.., while there are any it is among the suspects (repair.c)
	uint64_t
		lacks6; // second in which routes of its IPv6 addresses were seen to lack, 0 = none do
	uint32_t looked; // round that looked at it last
	TAILQ_ENTRY(host_interface) suspects;
	LIST_HEAD(neighbor_list, host_neighbor) neighbors;
};

struct bridge {
	struct event_base *base;
	enum bridge_mode mode;
	char *prefix, *run_dir;
	char store[40], edge[64]; // whose marks are ours
	uint8_t local_protocol;
	uint32_t check_interval;
	int receive_buffer;
	struct bridge_callbacks callbacks;
	uint32_t (*device_id)(const char *name);
	struct bridge_counters counters;
	LIST_HEAD(space_list, space) spaces;
	struct idmap domains, interfaces;
	struct next_hops hops;
	LIST_HEAD(patch_list, patch) patches;
	uint32_t patch_round;
	STAILQ_HEAD(burials, buried) buried; // reconcile.c: routes of domains that are no more
	struct event *burial;
	struct event *tick; // once a second
	uint64_t ticks;
	struct event *slice; // repair.c: what is looked at
	TAILQ_HEAD(suspect_list, host_interface) suspects;
	struct space *round; // next to be looked at this second; NULL = done
	uint64_t round_index, round_period;
	bool round_devices; // devices are still to be looked at this second
	uint32_t round_cursor, looking, looks_left;
	unsigned int lines;            // of the log about repairs, this second
	bool managed_refused;          // this kernel has no managed neighbors
	struct sweeping *sweeping;     // sweep.c, NULL = no sweep is under way
	struct event_buffers *buffers; // for reading netlink events, shared by all mirrors
};

// neighbor.c
void neighbor_message(struct space *space, const struct nlmsghdr *header, bool dump);
void neighbors_unseen(struct space *space); // before a dump
void neighbors_seen(struct space *space);   // after it
void neighbors_down(struct host_interface *interface);
void neighbors_retry(struct bridge *bridge, struct host_interface *interface);
void neighbors_renew(
	struct host_interface *interface); // none of what it remembers may be so any more
// Those that somebody wrote over. True: there were such.
bool neighbors_restore(struct host_interface *interface);
void neighbors_free(struct host_interface *interface);

// sweep.c
void sweep_forget_space(struct space *space); // it goes
void sweep_end(struct bridge *bridge);        // it is given up

// install.c
int install_first(struct space *space); // what a namespace has before its domains
int install_rules(struct host_interface *interface);
void install_lost(struct host_interface *interface); // the kernel has dropped its routes
void remove_rules(struct host_interface *interface);
// Those of the addresses that it is not to have any more.
void readdress_rules(struct host_interface *interface, const struct bridge_interface *wanted);
void install_remove_all(struct host_domain *domain);

#endif
