// SPDX-License-Identifier: BSD-3-Clause
// Changes: a list of create, set and delete against a snapshot becomes a list of edits, the edits a new
// snapshot, and the snapshot is checked as a whole. What is refused leaves no trace: the new snapshot is
// dropped, the old one was never touched.

#include "control/model/change.h"

#include <jansson.h>
#include <sys/random.h>

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define PLACE_MAX (OBJECT_NAME_MAX + 16)

static const char *place_key(enum noun_id noun, const char *name, char key[PLACE_MAX])
{
	snprintf(key, PLACE_MAX, "%u %s", noun, name);
	return key;
}

struct edit *change_edit(const struct change *change, enum noun_id noun, const char *name)
{
	char key[PLACE_MAX];
	const json_t *place = json_object_get(change->places, place_key(noun, name, key));

	return place ? &change->edits.item[json_integer_value(place)] : NULL;
}

static void edit_place(struct change *change, const struct edit *edit, const char *name)
{
	char key[PLACE_MAX];

	if (json_object_set_new(change->places, place_key(edit->noun->id, name, key),
		    json_integer(edit - change->edits.item)))
		change->reader.failed = true;
}

int object_generate(struct object *object, const struct object *old)
{
	const struct fields *fields = &object->noun->fields;

	if (old)
		object->identity = old->identity;
	for (unsigned int i = 0; i < fields->count; i++) {
		const struct field *field = &fields->item[i];
		uint8_t b[16];
		char text[37];
		if (!(field->flags & FIELD_GENERATED) ||
			!field_is_unset(field, field_at(field, object)))
			continue;
		if (old) {
			if (field_copy(field, field_at(field, object), field_at(field, old)))
				return -ENOMEM;
			continue;
		}
		while (getrandom(b, sizeof(b), 0) != sizeof(b))
			continue;
		b[6] = (b[6] & 0x0f) | 0x40; // RFC 4122 version 4
		b[8] = (b[8] & 0x3f) | 0x80;
		snprintf(text, sizeof(text),
			"%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
			b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11],
			b[12], b[13], b[14], b[15]);
		char **value = field_at(field, object);
		*value = strdup(text);
		if (!*value)
			return -ENOMEM;
	}
	return 0;
}

static void not_a_name(struct reader *reader, const struct noun *noun, const char *name)
{
	struct place nowhere = {0};
	char shape[128] = "";

	for (unsigned int i = 0; i < noun->fields.count; i++) {
		size_t used = strlen(shape);
		if (noun->fields.item[i].flags & FIELD_KEY)
			snprintf(shape + used, sizeof(shape) - used, "%s%s", used ? "/" : "",
				noun->fields.item[i].name);
	}
	finding_hint(reader_complain(reader, "name", &nowhere, "name",
			     "\"%.100s\" is not the name of a %s", name, noun->name),
		strchr(shape, '/') ? "as in %s" : "a %s is one word: lower-case letters, digits and \"-\"",
		shape);
}

// "acme-ams-01/primary" into the key fields. -EINVAL with a finding.
static int names_to_keys(struct reader *reader, const struct noun *noun, const char *name, void *object,
	uint64_t *given)
{
	const char *part = name;
	struct place nowhere = {0};

	for (unsigned int i = 0; i < noun->fields.count; i++) {
		const struct field *field = &noun->fields.item[i];
		char text[OBJECT_NAME_MAX], error[FIELD_ERROR_MAX];
		if (!(field->flags & FIELD_KEY))
			continue;
		size_t length = part ? strcspn(part, "/") : 0;
		if (length == 0 || length >= sizeof(text)) {
			not_a_name(reader, noun, name);
			return -EINVAL;
		}
		memcpy(text, part, length);
		text[length] = '\0';
		part = part[length] == '/' ? part + length + 1 : NULL;
		field_free(field, field_at(field, object));
		if (field_parse(field, text, field_at(field, object), error)) {
			reader_complain(reader, "name", &nowhere, field->name, "%s \"%s\" %s",
				field->name, text, error);
			return -EINVAL;
		}
		*given |= UINT64_C(1) << i;
	}
	if (part) {
		not_a_name(reader, noun, name);
		return -EINVAL;
	}
	return 0;
}

