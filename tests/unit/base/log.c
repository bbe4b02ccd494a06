// SPDX-License-Identifier: BSD-3-Clause
// A log line stays one line with the keys we wrote, whatever text a value brings.

#include "control/base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void line_of(const char *value, char *line, size_t size)
{
	int ends[2], saved = dup(STDERR_FILENO);

	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	log_warning("test", "a value", log_text("name", value), log_number("count", -3));
	dup2(saved, STDERR_FILENO);
	close(ends[1]);
	close(saved);
	ssize_t n = read(ends[0], line, size - 1);
	close(ends[0]);
	assert_true(n > 0);
	line[n] = '\0';
}

static void values_are_escaped(void **state)
{
	static const struct {
		const char *value, *line;
	} cases[] = {
		{"plain-1/x", "level=warning part=test msg=\"a value\" name=plain-1/x count=-3\n"},
		{"", "level=warning part=test msg=\"a value\" name=\"\" count=-3\n"},
		{"a \"b\" level=error\nx\\", "level=warning part=test msg=\"a value\" name=\"a "
					     "\\\"b\\\" level=error\\nx\\\\\" count=-3\n"},
		{"\x01", "level=warning part=test msg=\"a value\" name=\"\\x01\" count=-3\n"},
	};
	char line[4096], huge[5000];

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		line_of(cases[i].value, line, sizeof(line));
		assert_string_equal(line, cases[i].line);
	}
	memset(huge, '"', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	line_of(huge, line, sizeof(line));
	assert_true(strlen(line) <= 2048);
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(values_are_escaped)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
