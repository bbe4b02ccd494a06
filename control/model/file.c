// SPDX-License-Identifier: BSD-3-Clause
// A whole model at once: from a configuration file, and from the store's objects. Both become edits
// against the snapshot there was, so that what is equal stays the same object and a diff costs what
// differs.
//
// The file has a section for each noun; links, peerings and connections stand inside their circuit,
// ports inside their edge, and take that reference from where they stand.

#include "control/model/change.h"

#include <jansson.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	const struct object *object; // one reference
	const struct tree *tree;
};

struct load {
	const struct model *old;
	struct reader reader;
	struct entry *entry;
	unsigned int count, room;
	unsigned int items; // of all sections, whatever is wrong with them
	bool back, judged;  // to what was stored once; model_back()
};

static int add(struct load *load, struct object *object, const struct tree *tree)
{
	if (load->count == load->room) {
		unsigned int room = load->room ? load->room * 2 : 1024;
		struct entry *entry = reallocarray(load->entry, room, sizeof(*entry));
		if (!entry) {
			object_unref(object);
			return -ENOMEM;
		}
		load->entry = entry;
		load->room = room;
	}
	load->entry[load->count++] = (struct entry){object, tree};
	return 0;
}

static bool implied(const struct noun *noun, const struct field *field)
{
	return noun->parent >= 0 && field->kind == FIELD_REFERENCE && field->flags & FIELD_KEY &&
	       (int)field->target == noun->parent;
}

// The name that an item of the file will have, as far as it can be told before its types are known.
static void peek_name(const struct noun *noun, const struct tree *tree, const char *parent,
	char name[OBJECT_NAME_MAX])
{
	size_t used = 0;

	name[0] = '\0';
	for (unsigned int i = 0; i < noun->fields.count; i++) {
		const struct field *field = &noun->fields.item[i];
		const char *text = parent && implied(noun, field) ? parent : NULL;
		if (!(field->flags & FIELD_KEY) || used >= OBJECT_NAME_MAX)
			continue;
		for (const struct tree *member = tree->child; member && !text;
			member = member->next) {
			if (!strcmp(member->key, field->name) && member->type == TREE_SCALAR)
				text = member->text;
		}
		used += (size_t)snprintf(name + used, OBJECT_NAME_MAX - used, "%s%s",
			used ? "/" : "", text ? text : "?");
	}
}

// Where a workflow stands is not for a file that does not name it to change.
static void keep_workflow(struct reader *reader, const struct noun *noun, struct object *object,
	const struct object *old, uint64_t *given)
{
	for (unsigned int i = 0; i < noun->fields.count && old; i++) {
		const struct field *field = &noun->fields.item[i];
		void *value = field_at(field, object);
		bool status = field->flags & FIELD_STATUS;
		if (!status && (!(field->flags & FIELD_WORKFLOW) || *given & UINT64_C(1) << i))
			continue;
		field_free(field, value);
		reader->failed |= field_copy(field, value, field_at(field, old)) != 0;
		*given |= UINT64_C(1) << i;
	}
}

// What was stored of these fields once does not count: model_back(). Of an object that comes back when its deletion is
// reverted it does: nobody else has done anything about it meanwhile.
static void stay_today(struct reader *reader, const struct noun *noun, struct object *object,
	const struct object *old, bool judged)
{
	for (unsigned int i = 0; i < noun->fields.count; i++) {
		const struct field *field = &noun->fields.item[i];
		void *value = field_at(field, object);
		char error[FIELD_ERROR_MAX];
		bool today = field->flags & (FIELD_WORKFLOW | FIELD_STATUS);
		if (!old ? !today || !judged : !today && !(field->flags & FIELD_HASH_ONLY))
			continue;
		field_free(field, value);
		memset(value, 0, field_kind_size(field->kind));
		if (old)
			reader->failed |= field_copy(field, value, field_at(field, old)) != 0;
		else if (field->initial)
			reader->failed |= field_parse(field, field->initial, value, error) != 0;
	}
}

