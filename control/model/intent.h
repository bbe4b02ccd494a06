/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_INTENT_H
#define MODEL_INTENT_H

// What the model means for one edge, as plain structs that know neither wire nor kernel: the
// agreement between the nouns, which fill them (struct noun, realise), and domain/ and sync/, which
// carry them out.
//
// The meaning of each object stands in a fragment of its own: a peering's is its routing domain and
// its attachments, a link's its two limiters, a connection's a join. A fragment names what lies in
// others by id only (the VRF of a join's ends, the limiters of an attachment), and the other may
// come later, or never. Realise functions look at other objects through the functions below alone;
// each look is recorded, so that whoever keeps the fragments (control/publication.h) knows exactly
// which of them a change of which object touches, and nobody keeps a list of that by hand.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/base/ip.h"
#include "control/model/ids.h"
#include "control/model/model.h"
#include "control/policy/policy.h"

#define INTENT_UNDERLAY_ID 1u // id of the underlay's domain, VRF 1 of the data plane

// Strings below are "" when there is none, never NULL, and live as long as the fragment.

enum intent_domain_kind { INTENT_UNDERLAY, INTENT_PEERING, INTENT_VNET };

struct intent_route { // static: of the underlay, or of a hand-off without BGP
	struct ip_prefix prefix;
	struct ip_address via;
};

struct intent_domain { // a routing domain
	uint32_t id;   // VRF
	enum intent_domain_kind kind;
	const char *name;      // "peering/acme-ams-01/private", "vnet/acme-prod", "underlay"
	const char *host_name; // for the kernel: [a-z0-9-], at most 39 bytes, unique
	const char *object;    // name of the peering or vnet
	const char *circuit;   // of a peering
	const char *customer;
	LIST_OF(struct ip_prefix) prefixes; // its own, announced to whoever it is joined to
	LIST_OF(struct intent_route) routes;
	struct policy import; // of what is learned in it
};

enum intent_interface_kind { INTENT_CORE, INTENT_ATTACHMENT, INTENT_TUNNEL };

struct intent_session { // BGP, of each address family over an attachment
	bool enabled, ttl_security;
	uint32_t local_asn, remote_asn;
	const char *password;                          // NULL = none
	uint16_t hold, keepalive, connect, error_wait; // s
};

struct intent_address {
	struct ip_address local, remote; // on it; remote: of an attachment, the customer's
	uint8_t len;                     // of the subnet of local
	uint32_t session;                // of an attachment: id of its BGP session
};

// The ids of an attachment's sessions: its own, and of one beside another family's.
#define INTENT_SESSION_SECOND 2000000000u
static inline uint32_t session_interface(uint32_t session)
{
	return session % INTENT_SESSION_SECOND;
}

struct intent_tunnel {                   // GRE with a key
	struct ip_address local, remote; // outer
	uint32_t key;
	uint8_t ttl;
	bool internet; // of class internet: nothing that comes in by an attachment leaves by it
};

struct intent_interface {
	uint32_t id;
	uint64_t uid; // of its counters
	enum intent_interface_kind kind;
	const char *name;   // "acme-ams-01/private", "vnet/acme-prod", "core0"
	const char *object; // peering "C/T", vnet, or port "E/P"
	const char *link;   // of an attachment: "acme-ams-01/primary"
	uint32_t domain;    // id
	uint32_t owner;     // whose packets come in by it: class of the source check; 0 = nobody's
	bool up;            // as configured
	bool source_check;
	uint32_t limiter_in, limiter_out; // ids, 0 = none
	uint16_t mtu;                     // largest IP packet, bytes
	// core, attachment
	uint32_t port; // index in the node file
	uint8_t vlans; // tags, outermost first
	uint16_t vlan[2];
	struct intent_address address[2]; // of IPv4, of IPv6; local.family 0 = none
	struct intent_session session;    // attachment
	struct intent_tunnel tunnel;      // tunnel
};

#define SESSION_BESIDE "/v6" // behind the name of a session of IPv6 beside one of IPv4

static inline bool intent_is_dual(const struct intent_interface *interface)
{
	return interface->address[0].local.family != 0 && interface->address[1].local.family != 0;
}

struct intent_limiter { // one direction of a link
	uint32_t id;
	uint64_t uid;
	const char *name;     // "acme-ams-01/primary/in"
	uint64_t rate;        // bit/s
	uint64_t burst;       // bytes
	uint64_t ef_rate;     // bit/s of DSCP 46 that goes first, 0 = no such class
	uint32_t packet_rate; // packets/s, 0 = no cap
	uint64_t queue;       // ns a packet may be queued, 0 = policed
	int16_t overhead;     // bytes added to each packet's length
	bool count_frames;    // layer 2: the frame counts, else the IP packet
};

