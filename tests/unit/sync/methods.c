// SPDX-License-Identifier: BSD-3-Clause
// The route thread's methods over a real control socket: what limiters did, parameters, clearing, taking over.

#include "tests/unit/sync/asking.h"

#include "control/status/status.h"

#include "dataplane/wire/stats_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int setup_lab(void **state)
{
	configuration_lab = true;
	int result = asking_start(state);
	configuration_lab = false;
	return result;
}

// --- limiters -------------------------------------------------------------------------------------------

static uint64_t real_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct stats_segment *segment;

static uint32_t limiter_slot_of(const char *name)
{
	int64_t slot = stats_slot(segment, STATS_LIMITER, limiter_called(name)->uid);
	assert_true(slot > 0);
	return (uint32_t)slot;
}

static char segment_path[64];

static void open_segment(void)
{
	char note[256] = "";

	snprintf(
		segment_path, sizeof(segment_path), "/dev/shm/culvert-test-sync-%d", (int)getpid());
	const struct stats_config config = {.path = segment_path,
		.interfaces = 64,
		.limiters = 64,
		.workers = 2,
		.hz = 1000000000,
		.instance = 7};
	if (stats_open(&config, &segment, note, sizeof(note)) != 0)
		fail_msg("%s", note);
	fake.stats = stats_descriptor(segment);
}

static void close_segment(void)
{
	stats_close(segment);
	unlink(segment_path);
	fake.stats = 0;
}

static void reconnect(void)
{
	fake_hang_up(&fake);
	WAIT(state_of() == DATAPLANE_DOWN);
	WAIT(state_of() == DATAPLANE_SYNCED);
}

// The direction's member of circuit.stats.
static json_t *direction(const char *name)
{
	json_t *stats =
		result_of("circuit.stats", "{\"circuit\":\"acme-01\",\"link\":\"primary\"}");
	json_t *found = json_incref(
		json_object_get(json_array_get(json_object_get(stats, "links"), 0), name));
	assert_true(json_is_object(found));
	json_decref(stats);
	return found;
}

static void test_stats_tell_the_contract_and_the_classes(void **state)
{
	configuration_edit(
		&configuration, "bandwidth: 50mbps", "bandwidth: 50mbps\n  shape-out: 20ms");
	publish();
	open_segment();
	uint64_t uid = limiter_called("acme-01/primary/in")->uid;
	int64_t slot = stats_slot(segment, STATS_LIMITER, uid);
	assert_true(slot > 0);
	for (unsigned int w = 0; w < 2; w++) { // two workers add up
		struct stats_limiter *count =
			&stats_limiter_part(segment, w, (uint32_t)slot)->count;
		count->passed[0].packets = 10;
		count->passed[0].bytes = 10000;
		count->passed[1].packets = 3;
		count->limited[0].packets = 2;
		count->limited[0].bytes = 2000;
		count->limited[1].bytes = 50;
	}
	stats_limiter_word(segment, (uint32_t)slot)->peak_bytes = 42000;
	reconnect();
	json_t *in = direction("in"), *out = direction("out");
	const json_t *effort = json_object_get(in, "best_effort"), *ef = json_object_get(in, "ef");
	assert_int_equal(number(effort, "packets"), 20);
	assert_int_equal(number(effort, "bytes"), 20000);
	assert_int_equal(number(effort, "limited_packets"), 4);
	assert_int_equal(number(effort, "limited_bytes"), 4000);
	assert_int_equal(number(ef, "packets"), 6);
	assert_int_equal(number(ef, "limited_bytes"), 100);
	assert_int_equal(number(in, "packets"), 26);
	assert_int_equal(number(in, "limited_bytes"), 4100);
	assert_int_equal(number(in, "peak_bytes"), 42000);
	assert_int_equal(number(in, "peak_rate"), 336000000);
	assert_true(json_is_null(json_object_get(in, "last_drops")));
	const json_t *contract = json_object_get(in, "contract");
	assert_int_equal(number(contract, "rate"), 50000000);
	assert_int_equal(number(contract, "burst_bytes"), 312500);
	assert_true(json_real_value(json_object_get(contract, "burst_ms")) == 50.0);
	assert_true(json_is_false(json_object_get(contract, "shaped")));
	contract = json_object_get(out, "contract");
	assert_true(json_is_true(json_object_get(contract, "shaped")));
	assert_true(json_real_value(json_object_get(contract, "queue_ms")) == 20.0);
	json_decref(in);
	json_decref(out);
	close_segment();
}

