// SPDX-License-Identifier: BSD-3-Clause
// The speakers' half of bridge-drive: sessions, announcements, joins and questions as JSON.

#include "tests/net/drive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_session(void *ctx, uint32_t session, const struct speaker_state *state)
{
	drive_say(json_pack("{s:s,s:I,s:s,s:s,s:I,s:I,s:I,s:I}", "event", "session", "peering",
		(json_int_t)session, "state", state->state, "detail", state->detail, "moment",
		(json_int_t)state->moment, "imported", (json_int_t)state->imported, "filtered",
		(json_int_t)state->filtered, "exported", (json_int_t)state->exported));
}

static void on_daemon(void *ctx, const char *instance, const char *state, const char *reason,
	const char *hint)
{
	drive_say(json_pack("{s:s,s:s,s:s,s:s,s:s}", "event", "daemon", "instance", instance,
		"state", state, "reason", reason, "hint", hint));
}

static void on_route(void *ctx, uint32_t domain, const struct policy_route *route, bool present)
{
	char prefix[IP_TEXT_MAX], via[IP_TEXT_MAX];

	drive_say(json_pack("{s:s,s:I,s:s,s:s,s:b}", "event", "static-route", "domain",
		(json_int_t)domain, "prefix", ip_prefix_format(&route->prefix, prefix), "via",
		ip_address_format(&route->next_hop, via), "present", present));
}

int drive_speakers_create(struct speakers **speakers, struct event_base *base, const json_t *given,
	struct api_error *error)
{
	const struct speakers_options options = {.base = base,
		.run_dir = drive_text(given, "run_dir"),
		.launcher = drive_text(given, "launcher"),
		.callbacks = {NULL, on_session, on_daemon, on_route}};

	return speakers_create(speakers, &options, error);
}

// --- announcements

static unsigned int prefixes_of(const json_t *list, struct ip_prefix prefix[64])
{
	unsigned int count = 0;

	for (; count < json_array_size(list) && count < 64; count++)
		if (ip_prefix_parse(
			    json_string_value(json_array_get(list, count)), &prefix[count]) != 0)
			abort();
	return count;
}

// One group, or {"groups": [{"id", "state", "prefixes"}]}.
static int do_announce(struct speakers *speakers, const json_t *call)
{
	const json_t *list = json_object_get(call, "groups");
	unsigned int count = list != NULL ? (unsigned int)json_array_size(list) : 1;
	struct speaker_group group[16] = {0};
	struct speaker_announcement announcement[16][64] = {0};
	uint32_t community = drive_number(call, "community");

	for (unsigned int i = 0; i < count && i < 16; i++) {
		const json_t *one = list != NULL ? json_array_get(list, i) : call;
		struct ip_prefix prefix[64];
		group[i].id = list != NULL ? drive_number(one, "id") : 1;
		group[i].state = list != NULL ? drive_number(one, "state") : SPEAKER_ANNOUNCED;
		group[i].count = prefixes_of(json_object_get(one, "prefixes"), prefix);
		group[i].list = announcement[i];
		for (unsigned int j = 0; j < group[i].count; j++)
			announcement[i][j] = (struct speaker_announcement){.prefix = prefix[j],
				.community = &community,
				.communities = community != 0};
	}
	return speakers_announce(speakers, drive_number(call, "domain"), group, count);
}

// --- sessions

static struct policy import_of(const json_t *call)
{
	const json_t *list = json_object_get(call, "rejects"), *rule;
	struct policy policy = {.otherwise = POLICY_ACCEPT};
	struct policy_prefix prefix[64] = {0};
	struct policy_rule rules[64] = {0};
	unsigned int count = 0;
	size_t i;

	json_array_foreach (list, i, rule) {
		if (i == 64 || ip_prefix_parse(drive_text(rule, "prefix"), &prefix[i].prefix) != 0)
			abort();
		if (json_is_true(json_object_get(rule, "more")))
			prefix[i].le = ip_bits(prefix[i].prefix.address.family);
		rules[count++] =
			(struct policy_rule){.match = {.prefix = &prefix[i], .prefixes = 1},
				.action = POLICY_REJECT,
				.name = drive_text(rule, "rule"),
				.object = drive_text(rule, "object")};
	}
	policy_add(&policy, policy_set_build(rules, count));
	return policy;
}

static struct policy export_of(const json_t *call)
{
	const struct policy_rule own = {
		.match = {.origins = POLICY_OWN | POLICY_JOINED}, .action = POLICY_ACCEPT};
	struct policy policy = {.otherwise = POLICY_REJECT};

	if (json_is_true(json_object_get(call, "drain")))
		policy_add(&policy, policy_set_drain(drive_number(call, "local_asn"), 2));
	policy_add(&policy, policy_set_build(&own, 1));
	return policy;
}

