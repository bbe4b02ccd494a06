/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DOMAIN_LIVE_H
#define DOMAIN_LIVE_H

// What domain/ fills and rpc/answers reads: the ledger, next hops, the connection, ports, host interfaces, tunnels,
// counters.

#include <stdbool.h>
#include <stdint.h>

#include "control/base/table.h"
#include "control/bridge/bridge.h"
#include "control/model/intent.h"
#include "control/speakers/speaker.h"
#include "control/sync/dataplane.h"
#include "control/sync/groups.h"
#include "control/sync/records.h"
#include "dataplane/wire/stats.h"

#define PORTS_MAX 64

struct domain;
struct domains;
struct fragment;
struct parting;
struct json_t;
struct stats_reader;
struct statuses;

#define HEARD_NS 10000000000u // from then on a session that was not heard of is told as down

// The BGP session of one address family over an attachment, and the router that it leads to.
struct realised_session {
	uint32_t id;              // the speaker's
	unsigned int family;      // as ip_index() has it
	struct realised *of;
	bool declared;            // the speaker has it
	bool answers;             // the router does
	uint8_t silent;           // s that it has not, no more than counts
	bool heard;               // `state` is the speaker's
	uint64_t began;           // clock, ns: since then the speaker may have been heard
	struct speaker_state state;
	unsigned int rejected;    // routes, by the speaker
	struct parting *parting;  // its end has been announced to the far end, NULL = not
	bool ended;               // the speaker was told so, and nothing else since
};

// A host interface of ours and its BGP sessions.
struct realised {
	struct entry entry;
	uint32_t id;
	const struct intent_interface *wanted; // lives as long as `fragment`
	const struct fragment *fragment;
	LIST_ENTRY(realised) of_port;
	bool interface; // the bridge has it
	bool carrier_known, carrier;
	uint8_t mac[6];
	struct spot { // where the data plane has it, as it last said
		bool known;
		uint8_t vlans;
		uint16_t vlan[2];
		uint32_t port;
	} spot;
	char error[512];
	struct realised_session *session[2]; // of IPv4, of IPv6; NULL = there is none
};

// Of that number, NULL = none.
struct realised_session *session_find(const struct sync *sync, uint32_t id);
// As the speaker told it, or what is to be said while it has not: "unknown" for a while, then "down". Never NULL.
const struct speaker_state *session_state(const struct realised_session *session);
static inline const struct intent_address *session_address(const struct realised_session *session)
{
	return &session->of->wanted->address[session->family];
}

// Of the routes of a session's own router, as the speaker told last; nothing of one that is down. Prefixes that are held count
// as that of each session they came by.
struct session_routes {
	bool known; // it has been heard of
	unsigned int accepted, held, rejected, advertised;
};
struct session_routes session_routes(
	const struct sync *sync, const struct realised_session *session);
// Whether this prefix is learned from behind its router.
bool session_learned(const struct sync *sync, const struct realised_session *session,
	const struct ip_prefix *prefix);

// Why packets do not reach a tunnel's far end.
enum tunnel_fault {
	TUNNEL_WELL,
	TUNNEL_UNHEARD,     // its next hop has not been heard of yet, soon after start
	TUNNEL_NO_ROUTE,    // the underlay has no way to its gateway
	TUNNEL_STRAY_ROUTE, // it has one, whose next hop is in no core port's subnet
	TUNNEL_CORE_UNMADE, // the core port's device is not there
	TUNNEL_CORE_DOWN,
	TUNNEL_SILENT, // its next hop does not answer
};

struct tunnel {
	struct entry entry;
	uint32_t id;                           // interface
	const struct intent_interface *wanted; // lives as long as `fragment`
	const struct fragment *fragment;
	struct group *group;
	uint32_t core; // interface it leaves by, 0 = no way
	struct ip_address via;
	enum neighbor_state announced; // as it was when its domain's prefixes were announced last
	bool was_announced;
	enum tunnel_fault fault; // as it was told last
};