static void assert_drops(uint64_t start, uint64_t packets, bool ongoing)
{
	json_t *in = direction("in");
	const json_t *drops = json_object_get(in, "last_drops");

	assert_int_equal(number(drops, "start"), start / 1000000000u);
	assert_int_equal(number(drops, "packets"), packets);
	assert_int_equal(json_is_true(json_object_get(drops, "ongoing")), ongoing);
	json_decref(in);
}

static bool heard_of(uint64_t uid)
{
	struct limiter_counters c;
	counters_limiter(running, uid, &c);
	return c.episode.packets == 4;
}

static void test_the_last_drops_are_remembered(void **state)
{
	uint64_t now = real_ns(), uid = limiter_called("acme-01/primary/in")->uid;
	const struct wire_episode episode = {.uid = uid,
		.start = now - 3000000000u,
		.length = 2500000,
		.bytes = 6000,
		.packets = 4};

	fake_send(&fake, WIRE_LIMITER_EPISODE, &episode);
	WAIT(heard_of(uid));
	assert_drops(episode.start, 4, false);
	json_t *in = direction("in");
	assert_int_equal(number(in, "limited_since"), episode.start / 1000000000u);
	json_decref(in);
	// Another data plane, with a segment of its own that knows nothing of it.
	open_segment();
	int64_t slot = stats_slot(segment, STATS_LIMITER, uid);
	reconnect();
	assert_drops(episode.start, 4, false);
	// What goes on stands in the segment before it is an event.
	struct stats_limiter_word *word = stats_limiter_word(segment, (uint32_t)slot);
	word->episode_start = real_ns() - 1000000000u;
	word->episode_length = 1000000000u;
	word->episode_packets = 9;
	assert_drops(word->episode_start, 9, true);
	// One of an hour ago is told, and limits nobody now.
	word->episode_start = word->episode_length = 0;
	struct wire_episode old = episode;
	old.start -= 3600000000000u;
	fake_send(&fake, WIRE_LIMITER_EPISODE, &old);
	old.uid = 12345; // nobody's
	fake_send(&fake, WIRE_LIMITER_EPISODE, &old);
	json_t *last;
	do {
		in = direction("in");
		last = json_object_get(in, "limited_since");
		bool done = json_is_null(last);
		json_decref(in);
		if (done)
			break;
	} while (true);
	close_segment();
}

// --- a data plane that means no good ---------------------------------------------------------------------

static void assert_answers_without_counters(void)
{
	json_t *in = direction("in");

	assert_true(json_is_null(json_object_get(in, "peak_bytes")));
	assert_true(json_is_null(json_object_get(in, "packets")));
	json_decref(in);
}

// A path is never opened: one like this would wait for a writer for ever.
static void test_a_path_in_hello_is_only_text(void **state)
{
	char fifo[64];

	snprintf(fifo, sizeof(fifo), "/dev/shm/culvert-test-fifo-%d", (int)getpid());
	assert_int_equal(mkfifo(fifo, 0600), 0);
	fake.stats_path = fifo;
	alarm(20);
	reconnect();
	assert_answers_without_counters();
	alarm(0);
	fake.stats_path = NULL;
	unlink(fifo);
}

static void test_descriptors_of_other_things(void **state)
{
	int pipes[2];

	assert_int_equal(pipe(pipes), 0);
	alarm(20);
	fake.stats = pipes[0];
	reconnect();
	assert_answers_without_counters();
	open_segment();
	fake.stats_copies = 4; // which of them?
	reconnect();
	assert_answers_without_counters();
	fake.stats_copies = 0;
	close_segment();
	alarm(0);
	close(pipes[0]);
	close(pipes[1]);
}

