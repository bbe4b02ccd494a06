/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PACKET_PACKET_H
#define PACKET_PACKET_H

// What every packet test begins with: a rig with the network of tests/lib/network.h, closed (and with that checked)
// after each case.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/network.h"

static inline int packet_setup(void **state)
{
	struct rig *rig = malloc(sizeof(*rig));
	assert_non_null(rig);
	rig_open(rig, NULL);
	network_up(rig);
	*state = rig;
	return 0;
}

static inline int packet_teardown(void **state)
{
	rig_close(*state);
	free(*state);
	return 0;
}

#define PACKET_TEST(name) cmocka_unit_test_setup_teardown(name, packet_setup, packet_teardown)

#endif
