/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BRIDGE_TAP_H
#define BRIDGE_TAP_H

#include <stdbool.h>

// TAP and TUN devices with several queues. All in the calling thread's namespace; 0 or -errno.

// Makes the device, or opens one more queue of it when it exists. The queue is attached: frames go to it.
// *made (may be NULL): there was no such device.
int tap_open(const char *name, bool tun, int *fd, bool *made);
// Takes the queue out of service; it keeps the device alive and can still steer it.
int tap_detach(int fd);
int tap_carrier(int fd, bool up);

#endif
