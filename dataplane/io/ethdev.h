/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IO_ETHDEV_H
#define IO_ETHDEV_H

// DPDK devices as ports.

#include "dataplane/io/device.h"

// As device_measure() and device_open(); the EAL has the device.
int ethdev_measure(const struct device_config *config, struct size_users *users,
	uint32_t *buffer_size, struct device_error *error);
int ethdev_open(const struct device_config *config, struct port **port, struct device_error *error);

#endif