const struct object *change_current(
	const struct change *change, enum noun_id noun, const char *name)
{
	const struct edit *edit = change_edit(change, noun, name);

	return edit ? edit->new : model_find(change->old, noun, name);
}

static struct edit *edit_make(struct change *change, const struct noun *noun, const char *name)
{
	struct edit *edit = change_edit(change, noun->id, name);

	if (edit)
		return edit;
	edit = edits_add(&change->edits);
	if (!edit)
		return NULL;
	edit->noun = noun;
	edit->old = model_find(change->old, noun->id, name);
	edit_place(change, edit, name);
	return edit;
}

static void edit_drop(struct change *change, struct edit *edit, const char *name)
{
	char key[PLACE_MAX];

	json_object_del(change->places, place_key(edit->noun->id, name, key));
	object_unref(edit->was);
	object_unref(edit->new);
	*edit = change->edits.item[--change->edits.count];
	if (edit != &change->edits.item[change->edits.count])
		edit_place(change, edit, edit->name);
}

// Another one than `old` may be as it was.
static bool is_as_before(const struct edit *edit)
{
	return edit->old && edit->new && edit->new->identity == edit->old->identity &&
	       fields_equal(&edit->noun->fields, edit->old, edit->new);
}

static void edit_put(struct change *change, struct edit *edit, struct object *object)
{
	enum noun_id noun = edit->noun->id;

	change->alive[noun] -= edit->new != NULL;
	object_unref(edit->new);
	edit->new = object;
	change->alive[noun] += object != NULL;
	edit->name = edit->old ? edit->old->name
		     : object  ? object->name
		     : edit->was ? edit->was->name
				 : NULL;
}

// What was renamed and is deleted now is deleted, and made again it is moved.
static void move(struct change *change, const struct edit *renamed, bool moved)
{
	for (unsigned int i = 0; i < change->edits.count; i++) {
		struct edit *edit = &change->edits.item[i];
		if (edit != renamed && edit->old && edit->old->identity == renamed->was->identity)
			edit->moved = moved;
	}
}

int change_note(struct change *change, const struct noun *noun, const char *name,
	struct object *object, struct object *was)
{
	struct edit *edit = edit_make(change, noun, name);

	if (!edit) {
		object_unref(object);
		object_unref(was);
		return -ENOMEM;
	}
	if (was) {
		object_unref(edit->was);
		edit->was = was;
	} else if (edit->was && !object != !edit->new) {
		move(change, edit, object != NULL);
	}
	edit_put(change, edit, object);
	if (object && edit->old && edit->old->identity == object->identity)
		edit->moved = false; // it is back
	if ((!edit->old && !edit->new && !edit->was) || is_as_before(edit)) {
		change->alive[noun->id] -= edit->new != NULL;
		edit_drop(change, edit, name);
	}
	return change->reader.failed ? -ENOMEM : 0;
}

int change_note_moved(struct change *change, const struct noun *noun, const char *name)
{
	struct edit *edit = edit_make(change, noun, name);

	if (!edit)
		return -ENOMEM;
	const struct object *now = edit->new ? edit->new : edit->old;
	edit->moved |= edit->old && now->identity == edit->old->identity;
	object_unref(edit->was);
	edit->was = NULL;
	edit_put(change, edit, NULL);
	if (!edit->old)
		edit_drop(change, edit, name);
	return change->reader.failed ? -ENOMEM : 0;
}

void change_refuse(struct change *change, const char *field, const char *rule, const char *hint,
	const char *format, ...)
{
	struct place nowhere = {0};
	char text[300];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	struct finding *finding =
		reader_complain(&change->reader, rule, &nowhere, field, "%s", text);
	finding->code = API_REFUSED;
	if (hint)
		finding_hint(finding, "%s", hint);
}

