// SPDX-License-Identifier: BSD-3-Clause
// Findings of a validation: collecting up to twenty, and showing them as text and JSON.

#include "control/model/finding.h"
#include "control/api/text.h"

#include <jansson.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct finding *finding_add(struct findings *findings, const char *rule, const char *path,
	const char *hint, const char *format, ...)
{
	static _Thread_local struct finding scratch;
	struct finding *finding = &scratch;
	va_list args;

	if (findings->count < FINDINGS_MAX)
		finding = &findings->item[findings->count++];
	else
		findings->more++;
	memset(finding, 0, sizeof(*finding));
	finding->code = API_INVALID;
	finding->rule = rule;
	snprintf(finding->path, sizeof(finding->path), "%s", path ? path : "");
	snprintf(finding->hint, sizeof(finding->hint), "%s", hint ? hint : "");
	va_start(args, format);
	vsnprintf(finding->message, sizeof(finding->message), format, args);
	va_end(args);
	api_text_mend(finding->path);
	api_text_mend(finding->message);
	api_text_mend(finding->hint);
	return finding;
}

static int compare_places(const struct finding *a, const struct finding *b)
{
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	if (a->column != b->column || a->line == 0)
		return a->column < b->column ? -1 : a->column > b->column;
	return strcmp(a->message, b->message);
}

void findings_sort(struct findings *findings)
{
	for (unsigned int i = 1; i < findings->count; i++) {
		struct finding moved = findings->item[i];
		unsigned int at = i;
		for (; at > 0 && compare_places(&findings->item[at - 1], &moved) > 0; at--)
			findings->item[at] = findings->item[at - 1];
		findings->item[at] = moved;
	}
}

void findings_error(const struct findings *findings, struct api_error *error)
{
	memset(error, 0, sizeof(*error));
	error->code = API_NONE;
	if (findings->count == 0)
		return;
	const struct finding *first = &findings->item[0];
	error->code = first->code;
	snprintf(error->message, sizeof(error->message), "%s", first->message);
	snprintf(error->hint, sizeof(error->hint), "%s", first->hint);
}

json_t *findings_json(const struct findings *findings)
{
	if (findings->count == 0)
		return NULL;
	json_t *array = json_array();
	for (unsigned int i = 0; i < findings->count; i++) {
		const struct finding *f = &findings->item[i];
		json_t *item = json_pack("{s:s, s:s, s:s, s:s, s:s}", "code",
			api_code_name(f->code), "path", f->path, "rule", f->rule, "message",
			f->message, "hint", f->hint);
		if (item && f->change)
			json_object_set_new(item, "change", json_integer(f->change));
		if (item && f->line) {
			json_object_set_new(item, "line", json_integer(f->line));
			json_object_set_new(item, "column", json_integer(f->column));
			json_object_set_new(item, "length", json_integer(f->length));
			json_object_set_new(item, "source", json_string(f->source));
		}
		json_array_append_new(array, item);
	}
	return array;
}

static void print_source(const struct finding *f, FILE *out)
{
	fprintf(out, "%5u | %s\n      | ", f->line, f->source);
	// Tabs stay tabs so that the caret stands below its column whatever their width.
	for (unsigned int i = 1; i < f->column && f->source[i - 1]; i++)
		fputc(f->source[i - 1] == '\t' ? '\t' : ' ', out);
	fputc('^', out);
	for (unsigned int i = 1; i < f->length && i < 60; i++)
		fputc('~', out);
	if (f->hint[0])
		fprintf(out, " %s", f->hint);
	fputc('\n', out);
}

char *findings_text(const struct findings *findings, const char *file_name)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	for (unsigned int i = 0; i < findings->count; i++) {
		const struct finding *f = &findings->item[i];
		if (f->line) {
			fprintf(out, "%s:%u:%u: error: %s\n", file_name, f->line, f->column,
				f->message);
			print_source(f, out);
		} else {
			fprintf(out, "%s: error: %s\n", file_name, f->message);
			if (f->hint[0])
				fprintf(out, "      hint: %s\n", f->hint);
		}
	}
	unsigned int total = findings->count + findings->more;
	if (findings->more)
		fprintf(out, "%u errors, the first %u shown, nothing applied\n", total,
			findings->count);
	else if (total)
		fprintf(out, "%u error%s, nothing applied\n", total, total == 1 ? "" : "s");
	fclose(out);
	return text;
}
