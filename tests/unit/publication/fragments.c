// SPDX-License-Identifier: BSD-3-Clause
// Fragments against their oracle. Random edits of everything that a configuration holds, taken by
// the model or refused by it; after each the fragments that were rebuilt, because an input of
// theirs is another object than before, are equal to those of a build from nothing. Whoever follows
// the changes that are given out holds the same, too.

#include "control/base/array.h"
#include "control/model/intent.h"
#include "control/publication.h"
#include "tests/unit/model/base.h"

#define ROUNDS 10000

static const char *const ports[] = {"wan0", "wan1", "core0"};
static const struct node_view node = {"ams1", 3, ports};

static const char start_yaml[] = "version: 1\n"
				 "edges:\n"
				 "- name: ams1\n"
				 "  ports:\n"
				 "  - {name: wan0, faces: customer}\n"
				 "  - {name: wan1, faces: customer}\n"
				 "  - {name: wan9, faces: customer}\n" // not of this machine
				 "  - {name: core0, faces: core, address: 192.0.2.1/24}\n"
				 "  - {name: core9, faces: core, address: 203.0.113.1/24}\n"
				 "- name: ams2\n"
				 "  ports:\n"
				 "  - {name: wan0, faces: customer}\n"
				 "  - {name: core0, faces: core, address: 192.0.2.2/24}\n"
				 "customers:\n"
				 "- name: acme\n"
				 "- name: globex\n";

// --- ids: what the store does --------------------------------------------------------------------------------

static uint64_t next_uid;

struct collection {
	LIST_OF(struct id_key *) keys;
};

static void list_key(void *ctx, enum id_class class, const char *key)
{
	struct collection *collection = ctx;

	*(struct id_key **)APPEND(collection->keys) = id_key_new(class, key, (struct id){0});
}

static int compare(const void *a, const void *b)
{
	return id_key_compare(*(struct id_key *const *)a, *(struct id_key *const *)b);
}

// As it was published last, by whatever name.
static const struct object *before(const struct publication *old, const struct object *object)
{
	for (unsigned int i = 0; old != NULL && i < model_count(old->model, object->noun->id); i++) {
		const struct object *one = model_at(old->model, object->noun->id, i);
		if (one->identity == object->identity)
			return one;
	}
	return NULL;
}

// What the store does: an object that is called otherwise keeps its numbers.
static void give_ids(struct collection *all, const struct publication *old, const struct object *object)
{
	const struct object *was = before(old, object);
	struct object *named = was != NULL ? object_named(was, object) : NULL;
	struct collection need = {0}, had = {0}, has = {0};

	object->noun->ids(&(struct id_sink){list_key, &need}, object);
	if (was != NULL) {
		object->noun->ids(&(struct id_sink){list_key, &had}, was);
		object->noun->ids(&(struct id_sink){list_key, &has}, named);
	}
	for (unsigned int i = 0; i < need.keys.count; i++) {
		struct id_key *key = need.keys.item[i];
		for (unsigned int j = 0; j < has.keys.count; j++)
			if (id_key_compare(key, has.keys.item[j]) == 0)
				key->id = ids_of(old->ids, key->class, "%s", had.keys.item[j]->key);
		if (key->id.uid == 0) {
			next_uid++;
			key->id = (struct id){(uint32_t)next_uid + 1, next_uid};
		}
		*(struct id_key **)APPEND(all->keys) = key;
	}
	object_unref(named);
	for (unsigned int i = 0; i < has.keys.count; i++) {
		id_key_unref(has.keys.item[i]);
		id_key_unref(had.keys.item[i]);
	}
	free(need.keys.item);
	free(had.keys.item);
	free(has.keys.item);
}

static struct ids *ids_for(const struct model *model, const struct publication *old)
{
	struct collection collection = {0};

	for (unsigned int noun = 0; noun < NOUNS; noun++) {
		for (unsigned int i = 0; i < model_count(model, noun); i++) {
			const struct object *object = model_at(model, noun, i);
			if (object->noun->ids != NULL)
				give_ids(&collection, old, object);
		}
	}
	struct ids *ids = ids_new(collection.keys.count);
	if (collection.keys.count > 0)
		qsort(collection.keys.item, collection.keys.count, sizeof(struct id_key *),
			compare);
	for (unsigned int i = 0; i < collection.keys.count; i++)
		ids->item[ids->count++] = collection.keys.item[i];
	free(collection.keys.item);
	return ids;
}