void change_not_found(struct change *change, const struct noun *noun, const char *name)
{
	struct place nowhere = {0};
	const char *names[257];
	unsigned int count = model_count(change->old, noun->id);

	struct finding *finding = reader_complain(&change->reader, "not-found", &nowhere, "",
		"no %s named \"%.100s\"", noun->name, name);
	finding->code = API_NOT_FOUND;
	count = count > 256 ? 256 : count;
	for (unsigned int i = 0; i < count; i++)
		names[i] = model_at(change->old, noun->id, i)->name;
	names[count] = NULL;
	const char *near = did_you_mean(name, names);
	if (near)
		finding_hint(finding, "did you mean \"%s\"?", near);
	else
		finding_hint(finding, "culvertctl %s list", noun->name);
}

int change_complete(struct change *change, struct object *object, const struct tree *map, uint64_t given,
	unsigned int before)
{
	struct reader *reader = &change->reader;
	const struct fields *fields = &object->noun->fields;

	fields_settle(reader, fields, map, object, given);
	fields_require(reader, fields, map, object, given);
	int rc = reader->findings->count != before ? -EINVAL : 0;
	if (reader->failed || (!rc && (object_generate(object, NULL) || object_finish(object))))
		rc = -ENOMEM;
	if (rc)
		object_unref(object);
	return rc;
}

static int create(
	struct change *change, const struct noun *noun, const char *name, const struct tree *map)
{
	struct object *object = object_new(noun);
	struct reader *reader = &change->reader;
	unsigned int before = reader->findings->count;
	struct place nowhere = {0};
	uint64_t given = 0, named = 0;
	bool nameable = true;

	if (!object || fields_initial(&noun->fields, object)) {
		object_unref(object);
		return -ENOMEM;
	}
	fields_read(reader, &noun->fields, map, object, NULL, NULL, &given);
	// A name that is given and key fields that say another are a mistake.
	if (name) {
		struct object *keys = object_new(noun);
		nameable = keys && names_to_keys(reader, noun, name, keys, &named) == 0;
		if (nameable) {
			for (unsigned int i = 0; i < noun->fields.count; i++) {
				const struct field *field = &noun->fields.item[i];
				void *value = field_at(field, object), *key = field_at(field, keys);
				if (!(field->flags & FIELD_KEY))
					continue;
				if (given & UINT64_C(1) << i && !field_equal(field, value, key))
					finding_hint(
						reader_complain(reader, "name", &nowhere, field->name,
							"%s of %s \"%s\" is not what its name says",
							field->name, noun->name, name),
						"leave %s out", field->name);
				field_free(field, value);
				if (field_copy(field, value, key))
					reader->failed = true;
			}
			given |= named;
		}
		object_unref(keys);
	}
	for (unsigned int i = 0; i < noun->fields.count; i++) {
		const struct field *field = &noun->fields.item[i];
		if (field->flags & FIELD_WORKFLOW && given & UINT64_C(1) << i &&
			!field_is_initial(field, field_at(field, object)))
			finding_hint(reader_complain(reader, "transition", &nowhere, field->name,
					     "%s of a new %s is %s", field->name, noun->name,
					     field->initial),
				"leave %s out", field->name);
	}
	if (!nameable) { // it is not known what it has to have
		object_unref(object);
		return reader->failed ? -ENOMEM : 0;
	}
	int rc = change_complete(change, object, map, given, before);
	if (rc)
		return rc == -EINVAL ? 0 : rc;
	if (change_current(change, noun->id, object->name)) {
		struct finding *finding = reader_complain(reader, "exists", &nowhere, "",
			"%s \"%s\" exists already", noun->name, object->name);
		finding->code = API_REFUSED;
		finding_hint(finding, "culvertctl %s set %s", noun->name, object->name);
		object_unref(object);
		return 0;
	}
	return change_note(change, noun, object->name, object, NULL);
}

static int set(
	struct change *change, const struct noun *noun, const char *name, const struct tree *map)
{
	const struct object *before = name ? change_current(change, noun->id, name) : NULL;
	struct reader *reader = &change->reader;
	unsigned int findings = reader->findings->count;
	uint64_t given = 0;

