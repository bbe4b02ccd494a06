// SPDX-License-Identifier: BSD-3-Clause
// Changes one by one and many at once: what they take with them, what they keep, and what is said of them.

#include "control/model/circuit.h"
#include "control/model/connection.h"
#include "control/model/link.h"
#include "control/model/peering.h"
#include "control/model/port.h"
#include "control/model/vnet.h"
#include "control/model/customer.h"
#include "tests/unit/model/base.h"
#include "tests/unit/model/changes.h"

static void test_delete_takes_parts(void **state)
{
	struct model *old = base();
	struct findings findings;
	struct model *new = change(old,
		"[" DELETE("circuit", "acme-ams-01") "]", // its connections are parts of it
		&findings);

	assert_non_null(new);
	assert_null(model_link(new, "acme-ams-01/primary"));
	assert_null(model_peering(new, "acme-ams-01/private"));
	struct model_diff *diff = model_diff(old, new);
	char *text = model_diff_text(diff);
	assert_string_equal(text, "- circuit acme-ams-01 (traffic interrupted)\n"
				  "- link acme-ams-01/primary (traffic interrupted)\n"
				  "- link acme-ams-01/secondary (traffic interrupted)\n"
				  "- peering acme-ams-01/private (traffic interrupted)\n"
				  "- connection acme-ams-01/acme-prod (traffic interrupted)\n");
	free(text);
	model_diff_free(diff);
	model_unref(new);
	model_unref(old);
}

static void expect_diff(const struct model *old, const char *changes, const char *text)
{
	struct findings findings;
	struct model *new = change(old, changes, &findings);

	if (!new)
		fail_msg("%s", findings.item[0].message);
	struct model_diff *diff = model_diff(old, new);
	char *told = model_diff_text(diff);
	assert_string_equal(told, text);
	free(told);
	model_diff_free(diff);
	model_unref(new);
}

// Nothing is interrupted where no traffic is: what is down, disabled, joined to nothing, or only comes.
static void test_interrupted_is_what_carries(void **state)
{
	struct model *all = base();
	struct findings findings;
	struct model *down = change(all,
		"[" SET("link", "acme-ams-01/secondary", "\"admin\": \"down\"") ","
		SET("peering", "globex-ams-01/private", "\"enabled\": false") ","
		CREATE("vnet", "acme-lab",
			"\"customer\": \"acme\", \"prefixes\": [\"10.77.0.0/16\"]") "]",
		&findings);

	if (!down)
		fail_msg("%s", findings.item[0].message);
	expect_diff(all, "[" SET("link", "acme-ams-01/primary", "\"outer-tag\": 7") "]",
		"~ link acme-ams-01/primary outer-tag 100 -> 7 (traffic interrupted)\n");
	expect_diff(down, "[" SET("link", "acme-ams-01/secondary", "\"outer-tag\": 7") "]",
		"~ link acme-ams-01/secondary outer-tag 100 -> 7 (no traffic effect)\n");
	expect_diff(down, "[" SET("link", "acme-ams-01/secondary", "\"admin\": \"up\"") "]",
		"~ link acme-ams-01/secondary admin down -> up (routes change)\n");
	expect_diff(down, "[" DELETE("link", "acme-ams-01/secondary") "]",
		"- link acme-ams-01/secondary (no traffic effect)\n");
	expect_diff(all, "[" SET("peering", "globex-ams-01/private", "\"hold\": \"120s\"") "]",
		"~ peering globex-ams-01/private hold 90s -> 2m (BGP session resets)\n");
	expect_diff(down, "[" SET("peering", "globex-ams-01/private", "\"hold\": \"120s\"") "]",
		"~ peering globex-ams-01/private hold 90s -> 2m (no traffic effect)\n");
	expect_diff(down, "[" DELETE("circuit", "globex-ams-01") "]",
		"- circuit globex-ams-01 (no traffic effect)\n"
		"- link globex-ams-01/primary (no traffic effect)\n"
		"- peering globex-ams-01/private (no traffic effect)\n"
		"- connection globex-ams-01/globex-prod (no traffic effect)\n");
	expect_diff(down, "[" DELETE("vnet", "acme-lab") "]", "- vnet acme-lab (no traffic effect)\n");
	expect_diff(down, "[" SET("vnet", "globex-prod", "\"tunnels\": []") "]",
		"~ vnet globex-prod tunnels [{edge:ams1,gateway:192.0.2.40,local:192.0.2.1,key:7002}] -> "
		"[] (no traffic effect)\n");
	expect_diff(all,
		"[" SET("vnet", "acme-prod",
			"\"tunnels\": [" TUNNEL("ams1", "192.0.2.40", "192.0.2.1", "7001") ","
			TUNNEL("ams2", "192.0.2.40", "192.0.2.2", "7001") "]") "]",
		"~ vnet acme-prod tunnels "
		"+{edge:ams2,gateway:192.0.2.40,local:192.0.2.2,key:7001} (routes change)\n");
	model_unref(down);
	model_unref(all);
}