static struct publication *publish(struct model *model, const struct publication *old)
{
	struct publication *publication = calloc(1, sizeof(*publication));

	publication->references = 1;
	publication->model = model;
	publication->ids = ids_for(model, old);
	return publication;
}

// --- random edits ----------------------------------------------------------------------------------------

static const char *pick(const char *const *from, int count)
{
	return from[rand() % count];
}
#define PICK(...)                                \
	pick((const char *const[]){__VA_ARGS__}, \
		(int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)))
#define TEXT(key, ...)    json_object_set_new(fields, key, json_string(PICK(__VA_ARGS__)))
#define NUMBER(key, most) json_object_set_new(fields, key, json_integer(rand() % (most) + 1))

static void random_circuit(json_t *fields, bool create)
{
	if (create) {
		TEXT("customer", "acme", "globex");
		TEXT("bandwidth", "50mbps", "100mbps");
	}
	TEXT("burst", "50ms", "100ms");
	TEXT("shape-in", "0ms", "5ms");
	TEXT("accounting", "l2", "l3");
	TEXT("description", "here", "there"); // means nothing
}

static void random_link(json_t *fields)
{
	TEXT("edge", "ams1", "ams1", "ams2");
	TEXT("port", "wan0", "wan0", "wan1", "wan9");
	NUMBER("outer-tag", 6);
	TEXT("admin", "up", "down");
}

static void random_peering(json_t *fields)
{
	TEXT("primary-subnet", "169.254.10.0/30", "169.254.10.8/30");
	TEXT("secondary-subnet", "169.254.10.4/30", "169.254.10.12/30");
	if (rand() % 2) {
		TEXT("primary-subnet-v6", "fd00:1::/126", "fd00:1::8/126");
		TEXT("secondary-subnet-v6", "fd00:1::4/126", "fd00:1::c/126");
	} else {
		json_object_set_new(fields, "primary-subnet-v6", json_null());
		json_object_set_new(fields, "secondary-subnet-v6", json_null());
	}
	json_object_set_new(fields, "peer-asn", json_integer(65001 + rand() % 2));
	json_object_set_new(fields, "local-asn", json_integer(64900));
	TEXT("enabled", "true", "false");
	if (rand() % 4 == 0)
		json_object_set_new(
			fields, "password", json_pack("{s:s}", "value", PICK("x", "y")));
}

static void random_vnet(json_t *fields, bool create)
{
	static const char *const locals[] = {"192.0.2.1", "203.0.113.1"};
	json_t *tunnels = json_array();

	if (create)
		TEXT("customer", "acme", "globex");
	json_object_set_new(fields, "prefixes",
		json_pack("[s]", PICK("10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16")));
	if (rand() % 8 != 0)
		json_array_append_new(
			tunnels, json_pack("{s:s, s:s, s:s, s:i}", "edge", "ams1", "gateway",
					 PICK("198.51.100.1", "198.51.100.2"), "local",
					 locals[rand() % 5 == 0], "key", rand() % 20));
	json_object_set_new(fields, "tunnels", tunnels);
}

static void random_exit(json_t *fields, bool create)
{
	if (create)
		TEXT("vnet", "v1", "v2");
	json_object_set_new(fields, "tunnels",
		json_pack("[{s:s, s:s, s:s, s:i}]", "edge", PICK("ams1", "ams1", "ams2"), "gateway",
			"198.51.100.1", "local", "192.0.2.1", "key", rand() % 20));
}

static void random_port(json_t *fields, const char *name)
{
	json_object_set_new(fields, "mtu", json_integer(1500 + rand() % 3 * 100));
	if (strstr(name, "core9") != NULL)
		TEXT("address", "203.0.113.1/24", "203.0.113.1/25");
	if (strcmp(name, "ams2/core0") == 0) // matters to every peering
		TEXT("address", "192.0.2.2/24", "192.0.2.3/24");
}