static void test_a_segment_that_is_cut_off(void **state)
{
	open_segment();
	uint64_t uid = limiter_called("acme-01/primary/in")->uid;
	int64_t slot = stats_slot(segment, STATS_LIMITER, uid);
	stats_limiter_part(segment, 0, (uint32_t)slot)->count.passed[0].packets = 5;
	reconnect();
	json_t *in = direction("in");
	assert_int_equal(number(in, "packets"), 5);
	json_decref(in);
	assert_int_equal(truncate(segment_path, 0), 0);
	assert_answers_without_counters();
	for (double until = running_now() + 2.5; running_now() < until;) // the tick reads, too
		turn();
	assert_answers_without_counters();
	assert_int_equal(ftruncate(open(segment_path, O_RDWR), 1 << 24), 0); // for our own mapping
	close_segment();
}

static void test_a_version_without_an_end(void **state)
{
	fake.endless_version = true;
	fake_hang_up(&fake);
	WAIT(strstr(dataplane_status(running->dataplane)->error, "not valid") != NULL);
	fake.endless_version = false;
	WAIT(state_of() == DATAPLANE_SYNCED);
}

// --- no data plane -----------------------------------------------------------------------------------------

static void assert_json_null(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	if (!json_is_null(value))
		fail_msg("%s is %s", key,
			value != NULL ? json_dumps(value, JSON_ENCODE_ANY) : "missing");
}

// What only it can tell is null, and the answer says why; zeros would look as if all were well.
static void test_without_a_data_plane_its_values_are_unknown(void **state)
{
	static const char *const asked[][2] = {
		{"drops", "{}"},
		{"circuit.stats", "{\"circuit\":\"acme-01\"}"},
		{"port.status", "{}"},
		{"route.get", "{\"peering\":\"acme-01/private\", \"address\":\"10.1.0.1\"}"},
		{"route.summary", "{}"},
		{"neighbor.list", "{}"},
	};
	json_t *answer[6];

	open_segment();
	limiter_slot_of("acme-01/primary/in");
	reconnect();
	for (unsigned int i = 0; i < 6; i++) {
		answer[i] = result_of(asked[i][0], asked[i][1]);
		assert_json_null(answer[i], "unknown");
		json_decref(answer[i]);
	}
	fake_stop(&fake);
	WAIT(state_of() == DATAPLANE_DOWN);
	WAIT(dataplane_status(running->dataplane)->hint[0] != '\0');
	for (unsigned int i = 0; i < 6; i++) {
		answer[i] = result_of(asked[i][0], asked[i][1]);
		const json_t *unknown = json_object_get(answer[i], "unknown");
		assert_non_null(strstr(text(unknown, "message"), "data plane is not connected"));
		assert_string_equal(text(unknown, "hint"), "start culvert-dataplane");
	}
	assert_json_null(answer[0], "total");
	const json_t *link = json_array_get(json_object_get(answer[1], "links"), 0);
	assert_json_null(json_object_get(link, "in"), "packets");
	assert_json_null(json_object_get(json_object_get(link, "out"), "ef"), "packets");
	assert_json_null(json_array_get(json_object_get(link, "interfaces"), 0), "drops");
	const json_t *port = json_array_get(json_object_get(answer[2], "items"), 0);
	assert_string_equal(text(port, "state"), "unknown");
	assert_json_null(port, "rx_packets");
	assert_json_null(port, "mac");
	assert_json_null(answer[3], "route");
	assert_json_null(json_array_get(json_object_get(answer[4], "items"), 0), "installed");
	const json_t *neighbor = json_array_get(json_object_get(answer[5], "items"), 0);
	assert_json_null(neighbor, "state");
	assert_json_null(neighbor, "mac");
	for (unsigned int i = 0; i < 6; i++)
		json_decref(answer[i]);
	json_t *status = result_of("status", "{}"); // still answers
	assert_string_equal(text(json_object_get(status, "dataplane"), "state"), "down");
	assert_json_null(json_object_get(status, "routes"), "installed");
	json_decref(status);
	fake_start(&fake, path);
	close_segment();
}