static int read_object(struct load *load, const struct noun *noun, const struct tree *tree,
	const char *parent, const char *name)
{
	struct reader *reader = &load->reader;
	unsigned int before = reader->findings->count + reader->findings->more;
	const struct object *old = model_find(load->old, noun->id, name);
	struct object *object = object_new(noun);
	uint64_t given = 0;

	reader->lost = false;
	if (!object || fields_initial(&noun->fields, object)) {
		object_unref(object);
		return -ENOMEM;
	}
	fields_read(reader, &noun->fields, tree, object, old, noun, &given);
	for (unsigned int i = 0; i < noun->fields.count; i++) {
		const struct field *field = &noun->fields.item[i];
		if (!parent || !implied(noun, field))
			continue;
		const char **value = field_at(field, object);
		if (*value && strcmp(*value, parent))
			finding_hint(reader_complain(reader, "place", &tree->place, field->name,
					     "%s says %s \"%s\" but stands inside \"%s\"",
					     reader->what, field->name, *value, parent),
				"leave %s out, or put it there", field->name);
		if (!*value && !(*value = strdup(parent)))
			reader->failed = true;
		given |= UINT64_C(1) << i;
	}
	if (load->back)
		stay_today(reader, noun, object, old, load->judged);
	else
		keep_workflow(reader, noun, object, old, &given);
	fields_settle(reader, &noun->fields, tree, object, given);
	unsigned int read = reader->findings->count + reader->findings->more;
	fields_require(reader, &noun->fields, tree, object, given);
	bool missing = reader->findings->count + reader->findings->more != read;
	// A stored object goes on with what could be read of it, unless that is not enough to be
	// one.
	if (missing || reader->failed || (reader->stored ? reader->lost : read != before)) {
		object_unref(object);
		return reader->failed ? -ENOMEM : 0;
	}
	if (object_generate(object, old) || object_finish(object)) {
		object_unref(object);
		return -ENOMEM;
	}
	return add(load, object, tree);
}

static int read_section(
	struct load *load, const struct noun *noun, const struct tree *section, const char *parent)
{
	struct reader *reader = &load->reader;
	char name[OBJECT_NAME_MAX];
	int rc = 0;

	if (section->type == TREE_NULL)
		return 0;
	if (section->type != TREE_LIST) {
		reader_complain(
			reader, "value", &section->place, "", "%s must be a list", section->key);
		return 0;
	}
	for (const struct tree *item = section->child; item && !rc; item = item->next) {
		reader->what[0] = reader->path[0] = '\0';
		load->items++;
		if (item->type != TREE_MAP) {
			reader_complain(reader, "value", &item->place, "",
				"each of %s must be a map of fields", section->key);
			continue;
		}
		peek_name(noun, item, parent, name);
		snprintf(reader->what, sizeof(reader->what), "%s \"%s\"", noun->name, name);
		snprintf(reader->path, sizeof(reader->path), "%s %s", noun->name, name);
		rc = read_object(load, noun, item, parent, name);
		for (const struct tree *member = item->child; member && !rc;
			member = member->next) {
			for (unsigned int i = 0; i < NOUNS && !rc; i++) {
				if (nouns[i]->parent == (int)noun->id &&
					!strcmp(nouns[i]->section, member->key))
					rc = read_section(load, nouns[i], member, name);
			}
		}
	}
	return rc;
}

// Fewer than it says: something was lost. More: somebody added to what he was shown.
static uint32_t count_reached(struct load *load, const struct tree *said)
{
	static const struct field number = {.name = "", .kind = FIELD_UINT};
	char error[FIELD_ERROR_MAX];
	uint32_t objects = 0;

	if (!said)
		return 0;
	if (said->type != TREE_SCALAR || field_parse(&number, said->text, &objects, error))
		finding_hint(reader_complain(&load->reader, "whole-file", &said->place, said->key,
				     "%s is not a number of objects", said->key),
			"%s: %u", said->key, load->items);
	else if (objects > load->items)
		finding_hint(reader_complain(&load->reader, "whole-file", &said->place, said->key,
				     "the file says that it has %u objects and has %u", objects,
				     load->items),
			"was something lost? If it is meant: %s: %u", said->key, load->items);
	return objects;
}

