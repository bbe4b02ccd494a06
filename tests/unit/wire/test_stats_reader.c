// SPDX-License-Identifier: BSD-3-Clause
// Reading a stats segment through a descriptor from somebody else: right while it is good, never
// more than an error when it is not.

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "dataplane/wire/stats_private.h"
#include "dataplane/wire/stats_reader.h"

static char path[64], note[512];
static struct stats_segment *segment;
static struct stats_reader *reader;

static int start(void **state)
{
	struct stats_config c = {.path = path,
		.interfaces = 64,
		.limiters = 512,
		.workers = 2,
		.hz = 2600000000u,
		.instance = 1};

	snprintf(path, sizeof(path), "/dev/shm/culvert-reader-%d", (int)getpid());
	unlink(path);
	assert_int_equal(stats_open(&c, &segment, note, sizeof(note)), 0);
	assert_int_equal(stats_reader_open(stats_descriptor(segment), &reader), 0);
	return 0;
}

static int stop(void **state)
{
	stats_reader_close(reader);
	stats_close(segment);
	unlink(path);
	return 0;
}

static void test_the_descriptor_is_read_only_and_keeps_no_lock(void **state)
{
	struct stats_config c = {.path = path, .workers = 2, .hz = 2600000000u, .instance = 2};
	int fd = dup(stats_descriptor(segment));

	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_int_equal(ftruncate(fd, 0), -1);
	stats_close(segment);
	assert_int_equal(stats_open(&c, &segment, note, sizeof(note)), 0); // not -EBUSY
	assert_int_equal(segment->taken_up, 1);
	close(fd);
}

static void test_sums(void **state)
{
	uint32_t slot = (uint32_t)stats_slot(segment, STATS_INTERFACE, 77);
	uint32_t limiter = (uint32_t)stats_slot(segment, STATS_LIMITER, 78);
	uint32_t account = (uint32_t)stats_slot(segment, STATS_ACCOUNT, 80);
	struct stats_limiter limiters[256];
	struct stats_account accounts[128];
	struct stats_limiter_word word;
	struct stats_interface sum;
	struct stats_sparse sparse;

	assert_int_equal(
		stats_reader_find(reader, STATS_INTERFACE, 77), slot); // made after the attach
	assert_int_equal(stats_reader_find(reader, STATS_INTERFACE, 78), -ENOENT);
	assert_int_equal(stats_reader_find(reader, STATS_LIMITER, 78), limiter);
	for (unsigned w = 0; w < 2; w++) {
		stats_interface(segment, w, slot)->rx_packets += 5;
		stats_sparse(segment, w, slot)->drops[3] += 2;
		stats_limiter_part(segment, w, limiter)->count.passed[0].bytes += 100;
		stats_account(segment, w, account)->bytes += 9;
	}
	stats_interface(segment, STATS_HOST, slot)->from_host = 1;
	stats_limiter_word(segment, limiter)->peak_bytes = 42;
	assert_int_equal(stats_reader_interface(reader, slot, &sum, &sparse), 0);
	assert_int_equal(sum.rx_packets, 10);
	assert_int_equal(sum.from_host, 1);
	assert_int_equal(sparse.drops[3], 4);
	assert_int_equal(stats_reader_interface(reader, slot, &sum, NULL), 0);
	assert_int_equal(stats_reader_interface(reader, 64, &sum, NULL), -EINVAL);
	assert_int_equal(stats_reader_limiters(reader, 256, 256, limiters), 0);
	assert_int_equal(stats_reader_limiters(reader, 0, 256, limiters), 0);
	assert_int_equal(limiters[limiter].passed[0].bytes, 200);
	assert_int_equal(stats_reader_limiters(reader, 257, 256, limiters), -EINVAL);
	assert_int_equal(stats_reader_limiters(reader, 512, 1, limiters), -EINVAL);
	assert_int_equal(stats_reader_limiters(reader, 0, 257, limiters), -EINVAL);
	assert_int_equal(stats_reader_word(reader, limiter, &word), 0);
	assert_int_equal(word.peak_bytes, 42);
	assert_int_equal(stats_reader_word(reader, 512, &word), -EINVAL);
	assert_int_equal(stats_reader_accounts(reader, 0, 128, accounts), 0);
	assert_int_equal(accounts[account].bytes, 18);
	assert_int_equal(accounts[account + 1].bytes, 0);
	assert_int_equal(stats_reader_accounts(reader, 1, 128, accounts), -EINVAL);
	segment->header->moving++;
	assert_int_equal(stats_reader_interface(reader, slot, &sum, NULL), -EAGAIN);
	assert_int_equal(stats_reader_accounts(reader, 0, 1, accounts), -EAGAIN);
	assert_int_equal(stats_reader_limiters(reader, 0, 1, limiters), -EAGAIN);
	segment->header->moving++;
	assert_int_equal(stats_reader_interface(reader, slot, &sum, NULL), 0);
}