static void test_nothing_new(void **state)
{
	struct model *old = base();
	struct findings findings;
	struct model *same = change(old,
		"[" SET("circuit", "acme-ams-01", "\"bandwidth\": \"50mbps\"") "," CIRCUIT(
			"c") "," DELETE("circuit", "c") "]",
		&findings);

	assert_ptr_equal(same, old);
	model_unref(same);
	model_unref(old);
}

static void test_generated_key(void **state)
{
	struct model *old = base();
	struct findings findings;
	struct model *new = change(old, "[" CIRCUIT("c") "," CIRCUIT("d") "]", &findings);
	const char *c = model_circuit(new, "c")->service_key,
		   *d = model_circuit(new, "d")->service_key;

	assert_int_equal(strlen(c), 36);
	assert_string_not_equal(c, d);
	assert_int_equal(c[14], '4');
	model_unref(new);
	model_unref(old);
}

static void test_secrets(void **state)
{
	struct model *old = base();
	struct findings findings;
	const char *name = "acme-ams-01/private";
	char text[512];

	assert_null(change(old,
		"[" SET("peering", "acme-ams-01/private", "\"password\": \"clear\"") "]",
		&findings));
	assert_null(strstr(findings.item[0].message, "clear"));
	assert_null(change(old,
		"[" SET("peering", "acme-ams-01/private",
			"\"password\": {\"value\": \"a\\\"b\"}") "]",
		&findings));
	assert_non_null(strstr(findings.item[0].message, "printable ASCII"));
	assert_null(strstr(findings.item[0].message, "a\"b"));
	assert_null(change(old,
		"[" SET("peering", "acme-ams-01/private",
			"\"password\": {\"value\": \"a\\\\b\"}") "]",
		&findings));
	assert_null(change(old,
		"[" SET("peering", "acme-ams-01/private", "\"password\": {\"value\": \"\"}") "]",
		&findings));
	assert_null(change(old,
		"[" SET("peering", "acme-ams-01/private",
			"\"password\": {\"keep\": \"0011223344556677\"}") "]",
		&findings));
	assert_null(change(old,
		"[" SET("peering", "acme-ams-01/private",
			"\"password\": {\"file\": \"/etc/passwd\"}") "]",
		&findings));

	struct model *one = change(old,
		"[" SET("peering", "acme-ams-01/private",
			"\"password\": {\"value\": \"s3cret'x\"}") "]",
		&findings);
	assert_non_null(one);
	const struct secret *secret = &model_peering(one, name)->password;
	assert_string_equal(secret->text, "s3cret'x");
	assert_int_equal(strlen(secret->fingerprint), 16);

	// The same text again is no change; what is shown is taken back; the clear text shows nowhere.
	struct model *same = change(one,
		"[" SET("peering", "acme-ams-01/private",
			"\"password\": {\"value\": \"s3cret'x\"}") "]",
		&findings);
	assert_ptr_equal(same, one);
	model_unref(same);
	snprintf(text, sizeof(text),
		"[" SET("peering", "acme-ams-01/private",
			"\"hold\": \"180s\", \"password\": {\"keep\": \"%s\"}") "]",
		secret->fingerprint);
	struct model *kept = change(one, text, &findings);
	assert_string_equal(model_peering(kept, name)->password.text, "s3cret'x");
	char *yaml = model_yaml(kept);
	assert_null(strstr(yaml, "s3cret"));
	assert_non_null(strstr(yaml, "{keep: \""));
	struct model *again = parse(kept, yaml);
	assert_ptr_equal(again, kept);
	json_t *json = object_json(model_find(kept, NOUN_PEERING, name));
	char *shown = json_dumps(json, 0);
	assert_null(strstr(shown, "s3cret"));
	free(shown);
	json_decref(json);
	struct model_diff *diff = model_diff(old, kept);
	shown = model_diff_text(diff);
	assert_null(strstr(shown, "s3cret"));
	free(shown);
	model_diff_free(diff);

	// With the name that another edge gave it, and whatever else is no such name.
	struct model *named = change(kept,
		"[" SET("peering", "acme-ams-01/private",
			"\"password\": {\"fingerprint\": \"0011223344556677\", \"value\": \"x\"}") "]",
		&findings);
	assert_string_equal(model_peering(named, name)->password.text, "x");
	assert_string_equal(model_peering(named, name)->password.fingerprint, "0011223344556677");
	model_unref(named);
	assert_null(change(kept,
		"[" SET("peering", "acme-ams-01/private",
			"\"password\": {\"fingerprint\": \"../3344556677aa\", \"value\": \"x\"}") "]",
		&findings));
	assert_null(change(kept,
		"[" SET("peering", "acme-ams-01/private",
			"\"password\": {\"fingerprint\": \"0011223344556677\", \"keep\": \"x\"}") "]",
		&findings));

	// By file, as a configuration file gives it.
	char path[] = "/tmp/culvert-secret-XXXXXX", *place;
	int fd = mkstemp(path);
	FILE *out = fdopen(fd, "w");
	fputs("other\n", out);
	fclose(out);
	place = strstr(yaml, "password: {keep: \"");
	char *file;
	assert_true(asprintf(&file, "%.*spassword: {file: %s}%s", (int)(place - yaml), yaml, path,
			    strchr(place, '}') + 1) > 0);
	struct model *changed = parse(kept, file);
	assert_string_equal(model_peering(changed, name)->password.text, "other");
	remove(path);
	free(file);
	free(yaml);
	model_unref(changed);
	model_unref(again);
	model_unref(kept);
	model_unref(one);
	model_unref(old);
}

