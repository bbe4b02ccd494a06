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
void domain_free(struct domain *domain);
void interface_free(struct host_interface *interface);
void interface_delete(struct host_interface *interface); // from the kernel too
int interface_restore(
	struct host_interface *interface, struct api_error *error); // makes a device that went

#endif