	if (!before) {
		change_not_found(change, noun, name ? name : "");
		return 0;
	}
	struct object *object = object_new(noun);
	if (!object || fields_copy(&noun->fields, object, before)) {
		object_unref(object);
		return -ENOMEM;
	}
	// What is not mentioned stays; what is reset to "not given" may be required.
	uint64_t kept = ~UINT64_C(0);
	for (const struct tree *member = map->child; member; member = member->next) {
		const struct field *field = field_find(&noun->fields, member->key);
		if (field)
			kept &= ~(UINT64_C(1) << (field - noun->fields.item));
	}
	fields_read(reader, &noun->fields, map, object, before, NULL, &given);
	fields_settle(reader, &noun->fields, map, object, given | kept);
	fields_require(reader, &noun->fields, map, object, given | kept);
	for (unsigned int i = 0; i < noun->fields.count; i++) {
		const struct field *field = &noun->fields.item[i];
		struct place nowhere = {0};
		if (field->flags & FIELD_KEY && reader->findings->count == findings &&
			!field_equal(field, field_at(field, object), field_at(field, before)))
			finding_hint(
				reader_complain(reader, "immutable", &nowhere, field->name,
					"%s of %s \"%s\" is part of its name and cannot change",
					field->name, noun->name, name),
				"recreate: culvertctl %s delete %s, then create it", noun->name,
				name);
	}
	for (unsigned int i = 0; i < noun->fields.count; i++) {
		const struct field *field = &noun->fields.item[i];
		char from[FIELD_TEXT_MAX], to[FIELD_TEXT_MAX];
		const void *a = field_at(field, before), *b = field_at(field, object);
		struct place nowhere = {0};
		if (field_may_move(field, a, b))
			continue;
		const char *was = field_format(field, a, from);
		struct finding *finding = reader_complain(reader, "transition", &nowhere, field->name,
			"%s of %s \"%s\" cannot change from %s to %s", field->name, noun->name, name,
			was, field_format(field, b, to));
		finding->code = API_REFUSED;
		move_hint(finding, field, was);
	}
	if (reader->findings->count != findings || reader->failed) {
		object_unref(object);
		return reader->failed ? -ENOMEM : 0;
	}
	if (object_generate(object, before) || object_finish(object)) {
		object_unref(object);
		return -ENOMEM;
	}
	if (fields_equal(&noun->fields, object, before)) {
		object_unref(object);
		return 0;
	}
	return change_note(change, noun, object->name, object, NULL);
}

// Deletes the children that go with their parent: those whose reference says so.
static int cascade(struct change *change, const struct noun *noun, const char *name)
{
	size_t length = strlen(name);

	for (unsigned int i = 0; i < NOUNS; i++) {
		const struct noun *child = nouns[i];
		bool follows = false;
		for (unsigned int f = 0; f < child->fields.count; f++)
			follows |= child->parent == (int)noun->id &&
				   child->fields.item[f].kind == FIELD_REFERENCE &&
				   child->fields.item[f].target == noun->id &&
				   child->fields.item[f].on_delete == ON_DELETE_CASCADE;
		if (!follows)
			continue;
		const struct object *object;
		MODEL_CHILDREN(change->old, child->id, name, object)
		{
			if (change_current(change, child->id, object->name) &&
				change_delete(change, child, object->name))
				return -ENOMEM;
		}
		for (unsigned int e = 0; change->alive[child->id] && e < change->edits.count;) {
			const struct edit *edit = &change->edits.item[e];
			bool ours = edit->noun == child && edit->new &&
				    !strncmp(edit->name, name, length) && edit->name[length] == '/';
			if (!ours) {
				e++;
				continue;
			}
			char part[OBJECT_NAME_MAX];
			snprintf(part, sizeof(part), "%s", edit->name);
			if (change_delete(change, child, part))
				return -ENOMEM;
			e = 0;
		}
	}
	return 0;
}

