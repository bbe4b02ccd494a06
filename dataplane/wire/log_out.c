// SPDX-License-Identifier: BSD-3-Clause
// Standard error may be a pipe whose reader stands still, and both processes have better things to
// do than to wait for it. O_NONBLOCK on the descriptor that we were given would be everybody's who
// shares it: a pipe or a terminal is opened anew through /proc, a socket is written with
// MSG_DONTWAIT, and a file does not block. Lines stay under PIPE_BUF, so that one is written whole
// or not at all.
//
// A warning that comes again word for word is written three times, then after 10 s, 20 s and so on
// up to 10 minutes, with `repeated=` for those left out; after a pause of that length it is news
// again. What changes state says so in other words, so this is the net under callers who only know
// that something failed once more.

#include "dataplane/wire/log_out.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define KNOWN      512u // lines remembered
#define PROBES     8u
#define FREE_LINES 3u
#define FIRST_MS   10000u
#define LONGEST_MS 600000u

struct known {
	uint64_t hash; // 0 = empty
	uint64_t last, next;
	uint32_t interval, lines, left_out;
};

enum way { WAY_FILE, WAY_PIPE, WAY_SOCKET };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static dev_t device_of;
static ino_t inode_of;
static bool timed; // we put the time in front
static bool torn;  // the last line was written in part
static enum way way;
static int out = STDERR_FILENO;
static uint64_t lost, untold;
static struct known known[KNOWN];

// At each line: who starts us may give us another standard error later, and tests do.
static void look(void)
{
	const char *journal = getenv("JOURNAL_STREAM");
	unsigned long long device = 0, inode = 0;
	struct stat status;

	if (fstat(STDERR_FILENO, &status) != 0 ||
		(status.st_dev == device_of && status.st_ino == inode_of))
		return;
	if (out != STDERR_FILENO)
		close(out);
	out = STDERR_FILENO;
	way = WAY_FILE;
	torn = false;
	timed = true;
	device_of = status.st_dev;
	inode_of = status.st_ino;
	if (journal != NULL && sscanf(journal, "%llu:%llu", &device, &inode) == 2)
		timed = device != status.st_dev || inode != status.st_ino;
	if (S_ISSOCK(status.st_mode)) {
		way = WAY_SOCKET;
	} else if (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode)) {
		int fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		way = WAY_PIPE;
		if (fd >= 0)
			out = fd;
	}
}

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

// All or nothing, where that can be had.
static bool put(const struct iovec *iov, int count, size_t length)
{
	struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count};
	struct pollfd room = {.fd = out, .events = POLLOUT};
	ssize_t n;

	if (way == WAY_SOCKET) {
		n = sendmsg(out, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	} else {
		// The descriptor we were given, when it could not be opened anew, blocks.
		if (way == WAY_PIPE && out == STDERR_FILENO && poll(&room, 1, 0) != 1)
			return false;
		n = writev(out, iov, count);
	}
	torn = n > 0 && (size_t)n < length;
	return n > 0 && (size_t)n == length;
}

static bool put_line(const char *front, const char *line, size_t length, const char *back)
{
	struct iovec iov[] = {
		{"\n", torn ? 1 : 0},
		{(void *)front, strlen(front)},
		{(void *)line, length},
		{(void *)back, strlen(back)},
		{"\n", 1},
	};
	size_t sum = 0;
	for (unsigned int i = 0; i < 5; i++)
		sum += iov[i].iov_len;
	return put(iov, 5, sum);
}

static void stamp(char *text, size_t size)
{
	struct timespec t;
	struct tm tm;

	text[0] = '\0';
	if (!timed)
		return;
	clock_gettime(CLOCK_REALTIME, &t);
	gmtime_r(&t.tv_sec, &tm);
	size_t n = strftime(text, size, "time=%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + n, size - n, ".%03ldZ ", t.tv_nsec / 1000000);
}

// FNV-1a: whoever makes two lines collide hides a line, which he could do more easily.
static uint64_t hash_of(const char *line, size_t length)
{
	uint64_t hash = 14695981039346656037u;
	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (uint8_t)line[i]) * 1099511628211u;
	return hash != 0 ? hash : 1;
}

static struct known *remember(uint64_t hash, uint64_t now)
{
	struct known *oldest = NULL;

	for (unsigned int i = 0; i < PROBES; i++) {
		struct known *at = &known[(hash + i) % KNOWN];
		if (at->hash == hash)
			return at;
		if (oldest == NULL || at->last < oldest->last)
			oldest = at;
	}
	*oldest = (struct known){.hash = hash, .last = now};
	return oldest;
}

// Is it to be written? *left_out: how often it was not since it last was.
static bool due(const char *line, size_t length, uint32_t *left_out)
{
	uint64_t now = now_ms();
	struct known *at = remember(hash_of(line, length), now);

	if (now - at->last > (at->interval > FIRST_MS ? at->interval : FIRST_MS))
		at->lines = at->interval = 0;
	at->last = now;
	if (at->lines >= FREE_LINES && now < at->next) {
		at->left_out++;
		return false;
	}
	if (++at->lines >= FREE_LINES) {
		uint32_t longer = at->interval == 0 ? FIRST_MS : at->interval * 2;
		at->interval = longer < LONGEST_MS ? longer : LONGEST_MS;
		at->next = now + at->interval;
	}
	*left_out = at->left_out;
	at->left_out = 0;
	return true;
}

void log_out(const char *line, size_t length, bool thin)
{
	char front[64], back[32] = "", note[96];
	uint32_t left_out = 0;

	pthread_mutex_lock(&lock);
	look();
	if (!thin || due(line, length, &left_out)) {
		if (left_out > 0)
			snprintf(back, sizeof(back), " repeated=%u", left_out);
		stamp(front, sizeof(front));
		if (untold > 0) {
			int n = snprintf(note, sizeof(note),
				"level=warning msg=\"log lines were lost\" count=%llu",
				(unsigned long long)untold);
			if (put_line(front, note, (size_t)n, ""))
				untold = 0;
		}
		if (untold > 0 || !put_line(front, line, length, back)) {
			__atomic_add_fetch(&lost, 1, __ATOMIC_RELAXED);
			untold++;
		}
	}
	pthread_mutex_unlock(&lock);
}

void log_say(const char *format, ...)
{
	char text[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	pthread_mutex_lock(&lock);
	look();
	put_line("", text, strlen(text), "");
	pthread_mutex_unlock(&lock);
}

uint64_t log_out_lost(void)
{
	return __atomic_load_n(&lost, __ATOMIC_RELAXED);
}
