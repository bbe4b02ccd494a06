/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IO_PACKET_H
#define IO_PACKET_H

// Devices of the kernel as ports, by packet sockets of our own.

#include "dataplane/io/device.h"

int packet_open(const struct device_config *config, struct port **port, struct device_error *error);

#endif