static void test_helpers(void **state)
{
	struct model *model = base();
	const struct peering *peering = model_peering(model, "acme-ams-01/private");
	const struct link *primary = model_link(model, "acme-ams-01/primary");
	const struct link *qinq = model_link(model, "globex-ams-01/primary");
	char text[IP_TEXT_MAX], name[OBJECT_NAME_MAX];
	uint16_t vlan[2];

	struct ip_address address = peering_remote(peering, primary, 4);
	assert_string_equal(ip_address_format(&address, text), "169.254.10.1");
	address = peering_local(peering, primary, 4);
	assert_string_equal(ip_address_format(&address, text), "169.254.10.2");
	assert_int_equal(peering_remote(peering, primary, 6).family, 0);
	assert_false(peering_is_on(model_peering(model, "globex-ams-01/private"),
		model_link(model, "acme-ams-01/secondary")));
	assert_int_equal(link_vlans(qinq, NULL, vlan), 2);
	assert_int_equal(vlan[0], 200);
	assert_int_equal(vlan[1], 20);
	assert_string_equal(link_port_name(qinq, name), "ams1/wan0");
	assert_non_null(tunnel_from(&model_vnet(model, "acme-prod")->tunnels, "ams1"));
	assert_null(tunnel_from(&model_vnet(model, "acme-prod")->tunnels, "ams2"));
	assert_string_equal(
		connection_peering_name(model_connection(model, "acme-ams-01/acme-prod"), name),
		"acme-ams-01/private");
	model_unref(model);
}

static void assert_prefixes(const struct model *model, const char *vnet, const char *expected)
{
	const struct vnet *found = model_vnet(model, vnet);
	char list[512] = "", text[IP_TEXT_MAX];

	for (unsigned int i = 0; i < found->prefixes.count; i++)
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", i ? " " : "",
			ip_prefix_format(&found->prefixes.item[i], text));
	assert_string_equal(list, expected);
}

static struct model *set_vnet(
	const struct model *model, const char *fields, struct findings *findings)
{
	char text[1024];

	snprintf(text, sizeof(text),
		"[{\"op\":\"set\",\"noun\":\"vnet\",\"name\":\"acme-prod\",\"fields\":{%s}}]",
		fields);
	return change(model, text, findings);
}

// Two operators who each add a prefix do not lose the other's.
static void test_elements_come_and_go(void **state)
{
	struct model *model = base();
	struct findings findings;

	struct model *next = set_vnet(
		model, "\"prefixes\":{\"add\":[\"10.10.0.0/16\",\"10.9.0.0/16\"]}", &findings);
	assert_prefixes(next, "acme-prod", "10.9.0.0/16 10.10.0.0/16"); // one was there
	model_unref(model);
	model = next;
	next = set_vnet(model,
		"\"prefixes\":{\"remove\":[\"10.9.0.0/16\"],\"add\":[\"10.11.0.0/16\"]}",
		&findings);
	assert_prefixes(next, "acme-prod", "10.10.0.0/16 10.11.0.0/16");
	model_unref(model);
	model = next;
	assert_null(set_vnet(model, "\"prefixes\":{\"remove\":[\"10.99.0.0/16\"]}", &findings));
	assert_non_null(strstr(findings.item[0].message, "10.99.0.0/16"));
	assert_null(set_vnet(
		model, "\"prefixes\":{\"remove\":[\"10.10.0.0/16\",\"10.11.0.0/16\"]}", &findings));
	assert_string_equal(findings.item[0].rule, "required"); // it needs one
	// Structs are told apart by their merge key, here the edge.
	next = set_vnet(model,
		"\"tunnels\":{\"remove\":[\"ams1\"],\"add\":[" TUNNEL(
			"ams1", "192.0.2.40", "192.0.2.1", "9") "]}",
		&findings);
	assert_non_null(next);
	struct model *again = set_vnet(next,
		"\"tunnels\":{\"add\":[" TUNNEL("ams1", "192.0.2.40", "192.0.2.1", "9") "]}",
		&findings);
	assert_ptr_equal(again, next); // it was there
	model_unref(again);
	assert_null(set_vnet(next,
		"\"tunnels\":{\"add\":[" TUNNEL("ams1", "192.0.2.40", "192.0.2.1", "8") "]}",
		&findings));
	assert_string_equal(findings.item[0].rule, "element-there");
	assert_non_null(strstr(findings.item[0].message, "edge ams1"));
	assert_non_null(strstr(findings.item[0].hint, "--remove-tunnels ams1"));
	model_unref(model);
	model = next;
	next = set_vnet(model,
		"\"tunnels\":{\"add\":["
		"{\"edge\":\"ams2\",\"gateway\":\"192.0.2.41\",\"local\":\"192.0.2.2\",\"key\":10}]"
		"}",
		&findings);
	assert_int_equal(model_vnet(next, "acme-prod")->tunnels.count, 2);
	assert_int_equal(model_vnet(next, "acme-prod")->tunnels.item[0].key, 9);
	model_unref(model);
	model = next;
	next = set_vnet(model, "\"tunnels\":{\"remove\":[\"ams1\"]}", &findings);
	assert_int_equal(model_vnet(next, "acme-prod")->tunnels.count, 1);
	assert_string_equal(model_vnet(next, "acme-prod")->tunnels.item[0].edge, "ams2");
	model_unref(model);
	model = next;
	assert_null(set_vnet(
		model, "\"tunnels\":{\"remove\":[{\"key\":10}]}", &findings)); // which one?
	assert_null(set_vnet(model, "\"tunnels\":{\"drop\":[\"ams2\"]}", &findings));
	model_unref(model);
}

