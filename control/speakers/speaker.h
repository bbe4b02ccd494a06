/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SPEAKER_H
#define SPEAKER_H

// Speakers: who talks to the customers' routers on behalf of a routing domain. Declared sessions, policies and own
// announcements go in; session states and, when asked for, routes with their attributes come out. What a session
// learned comes by the kernel's table (bridge/), except from a speaker without a daemon, which reports it here.
//
// Behind this header stand struct speaker_ops (state.h): BIRD (speakers/bird/), and routes from the model where no BGP
// is spoken (speakers/static/). A speaker serves one instance: one routing domain, or all that share a namespace.
//
// All functions and callbacks run on the route thread. Functions only record what is wanted; what comes of it is seen
// in the session callback. Setting twice is harmless. Ids are those of the store's id table.

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "control/api/error.h"
#include "control/policy/policy.h"

struct event_base;
struct speakers;

#define SPEAKER_RESET_BYTES  192
#define SPEAKER_DETAIL_BYTES 320
#define SPEAKER_REMARK_BYTES 112
#define SPEAKER_REMARKS      16 // of a session, the latest

// What keeps a session down, as far as it can be told and something is to be done about it here.
enum speaker_fault {
	SPEAKER_NO_FAULT,
	SPEAKER_PASSWORD, // the two sides' differ
	SPEAKER_TTL,        // packets come from too far away for TTL security
	SPEAKER_TTL_THERE,  // what we send seems to come from too far away for his
	SPEAKER_UNANSWERED, // he takes nothing that we send, for whatever reason
	SPEAKER_LIMIT,      // it was shut for too many prefixes
};

struct speaker_state {
	char state
		[16]; // "established", "connect", "active", "idle", "down", ..; "static" without BGP
	// Why it is not up: how it ended, in the far end's own words where he gave some, and what the speaker has met with since; or
	// why it refuses the session; or "".
	char detail[SPEAKER_DETAIL_BYTES];
	enum speaker_fault fault;
	uint64_t detail_since; // CLOCK_REALTIME seconds of when it was first seen, 0 = there is none
	uint64_t since;  // CLOCK_REALTIME seconds of the last change
	uint64_t moment; // CLOCK_MONOTONIC ms of the same: another one is another session
	uint32_t imported, filtered, exported;
	uint64_t kept_until; // it is down, and its routes stay until then at the latest (graceful restart); 0 = none do
	// Why a session ended the last time, in the far end's own words where it gave some (RFC 9003); 0 = it has not, as far as
	// is known. CLOCK_REALTIME seconds.
	char reset[SPEAKER_RESET_BYTES];
	uint64_t reset_at;
	bool reset_guessed; // the speaker's last error, taken for it
	// Of this session, 0 = not known.
	uint16_t hold, keepalive; // in use, s
	struct {
		uint32_t updates, withdraws; // routes
	} in, out;
	uint32_t invalid; // of in.updates: thrown away before any policy
};

// Something of a far end's announcements was thrown away before any policy saw it.
struct speaker_remark {
	struct ip_prefix prefix; // family 0 = not a route's, or it does not say
	char text[SPEAKER_REMARK_BYTES];
	uint64_t last; // CLOCK_REALTIME seconds
	unsigned int count;
};

// Routes cross such a session.
static inline bool speaker_state_up(const char *state)
{
	return strcmp(state, "established") == 0 || strcmp(state, "static") == 0;
}

// There is somebody at the far end who knows of it, and has not been told of its end.
static inline bool speaker_state_open(const char *state)
{
	return strcmp(state, "established") == 0 || strcmp(state, "close") == 0;
}

// A callback may call any function of this header but those that delete a domain or a session, or end it all.
struct speaker_callbacks {
	void *ctx;
	// State of a session changed.
	void (*session)(void *ctx, uint32_t session, const struct speaker_state *state);
	// A daemon does not answer ("silent"), is killed for that and started anew ("replaced"), or does not come ("down"), with a
	// sentence, what comes next in it, and the next command; state "": it is well. May be NULL.
	void (*daemon)(void *ctx, const char *instance, const char *state, const char *reason,
		const char *hint);
	// A speaker without a daemon has a route, or has it no more. No policy has judged it. May be NULL.
	void (*route)(void *ctx, uint32_t domain, const struct policy_route *route, bool present);
};

struct speakers_options {
	struct event_base *base;
	const char *run_dir; // configuration, control sockets, pid files: RUN/bird/INSTANCE/
	const char *
		launcher; // LAUNCHER start|replace|stop DIR NETNS; NULL or "" = daemons are not started
	struct speaker_callbacks callbacks;
};

int speakers_create(struct speakers **speakers, const struct speakers_options *options,
	struct api_error *error);
// Daemons go on: sessions outlive us. Questions under way are answered with an error first, and no new one is taken.
void speakers_destroy(struct speakers *speakers); // NULL is fine

// --- what is served

enum speaker_kind { SPEAKER_BIRD, SPEAKER_STATIC };

struct speaker_domain {
	uint32_t id;
	enum speaker_kind kind;
	const char *name;      // shown in comments
	const char *instance;  // [a-z0-9-]; domains that name the same one share a speaker
	bool shared;           // this instance is for many domains
	const char *netns;     // where its daemon runs: name in /run/netns
	int netns_fd;          // the namespace that is; duplicated. -1 = not known
	uint32_t kernel_table; // the daemon's learned routes go there
};
// A changed instance, kind or table makes it anew. A new namespace under the same name replaces the daemon.
int speakers_domain_set(
	struct speakers *speakers, const struct speaker_domain *domain, struct api_error *error);
