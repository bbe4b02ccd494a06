// SPDX-License-Identifier: BSD-3-Clause
// Log lines: key=value, written by dataplane/wire/log_out.c.

#include "dataplane/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/wire/log_out.h"

void log_line(const char *level, const char *message, const char *format, ...)
{
	char line[1024];
	int n = snprintf(
		line, sizeof(line), "level=%s msg=\"%s\"%s", level, message, *format ? " " : "");
	va_list args;

	if (n < 0 || n >= (int)sizeof(line))
		return;
	va_start(args, format);
	n += vsnprintf(line + n, sizeof(line) - (size_t)n, format, args);
	va_end(args);
	if (n > (int)sizeof(line) - 1)
		n = (int)sizeof(line) - 1;
	while (line[n - 1] == ' ')
		n--;
	log_out(line, (size_t)n, strcmp(level, "info") != 0);
}
