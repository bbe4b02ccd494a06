/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BRIDGE_NETNS_H
#define BRIDGE_NETNS_H

// Network namespaces with a name in /run/netns, as `ip netns` makes and sees them.

#include <stdbool.h>
#include <stdint.h>

#define NETNS_DIR "/run/netns"

// Opens the namespace of that name, making it when it does not exist. *made tells which. The descriptor keeps
// it alive and is what netns_enter wants. 0 or -errno.
int netns_open(const char *name, int *fd, bool *made);
// Device and inode of the namespace that has the name: its number. 0 or -errno.
int netns_number(const char *name, uint64_t *device, uint64_t *inode);
// Unmounts and removes the name; the namespace goes with its last user.
int netns_remove(const char *name);
// Moves the calling thread into the namespace; *back is given to netns_leave, which moves it home again.
int netns_enter(int fd, int *back);
void netns_leave(int back);
// Writes /proc/sys/net/<path> of the calling thread's namespace. 0 or -errno.
int netns_sysctl(const char *path, const char *value);
// The same when it is not so already. 1 = it was written, 0 = nothing to do, also where there is no such setting.
int netns_keep(const char *path, const char *value);
// What a host domain needs: lo up is the caller's; here forwarding off, ARP strict, IPv6 quiet. Returns how many
// settings were not so, *what (may be NULL) the path of one.
unsigned int netns_harden(bool shared, const char **what);

// Whether the name still leads to the namespace that fd is.
enum netns_name { NETNS_THERE, NETNS_GONE, NETNS_OTHER };
enum netns_name netns_check(const char *name, int fd);
int netns_bind(const char *name, int fd); // gives it the name, which nobody has

#endif
