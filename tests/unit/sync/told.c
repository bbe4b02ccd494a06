// SPDX-License-Identifier: BSD-3-Clause
// What the route thread tells of what is how: events, the problems of `status`, and what is not in force and why.

#include "tests/unit/sync/asking.h"

#include "control/status/status.h"

static void assert_event(const char *topic, const char *what, const char *name, const char *now)
{
	const json_t *last = json_array_get(events, json_array_size(events) - 1);

	assert_string_equal(json_string_value(json_object_get(last, "topic")), topic);
	assert_string_equal(json_string_value(json_object_get(last, what)), name);
	assert_string_equal(json_string_value(json_object_get(last, "state")), now);
}

static bool state_told(const char *object, const char *now)
{
	const json_t *event;
	size_t i;

	json_array_foreach (states, i, event)
		if (strcmp(json_string_value(json_object_get(event, "object")), object) == 0 &&
			strcmp(json_string_value(json_object_get(event, "state")), now) == 0)
			return true;
	return false;
}

// What follows from a session for its link and circuit is told too, each with its object's name, and once.
static void test_states_are_events(void **state)
{
	WAIT(state_told("circuit/acme-01", "unknown")); // nobody has said anything of its session
	speaker_says_session(interface("acme-01/private"), "established");
	WAIT(state_told("session/acme-01/private/primary", "established"));
	WAIT(state_told("link/acme-01/primary", "up"));
	WAIT(state_told("circuit/acme-01", "partial")); // the other edge's half is not known here
	assert_false(state_told("circuit/globex-01", "partial"));
	size_t told = json_array_size(states);
	speaker_says_session(interface("acme-01/private"), "established");
	settle();
	assert_int_equal(json_array_size(states), told);
	speaker_says_session(interface("acme-01/private"), "idle");
	WAIT(json_array_size(states) == told + 3);
	// The table and the answer are one.
	json_t *status = result_of("circuit.status", "{\"circuit\": \"acme-01\"}");
	const json_t *circuit = json_array_get(json_object_get(status, "items"), 0);
	assert_string_equal(json_string_value(json_object_get(circuit, "state")), "down");
	const json_t *tunnels = json_object_get(circuit, "tunnels");
	assert_int_equal(json_array_size(tunnels), 1);
	const json_t *tunnel = json_array_get(tunnels, 0);
	const char *vnet = json_string_value(json_object_get(tunnel, "vnet"));
	const struct status *known = status_get(running->status, STATUS_TUNNEL, vnet);
	assert_non_null(known);
	assert_string_equal(json_string_value(json_object_get(tunnel, "state")), known->state);
	json_decref(status);
}

// What monitoring makes of it, and how many sessions are told as what.
static void assert_sessions(json_int_t unknown, json_int_t down, bool is_unknown)
{
	json_t *status = result_of("status", "{}");
	const json_t *sessions = json_object_get(status, "sessions");

	assert_int_equal(number(sessions, "unknown"), unknown);
	assert_int_equal(number(sessions, "down"), down);
	assert_int_equal(json_is_object(json_object_get(status, "unknown")), is_unknown);
	json_decref(status);
}

static bool is_in_state(enum status_kind kind, const char *name, const char *state)
{
	const struct status *status = status_get(running->status, kind, name);
	return status != NULL && strcmp(status->state, state) == 0;
}

// Sessions are up or down whether or not culvertd runs: it says what it has heard, or that it has heard nothing for long.
static void test_what_was_not_heard_yet_is_unknown(void **state)
{
	restart_sync();
	asking_again();
	assert_sessions(2, 0, true);
	WAIT(is_in_state(STATUS_CIRCUIT, "globex-01", "unknown"));
	say_all();
	WAIT(state_of() == DATAPLANE_SYNCED);
	settle();
	assert_sessions(2, 0, true);
	assert_false(state_told("circuit/acme-01", "down"));
	assert_false(state_told("link/acme-01/primary", "down"));
	assert_false(state_told("session/acme-01/private/primary", "down"));
	speaker_says_session(interface("acme-01/private"), "established");
	WAIT(is_in_state(STATUS_CIRCUIT, "acme-01", "partial"));
	assert_sessions(1, 0, true);
	assert_true(is_in_state(STATUS_CIRCUIT, "globex-01", "unknown"));
	const uint32_t silent = interface("globex-01/private");
	session_find(running, silent)->began -= HEARD_NS;
	WAIT(is_in_state(STATUS_CIRCUIT, "globex-01", "down"));
	assert_sessions(0, 1, false);
}