static void random_name(const char *noun, char name[64])
{
	const char *circuit = PICK("c1", "c2", "c3", "c4"), *vnet = PICK("v1", "v2", "v3", "v4");

	if (strcmp(noun, "circuit") == 0)
		strcpy(name, circuit);
	else if (strcmp(noun, "link") == 0)
		snprintf(name, 64, "%s/%s", circuit, PICK("primary", "secondary"));
	else if (strcmp(noun, "peering") == 0)
		snprintf(name, 64, "%s/private", circuit);
	else if (strcmp(noun, "vnet") == 0)
		strcpy(name, vnet);
	else if (strcmp(noun, "connection") == 0)
		snprintf(name, 64, "%s/%s", circuit, vnet);
	else if (strcmp(noun, "exit") == 0)
		strcpy(name, PICK("e1", "e2"));
	else if (strcmp(noun, "port") == 0)
		strcpy(name, PICK("ams1/core0", "ams1/wan0", "ams1/core9", "ams2/core0"));
	else
		strcpy(name, PICK("ams1", "ams2"));
}

static json_t *random_rename(void)
{
	const char *noun = PICK("circuit", "circuit", "vnet", "vnet", "exit");
	char name[64], to[64];

	random_name(noun, name);
	random_name(noun, to);
	return json_pack("{s:s, s:s, s:s, s:s}", "op", "rename", "noun", noun, "name", name, "to", to);
}

static json_t *random_change(void)
{
	if (rand() % 6 == 0)
		return random_rename();
	const char *noun = PICK("circuit", "link", "link", "link", "peering", "peering", "vnet",
		"vnet", "connection", "connection", "exit", "port", "edge");
	bool fixed = strcmp(noun, "port") == 0 || strcmp(noun, "edge") == 0;
	const char *op = fixed ? "set" : PICK("create", "create", "create", "set", "set", "delete");
	json_t *fields = json_object();
	char name[64];

	random_name(noun, name);
	if (strcmp(noun, "circuit") == 0)
		random_circuit(fields, strcmp(op, "create") == 0);
	else if (strcmp(noun, "link") == 0)
		random_link(fields);
	else if (strcmp(noun, "peering") == 0)
		random_peering(fields);
	else if (strcmp(noun, "vnet") == 0)
		random_vnet(fields, strcmp(op, "create") == 0);
	else if (strcmp(noun, "connection") == 0)
		NUMBER("weight", 3);
	else if (strcmp(noun, "exit") == 0)
		random_exit(fields, strcmp(op, "create") == 0);
	else if (strcmp(noun, "port") == 0)
		random_port(fields, name);
	else
		json_object_set_new(fields, "routes",
			rand() % 2
				? json_array()
				: json_pack("[{s:s, s:s}]", "prefix", "198.51.100.0/24", "via",
					  strcmp(name, "ams1") == 0 ? PICK("192.0.2.9", "192.0.2.8")
								    : "192.0.2.9"));
	return json_pack("{s:s, s:s, s:s, s:o}", "op", op, "noun", noun, "name", name, "fields",
		strcmp(op, "delete") == 0 ? (json_decref(fields), json_object()) : fields);
}

// --- who follows the changes ---------------------------------------------------------------------------------

struct follower {
	LIST_OF(const struct fragment *) held; // a reference each
	unsigned int different;
};

static void follow(
	struct follower *follower, const struct fragment *old, const struct fragment *new)
{
	if (old == new)
		return;
	for (unsigned int i = 0; i < follower->held.count && old != NULL; i++) {
		if (follower->held.item[i] != old)
			continue;
		fragment_unref(old);
		follower->held.item[i] = follower->held.item[--follower->held.count];
		old = NULL;
	}
	assert_null(old); // what was given out as old had been given out as new
	if (new != NULL) {
		unsigned int count = follower->held.count++;
		follower->held.item = reallocarray(follower->held.item, count + 1, sizeof(new));
		follower->held.item[count] = fragment_ref(new);
	}
}

static void count_held(void *ctx, const struct fragment *fragment)
{
	struct follower *follower = ctx;
	bool found = false;

	for (unsigned int i = 0; i < follower->held.count; i++)
		found = found || follower->held.item[i] == fragment;
	assert_true(found);
	follower->different++;
}

static void assert_follows(const struct fragments *fragments, struct follower *follower)
{
	follower->different = 0;
	fragments_each(fragments, count_held, follower);
	assert_int_equal(follower->different, follower->held.count);
}

// --- the test --------------------------------------------------------------------------------------------