// Of several changes it is said which one is wrong, also by a rule that looks at what they make together.
static void test_which_change_is_wrong(void **state)
{
	struct model *model = base();
	struct findings findings;

	assert_null(change(model,
		"[" CREATE("customer", "initech", "") "," SET("circuit", "nobody", "") "," CREATE(
			"customer", "acme", "") "]",
		&findings));
	assert_int_equal(findings.count, 2);
	assert_int_equal(findings.item[0].change, 2);
	assert_int_equal(findings.item[1].change, 3);
	assert_null(change(model,
		"[" CREATE("customer", "initech", "") "," SET(
			"peering", "acme-ams-01/private", "\"peer-asn\": 64900") "]",
		&findings));
	assert_int_equal(findings.item[0].change, 2);
	model_unref(model);
}

// A batch of thousands is taken in the time of its length, and so is one that takes them all away.
static void test_thousands(void **state)
{
	struct model *model = base(), *many, *none;
	struct findings findings = {0};
	json_t *create = json_array(), *delete = json_array();
	clock_t start = clock();

	for (int i = 0; i < 20000; i++) {
		char name[16];
		snprintf(name, sizeof(name), "c%d", i);
		json_array_append_new(
			create, json_pack("{s:s, s:s, s:s, s:{s:s, s:s}}", "op", "create", "noun",
					"circuit", "name", name, "fields", "customer", "acme",
					"bandwidth", "50mbps"));
		json_array_append_new(delete, json_pack("{s:s, s:s, s:s}", "op", "delete", "noun",
						      "circuit", "name", name));
	}
	assert_int_equal(model_change(model, create, &many, &findings), 0);
	assert_int_equal(model_count(many, NOUN_CIRCUIT), 20002);
	assert_int_equal(model_change(many, delete, &none, &findings), 0);
	assert_true(model_digest(none) == model_digest(model));
	double used = (double)(clock() - start) / CLOCKS_PER_SEC;
	print_message("%.2f s\n", used);
	assert_true(used < 4);
	json_decref(create);
	json_decref(delete);
	model_unref(none);
	model_unref(many);
	model_unref(model);
}

// A stored model that the node file makes wrong in thousands of places stays in nobody's way.
static void test_old_wrongs_in_thousands(void **state)
{
	struct model_options table = {.host_domain = HOST_DOMAIN_TABLE};
	struct model *model = base(), *many, *wrong = NULL, *next;
	struct findings findings = {0};
	json_t *changes = json_array();
	static struct model_source source[60000];
	unsigned int count = 0;

	for (int i = 0; i < 10000; i++) {
		char name[32];
		snprintf(name, sizeof(name), "c%d", i);
		json_array_append_new(
			changes, json_pack("{s:s, s:s, s:s, s:{s:s, s:s}}", "op", "create", "noun",
					 "circuit", "name", name, "fields", "customer", "acme",
					 "bandwidth", "50mbps"));
		snprintf(name, sizeof(name), "c%d/private", i);
		json_array_append_new(changes,
			json_pack("{s:s, s:s, s:s, s:{s:s, s:s, s:s}}", "op", "create", "noun",
				"peering", "name", name, "fields", "primary-subnet",
				"169.254.10.0/30", "peer-asn", "65001", "local-asn", "64900"));
	}
	assert_int_equal(model_change(model, changes, &many, &findings), 0);
	for (unsigned int noun = 0; noun < NOUNS; noun++) {
		for (unsigned int i = 0; i < model_count(many, noun); i++) {
			const struct object *object = model_at(many, noun, i);
			json_t *json = object_json(object);
			source[count++] = (struct model_source){
				nouns[noun]->name, object->name, json_dumps(json, 0)};
			json_decref(json);
		}
	}
	clock_t start = clock();
	assert_int_equal(model_load(&table, source, count, NULL, NULL, &wrong, &findings), 0);
	assert_in_range(findings.count + findings.more, 10000, 30000);
	next = change(wrong, "[" SET("customer", "acme", "\"description\": \"x\"") "]", &findings);
	assert_non_null(next);
	model_unref(next);
	next = change(wrong,
		"[" SET("peering", "c5/private", "\"primary-subnet\": \"169.254.77.0/30\"") "]",
		&findings);
	assert_non_null(next);
	model_unref(next);
	assert_null(change(wrong,
		"[" CIRCUIT("new") "," PEERING("new/private", "169.254.10.0/30") "]", &findings));
	assert_string_equal(findings.item[0].rule, "subnet-unique");
	double used = (double)(clock() - start) / CLOCKS_PER_SEC;
	print_message("%.2f s\n", used);
	assert_true(used < 4);
	for (unsigned int i = 0; i < count; i++)
		free((char *)(uintptr_t)source[i].json);
	json_decref(changes);
	model_unref(wrong);
	model_unref(many);
	model_unref(model);
}

