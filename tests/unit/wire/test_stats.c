// SPDX-License-Identifier: BSD-3-Clause
// The stats segment: no count goes back, none reaches another object, whatever dies when.

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "dataplane/wire/stats_private.h"

static char path[64], unusable[80], note[512];

static int make_path(void **state)
{
	snprintf(path, sizeof(path), "/dev/shm/culvert-test-%d", (int)getpid());
	snprintf(unusable, sizeof(unusable), "%s.unusable", path);
	unlink(path);
	return 0;
}

static int remove_path(void **state)
{
	unlink(path);
	unlink(unusable);
	return 0;
}

static struct stats_config config(uint32_t workers)
{
	return (struct stats_config){.path = path,
		.interfaces = 64,
		.limiters = 32,
		.workers = workers,
		.hz = 2600000000u,
		.instance = 1};
}

static struct stats_segment *open_with(uint32_t workers)
{
	struct stats_config c = config(workers);
	struct stats_segment *s = NULL;

	assert_int_equal(stats_open(&c, &s, note, sizeof(note)), 0);
	return s;
}

// A packet that came in and was forwarded, and left by the same interface.
static void forward(struct stats_segment *s, unsigned writer, uint32_t slot, unsigned n)
{
	stats_interface(s, writer, slot)->rx_packets += n;
	stats_interface(s, writer, slot)->rx_bytes += 100 * n;
	stats_interface(s, writer, slot)->forwarded += n;
	stats_interface(s, writer, slot)->tx_packets += n;
}

static struct stats_interface sum_of(
	const struct stats_segment *s, uint64_t uid, struct stats_sparse *sparse)
{
	struct stats_interface sum;
	int64_t slot = stats_find(s, STATS_INTERFACE, uid);

	assert_true(slot >= 0);
	assert_int_equal(stats_sum_interface(s, (uint32_t)slot, &sum, sparse), 0);
	return sum;
}

static void test_counters_go_on(void **state)
{
	struct stats_segment *s = open_with(2);
	int64_t slot = stats_slot(s, STATS_INTERFACE, 77);
	uint32_t generation = stats_generation(s, STATS_INTERFACE, (uint32_t)slot);
	uint64_t segment = s->header->segment;

	assert_true(slot >= 1);
	assert_int_equal(s->taken_up, 0);
	forward(s, 1, (uint32_t)slot, 5);
	stats_close(s);
	s = open_with(2);
	assert_int_equal(s->taken_up, 1);
	assert_int_equal(s->words_valid, 1);
	assert_int_equal(s->header->segment, segment);
	assert_int_equal(s->header->starts, 2);
	assert_int_equal(stats_slot(s, STATS_INTERFACE, 77), slot);
	assert_int_equal(stats_generation(s, STATS_INTERFACE, (uint32_t)slot), generation);
	assert_int_equal(sum_of(s, 77, NULL).rx_packets, 5);
	assert_int_equal(*note, 0);
	stats_close(s);
}

static void test_vanished_workers_are_folded(void **state)
{
	struct stats_segment *s = open_with(4);
	uint32_t slot = (uint32_t)stats_slot(s, STATS_INTERFACE, 77);
	uint32_t limiter = (uint32_t)stats_slot(s, STATS_LIMITER, 88);
	struct stats_limiter sum;
	struct stat st;
	blkcnt_t blocks;

	for (unsigned w = 0; w < 4; w++) {
		forward(s, w, slot, w + 1);
		stats_limiter_part(s, w, limiter)->count.passed[0].bytes += 1000;
	}
	stat(path, &st);
	blocks = st.st_blocks;
	stats_close(s);
	s = open_with(1);
	assert_int_equal(sum_of(s, 77, NULL).rx_packets, 10);
	assert_int_equal(stats_sum_limiter(s, limiter, &sum), 0);
	assert_int_equal(sum.passed[0].bytes, 4000);
	stat(path, &st);
	assert_true(st.st_blocks < blocks); // and their memory is given back
	stats_close(s);
	s = open_with(3); // workers that are new start from 0
	assert_int_equal(sum_of(s, 77, NULL).rx_packets, 10);
	stats_close(s);
}

