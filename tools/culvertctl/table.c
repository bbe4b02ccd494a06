// SPDX-License-Identifier: BSD-3-Clause

// Cells are collected first, since a column is as wide as its widest cell, and nothing is ever cut: who wants
// fewer columns has a pager or --json. Colours are escape sequences around a cell and not counted in its width.

#include "tools/culvertctl/table.h"

#include "tools/culvertctl/command.h"

#include <jansson.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct cell {
	char *text;
	bool state;
};

struct table {
	const struct context *context;
	unsigned int columns;
	bool right[32];
	struct cell *cell;
	size_t count, room;
};

// --- values --------------------------------------------------------------------------------------------

const char *get_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text == NULL ? "" : text;
}

int64_t get_number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

const char *object_text(const json_t *item, char text[TEXT_MAX])
{
	int64_t alike = get_number(item, "alike");

	snprintf(text, TEXT_MAX, "%s", get_text(item, "object"));
	if (alike > 0)
		snprintf(text + strlen(text), TEXT_MAX - strlen(text), " and %" PRId64 " more",
			alike);
	return text;
}

const char *number_text(const struct context *context, int64_t value, char text[TEXT_MAX])
{
	static const char units[] = " kMGTPE";
	double scaled = (double)value;
	size_t unit = 0;

	if (context->exact || (value < 1000 && value > -1000)) {
		snprintf(text, TEXT_MAX, "%" PRId64, value);
		return text;
	}
	// 999.95 would be shown as 1000.0
	while ((scaled >= 999.95 || scaled <= -999.95) && units[unit + 1] != '\0') {
		scaled /= 1000;
		unit++;
	}
	snprintf(text, TEXT_MAX, "%.1f", scaled);
	if (strcmp(text + strlen(text) - 2, ".0") == 0)
		text[strlen(text) - 2] = '\0';
	snprintf(text + strlen(text), TEXT_MAX - strlen(text), "%c", units[unit]);
	return text;
}

const char *known_text(const struct context *context, const json_t *value, char text[TEXT_MAX])
{
	return json_is_integer(value) ? number_text(context, json_integer_value(value), text) : "-";
}

const char *age_text(int64_t since, char text[TEXT_MAX])
{
	int64_t age = (int64_t)time(NULL) - since;

	if (since <= 0)
		snprintf(text, TEXT_MAX, "-");
	else if (age < 60)
		snprintf(text, TEXT_MAX, "%" PRId64 "s", age < 0 ? 0 : age);
	else if (age < 3600)
		snprintf(text, TEXT_MAX, "%" PRId64 "m%02" PRId64 "s", age / 60, age % 60);
	else if (age < 86400)
		snprintf(text, TEXT_MAX, "%" PRId64 "h%02" PRId64 "m", age / 3600, age / 60 % 60);
	else
		snprintf(
			text, TEXT_MAX, "%" PRId64 "d%02" PRId64 "h", age / 86400, age / 3600 % 24);
	return text;
}

const char *time_text(int64_t when, char text[TEXT_MAX])
{
	time_t seconds = (time_t)when;
	struct tm local;

	if (when <= 0 || localtime_r(&seconds, &local) == NULL ||
		strftime(text, TEXT_MAX, "%Y-%m-%d %H:%M:%S", &local) == 0)
		snprintf(text, TEXT_MAX, "-");
	return text;
}

static void append_value(
	FILE *out, const struct context *context, const json_t *value, enum format format);

// "169.254.10.1 on acme-ams-01/private"; the weight when it is not 1, "down" when it cannot be used
static void append_path(FILE *out, const json_t *path)
{
	const char *via = get_text(path, "via");

	fprintf(out, "%s%s%s", via, *via == '\0' ? "" : " on ", get_text(path, "interface"));
	if (get_number(path, "weight") > 1)
		fprintf(out, " weight %" PRId64, get_number(path, "weight"));
	if (json_is_false(json_object_get(path, "usable")))
		fputs(" down", out);
}

static void append_object(FILE *out, const struct context *context, const json_t *object)
{
	const char *key, *separator = "";
	json_t *value;

	json_object_foreach ((json_t *)object, key, value) {
		fprintf(out, "%s%s=", separator, key);
		append_value(out, context, value, SHOW_TEXT);
		separator = " ";
	}
}

static void append_value(
	FILE *out, const struct context *context, const json_t *value, enum format format)
{
	char text[TEXT_MAX];
	const json_t *element;
	size_t i;

	if (json_is_string(value)) {
		fputs(json_string_value(value), out);
	} else if (json_is_integer(value)) {
		int64_t number = json_integer_value(value);

		if (format == SHOW_NUMBER || format == SHOW_RATE)
			fputs(number_text(context, number, text), out);
		else if (format == SHOW_AGE)
			fputs(age_text(number, text), out);
		else if (format == SHOW_TIME)
			fputs(time_text(number, text), out);
		else
			fprintf(out, "%" PRId64, number);
	} else if (json_is_boolean(value)) {
		fputs(json_is_true(value) ? "yes" : "no", out);
	} else if (json_is_real(value)) {
		fprintf(out, "%g", json_real_value(value));
	} else if (json_is_array(value)) {
		json_array_foreach ((json_t *)value, i, element) {
			fputs(i == 0 ? "" : ", ", out);
			append_value(out, context, element, format);
		}
	} else if (json_is_object(value) && format == SHOW_PATHS) {
		append_path(out, value);
	} else if (json_is_object(value)) {
		append_object(out, context, value);
	}
}

