// SPDX-License-Identifier: BSD-3-Clause
// The route thread as a whole between a fake kernel and a fake data plane: what is installed, in which order, what
// a restart of either side writes again (nothing), and what hostile answers do (nothing).

#include "tests/unit/sync/running.h"

#include "control/status/status.h"

#include <errno.h>

// --- what is installed ---------------------------------------------------------------------------------

static const struct wire_path *only_path(const struct wire_route *route)
{
	assert_non_null(route);
	const struct wire_group *group = fake_find(&fake, WIRE_GROUP_SET, route->group);
	assert_int_equal(group->count, 1);
	return fake_find(&fake, WIRE_PATH_SET, group->path[0]);
}

static void test_everything_is_installed(void **state)
{
	assert_int_equal(fake.refused, 0); // the order was right
	assert_int_equal(fake_count(&fake, WIRE_VRF_SET), 5);
	assert_int_equal(fake_count(&fake, WIRE_INTERFACE_SET), 5);
	assert_int_equal(fake_count(&fake, WIRE_LIMITER_SET), 4);
	assert_int_equal(fake_count(&fake, WIRE_LOCAL_SET), 3);
	assert_int_equal(fake_count(&fake, WIRE_NEIGHBOR_SET), 3);
	WAIT(fake.hosts == 3); // TAPs of two attachments and the core port, behind what forwards
	assert_int_equal(fake_bridge.interfaces, 3);
	assert_int_equal(fake_speakers.sessions, 2);
	const struct wire_interface *tunnel =
		fake_find(&fake, WIRE_INTERFACE_SET, interface("vnet/acme-prod"));
	assert_int_not_equal(tunnel->underlay, 0);
	const char *const own[2][3] = {{ACME, "vnet/acme-prod", "acme-01/private"},
		{GLOBEX, "vnet/globex-prod", "globex-01/private"}};
	for (unsigned int i = 0; i < 2; i++) {
		const struct wire_path *path_to;
		path_to = only_path(fake_route(&fake, vrf(own[i][0]), "10.1.0.0/16"));
		assert_int_equal(path_to->interface, interface(own[i][2]));
		assert_int_equal(path_to->up, 1);
		path_to = only_path(fake_route(&fake, vrf(own[i][0]), "10.9.0.0/16"));
		assert_int_equal(path_to->interface, interface(own[i][1]));
		path_to = only_path(fake_route(&fake, vrf(own[i][1]), "10.1.0.0/16"));
		assert_int_equal(path_to->interface, interface(own[i][2]));
		path_to = only_path(fake_route(&fake, vrf(own[i][1]), "10.9.0.0/16"));
		assert_int_equal(path_to->interface, interface(own[i][1]));
	}
	assert_int_equal(fake_speakers.announced[vrf(ACME)], 1);
}

// What crosses a connection is counted by it, each direction apart; what stays in a domain is nobody's.
static void test_connections_have_accounts(void **state)
{
	const char *const domain[2][2] = {{ACME, "vnet/acme-prod"}, {GLOBEX, "vnet/globex-prod"}};
	uint64_t account[2][2];

	for (unsigned int i = 0; i < 2; i++) {
		account[i][0] =
			only_path(fake_route(&fake, vrf(domain[i][0]), "10.9.0.0/16"))->account;
		account[i][1] =
			only_path(fake_route(&fake, vrf(domain[i][1]), "10.1.0.0/16"))->account;
		assert_int_equal(
			only_path(fake_route(&fake, vrf(domain[i][0]), "10.1.0.0/16"))->account, 0);
		assert_int_not_equal(account[i][0], 0);
		assert_int_not_equal(account[i][1], 0);
		assert_int_not_equal(account[i][0], account[i][1]);
	}
	assert_int_not_equal(account[0][0], account[1][0]);
	assert_int_not_equal(account[0][1], account[1][1]);
}