// Its sessions, announcements and joins go with it; with an instance's last domain its daemon and its files.
void speakers_domain_delete(struct speakers *speakers, uint32_t id);

// A session. Its import policy judges what the far end announces, its export policy what is told to it; both see
// routes of their own family only. A route that they change is seen changed by the far end or the domain's table.
struct speaker_session {
	uint32_t id, domain;
	const char *name;
	bool enabled;
	struct ip_address local, remote;
	uint32_t local_asn, remote_asn;
	const char *password;         // NULL = none; printable ASCII without quote and backslash
	uint16_t hold, keepalive;     // s, 0 = default
	uint16_t connect, error_wait; // s, 0 = default
	bool ttl_security;            // RFC 5082: only what comes with TTL 255 is taken
	uint32_t memory_limit;        // prefixes at which the speaker itself gives up
	const struct policy *import, *export; // copied; NULL = everything
	const struct ip_prefix *route;        // of a speaker without BGP: what lies behind `remote`
	unsigned int routes;
};
int speakers_session_set(
	struct speakers *speakers, const struct speaker_session *session, struct api_error *error);
void speakers_session_delete(struct speakers *speakers, uint32_t id);
// The far end is told at once that the session ends, with these words where the speaker can (Cease, administrative shutdown;
// RFC 4486, RFC 9003), and it stays disabled until it is set again. That this is out is seen in the session callback: the
// state is neither "established" nor "close". What it announced goes as with any session that ends.
void speakers_session_end(struct speakers *speakers, uint32_t id, const char *why);

// What a domain announces, in groups that come and go as a whole (a vNet and its tunnel): a group is announced or
// withdrawn within milliseconds, without a change of the daemon's configuration. Origin POLICY_OWN, preferred to
// anything learned. Replaces all groups of the domain.
struct speaker_announcement {
	struct ip_prefix prefix;
	const uint32_t *community;
	unsigned int communities;
	const struct policy_large *large;
	unsigned int larges;
};
struct speaker_group {
	uint32_t id;
	enum {
		SPEAKER_WITHDRAWN,
		SPEAKER_ANNOUNCED,
		SPEAKER_AS_BEFORE, // it is not known yet: as an earlier culvertd, or this one, left it
	} state;
	const struct speaker_announcement *list; // copied
	unsigned int count;
};
int speakers_announce(struct speakers *speakers, uint32_t domain,
	const struct speaker_group *groups,
	unsigned int count); // 0 or -ENOENT

// A join that keeps BGP attributes: what was learned in one domain is told to the sessions of the other (origin
// POLICY_JOINED there, and never told further), if the policy of that direction lets it; NULL lets nothing. Two instances
// tell each other in an iBGP session over a pair of devices (NULL where the domains are of one): `device` of a's namespace,
// with fe80::1, and of b's, with fe80::2. API_REFUSED where a speaker is no daemon.
struct speaker_patch {
	const char *device[2]; // copied
};
int speakers_join(struct speakers *speakers, uint32_t a, uint32_t b, const struct policy *a_to_b,
	const struct policy *b_to_a, const struct speaker_patch *patch, struct api_error *error);
void speakers_part(struct speakers *speakers, uint32_t a, uint32_t b);

// --- questions

// One route of the answer. Arrays and pointers live until the function returns. `rule` is that of the session's import
// policy that refuses it (SPEAKER_FILTERED; NULL: the speaker refused it for a reason of its own).
typedef void (*speaker_row)(
	void *ctx, const struct policy_route *route, const struct policy_rule *rule);
// The end of the answer; error NULL = it is complete. Called once, from the event loop.
typedef void (*speaker_done)(void *ctx, const struct api_error *error);

enum speaker_question { SPEAKER_FILTERED, SPEAKER_ADVERTISED, SPEAKER_RECEIVED };

// 0, or done is not called: -ENOENT (no such session), -ENOTCONN (its speaker does not answer), -ENOMEM.
int speakers_ask(struct speakers *speakers, uint32_t session, enum speaker_question question,
	speaker_row row, speaker_done done, void *ctx);
// The latest remarks about a session, since it came up if it is up, oldest first. Borrowed until the next turn; NULL = there are none.
const struct speaker_remark *speakers_remarks(
	struct speakers *speakers, uint32_t session, unsigned int *count);
// Somebody took routes of this domain out of the kernel: the daemon puts in what it has. Nothing where there is none.
void speakers_restore(struct speakers *speakers, uint32_t domain);
// Close the session and let it come up again; soft = route refresh only. Answers as speakers_ask.
int speakers_clear(
	struct speakers *speakers, uint32_t session, bool soft, speaker_done done, void *ctx);

// --- what an earlier life left behind

// Stops daemons and removes files of instances, domains and sessions that have not been declared since speakers_create.
// Until then they stay in use: a restarted culvertd that has declared half of them must not take down the other half.
void speakers_sweep(struct speakers *speakers);

struct speaker_counters {
	unsigned int pending; // speakers that have not yet taken over all that is declared
	uint64_t quarantined; // sessions whose configuration the speaker refused
	uint64_t launches;    // daemons started
	uint64_t rendered;    // texts of sessions and domains
	uint64_t replaced;    // daemons that hung, or were in another namespace than their domain's
};
void speakers_counters(const struct speakers *speakers, struct speaker_counters *counters);

#endif
