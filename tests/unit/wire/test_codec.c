// SPDX-License-Identifier: BSD-3-Clause
// Messages: golden bytes of every type, and everything a message may lie about.
//
// golden.inc is what this version puts on the socket, byte by byte, written once. A change of it is
// a change of the contract: raise the version in types.h. CULVERT_GOLDEN=1 prints what golden.inc
// should say.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/wire/codec.h"
#include "tests/unit/wire/golden.inc"
#include "tests/unit/wire/samples.h"

static void hex(const uint8_t *p, size_t n, char *out)
{
	for (size_t i = 0; i < n; i++)
		sprintf(out + 2 * i, "%02x", p[i]);
}

static void test_golden_bytes(void **state)
{
	char text[2 * 1024 + 1];

	for (size_t i = 0; i < SAMPLES; i++) {
		struct wire_message m;

		wire_message_start(&m, samples[i].type, 0x0a0b);
		assert_int_equal(wire_message_add(&m, samples[i].record), 0);
		assert_true(m.header.len < 1024);
		hex(m.data, m.header.len, text);
		if (getenv("CULVERT_GOLDEN"))
			printf("\t{\"%s\", \"%s\"},\n", samples[i].name, text);
		else
			assert_string_equal(text, golden[i].bytes);
	}
}

static unsigned direction_of(uint16_t type)
{
	return wire_type_info(type)->direction;
}

static void test_samples_are_accepted(void **state)
{
	for (size_t i = 0; i < SAMPLES; i++) {
		struct wire_message m;

		wire_message_start(&m, samples[i].type, 1);
		for (unsigned n = 0; n < wire_message_capacity(samples[i].type); n++)
			assert_int_equal(wire_message_add(&m, samples[i].record), 0);
		assert_int_equal(wire_message_add(&m, samples[i].record), -ENOSPC);
		assert_int_equal(
			wire_message_check(&m, m.header.len, direction_of(samples[i].type)), 0);
		assert_int_equal(wire_record_check(samples[i].type, samples[i].record), 0);
		assert_memory_equal(wire_message_record(&m, m.header.count - 1u, samples[i].size),
			samples[i].record, samples[i].size);
	}
}

static void test_lengths_and_counts_that_lie(void **state)
{
	struct wire_message m;

	wire_message_start(&m, WIRE_ROUTE_SET, 1);
	for (int i = 0; i < 10; i++)
		wire_message_add(&m, &sample_wire_route);
	for (size_t length = 0; length < m.header.len; length++)
		assert_int_equal(wire_message_check(&m, length, WIRE_TO_DATAPLANE), -EBADMSG);
	assert_int_equal(wire_message_check(&m, m.header.len + 1u, WIRE_TO_DATAPLANE), -EBADMSG);
	assert_int_equal(
		wire_message_check(&m, WIRE_MESSAGE_MAX + 1u, WIRE_TO_DATAPLANE), -EBADMSG);
	for (unsigned count = 0; count <= UINT16_MAX; count++) {
		m.header.count = (uint16_t)count;
		assert_int_equal(wire_message_check(&m, m.header.len, WIRE_TO_DATAPLANE),
			count == 10 ? 0 : -EBADMSG);
	}
	m.header.count = 10;
	m.header.len--;
	assert_int_equal(wire_message_check(&m, m.header.len, WIRE_TO_DATAPLANE), -EBADMSG);
	assert_int_equal(wire_message_check(&m, m.header.len + 1u, WIRE_TO_DATAPLANE), -EBADMSG);
}

static void test_foreign_headers(void **state)
{
	struct wire_message m;

	wire_message_start(&m, WIRE_VRF_DELETE, 1);
	wire_message_add(&m, &sample_wire_id);
	m.header.magic ^= 1;
	assert_int_equal(wire_message_check(&m, m.header.len, WIRE_TO_DATAPLANE), -EBADMSG);
	m.header.magic ^= 1;
	m.header.major++;
	assert_int_equal(wire_message_check(&m, m.header.len, WIRE_TO_DATAPLANE), -EPROTO);
	m.header.major--;
	m.header.minor++;
	assert_int_equal(wire_message_check(&m, m.header.len, WIRE_TO_DATAPLANE), 0);
	assert_int_equal(wire_message_check(&m, m.header.len, WIRE_TO_CONTROLLER), -EACCES);
	for (unsigned type = 0; type <= UINT16_MAX; type++) {
		m.header.type = (uint16_t)type;
		if (!wire_type_info((uint16_t)type))
			assert_int_equal(wire_message_check(&m, m.header.len, WIRE_TO_DATAPLANE),
				-EOPNOTSUPP);
	}
}

