/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DOMAIN_STATE_H
#define DOMAIN_STATE_H

// Inside control/domain: its structs, shared by its files. domain.h is the outside.

#include <sys/queue.h>

#include "control/base/array.h"
#include "control/base/table.h"
#include "control/domain/domain.h"
#include "control/domain/precedence.h"
#include "control/model/intent.h"
#include "control/speakers/speaker.h"
#include "control/domain/live.h"

#define ROUTE_LIMIT 4000 // of a domain without a limit in its policy, for each family

// --- prefixes --------------------------------------------------------------------------------------------

// Next hops of a kernel route, shared by all that have the same.
struct hop_set {
	struct entry entry;
	struct hop_set_key {
		uint32_t count;
		struct hop_set_hop {
			struct ip_address via;
			uint8_t pad;
			uint16_t weight;
		} hop[16];
	} key;
	unsigned int references;
};

// A kernel route of one protocol and metric.
struct learned {
	struct hop_set *hops; // NULL: it leads nowhere
	uint32_t metric;
	uint16_t life;    // of its domain, when it was last said
	uint8_t protocol; // 0 = there is none
	uint8_t pad;
};
struct learned_more { // beyond the first, which is rare
	unsigned int count;
	struct learned item[];
};

// A learned prefix counts against its domain's limit, waits for a place, or is refused by a rule. NONE: not learned, or
// not judged yet.
enum place { PLACE_NONE, PLACE_TAKEN, PLACE_HELD, PLACE_REFUSED };

// All that is known of a prefix in a domain: what was learned here, what was decided, what the data plane was told of it.
// Domains keep theirs in a search tree in the order of the keys, balanced by random priorities (a treap: Seidel and
// Aragon, 1996), so that pages of a listing, walks in slices and walks by the sender are one and the same.
struct prefix {
	struct route route; // the ledger's; the key stands there
	struct prefix *left, *right;
	struct group *group; // decided, NULL = not installed
	struct learned first;
	struct learned_more *more;
	uint32_t priority;
	uint32_t since;   // UNIX time of the last change
	uint32_t from;    // domain that the decision is from
	uint32_t held_at; // in its family's heap
};
static_assert(sizeof(struct prefix) <= 128, "prefixes are the memory of this process");

#define PLACE_BITS  3u // of route.owned
#define CROWDED_BIT 4u // of route.owned: it has more paths than a group holds

static inline enum place prefix_place(const struct prefix *prefix)
{
	return prefix->route.owned & PLACE_BITS;
}
static inline bool prefix_learned(const struct prefix *prefix)
{
	return prefix->first.protocol != 0;
}

struct kept { // a prefix that the data plane had before we came
	struct entry entry;
	struct route_key key;
};

struct places { // of one family
	unsigned int held_count, held_room;
	struct prefix **held; // heap, lowest prefix first
};

// --- joins and domains -----------------------------------------------------------------------------------

// A join as one of its two domains sees it. Both ends are one allocation.
struct end {
	LIST_ENTRY(end) entry; // of the domain, by the id of the other
	struct domain *domain;
	struct end *peer;
	const struct policy *import; // what may come from the other; NULL = everything
	uint16_t weight;
	uint64_t account; // counter of what goes from here to the other, 0 = none
	const char *object;
	const struct fragment *fragment; // that said it; NULL = none
	bool leaving; // it goes soon: what it brings is announced no more, and still forwarded
	struct end *memory;              // of both
};

struct domain {
	struct entry entry;
	uint32_t id;
	enum domain_state state; // set by domain.c only
	struct domains *domains;
	const struct intent_domain *wanted; // lives as long as `fragment`; NULL = not configured
	const struct fragment *fragment;
	struct vrf *vrf; // while it is making, filling or live
	uint64_t since;  // CLOCK_MONOTONIC ns of the state
	uint64_t retry_at, retry_after;
	char error[512];
	TAILQ_ENTRY(domain) unsettled;
	bool is_unsettled, looked_at; // looked_at: on the list of those whose health is to be told
	TAILQ_ENTRY(domain) health;
	bool lost;       // what there is of its kernel half is of no use
	bool had_routes; // in the data plane, when we came
	uint16_t life;   // counts the kernel halves it had: what one of them said dies with it
	unsigned int jobs, reviews, partings;
	uint16_t asked; // bits: kinds of jobs that wait to begin
	struct prefix *root;
	size_t prefixes;
	struct hop_set *last_hops; // most routes of a domain have the same; a reference
	struct domain_counts count[2];
	unsigned int crowded;
	struct places places[2];
	struct table kept; // struct kept, while it matters
	LIST_HEAD(, end) ends;
	LIST_OF(const struct intent_interface *) attachments;
	uint32_t out; // interface that its own prefixes lead out of, 0 = none
	struct wire_vrf_stats stats;
};

