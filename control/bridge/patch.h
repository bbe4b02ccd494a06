/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BRIDGE_PATCH_H
#define BRIDGE_PATCH_H

// Patches between namespaces; see bridge_patch_set().

#include "control/bridge/state.h"

struct kernel_link;

void patches_round(struct bridge *bridge);                // once a second: put right what is not
void patches_delete(const struct host_domain *domain);    // those of a domain that goes, from the kernel too
void patches_free(struct bridge *bridge);                 // leaves them in the kernel
bool patch_named(const struct kernel_link *link);         // one of ours by its name and kind, of today or earlier
bool patch_has(const struct space *space, uint32_t ifindex); // declared

#endif