int change_delete(struct change *change, const struct noun *noun, const char *name)
{
	if (!name || !change_current(change, noun->id, name)) {
		change_not_found(change, noun, name ? name : "");
		return 0;
	}
	int rc = cascade(change, noun, name);
	return rc ? rc : change_note(change, noun, name, NULL, NULL);
}

static int one(struct change *change, struct arena *arena, const json_t *json)
{
	static const struct tree nothing = {.type = TREE_MAP};
	struct reader *reader = &change->reader;
	struct place nowhere = {0};
	const char *op = json_string_value(json_object_get(json, "op"));
	const char *noun_name = json_string_value(json_object_get(json, "noun"));
	const char *name = json_string_value(json_object_get(json, "name"));
	const json_t *fields = json_object_get(json, "fields");
	const struct tree *map = fields ? tree_from_json(arena, fields) : &nothing;
	const struct noun *noun = noun_name ? noun_find(noun_name) : NULL;
	char key[OBJECT_NAME_MAX] = "";

	reader->what[0] = reader->path[0] = '\0';
	if (!op || !noun || !map || map->type != TREE_MAP) {
		finding_hint(reader_complain(reader, "change", &nowhere, "",
				     "a change needs op, noun, name and fields, and a known noun"),
			"{\"op\": \"set\", \"noun\": \"circuit\", \"name\": NAME, \"fields\": {..}}; "
			"rpc.describe has the nouns");
		return 0;
	}
	// The name may be given by the key fields alone.
	for (unsigned int i = 0; !name && i < noun->fields.count; i++) {
		if (!(noun->fields.item[i].flags & FIELD_KEY))
			continue;
		for (const struct tree *member = map->child; member; member = member->next) {
			size_t used = strlen(key);
			if (!strcmp(member->key, noun->fields.item[i].name) &&
				member->type == TREE_SCALAR)
				snprintf(key + used, sizeof(key) - used, "%s%s", used ? "/" : "",
					member->text);
		}
	}
	snprintf(
		reader->what, sizeof(reader->what), "%s \"%.150s\"", noun->name, name ? name : key);
	snprintf(reader->path, sizeof(reader->path), "%s %.150s", noun->name, name ? name : key);
	if (!strcmp(op, "create"))
		return create(change, noun, name, map);
	if (!strcmp(op, "set"))
		return set(change, noun, name ? name : key, map);
	if (!strcmp(op, "ensure"))
		return change_current(change, noun->id, name ? name : key)
			       ? set(change, noun, name ? name : key, map)
			       : create(change, noun, name, map);
	if (!strcmp(op, "delete"))
		return change_delete(change, noun, name ? name : key);
	if (!strcmp(op, "rename"))
		return change_rename(change, noun, name ? name : key,
			json_string_value(json_object_get(json, "to")));
	if (!strcmp(op, "recreate"))
		return change_recreate(change, arena, noun, name ? name : key, json);
	if (!strcmp(op, "replace"))
		return change_replace(change, noun, name ? name : key,
			json_string_value(json_object_get(json, "to")));
	finding_hint(reader_complain(reader, "change", &nowhere, "", "unknown op \"%.32s\"", op),
		"create, set, ensure, rename, recreate, replace or delete");
	return 0;
}

// "link acme-ams-01/primary: port" is of the last change of that object; findings of rules only name the object.
static unsigned int change_named(const struct json_t *changes, const char *path)
{
	for (size_t i = json_array_size(changes); i-- > 0;) {
		const json_t *json = json_array_get(changes, i);
		const char *noun = json_string_value(json_object_get(json, "noun"));
		const char *to = json_string_value(json_object_get(json, "to"));
		const char *name = to ? to : json_string_value(json_object_get(json, "name"));
		char text[OBJECT_NAME_MAX + 64];
		if (!noun || !name)
			continue;
		snprintf(text, sizeof(text), "%s %s", noun, name);
		size_t length = strlen(text);
		if (!strncmp(path, text, length) && (path[length] == '\0' || path[length] == ':'))
			return (unsigned int)i + 1;
	}
	return 0;
}

static void name_changes(const struct json_t *changes, struct findings *findings)
{
	for (unsigned int i = 0; i < findings->count; i++)
		if (findings->item[i].change == 0)
			findings->item[i].change = change_named(changes, findings->item[i].path);
}

