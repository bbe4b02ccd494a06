// SPDX-License-Identifier: BSD-3-Clause
// The ledger over the end of a connection: what is known of a record is the connection's, nothing walks over all of them in
// one go, and the next connection is told all that is wanted, and nothing else.

#include "control/sync/records.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MANY = 20000, A_SLICE = 1000 };

static void nothing(void *ctx)
{
}

static struct route *no_route(void *owner, const struct route_key *after)
{
	return NULL;
}

static struct record *want_vrf(struct records *records, uint32_t id)
{
	const struct wire_vrf vrf = {.vrf = id};

	return record_want(records, WIRE_VRF_SET, RANK_VRF, &vrf);
}

static struct records *connected(void)
{
	static struct records records;

	records_init(&records, nothing, NULL);
	records.owner.next = no_route;
	for (uint32_t i = 1; i <= MANY; i++)
		want_vrf(&records, i);
	records_restart(&records);
	while (!records_queue(&records, 0))
		continue;
	return &records;
}

struct recount {
	const struct records *records;
	unsigned int there;
};

static void recount(void *ctx, void *entry)
{
	struct recount *count = ctx;

	count->there += record_is_there(count->records, entry);
}

// The sums agree with a walk.
static void assert_there(const struct records *records)
{
	struct recount count = {.records = records};

	table_each(&records->table, recount, &count);
	assert_int_equal(records->there[WIRE_VRF_SET], count.there);
}

// As if all had been sent and answered.
static void tell_all(struct records *records)
{
	struct record *record;

	while ((record = TAILQ_FIRST(&records->set[RANK_VRF])) != NULL) {
		record_taken(records, record);
		record_answered(records, record, false, 0);
	}
}

static void test_queued_in_slices(void **state)
{
	struct records *records = connected();
	unsigned int slices = 1;
	size_t before = 0;

	tell_all(records);
	records_stop(records);
	records_restart(records);
	assert_int_equal(records->pending, 0);
	while (!records_queue(records, 0)) { // the time is always over
		assert_in_range(records->pending - before, 1, A_SLICE);
		before = records->pending;
		slices++;
	}
	assert_int_equal(records->pending, MANY);
	assert_in_range(slices, MANY / A_SLICE, MANY);
	records_free(records);
}

static void test_what_a_connection_knew_ends_with_it(void **state)
{
	struct records *records = connected();

	tell_all(records);
	struct record *refused = record_find_id(records, WIRE_VRF_SET, 7),
		      *going = record_find_id(records, WIRE_VRF_SET, 8),
		      *sent = record_find_id(records, WIRE_VRF_SET, 9);
	const struct wire_vrf other = {.vrf = 7, .name = "another"};
	record_want(records, WIRE_VRF_SET, RANK_VRF, &other);
	record_taken(records, refused);
	record_answered(records, refused, false, -ENOSPC);
	assert_false(TAILQ_EMPTY(&records->failures));
	record_unwant(records, going); // queued, never sent
	record_unwant(records, sent);
	record_taken(records, sent); // its answer never comes
	assert_true(record_is_there(records, record_find_id(records, WIRE_VRF_SET, 10)));
	assert_there(records);
	records_stop(records);
	assert_there(records);
	assert_true(TAILQ_EMPTY(&records->failures));
	assert_int_equal(records->pending, 0);
	assert_false(record_is_there(records, record_find_id(records, WIRE_VRF_SET, 10)));
	// While nobody listens: one goes, one of those that went comes again, a new one comes.
	record_unwant(records, record_find_id(records, WIRE_VRF_SET, 11));
	want_vrf(records, 9);
	want_vrf(records, MANY + 1);
	records_restart(records);
	while (!records_queue(records, 0))
		want_vrf(records, MANY + 1);
	assert_null(record_find_id(records, WIRE_VRF_SET, 8));
	assert_null(record_find_id(records, WIRE_VRF_SET, 11));
	assert_there(records);
	assert_int_equal(records->pending, MANY - 1);
	tell_all(records);
	assert_there(records);
	assert_int_equal(records->pending, 0);
	assert_true(record_is_there(records, record_find_id(records, WIRE_VRF_SET, 7)));
	records_free(records);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_queued_in_slices),
		cmocka_unit_test(test_what_a_connection_knew_ends_with_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
