/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SYNC_STATE_H
#define SYNC_STATE_H

// Inside control/sync: the route thread's state, shared by its files. sync.h is the outside.

#include <stdbool.h>
#include <stdint.h>

#include "control/bridge/bridge.h"
#include "control/sync/dataplane.h"
#include "control/sync/desired.h"
#include "control/sync/groups.h"
#include "control/sync/precedence.h"
#include "control/sync/records.h"
#include "control/sync/sync.h"
#include "control/base/table.h"
#include "dataplane/wire/stats.h"

#define PORTS_MAX   64
#define ROUTE_LIMIT 4000 // of a private peering, for each family

struct json_t;
struct stats_reader;

struct prefix_key { // a prefix without padding
	uint8_t family;
	uint8_t len;
	uint8_t pad[2];
	uint8_t addr[16];
};
struct prefix_key prefix_key_of(const struct ip_prefix *prefix);
struct ip_prefix prefix_of_key(const struct prefix_key *key);

struct learned_hop {
	struct ip_address via;
	uint16_t weight;
};

// A kernel route of one protocol and metric.
struct learned_route {
	struct learned_route *next;
	uint32_t metric;
	uint32_t life; // of its domain, when it was last said
	uint8_t protocol;
	bool blackhole;
	unsigned int count;
	struct learned_hop hop[];
};

// A prefix counts against its peering's limit or waits for a place; NONE: it is refused, or not judged yet.
enum place { PLACE_NONE, PLACE_TAKEN, PLACE_HELD };

struct learned { // all of one prefix
	struct entry entry;
	struct prefix_key key;
	enum place place;
	unsigned int held_at; // in its family's heap
	struct learned_route *routes;
};

struct installed {
	struct entry entry;
	struct prefix_key key;
	struct group *group;
	enum origin origin;
	bool crowded;  // it has more paths than a group holds
	uint32_t from; // domain it came from
};

struct kept { // a prefix that the data plane had before we came
	struct entry entry;
	struct prefix_key key;
};

struct places { // of one family
	unsigned int taken;
	unsigned int held_count, held_room;
	struct learned **held; // heap, lowest prefix first
};

// What is known of a routing domain, configured or (for a moment) not.
struct domain {
	struct entry entry;
	uint32_t id;
	bool synced;   // the bridge has told all of its kernel routes
	bool realised; // the bridge knows it
	bool announced_known;
	bool had_routes;      // in the data plane, when we came
	uint32_t life;        // counts the kernel halves it had: what one of them said dies with it
	uint64_t waiting;     // CLOCK_MONOTONIC ns since when it is not synced
	unsigned int crowded; // decisions that had more paths than a group holds
	char error[512];      // why it cannot be made, "" = it is
	struct table learned; // struct learned
	struct table installed;      // struct installed
	struct places places[2];     // IPv4, IPv6
	struct table kept;           // struct kept, while it matters
	uint64_t announced;          // hash of what was announced last
	struct wire_vrf_stats stats; // as the data plane last told
};

// A host interface of ours and its BGP session.
struct realised {
	struct entry entry;
	uint32_t id;
	bool interface, peering; // the bridge has it
	bool carrier_known, carrier;
	uint8_t mac[6];
	char error[512];
	bool heard;
	struct bridge_session session;
};

struct tunnel {
	struct entry entry;
	uint32_t id; // interface
	struct group *group;
	uint32_t core; // interface it leaves by, 0 = no way
	struct ip_address via;
};

// What keeps us from touching this host (hold.c).
struct hold {
	bool open;                     // nothing does
	bool adopted;                  // an administrator has said so
	bool force;                    // the next sweep of the kernel may take any number
	char message[256], hint[256];  // why not
	char sweep_message[512], sweep_hint[256]; // why the kernel is not swept; "" = it was, or will be
};

// What `edge adopt` would take over and remove.
struct adoption {
	bool needed;
	struct bridge_claims claims;
	unsigned int domains, interfaces; // that would go
};

struct port_state {
	bool known;
	uint64_t since;
	struct wire_port last;
};

struct sync {
	struct event_base *base;
	const struct node *node;
	struct bridge *bridge;
	struct dataplane *dataplane;
	struct records records;
	struct hops hops;
	struct node_view *view;
	struct fragments *fragments;
	struct desired *desired; // NULL before the first publication
	bool ready; // the data plane's next hops were read back: the ledger may be filled
	struct table domains, realised, tunnels;
	struct port_state port[PORTS_MAX];
	struct event *grace, *tick;
	bool settled;             // neighbors had their time: one that was not heard of is down
	unsigned int route_limit; // of a peering, for each family
	bool swept;               // the bridge was told that all has been declared
	struct hold hold;
	uint64_t started;
	uint64_t instance; // of the data plane, 0 = none so far
	struct candidates {
		unsigned int count, room;
		struct candidate *item;
	} candidates; // of the decision that is being made
	struct stats_reader *stats;
	uint64_t stats_instance;
	struct rates *rates;
	struct table episodes; // struct episode
	void (*event)(void *ctx, const char *topic, struct json_t *data);
	void *event_ctx;
};