static void test_a_route_comes_and_goes(void **state)
{
	bridge_says_route(vrf(ACME), "10.77.0.0/16", "169.254.10.1", true);
	WAIT(fake_route(&fake, vrf(ACME), "10.77.0.0/16") != NULL);
	WAIT(fake_route(&fake, vrf("vnet/acme-prod"), "10.77.0.0/16") != NULL);
	assert_null(fake_route(&fake, vrf(GLOBEX), "10.77.0.0/16"));
	assert_null(fake_route(&fake, vrf("vnet/globex-prod"), "10.77.0.0/16"));
	uint64_t groups = fake_count(&fake, WIRE_GROUP_SET);
	bridge_says_route(vrf(ACME), "10.77.0.0/16", "169.254.10.1", false);
	WAIT(fake_route(&fake, vrf(ACME), "10.77.0.0/16") == NULL &&
		fake_route(&fake, vrf("vnet/acme-prod"), "10.77.0.0/16") == NULL);
	assert_int_equal(fake_count(&fake, WIRE_GROUP_SET), groups); // shared with 10.1/16
	bridge_says_route(vrf(ACME), "10.1.0.0/16", "169.254.10.1", false);
	WAIT(fake_route(&fake, vrf(ACME), "10.1.0.0/16") == NULL);
	assert_non_null(fake_route(&fake, vrf(GLOBEX), "10.1.0.0/16"));
	assert_int_equal(fake.refused, 0);
}

static void test_false_announcements_change_nothing(void **state)
{
	static const char *const claims[] = {"10.9.0.0/16", "10.9.7.0/24", "169.254.10.0/30",
		"169.254.10.2/32", "192.0.2.1/32", "198.51.100.11/32"};
	uint64_t written = fake.written;

	for (unsigned int i = 0; i < sizeof(claims) / sizeof(claims[0]); i++)
		bridge_says_route(vrf(ACME), claims[i], "169.254.10.1", true);
	bridge_says_route(vrf(ACME), "10.50.0.0/16", "10.1.2.3", true); // not by his router
	bridge_says_route(vrf(ACME), "0.0.0.0/0", "169.254.10.1", true);
	WAIT(fake_route(&fake, vrf("vnet/acme-prod"), "0.0.0.0/0") != NULL);
	assert_int_equal(fake.written, written + 2); // 0/0 in both domains, nothing else
	assert_int_equal(only_path(fake_route(&fake, vrf(ACME), "10.9.0.0/16"))->interface,
		interface("vnet/acme-prod"));
}

static void test_a_neighbor_is_one_store(void **state)
{
	uint64_t written = fake.written;
	uint32_t id = interface("acme-01/private");
	const struct wire_path *to = only_path(fake_route(&fake, vrf(ACME), "10.1.0.0/16"));

	bridge_says_neighbor(id, "169.254.10.1", false);
	WAIT(to->up == 0);
	assert_int_equal(
		fake.written, written + 3); // neighbor, and its paths: his own, the connection's
	bridge_says_neighbor(id, "169.254.10.1", true);
	WAIT(to->up == 1);
	assert_int_equal(fake_speakers.announced[vrf(ACME)], 1); // the tunnel was up all the time
}

static void test_a_tunnel_down_is_not_announced(void **state)
{
	bridge_says_neighbor(interface("core0"), "192.0.2.2", false);
	assert_int_equal(fake_speakers.announced[vrf(ACME)], 0);
	assert_int_equal(fake_speakers.announced[vrf(GLOBEX)], 0);
	bridge_says_neighbor(interface("core0"), "192.0.2.2", true);
	assert_int_equal(fake_speakers.announced[vrf(ACME)], 1);
}

static void test_a_port_takes_its_carriers_along(void **state)
{
	struct wire_port port = {.port = 0, .mtu = 1500, .mac = {2}, .name = "wan0"};

	assert_true(fake_bridge.carrier[interface("acme-01/private")]);
	fake_send(&fake, WIRE_PORT, &port);
	WAIT(!fake_bridge.carrier[interface("acme-01/private")]);
	WAIT(only_path(fake_route(&fake, vrf(ACME), "10.1.0.0/16"))->up == 0);
	assert_true(fake_bridge.carrier[interface("globex-01/private")]);
	const struct wire_needed needed = {interface("globex-01/private"),
		only_path(fake_route(&fake, vrf(GLOBEX), "10.1.0.0/16"))->neighbor};
	fake_send(&fake, WIRE_NEIGHBOR_NEEDED, &needed);
	WAIT(fake_bridge.probes == 1);
}