static void check_padding(
	uint16_t type, const void *record, size_t size, size_t offset, size_t width)
{
	uint8_t copy[512];

	for (size_t i = 0; i < width; i++) {
		memcpy(copy, record, size);
		copy[offset + i] = 1;
		assert_int_equal(wire_record_check(type, copy), -EINVAL);
	}
}

#define PADDING(type, rec)                                                                \
	check_padding(type, &sample_##rec, sizeof(struct rec), offsetof(struct rec, pad), \
		sizeof(sample_##rec.pad))

static void check_id(uint16_t type, const void *record, size_t size, size_t offset, size_t width)
{
	uint8_t copy[512];

	memcpy(copy, record, size);
	memset(copy + offset, 0, width);
	assert_int_equal(wire_record_check(type, copy), -EINVAL);
}

#define ZERO_ID(type, rec, field)                                                      \
	check_id(type, &sample_##rec, sizeof(struct rec), offsetof(struct rec, field), \
		sizeof(sample_##rec.field))

static void test_padding_must_be_zero(void **state)
{
	PADDING(WIRE_BEGIN, wire_begin);
	PADDING(WIRE_INTERFACE_SET, wire_interface);
	PADDING(WIRE_INTERFACE_EXCHANGE, wire_interface);
	PADDING(WIRE_LIMITER_SET, wire_limiter);
	PADDING(WIRE_LOCAL_SET, wire_local);
	PADDING(WIRE_LOCAL_DELETE, wire_local);
	PADDING(WIRE_PATH_SET, wire_path);
	PADDING(WIRE_ROUTE_SET, wire_route);
	PADDING(WIRE_ROUTE_DELETE, wire_route);
	PADDING(WIRE_PORT, wire_port);
	for (uint16_t type = WIRE_VRF_SET; type <= WIRE_HOST_DELETE; type++)
		if (!strcmp(strrchr(wire_type_info(type)->name, '_'), "_DELETE") &&
			type != WIRE_LOCAL_DELETE && type != WIRE_ROUTE_DELETE)
			PADDING(type, wire_id);
}

static void test_ids_must_not_be_zero(void **state)
{
	ZERO_ID(WIRE_VRF_SET, wire_vrf, vrf);
	ZERO_ID(WIRE_INTERFACE_SET, wire_interface, uid);
	ZERO_ID(WIRE_INTERFACE_SET, wire_interface, interface);
	ZERO_ID(WIRE_INTERFACE_SET, wire_interface, vrf);
	ZERO_ID(WIRE_LIMITER_SET, wire_limiter, uid);
	ZERO_ID(WIRE_LIMITER_SET, wire_limiter, limiter);
	ZERO_ID(WIRE_LOCAL_SET, wire_local, vrf);
	ZERO_ID(WIRE_LOCAL_SET, wire_local, interface);
	ZERO_ID(WIRE_NEIGHBOR_SET, wire_neighbor, neighbor);
	ZERO_ID(WIRE_NEIGHBOR_SET, wire_neighbor, interface);
	ZERO_ID(WIRE_PATH_SET, wire_path, path);
	ZERO_ID(WIRE_PATH_SET, wire_path, interface);
	ZERO_ID(WIRE_GROUP_SET, wire_group, group);
	ZERO_ID(WIRE_ROUTE_SET, wire_route, vrf);
	ZERO_ID(WIRE_ROUTE_SET, wire_route, group);
	ZERO_ID(WIRE_ROUTE_DELETE, wire_route, vrf);
	ZERO_ID(WIRE_HOST_SET, wire_host, interface);
	ZERO_ID(WIRE_COUNTERS_RELEASE, wire_uid, uid);
	ZERO_ID(WIRE_VRF_DELETE, wire_id, id);
}

static void test_names_must_end(void **state)
{
	struct wire_vrf vrf = sample_wire_vrf;
	struct wire_hello hello = sample_wire_hello;

	memset(vrf.name, 'x', sizeof(vrf.name));
	assert_int_equal(wire_record_check(WIRE_VRF_SET, &vrf), -EINVAL);
	memset(hello.version, 'x', sizeof(hello.version));
	assert_int_equal(wire_record_check(WIRE_HELLO, &hello), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden_bytes),
		cmocka_unit_test(test_samples_are_accepted),
		cmocka_unit_test(test_lengths_and_counts_that_lie),
		cmocka_unit_test(test_foreign_headers),
		cmocka_unit_test(test_padding_must_be_zero),
		cmocka_unit_test(test_ids_must_not_be_zero),
		cmocka_unit_test(test_names_must_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