struct domain *sync_domain(struct sync *sync, uint32_t id); // made when it is not there
struct realised *sync_realised(struct sync *sync, uint32_t id);

// realise.c: the bridge's side of the desired state
void realise_all(struct sync *sync, const struct desired *old);
void realise_port(struct sync *sync, uint32_t port);
// What failed once is tried again: domains, interfaces, their neighbors and sessions.
// True: a domain that was missing is there.
bool realise_retry(struct sync *sync);
// What is announced to the customers, by the tunnels that are up.
void realise_announcements(struct sync *sync);

// hold.c. False: nothing may be told to anybody.
bool hold_judge(struct sync *sync);
void hold_sweep(struct sync *sync); // the kernel, once, when it is time
void hold_preview(struct sync *sync, struct adoption *adoption);
void hold_adopt(struct sync *sync);

// underlay.c
void underlay_apply(struct sync *sync); // publication or readiness
void underlay_neighbors(
	struct sync *sync); // asks the kernel for the ways out, once their ports are there
enum neighbor_state tunnel_state(const struct sync *sync, uint32_t interface);

// learned.c: what the kernel said. Returns what is known of the prefix now, NULL = nothing.
struct learned *learned_update(
	struct domain *domain, const struct bridge_route *route, bool present);
void learned_clear(struct domain *domain);
// Takes out what an earlier life of the domain said; `changed` is told each prefix that lost something.
void learned_sweep(struct domain *domain,
	void (*changed)(void *ctx, const struct prefix_key *key, struct learned *left), void *ctx);

// routes.c
void routes_learned(
	struct sync *sync, uint32_t domain, const struct bridge_route *route, bool present);
// Publication (old: the one before) or readiness (old: NULL).
void routes_apply(struct sync *sync, const struct desired *old);
// All routes of this domain are known.
void routes_settle(struct sync *sync, uint32_t domain);
void routes_synced(struct sync *sync);
// The domain is no longer, or another one has its number: nothing of it remains.
void routes_end(struct sync *sync, struct domain *domain);
void routes_forget(struct domain *domain);
// Whether what this domain learns is known, and if it is not, whether anybody waits for it.
enum source {
	SOURCE_LIVE,    // all of it is known
	SOURCE_FILLING, // it is being told; what the data plane has meanwhile is no worse
	SOURCE_WAITING, // it cannot be made now: what it brought stays for a while
	SOURCE_EMPTY,   // given up: its session is down, or it took too long
};
enum source routes_source(const struct sync *sync, const struct desired_domain *domain);
// Why a learned prefix is not let in, NULL = it is.
const struct bridge_reject *routes_reject(const struct sync *sync,
	const struct desired_domain *domain, const struct learned *learned);
const struct desired_interface *attachment_to(
	const struct sync *sync, uint32_t domain, const struct ip_address *remote);

// limit.c
unsigned int limit_of(const struct sync *sync, const struct desired_domain *domain); // 0 = none
unsigned int limit_held(const struct domain *domain);
// A prefix that may or may not come in. It is held if it is new; limit_next() tells who gets the free places.
void limit_judge(struct domain *domain, struct learned *learned, bool acceptable);
void limit_leave(struct domain *domain, struct learned *learned);
struct learned *limit_next(struct domain *domain, unsigned int limit); // NULL = no more
void limit_keep(struct domain *domain, const struct wire_route *route);
void limit_settle(struct domain *domain); // all routes have been judged
void limit_free(struct domain *domain);

// One line for people about a record.
void sync_describe(const struct sync *sync, const struct record *record, char *text, size_t size);

// config.c: the ledger's configuration records
void config_apply(struct sync *sync, const struct desired *old);

// events.c: told to whoever subscribed. A state that is as it was is no event.
void event_session(struct sync *sync, uint32_t interface, const struct bridge_session *old,
	const struct bridge_session *new);
void event_port(struct sync *sync, uint32_t port);

// counters.c
void counters_attach(
	struct sync *sync, int fd); // of the stats segment, borrowed; -1 = there is none
void counters_detach(struct sync *sync);
void counters_tick(struct sync *sync); // about once a second

// What one link and direction carried; all false/0 when it is not known.
struct limiter_counters {
	bool known, rates_known;
	struct stats_limiter sum;
	uint64_t rate, limited_rate; // bit/s over the last second
	uint64_t peak;               // bytes offered in the fullest ms of the last minute
	uint64_t fallbacks;          // packets that a shaper without memory policed
	struct wire_episode episode; // the last run of drops; start 0 = none
	bool dropping;               // it goes on
};
void counters_limiter(const struct sync *sync, uint64_t uid, struct limiter_counters *counters);
void counters_episode(struct sync *sync, const struct wire_episode *episode);
// UNIX time since when it has been dropping, now or within the last minute; 0 = it has not.
uint64_t counters_limited_since(const struct limiter_counters *counters);
// False: no counters of this uid.
bool counters_interface(const struct sync *sync, uint64_t uid, struct stats_interface *sum,
	struct stats_sparse *sparse);

#endif