static inline bool domain_is_up(const struct domain *domain)
{
	return domain->state == DOMAIN_MAKING || domain->state == DOMAIN_FILLING ||
	       domain->state == DOMAIN_LIVE;
}

// --- work ------------------------------------------------------------------------------------------------

// What is done in slices. Each step does a bounded part.
enum job_kind {
	JOB_PATHS,     // of a port that went or came: the paths over it
	JOB_CARRIERS,  // ..: its devices in the kernel
	JOB_FILL,      // the ledger, for the first time
	JOB_FRAGMENTS, // the next changed fragments
	JOB_REVIEW,    // every prefix of `walked`: judged, decided there and in the joined domains
	JOB_DECIDE,    // every prefix of `walked`, decided in `target`
	JOB_LIFE,      // of `walked`: what an earlier life said goes
	JOB_END,       // of `walked`: everything goes
	JOB_ANNOUNCE,  // of `target`
	JOB_WAYS,      // of all tunnels
	JOB_TUNNELS,   // their states are looked at again
	JOB_KNOWN,     // of all domains: made if it is time, swept if all is known
	JOB_RETRY,     // interfaces that failed
	JOB_SWEEP,     // of the kernel: what nobody has declared goes
	JOB_PARTING,   // changes that customers have been told of
};
struct job {
	TAILQ_ENTRY(job) queue;
	enum job_kind kind;
	struct domain *target, *walked;
	bool begun;
	struct route_key cursor;
	size_t slot;   // of a table
	uint32_t port; // or part, of JOB_FILL
	struct realised *realised;
};

struct limiter {
	struct entry entry;
	uint32_t id;
	const struct intent_limiter *wanted; // NULL = not yet
	const struct fragment *fragment;
	unsigned int users; // interfaces that name it
	bool going;         // with the last of them
};

struct rename { // of an object, whatever it means here; references
	const struct object *old, *new;
};
struct renames {
	unsigned int count;
	struct rename *item;
};

// Changes that wait until customers have been told (parting.c).
struct partings {
	struct table all, places;
	TAILQ_HEAD(parting_list, parting) ceasing, grace, waiting;
	struct event *look;
	uint64_t revision; // of the newest
};

struct domains {
	struct sync sync; // first
	struct node_view *view;
	struct fragments *fragments;
	struct table domains, hop_sets, limiters;
	struct table accounts; // join.c
	struct table untold;   // untold.c
	LIST_OF(const struct intent_interface *) cores;
	TAILQ_HEAD(, domain) unsettled;
	TAILQ_HEAD(, domain) health; // something of them changed that people are told of
	TAILQ_HEAD(job_list, job) jobs;
	struct job_list device_jobs; // the kernel's half, behind all others
	unsigned int passed_over;    // turns in which there were such, and none was done
	struct job *running;
	unsigned int deciding; // jobs after which routes may be others, or lead elsewhere
	uint16_t asked;
	struct event *work, *grace, *tick;
	struct candidates {
		unsigned int count, room;
		struct candidate *item;
	} candidates; // of the decision that is being made
	struct domain_counts count[2];
	struct policy announced; // what every session tells
	bool applied;            // the first publication, as a whole
	struct {
		uint64_t revision, changes; // of the ledger, before that revision
	} published; // the first that was not carried out when it came
	uint64_t drift;          // of the bridge, as last looked at
	unsigned int drifted;    // s that it is told for
	bool renamed;            // objects, and not all of their fragments have come
	struct partings partings;
};

// work.c
struct job *work_add(
	struct domains *domains, enum job_kind kind, struct domain *target, struct domain *walked);
void work_first(struct domains *domains, struct job *job); // before what waits
void work_now(
	struct domains *domains); // as much as a slice holds, and the rest from the event loop
void work_skip(struct domains *domains, const struct realised *realised); // it goes
void work_free(struct domains *domains);

// prefix.c
struct route_key key_of(const struct ip_prefix *prefix);
struct ip_prefix prefix_of(const struct route_key *key);
static inline unsigned int family_of(const struct route_key *key)
{
	return key->family == WIRE_IPV6;
}
struct prefix *prefix_find(const struct domain *domain, const struct route_key *key);
struct prefix *prefix_get(
	struct domain *domain, const struct route_key *key); // made when it is not there
// The first behind the key, NULL = the first of all.
struct prefix *prefix_next(const struct domain *domain, const struct route_key *after);
void prefix_drop(struct domain *domain, struct prefix *prefix); // freed if nobody has a use for it
void prefix_set_place(struct domain *domain, struct prefix *prefix, enum place place);
// What the kernel said. True: something of the prefix is learned still.
bool learned_update(struct domain *domain, struct prefix *prefix, const struct bridge_route *route,
	bool present);