// A neighbor that tunnels leave by.
struct gateway {
	struct entry entry;
	struct gateway_key {
		uint32_t core;
		struct ip_address via;
		uint8_t zero[3];
	} key;
	unsigned int tunnels;
};

// What keeps us from touching this host (hold.c).
struct hold {
	bool open;    // nothing does
	bool adopted; // an administrator has said so
	bool force;   // the next sweep of the kernel may take any number
	bool sweeping; // it is under way
	// Interfaces that the data plane had when we came: all, not configured, and without a deletion in the store's history.
	unsigned int found, going, unexplained;
	char message[640], hint[256]; // why not
	char sweep_message[512],
		sweep_hint[256]; // why the kernel is not swept; "" = it was, or will be
};

// What `edge adopt` would take over and remove.
struct adoption {
	bool needed, known; // known: the model has this edge
	struct bridge_claims claims;
	unsigned int domains_there, interfaces_there;
	unsigned int domains, interfaces; // that would go
};

struct port_state {
	bool known;
	uint64_t since;
	struct wire_port last;
	LIST_HEAD(, realised) interfaces;
	uint64_t strays; // frames with tags of nobody
	bool strays_known;
	uint8_t strayed; // s for which such frames are still told of, 0 = none came of late
};

struct sync {
	struct event_base *base;
	const struct node *node;
	struct bridge *bridge;
	struct speakers *speakers;
	struct dataplane *dataplane;
	struct statuses *status; // what is how
	struct records records;
	struct hops hops;
	struct domains *domains;
	bool ready; // the data plane's next hops were read back: the ledger may be filled
	struct table realised, tunnels;
	struct table gateways; // underlay.c: how many tunnels leave by which
	struct session_sum {
		unsigned int rejected; // routes, by speakers
		unsigned int silent;   // up without BGP
	} sessions;
	struct port_state port[PORTS_MAX];
	bool settled; // neighbors had their time: one that was not heard of is down
	unsigned int route_limit;
	bool swept; // the bridge was told that all has been declared
	struct hold hold;
	uint64_t started;
	uint64_t instance; // of the data plane, 0 = none so far
	struct stats_reader *stats;
	uint64_t stats_instance;
	struct rates *rates;
	struct table episodes; // struct episode
	void (*event)(void *ctx, const char *topic, struct json_t *data);
	struct final_scan { // for counters of what was deleted
		unsigned int kind;
		uint32_t slot;
		bool under_way; // some are being stored
	} finals;
	void (*final)(void *ctx, struct json_t *list);
	void (*adopted)(void *ctx);
	void *event_ctx;
};

// One line for people about a record or route.
void sync_describe(const struct sync *sync, const struct record *record, char *text, size_t size);
void sync_describe_route(
	const struct sync *sync, const struct route *route, char *text, size_t size);
// What the data plane has against a record or route, -errno, in words.
const char *refusal_text(int error);
// domain/hold.c. False: nothing may be told to anybody.
bool hold_judge(struct sync *sync);
void hold_sweep(struct sync *sync); // the kernel, once, when it is time
void hold_found(struct sync *sync, const struct wire_interface *record); // the data plane has it
void hold_ready(struct sync *sync);                                      // ... and that was all
// Of *preview the question is the caller's.
void hold_preview(struct sync *sync, struct bridge_preview *preview, struct adoption *adoption);
void hold_adopt(struct sync *sync);
// Whether packets reach the far end of a tunnel's next hop.
enum neighbor_state tunnel_state(const struct sync *sync, uint32_t interface);
enum tunnel_fault tunnel_fault(const struct sync *sync, const struct tunnel *tunnel);

// events.c: told to whoever subscribed. A state that is as it was is no event.
void event_session(struct sync *sync, const struct realised_session *session,
	const struct speaker_state *old, const struct speaker_state *new);
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
// Whether there is a segment, and it can be read.
bool counters_readable(const struct sync *sync);
// False: no counters of this uid.
bool counters_interface(const struct sync *sync, uint64_t uid, struct stats_interface *sum,
	struct stats_sparse *sparse);

uint32_t device_id(const char *name); // which host interface a device of that name is, 0 = none of ours

#endif