static void test_a_host_queue_that_is_lost(void **state)
{
	const struct wire_id id = {.id = interface("acme-01/private")}, unknown = {.id = 4711};
	unsigned int hosts = fake.hosts, doubts = fake_bridge.doubts;

	fake_send(&fake, WIRE_HOST_LOST, &unknown);
	fake_send(&fake, WIRE_HOST_LOST, &id);
	WAIT(fake_bridge.doubts == doubts + 1);
	WAIT(fake.hosts == hosts + 1);
}

// --- configuration changes -----------------------------------------------------------------------------

static void test_bandwidth_is_the_limiters_alone(void **state)
{
	uint64_t written = fake.written;
	unsigned int sets = fake_bridge.interface_sets,
		     limiters = fake.set_messages[WIRE_LIMITER_SET];

	configuration_edit(&configuration, "bandwidth: 50mbps", "bandwidth: 100mbps");
	publish();
	WAIT(fake.set_messages[WIRE_LIMITER_SET] == limiters + 2);
	for (unsigned int i = 0; i < 20; i++)
		turn();
	assert_int_equal(fake.written, written + 2);
	assert_int_equal(fake_bridge.interface_sets, sets);
}

static void test_a_circuit_goes_without_a_trace(void **state)
{
	char *yaml = strdup(base_yaml), *at = strstr(yaml, "  - name: globex-01");
	uint32_t gone = vrf(GLOBEX);

	*at = '\0';
	configuration_apply(&configuration, yaml);
	free(yaml);
	publish();
	WAIT(fake_find(&fake, WIRE_VRF_SET, gone) == NULL);
	assert_int_equal(fake.refused, 0); // in the right order
	assert_int_equal(fake_count(&fake, WIRE_LIMITER_SET), 2);
	assert_int_equal(fake_count(&fake, WIRE_LOCAL_SET), 2);
	assert_int_equal(fake_count(&fake, WIRE_NEIGHBOR_SET), 2);
	assert_int_equal(fake_bridge.interfaces, 2);
	assert_int_equal(fake_speakers.sessions, 1);
	assert_non_null(fake_route(&fake, vrf(ACME), "10.1.0.0/16"));
	configuration_apply(&configuration, base_yaml);
	publish();
	WAIT(fake_count(&fake, WIRE_LIMITER_SET) == 4);
	assert_int_equal(vrf(GLOBEX), gone); // it is its own
}

static void test_a_refused_record_stops_nobody(void **state)
{
	fake.refuse_type = WIRE_ROUTE_SET;
	bridge_says_route(vrf(ACME), "10.88.0.0/16", "169.254.10.1", true);
	WAIT(running->records.routes_failed > 0);
	configuration_edit(&configuration, "bandwidth: 50mbps", "bandwidth: 200mbps");
	unsigned int limiters = fake.set_messages[WIRE_LIMITER_SET];
	publish();
	WAIT(fake.set_messages[WIRE_LIMITER_SET] == limiters + 2);
	fake.refuse_type = 0;
	WAIT(fake_route(&fake, vrf(ACME), "10.88.0.0/16") != NULL); // tried again by itself
	WAIT(running->records.routes_failed == 0);
}

// --- restarts ------------------------------------------------------------------------------------------

static void test_restart_of_control_writes_nothing(void **state)
{
	bridge_says_route(vrf(ACME), "10.77.0.0/16", "169.254.10.1", true);
	WAIT(fake_route(&fake, vrf(ACME), "10.77.0.0/16") != NULL);
	uint64_t written = fake.written, swept = fake.swept;
	struct fake_record *before = calloc(fake.count, sizeof(*before));
	unsigned int count = fake.count;
	memcpy(before, fake.record, count * sizeof(*before));

	restart_sync();
	// The kernel has said nothing yet: everything stays as it is, however long that takes.
	WAIT(state_of() == DATAPLANE_REPLAYING && running->ready);
	for (unsigned int i = 0; i < 50; i++)
		turn();
	assert_int_equal(fake.written, written);
	assert_int_not_equal(state_of(), DATAPLANE_SYNCED);
	// It speaks, in another order than before.
	bridge_says_route(vrf(GLOBEX), "10.1.0.0/16", "169.254.10.1", true);
	bridge_says_route(vrf(ACME), "10.77.0.0/16", "169.254.10.1", true);
	say_all();
	WAIT(state_of() == DATAPLANE_SYNCED);
	assert_int_equal(fake.written, written);
	assert_int_equal(fake.swept, swept);
	assert_int_equal(fake.count, count);
	for (unsigned int i = 0; i < count; i++)
		assert_memory_equal(before[i].value, fake.record[i].value, sizeof(before[i].value));
	free(before);
}