// A file cut off between two items is a file. What `config show` writes begins and ends with the number of
// its objects; one that begins with it has to end with it.
static void check_whole(struct load *load, const struct tree *tree)
{
	const struct tree *begin = NULL, *end = NULL;

	load->reader.what[0] = load->reader.path[0] = '\0';
	for (const struct tree *member = tree->child; member; member = member->next) {
		if (!strcmp(member->key, FILE_COUNT))
			begin = member;
		if (!strcmp(member->key, FILE_END))
			end = member;
	}
	unsigned int before = load->reader.findings->count;
	uint32_t first = count_reached(load, begin), last = count_reached(load, end);
	if (begin && end && first != last && load->reader.findings->count == before)
		finding_hint(reader_complain(&load->reader, "whole-file", &end->place, FILE_END,
				     "the file begins with \"" FILE_COUNT
				     ": %u\" and ends with \"" FILE_END ": %u\"",
				     first, last),
			"is its end cut off, or another file's? If it is whole: " FILE_END ": %u",
			first);
	if (begin && !end)
		finding_hint(
			reader_complain(&load->reader, "whole-file", &begin->key_place, FILE_COUNT,
				"the file is cut off: it begins with a number of objects and "
				"does not end with \"" FILE_END "\""),
			"take it anew; if it is whole, leave \"" FILE_COUNT "\" out");
	if (end && end->next)
		finding_hint(reader_complain(&load->reader, "whole-file", &end->next->key_place,
				     end->next->key, "\"%.64s\" stands behind \"" FILE_END "\"",
				     end->next->key),
			"\"" FILE_END "\" is the last line of a file");
}

static int read_file(struct load *load, const struct tree *tree)
{
	struct reader *reader = &load->reader;
	const char *names[NOUNS + 4] = {"version", FILE_COUNT, FILE_END};
	bool version = false;
	unsigned int count = 3;
	int rc = 0;

	for (unsigned int i = 0; i < NOUNS; i++) {
		if (nouns[i]->parent < 0)
			names[count++] = nouns[i]->section;
	}
	for (const struct tree *member = tree->child; member && !rc; member = member->next) {
		const struct noun *noun = NULL;
		reader->what[0] = reader->path[0] = '\0';
		for (unsigned int i = 0; i < NOUNS; i++) {
			if (nouns[i]->parent < 0 && !strcmp(nouns[i]->section, member->key))
				noun = nouns[i];
		}
		if (noun) {
			rc = read_section(load, noun, member, NULL);
		} else if (!strcmp(member->key, "version")) {
			version = true;
			if (member->type != TREE_SCALAR || strcmp(member->text, "1"))
				finding_hint(reader_complain(reader, "version", &member->place,
						     "version",
						     "this version reads files of version 1"),
					"version: 1");
		} else if (strcmp(member->key, FILE_COUNT) && strcmp(member->key, FILE_END)) {
			hint_names(reader,
				reader_complain(reader, "unknown-key", &member->key_place,
					member->key, "unknown key \"%.64s\"", member->key),
				member->key, names);
		}
	}
	if (!rc)
		check_whole(load, tree);
	// Also keeps an empty file from emptying the model.
	if (!version && !rc) {
		reader->what[0] = reader->path[0] = '\0';
		finding_hint(reader_complain(reader, "version", &tree->place, "version",
				     "the file does not say its version"),
			"version: 1");
	}
	return rc;
}

// --- comparing with what there was ---------------------------------------------------------------------

static int compare_entries(const void *a, const void *b)
{
	const struct object *x = ((const struct entry *)a)->object,
			    *y = ((const struct entry *)b)->object;

	if (x->noun != y->noun)
		return x->noun->id < y->noun->id ? -1 : 1;
	return strcmp(x->name, y->name);
}

static int compare_origins(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t)((const struct origin *)a)->object,
		  y = (uintptr_t)((const struct origin *)b)->object;

	return x < y ? -1 : x > y;
}

static void find_duplicates(struct load *load)
{
	for (unsigned int i = 1; i < load->count; i++) {
		const struct object *object = load->entry[i].object;
		const struct tree *first = load->entry[i - 1].tree, *second = load->entry[i].tree;
		if (compare_entries(&load->entry[i - 1], &load->entry[i]))
			continue;
		bool later = second && first && second->place.line < first->place.line;
		const struct place nowhere = {0};
		snprintf(load->reader.path, sizeof(load->reader.path), "%s %s", object->noun->name,
			object->name);
		finding_hint(reader_complain(&load->reader, "duplicate-name",
				     second ? &(later ? first : second)->place : &nowhere, "",
				     "there are two of %s \"%s\"", object->noun->name, object->name),
			"leave one out, or give it another name");
	}
}

static int add_edit(struct edits *edits, const struct noun *noun, const struct object *old,
	const struct object *new)
{
	struct edit *edit = edits_add(edits);

	if (!edit)
		return -ENOMEM;
	edit->noun = noun;
	edit->old = old;
	edit->new = (struct object *)(uintptr_t)(new ? object_ref(new) : NULL);
	edit->name = new ? new->name : old->name;
	return 0;
}