static void test_a_slot_changes_hands(void **state)
{
	int64_t slot = stats_slot(segment, STATS_INTERFACE, 77);

	assert_int_equal(stats_reader_find(reader, STATS_INTERFACE, 77), slot);
	stats_slot_delete(segment, STATS_INTERFACE, 77);
	assert_int_equal(stats_reader_refresh(reader), 0);
	assert_int_equal(
		stats_reader_entry(reader, STATS_INTERFACE, (uint32_t)slot)->state, STATS_DELETED);
	stats_slot_release(segment, 77);
	assert_int_equal(stats_slot(segment, STATS_INTERFACE, 79), slot);
	assert_int_equal(stats_reader_find(reader, STATS_INTERFACE, 77), -ENOENT);
	assert_int_equal(stats_reader_find(reader, STATS_INTERFACE, 79), slot);
}

// Whoever can write may shorten the file at any time.
static void test_truncation_is_an_error(void **state)
{
	int64_t slot = stats_slot(segment, STATS_INTERFACE, 77);
	struct stats_limiter limiters[256];
	struct stats_limiter_word word;
	struct stats_interface sum;

	assert_int_equal(stats_reader_find(reader, STATS_INTERFACE, 77), slot);
	assert_int_equal(truncate(path, (off_t)segment->header->writer_offset), 0);
	assert_int_equal(stats_reader_interface(reader, (uint32_t)slot, &sum, NULL), -EBADMSG);
	assert_int_equal(stats_reader_limiters(reader, 0, 256, limiters), -EBADMSG);
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(stats_reader_find(reader, STATS_INTERFACE, 77), -EBADMSG);
	assert_int_equal(stats_reader_interface(reader, (uint32_t)slot, &sum, NULL), -EBADMSG);
	assert_int_equal(stats_reader_word(reader, 1, &word), -EBADMSG);
	assert_int_equal(stats_reader_refresh(reader), -EBADMSG);
	// Nobody may touch the mapping any more.
	munmap(segment->private->base, segment->private->size);
	segment->private->base = NULL;
}

static int refused(int fd)
{
	struct stats_reader *other = NULL;
	int err = stats_reader_open(fd, &other);

	stats_reader_close(other);
	close(fd);
	return err;
}

static void test_other_descriptors(void **state)
{
	char file[] = "/var/tmp/culvert-reader-XXXXXX";
	int pipes[2], fd;

	alarm(5);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(refused(pipes[0]), -EMEDIUMTYPE);
	close(pipes[1]);
	assert_int_equal(refused(open("/dev/null", O_RDONLY)), -EMEDIUMTYPE);
	assert_int_equal(refused(open("/proc/self/maps", O_RDONLY)), -EMEDIUMTYPE);
	assert_int_equal(refused(open("/dev/shm", O_RDONLY | O_DIRECTORY)), -EMEDIUMTYPE);
	fd = mkstemp(file);
	unlink(file);
	assert_int_equal(refused(fd), -EMEDIUMTYPE);
	fd = memfd_create("short", 0);
	assert_int_equal(ftruncate(fd, 100), 0);
	assert_int_equal(refused(fd), -EBADMSG);
	fd = memfd_create("zero", 0);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	assert_int_equal(refused(fd), -EBADMSG);
	fd = open(path, O_WRONLY);
	assert_int_equal(refused(fd), -EBADF); // cannot be read
	alarm(0);
}

// Any damage to header and directories: an error or numbers, never a fault (run under ASan too).
static void test_lies(void **state)
{
	const char *text = getenv("CULVERT_SEED");
	unsigned seed = text != NULL ? (unsigned)strtoul(text, NULL, 0) : (unsigned)getpid();
	struct stats_limiter limiters[STATS_READER_CHUNK];
	static uint8_t good[1 << 18];
	size_t directory = segment->header->writer_offset;
	uint8_t *base = segment->private->base;

	print_message("CULVERT_SEED=%u\n", seed);
	srandom(seed);
	assert_true(directory <= sizeof(good) && directory > sizeof(struct stats_header));
	for (uint64_t uid = 1; uid < 20; uid++)
		stats_slot(segment, STATS_INTERFACE, uid);
	memcpy(good, base, sizeof(good) < directory ? sizeof(good) : directory);
	for (int round = 0; round < 2000; round++) {
		struct stats_reader *other = NULL;
		struct stats_interface sum;
		size_t range = round % 2 == 0 ? sizeof(struct stats_header) : directory;

		for (int i = 0; i < 1 + round % 4; i++)
			base[(size_t)random() % range] = (uint8_t)random();
		if (stats_reader_open(stats_descriptor(segment), &other) == 0) {
			stats_reader_find(other, STATS_INTERFACE, 7);
			stats_reader_limiters(other, 0, STATS_READER_CHUNK, limiters);
		}
		stats_reader_close(other);
		// And under a reader that found it good.
		stats_reader_refresh(reader);
		stats_reader_find(reader, STATS_INTERFACE, (uint64_t)random() % 30);
		stats_reader_interface(reader, 5, &sum, NULL);
		stats_reader_limiters(reader, 0, STATS_READER_CHUNK, limiters);
		memcpy(base, good, sizeof(good) < directory ? sizeof(good) : directory);
	}
	assert_int_equal(stats_reader_find(reader, STATS_INTERFACE, 7),
		stats_find(segment, STATS_INTERFACE, 7));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(test_the_descriptor_is_read_only_and_keeps_no_lock),
		TEST(test_sums),
		TEST(test_a_slot_changes_hands),
		TEST(test_truncation_is_an_error),
		TEST(test_other_descriptors),
		TEST(test_lies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