// His router restarts, and forwards: the session is down, and the circuit is not.
static void test_routes_that_are_kept_carry(void **state)
{
	const uint32_t session = interface("acme-01/private");
	struct speaker_state kept = {.state = "active", .imported = 1, .kept_until = 1790000000};

	speaker_says_session(session, "established");
	WAIT(is_in_state(STATUS_CIRCUIT, "acme-01", "partial"));
	fake_speakers.callbacks.session(fake_speakers.callbacks.ctx, session, &kept);
	WAIT(is_in_state(STATUS_CIRCUIT, "acme-01", "degraded"));
	const struct status *link = status_get(running->status, STATUS_LINK, "acme-01/primary");
	assert_int_equal(link->level, STATUS_WARNING);
	assert_non_null(strstr(link->reason, "routes are kept until 14:13:20 UTC"));
	assert_true(is_in_state(STATUS_SESSION, "acme-01/private/primary", "down"));
	assert_sessions(1, 1, true); // globex's is not heard of
	speaker_says_session(session, "active");
	WAIT(is_in_state(STATUS_CIRCUIT, "acme-01", "down"));
}

static bool lists_problem(const json_t *status, const char *object)
{
	const json_t *problem;
	size_t i;

	json_array_foreach (json_object_get(status, "problems"), i, problem)
		if (strcmp(text(problem, "object"), object) == 0)
			return true;
	return false;
}

// Routes that do not fit are a problem of their domain, however many they are, and gone when they fit.
static void test_refused_routes_are_told_of_their_domain(void **state)
{
	fake.refuse_type = WIRE_ROUTE_SET;
	bridge_says_route(vrf(ACME), "10.2.0.0/16", "169.254.10.1", true);
	bridge_says_route(vrf(ACME), "10.3.0.0/16", "169.254.10.1", true);
	WAIT(status_get(running->status, STATUS_DOMAIN, ACME)->level == STATUS_ERROR);
	WAIT(strstr(status_get(running->status, STATUS_DOMAIN, ACME)->reason, "2 of its routes") !=
		NULL);
	json_t *status = result_of("status", "{}");
	assert_true(lists_problem(status, "domain/" ACME));
	json_decref(status);
	fake.refuse_type = 0;
	WAIT(status_get(running->status, STATUS_DOMAIN, ACME)->level == STATUS_OK); // tried again
}

// A port without a device: told of the object while it is so.
static void test_what_cannot_be_realised_is_told(void **state)
{
	configuration_edit(&configuration, "  - name: wan0\n",
		"  - name: core7\n    faces: core\n    address: 192.0.9.1/24\n  - name: wan0\n");
	publish();
	const struct status *entry = status_get(running->status, STATUS_PROBLEM, "port east/core7");
	assert_non_null(entry);
	assert_non_null(strstr(entry->reason, "no device"));
	configuration_edit(&configuration,
		"  - name: core7\n    faces: core\n    address: 192.0.9.1/24\n", "");
	publish();
	assert_null(status_get(running->status, STATUS_PROBLEM, "port east/core7"));
}

static void assert_no_device(const char *object, const char *port)
{
	const struct status *entry = status_get(running->status, STATUS_PROBLEM, object);
	char reason[80];

	snprintf(reason, sizeof(reason), "port \"%s\" has no device on this machine", port);
	assert_non_null(entry);
	assert_string_equal(entry->reason, reason);
	assert_non_null(strstr(entry->hint, "node file"));
}

