/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WIRE_PORT_FAULT_H
#define WIRE_PORT_FAULT_H

#include <stdint.h>

// What is wrong with a port beside its link: X(symbol, text, what follows and what to do). Values
// travel in wire_port: append only.
//
// clang-format off
#define WIRE_PORT_FAULTS(X)                                                                        \
	X(NONE, "", "")                                                                            \
	X(OPENER, "the data plane's opener has ended",                                             \
		"ports that are up forward; a device that is made again is not set up: start "     \
		"culvert-dataplane anew when that suits")                                          \
	X(GONE, "its device is not there",                                                         \
		"a device of that name is taken up as soon as it is made: ip link show DEVICE")
// clang-format on

#define WIRE_PORT_FAULT_ENUM(symbol, text, hint) WIRE_PORT_FAULT_##symbol,
enum { WIRE_PORT_FAULTS(WIRE_PORT_FAULT_ENUM) WIRE_PORT_FAULT_COUNT };
#undef WIRE_PORT_FAULT_ENUM

struct wire_port_fault {
	const char *text, *hint;
};

static inline const struct wire_port_fault *wire_port_fault(uint8_t fault)
{
	static const struct wire_port_fault faults[] = {
#define WIRE_PORT_FAULT_TEXT(symbol, text, hint) {text, hint},
		WIRE_PORT_FAULTS(WIRE_PORT_FAULT_TEXT)
#undef WIRE_PORT_FAULT_TEXT
			{"of a newer data plane", "upgrade culvertd"}};

	return &faults[fault < WIRE_PORT_FAULT_COUNT ? fault : WIRE_PORT_FAULT_COUNT];
}

#endif