// --- parameters ----------------------------------------------------------------------------------------------

static void assert_refused(const char *method, const char *params, const char *words)
{
	ask(method, params);
	json_t *answer = get_answer(), *error = json_object_get(answer, "error");
	assert_non_null(error);
	if (strstr(text(error, "message"), words) == NULL)
		fail_msg("%s %s: %s", method, params, text(error, "message"));
	json_decref(answer);
}

static void test_two_selectors_are_refused(void **state)
{
	static const char *const methods[] = {"route.list", "route.summary", "neighbor.list"};

	for (unsigned int i = 0; i < 3; i++) {
		assert_refused(methods[i], "{\"circuit\":\"acme-01\", \"vnet\":\"acme-prod\"}",
			"circuit and vnet");
		assert_refused(methods[i],
			"{\"peering\":\"acme-01/private\", \"domain\":\"underlay\"}",
			"peering and domain");
	}
	assert_refused("route.get",
		"{\"circuit\":\"acme-01\", \"vnet\":\"acme-prod\", \"address\":\"10.1.0.1\"}",
		"circuit and vnet");
	assert_refused("route.get", "{\"address\":\"10.1.0.1\"}", "say of which");
	assert_refused("drops", "{\"circuit\":\"acme-01\", \"port\":\"wan0\"}", "circuit and port");
	assert_refused("peering.status",
		"{\"circuit\":\"acme-01\", \"peering\":\"globex-01/private\"}",
		"peering and circuit");
	assert_refused("circuit.status", "{\"circuit\":\"acme-01\", \"customer\":\"globex\"}",
		"circuit and customer");
}

// Domains by name, each once, however small the pages; one selector each.
static void test_domains_are_selected_and_paged(void **state)
{
	static const char *const shown[][2] = {
		{"{\"domain\":\"underlay\"}", "underlay"},
		{"{\"circuit\":\"acme-01\"}", ACME},
		{"{\"peering\":\"globex-01/private\"}", GLOBEX},
		{"{\"vnet\":\"acme-prod\"}", "vnet/acme-prod"},
		{"{\"domain\":\"vnet/acme-prod\"}", "vnet/acme-prod"},
	};

	for (unsigned int i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
		json_t *answer = result_of("route.summary", shown[i][0]);
		const json_t *items = json_object_get(answer, "items");
		assert_int_equal(json_array_size(items), 1);
		assert_string_equal(text(json_array_get(items, 0), "domain"), shown[i][1]);
		json_decref(answer);
	}
	json_t *all = result_of("route.list", "{}");
	const json_t *items = json_object_get(all, "items");
	char params[256] = "{\"limit\":1}";
	assert_true(json_array_size(items) >= 6);
	for (size_t i = 0; i < json_array_size(items); i++) {
		json_t *one = result_of("route.list", params);
		assert_true(json_equal(json_array_get(json_object_get(one, "items"), 0),
			json_array_get(items, i)));
		snprintf(params, sizeof(params), "{\"limit\":1, \"cursor\":\"%s\"}",
			text(one, "next"));
		assert_int_equal(text(one, "next")[0] == '\0', i + 1 == json_array_size(items));
		json_decref(one);
	}
	json_decref(all);
	assert_refused("route.list", "{\"cursor\":\"nonsense\"}", "not a cursor");
	assert_refused("route.summary", "{\"domain\":\"peering/none\"}", "no routing domain");
}

static void test_the_way_of_the_underlay(void **state)
{
	static const char *const ways[][2] = {{"198.51.100.11", "192.0.2.2"},
		{"192.0.2.77", "192.0.2.77"}, {"203.0.113.1", NULL}};
	struct ip_address address, via;
	char shown[IP_TEXT_MAX];

	for (unsigned int i = 0; i < 3; i++) {
		ip_address_parse(ways[i][0], &address);
		const struct intent_interface *core =
			underlay_way(running->domains, &address, &via);
		assert_int_equal(core != NULL, ways[i][1] != NULL);
		if (core != NULL)
			assert_string_equal(ip_address_format(&via, shown), ways[i][1]);
	}
}