static int do_peering(struct speakers *speakers, const json_t *call, struct api_error *error)
{
	struct policy import = import_of(call), export = export_of(call);
	struct ip_prefix route[64];
	struct speaker_session session = {
		.id = drive_number(call, "id"),
		.domain = drive_number(call, "domain"),
		.name = drive_text(call, "name"),
		.enabled = !json_is_false(json_object_get(call, "enabled")),
		.local = drive_address(call, "local"),
		.remote = drive_address(call, "remote"),
		.local_asn = drive_number(call, "local_asn"),
		.remote_asn = drive_number(call, "remote_asn"),
		.password = drive_text(call, "password"),
		.connect = 1,
		.error_wait = 1,
		.memory_limit = drive_number(call, "memory_limit"),
		.import = &import,
		.export = &export,
		.route = route,
	};

	session.routes = prefixes_of(json_object_get(call, "routes"), route);
	int result = speakers_session_set(speakers, &session, error);
	policy_clear(&import);
	policy_clear(&export);
	return result;
}

// "devices": of a patch between the two.
static int do_join(struct speakers *speakers, const json_t *call, struct api_error *error)
{
	const json_t *devices = json_object_get(call, "devices");
	const struct speaker_patch patch = {{json_string_value(json_array_get(devices, 0)),
		json_string_value(json_array_get(devices, 1))}};
	struct policy everything = {.otherwise = POLICY_ACCEPT};

	return speakers_join(speakers, drive_number(call, "a"), drive_number(call, "b"),
		&everything, &everything, devices != NULL ? &patch : NULL, error);
}

// --- questions

static void on_row(void *ctx, const struct policy_route *route, const struct policy_rule *rule)
{
	json_t *path = json_array(), *communities = json_array();
	char prefix[IP_TEXT_MAX], via[IP_TEXT_MAX] = "";

	for (unsigned int i = 0; i < route->as_path_length; i++)
		json_array_append_new(path, json_integer(route->as_path[i]));
	for (unsigned int i = 0; i < route->communities; i++)
		json_array_append_new(communities, json_integer(route->community[i]));
	if (route->next_hop.family != 0)
		ip_address_format(&route->next_hop, via);
	json_array_append_new(
		ctx, json_pack("{s:s,s:s,s:s,s:s,s:o,s:o}", "prefix",
			     ip_prefix_format(&route->prefix, prefix), "rule",
			     rule ? rule->name : "", "object", rule ? rule->object : "", "via", via,
			     "as_path", path, "communities", communities));
}

static void on_done(void *ctx, const struct api_error *error)
{
	drive_say(json_pack("{s:s,s:o,s:s}", "event", "answer", "array", ctx, "error",
		error != NULL ? error->message : ""));
}

// With "again" a question that was answered asks again, as a listing does that goes from session to session.
struct asking {
	struct speakers *speakers;
	uint32_t session;
	unsigned int left;
};

static void on_again(void *ctx, const struct api_error *error)
{
	struct asking *asking = ctx;

	if (asking->left-- > 0 && speakers_ask(asking->speakers, asking->session, SPEAKER_RECEIVED,
					  NULL, on_again, asking) == 0)
		return;
	free(asking);
}

static int do_ask(struct speakers *speakers, const json_t *call)
{
	uint32_t id = drive_number(call, "id"), again = drive_number(call, "again");

	if (again > 0) {
		struct asking *asking = malloc(sizeof(*asking));
		*asking = (struct asking){speakers, id, again};
		int err = speakers_ask(speakers, id, SPEAKER_RECEIVED, NULL, on_again, asking);
		if (err != 0)
			free(asking);
		return err;
	}
	json_t *array = json_array();
	int err = speakers_ask(speakers, id, (enum speaker_question)drive_number(call, "question"),
		on_row, on_done, array);
	if (err != 0)
		json_decref(array);
	return err;
}

int drive_speakers(struct speakers *speakers, const json_t *call, struct api_error *error)
{
	const char *what = drive_text(call, "do");
	uint32_t id = drive_number(call, "id");

	if (strcmp(what, "announce") == 0)
		return do_announce(speakers, call);
	if (strcmp(what, "peering") == 0)
		return do_peering(speakers, call, error);
	if (strcmp(what, "peering-delete") == 0)
		return speakers_session_delete(speakers, id), 0;
	if (strcmp(what, "end") == 0)
		return speakers_session_end(speakers, id, "it is taken away"), 0;
	if (strcmp(what, "join") == 0)
		return do_join(speakers, call, error);
	if (strcmp(what, "part") == 0)
		return speakers_part(speakers, drive_number(call, "a"), drive_number(call, "b")), 0;
	if (strcmp(what, "ask") == 0)
		return do_ask(speakers, call);
	if (strcmp(what, "clear") == 0) {
		json_t *array = json_array();
		return speakers_clear(
			speakers, id, json_is_true(json_object_get(call, "soft")), on_done, array);
	}
	abort();
}