static void test_what_was_in_flight_is_booked(void **state)
{
	struct stats_segment *s = open_with(1);
	uint32_t a = (uint32_t)stats_slot(s, STATS_INTERFACE, 1);
	uint32_t b = (uint32_t)stats_slot(s, STATS_INTERFACE, 2);
	struct stats_interface sum;
	struct stats_sparse sparse;

	forward(s, 0, a, 10);
	stats_interface(s, 0, a)->rx_packets += 3; // 3 had come in
	stats_interface(s, 0, a)->forwarded += 2;  // 2 of them on their way out
	stats_interface(s, 0, b)->forwarded += 1;  // killed between two stores
	stats_close(s);
	for (int i = 0; i < 3; i++) { // and only once
		s = open_with(1);
		sum = sum_of(s, 1, &sparse);
		assert_int_equal(sum.rx_packets, 13);
		assert_int_equal(sum.forwarded, 12);
		assert_int_equal(sparse.drops[DROP_RESTART], 1);
		assert_int_equal(sum_of(s, 2, &sparse).rx_packets, 1);
		assert_int_equal(stats_sum_interface(s, 0, &sum, &sparse), 0);
		assert_int_equal(sparse.tx_drops[3], 3);
		stats_close(s);
	}
}

static void test_second_data_plane_is_refused(void **state)
{
	struct stats_segment *s = open_with(1), *other = NULL;
	struct stats_config c = config(1);

	assert_int_equal(stats_open(&c, &other, note, sizeof(note)), -EBUSY);
	assert_non_null(strstr(note, path));
	assert_null(other);
	stats_close(s);
}

static void test_killed_holder_is_in_nobodys_way(void **state)
{
	int ready[2];
	struct stats_segment *s;
	pid_t child;
	char byte;

	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		s = open_with(1);
		forward(s, 0, (uint32_t)stats_slot(s, STATS_INTERFACE, 77), 4);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	s = open_with(1);
	assert_int_equal(s->taken_up, 1);
	assert_int_equal(sum_of(s, 77, NULL).rx_packets, 4);
	stats_close(s);
	close(ready[0]);
	close(ready[1]);
}

static void test_disk_is_refused(void **state)
{
	struct stats_config c = config(1);
	struct stats_segment *s = NULL;

	c.path = "/proc/self/culvert";
	assert_true(stats_open(&c, &s, note, sizeof(note)) < 0);
	c.path = "/var/tmp/culvert-stats-test";
	assert_int_equal(stats_open(&c, &s, note, sizeof(note)), -EMEDIUMTYPE);
	assert_non_null(strstr(note, "tmpfs"));
	assert_int_equal(access(c.path, F_OK), -1);
}

static void test_slots_live_die_and_are_reused(void **state)
{
	struct stats_segment *s = open_with(1);
	uint32_t a = (uint32_t)stats_slot(s, STATS_INTERFACE, 1), b;
	uint32_t generation = stats_generation(s, STATS_INTERFACE, a);
	struct stats_interface sum;

	forward(s, 0, a, 7);
	assert_int_equal(stats_slot_release(s, 1), -EBUSY);
	assert_int_equal(stats_slot_delete(s, STATS_INTERFACE, 1), 0);
	assert_int_equal(sum_of(s, 1, NULL).rx_packets, 7); // final values stay
	b = (uint32_t)stats_slot(s, STATS_INTERFACE, 2);
	assert_int_not_equal(a, b);
	assert_int_equal(stats_slot_release(s, 1), 0);
	assert_int_equal(stats_slot_release(s, 1), -ENOENT);
	assert_int_equal(stats_find(s, STATS_INTERFACE, 1), -ENOENT);
	assert_int_equal(stats_sum_interface(s, 0, &sum, NULL), 0);
	assert_int_equal(sum.rx_packets, 7); // nothing is lost from the total
	assert_int_equal(stats_slot(s, STATS_INTERFACE, 3), a);
	assert_int_equal(stats_generation(s, STATS_INTERFACE, a), generation + 1);
	assert_int_equal(sum_of(s, 3, NULL).rx_packets, 0);
	assert_int_equal(stats_slot(s, STATS_INTERFACE, 0), -EINVAL);
	for (uint64_t uid = 10; uid < 10 + 64 - 3; uid++)
		assert_true(stats_slot(s, STATS_INTERFACE, uid) > 0);
	assert_int_equal(stats_slot(s, STATS_INTERFACE, 1000), -ENOSPC);
	stats_close(s);
}