// Edits from the old snapshot to the entries, which are sorted. An entry equal to its old object
// becomes it.
static int compare_with_old(struct load *load, struct edits *edits)
{
	unsigned int e = 0;

	for (unsigned int n = 0; n < NOUNS; n++) {
		const struct noun *noun = nouns[n];
		unsigned int o = 0;
		for (;;) {
			const struct object *old = model_at(load->old, noun->id, o);
			struct entry *entry = e < load->count && load->entry[e].object->noun == noun
						      ? &load->entry[e]
						      : NULL;
			int order = !old ? 1 : !entry ? -1 : strcmp(old->name, entry->object->name);
			int rc = 0;
			if (!old && !entry)
				break;
			if (order < 0) {
				rc = add_edit(edits, noun, old, NULL);
				o++;
			} else if (order > 0) {
				rc = add_edit(edits, noun, NULL, entry->object);
				e++;
			} else {
				if (fields_equal(&noun->fields, old, entry->object)) {
					object_unref(entry->object);
					entry->object = object_ref(old);
				} else {
					rc = add_edit(edits, noun, old, entry->object);
				}
				o++;
				e++;
			}
			if (rc)
				return rc;
		}
	}
	return 0;
}

// The stored objects as a snapshot, whatever this version has to say against them: that is listed,
// and judged again only where a change touches it.
static int finish_stored(struct load *load, struct edits *edits, struct model **out)
{
	struct model *model = edits->count ? model_apply(load->old, edits) : model_ref(load->old);

	if (!model)
		return -ENOMEM;
	int rc = model_check(model, load->reader.findings);
	if (rc)
		model_unref(model);
	else
		*out = model;
	return rc;
}

// rc: what reading came to.
static int finish(struct load *load, int rc, struct model **out)
{
	bool stored = load->reader.stored;
	struct findings *findings = load->reader.findings;
	struct edits edits = {0};
	struct origin *origins = NULL;

	if (!rc && findings->count && !stored)
		rc = -EINVAL;
	for (unsigned int i = 1; i < load->count; i++) {
		if (compare_entries(&load->entry[i - 1], &load->entry[i]) > 0) {
			qsort(load->entry, load->count, sizeof(load->entry[0]), compare_entries);
			break;
		}
	}
	if (!stored)
		find_duplicates(load);
	if (!rc && findings->count && !stored)
		rc = -EINVAL;
	if (!rc)
		rc = compare_with_old(load, &edits);
	if (!rc && load->reader.source && load->count) {
		origins = calloc(load->count, sizeof(*origins));
		for (unsigned int i = 0; origins && i < load->count; i++)
			origins[i] = (struct origin){load->entry[i].object, load->entry[i].tree};
		if (origins)
			qsort(origins, load->count, sizeof(*origins), compare_origins);
		else
			rc = -ENOMEM;
	}
	if (!rc && stored) {
		rc = finish_stored(load, &edits, out);
	} else if (!rc) {
		struct check check = {.old = load->old,
			.findings = findings,
			.edits = &edits,
			.source = load->reader.source,
			.origins = origins,
			.origin_count = load->count};
		rc = edits_finish(&check, &edits, out);
		findings_sort(findings); // objects were looked at in no order
	}
	free(origins);
	edits_free(&edits);
	for (unsigned int i = 0; i < load->count; i++)
		object_unref(load->entry[i].object);
	free(load->entry);
	return rc;
}

int model_parse(const struct model *old, const char *text, size_t length, const char *file_name,
	struct model **out, struct findings *findings)
{
	return model_parse_with(old, text, length, file_name, NULL, NULL, out, findings);
}

int model_parse_with(const struct model *old, const char *text, size_t length, const char *file_name,
	char *(*secret)(void *ctx, const char *fingerprint), void *ctx, struct model **out,
	struct findings *findings)
{
	struct source source = source_of(file_name, text, length);
	struct load load = {.old = old,
		.reader = {.findings = findings,
			.source = &source,
			.from_file = true,
			.secret = secret,
			.ctx = ctx}};
	struct arena arena = {0};
	int rc = 0;

