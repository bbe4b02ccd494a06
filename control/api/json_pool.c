// SPDX-License-Identifier: BSD-3-Clause
// jansson's small blocks, a hundred for each circuit that is told. malloc() keeps seven of each size at hand; here each
// thread keeps more, in lists by size. What is made on one thread and given back on another passes through: beyond a number of
// each size it goes back to malloc().

#include "control/api/json_pool.h"

#include <jansson.h>

#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>

#define STEP    16u // bytes between two sizes, as malloc() has it
#define SMALL   24u
#define CLASSES 14u

struct block {
	struct block *next;
};

static __thread struct {
	struct block *first;
	unsigned int count;
} kept[CLASSES];
static unsigned int kept_max;

static void *take(size_t size)
{
	size_t class = size <= SMALL ? 0 : (size - SMALL + STEP - 1) / STEP;

	if (class >= CLASSES)
		return malloc(size);
	struct block *block = kept[class].first;
	if (block == NULL)
		return malloc(SMALL + class * STEP);
	kept[class].first = block->next;
	kept[class].count--;
	return block;
}

static void give(void *memory)
{
	struct block *block = memory;
	size_t size = memory != NULL ? malloc_usable_size(memory) : 0;
	size_t class =
		(size - SMALL) / STEP; // of one that is larger than asked for, what it surely holds

	if (size < SMALL || class >= CLASSES || kept[class].count >= kept_max) {
		free(memory);
		return;
	}
	block->next = kept[class].first;
	kept[class].first = block;
	kept[class].count++;
}

void json_pool_use(unsigned int kept_of_a_size)
{
	kept_max = kept_of_a_size;
#ifndef __SANITIZE_ADDRESS__ // which is to see every block
	json_set_alloc_funcs(take, give);
#else
	(void)take;
	(void)give;
#endif
}
