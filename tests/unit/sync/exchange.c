// SPDX-License-Identifier: BSD-3-Clause
// Unique values that change places: after any change that the model accepts the data plane holds what the model
// says, whatever cycle the change contains; what stays refused is a state other than synced.

#include "tests/unit/sync/running.h"

#include <errno.h>
#include <time.h>

// The fake data plane is slow with hundreds of objects.
#define WAIT_MANY(condition) WAIT_SECONDS(condition, 60)

static const char *first_vnet = "v0";
static unsigned int circuits; // of the configuration that generate() writes

static const char *vnet_name(unsigned int i)
{
	static char name[16];

	snprintf(name, sizeof(name), "v%u", i);
	return i == 0 ? first_vnet : name;
}

// Circuits of one customer, each with a link on wan0 and a vnet; tag[i] and key[i] are their unique values.
static char *generate(const unsigned int *tag, const unsigned int *key)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	fprintf(out, "version: 1\nedges:\n  - name: east\n    routes:\n"
		     "      - {prefix: 198.51.0.0/16, via: 192.0.2.2}\n    ports:\n"
		     "      - {name: wan0, faces: customer}\n"
		     "      - {name: core0, faces: core, address: 192.0.2.1/24}\n"
		     "customers:\n  - name: acme\nvnets:\n");
	for (unsigned int i = 0; i < circuits; i++)
		fprintf(out,
			"  - name: %s\n    customer: acme\n    prefixes: [10.%u.%u.0/24]\n    "
			"tunnels:\n"
			"      - {edge: east, gateway: 198.51.100.11, local: 192.0.2.1, key: %u}\n",
			vnet_name(i), i / 250, i % 250, key[i]);
	fprintf(out, "circuits:\n");
	for (unsigned int i = 0; i < circuits; i++)
		fprintf(out,
			"  - name: c%u\n    customer: acme\n    bandwidth: 50mbps\n    links:\n"
			"      - {role: primary, edge: east, port: wan0, outer-tag: %u}\n"
			"    peerings:\n      - type: private\n        primary-subnet: "
			"169.254.%u.%u/30\n"
			"        peer-asn: 65010\n        local-asn: 64900\n",
			i, tag[i], i / 60, i % 60 * 4);
	if (circuits == 1)
		fprintf(out, "    connections:\n      - vnet: %s\n", first_vnet);
	fclose(out);
	return text;
}

static void apply(const unsigned int *tag, const unsigned int *key)
{
	char *text = generate(tag, key);

	configuration_apply(&configuration, text);
	free(text);
	publish();
}

static bool holds(const unsigned int *tag, const unsigned int *key)
{
	char name[32];

	for (unsigned int i = 0; i < circuits; i++) {
		snprintf(name, sizeof(name), "c%u/private", i);
		const struct wire_interface *attachment =
			fake_find(&fake, WIRE_INTERFACE_SET, interface(name));
		snprintf(name, sizeof(name), "vnet/%s", vnet_name(i));
		const struct wire_interface *tunnel =
			fake_find(&fake, WIRE_INTERFACE_SET, interface(name));
		if (attachment == NULL || tunnel == NULL || attachment->vlan[0] != tag[i] ||
			tunnel->key != key[i] ||
			((attachment->flags | tunnel->flags) & WIRE_INTERFACE_PARKED) != 0)
			return false;
	}
	return true;
}

static void say_everything(void)
{
	bridge_says_neighbor(interface("core0"), "192.0.2.2", true);
	say_synced();
}

#define COUNT_MAX 345u // a message holds 341
static unsigned int tags[COUNT_MAX], keys[COUNT_MAX];

static void start_with(unsigned int count)
{
	circuits = count;
	for (unsigned int i = 0; i < count; i++) {
		tags[i] = 100 + i;
		keys[i] = 7000 + i;
	}
	apply(tags, keys);
	say_everything();
	WAIT_MANY(holds(tags, keys) && state_of() == DATAPLANE_SYNCED);
}

static void swap(unsigned int *value, unsigned int a, unsigned int b)
{
	unsigned int saved = value[a];
	value[a] = value[b];
	value[b] = saved;
}

static void test_two_change_places(void **state)
{
	start_with(4);
	unsigned int before = fake.exchanges;
	swap(tags, 0, 1);
	apply(tags, keys);
	WAIT(holds(tags, keys) && state_of() == DATAPLANE_SYNCED);
	swap(keys, 2, 3);
	apply(tags, keys);
	WAIT(holds(tags, keys) && state_of() == DATAPLANE_SYNCED);
	assert_int_equal(fake.exchanges, before + 2);
}

