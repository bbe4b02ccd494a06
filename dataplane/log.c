// SPDX-License-Identifier: BSD-3-Clause
// Log lines: key=value on stderr, one write per line so that lines of several processes do not mix.
// Time stamps are the journal's business.

#include "dataplane/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

void log_line(const char *level, const char *message, const char *format, ...)
{
	char line[1024];
	int n = snprintf(line, sizeof(line) - 1, "level=%s msg=\"%s\"%s", level, message,
		*format ? " " : "");
	va_list args;

	if (n < 0 || n >= (int)sizeof(line) - 1)
		return;
	va_start(args, format);
	n += vsnprintf(line + n, sizeof(line) - 1 - (size_t)n, format, args);
	va_end(args);
	if (n > (int)sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	while (line[n - 1] == ' ')
		n--;
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return; // nowhere to say so
}