bool learned_keep(struct domain *domain, struct prefix *prefix, const struct bridge_route *route);
bool learned_expire(struct domain *domain, struct prefix *prefix, bool all); // true: something went
unsigned int learned_count(const struct prefix *prefix);
const struct learned *learned_at(const struct prefix *prefix, unsigned int index);
void prefixes_free(struct domain *domain); // whatever the ledger says

// decide.c
const struct intent_interface *attachment_to(
	const struct domain *domain, const struct ip_address *remote);
// Why a learned prefix is not let in, NULL = it is.
const struct policy_rule *decide_rejecting(
	const struct domain *domain, const struct prefix *prefix);
void decide(struct domain *domain, const struct route_key *key);
void decide_joined(
	struct domain *domain, const struct route_key *key); // here and wherever it may come to
void decide_own(
	struct domain *domain, const struct intent_domain *wanted); // its prefixes, here and there
void decide_own_in(struct domain *target, const struct intent_domain *wanted);
void decide_attachments(struct domain *domain);
void judge(struct domain *domain, struct prefix *prefix);
void give_places(struct domain *domain, const struct prefix *except);
void uninstall(struct domain *domain, struct prefix *prefix); // the prefix may be freed
void routes_learned(void *ctx, uint32_t domain, const struct bridge_route *route, bool present);

// limit.c
unsigned int limit_of(const struct domain *domain, unsigned int family); // 0 = none
void limit_judge(struct domain *domain, struct prefix *prefix, bool acceptable);
void limit_leave(struct domain *domain, struct prefix *prefix);
struct prefix *limit_next(struct domain *domain); // NULL = no more
void limit_keep(struct domain *domain, const struct wire_route *route);
void limit_settle(struct domain *domain); // all routes have been judged
void limit_free(struct domain *domain);

// domain.c
struct domain *domain_find(const struct domains *domains, uint32_t id);
struct domain *domain_get(
	struct domains *domains, uint32_t id); // made, not configured, when it is not there
void domain_set(struct domains *domains, const struct intent_domain *wanted,
	const struct fragment *fragment);
void domain_unset(struct domains *domains, uint32_t id);
void domain_synced(void *ctx, uint32_t id); // the kernel has told all
void domain_lost(void *ctx, uint32_t id);   // somebody took its kernel half
void domain_ended(struct domain *domain);   // nothing of it is left
void domain_known(struct domain *domain);   // whether its VRF may be swept
bool known_step(struct domains *domains, struct job *job);
enum source domain_source(const struct domain *domain);
void domain_put(struct domain *domain); // freed if nobody has a use for it

// join.c
void joins_create(struct domains *domains);
void joins_destroy(struct domains *domains);
bool join_counts(const struct domains *domains, uint64_t uid); // a join that is declared has this account
struct end *join_find(const struct domains *domains, uint32_t a, uint32_t b, const char *object);
// The connection has another name.
void join_rename(struct domains *domains, const struct intent_join *was, const struct intent_join *now);
// ab: what b gets of a; ba: what a gets of b; NULL = everything. Borrowed.
struct end *join_set(struct domains *domains, uint32_t a, uint32_t b, uint16_t weight,
	const struct policy *ab, const struct policy *ba, const char *object,
	const uint64_t account[2]);
void join_unset(struct domains *domains, uint32_t a, uint32_t b, const char *object);

// interface.c
void interface_set(struct domains *domains, const struct intent_interface *wanted,
	const struct intent_interface *was, const struct fragment *fragment);
void interfaces_try(
	struct domain *domain); // again: its import policy is another, or its kernel half
void interfaces_name(struct domain *domain); // its sessions, or what their rules name, have other names
void interface_unset(struct domains *domains, const struct intent_interface *was);
void interfaces_lost(struct domain *domain); // the bridge has none of its interfaces any more
// The data plane has it there.
void interface_placed(struct domains *domains, const struct wire_interface *record);
void interface_carrier(struct domains *domains, struct realised *realised);
void interface_path(struct domains *domains, const struct realised *realised);
bool retry_step(struct domains *domains, struct job *job);
bool interfaces_all_made(const struct domains *domains);

// underlay.c
void tunnel_set(struct domains *domains, const struct intent_interface *wanted,
	const struct fragment *fragment);
void tunnel_unset(struct domains *domains, uint32_t id);
static inline void underlay_changed(
	struct domains *domains) // core interfaces, static routes, or readiness
{
	work_add(domains, JOB_WAYS, NULL, NULL);
}
bool tunnels_step(struct domains *domains, struct job *job);
// The static route of the underlay that an address takes, NULL = none.
const struct intent_route *underlay_route(
	const struct domains *domains, const struct ip_address *address);

