/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CULVERTCTL_TABLE_H
#define CULVERTCTL_TABLE_H

// Tables for people: columns as wide as their widest cell, never cut.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct context;
struct json_t;

enum format {
	SHOW_TEXT,
	SHOW_NUMBER, // 1.2M, or exact
	SHOW_RATE,   // bit/s, the same
	SHOW_AGE,    // 3d04h since a UNIX time
	SHOW_TIME,   // local date and time
	SHOW_STATE,  // text with a colour
	SHOW_PATHS,  // next hops of a route
};

// Cells that come straight from an item's member. Ends at the first without a title.
struct column {
	const char *title;
	const char *key; // of the item; several, apart by spaces: those that there are
	enum format format;
};

struct table;
// titles end with NULL; one that starts with '>' is set to the right.
struct table *table_create(const struct context *context, const char *const *titles);
struct table *table_of_columns(const struct context *context, const struct column *columns);
void table_cell(struct table *table, const char *text); // NULL or "" shows "-"
void table_state(struct table *table, const char *text);
void table_row(struct table *table, const struct column *columns, const struct json_t *item);
void table_end(struct table *table); // prints and frees

#define TEXT_MAX 512
const char *number_text(const struct context *context, int64_t value, char text[TEXT_MAX]);
// "-" for what is not a number, since it is not known.
const char *known_text(
	const struct context *context, const struct json_t *value, char text[TEXT_MAX]);
const char *age_text(int64_t since, char text[TEXT_MAX]);
const char *time_text(int64_t when, char text[TEXT_MAX]);
// Any JSON value as one line. A new string for free().
char *value_text(const struct context *context, const struct json_t *value, enum format format);

// Shorthands for reading answers: absent members are "", 0, false.
const char *get_text(const struct json_t *object, const char *key);
int64_t get_number(const struct json_t *object, const char *key);
// Its "object", and with "alike": "tunnel/acme-prod and 996 more".
const char *object_text(const struct json_t *item, char text[TEXT_MAX]);
// Escape sequences around text when colours are on: state words have their own, '+', '-', '~' lines too.
const char *color_begin(const struct context *context, const char *text);
const char *color_end(const struct context *context);

#endif