// Four of them share a line: what moves is one of them, and each is moved whole.
static void test_accounts_move_alone(void **state)
{
	struct stats_segment *s = open_with(2);
	struct stats_account sum;
	uint32_t slot[9];

	assert_int_equal(s->slots[STATS_ACCOUNT], 2 * 64);
	for (uint64_t uid = 1; uid < 9; uid++) {
		slot[uid] = (uint32_t)stats_slot(s, STATS_ACCOUNT, uid);
		for (unsigned writer = 0; writer < 2; writer++)
			*stats_account(s, writer, slot[uid]) =
				(struct stats_account){uid, 1000 * uid};
	}
	assert_int_equal(stats_slot_delete(s, STATS_ACCOUNT, 3), 0);
	assert_int_equal(stats_slot_release(s, 3), 0);
	stats_close(s);
	s = open_with(1); // the second worker's part is folded
	for (uint64_t uid = 0; uid < 9; uid++) {
		uint32_t at = uid == 0 ? 0 : slot[uid];

		assert_int_equal(stats_sum_account(s, at, &sum), 0);
		assert_int_equal(sum.packets, uid == 0 ? 6 : uid == 3 ? 0 : 2 * uid);
		assert_int_equal(sum.bytes, uid == 0 ? 6000 : uid == 3 ? 0 : 2000 * uid);
	}
	assert_int_equal(stats_sum_account(s, 2 * 64, &sum), -EINVAL);
	assert_int_equal(stats_slot(s, STATS_ACCOUNT, 9), slot[3]);
	s->header->moving++;
	assert_int_equal(stats_sum_account(s, 1, &sum), -EAGAIN);
	s->header->moving++;
	stats_close(s);
}

static void test_deleted_uid_lives_again(void **state)
{
	struct stats_segment *s = open_with(1);
	int64_t a = stats_slot(s, STATS_INTERFACE, 1);

	forward(s, 0, (uint32_t)a, 7);
	stats_slot_delete(s, STATS_INTERFACE, 1);
	assert_int_equal(stats_slot(s, STATS_INTERFACE, 1), a);
	assert_int_equal(sum_of(s, 1, NULL).rx_packets, 7);
	assert_int_equal(stats_slot_release(s, 1), -EBUSY);
	stats_close(s);
}

static void test_sweep_deletes_what_nobody_asked_for(void **state)
{
	struct stats_segment *s = open_with(1);

	stats_slot(s, STATS_INTERFACE, 1);
	stats_slot(s, STATS_INTERFACE, 2);
	stats_slot(s, STATS_LIMITER, 2);
	stats_slot(s, STATS_ACCOUNT, 2);
	stats_slot(s, STATS_ACCOUNT, 7);
	stats_slot(s, STATS_INTERFACE, STATS_UNCLASSIFIED(0));
	stats_close(s);
	s = open_with(1);
	stats_slot(s, STATS_INTERFACE, 2);
	stats_slot(s, STATS_ACCOUNT, 2);
	assert_int_equal(stats_sweep(s, STATS_INTERFACE), 1);
	assert_int_equal(stats_sweep(s, STATS_LIMITER), 1);
	assert_int_equal(stats_sweep(s, STATS_ACCOUNT), 1); // 7: 2 was asked for
	assert_int_equal(stats_slot_release(s, 1), 0);
	assert_int_equal(
		s->entry[STATS_INTERFACE][stats_find(s, STATS_INTERFACE, 2)].state, STATS_LIVE);
	stats_close(s);
}

static void test_other_clock_voids_the_words(void **state)
{
	struct stats_segment *s = open_with(1);
	struct stats_config c = config(1);

	stats_close(s);
	c.hz += c.hz / 20000; // 50 ppm
	assert_int_equal(stats_open(&c, &s, note, sizeof(note)), 0);
	assert_int_equal(s->words_valid, 1);
	stats_close(s);
	c.hz += c.hz / 2000;
	assert_int_equal(stats_open(&c, &s, note, sizeof(note)), 0);
	assert_int_equal(s->words_valid, 0);
	memset(s->header->boot, 'x', 36);
	stats_close(s);
	assert_int_equal(stats_open(&c, &s, note, sizeof(note)), 0);
	assert_int_equal(s->words_valid, 0);
	stats_close(s);
}