static void test_ensure(void **state)
{
	static const char both[] = "[{\"op\":\"ensure\",\"noun\":\"customer\",\"name\":\"initech\","
				   "\"fields\":{\"description\":\"ops\"}},"
				   "{\"op\":\"ensure\",\"noun\":\"circuit\",\"name\":\"acme-ams-"
				   "01\",\"fields\":{\"customer\":\"acme\","
				   "\"bandwidth\":\"100mbps\"}}]";
	struct model *model = base();
	struct findings findings;

	struct model *once = change(model, both, &findings);
	assert_string_equal(model_customer(once, "initech")->description, "ops");
	assert_true(model_circuit(once, "acme-ams-01")->bandwidth == 100000000);
	struct model *twice = change(once, both, &findings);
	assert_ptr_equal(twice, once); // no revision
	model_unref(twice);
	model_unref(once);
	model_unref(model);
}

// --- other names -----------------------------------------------------------------------------------------

static void test_rename_takes_parts_and_referrers(void **state)
{
	struct model *old = base();

	expect_diff(old, "[" RENAME("circuit", "acme-ams-01", "acme-ams-1") "]",
		"~ circuit acme-ams-1 was acme-ams-01 (no traffic effect)\n"
		"~ link acme-ams-1/primary was acme-ams-01/primary (no traffic effect)\n"
		"~ link acme-ams-1/secondary was acme-ams-01/secondary (no traffic effect)\n"
		"~ peering acme-ams-1/private was acme-ams-01/private (no traffic effect)\n"
		"~ connection acme-ams-1/acme-prod was acme-ams-01/acme-prod (no traffic effect)\n");
	expect_diff(old, "[" RENAME("vnet", "acme-prod", "acme-main") "]",
		"~ vnet acme-main was acme-prod (no traffic effect)\n"
		"~ connection acme-ams-01/acme-main was acme-ams-01/acme-prod (no traffic effect)\n");
	expect_diff(old, "[" RENAME("customer", "acme", "acme-inc") "]",
		"~ customer acme-inc was acme (no traffic effect)\n"
		"~ circuit acme-ams-01 customer acme -> acme-inc (no traffic effect)\n"
		"~ vnet acme-prod customer acme -> acme-inc (no traffic effect)\n");
	// with other changes of the same thing before and behind
	expect_diff(old,
		"[" SET("circuit", "acme-ams-01", "\"burst\": \"60ms\"") ","
		RENAME("circuit", "acme-ams-01", "x") ","
		SET("link", "x/primary", "\"admin\": \"down\"") ","
		DELETE("connection", "x/acme-prod") "," RENAME("circuit", "x", "y") "]",
		"~ circuit y was acme-ams-01 (no traffic effect)\n"
		"~ circuit y burst 50ms -> 60ms (hitless)\n"
		"~ link y/primary was acme-ams-01/primary (no traffic effect)\n"
		"~ link y/primary admin up -> down (traffic interrupted)\n"
		"~ link y/secondary was acme-ams-01/secondary (no traffic effect)\n"
		"~ peering y/private was acme-ams-01/private (no traffic effect)\n"
		"- connection acme-ams-01/acme-prod (traffic interrupted)\n");
	model_unref(old);
}

// What goes in the same change is missed under the new name, too.
static void test_rename_and_delete(void **state)
{
	struct model *old = base();
	struct findings findings;

	assert_null(change(old,
		"[" DELETE("peering", "acme-ams-01/private") "," RENAME("circuit", "acme-ams-01", "x") "]", &findings));
	assert_non_null(strstr(findings.item[0].message, "x/acme-prod"));
	assert_null(change(old,
		"[" RENAME("circuit", "acme-ams-01", "x") "," DELETE("peering", "x/private") "]", &findings));
	model_unref(old);
}

static void test_rename_there_and_back(void **state)
{
	struct model *old = base();
	struct findings findings;
	struct model *same = change(old,
		"[" RENAME("circuit", "acme-ams-01", "x") "," RENAME("circuit", "x", "acme-ams-01") "]",
		&findings);

	assert_ptr_equal(same, old);
	model_unref(same);
	model_unref(old);
}

static uint64_t identity_of(const struct model *model, enum noun_id noun, const char *name)
{
	const struct object *object = model_find(model, noun, name);

	assert_non_null(object);
	return object->identity;
}

