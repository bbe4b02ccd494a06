/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SYNC_DESIRED_H
#define SYNC_DESIRED_H

// What a configuration means for one edge: routing domains, interfaces and limiters of this machine, as wire
// records and as what the bridge has to make. Assembled from the fragments of the model's objects.

#include <stdbool.h>
#include <stdint.h>

#include "control/model/intent.h"
#include "control/model/model.h"
#include "control/model/schema.h"
#include "control/policy/policy.h"
#include "dataplane/wire/types.h"

struct fragment;
struct fragments;
struct node;
struct publication;

#define DOMAIN_NAME_MAX  (OBJECT_NAME_MAX + 16)
#define HOST_NAME_LENGTH 40 // terminator included; stands in paths of unix sockets

enum domain_kind { DOMAIN_UNDERLAY, DOMAIN_PEERING, DOMAIN_VNET };

struct join {            // a connection, seen from one of its ends
	uint32_t domain; // VRF of the other end
	uint16_t weight;
};

struct desired_domain {
	uint32_t id; // VRF
	enum domain_kind kind;
	char name[DOMAIN_NAME_MAX]; // "peering/acme-ams-01/private", "vnet/acme-prod", "underlay"
	char host_name[HOST_NAME_LENGTH]; // for the kernel: [a-z0-9-], unique
	char object[OBJECT_NAME_MAX];     // name of the peering or vnet
	char circuit[NAME_MAX_LENGTH + 1];
	char customer[NAME_MAX_LENGTH + 1];
	struct wire_vrf record;
	LIST_OF(struct join) joins;
	LIST_OF(struct ip_prefix) prefixes; // of a vNet
	struct policy import;               // of a peering: what its sessions let in
	uint32_t tunnel;                    // of a vNet: its interface
	uint32_t attachment[2];             // of a peering: its interfaces
	unsigned int attachments;
};

enum interface_kind { INTERFACE_CORE, INTERFACE_ATTACHMENT, INTERFACE_TUNNEL };

struct desired_interface {
	uint32_t id;
	enum interface_kind kind;
	char name[DOMAIN_NAME_MAX];      // "acme-ams-01/private", "vnet/acme-prod", "core0"
	char object[OBJECT_NAME_MAX];    // peering "C/T", vnet, or port "E/P"
	char link[OBJECT_NAME_MAX];      // of an attachment: "acme-ams-01/primary"
	struct wire_interface record;    // `underlay` is left 0
	struct ip_address local, remote; // on the interface; remote of an attachment only
	uint8_t len;
	// of an attachment: its BGP session. Strings are borrowed from the publication.
	bool enabled;
	uint32_t local_asn, remote_asn;
	const char *password;
	uint16_t hold, keepalive, connect, error_wait;
};

struct desired_limiter {
	struct wire_limiter record;
	char name[OBJECT_NAME_MAX + 8]; // "acme-ams-01/primary/in"
};

struct desired_problem {
	char object[DOMAIN_NAME_MAX];
	char message[256], hint[128];
};

struct desired {
	struct publication *publication;              // a reference
	LIST_OF(struct desired_domain) domains;       // by id
	LIST_OF(struct desired_interface) interfaces; // by id
	LIST_OF(struct desired_limiter) limiters;     // by id
	LIST_OF(struct intent_route) statics;         // of the underlay
	LIST_OF(struct desired_problem) problems;
	LIST_OF(const struct desired_interface *) cores; // those of kind INTERFACE_CORE, few
	LIST_OF(const struct fragment *)
	fragments; // a reference each: strings are borrowed from them
};

// What the fragments say, which are those of the publication. Takes a reference to it. Never fails but for memory, which
// ends the process: what cannot be realised is a problem in the list.
struct desired *desired_assemble(
	const struct fragments *fragments, struct publication *publication, const char *edge);
// The same from nothing.
struct desired *desired_build(struct publication *publication, const struct node *node);
void desired_free(struct desired *desired); // NULL is fine

const struct desired_domain *desired_domain(const struct desired *desired, uint32_t id);
const struct desired_domain *desired_domain_named(const struct desired *desired, const char *name);
const struct desired_interface *desired_interface(const struct desired *desired, uint32_t id);

// The core interface and next hop by which an address of the underlay is reached: a static route's, or the
// address itself on a core port's subnet. Longest prefix first. NULL = none.
const struct desired_interface *desired_underlay(
	const struct desired *desired, const struct ip_address *address, struct ip_address *via);

bool desired_text_equal(const char *a, const char *b); // NULL equals NULL only

struct sync;
// That of the newest publication; made when it is asked for. NULL: there was none.
const struct desired *sync_desired(struct sync *sync);

#endif