static void test_what_went_while_control_was_dead_is_swept(void **state)
{
	bridge_says_route(vrf(ACME), "10.77.0.0/16", "169.254.10.1", true);
	WAIT(fake_route(&fake, vrf(ACME), "10.77.0.0/16") != NULL);
	char *yaml = strdup(base_yaml), *at = strstr(yaml, "  - name: globex-01");
	uint32_t gone = vrf(GLOBEX);

	*at = '\0';
	configuration_apply(&configuration, yaml);
	free(yaml);
	restart_sync();
	bridge_says_neighbor(interface("core0"), "192.0.2.2", true);
	bridge_says_neighbor(interface("acme-01/private"), "169.254.10.1", true);
	bridge_says_route(vrf(ACME), "10.1.0.0/16", "169.254.10.1", true);
	say_synced();
	WAIT(state_of() == DATAPLANE_SYNCED);
	assert_null(fake_route(&fake, vrf(ACME), "10.77.0.0/16"));
	assert_null(fake_find(&fake, WIRE_ROUTE_SET, gone));
	assert_int_equal(fake_count(&fake, WIRE_NEIGHBOR_SET), 2);
}

static void test_restart_of_the_data_plane_is_replayed(void **state)
{
	unsigned int count = fake.count;

	fake_stop(&fake);
	WAIT(state_of() == DATAPLANE_DOWN);
	// Life goes on meanwhile.
	bridge_says_route(vrf(ACME), "10.77.0.0/16", "169.254.10.1", true);
	bridge_says_route(vrf(ACME), "10.78.0.0/16", "169.254.10.1", true);
	bridge_says_route(vrf(ACME), "10.78.0.0/16", "169.254.10.1", false);
	fake_reset(&fake);
	fake_start(&fake, path);
	WAIT(state_of() == DATAPLANE_SYNCED);
	assert_int_equal(fake.count, count + 2);
	assert_int_equal(fake.refused, 0);
	assert_int_equal(fake.written, count + 2);
	WAIT(fake.hosts == 3);
	assert_non_null(fake_route(&fake, vrf("vnet/acme-prod"), "10.77.0.0/16"));
}

static void test_interruptions_at_any_point(void **state)
{
	unsigned int count = fake.count;
	uint64_t written = fake.written;

	for (unsigned int after = 1; after < 40; after++) {
		uint64_t messages = fake.messages;
		fake_hang_up(&fake);
		WAIT(fake.messages >= messages + after || state_of() == DATAPLANE_SYNCED);
	}
	fake_hang_up(&fake);
	WAIT(state_of() == DATAPLANE_DOWN);
	WAIT(state_of() == DATAPLANE_SYNCED);
	assert_int_equal(fake.count, count);
	assert_int_equal(fake.written, written);
	assert_int_equal(fake.swept, 0);
}

static void test_the_other_edge_has_its_own_half(void **state)
{
	stop_sync();
	fake_stop(&fake);
	fake_reset(&fake);
	node->edge = "west";
	fake_start(&fake, path);
	start_sync();
	bridge_says_neighbor(interface("core0"), "192.0.2.2", true);
	bridge_says_route(vrf(ACME), "10.1.0.0/16", "169.254.10.5", true);
	say_synced();
	WAIT(state_of() == DATAPLANE_SYNCED);
	const struct wire_interface *attachment =
		fake_find(&fake, WIRE_INTERFACE_SET, interface("acme-01/private"));
	assert_int_equal(attachment->vlan[0], 101);
	assert_non_null(fake_route(&fake, vrf("vnet/acme-prod"), "10.1.0.0/16"));
	assert_int_equal(fake.refused, 0);
}

// --- hostile -------------------------------------------------------------------------------------------