// Of the port itself, whichever side it is on, and of all that hangs on it.
static void test_what_hangs_on_a_port_without_a_device(void **state)
{
	configuration_edit(&configuration, "  - name: core0\n    faces: core\n    address: 192.0.2.1/24\n",
		"  - name: core7\n    faces: core\n    address: 192.0.2.1/24\n");
	publish();
	assert_no_device("port east/core7", "core7");
	assert_no_device("vnet acme-prod", "core7");
	assert_no_device("vnet globex-prod", "core7");
	configuration_edit(
		&configuration, "  - name: wan0\n", "  - name: wan7\n    faces: customer\n  - name: wan0\n");
	configuration_edit(&configuration, "port: wan0\n", "port: wan7\n");
	publish();
	assert_no_device("port east/wan7", "wan7");
	assert_no_device("link acme-01/primary", "wan7");
	WAIT(strstr(status_get(running->status, STATUS_CIRCUIT, "acme-01")->reason, "port wan7"));
	json_t *status = result_of("circuit.status", "{\"circuit\": \"acme-01\"}");
	const json_t *circuit = json_array_get(json_object_get(status, "items"), 0);
	const json_t *tunnel = json_array_get(json_object_get(circuit, "tunnels"), 0);
	assert_string_equal(text(circuit, "state"), "down");
	assert_non_null(strstr(text(circuit, "reason"), "port wan7 has no device"));
	assert_non_null(strstr(text(tunnel, "reason"), "\"core7\" has no device"));
	json_decref(status);
}

static json_t *waited(const char *params)
{
	return result_of("revision.wait", params);
}

// A change is answered when it is committed; what is in force is told by who knows.
static void test_what_is_not_in_force_is_said(void **state)
{
	char params[64];

	configuration_edit(&configuration, "bandwidth: 50mbps", "bandwidth: 200mbps");
	publish();
	snprintf(params, sizeof(params), "{\"revision\": %llu, \"seconds\": 5}",
		(unsigned long long)configuration.revision);
	json_t *answer = waited(params);
	assert_true(json_is_true(json_object_get(answer, "in_force")));
	assert_int_equal(json_array_size(json_object_get(answer, "refused")), 0);
	json_decref(answer);
	fake.squatter = 555; // the data plane has somebody there whom nobody knows
	configuration_edit(&configuration, "outer-tag: 100\n", "outer-tag: 555\n");
	publish();
	snprintf(params, sizeof(params), "{\"revision\": %llu, \"seconds\": 1}",
		(unsigned long long)configuration.revision);
	answer = waited(params);
	assert_true(json_is_false(json_object_get(answer, "in_force")));
	assert_string_equal(json_string_value(json_object_get(answer, "dataplane")), "incomplete");
	const json_t *refused = json_array_get(json_object_get(answer, "refused"), 0);
	assert_string_equal(
		json_string_value(json_object_get(refused, "object")), "interface acme-01/private");
	json_decref(answer);
	// `status` and the table are one.
	const struct status *entry =
		status_get(running->status, STATUS_RECORD, "interface acme-01/private");
	assert_non_null(entry);
	assert_string_equal(entry->state, "refused");
	json_t *status = result_of("status", "{}");
	assert_true(lists_problem(status, "record/interface acme-01/private"));
	json_decref(status);
	WAIT(state_told("record/interface acme-01/private", "refused"));
	fake_stop(&fake);
	WAIT(state_of() == DATAPLANE_DOWN);
	assert_null(status_get(running->status, STATUS_RECORD, "interface acme-01/private"));
	answer = waited(params); // at once
	assert_string_equal(json_string_value(json_object_get(answer, "dataplane")), "down");
	json_decref(answer);
	fake_start(&fake, path);
}

// What is told to be likely has been seen: frames with other tags only where some came in.
static void test_who_does_not_answer_is_told(void **state)
{
	bridge_says_neighbor(interface("acme-01/private"), "169.254.10.1", false);
	WAIT(state_told("neighbor/acme-01/private/primary", "unresolved"));
	const struct status *entry =
		status_get(running->status, STATUS_NEIGHBOR, "acme-01/private/primary");
	assert_non_null(strstr(entry->reason, "169.254.10.1 does not answer ARP"));
	assert_null(strstr(entry->reason, "frames with tags of no link"));
	bridge_says_neighbor(interface("acme-01/private"), "169.254.10.1", true);
	assert_string_equal(entry->state, "usable");
}

static bool is_in_force(const char *from, const char *to)
{
	char params[64];

	configuration_edit(&configuration, from, to);
	publish();
	snprintf(params, sizeof(params), "{\"revision\": %llu, \"seconds\": 5}",
		(unsigned long long)configuration.revision);
	json_t *answer = waited(params);
	bool force = json_is_true(json_object_get(answer, "in_force"));
	assert_string_equal(json_string_value(json_object_get(answer, "dataplane")), "down");
	json_decref(answer);
	return force;
}

