/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef NODE_H
#define NODE_H

// The node file: what belongs to this machine and not to the model. Read once at start, by culvertd only;
// culvertd --dataplane-args prints culvert-dataplane's command line from it.
//
//	edge: ams1
//	host-domain: netns
//	ports:
//	  wan0: {device: eth1}
//	  core0: {device: "0000:3b:00.1", tpid: 88a8}
//	dataplane: {workers: 2, memory: 512MiB, hugepages: false, eal: ["--no-telemetry"]}
//	roles:
//	  - {user: root, role: admin}

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "control/api/error.h"
#include "control/model/model.h"

// How a kernel device is opened; AUTO: as its driver does best.
enum node_mode { NODE_MODE_AUTO, NODE_MODE_PACKET, NODE_MODE_XDP, NODE_MODE_XDP_WHOLE };
enum node_tpid { NODE_TPID_8100, NODE_TPID_88A8, NODE_TPID_ANY };

// What a device is, by how it is written.
enum node_device {
	NODE_DEVICE_KERNEL, // "eth1": packet or AF_XDP sockets of our own
	NODE_DEVICE_PCI,    // "0000:3b:00.1", with arguments or without
	NODE_DEVICE_VDEV,   // "net_...", or whatever else has arguments
	NODE_DEVICE_NONE,   // none of these
};

struct node_port {
	const char *name;
	const char *device; // of the kernel by its name, or the EAL's: PCI address, or vdev with its arguments
	const char *netns;  // of a kernel device, as in /run/netns; NULL = where the data plane is started
	uint32_t mode;      // enum node_mode
	uint32_t tpid;      // enum node_tpid: of the outer tag
	uint32_t mtu;       // 0 = the device's
};

struct node_peer { // another edge of the same model
	const char *name;
	const char *socket; // its culvertd's control socket, however it is carried here
};

enum node_role { NODE_VIEWER, NODE_OPERATOR, NODE_ADMIN };

struct node_grant { // exactly one of user, uid, group, gid is given
	const char *user;
	const char *uid; // decimal text, NULL = not given
	const char *group;
	const char *gid;
	uint32_t role; // enum node_role
	const char *provider; // NULL = everything is theirs to see
};

struct node_dataplane {
	const char *program; // "culvert-dataplane" or a path
	const char *socket;  // the wire contract's
	const char *stats;   // stats segment, on hugetlbfs or tmpfs
	uint32_t workers;
	uint64_t memory; // bytes of EAL memory
	bool hugepages;  // false: --no-huge
	bool idle;       // workers sleep when there is nothing to do
	uint32_t buffers, buffer_size, descriptors, interfaces, limiters,
		vrfs;              // 0 = its own default
	uint64_t fib_memory;       // bytes, likewise
	LIST_OF(const char *) eal; // more EAL arguments, as they are
};

struct node {
	const char *edge;
	uint32_t host_domain; // enum host_domain
	bool lab;
	LIST_OF(struct node_port) ports;
	struct node_dataplane dataplane;
	const char *socket;        // control socket
	uint32_t socket_mode;      // permission bits, e.g. 0660
	const char *socket_group;  // or NULL
	const char *store;         // database
	const char *store_key;     // key file, or NULL
	uint32_t keep_revisions;   // of the history
	uint32_t keep_audit;       // changes in the audit, and as many other lines
	const char *run_dir;       // speakers' files
	const char *speaker;       // launcher command, "" = none
	const char *kernel_prefix; // of every name made in the kernel
	LIST_OF(struct node_grant) roles;
	LIST_OF(struct node_peer) peers;
};

// Returns 0, or -errno with *text (a new string for free(), as `culvertd --check` prints it) and *error.
int node_load(const char *path, struct node **node, char **text, struct api_error *error);
void node_free(struct node *node); // NULL is fine
struct model_options node_model_options(const struct node *node);
struct node_view;
// What realise functions may know (control/model/intent.h); borrows from the node, for free().
struct node_view *node_view_create(const struct node *node);
const struct node_port *node_port(const struct node *node, const char *name); // NULL = none
enum node_device node_device(const char *device);
// The kernel puts fragments of different customers together before the data plane sees them: the
// device carries no customer.
bool node_device_merges(const char *device);
// Index of the port in the data plane's command line and wire records; -1 = none.
int node_port_index(const struct node *node, const char *name);

// The whole command line of culvert-dataplane: program, EAL arguments, "--", its own options. NULL at the end;
// free with node_arguments_free().
char **node_dataplane_args(const struct node *node);
void node_arguments_free(char **arguments);
// One line that a shell takes back.
void node_arguments_print(char **arguments, FILE *out);

#endif