// Whatever was told it already and came back is of this one reason.
static void assert_one_refusal(const char *words)
{
	const struct status *told;

	for (unsigned int i = 0; i < 20; i++)
		turn();
	assert_int_equal(state_of(), DATAPLANE_REFUSED);
	assert_int_equal(status_count(running->status, STATUS_RECORD, STATUS_ERROR), 0);
	told = status_get(running->status, STATUS_DATAPLANE, node->edge);
	assert_string_equal(told->state, "refused");
	assert_non_null(strstr(told->reason, words));
	assert_non_null(strstr(told->hint, "culvertctl edge adopt"));
}

static void test_a_foreign_data_plane_refuses(void **state)
{
	fake_hang_up(&fake);
	fake.refuse_begin = -ESTALE;
	WAIT(state_of() == DATAPLANE_REFUSED);
	assert_one_refusal("later revision");
	uint64_t written = fake.written;
	bridge_says_route(vrf(ACME), "10.77.0.0/16", "169.254.10.1", true);
	for (unsigned int i = 0; i < 50; i++)
		turn();
	assert_int_equal(fake.written, written);
	fake.refuse_begin = 0; // another one was started
	fake_hang_up(&fake);
	WAIT(state_of() == DATAPLANE_SYNCED);
	assert_non_null(fake_route(&fake, vrf(ACME), "10.77.0.0/16"));
	// In the middle of it, as when somebody else has configured it meanwhile.
	fake.refuse_begin = -ESTALE;
	configuration_edit(&configuration, "bandwidth: 50mbps", "bandwidth: 200mbps");
	publish();
	WAIT(state_of() == DATAPLANE_REFUSED);
	assert_one_refusal("later revision");
	fake.refuse_begin = 0;
	fake_hang_up(&fake);
	WAIT(state_of() == DATAPLANE_SYNCED);
}

static void stays_held(const char *words)
{
	for (double until = running_now() + 0.3; running_now() < until;)
		turn();
	assert_int_equal(state_of(), DATAPLANE_HELD);
	assert_non_null(strstr(dataplane_status(running->dataplane)->error, words));
	assert_int_equal(fake_bridge.domains + fake_bridge.interface_sets + fake_bridge.sweeps, 0);
	assert_null(fake.link);
}

static void test_what_another_store_has_marked_is_left_alone(void **state)
{
	uint64_t written = fake.written;

	stop_sync();
	fake_hang_up(&fake);
	fake_bridge.foreign = 3;
	start_sync();
	stays_held("3 domains of edge \"other\"");
	publish(); // another revision changes nothing about that
	stays_held("3 domains");
	fake.refuse_begin = -ESTALE; // unless it is forced
	hold_adopt(running);
	WAIT(fake.link != NULL && fake_bridge.interface_sets > 0);
	say_all();
	settle();
	assert_int_equal(state_of(), DATAPLANE_SYNCED);
	assert_int_equal(fake.written, written);
}

static void test_an_edge_that_the_model_does_not_have(void **state)
{
	struct node *right = node;

	stop_sync();
	fake_hang_up(&fake);
	node = make_node("esat", path);
	start_sync();
	stays_held("\"esat\"");
	stop_sync();
	free_node(node);
	node = right;
	start_sync();
	WAIT(fake_bridge.interface_sets > 0);
	say_all();
	settle();
	assert_int_equal(state_of(), DATAPLANE_SYNCED);
}

enum { OLD = 40, OLD_COUNT = 20 };

// Interfaces that the data plane has and nobody configures.
static void plant_old(void)
{
	const struct wire_interface *like =
		fake_find(&fake, WIRE_INTERFACE_SET, interface("acme-01/private"));

	for (unsigned int i = 0; i < OLD_COUNT; i++) {
		struct fake_record *record = &fake.record[fake.count++];
		struct wire_interface old = *like;
		old.interface = OLD + i;
		old.uid += 1000 + i;
		old.vlan[0] = (uint16_t)(2000 + i);
		*record = (struct fake_record){.type = WIRE_INTERFACE_SET};
		memcpy(record->value, &old, sizeof(old));
	}
}