static struct fragments *fragments;
static struct publication *current;
static struct follower follower;

// One edit; false: the model refuses it, or nothing changed.
static bool edit(void)
{
	json_t *changes = json_array();
	struct findings findings = {0};
	struct model *next = NULL;

	for (int i = rand() % 4 ? 0 : rand() % 3; i >= 0; i--)
		json_array_append_new(changes, random_change());
	int rc = model_change(current->model, changes, &next, &findings);
	json_decref(changes);
	if (rc != 0)
		return false;
	struct publication *publication = publish(next, current);
	publication_unref(current);
	current = publication;
	fragments_update(fragments, publication, NULL, NULL);
	return true;
}

static bool step(void)
{
	const struct fragment *old, *new;

	if (!fragments_next(fragments, &old, &new))
		return false;
	follow(&follower, old, new);
	return true;
}

static void assert_equal_to_full(unsigned int round)
{
	struct fragments *full = fragments_full(current, &node);
	const char *difference = NULL;

	if (!fragments_equal(fragments, full, &difference))
		fail_msg("edit %u: %s is not what a full build makes of it", round, difference);
	fragments_destroy(full);
}

static void begin(void)
{
	struct model_options options = {.lab = true};
	struct model *empty = model_create(&options);

	next_uid = 1;
	memset(&follower, 0, sizeof(follower));
	current = publish(parse(empty, start_yaml), NULL);
	model_unref(empty);
	fragments = fragments_create(&node);
	fragments_update(fragments, current, NULL, NULL);
	while (step())
		continue;
}

static void end(void)
{
	for (unsigned int i = 0; i < follower.held.count; i++)
		fragment_unref(follower.held.item[i]);
	free(follower.held.item);
	fragments_destroy(fragments);
	publication_unref(current);
}

static void test_random_edits(void **state)
{
	struct fragments_counters counters;
	unsigned int taken = 0, most = 0;

	srand(random_seed());
	begin();
	for (unsigned int round = 0; taken < ROUNDS; round++) {
		assert_true(round < 100 * ROUNDS);
		if (!edit())
			continue;
		taken++;
		while (step())
			continue;
		assert_equal_to_full(taken);
		assert_follows(fragments, &follower);
		fragments_counters(fragments, &counters);
		most = counters.held > most ? counters.held : most;
	}
	fragments_counters(fragments, &counters);
	print_message("%u edits, at most %u fragments, %.1f built and %.1f different an edit\n",
		taken, most, (double)counters.built / taken, (double)counters.changed / taken);
	assert_true(most > 20);
	end();
}

// The route thread is slow: several publications pass before it has done with the first.
static void test_publications_overtake(void **state)
{
	unsigned int taken = 0;

	srand(random_seed());
	begin();
	while (taken < ROUNDS / 4) {
		taken += edit();
		for (int i = rand() % 4; i > 0; i--)
			step();
		if (rand() % 8 != 0)
			continue;
		while (step())
			continue;
		assert_equal_to_full(taken);
		assert_follows(fragments, &follower);
	}
	end();
}

static unsigned int built_by(const char *change_json)
{
	struct fragments_counters before, after;
	struct findings findings;
	struct model *model = change(current->model, change_json, &findings);

	if (model == NULL)
		fail_msg("%s", findings.item[0].message);
	struct publication *publication = publish(model, current);
	publication_unref(current);
	current = publication;
	fragments_counters(fragments, &before);
	fragments_update(fragments, current, NULL, NULL);
	while (step())
		continue;
	fragments_counters(fragments, &after);
	return (unsigned int)(after.built - before.built);
}