static void test_rename_round_about(void **state)
{
	struct model *old = base();
	struct findings findings;
	struct model *new = change(old,
		"[" RENAME("circuit", "acme-ams-01", "x") "," RENAME("circuit", "globex-ams-01", "acme-ams-01") ","
		RENAME("circuit", "x", "globex-ams-01") "," RENAME("customer", "acme", "x") ","
		RENAME("customer", "globex", "acme") "," RENAME("customer", "x", "globex") "]",
		&findings);

	assert_non_null(new);
	assert_string_equal(model_circuit(new, "acme-ams-01")->customer, "acme"); // who was globex
	assert_string_equal(model_circuit(new, "acme-ams-01")->service_key,
		model_circuit(old, "globex-ams-01")->service_key);
	assert_true(identity_of(new, NOUN_CUSTOMER, "acme") == identity_of(old, NOUN_CUSTOMER, "globex"));
	assert_true(identity_of(new, NOUN_LINK, "globex-ams-01/primary") ==
		    identity_of(old, NOUN_LINK, "acme-ams-01/primary"));
	assert_true(identity_of(new, NOUN_CONNECTION, "globex-ams-01/acme-prod") ==
		    identity_of(old, NOUN_CONNECTION, "acme-ams-01/acme-prod"));
	// and back: what there was
	struct model *again = change(new,
		"[" RENAME("circuit", "acme-ams-01", "x") "," RENAME("circuit", "globex-ams-01", "acme-ams-01") ","
		RENAME("circuit", "x", "globex-ams-01") "," RENAME("customer", "acme", "x") ","
		RENAME("customer", "globex", "acme") "," RENAME("customer", "x", "globex") "]",
		&findings);
	assert_true(model_digest(again) == model_digest(old));
	model_unref(again);
	model_unref(new);
	model_unref(old);
}

// A new one may have the name at once, and the one that has been renamed may go.
static void test_rename_leaves_the_name(void **state)
{
	struct model *old = base();
	struct findings findings;
	struct model *new = change(old,
		"[" RENAME("circuit", "acme-ams-01", "x") "," CREATE("circuit", "acme-ams-01",
			"\"customer\": \"globex\", \"bandwidth\": \"100mbps\"") "]",
		&findings);

	assert_non_null(new); // it is another one: nothing of it "cannot change"
	assert_true(identity_of(new, NOUN_CIRCUIT, "x") == identity_of(old, NOUN_CIRCUIT, "acme-ams-01"));
	assert_true(identity_of(new, NOUN_CIRCUIT, "acme-ams-01") !=
		    identity_of(old, NOUN_CIRCUIT, "acme-ams-01"));
	struct model_diff *diff = model_diff(old, new);
	char *text = model_diff_text(diff);
	assert_non_null(strstr(text, "+ circuit acme-ams-01 (new)"));
	assert_non_null(strstr(text, "~ circuit x was acme-ams-01"));
	free(text);
	model_diff_free(diff);
	model_unref(new);
	expect_diff(old,
		"[" RENAME("circuit", "acme-ams-01", "x") "," DELETE("circuit", "x") "]",
		"- circuit acme-ams-01 (traffic interrupted)\n"
		"- link acme-ams-01/primary (traffic interrupted)\n"
		"- link acme-ams-01/secondary (traffic interrupted)\n"
		"- peering acme-ams-01/private (traffic interrupted)\n"
		"- connection acme-ams-01/acme-prod (traffic interrupted)\n");
	assert_null(change(old, // what refers to it goes with its name
		"[" RENAME("circuit", "acme-ams-01", "x") "," DELETE("peering", "x/private") "]", &findings));
	assert_string_equal(findings.item[0].path, "connection x/acme-prod: peering");
	// the place of one that goes in the same change
	new = change(old,
		"[" DELETE("circuit", "globex-ams-01") "," RENAME("circuit", "acme-ams-01", "globex-ams-01") "]",
		&findings);
	assert_non_null(new);
	diff = model_diff(old, new);
	text = model_diff_text(diff);
	assert_non_null(strstr(text, "- circuit globex-ams-01 (traffic"));
	assert_non_null(strstr(text, "~ circuit globex-ams-01 was acme-ams-01"));
	free(text);
	model_diff_free(diff);
	model_unref(new);
	model_unref(old);
}

static void test_rename_refused(void **state)
{
	static const struct {
		const char *change, *rule, *says;
	} cases[] = {
		{RENAME("circuit", "acme-ams-01", "globex-ams-01"), "exists", "exists already"},
		{RENAME("circuit", "acme-ams-01", "acme-ams-01"), "name", "that name already"},
		{RENAME("circuit", "acme-ams-01", "Acme"), "name", "Acme"},
		{RENAME("circuit", "acme-ams-01", "a/b"), "name", "a/b"},
		{RENAME("circuit", "acme-ams-01", ""), "name", "\"\""},
		{RENAME("circuit", "acme-ams-01",
			 "a234567890123456789012345678901234567890123456789012345678901234"),
			"name", "63"},
		{"{\"op\": \"rename\", \"noun\": \"circuit\", \"name\": \"acme-ams-01\"}", "name", "new name"},
		{RENAME("circuit", "nobody", "x"), "not-found", "nobody"},
		{RENAME("edge", "ams1", "ams9"), "name-fixed", "node file"},
		{RENAME("port", "ams1/wan0", "wan7"), "name-fixed", "node file"},
		{RENAME("link", "acme-ams-01/primary", "x"), "name-fixed", "no name of its own"},
		{RENAME("peering", "acme-ams-01/private", "x"), "name-fixed", "no name of its own"},
		{RENAME("connection", "acme-ams-01/acme-prod", "x"), "name-fixed", "no name of its own"},
	};
	struct model *old = base();
	struct findings findings;
	char text[512];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), "[%s]", cases[i].change);
		assert_null(change(old, text, &findings));
		assert_string_equal(findings.item[0].rule, cases[i].rule);
		if (!strstr(findings.item[0].message, cases[i].says))
			fail_msg("\"%s\" does not say \"%s\"", findings.item[0].message, cases[i].says);
	}
	// the longest name there may be, of its parts, too
	struct model *new = change(old,
		"[" RENAME("circuit", "acme-ams-01",
			"a23456789012345678901234567890123456789012345678901234567890123") ","
		RENAME("vnet", "acme-prod",
			"b23456789012345678901234567890123456789012345678901234567890123") "]",
		&findings);
	assert_non_null(new);
	assert_non_null(model_connection(new,
		"a23456789012345678901234567890123456789012345678901234567890123/"
		"b23456789012345678901234567890123456789012345678901234567890123"));
	model_unref(new);
	model_unref(old);
}

