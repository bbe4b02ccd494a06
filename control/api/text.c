// SPDX-License-Identifier: BSD-3-Clause

#include "control/api/text.h"

#include "control/api/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Bytes of the character at text; 0: it is none; -1: the text ends within it.
static int character(const unsigned char *text)
{
	// the least and the largest second byte: neither overlong forms nor surrogates, nothing beyond U+10FFFF
	unsigned int low = 0x80, high = 0xbf;
	int length = text[0] < 0x80   ? 1
		     : text[0] < 0xc2 ? 0
		     : text[0] < 0xe0 ? 2
		     : text[0] < 0xf0 ? 3
		     : text[0] < 0xf5 ? 4
				      : 0;

	if (text[0] == 0xe0)
		low = 0xa0;
	else if (text[0] == 0xed)
		high = 0x9f;
	else if (text[0] == 0xf0)
		low = 0x90;
	else if (text[0] == 0xf4)
		high = 0x8f;
	for (int i = 1; i < length; i++) {
		if (text[i] == '\0')
			return -1;
		if (text[i] < low || text[i] > high)
			return 0;
		low = 0x80;
		high = 0xbf;
	}
	return length;
}

bool api_text_valid(const char *text)
{
	const unsigned char *at = (const unsigned char *)text;

	for (; *at != '\0'; at += character(at))
		if (character(at) <= 0)
			return false;
	return true;
}

// C0 but the tab, DEL, C1, and those that set the direction of what follows them (U+202A-E, U+2066-9).
static bool is_control(const unsigned char *at, int length)
{
	if (length == 3)
		return at[0] == 0xe2 && ((at[1] == 0x80 && at[2] >= 0xaa && at[2] <= 0xae) ||
						(at[1] == 0x81 && at[2] >= 0xa6 && at[2] <= 0xa9));
	return (*at < 0x20 && *at != '\t') || *at == 0x7f ||
	       (length == 2 && at[0] == 0xc2 && at[1] < 0xa0);
}

void api_text_mend(char *text)
{
	unsigned char *at = (unsigned char *)text;

	while (*at != '\0') {
		int length = character(at);

		if (length < 0) {
			*at = '\0';
			return;
		}
		if (length == 0 || is_control(at, length))
			memset(at, '?', length == 0 ? 1 : (size_t)length);
		at += length == 0 ? 1 : length;
	}
}

int api_read_file(
	const char *path, size_t most, char **text, size_t *length, struct api_error *error)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	size_t room = 0;
	int ret = 0;

	*text = NULL;
	*length = 0;
	if (file == NULL)
		return api_fail(error, API_NOT_FOUND, "\"-\" is standard input",
			"cannot read %s: %s", path, strerror(errno));
	while (ret == 0 && *length == room && *length <= most) {
		room = room * 2 + 65536;
		char *larger = realloc(*text, room + 1);
		if (larger == NULL) {
			ret = api_fail(error, API_INTERNAL, NULL, "no memory to read %s", path);
			break;
		}
		*text = larger;
		errno = 0;
		*length += fread(*text + *length, 1, room - *length, file);
		if (ferror(file))
			ret = api_fail(error, API_NOT_FOUND, NULL, "cannot read %s: %s", path,
				strerror(errno));
	}
	if (file != stdin)
		fclose(file);
	if (ret == 0 && *length > most)
		ret = api_fail(
			error, API_INVALID, NULL, "%s is larger than %zu MiB", path, most >> 20);
	if (ret < 0) {
		free(*text);
		*text = NULL;
		return ret;
	}
	(*text)[*length] = '\0';
	return 0;
}
