/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TEST_STORE_OLD_H
#define TEST_STORE_OLD_H

// The store of an older version, from the text that is kept of it (STORE_OLD).

#include "tests/unit/store/base.h"

static inline void old_key(const char *text)
{
	const char *hex = strstr(text, "-- key ");
	FILE *out = fopen(key_path, "we");
	unsigned int byte;

	assert_non_null(hex);
	assert_non_null(out);
	for (hex += strlen("-- key "); sscanf(hex, "%2x", &byte) == 1 && *hex != '\n'; hex += 2)
		fputc((int)byte, out);
	assert_int_equal(ftell(out), 32);
	fclose(out);
	chmod(key_path, 0600);
}

static inline void old_store(void)
{
	FILE *in = fopen(STORE_OLD, "re");
	char *text = calloc(1, 1 << 20);

	assert_non_null(in);
	assert_in_range(fread(text, 1, (1 << 20) - 1, in), 1, (1 << 20) - 2);
	fclose(in);
	old_key(text);
	sql(text);
	chmod(path, 0600);
	free(text);
}

#endif