struct intent_join {        // two domains reach each other
	uint32_t domain[2]; // ids: of a connection the peering's, the vNet's
	uint16_t weight;    // 1..256, share of the traffic where several lead the same way
	// counter uids: towards domain[1] ("in", to the cloud), towards domain[0]
	uint64_t account[2];
	struct policy policy[2]; // what domain[1] gets of domain[0], and the other way
	const char *object;      // name of the connection
};

struct intent_problem {      // what cannot be realised as it stands
	const char *object;  // "acme-ams-01/primary"
	const char *message; // a sentence that names the object, no full stop
	const char *hint;    // or ""
};

// --- fragments -----------------------------------------------------------------------------------------

struct fragment_key { // the object whose meaning it is
	enum noun_id noun;
	const char *name; // as long as the fragment
};

// Immutable once it is built, from any thread.
struct fragment {
	unsigned int references; // atomic
	struct fragment_key key;
	LIST_OF(struct intent_domain) domains;
	LIST_OF(struct intent_interface) interfaces;
	LIST_OF(struct intent_limiter) limiters;
	LIST_OF(struct intent_join) joins;
	LIST_OF(struct intent_problem) problems;
	struct fragment_memory *memory; // strings and lists, and the objects that it borrows from
};
const struct fragment *fragment_ref(const struct fragment *fragment);
void fragment_unref(const struct fragment *fragment); // NULL is fine
// Nothing in it: the object means nothing here.
bool fragment_empty(const struct fragment *fragment);
// By content; the revision of the objects it was made from does not count.
bool fragment_equal(const struct fragment *a, const struct fragment *b);
size_t fragment_bytes(const struct fragment *fragment); // memory it takes, what it borrows apart

// --- realising -----------------------------------------------------------------------------------------

// What a realise function may know of this machine. Never changes while the process lives.
struct node_view {
	const char *edge; // ours
	unsigned int ports;
	const char *const *port; // names; the index is the port's number
};

// What was looked at, and may change what came of it.
enum input_kind {
	INPUT_OBJECT,   // the object of this name, or that there is none
	INPUT_CHILDREN, // all of the noun whose names begin "name/"
	INPUT_ALL,      // all of the noun; name is ""
};
struct realise_hooks {
	void (*input)(void *ctx, enum input_kind kind, enum noun_id noun,
		const char *name); // may be NULL
	// The set that is kept for an equal one; takes the reference over and returns one. May be
	// NULL: nothing is shared.
	struct policy_set *(*intern)(void *ctx, struct policy_set *set);
	void *ctx;
};

// The fragment of one object; one reference. Running out of memory ends the process.
const struct fragment *fragment_build(const struct model *model, const struct ids *ids,
	const struct node_view *node, const struct object *object,
	const struct realise_hooks *hooks);

// For realise functions. Looking:
const struct object *realise_find(struct realise *realise, enum noun_id noun, const char *name);
#define REALISE_CHILDREN(realise, noun, parent, child)                                      \
	for (unsigned int child##_index = realise_first_child(realise, noun, parent);       \
		((child) = realise_child_at(realise, noun, parent, child##_index)) != NULL; \
		child##_index++)
unsigned int realise_first_child(struct realise *realise, enum noun_id noun, const char *parent);
const struct object *realise_child_at(
	const struct realise *realise, enum noun_id noun, const char *parent, unsigned int index);
unsigned int realise_count(struct realise *realise, enum noun_id noun); // how many there are
const struct object *realise_at(
	const struct realise *realise, enum noun_id noun, unsigned int index);
struct id realise_id(const struct realise *realise, enum id_class class, const char *format, ...)
	__attribute__((format(printf, 3, 4)));           // zero when there is none
const char *realise_edge(const struct realise *realise); // this edge
int realise_port_index(const struct realise *realise,
	const char *name); // number of the port, -1 = not in the node file

// Saying what it means. The new element is zeroed, its strings are "".
struct intent_domain *realise_domain(
	struct realise *realise, enum intent_domain_kind kind, const char *object);
struct intent_interface *realise_interface(
	struct realise *realise, enum intent_interface_kind kind, struct id id);
struct intent_limiter *realise_limiter(struct realise *realise);
struct intent_join *realise_join(struct realise *realise);
void realise_problem(struct realise *realise, const char *object, const char *hint,
	const char *format, ...) __attribute__((format(printf, 4, 5)));
// As realise_port_index(); -1 is a problem of the object. The same words for all that hang on the port: it is one cause.
int realise_port(struct realise *realise, const char *object, const char *name);
const char *realise_text(struct realise *realise, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
// Adds a set to a policy of the fragment, shared with whoever has an equal one. Takes the reference
// over.
void realise_policy(struct realise *realise, struct policy *policy, struct policy_set *set);

#endif