// --- clearing ----------------------------------------------------------------------------------------------

static void answer_clear(unsigned int i, enum api_code code)
{
	struct api_error error = {.code = code, .message = "no"};
	fake_speakers.clear[i].done(fake_speakers.clear[i].ctx, &error);
}

// Both links end on this edge, as a lab may have it.
static void put_both_here(void)
{
	char *yaml = strdup(base_yaml), *at = strstr(yaml, "edge: west, port: wan0");

	memcpy(at, "edge: east, port: wan1", 22);
	configuration_apply(&configuration, yaml);
	free(yaml);
	publish();
	settle();
}

// The numbers of one session's row, by its router's address; -1: not known.
static void assert_row(const char *remote, json_int_t accepted, json_int_t held, json_int_t rejected,
	json_int_t advertised)
{
	const char *const keys[] = {"accepted", "held", "rejected", "advertised"};
	const json_int_t wanted[] = {accepted, held, rejected, advertised};
	json_t *list = result_of("peering.status", "{\"peering\":\"acme-01/private\"}"), *row;
	unsigned int found = 0;
	size_t i;

	json_array_foreach (json_object_get(list, "items"), i, row) {
		if (strcmp(json_string_value(json_object_get(row, "remote")), remote) != 0)
			continue;
		found++;
		for (unsigned int j = 0; j < 4; j++) {
			const json_t *value = json_object_get(row, keys[j]);
			if (wanted[j] < 0)
				assert_true(json_is_null(value));
			else
				assert_int_equal(json_integer_value(value), wanted[j]);
		}
	}
	assert_int_equal(found, 1);
	json_decref(list);
}

static uint32_t session_with(const char *remote)
{
	const struct intent_domain *domain = domain_called(ACME);
	struct ip_address address;

	assert_int_equal(ip_address_parse(remote, &address), 0);
	return attachment_to(domain_find(running->domains, domain->id), &address)->id;
}

static void say_counts(const char *remote, const struct speaker_state *counts)
{
	fake_speakers.callbacks.session(fake_speakers.callbacks.ctx, session_with(remote), counts);
}

// Of what another session of the peering brings or is told nothing shows, nor anything of one that is down.
static void test_a_session_has_its_own_numbers(void **state)
{
	const char *const one = "169.254.10.1", *const other = "169.254.10.5";
	const struct speaker_state busy = {
		.state = "established", .imported = 10, .filtered = 3, .exported = 2};
	const struct speaker_state idle = {.state = "established", .exported = 2};
	const struct speaker_state down = {.state = "active"};
	char prefix[32];

	put_both_here();
	assert_row(one, -1, -1, -1, -1); // not heard of yet
	bridge_says_route(vrf(ACME), "10.1.0.0/16", one, false);
	for (unsigned int i = 0; i < 10; i++) {
		snprintf(prefix, sizeof(prefix), "10.50.%u.0/24", i);
		bridge_says_route(vrf(ACME), prefix, one, true);
	}
	say_counts(one, &busy);
	say_counts(other, &idle);
	settle();
	assert_row(one, LIMIT, 10 - LIMIT, 3, 2);
	assert_row(other, 0, 0, 0, 2);
	// Nothing of a session that is down, although its routes stay for a moment.
	say_counts(one, &down);
	assert_row(one, 0, 0, 0, 0);
	json_t *status = result_of("status", "{}");
	assert_int_equal(number(json_object_get(status, "routes"), "rejected"), 0);
	json_decref(status);
}