// What was wrong with it before is no reason to refuse it another name, and is wrong with it still.
static void test_rename_of_what_is_broken(void **state)
{
	const struct model_options table = {.host_domain = HOST_DOMAIN_TABLE};
	struct model_source source[64];
	struct findings before = {0}, after = {0}, findings;
	struct model *right = base(), *old;
	unsigned int count = 0;

	for (unsigned int noun = 0; noun < NOUNS; noun++)
		for (unsigned int i = 0; i < model_count(right, noun); i++) {
			const struct object *object = model_at(right, noun, i);
			json_t *json = object_json(object);
			source[count++] = (struct model_source){
				object->noun->name, object->name, json_dumps(json, 0)};
			json_decref(json);
		}
	assert_int_equal(model_load(&table, source, count, NULL, NULL, &old, &before), 0);
	for (unsigned int i = 0; i < count; i++)
		free((char *)(uintptr_t)source[i].json);
	model_unref(right);
	assert_true(before.count > 0); // two peerings have one subnet there
	struct model *new = change(old, "[" RENAME("circuit", "acme-ams-01", "x") "]", &findings);
	if (!new)
		fail_msg("%s", findings.item[0].message);
	model_check(new, &after);
	assert_int_equal(after.count, before.count);
	model_unref(new);
	model_unref(old);
}

// --- successors ------------------------------------------------------------------------------------------

#define RECREATE(name, more) \
	"{\"op\": \"recreate\", \"noun\": \"circuit\", \"name\": \"" name "\"" more "}"
#define REPLACE(name, to) \
	"{\"op\": \"replace\", \"noun\": \"circuit\", \"name\": \"" name "\", \"to\": \"" to "\"}"

static void expect_prefix(const struct ip_prefix *prefix, const char *text)
{
	char shown[IP_TEXT_MAX];

	assert_string_equal(ip_prefix_format(prefix, shown), text);
}

static void test_recreate(void **state)
{
	struct model *first = base();
	struct findings findings;
	struct model *old = change(first,
		"[" SET("circuit", "acme-ams-01", "\"bandwidth\": \"100mbps\", \"burst\": \"77ms\"") ","
		SET("peering", "acme-ams-01/private", "\"password\": {\"value\": \"s3cret\"}, \"hold\": \"30s\", \"keepalive\": \"10s\"") "]",
		&findings);
	assert_non_null(old);
	assert_null(change(old, "[" SET("circuit", "acme-ams-01", "\"bandwidth\": \"50mbps\"") "]", &findings));
	assert_string_equal(findings.item[0].rule, "raise-only");
	assert_string_equal(findings.item[0].hint,
		"recreate: culvertctl circuit recreate acme-ams-01 --bandwidth 50mbps");
	struct model *new = change(old, "[" RECREATE("acme-ams-01", ", \"fields\": {\"bandwidth\": \"50mbps\"}") "]",
		&findings);
	if (!new)
		fail_msg("%s", findings.item[0].message);
	const struct circuit *was = model_circuit(new, "acme-ams-01"), *is = model_circuit(new, "acme-ams-01-r2");
	assert_non_null(is);
	assert_true(was->bandwidth == 100000000 && is->bandwidth == 50000000 && is->burst == was->burst);
	assert_string_not_equal(is->service_key, was->service_key);
	assert_int_equal(model_link(new, "acme-ams-01-r2/primary")->outer_tag, 101);
	assert_int_equal(model_link(new, "acme-ams-01-r2/secondary")->outer_tag, 101);
	const struct peering *peering = model_peering(new, "acme-ams-01-r2/private");
	expect_prefix(&peering->primary_subnet, "169.254.10.8/30"); // .4 is its own secondary's
	expect_prefix(&peering->secondary_subnet, "169.254.10.12/30");
	assert_string_equal(peering->password.text, "s3cret");
	assert_true(peering->hold == model_peering(new, "acme-ams-01/private")->hold);
	assert_non_null(model_connection(new, "acme-ams-01/acme-prod")); // that is moved by replace
	assert_null(model_connection(new, "acme-ams-01-r2/acme-prod"));
	// the next one, with things of its own
	struct model *third = change(new,
		"[" RECREATE("acme-ams-01-r2",
			", \"links\": {\"primary\": {\"outer-tag\": 777}}, \"peerings\": {\"private\": "
			"{\"primary-subnet\": \"169.254.77.0/30\"}}") "]",
		&findings);
	if (!third)
		fail_msg("%s", findings.item[0].message);
	assert_int_equal(model_link(third, "acme-ams-01-r3/primary")->outer_tag, 777);
	assert_int_equal(model_link(third, "acme-ams-01-r3/secondary")->outer_tag, 102);
	expect_prefix(&model_peering(third, "acme-ams-01-r3/private")->primary_subnet, "169.254.77.0/30");
	// and in the place of the first
	struct model *moved = change(new, "[" REPLACE("acme-ams-01", "acme-ams-01-r2") "]", &findings);
	if (!moved)
		fail_msg("%s", findings.item[0].message);
	assert_null(model_circuit(moved, "acme-ams-01"));
	assert_non_null(model_connection(moved, "acme-ams-01-r2/acme-prod"));
	// its name, too, if that is wanted
	struct model *named = change(moved, "[" RENAME("circuit", "acme-ams-01-r2", "acme-ams-01") "]", &findings);
	assert_non_null(named);
	model_unref(named);
	model_unref(moved);
	model_unref(third);
	model_unref(new);
	model_unref(old);
	model_unref(first);
}