struct preview {
	const struct change *change;
	struct model *model;
};

struct model *change_preview(const struct change *change)
{
	const struct edits *now = &change->edits;
	struct edits edits = {.count = now->count, .room = now->count};

	if (!edits.count)
		return model_ref(change->old);
	edits.item = malloc(edits.count * sizeof(edits.item[0]));
	if (!edits.item)
		return NULL;
	memcpy(edits.item, now->item, edits.count * sizeof(edits.item[0]));
	struct model *model = model_apply(change->old, &edits);
	free(edits.item);
	return model;
}

const struct model *preview_model(struct preview *preview)
{
	if (!preview->model)
		preview->model = change_preview(preview->change);
	return preview->model;
}

static int copy_secret(void *ctx, const struct secret *secret)
{
	struct secret *wanted = ctx;

	if (strcmp(secret->fingerprint, wanted->fingerprint) || !secret->text)
		return 0;
	wanted->text = strdup(secret->text);
	return 1;
}

// Of whatever has it: a successor's password is that of the one before.
static char *known_secret(void *ctx, const char *fingerprint)
{
	const struct model *model = ctx;
	struct secret wanted = {0};

	snprintf(wanted.fingerprint, sizeof(wanted.fingerprint), "%s", fingerprint);
	for (unsigned int i = 0; i < model_count(model, NOUN_PEERING) && !wanted.text; i++)
		object_secrets(model_at(model, NOUN_PEERING, i), copy_secret, &wanted);
	return wanted.text;
}

// What comes with the objects that were created, each seen beside those before it.
static int bring(struct change *change, struct arena *arena)
{
	struct preview preview = {.change = change};
	unsigned int created = change->edits.count;
	int rc = 0;

	for (unsigned int i = 0; i < created && !rc && change->reader.findings->count == 0; i++) {
		const struct edit *edit = &change->edits.item[i];
		if (!edit->new || edit_before(edit) || !edit->noun->brings)
			continue;
		json_t *changes =
			edit->noun->brings(&preview, edit->new, change->reader.findings), *json;
		size_t at;
		json_array_foreach (changes, at, json) {
			if (!rc)
				rc = one(change, arena, json);
		}
		if (json_array_size(changes) > 0) {
			model_unref(preview.model);
			preview.model = NULL;
		}
		json_decref(changes);
	}
	model_unref(preview.model);
	return rc;
}

int model_change(const struct model *old, const struct json_t *changes, struct model **out,
	struct findings *findings)
{
	struct change change = {
		.old = old,
		.places = json_object(),
		.reader = {.findings = findings,
			.secret = known_secret,
			.ctx = (void *)(uintptr_t)old}};
	struct arena arena = {0};
	int rc = change.places ? 0 : -ENOMEM;

	*out = NULL;
	for (size_t i = 0; i < json_array_size(changes) && !rc; i++) {
		unsigned int before = findings->count;
		rc = one(&change, &arena, json_array_get(changes, i));
		for (; before < findings->count; before++)
			findings->item[before].change = (unsigned int)i + 1;
	}
	if (!rc && !findings->count)
		rc = bring(&change, &arena);
	if (!rc && findings->count)
		rc = -EINVAL;
	if (!rc) {
		struct check check = {.old = old,
			.findings = findings,
			.edits = &change.edits,
			.stepwise = true};
		rc = edits_finish(&check, &change.edits, out);
		name_changes(changes, findings);
	}
	json_decref(change.places);
	edits_free(&change.edits);
	arena_free(&arena);
	return rc;
}

int edits_finish(struct check *check, struct edits *edits, struct model **out)
{
	if (edits->count == 0) {
		*out = model_ref(check->old);
		return 0;
	}
	struct model *model = model_apply(check->old, edits);
	if (!model)
		return -ENOMEM;
	check->model = model;
	int rc = check_run(check);
	if (rc) {
		model_unref(model);
		return rc;
	}
	*out = model;
	return 0;
}