static void test_a_chain_needs_no_second(void **state)
{
	start_with(4);
	tags[0] = 101; // each takes what the next one gives up
	tags[1] = 102;
	tags[2] = 103;
	tags[3] = 900;
	double began = running_now();
	apply(tags, keys);
	WAIT(holds(tags, keys) && state_of() == DATAPLANE_SYNCED);
	assert_true(running_now() - began < 0.9); // not by the retry once a second
}

static void test_random_permutations(void **state)
{
	const char *given = getenv("CULVERT_SEED");
	unsigned int seed =
		given != NULL ? (unsigned int)strtoul(given, NULL, 10) : (unsigned int)time(NULL);

	print_message("seed %u\n", seed);
	start_with(9);
	for (unsigned int round = 0; round < 60; round++) {
		for (unsigned int i = circuits - 1; i > 0; i--) {
			if (rand_r(&seed) % 2 != 0)
				swap(tags, i, (unsigned int)rand_r(&seed) % (i + 1));
			if (rand_r(&seed) % 2 != 0)
				swap(keys, i, (unsigned int)rand_r(&seed) % (i + 1));
		}
		apply(tags, keys);
		if (rand_r(&seed) % 4 == 0)
			fake_hang_up(&fake);
		WAIT(holds(tags, keys) && state_of() == DATAPLANE_SYNCED);
	}
}

static void test_a_cycle_longer_than_a_message(void **state)
{
	start_with(COUNT_MAX);
	unsigned int first = tags[0];
	memmove(tags, tags + 1, (COUNT_MAX - 1) * sizeof(*tags));
	tags[COUNT_MAX - 1] = first;
	apply(tags, keys);
	WAIT_MANY(holds(tags, keys) && state_of() == DATAPLANE_SYNCED);
}

// A restarted culvertd finds the data plane as it was before the change.
static void test_places_changed_while_control_was_dead(void **state)
{
	start_with(3);
	stop_sync();
	unsigned int first = tags[0];
	tags[0] = tags[1];
	tags[1] = tags[2];
	tags[2] = first;
	char *text = generate(tags, keys);
	configuration_apply(&configuration, text);
	free(text);
	start_sync();
	say_everything();
	WAIT(holds(tags, keys) && state_of() == DATAPLANE_SYNCED);
}

// A new object with the place of one that goes. Routes to the same prefix lead to the old one and keep it, and cannot
// lead to the new one while the old one has its place.
static void test_the_place_of_one_that_goes(void **state)
{
	start_with(1);
	WAIT(fake_route(&fake, vrf("peering/c0/private"), "10.0.0.0/24") != NULL);
	unsigned int interfaces = fake_count(&fake, WIRE_INTERFACE_SET);
	static const char *const names[] = {"another", "v0"};

	for (unsigned int i = 0; i < 2; i++) {
		first_vnet = names[i];
		apply(tags, keys);
		say_everything();
		WAIT(fake_count(&fake, WIRE_INTERFACE_SET) == interfaces && holds(tags, keys) &&
			state_of() == DATAPLANE_SYNCED);
	}
	uint64_t messages = fake.messages;
	settle();
	assert_true(fake.messages - messages < 10); // nothing goes round in circles
}

static void test_what_stays_refused_is_not_synced(void **state)
{
	start_with(2);
	fake.squatter = 555; // somebody else's, who does not go
	tags[0] = 555;
	swap(keys, 0, 1);
	apply(tags, keys);
	WAIT(state_of() == DATAPLANE_INCOMPLETE);
	WAIT(((const struct wire_interface *)fake_find(
		      &fake, WIRE_INTERFACE_SET, interface("vnet/v0")))
			->key == keys[0]); // the others' exchange does not wait for it
	assert_int_equal(state_of(), DATAPLANE_INCOMPLETE);
	// It is in the log when it has lasted, and not before.
	const struct record *refused = record_find_id(
		&running->records, WIRE_INTERFACE_SET, interface("c0/private"));
	assert_non_null(refused);
	assert_false(refused->told);
	WAIT(refused->told);
	fake.squatter = 0;
	WAIT(holds(tags, keys) && state_of() == DATAPLANE_SYNCED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, running_start, running_stop)
	const struct CMUnitTest tests[] = {
		TEST(test_two_change_places),
		TEST(test_a_chain_needs_no_second),
		TEST(test_random_permutations),
		TEST(test_a_cycle_longer_than_a_message),
		TEST(test_places_changed_while_control_was_dead),
		TEST(test_the_place_of_one_that_goes),
		TEST(test_what_stays_refused_is_not_synced),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
