/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DATAPLANE_CLOCK_H
#define DATAPLANE_CLOCK_H

#include <stdint.h>

// TSC ticks per second against CLOCK_MONOTONIC_RAW, to about 5 ppm; takes 60 ms. 0 when the TSC is
// not invariant.
uint64_t clock_calibrate(void);

uint64_t clock_monotonic_ns(void);

#endif
