// SPDX-License-Identifier: BSD-3-Clause
// Stands between the pipeline and each stage of it, and reads the TSC before and behind. Used by bench-turn.

#include "tools/bench/turn/stages.h"

#include "dataplane/stages/stages.h"

#include <rte_cycles.h>

#define STAGE(name) #name,
const char *const stage_names[TIMED_STAGES] = {STAGES(STAGE)};
#undef STAGE
bool stages_timed;
uint64_t stage_cycles[TIMED_STAGES];
uint64_t stage_calls[TIMED_STAGES];

static inline void took(enum timed_stage stage, uint64_t start)
{
	stage_cycles[stage] += rte_rdtsc() - start;
	stage_calls[stage]++;
}

void __real_stage_classify(struct worker *w, const struct port *port, unsigned n);
void __wrap_stage_classify(struct worker *w, const struct port *port, unsigned n);
void __wrap_stage_classify(struct worker *w, const struct port *port, unsigned n)
{
	uint64_t start = stages_timed ? rte_rdtsc() : 0;
	__real_stage_classify(w, port, n);
	if (stages_timed)
		took(TIMED_classify, start);
}

#define WRAP(name)                                               \
	void __real_stage_##name(struct worker *w);              \
	void __wrap_stage_##name(struct worker *w);              \
	void __wrap_stage_##name(struct worker *w)               \
	{                                                        \
		uint64_t start = stages_timed ? rte_rdtsc() : 0; \
		__real_stage_##name(w);                          \
		if (stages_timed)                                \
			took(TIMED_##name, start);               \
	}
WRAP(decap)
WRAP(lookup)
WRAP(local)
WRAP(guard)
WRAP(police)
WRAP(output)
WRAP(tx)
WRAP(drop)

double stage_overhead(void)
{
	uint64_t least = UINT64_MAX;
	for (unsigned i = 0; i < 1000; i++) {
		uint64_t start = rte_rdtsc(), passed = rte_rdtsc() - start;
		least = passed < least ? passed : least;
	}
	return (double)least;
}