// Of both, or of neither; and the same but for names.
static void assert_renamed(const struct fragment *old, const struct fragment *new)
{
	assert_non_null(old);
	assert_non_null(new);
	assert_int_equal(old->interfaces.count, new->interfaces.count);
	for (unsigned int i = 0; i < new->interfaces.count; i++) {
		struct intent_interface was = old->interfaces.item[i], is = new->interfaces.item[i];
		was.name = is.name;
		was.object = is.object;
		was.link = is.link;
		was.session.password = is.session.password;
		assert_memory_equal(&was, &is, sizeof(is));
	}
	assert_int_equal(old->limiters.count, new->limiters.count);
	for (unsigned int i = 0; i < new->limiters.count; i++) {
		assert_int_equal(old->limiters.item[i].id, new->limiters.item[i].id);
		assert_true(old->limiters.item[i].uid == new->limiters.item[i].uid);
	}
	assert_int_equal(old->domains.count, new->domains.count);
	for (unsigned int i = 0; i < new->domains.count; i++) {
		assert_int_equal(old->domains.item[i].id, new->domains.item[i].id);
		assert_true(policy_does(&old->domains.item[i].import, &new->domains.item[i].import));
	}
	assert_int_equal(old->joins.count, new->joins.count);
	for (unsigned int i = 0; i < new->joins.count; i++) {
		assert_int_equal(old->joins.item[i].domain[0], new->joins.item[i].domain[0]);
		assert_int_equal(old->joins.item[i].domain[1], new->joins.item[i].domain[1]);
		assert_true(old->joins.item[i].account[0] == new->joins.item[i].account[0]);
	}
}

// Whatever else there is: a change that only renames is one of names.
static void test_rename_changes_names_only(void **state)
{
	const struct fragment *old, *new;
	unsigned int taken = 0, renamed = 0;

	srand(random_seed());
	begin();
	for (unsigned int round = 0; taken < ROUNDS / 20; round++) {
		assert_true(round < 100 * ROUNDS);
		edit();
		while (step())
			continue;
		json_t *changes = json_array();
		struct findings findings = {0};
		struct model *next = NULL;
		for (int i = rand() % 3; i >= 0; i--)
			json_array_append_new(changes, random_rename());
		int rc = model_change(current->model, changes, &next, &findings);
		json_decref(changes);
		if (rc != 0)
			continue;
		struct publication *publication = publish(next, current);
		publication_unref(current);
		current = publication;
		fragments_update(fragments, publication, NULL, NULL);
		while (fragments_next(fragments, &old, &new)) {
			follow(&follower, old, new);
			if (old == new)
				continue;
			assert_renamed(old, new);
			renamed++;
		}
		taken++;
		assert_equal_to_full(taken);
		assert_follows(fragments, &follower);
	}
	print_message("%u changes of names, %u fragments\n", taken, renamed);
	assert_true(renamed > 20);
	end();
}

#define LARGE 500

// A change costs what it touches, also in a model of a thousand circuits and vNets; an equal rule
// set exists once.
static void test_cost_of_one_edit(void **state)
{
	struct fragments_counters counters;
	json_t *changes = json_array();
	struct findings findings = {0};
	struct model *large = NULL;

	begin();
	for (unsigned int i = 0; i < LARGE; i++) {
		char circuit[16], vnet[16], link[32], peering[32], connection[48], prefix[24];
		snprintf(circuit, sizeof(circuit), "c%u", i);
		snprintf(vnet, sizeof(vnet), "v%u", i);
		snprintf(link, sizeof(link), "c%u/primary", i);
		snprintf(peering, sizeof(peering), "c%u/private", i);
		snprintf(connection, sizeof(connection), "c%u/v%u", i, i);
		snprintf(prefix, sizeof(prefix), "10.%u.%u.0/24", i / 256, i % 256);
		json_array_append_new(
			changes, json_pack("{s:s,s:s,s:s,s:{s:s,s:s}}", "op", "create", "noun",
					 "circuit", "name", circuit, "fields", "customer", "acme",
					 "bandwidth", "50mbps"));
		json_array_append_new(
			changes, json_pack("{s:s,s:s,s:s,s:{s:s,s:s,s:i}}", "op", "create", "noun",
					 "link", "name", link, "fields", "edge", "ams1", "port",
					 "wan0", "outer-tag", (int)i + 1));
		json_array_append_new(
			changes, json_pack("{s:s,s:s,s:s,s:{s:s,s:i,s:i}}", "op", "create", "noun",
					 "peering", "name", peering, "fields", "primary-subnet",
					 "169.254.10.0/30", "peer-asn", 65001, "local-asn", 64900));
		json_array_append_new(changes,
			json_pack("{s:s,s:s,s:s,s:{s:s,s:[s],s:[{s:s,s:s,s:s,s:i}]}}", "op",
				"create", "noun", "vnet", "name", vnet, "fields", "customer",
				"acme", "prefixes", prefix, "tunnels", "edge", "ams1", "gateway",
				"198.51.100.1", "local", "192.0.2.1", "key", (int)i));
		json_array_append_new(changes, json_pack("{s:s,s:s,s:s}", "op", "create", "noun",
						       "connection", "name", connection));
	}
	if (model_change(current->model, changes, &large, &findings) != 0)
		fail_msg("%s", findings.item[0].message);
	json_decref(changes);
	struct publication *publication = publish(large, current);
	publication_unref(current);
	current = publication;
	fragments_update(fragments, current, NULL, NULL);
	while (step())
		continue;
	fragments_counters(fragments, &counters);
	assert_int_equal(counters.held, 3 + 1 + LARGE * 4); // core0, core9's and wan9's problem, the edge
	// of each vNet, of each peering's own subnet; the outer addresses, special-purpose prefixes, our
	// AS number and the next hop are one each
	assert_int_equal(counters.sets, LARGE * 2 + 4);

	assert_in_range(built_by("[{\"op\":\"set\",\"noun\":\"circuit\",\"name\":\"c7\",\"fields\":"
				 "{\"bandwidth\":\"100mbps\"}}]"),
		1, 3); // link, peering
	assert_in_range(built_by("[{\"op\":\"set\",\"noun\":\"vnet\",\"name\":\"v7\",\"fields\":"
				 "{\"prefixes\":[\"10.200.0.0/16\"]}}]"),
		1, 3); // vnet, connection, peering
	assert_in_range(
		built_by("[{\"op\":\"set\",\"noun\":\"connection\",\"name\":\"c7/v7\",\"fields\":"
			 "{\"weight\":2}}]"),
		1, 2); // connection, peering
	assert_int_equal(
		built_by("[{\"op\":\"set\",\"noun\":\"customer\",\"name\":\"acme\",\"fields\":"
			 "{\"description\":\"somebody\"}}]"),
		0);
	fragments_counters(fragments, &counters);
	assert_int_equal(counters.sets, LARGE * 2 + 4); // the old set of v7 has gone
	end();
}

