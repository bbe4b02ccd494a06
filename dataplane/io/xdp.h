/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IO_XDP_H
#define IO_XDP_H

// Devices of the kernel as ports, by AF_XDP sockets of our own.

#include "dataplane/io/device.h"

int xdp_open(const struct device_config *config, struct port **port, struct device_error *error);

// Whether the device is one for which that is the better choice.
bool xdp_suits(const struct device_config *config);

#endif