// What is between the BGP daemon and the far end, or another edge's, is in force without a data plane.
static void test_what_needs_no_data_plane_is_in_force_without(void **state)
{
	fake_stop(&fake);
	WAIT(state_of() == DATAPLANE_DOWN);
	WAIT(domains_idle(running->domains));
	assert_true(is_in_force("local-asn: 64900\n", "local-asn: 64901\n"));
	assert_false(is_in_force("bandwidth: 50mbps", "bandwidth: 200mbps"));
	assert_true(is_in_force("peer-asn: 65010\n", "peer-asn: 65011\n"));
	assert_true(is_in_force("outer-tag: 101\n", "outer-tag: 102\n")); // of west
	assert_false(is_in_force("outer-tag: 100\n", "outer-tag: 103\n"));
	assert_false(is_in_force("10.9.0.0/16", "10.8.0.0/16"));
	fake_start(&fake, path);
	WAIT(state_of() == DATAPLANE_SYNCED);
}

// Records that are numbers to the data plane have names to people, who may not be told our numbers.
static void test_what_is_refused_has_a_name(void **state)
{
	static const struct {
		int type;
		const char *name;
	} refused[] = {
		{WIRE_NEIGHBOR_SET, "record/neighbor 169.254.10.1 on acme-01/private"},
		{WIRE_PATH_SET, "record/next hop 169.254.10.1 on acme-01/private"},
		{WIRE_GROUP_SET, "record/routes by 169.254.10.1 on acme-01/private"},
	};

	for (unsigned int i = 0; i < 3; i++) {
		fake_stop(&fake);
		WAIT(state_of() == DATAPLANE_DOWN);
		fake_reset(&fake);
		fake.refuse_type = refused[i].type;
		fake_start(&fake, path);
		WAIT(state_told(refused[i].name, "refused"));
		json_t *status = result_of("status", "{}");
		const json_t *problem;
		size_t at;
		json_array_foreach (json_object_get(status, "problems"), at, problem) {
			assert_null(strstr(text(problem, "object"), "of type"));
			assert_null(strstr(text(problem, "message"), "No space"));
		}
		json_decref(status);
	}
	fake.refuse_type = 0;
	WAIT(status_count(running->status, STATUS_RECORD, STATUS_ERROR) == 0);
}

static void test_sessions_and_ports_are_events(void **state)
{
	assert_int_equal(json_array_size(events), 3); // the ports
	assert_event("port", "port", "core0", "up");
	speaker_says_session(interface("acme-01/private"), "established");
	assert_event("session", "peering", "acme-01/private", "established");
	speaker_says_session(interface("acme-01/private"), "established"); // counters
	assert_int_equal(json_array_size(events), 4);
	speaker_says_another_session(interface("acme-01/private"), "established");
	assert_int_equal(json_array_size(events), 5);
	assert_event("session", "peering", "acme-01/private", "established");
	speaker_says_session(interface("acme-01/private"), "idle");
	assert_event("session", "peering", "acme-01/private", "idle");
	speaker_says_session(interface("acme-01/private"), "connect"); // still down
	assert_int_equal(json_array_size(events), 6);
	const json_t *last = json_array_get(events, 5);
	assert_string_equal(json_string_value(json_object_get(last, "was")), "established");
	assert_string_equal(json_string_value(json_object_get(last, "link")), "primary");
	speaker_says_session(4242, "idle"); // nobody's
	const struct wire_port port = {.port = 1, .mtu = 1500, .mac = {2, 0, 0, 0, 0, 1}, .name = "wan1"};
	fake_send(&fake, WIRE_PORT, &port);
	WAIT(json_array_size(events) == 7);
	assert_event("port", "port", "wan1", "down");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, asking_start, asking_stop)
	const struct CMUnitTest tests[] = {
		TEST(test_who_does_not_answer_is_told),
		TEST(test_sessions_and_ports_are_events),
		TEST(test_states_are_events),
		TEST(test_what_was_not_heard_yet_is_unknown),
		TEST(test_routes_that_are_kept_carry),
		TEST(test_what_is_not_in_force_is_said),
		TEST(test_what_needs_no_data_plane_is_in_force_without),
		TEST(test_what_is_refused_has_a_name),
		TEST(test_refused_routes_are_told_of_their_domain),
		TEST(test_what_cannot_be_realised_is_told),
		TEST(test_what_hangs_on_a_port_without_a_device),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
