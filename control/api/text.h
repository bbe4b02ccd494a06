/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef API_TEXT_H
#define API_TEXT_H

// Texts and files that others wrote. A sentence quotes them, perhaps cut at any byte, and has to stay one
// line of UTF-8: JSON takes nothing else, and a terminal acts on what is no letter.

#include <stdbool.h>
#include <stddef.h>

struct api_error;

bool api_text_valid(const char *text); // UTF-8 (RFC 3629)
// Each byte that belongs to no UTF-8 character, and of control characters but tabs, those of direction among them,
// becomes "?"; a character that the end cuts goes.
void api_text_mend(char *text);

// The whole file, "-" is standard input, with a NUL behind it. Pipes are read to their end; more than `most`
// bytes are refused. 0, or -errno with *error. *text is for free().
int api_read_file(
	const char *path, size_t most, char **text, size_t *length, struct api_error *error);

#endif