	*out = NULL;
	struct tree *tree = tree_from_yaml(&arena, &source, findings);
	if (tree && tree->type != TREE_MAP) {
		finding_hint(reader_complain(&load.reader, "version", &tree->place, "",
				     "the file holds no configuration"),
			"version: 1");
	} else if (tree) {
		rc = read_file(&load, tree);
	} else if (!findings->count) {
		rc = -ENOMEM;
	}
	rc = finish(&load, rc, out);
	arena_free(&arena);
	return rc;
}

static int read_source(struct load *load, struct arena *arena, const struct model_source *source)
{
	const struct noun *noun = noun_find(source->noun);
	struct reader *reader = &load->reader;
	json_t *json = json_loads(source->json, 0, NULL);
	const struct tree *tree = json_is_object(json) ? tree_from_json(arena, json) : NULL;

	json_decref(json);
	snprintf(reader->path, sizeof(reader->path), "%.20s %.150s", source->noun, source->name);
	snprintf(reader->what, sizeof(reader->what), "%.20s \"%.150s\"", source->noun, source->name);
	if (noun && tree)
		return read_object(load, noun, tree, NULL, source->name);
	finding_add(reader->findings, "stored-object", reader->path,
		"start the version that wrote it, or create it anew",
		"the stored %s cannot be read and is left out", reader->what);
	return 0;
}

int model_load(const struct model_options *options, const struct model_source *sources,
	unsigned int count, char *(*secret)(void *ctx, const char *fingerprint), void *ctx,
	struct model **out, struct findings *findings)
{
	struct model *empty = model_create(options);
	struct load load = {.old = empty,
		.reader = {.findings = findings, .secret = secret, .ctx = ctx, .stored = true}};
	struct arena arena = {0};
	int rc = empty ? 0 : -ENOMEM;

	*out = NULL;
	for (unsigned int i = 0; i < count && !rc; i++)
		rc = read_source(&load, &arena, &sources[i]);
	if (empty)
		rc = finish(&load, rc, out);
	model_unref(empty);
	arena_free(&arena);
	return rc;
}

// --- back ----------------------------------------------------------------------------------------------

static int back_edit(
	struct edits *edits, const struct noun *noun, const struct object *old, const struct object *new)
{
	if ((!old && !new) || (old && new && fields_equal(&noun->fields, old, new)))
		return 0;
	struct edit *edit = edits_add(edits);
	if (!edit)
		return -ENOMEM;
	*edit = (struct edit){.noun = noun,
		.name = old ? old->name : new->name,
		.old = old,
		.new = new ? (struct object *)(uintptr_t)object_ref(new) : NULL};
	return 0;
}

static int back_one(struct load *load, struct arena *arena, const struct model_source *source,
	struct edits *edits)
{
	const struct noun *noun = noun_find(source->noun);
	const struct object *old = noun ? model_find(load->old, noun->id, source->name) : NULL;
	unsigned int before = load->count;

	if (!source->json)
		return old ? back_edit(edits, noun, old, NULL) : 0;
	int rc = read_source(load, arena, source);
	if (rc || load->count == before) // it cannot be made out, and is said to be
		return rc;
	return back_edit(edits, noun, old, load->entry[before].object);
}

// Nothing is in the way of a revert: what a rule says of it all the same is told as a problem of what is in force.
static int revert(struct check *check, struct edits *edits, struct model **out)
{
	check->revert = true;
	int rc = edits_finish(check, edits, out);
	if (rc != -EINVAL)
		return rc;
	*out = model_apply(check->old, edits);
	return *out ? 0 : -ENOMEM;
}

int model_back(const struct model *old, const struct model_source *sources, unsigned int count,
	char *(*secret)(void *ctx, const char *fingerprint), void *ctx, bool judged,
	struct model **out, struct findings *findings)
{
	struct load load = {.old = old,
		.reader = {.findings = findings, .secret = secret, .ctx = ctx, .stored = true},
		.back = true,
		.judged = judged};
	struct check check = {.old = old, .findings = findings};
	struct arena arena = {0};
	struct edits edits = {0};
	int rc = 0;

	*out = NULL;
	for (unsigned int i = 0; i < count && !rc; i++)
		rc = back_one(&load, &arena, &sources[i], &edits);
	check.edits = &edits;
	if (!rc && !judged)
		rc = revert(&check, &edits, out);
	else if (!rc)
		rc = findings->count ? -EINVAL : edits_finish(&check, &edits, out);
	edits_free(&edits);
	for (unsigned int i = 0; i < load.count; i++)
		object_unref(load.entry[i].object);
	free(load.entry);
	arena_free(&arena);
	return rc;
}