// announce.c
void announce(struct domain *domain);
void announce_joined(struct domain *domain); // its own prefixes, wherever they are announced

// configure.c: the ledger's records of what is configured
void configure_domain(struct domains *domains, const struct intent_domain *wanted);
void configure_interface(struct domains *domains, const struct intent_interface *wanted);
void configure_limiter(struct domains *domains, const struct intent_limiter *wanted);
void unconfigure_domain(struct domains *domains, uint32_t id);
void unconfigure_interface(struct domains *domains, const struct intent_interface *was);
void unconfigure_local(
	struct domains *domains, const struct intent_interface *was, unsigned int family);
void unconfigure_limiter(struct domains *domains, uint32_t id);
struct wire_interface interface_record(const struct intent_interface *wanted);
struct wire_local local_record(const struct intent_interface *wanted, unsigned int family);

// fragment.c: what a changed fragment means
bool fragments_step(struct domains *domains);
// Either may be NULL.
void fragment_apply(
	struct domains *domains, const struct fragment *old, const struct fragment *new);
void limiter_use(struct domains *domains, const struct intent_interface *interface, int by);

// health.c: into the status table
void health_port(struct domains *domains, uint32_t index);
void health_speaker(void *ctx, const char *instance, const char *state, const char *reason,
	const char *hint);
// "acme-01/private/primary", of IPv6 beside IPv4 ".../primary/v6".
void session_name(const struct intent_interface *wanted, unsigned int family,
	char name[OBJECT_NAME_MAX + 16]);
void session_recount(struct domains *domains, struct realised_session *session); // describe.c
void health_session(struct domains *domains, const struct realised_session *session);
// It has another name from now on, or is no more.
void health_session_gone(
	struct domains *domains, const struct intent_interface *was, unsigned int family);
void health_untold(struct domains *domains, const struct untold *untold, bool over);
void health_interface(struct domains *domains, const struct realised *realised);
// Whether the router behind an attachment answers; also once a second while it does not.
void health_neighbor(struct domains *domains, struct realised_session *session);
void health_silence(struct domains *domains, struct realised_session *session);
void health_strays(struct domains *domains); // of all ports, once a second
void health_drift(struct domains *domains);  // likewise
// The same thing under another name.
void health_fragment_renamed(
	struct domains *domains, const struct fragment *old, const struct fragment *new);
void health_interface_gone(struct domains *domains, const struct intent_interface *was);
void health_tunnel(struct domains *domains, const struct tunnel *tunnel);
void health_tunnel_gone(struct domains *domains, const struct intent_interface *was);
void health_domain_gone(struct domain *domain);
void health_later(
	struct domain *domain); // told with the next slice of work, however often it changes before
void health_step(struct domains *domains);
// Of an object that cannot be realised; those of an object all have its name.
void health_problems(
	struct domains *domains, const struct fragment *old, const struct fragment *new);

// rename.c
void renames_collect(void *ctx, const struct object *old, const struct object *new); // ctx: struct renames
void renames_apply(struct domains *domains, const struct renames *renames); // before their fragments
void renames_applied(struct domains *domains);                              // after the last of them
void renames_free(struct renames *renames);

// parting.c: what takes a session away waits until its customer has been told
int partings_create(struct domains *domains);
void partings_free(struct domains *domains);
// True: the change is carried out later.
bool parting_holds(
	struct domains *domains, const struct fragment *old, const struct fragment *new);
void parting_heard(struct domains *domains, const struct realised_session *session);
void partings_rename(struct domains *domains, const struct renames *renames);
// Whether the route goes only with the change.
bool parting_keeps(const struct domain *domain, const struct learned *learned);
// Whoever has a place of this one, and has been told, gives it up now.
void parting_yields(struct domains *domains, const struct intent_interface *wanted);
void place_take(struct domains *domains, const struct intent_interface *wanted);
void place_leave(struct domains *domains, const struct intent_interface *was);
bool partings_step(struct domains *domains);

// untold.c
void untold_create(struct domains *domains);
void untold_free(struct domains *domains);
// The session ends, and its far end could not be told; `revision` took it.
void untold_add(
	struct domains *domains, const struct realised_session *session, uint64_t revision);
void untold_over(struct domains *domains, uint32_t session); // if there is one
void untold_rename(struct domains *domains, const struct renames *renames);
void untold_tick(struct domains *domains);                     // once a second

// hold.c
bool sweep_step(struct sync *sync);

// edge.c
// Into the sums, or with -1u out of them.
void count_session(
	struct domains *domains, const struct realised_session *session, unsigned int change);
bool fill_step(struct domains *domains, struct job *job);
void domains_go(struct domains *domains);
void domains_applied(struct domains *domains); // all fragments are as published

#endif
