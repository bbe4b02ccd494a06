/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BRIDGE_H
#define BRIDGE_H

// The routing bridge: everything culvertd does to this host's kernel. It turns a declared set of routing domains,
// host interfaces, neighbors and static routes into kernel objects, and reports what the kernel says. It decides
// nothing about precedence, knows no circuit and no BGP daemon; those are others'.
//
// All functions and callbacks run on the route thread. Functions only record what is wanted and do what can
// be done at once; what has to wait is done from the event loop and seen in a callback.
// Ids are those of the store's id table, the same numbers as on the wire. Setting twice is harmless: objects
// left by an earlier culvertd are adopted, ours that nobody declared again are removed by bridge_sweep().

#include <stdbool.h>
#include <stdint.h>

#include "control/api/error.h"
#include "control/base/ip.h"

struct event_base;

enum bridge_mode { BRIDGE_NETNS, BRIDGE_TABLE, BRIDGE_VRF };

#define BRIDGE_UNDERLAY 1u // id of the underlay domain, VRF 1 of the data plane

struct bridge_route {
	struct ip_prefix prefix;
	uint8_t protocol; // RTPROT_*
	uint32_t metric;
	bool blackhole;     // blackhole, unreachable or prohibit
	unsigned int count; // next hops, 0 when blackhole
	struct bridge_nexthop {
		struct ip_address via;
		uint32_t interface; // id of the host interface, 0 = one we did not make
		uint16_t weight;    // 1..256
	} nexthop[16];
};

// A callback may call any function of the bridge but those that delete a domain or an interface.
struct bridge_callbacks {
	void *ctx;
	// A kernel route of a routing protocol came (present) or went. Only changes are reported; a link that
	// goes down is reported as its routes going, although the kernel does not say so.
	void (*route)(void *ctx, uint32_t domain, const struct bridge_route *route, bool present);
	// The domain's first dump, or a resync after an overrun, is complete: what was not reported since
	// bridge_domain_set() made the domain, or was reported as gone, is absent.
	void (*synced)(void *ctx, uint32_t domain);
	// A managed neighbor became usable (mac given) or unusable (mac NULL).
	void (*neighbor)(void *ctx, uint32_t interface, const struct ip_address *address,
		const uint8_t *mac);
	// Somebody gave the name of its namespace to another: what was declared of the domain lies where nobody finds it. It is to
	// be deleted and declared again, from the event loop. May be NULL.
	void (*lost)(void *ctx, uint32_t domain);
	// Somebody took routes of the routing daemon out of the kernel: it is to put in again what it has. May be NULL.
	void (*taken)(void *ctx, uint32_t domain);
	// A host interface that somebody deleted was made again: whoever had a queue of it needs a new one. May be NULL.
	void (*interface_made)(void *ctx, uint32_t interface);
};

struct bridge_options {
	struct event_base *base;
	enum bridge_mode mode;
	const char *
		prefix; // of every name made in the kernel, e.g. "culvert" -> netns "culvert-acme..."
	const char *run_dir;     // whose the namespaces are: RUN/marks/NETNS
	uint32_t local_protocol; // RTPROT of the routes and rules that are ours
	struct bridge_callbacks callbacks;
	// Which interface a device of an earlier life is, by its name; 0 = none. May be NULL. With it the routes over a device
	// are known by their interface before that has been declared again.
	uint32_t (*device_id)(const char *name);
	uint32_t check_interval; // s between drift checks, 0 = 60
	uint32_t receive_buffer; // bytes for netlink events per namespace, 0 = 64 MiB
};

struct bridge;
int bridge_create(
	struct bridge **bridge, const struct bridge_options *options, struct api_error *error);
// Leaves kernel objects as they are: traffic and sessions outlive us.
void bridge_destroy(struct bridge *bridge);

// Routing domains. In mode netns a namespace each; in mode table one for all, and a kernel table each.
struct bridge_domain {
	uint32_t id;
	const char *name; // unique, [a-z0-9-], used in names of namespaces and files
};
int bridge_domain_set(
	struct bridge *bridge, const struct bridge_domain *domain, struct api_error *error);
void bridge_domain_delete(struct bridge *bridge, uint32_t id);
// Where a domain lives in the kernel; valid until the domain goes. -ENOENT.
struct bridge_place {
	const char *netns; // its name in /run/netns
	int netns_fd;
	bool shared;           // by all domains but the underlay
	uint32_t kernel_table; // of its learned routes
};
int bridge_domain_place(const struct bridge *bridge, uint32_t id, struct bridge_place *place);

// Host interfaces: TAP for Ethernet interfaces, TUN for GRE. Multi-queue; the bridge keeps a detached queue.
struct bridge_interface {
	uint32_t id;
	uint32_t domain;
	const char *name; // at most 15 bytes
	bool tun;
	uint8_t mac[6]; // TAP
	uint16_t mtu;
	unsigned int addresses; // 0..4
	struct bridge_interface_address {
		struct ip_address address;
		uint8_t len;
	} address[4];
};
int bridge_interface_set(
	struct bridge *bridge, const struct bridge_interface *interface, struct api_error *error);