char *value_text(const struct context *context, const json_t *value, enum format format)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	if (out == NULL)
		return NULL;
	append_value(out, context, value, format);
	fclose(out);
	return text;
}

// --- colours -------------------------------------------------------------------------------------------

const char *color_begin(const struct context *context, const char *text)
{
	static const struct {
		const char *word, *escape;
	} colors[] = {
		{"up", "\033[32m"},
		{"established", "\033[32m"},
		{"installed", "\033[32m"},
		{"usable", "\033[32m"},
		{"synced", "\033[32m"},
		{"+", "\033[32m"},
		{"degraded", "\033[33m"},
		{"unknown", "\033[33m"},
		{"replaying", "\033[33m"},
		{"held", "\033[33m"},
		{"~", "\033[33m"},
		{"down", "\033[31m"},
		{"missing", "\033[31m"},
		{"rejected", "\033[31m"},
		{"refused", "\033[31m"},
		{"silent", "\033[31m"},
		{"unresolved", "\033[31m"},
		{"-", "\033[31m"},
	};

	if (!context->color)
		return "";
	for (size_t i = 0; i < sizeof(colors) / sizeof(colors[0]); i++) {
		size_t length = strlen(colors[i].word);

		if (strncmp(text, colors[i].word, length) == 0 &&
			(text[length] == '\0' || text[length] == ' '))
			return colors[i].escape;
	}
	return "\033[0m";
}

const char *color_end(const struct context *context)
{
	return context->color ? "\033[0m" : "";
}

// --- tables --------------------------------------------------------------------------------------------

static void add_cell(struct table *table, char *text, bool state)
{
	if (table->count == table->room) {
		size_t room = table->room * 2 + 64;
		struct cell *cell = realloc(table->cell, room * sizeof(*cell));

		if (cell == NULL)
			abort();
		table->cell = cell;
		table->room = room;
	}
	if (text == NULL || *text == '\0') {
		free(text);
		text = strdup("-");
	}
	table->cell[table->count++] = (struct cell){.text = text, .state = state};
}

void table_cell(struct table *table, const char *text)
{
	add_cell(table, strdup(text == NULL ? "" : text), false);
}

void table_state(struct table *table, const char *text)
{
	add_cell(table, strdup(text == NULL ? "" : text), true);
}

static struct table *table_empty(const struct context *context)
{
	struct table *table = calloc(1, sizeof(*table));

	if (table == NULL)
		abort();
	table->context = context;
	return table;
}

struct table *table_create(const struct context *context, const char *const *titles)
{
	struct table *table = table_empty(context);

	for (; *titles != NULL; titles++) {
		table->right[table->columns++] = **titles == '>';
		table_cell(table, *titles + (**titles == '>'));
	}
	return table;
}

struct table *table_of_columns(const struct context *context, const struct column *columns)
{
	struct table *table = table_empty(context);

	for (; columns->title != NULL; columns++) {
		table->right[table->columns++] =
			columns->format == SHOW_NUMBER || columns->format == SHOW_RATE;
		table_cell(table, columns->title);
	}
	return table;
}

// Of the members that a column names, those that there are.
static char *column_text(
	const struct context *context, const struct column *column, const json_t *item)
{
	char *text = NULL, key[64];
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		abort();
	for (const char *at = column->key; *at != '\0'; at += strspn(at, " ")) {
		size_t length = strcspn(at, " ");
		snprintf(key, sizeof(key), "%.*s", (int)length, at);
		at += length;
		char *value = value_text(context, json_object_get(item, key), column->format);
		if (value != NULL && *value != '\0')
			fprintf(out, "%s%s", ftell(out) > 0 ? ", " : "", value);
		free(value);
	}
	if (fclose(out) != 0)
		abort();
	return text;
}

void table_row(struct table *table, const struct column *columns, const json_t *item)
{
	for (; columns->title != NULL; columns++)
		add_cell(table, column_text(table->context, columns, item),
			columns->format == SHOW_STATE);
}

static void print_cell(const struct table *table, size_t i, size_t width)
{
	const struct cell *cell = &table->cell[i];
	size_t column = i % table->columns, length = strlen(cell->text);
	int padding = (int)(width - length);
	bool last = column + 1 == table->columns;

	if (table->right[column])
		printf("%*s", padding, "");
	printf("%s%s%s", cell->state ? color_begin(table->context, cell->text) : "", cell->text,
		cell->state ? color_end(table->context) : "");
	if (!last)
		printf("%*s", table->right[column] ? 2 : padding + 2, "");
	else
		putchar('\n');
}

void table_end(struct table *table)
{
	size_t width[32] = {0};
	size_t first = table->context->no_header ? table->columns : 0;

	for (size_t i = first; i < table->count; i++) {
		size_t length = strlen(table->cell[i].text), column = i % table->columns;

		if (length > width[column])
			width[column] = length;
	}
	for (size_t i = first; i < table->count; i++)
		print_cell(table, i, width[i % table->columns]);
	for (size_t i = 0; i < table->count; i++)
		free(table->cell[i].text);
	free(table->cell);
	free(table);
}