// No noun says one yet; what follows a fragment must see that another one is meant.
static void test_policy_of_a_join_is_part_of_it(void **state)
{
	struct ip_prefix prefix;
	struct intent_join join[2] = {{.object = "c/v"}, {.object = "c/v"}};
	struct fragment fragment[2] = {
		{.key = {NOUN_CONNECTION, "c/v"}}, {.key = {NOUN_CONNECTION, "c/v"}}};

	for (unsigned int i = 0; i < 2; i++) {
		join[i].policy[0].otherwise = join[i].policy[1].otherwise = POLICY_ACCEPT;
		fragment[i].joins.item = &join[i];
		fragment[i].joins.count = 1;
	}
	assert_true(fragment_equal(&fragment[0], &fragment[1]));
	assert_int_equal(ip_prefix_parse("10.7.0.0/16", &prefix), 0);
	for (unsigned int way = 0; way < 2; way++) {
		policy_add(&join[1].policy[way], policy_set_refuse(&prefix, 1, "vnet-prefix", "v"));
		assert_false(fragment_equal(&fragment[0], &fragment[1]));
		policy_clear(&join[1].policy[way]);
		join[1].policy[way].otherwise = POLICY_ACCEPT;
		assert_true(fragment_equal(&fragment[0], &fragment[1]));
	}
}

static void test_slot_keeps_the_newest(void **state)
{
	struct publication_slot slot = {0};
	struct model_options options = {0};
	struct publication *first = publish(model_create(&options), NULL),
			   *second = publish(model_create(&options), NULL);

	assert_null(publication_take(&slot));
	assert_true(publication_put(&slot, publication_ref(first)));
	assert_false(publication_put(&slot, publication_ref(second)));
	assert_int_equal(first->references, 1); // nobody waits with it
	assert_ptr_equal(publication_take(&slot), second);
	assert_null(publication_take(&slot));
	assert_true(publication_put(&slot, first));
	publication_unref(publication_take(&slot));
	publication_unref(second);
	publication_unref(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_edits),
		cmocka_unit_test(test_rename_changes_names_only),
		cmocka_unit_test(test_publications_overtake),
		cmocka_unit_test(test_cost_of_one_edit),
		cmocka_unit_test(test_policy_of_a_join_is_part_of_it),
		cmocka_unit_test(test_slot_keeps_the_newest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