void bridge_interface_delete(struct bridge *bridge, uint32_t id);
// A new attached queue for the data plane; the caller owns and closes *fd once it has been sent.
int bridge_interface_queue(struct bridge *bridge, uint32_t id, int *fd, struct api_error *error);
// Something is wrong with its device, says the data plane: it is compared with what was declared, and made again if it is gone.
void bridge_interface_doubt(struct bridge *bridge, uint32_t id);
// Carrier follows the port, within a few turns of the loop. Down invalidates the routes over it.
void bridge_interface_carrier(struct bridge *bridge, uint32_t id, bool up);

// Frames go and come by its port now: our addresses are announced there. moved: it is another place than before (port or
// tags), where none of its neighbors need be the one that it was; they are forgotten and resolved anew.
void bridge_interface_carried(struct bridge *bridge, uint32_t id, bool moved);

// Managed neighbors (NTF_EXT_MANAGED): the kernel keeps resolving them.
int bridge_neighbor_set(
	struct bridge *bridge, uint32_t interface, const struct ip_address *address);
void bridge_neighbor_delete(
	struct bridge *bridge, uint32_t interface, const struct ip_address *address);
// Ask the kernel to resolve now (the data plane dropped a packet for want of it).
void bridge_neighbor_probe(
	struct bridge *bridge, uint32_t interface, const struct ip_address *address);

// A pair of devices between the namespaces of two domains, for what their routing daemons tell each other. Nothing else has
// a way there: fe80::1 at the end of `a` and fe80::2 at that of `b` are the only addresses, and the kernel forwards nowhere.
// It goes with either domain. Set again, it is the same.
struct bridge_patch {
	char a[16], b[16]; // filled: the devices' names, in a's namespace and in b's
};
int bridge_patch_set(struct bridge *bridge, uint32_t a, uint32_t b, struct bridge_patch *names,
	struct api_error *error);
void bridge_patch_delete(struct bridge *bridge, uint32_t a, uint32_t b);

// Static kernel routes of the underlay, so that the host stack can answer over it. Replaces the whole set.
struct bridge_static {
	struct ip_prefix prefix;
	struct ip_address via;
};
int bridge_static_set(struct bridge *bridge, uint32_t domain, const struct bridge_static *routes,
	unsigned int count);

// Whose the kernel's objects are: each namespace of ours has a file in RUN/marks with the store, the edge and its
// number. Told before the first domain is set; else the owner has no name.
void bridge_owner_set(struct bridge *bridge, const uint8_t store[16], const char *edge);

// What lies in this host by the marks in our run directory, with our prefix.
struct bridge_claims {
	unsigned int ours, foreign;       // namespaces: of this store and edge, of another
	unsigned int domains, interfaces; // in the foreign ones
	char store[40], edge[64];         // of the first foreign one
};
void bridge_claims(struct bridge *bridge, struct bridge_claims *claims);
// Makes all that is marked ours. Without it nothing of a foreign mark is used or removed: bridge_domain_set() fails.
void bridge_adopt(struct bridge *bridge);

// Removes what is ours (marked namespaces; in those, tun devices, patches, managed neighbors and what has our protocol number)
// and has not been declared since bridge_create. Refused, with nothing touched:
// -ESTALE when there are foreign marks; -EPERM when more than 10 % and more than 16 of the host interfaces or of
// the domains would go at once, those apart that `deleted` knows. 1 = a piece of it is done: to be called again, with the same
// words, until it is another answer.
struct bridge_sweep {
	bool force; // never mind how many
	// Whether the caller's history names the deletion: of a domain, or of a host interface (domain 0). May be NULL.
	bool (*deleted)(void *ctx, uint32_t domain, const char *interface);
	void *ctx;
	unsigned int domains, interfaces; // filled: what goes, or would have
};
int bridge_sweep(struct bridge *bridge, struct bridge_sweep *sweep, struct api_error *error);

// What would go if all that is marked were adopted, then everything wanted declared, then swept by force. It asks the
// marks and the kernel, whosever they are, and the caller what is wanted: before the adoption nothing is declared.
struct bridge_preview {
	// A domain by its host name (interface NULL), or a host interface in it; domain NULL: in any but the underlay.
	bool (*wanted)(void *ctx, const char *domain, const char *interface);
	void *ctx;
	unsigned int customers; // wanted domains but the underlay
	unsigned int domains_there, interfaces_there;
	unsigned int domains, interfaces; // that would go
};
void bridge_preview(struct bridge *bridge, struct bridge_preview *preview);

struct bridge_counters {
	uint64_t route_messages, overruns, resyncs, dumps;
	// Differences found and mended: of a periodic dump against the mirror, and of what we put into the kernel against
	// what is there. Stays 0 unless somebody else works in our namespaces.
	uint64_t drift;
	char drift_last[128]; // the last of them, "" = none
};
void bridge_counters(const struct bridge *bridge, struct bridge_counters *counters);

#endif
