// SPDX-License-Identifier: BSD-3-Clause
// YAML text to a tree, by libyaml's events. The subset is that of JSON with YAML's layout: what a reader
// cannot see at the place where it stands (anchors, aliases, merge keys, tags, a key given twice) is refused,
// and so is what could make a small file large. Scalars stay text: the schema says what they are, so that no
// country code becomes a boolean.

#include "control/model/tree.h"
#include "control/api/text.h"

#include <yaml.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct loader {
	yaml_parser_t parser;
	yaml_event_t event;
	struct arena *arena;
	const struct source *source;
	struct findings *findings;
};

void finding_place(struct finding *finding, const struct source *source, const struct place *place)
{
	const char *line, *end = source->text + source->length;

	if (!place->line)
		return;
	finding->line = place->line;
	finding->column = place->column;
	finding->length = place->length;
	line = source->text;
	for (unsigned int i = 1; i < place->line && line; i++) {
		line = memchr(line, '\n', (size_t)(end - line));
		line = line ? line + 1 : NULL;
	}
	if (!line)
		return;
	size_t length = 0;
	while (line + length < end && length < sizeof(finding->source) - 1 &&
		line[length] != '\n' && line[length] != '\r' && line[length] != '\0')
		length++;
	memcpy(finding->source, line, length);
	finding->source[length] = '\0';
	api_text_mend(finding->source);
}

struct source source_of(const char *name, const char *text, size_t length)
{
	size_t mark = length >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0;

	return (struct source){name, text + mark, length - mark};
}

static struct place place_of(const yaml_event_t *event)
{
	struct place place = {
		.line = (uint32_t)event->start_mark.line + 1,
		.column = (uint32_t)event->start_mark.column + 1,
		.length = 1,
	};

	if (event->end_mark.line == event->start_mark.line &&
		event->end_mark.column > event->start_mark.column)
		place.length = (uint32_t)(event->end_mark.column - event->start_mark.column);
	return place;
}

// The parser reads ahead: what is no character it tells by its byte. Columns are characters.
static struct place place_of_byte(const struct source *source, size_t offset)
{
	struct place place = {1, 1, 1};

	for (size_t i = 0; i < offset && i < source->length; i++) {
		if (source->text[i] == '\n')
			place = (struct place){place.line + 1, 1, 1};
		else
			place.column += (source->text[i] & 0xc0) != 0x80;
	}
	return place;
}

static void complain(struct loader *loader, const struct place *place, const char *rule,
	const char *hint, const char *message)
{
	finding_place(finding_add(loader->findings, rule, "", hint, "%s", message), loader->source,
		place);
}

// The next event into loader->event, the one before is gone. False on a syntax error, which is then found.
static bool advance(struct loader *loader)
{
	yaml_event_delete(&loader->event);
	if (yaml_parser_parse(&loader->parser, &loader->event))
		return true;
	const yaml_parser_t *p = &loader->parser;
	struct place place = {
		(uint32_t)p->problem_mark.line + 1, (uint32_t)p->problem_mark.column + 1, 1};
	if (p->error == YAML_READER_ERROR) {
		place = place_of_byte(loader->source, p->problem_offset);
		complain(loader, &place, "yaml-syntax", "the file has to be text in UTF-8",
			p->problem);
		return false;
	}
	struct finding *f = finding_add(loader->findings, "yaml-syntax", "",
		"brackets, quotes, or indentation, which is of spaces, here or just before", "no YAML: %s%s%s",
		p->problem ? p->problem : "no memory", p->context ? " " : "",
		p->context ? p->context : "");
	finding_place(f, loader->source, &place);
	return false;
}

static void check_plain(struct loader *loader, const yaml_char_t *anchor, const yaml_char_t *tag)
{
	struct place place = place_of(&loader->event);

	if (anchor)
		complain(loader, &place, "yaml-anchor", "write the value out",
			"anchors are not supported");
	if (tag)
		complain(loader, &place, "yaml-tag", "leave it out, the schema knows the type",
			"tags are not supported");
}

static struct tree *new_tree(struct loader *loader, enum tree_type type)
{
	struct tree *tree = arena_alloc(loader->arena, sizeof(*tree));

	if (!tree) {
		finding_add(loader->findings, "memory", "", "", "not enough memory");
		return NULL;
	}
	tree->type = type;
	tree->place = place_of(&loader->event);
	return tree;
}

static struct tree *scalar(struct loader *loader)
{
	const char *text = (const char *)loader->event.data.scalar.value;
	size_t length = loader->event.data.scalar.length;
	bool plain = loader->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	struct tree *tree = new_tree(loader, TREE_SCALAR);

	check_plain(loader, loader->event.data.scalar.anchor, loader->event.data.scalar.tag);
	if (!tree)
		return NULL;
	if (memchr(text, '\0', length))
		complain(loader, &tree->place, "yaml-syntax", "leave it out",
			"a text holds a NUL character");
	if (plain && (length == 0 || !strcmp(text, "null") || !strcmp(text, "~")))
		tree->type = TREE_NULL;
	tree->text = arena_string(loader->arena, text, length);
	return tree->text ? tree : NULL;
}