static void test_clear_is_for_all_sessions(void **state)
{
	put_both_here();
	const char *params = "{\"peering\":\"acme-01/private\"}";
	ask("peering.clear", params);
	WAIT(fake_speakers.clears == 2);
	answer_clear(1, API_NONE);
	answer_clear(0, API_NONE);
	json_t *whole = get_answer();
	assert_int_equal(number(json_object_get(whole, "result"), "cleared"), 2);
	assert_int_equal(number(json_object_get(whole, "result"), "failed"), 0);
	json_decref(whole);
	// One does not answer.
	fake_speakers.refuse_clear = -ENOTCONN;
	ask("peering.clear", params);
	WAIT(fake_speakers.clears == 3);
	answer_clear(2, API_NONE);
	whole = get_answer();
	assert_int_equal(number(json_object_get(whole, "result"), "cleared"), 1);
	assert_int_equal(number(json_object_get(whole, "result"), "failed"), 1);
	json_decref(whole);
	ask("peering.clear", params);
	WAIT(fake_speakers.clears == 5);
	answer_clear(3, API_REFUSED);
	answer_clear(4, API_REFUSED);
	whole = get_answer();
	assert_non_null(json_object_get(whole, "error"));
	json_decref(whole);
}

// --- taking over ----------------------------------------------------------------------------------------

static json_int_t removed(const json_t *adoption)
{
	return number(json_object_get(adoption, "remove"), "domains");
}

static void test_adopting_for_a_mistyped_edge_removes_nothing(void **state)
{
	struct node *right = node;

	stop_sync();
	fake_hang_up(&fake);
	node = make_node("esat", path);
	fake_bridge.foreign = 4;
	start_sync();
	asking_again();
	WAIT(state_of() == DATAPLANE_HELD);
	json_t *said = result_of("edge.adopt", "{\"check\":true}");
	assert_int_equal(removed(said), 3); // all but the underlay
	assert_true(json_is_false(json_object_get(said, "known")));
	json_decref(said);
	ask("edge.adopt", "{}");
	json_t *answer = get_answer(), *error = json_object_get(answer, "error");
	const char *message = json_string_value(json_object_get(error, "message"));
	assert_non_null(message);
	assert_non_null(strstr(message, "3 of 4 domains"));
	json_decref(answer);
	assert_int_equal(fake_bridge.foreign, 4);
	assert_int_equal(state_of(), DATAPLANE_HELD);
	said = result_of("edge.adopt", "{\"force\":true}");
	assert_int_equal(removed(said), 3);
	json_decref(said);
	assert_int_equal(fake_bridge.foreign, 0);
	stop_sync();
	free_node(node);
	node = right;
	start_sync();
	asking_again();
}

static void test_adopting_tells_what_the_model_keeps(void **state)
{
	stop_sync();
	fake_hang_up(&fake);
	fake_bridge.foreign = 4;
	start_sync();
	asking_again();
	WAIT(state_of() == DATAPLANE_HELD);
	json_t *said = result_of("edge.adopt", "{\"check\":true}");
	assert_int_equal(removed(said), 2);
	assert_true(json_is_true(json_object_get(said, "known")));
	json_decref(said);
	said = result_of("edge.adopt", "{}");
	assert_int_equal(removed(said), 2);
	json_decref(said);
	WAIT(fake_bridge.interface_sets > 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, asking_start, asking_stop)
	const struct CMUnitTest tests[] = {
		TEST(test_stats_tell_the_contract_and_the_classes),
		TEST(test_the_last_drops_are_remembered),
		TEST(test_a_path_in_hello_is_only_text),
		TEST(test_descriptors_of_other_things),
		TEST(test_a_segment_that_is_cut_off),
		TEST(test_a_version_without_an_end),
		TEST(test_without_a_data_plane_its_values_are_unknown),
		TEST(test_two_selectors_are_refused),
		TEST(test_domains_are_selected_and_paged),
		TEST(test_the_way_of_the_underlay),
		cmocka_unit_test_setup_teardown(
			test_a_session_has_its_own_numbers, setup_lab, asking_stop),
		cmocka_unit_test_setup_teardown(
			test_clear_is_for_all_sessions, setup_lab, asking_stop),
		TEST(test_adopting_for_a_mistyped_edge_removes_nothing),
		TEST(test_adopting_tells_what_the_model_keeps),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