static void test_many_deletions_that_history_explains(void **state)
{
	struct ids_past *past = calloc(1, sizeof(*past) + OLD_COUNT * sizeof(past->item[0]));

	fake.guard = true;
	plant_old();
	stop_sync();
	fake_hang_up(&fake);
	start_sync();
	WAIT(state_of() == DATAPLANE_REFUSED); // nobody deleted them
	assert_int_equal(fake_bridge.sweeps, 0);
	stop_sync();
	fake_hang_up(&fake);
	past->references = 1;
	past->count = OLD_COUNT;
	for (unsigned int i = 0; i < OLD_COUNT; i++) {
		past->item[i].class = ID_INTERFACE;
		past->item[i].id = OLD + i;
	}
	configuration.ids->past = past;
	start_sync();
	say_all();
	WAIT(state_of() == DATAPLANE_SYNCED);
	assert_null(fake_find(&fake, WIRE_INTERFACE_SET, OLD));
}

static const struct wire_neighbor *neighbor_of(const char *text)
{
	struct ip_address address;

	assert_int_equal(ip_address_parse(text, &address), 0);
	for (unsigned int i = 0; i < fake.count; i++) {
		const struct wire_neighbor *neighbor = (const void *)fake.record[i].value;
		if (fake.record[i].type == WIRE_NEIGHBOR_SET &&
			memcmp(neighbor->addr, address.bytes, sizeof(neighbor->addr)) == 0)
			return neighbor;
	}
	return NULL;
}

// What a neighbor's MAC was before we came is believed until the data plane has swept, and not for ever.
static void test_an_old_neighbor_is_not_believed_for_ever(void **state)
{
	bridge_says_neighbor(interface("core0"), "192.0.2.9", true);
	configuration_edit(&configuration, "via: 192.0.2.2", "via: 192.0.2.9");
	publish();
	WAIT(neighbor_of("192.0.2.9") != NULL &&
		neighbor_of("192.0.2.9")->state == WIRE_NEIGHBOR_RESOLVED);
	settle();
	stop_sync();
	fake_hang_up(&fake);
	configuration_edit(&configuration, "via: 192.0.2.9", "via: 192.0.2.2");
	start_sync();
	say_all();
	WAIT(state_of() == DATAPLANE_SYNCED && neighbor_of("192.0.2.9") == NULL);
	configuration_edit(&configuration, "via: 192.0.2.2", "via: 192.0.2.9");
	publish();
	WAIT(neighbor_of("192.0.2.9") != NULL);
	assert_int_equal(neighbor_of("192.0.2.9")->state, WIRE_NEIGHBOR_UNRESOLVED);
	bridge_says_neighbor(interface("core0"), "192.0.2.9", true);
	WAIT(neighbor_of("192.0.2.9")->state == WIRE_NEIGHBOR_RESOLVED);
}

static void test_the_kernel_is_swept_after_the_data_plane_accepted(void **state)
{
	stop_sync();
	fake_hang_up(&fake);
	fake.refuse_begin = -ESTALE;
	start_sync();
	fake_bridge.too_many = true;
	WAIT(state_of() == DATAPLANE_REFUSED);
	WAIT(running->settled);
	hold_sweep(running);
	assert_int_equal(running->hold.sweep_message[0], '\0'); // not even tried
	fake.refuse_begin = 0;
	fake_hang_up(&fake);
	WAIT(running->hold.sweep_message[0] != '\0');
	assert_int_equal(fake_bridge.sweeps, 0);
	hold_adopt(running);
	WAIT(fake_bridge.sweeps == 1);
	assert_int_equal(running->hold.sweep_message[0], '\0');
	say_all();
	settle();
}

// It was started from a node file with another order of ports: our numbers mean other cables there.
static void test_ports_in_another_order(void **state)
{
	const char *first = fake.port_name[0];

	fake.port_name[0] = fake.port_name[1];
	fake.port_name[1] = first;
	fake_hang_up(&fake);
	WAIT(state_of() == DATAPLANE_REFUSED);
	uint64_t written = fake.written, revision = fake.revision;
	assert_string_equal(dataplane_status(running->dataplane)->error,
		"port 0 of the running data plane is \"wan1\", in the node file it is \"wan0\": "
		"nothing is sent to it");
	configuration_edit(&configuration, "key: 7002", "key: 7003");
	publish();
	for (double until = running_now() + 0.3; running_now() < until;)
		turn();
	assert_int_equal(state_of(), DATAPLANE_REFUSED);
	assert_int_equal(fake.written, written);
	assert_int_equal(fake.revision, revision);
	fake.port_name[1] = fake.port_name[0];
	fake.port_name[0] = first;
	fake_hang_up(&fake);
	settle();
}