static void test_other_layout_is_set_aside(void **state)
{
	struct stats_segment *s = open_with(1);
	struct stats_config c = config(1);

	stats_slot(s, STATS_INTERFACE, 1);
	stats_close(s);
	c.interfaces = 128;
	assert_int_equal(stats_open(&c, &s, note, sizeof(note)), 0);
	assert_int_equal(s->taken_up, 0);
	assert_non_null(strstr(note, "unusable"));
	assert_int_equal(access(unusable, F_OK), 0);
	assert_int_equal(stats_find(s, STATS_INTERFACE, 1), -ENOENT);
	stats_close(s);
	c.interfaces = c.limiters = 0; // as the file has it
	assert_int_equal(stats_open(&c, &s, note, sizeof(note)), 0);
	assert_int_equal(s->taken_up, 1);
	assert_int_equal(s->slots[STATS_INTERFACE], 128);
	stats_close(s);
}

// Any damage ends in a take-up or a fresh segment, never in a crash or a refusal.
static void test_damaged_files(void **state)
{
	const char *text = getenv("CULVERT_SEED");
	unsigned seed = text ? (unsigned)strtoul(text, NULL, 0) : (unsigned)getpid();

	print_message("CULVERT_SEED=%u\n", seed);
	srandom(seed);
	for (int round = 0; round < 300; round++) {
		struct stats_segment *s = open_with(2);
		uint8_t *base = s->private->base;
		size_t directory = s->header->writer_offset;

		for (uint64_t uid = 1; uid < 20; uid++)
			stats_slot(s, STATS_INTERFACE, uid);
		for (int i = 0; i < 1 + round % 4; i++) {
			size_t at = (size_t)random() %
				    (round % 2 ? sizeof(struct stats_header) : directory);

			base[at] = (uint8_t)random();
		}
		stats_close(s);
		if (round % 10 == 0)
			assert_int_equal(truncate(path, random() % 100000), 0);
		s = open_with(1 + round % 3);
		assert_true(stats_slot(s, STATS_INTERFACE, 1) > 0);
		stats_close(s);
	}
}

// A kill at each store of a move: afterwards everything is there once.
static void test_moves_survive_a_kill(void **state)
{
	struct stats_segment *s = open_with(1);
	uint64_t *from = (uint64_t *)stats_interface(s, 0, 3);
	uint64_t *to = (uint64_t *)stats_interface(s, STATS_FOLD, 0);
	struct stats_header *h = s->header;
	uint8_t *base = s->private->base;

	for (int applied = 0; applied <= 16; applied++) {
		for (int i = 0; i < 8; i++) {
			from[i] = 10u + (uint64_t)i;
			to[i] = 100;
			h->move_value[i] = 110u + (uint64_t)i;
		}
		h->move_from = (uint64_t)((uint8_t *)from - base);
		h->move_to = (uint64_t)((uint8_t *)to - base);
		h->move_words = 8;
		h->move_armed = 1;
		for (int i = 0; i < applied; i++) { // what had been stored when it died
			if (i < 8)
				to[i] = h->move_value[i];
			else
				from[i - 8] = 0;
		}
		assert_int_equal(stats_move_redo(s), 0);
		for (int i = 0; i < 8; i++) {
			assert_int_equal(to[i], 110 + i);
			assert_int_equal(from[i], 0);
		}
	}
	h->move_to = 64; // into the header
	h->move_armed = 1;
	assert_int_equal(stats_move_redo(s), -EBADMSG);
	h->move_armed = 0;
	stats_close(s);
}

static void test_anonymous(void **state)
{
	struct stats_config c = config(1);
	struct stats_segment *s;

	c.path = NULL;
	assert_int_equal(stats_open(&c, &s, note, sizeof(note)), 0);
	assert_true(stats_slot(s, STATS_LIMITER, 5) > 0);
	stats_close(s);
	c.workers = 17;
	assert_int_equal(stats_open(&c, &s, note, sizeof(note)), -EINVAL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_path, remove_path)
	const struct CMUnitTest tests[] = {
		TEST(test_counters_go_on),
		TEST(test_vanished_workers_are_folded),
		TEST(test_what_was_in_flight_is_booked),
		TEST(test_second_data_plane_is_refused),
		TEST(test_killed_holder_is_in_nobodys_way),
		TEST(test_disk_is_refused),
		TEST(test_slots_live_die_and_are_reused),
		TEST(test_accounts_move_alone),
		TEST(test_deleted_uid_lives_again),
		TEST(test_sweep_deletes_what_nobody_asked_for),
		TEST(test_other_clock_voids_the_words),
		TEST(test_other_layout_is_set_aside),
		TEST(test_damaged_files),
		TEST(test_moves_survive_a_kill),
		TEST(test_anonymous),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
