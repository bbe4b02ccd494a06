/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_TURN_STAGES_H
#define BENCH_TURN_STAGES_H

// Cycles that each stage takes, from between the pipeline and the stages: the linker leads the pipeline's calls through
// functions of stages.c (--wrap), so that nothing is in the data plane itself for it.

#include <stdbool.h>
#include <stdint.h>

// The pipeline's stages; wrapped by name in meson.build too.
#define STAGES(X) X(classify) X(decap) X(lookup) X(local) X(guard) X(police) X(output) X(tx) X(drop)

enum timed_stage {
#define STAGE(name) TIMED_##name,
	STAGES(STAGE)
#undef STAGE
		TIMED_STAGES
};

extern const char *const stage_names[TIMED_STAGES];
extern bool stages_timed;
extern uint64_t stage_cycles
	[TIMED_STAGES]; // since the caller cleared them, the two clock readings included
extern uint64_t stage_calls[TIMED_STAGES];

// What the two readings take, cycles.
double stage_overhead(void);

#endif
