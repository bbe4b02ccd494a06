/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_MUTILATE_H
#define FUZZ_MUTILATE_H

// A harness without an engine: a good text, with up to three bytes of it changed, or its end cut off, given to
// LLVMFuzzerTestOneInput() as often as the first argument says.

#include "tests/unit/model/base.h"

static inline size_t mutilate(uint8_t *text, size_t length)
{
	static const char special[] = "{}[]:-,&*!|>'\"%@`#? \n\t\0/0129amz\xff\xc3";

	for (int i = rand() % 4; i > 0; i--) {
		size_t at = (size_t)rand() % length;
		if (rand() % 4 == 0)
			length = at + 1;
		else
			text[at] = (uint8_t)(rand() % 8
						     ? special[(size_t)rand() % sizeof(special)]
						     : rand());
	}
	return length;
}

static inline int mutilate_often(
	int argc, char **argv, const char *good, int (*harness)(const uint8_t *data, size_t size))
{
	unsigned int rounds = argc > 1 ? (unsigned int)strtoul(argv[1], NULL, 0) : 2000;
	size_t length = strlen(good);
	uint8_t *text = malloc(length);

	if (!text)
		return 1;
	srand(random_seed());
	for (unsigned int round = 0; round < rounds; round++) {
		memcpy(text, good, length);
		harness(text, mutilate(text, length));
	}
	free(text);
	return 0;
}

#endif