#define CORE 2u // number of the core port

static bool asked_for_its_gateway(uint32_t id)
{
	const struct tunnel *tunnel = table_find(&running->tunnels, &id);
	const struct neighbor *neighbor =
		nexthops_neighbor_find(&running->hops, tunnel->core, &tunnel->via);
	return neighbor != NULL && neighbor->expected;
}

// A core port's device is made when the data plane says that there is such a port, however late that is: only then can
// anybody be asked for the way to the gateways.
static void test_a_core_port_that_comes_late(void **state)
{
	const uint32_t tunnel = interface("vnet/acme-prod");
	const struct wire_port core = {
		.port = CORE, .mtu = 1500, .up = 1, .mac = {2, 0, 0, 0, 0, CORE}, .name = "core0"};

	stop_sync();
	fake_hang_up(&fake);
	fake.ports = CORE;
	start_sync();
	WAIT(running->settled && dataplane_accepted(running->dataplane));
	settle();
	assert_false(asked_for_its_gateway(tunnel));
	fake_send(&fake, WIRE_PORT, &core);
	WAIT(asked_for_its_gateway(tunnel));
	say_all();
	settle();
}

static void test_lies_end_the_connection(void **state)
{
	fake.wrong_acks = true;
	bridge_says_route(vrf(ACME), "10.77.0.0/16", "169.254.10.1", true);
	WAIT(state_of() == DATAPLANE_DOWN);
	fake.wrong_acks = false;
	WAIT(state_of() == DATAPLANE_SYNCED);
	const struct wire_route unasked = {.vrf = 1, .group = 2, .family = WIRE_IPV4};
	fake_send(&fake, WIRE_ROUTE_SET, &unasked);
	WAIT(state_of() == DATAPLANE_DOWN);
	WAIT(state_of() == DATAPLANE_SYNCED);
	assert_non_null(fake_route(&fake, vrf(ACME), "10.77.0.0/16"));
}

static unsigned int answers;

static void on_answer(void *ctx)
{
	answers++;
}

static void test_status_is_answered_by_a_dying_data_plane(void **state)
{
	answers = 0;
	dataplane_refresh(running->dataplane, on_answer, NULL);
	WAIT(answers == 1);
	fake.silent = true;
	dataplane_refresh(running->dataplane, on_answer, NULL);
	dataplane_refresh(running->dataplane, on_answer, NULL);
	turn();
	assert_int_equal(answers, 1);
	fake_hang_up(&fake);
	WAIT(answers == 3);
	dataplane_refresh(running->dataplane, on_answer, NULL);
	WAIT(answers == 4);
	fake.silent = false;
	WAIT(state_of() == DATAPLANE_SYNCED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, running_start, running_stop)
	const struct CMUnitTest tests[] = {
		TEST(test_everything_is_installed),
		TEST(test_connections_have_accounts),
		TEST(test_a_route_comes_and_goes),
		TEST(test_false_announcements_change_nothing),
		TEST(test_a_neighbor_is_one_store),
		TEST(test_a_tunnel_down_is_not_announced),
		TEST(test_a_port_takes_its_carriers_along),
		TEST(test_a_host_queue_that_is_lost),
		TEST(test_bandwidth_is_the_limiters_alone),
		TEST(test_a_circuit_goes_without_a_trace),
		TEST(test_a_refused_record_stops_nobody),
		TEST(test_restart_of_control_writes_nothing),
		TEST(test_what_went_while_control_was_dead_is_swept),
		TEST(test_restart_of_the_data_plane_is_replayed),
		TEST(test_interruptions_at_any_point),
		TEST(test_the_other_edge_has_its_own_half),
		TEST(test_a_foreign_data_plane_refuses),
		TEST(test_what_another_store_has_marked_is_left_alone),
		TEST(test_an_edge_that_the_model_does_not_have),
		TEST(test_many_deletions_that_history_explains),
		TEST(test_an_old_neighbor_is_not_believed_for_ever),
		TEST(test_the_kernel_is_swept_after_the_data_plane_accepted),
		TEST(test_ports_in_another_order),
		TEST(test_a_core_port_that_comes_late),
		TEST(test_lies_end_the_connection),
		TEST(test_status_is_answered_by_a_dying_data_plane),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