static void test_successor_refused(void **state)
{
	static const struct {
		const char *change, *rule, *says;
	} cases[] = {
		{RECREATE("nobody", ""), "not-found", "nobody"},
		{RECREATE("acme-ams-01", ", \"to\": \"globex-ams-01\""), "exists", "exists already"},
		{RECREATE("acme-ams-01", ", \"to\": \"acme-ams-01\""), "exists", "exists already"},
		{RECREATE("acme-ams-01", ", \"to\": \"No Name\""), "name", "No Name"},
		{RECREATE("acme-ams-01", ", \"fields\": {\"bandwidth\": \"51mbps\"}"), "bandwidth-standard", "51mbps"},
		{RECREATE("acme-ams-01", ", \"fields\": {\"bandwith\": \"51mbps\"}"), "unknown-key", "bandwith"},
		{RECREATE("acme-ams-01", ", \"fields\": 7"), "change", "fields"},
		{RECREATE("acme-ams-01", ", \"peerings\": {\"public\": {}}"), "not-found", "acme-ams-01/public"},
		{RECREATE("globex-ams-01", ", \"links\": {\"secondary\": {}}"), "not-found", "globex-ams-01/secondary"},
		{"{\"op\": \"recreate\", \"noun\": \"vnet\", \"name\": \"acme-prod\"}", "change", "successor"},
		{REPLACE("acme-ams-01", "acme-ams-01"), "replace", "its own place"},
		{REPLACE("acme-ams-01", "nobody"), "not-found", "nobody"},
		{"{\"op\": \"replace\", \"noun\": \"circuit\", \"name\": \"acme-ams-01\"}", "replace", "which"},
	};
	struct model *old = base();
	struct findings findings;
	char text[512];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), "[%s]", cases[i].change);
		struct model *new = change(old, text, &findings);
		if (new)
			fail_msg("%s was taken", text);
		if (strcmp(findings.item[0].rule, cases[i].rule) || !strstr(findings.item[0].message, cases[i].says))
			fail_msg("%s: %s: \"%s\"", text, findings.item[0].rule, findings.item[0].message);
	}
	struct model *bare = change(old, "[" CIRCUIT("c") "]", &findings);
	assert_null(change(bare, "[" REPLACE("acme-ams-01", "c") "]", &findings));
	assert_string_equal(findings.item[0].rule, "replace");
	assert_string_equal(findings.item[0].hint, "culvertctl circuit recreate acme-ams-01 --name c");
	assert_null(change(old, "[" REPLACE("acme-ams-01", "globex-ams-01") "]", &findings)); // another's
	assert_string_equal(findings.item[0].rule, "same-customer");
	model_unref(bare);
	model_unref(old);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recreate),
		cmocka_unit_test(test_successor_refused),
		cmocka_unit_test(test_rename_takes_parts_and_referrers),
		cmocka_unit_test(test_rename_and_delete),
		cmocka_unit_test(test_rename_there_and_back),
		cmocka_unit_test(test_rename_round_about),
		cmocka_unit_test(test_rename_leaves_the_name),
		cmocka_unit_test(test_rename_refused),
		cmocka_unit_test(test_rename_of_what_is_broken),
		cmocka_unit_test(test_delete_takes_parts),
		cmocka_unit_test(test_interrupted_is_what_carries),
		cmocka_unit_test(test_nothing_new),
		cmocka_unit_test(test_generated_key),
		cmocka_unit_test(test_secrets),
		cmocka_unit_test(test_helpers),
		cmocka_unit_test(test_elements_come_and_go),
		cmocka_unit_test(test_which_change_is_wrong),
		cmocka_unit_test(test_ensure),
		cmocka_unit_test(test_thousands),
		cmocka_unit_test(test_old_wrongs_in_thousands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
