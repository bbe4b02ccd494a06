// SPDX-License-Identifier: BSD-3-Clause
// One function makes every log line of the control process, so that escaping is written once. What does not fit is cut.

#include "control/base/log.h"

#include "dataplane/wire/log_out.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct line {
	size_t length;
	char text[2048];
};

static void put(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct line *line, const char *format, ...)
{
	size_t room = sizeof(line->text) - line->length;
	va_list arguments;

	va_start(arguments, format);
	int n = vsnprintf(line->text + line->length, room, format, arguments);
	va_end(arguments);
	if (n > 0)
		line->length += (size_t)n < room ? (size_t)n : room - 1;
}

static bool is_plain(const char *text)
{
	return text[0] != '\0' &&
	       text[strspn(text,
		       "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@+%")] ==
		       '\0';
}

static void put_value(struct line *line, const char *text)
{
	if (is_plain(text)) {
		put(line, "%s", text);
		return;
	}
	put(line, "\"");
	for (const char *c = text; *c != '\0' && line->length < sizeof(line->text) - 8; c++) {
		unsigned char byte = (unsigned char)*c;
		if (byte == '"' || byte == '\\')
			put(line, "\\%c", byte);
		else if (byte == '\n')
			put(line, "\\n");
		else if (byte < 0x20 || byte == 0x7f)
			put(line, "\\x%02x", byte);
		else
			put(line, "%c", byte);
	}
	put(line, "\"");
}

void log_write(
	enum log_level level, const char *part, const char *message, const struct log_field *fields)
{
	static const char *const name[] = {"info", "warning", "error", "fatal"};
	struct line line = {0};

	put(&line, "level=%s part=%s msg=", name[level], part);
	put_value(&line, message);
	for (; fields->key != NULL; fields++) {
		put(&line, " %s=", fields->key);
		if (fields->text != NULL)
			put_value(&line, fields->text);
		else
			put(&line, "%" PRId64, fields->number);
	}
	if (line.length > sizeof(line.text) - 2)
		line.length = sizeof(line.text) - 2;
	log_out(line.text, line.length, level != LOG_LEVEL_INFO);
}