static struct tree *value(struct loader *loader, unsigned int depth);

static struct tree *list(struct loader *loader, unsigned int depth)
{
	struct tree *tree = new_tree(loader, TREE_LIST);
	struct tree **end = tree ? &tree->child : NULL;

	check_plain(loader, loader->event.data.sequence_start.anchor,
		loader->event.data.sequence_start.tag);
	if (tree)
		tree->place.length = 1;
	while (tree && advance(loader)) {
		if (loader->event.type == YAML_SEQUENCE_END_EVENT)
			return tree;
		*end = value(loader, depth + 1);
		if (!*end)
			return NULL;
		end = &(*end)->next;
		tree->count++;
	}
	return NULL;
}

// The key of the event; NULL when it is none that we take.
static bool key(struct loader *loader, const struct tree *map, struct tree *member)
{
	if (loader->event.type != YAML_SCALAR_EVENT) {
		struct place place = place_of(&loader->event);
		complain(loader, &place, "yaml-key", "NAME: value", "a key must be a plain word");
		return false;
	}
	struct tree *word = scalar(loader);
	if (!word)
		return false;
	member->key = word->text;
	member->key_place = word->place;
	if (!strcmp(word->text, "<<"))
		complain(loader, &word->place, "yaml-anchor", "write the keys out",
			"merge keys are not supported");
	for (const struct tree *other = map->child; other; other = other->next) {
		if (strcmp(other->key, word->text))
			continue;
		struct finding *f = finding_add(loader->findings, "duplicate-key", word->text, "leave one out",
			"duplicate key \"%.64s\", first given in line %u", word->text,
			other->key_place.line);
		finding_place(f, loader->source, &word->place);
	}
	return true;
}

static struct tree *map(struct loader *loader, unsigned int depth)
{
	struct tree *tree = new_tree(loader, TREE_MAP);
	struct tree **end = tree ? &tree->child : NULL;

	check_plain(loader, loader->event.data.mapping_start.anchor,
		loader->event.data.mapping_start.tag);
	if (tree)
		tree->place.length = 1;
	while (tree && advance(loader)) {
		struct tree name = {0};
		if (loader->event.type == YAML_MAPPING_END_EVENT)
			return tree;
		if (tree->count >= TREE_KEYS_MAX) {
			complain(loader, &tree->place, "yaml-size", "no object has so many",
				"too many keys in one map");
			return NULL;
		}
		if (!key(loader, tree, &name) || !advance(loader))
			return NULL;
		struct tree *member = value(loader, depth + 1);
		if (!member)
			return NULL;
		member->key = name.key;
		member->key_place = name.key_place;
		*end = member;
		end = &member->next;
		tree->count++;
	}
	return NULL;
}

static struct tree *value(struct loader *loader, unsigned int depth)
{
	struct place place = place_of(&loader->event);

	if (depth > TREE_DEPTH_MAX) {
		complain(loader, &place, "yaml-size", "nothing in a file stands so deep", "nested too deep");
		return NULL;
	}
	switch (loader->event.type) {
	case YAML_SCALAR_EVENT:
		return scalar(loader);
	case YAML_SEQUENCE_START_EVENT:
		return list(loader, depth);
	case YAML_MAPPING_START_EVENT:
		return map(loader, depth);
	case YAML_ALIAS_EVENT:
		complain(loader, &place, "yaml-anchor", "write the value out",
			"aliases are not supported");
		return new_tree(loader, TREE_NULL);
	default:
		complain(loader, &place, "yaml-syntax", "", "no YAML: a value is missing");
		return NULL;
	}
}

static struct tree *document(struct loader *loader)
{
	struct tree *tree = NULL;

	if (!advance(loader) || loader->event.type != YAML_STREAM_START_EVENT || !advance(loader))
		return NULL;
	if (loader->event.type == YAML_STREAM_END_EVENT) { // an empty file
		return new_tree(loader, TREE_NULL);
	}
	if (!advance(loader))
		return NULL;
	tree = value(loader, 0);
	if (!tree || !advance(loader) || !advance(loader))
		return NULL;
	if (loader->event.type != YAML_STREAM_END_EVENT) {
		struct place place = place_of(&loader->event);
		complain(loader, &place, "yaml-document", "a file each",
			"a second document in one file");
	}
	return tree;
}

struct tree *tree_from_yaml(
	struct arena *arena, const struct source *source, struct findings *findings)
{
	struct loader loader = {.arena = arena, .source = source, .findings = findings};

	if (source->length > TREE_SIZE_MAX) {
		finding_add(
			findings, "yaml-size", "", "", "larger than %u MiB", TREE_SIZE_MAX >> 20);
		return NULL;
	}
	if (!yaml_parser_initialize(&loader.parser)) {
		finding_add(findings, "memory", "", "", "not enough memory");
		return NULL;
	}
	yaml_parser_set_encoding(&loader.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(
		&loader.parser, (const unsigned char *)source->text, source->length);
	struct tree *tree = document(&loader);
	yaml_event_delete(&loader.event);
	yaml_parser_delete(&loader.parser);
	return tree;
}
