/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BRIDGE_SPACE_H
#define BRIDGE_SPACE_H

// Namespaces, domains and host interfaces coming and going.

#include "control/bridge/state.h"

// Finds or opens (makes) the namespace of that name. NULL on failure, *error filled.
struct space *space_open(
	struct bridge *bridge, const char *name, bool shared, struct api_error *error);
const struct space *space_named(const struct bridge *bridge, const char *name); // NULL = not open
void space_close(struct space *space);  // leaves it in the kernel
void space_remove(struct space *space); // takes its name away, and with it everything in it
void domain_free(struct host_domain *domain);
void interface_free(struct host_interface *interface);
// Takes the kernel's own first rule away, which would go before ours. True: it was there.
bool space_local_rule(struct space *space);
void interface_delete(struct host_interface *interface); // from the kernel too
// Settings of a device that are reached by its name only. Returns how many were wrong.
unsigned int interface_keep_settings(const struct host_interface *interface);
// Its IPv6 off and on: the kernel makes anew what it makes itself.
void interface_renew_ipv6(const struct host_interface *interface);
void host_carrier_apply(struct host_interface *interface); // as wanted
int interface_restore(
	struct host_interface *interface, struct api_error *error); // makes a device that went

#endif
