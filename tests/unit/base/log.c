// SPDX-License-Identifier: BSD-3-Clause
// A log line stays one line with the keys we wrote, whatever text a value brings; and whatever becomes of who reads it,
// who writes it goes on.

#include "dataplane/wire/log_out.h"
#include "control/base/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

// Standard error as a pipe whose reader is the test.
struct reader {
	int saved, end;
};

static struct reader redirect(void)
{
	struct reader reader = {.saved = dup(STDERR_FILENO)};
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
	reader.end = ends[0];
	return reader;
}

static void restore(struct reader *reader)
{
	dup2(reader->saved, STDERR_FILENO);
	close(reader->saved);
	if (reader->end >= 0)
		close(reader->end);
}

static size_t read_all(const struct reader *reader, char *text, size_t size)
{
	size_t length = 0;
	ssize_t n;

	fcntl(reader->end, F_SETFL, O_NONBLOCK);
	while (length < size - 1 && (n = read(reader->end, text + length, size - 1 - length)) > 0)
		length += (size_t)n;
	text[length] = '\0';
	return length;
}

static unsigned int count(const char *text, const char *what)
{
	unsigned int n = 0;
	for (; (text = strstr(text, what)) != NULL; text += strlen(what))
		n++;
	return n;
}

// Without the time in front, which has its form.
static void line_of(const char *value, char *line, size_t size)
{
	struct reader reader = redirect();
	unsigned int year, n = 0;

	log_warning("test", "a value", log_text("name", value), log_number("count", -3));
	assert_true(read_all(&reader, line, size) > 0);
	restore(&reader);
	assert_int_equal(sscanf(line, "time=%4u-%*2u-%*2uT%*2u:%*2u:%*2u.%*3uZ %n", &year, &n), 1);
	assert_true(n == strlen("time=2026-11-28T01:02:03.004Z "));
	memmove(line, line + n, strlen(line + n) + 1);
}

// 2,000 lines into a pipe of 64 KiB that nobody reads, from a call that comes back; then somebody reads.
static void a_reader_that_stands_still_holds_nobody(void **state)
{
	static char text[1 << 20];
	struct reader reader = redirect();
	uint64_t before = log_out_lost();

	alarm(20);
	for (int i = 0; i < 2000; i++)
		log_info("test", "a line of some length that fills a pipe", log_number("n", i));
	uint64_t lost = log_out_lost() - before;
	assert_true(lost > 1000 && lost < 2000);
	size_t length = read_all(&reader, text, sizeof(text));
	assert_int_equal(count(text, "that fills a pipe"), 2000 - lost);
	log_info("test", "there is room");
	read_all(&reader, text + length, sizeof(text) - length);
	assert_non_null(strstr(text, "msg=\"there is room\"\n"));
	// Whole lines, and all that were lost are told, in one sum or several.
	unsigned int told = 0, notes = 0;
	for (const char *at = text; (at = strstr(at, "were lost\" count=")) != NULL; notes++) {
		at += strlen("were lost\" count=");
		told += (unsigned int)atoi(at);
	}
	assert_int_equal(told, lost);
	assert_int_equal(count(text, "\n"), 2000 - lost + 1 + notes);
	assert_int_equal(count(text, "time="), 2000 - lost + 1 + notes);
	restore(&reader);
	alarm(0);
}

static void a_reader_that_is_gone_ends_nobody(void **state)
{
	struct reader reader = redirect();
	uint64_t before = log_out_lost();

	signal(SIGPIPE, SIG_IGN);
	log_info("test", "the first");
	close(reader.end);
	reader.end = -1;
	log_info("test", "the second");
	log_info("test", "the third");
	assert_int_equal(log_out_lost() - before, 2);
	restore(&reader);
}

// The writer's descriptor stays as it was for everybody else who has it.
static void what_we_were_given_stays_blocking(void **state)
{
	struct reader reader = redirect();

	log_info("test", "a line");
	assert_int_equal(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
	restore(&reader);
}

static void a_socket_and_a_file(void **state)
{
	char path[] = "/tmp/culvert-log-XXXXXX", text[65536];
	struct reader reader = {.saved = dup(STDERR_FILENO)};
	uint64_t before = log_out_lost();
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	dup2(ends[0], STDERR_FILENO);
	close(ends[0]);
	reader.end = ends[1];
	alarm(20);
	for (int i = 0; i < 20000; i++)
		log_info("test", "a line", log_number("n", i));
	assert_true(log_out_lost() > before);
	restore(&reader);

	int file = mkstemp(path);
	assert_true(file >= 0);
	reader = (struct reader){.saved = dup(STDERR_FILENO), .end = file};
	dup2(file, STDERR_FILENO);
	dprintf(STDERR_FILENO, "somebody else's\n");
	log_info("test", "ours");
	lseek(file, 0, SEEK_SET);
	read_all(&reader, text, sizeof(text));
	assert_int_equal(strncmp(text, "somebody else's\n", 16), 0);
	assert_non_null(strstr(text, "msg=ours\n"));
	restore(&reader);
	unlink(path);
	alarm(0);
}

static void under_the_journal_there_is_no_time(void **state)
{
	char text[4096], id[64];
	struct reader reader = redirect();
	struct stat status;

	assert_int_equal(fstat(STDERR_FILENO, &status), 0);
	snprintf(id, sizeof(id), "%llu:%llu", (unsigned long long)status.st_dev,
		(unsigned long long)status.st_ino);
	setenv("JOURNAL_STREAM", id, 1);
	log_info("test", "a line");
	unsetenv("JOURNAL_STREAM");
	read_all(&reader, text, sizeof(text));
	restore(&reader);
	assert_string_equal(text, "level=info part=test msg=\"a line\"\n");
}

// What fails each second is not told each second; another failure is told at once.
static void the_same_again_is_told_less_and_less(void **state)
{
	char text[65536];
	struct reader reader = redirect();

	for (int i = 0; i < 300; i++)
		log_error("test", "it does not work", log_number("errno", 24));
	log_error("test", "it does not work", log_number("errno", 2));
	for (int i = 0; i < 5; i++)
		log_info("test", "news");
	read_all(&reader, text, sizeof(text));
	restore(&reader);
	assert_int_equal(count(text, "errno=24"), 3);
	assert_int_equal(count(text, "errno=2\n"), 1);
	assert_int_equal(count(text, "msg=news"), 5);
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
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_escaped),
		cmocka_unit_test(a_reader_that_stands_still_holds_nobody),
		cmocka_unit_test(a_reader_that_is_gone_ends_nobody),
		cmocka_unit_test(what_we_were_given_stays_blocking),
		cmocka_unit_test(a_socket_and_a_file),
		cmocka_unit_test(under_the_journal_there_is_no_time),
		cmocka_unit_test(the_same_again_is_told_less_and_less),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
