// SPDX-License-Identifier: BSD-3-Clause

// What the build takes from the schema. Without arguments: the fields of all nouns as a C table for culvertctl,
// so that its options, help, completion and manual follow the schema although it includes nothing of
// control/model. With "commands" and the nouns that have rows of their own: the commands of all others. With TEMPLATE and EXAMPLE: culvert.yaml(5), the template with its line @MODEL@ replaced by the
// fields of all nouns and the line @EXAMPLE@ by the example file.

#include "control/model/schema.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static void print_string(const char *name, const char *text)
{
	if (text == NULL)
		return;
	printf(" .%s = \"", name);
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			putchar('\\');
		putchar(*text);
	}
	printf("\",");
}

static const char *example(enum field_kind kind)
{
#define EXAMPLE(symbol, name, type, text) text,
	static const char *const examples[] = {FIELD_KINDS(EXAMPLE)};
#undef EXAMPLE

	return examples[kind];
}

static void print_values(const char *const *values)
{
	if (values == NULL)
		return;
	printf(" .values = \"");
	for (size_t i = 0; values[i] != NULL; i++)
		printf("%s%s", i == 0 ? "" : "|", values[i]);
	printf("\",");
}

static void print_elements(const struct fields *fields)
{
	printf(" .elements = \"");
	for (unsigned int i = 0; i < fields->count; i++)
		printf("%s%s=..", i == 0 ? "" : ",", fields->item[i].name);
	printf("\",");
}

static void print_field(const struct field *field)
{
	enum field_kind shown = field->kind == FIELD_LIST ? field->element : field->kind;

	printf("\t{");
	print_string("name", field->name);
	print_string("kind", field_kind_name(field->kind));
	print_string("example", example(shown));
	print_string("initial", field->initial);
	if (shown == FIELD_ENUM)
		print_values(field->values);
	if (shown == FIELD_REFERENCE && field->within == NULL)
		print_string("target", nouns[field->target]->name);
	if (field->kind == FIELD_LIST && field->element == FIELD_STRUCT)
		print_elements(field->fields);
	print_string("help", field->help);
	printf(" .key = %d, .required = %d, .immutable = %d, .raise_only = %d},\n",
		(field->flags & FIELD_KEY) != 0, (field->flags & FIELD_REQUIRED) != 0,
		(field->flags & FIELD_IMMUTABLE) != 0, (field->flags & FIELD_RAISE_ONLY) != 0);
}

static int copy_file(const char *path)
{
	FILE *in = fopen(path, "re");
	char line[1024];

	if (in == NULL)
		return 1;
	while (fgets(line, sizeof(line), in) != NULL)
		fputs(line, stdout);
	fclose(in);
	return 0;
}

static int print_manual(const char *template, const char *example_path)
{
	FILE *in = fopen(template, "re");
	char line[1024];
	int failed = in == NULL;

	while (in != NULL && fgets(line, sizeof(line), in) != NULL) {
		if (strncmp(line, "@MODEL@", 7) == 0) {
			for (int i = 0; i < NOUNS; i++)
				schema_manual(nouns[i], stdout);
		} else if (strncmp(line, "@EXAMPLE@", 9) == 0) {
			failed |= copy_file(example_path);
			fputs(line + 9, stdout);
		} else {
			fputs(line, stdout);
		}
	}
	if (in != NULL)
		fclose(in);
	return failed;
}

// "route-filter" as part of a C name.
static const char *c_name(const char *noun, char name[64])
{
	snprintf(name, 64, "%s", noun);
	for (char *at = name; *at != '\0'; at++)
		if (*at == '-')
			*at = '_';
	return name;
}

// --- commands --------------------------------------------------------------------------------------------

static void print_column(const struct field *field)
{
	printf("{\"");
	for (const char *at = field->name; *at != '\0'; at++)
		putchar(toupper((unsigned char)*at));
	printf("\", \"%s\", %s}, ", field->name,
		field->kind == FIELD_ENUM ? "SHOW_STATE" : "SHOW_TEXT");
}

static void print_columns(const struct noun *noun)
{
	char name[64];

	printf("static const struct column %s_columns[] = {{\"NAME\", \"full_name\", SHOW_TEXT}, ",
		c_name(noun->name, name));
	for (unsigned int i = 0; i < noun->fields.count; i++) {
		const struct field *field = &noun->fields.item[i];
		if (!(field->flags & (FIELD_KEY | FIELD_DETAIL)) && field->kind != FIELD_SECRET)
			print_column(field);
	}
	printf("{0}};\n");
}

static void print_rows(const struct noun *noun)
{
	bool customer = noun->customer_of != NULL;
	char name[64];

	printf("\tLIST(\"%s\", %s_columns", noun->name, c_name(noun->name, name));
	for (unsigned int i = 0; i < noun->fields.count; i++) {
		const struct field *field = &noun->fields.item[i];
		if (field->kind != FIELD_REFERENCE || field->within != NULL)
			continue;
		printf(", BY(\"%s\")", field->name);
		customer = customer && strcmp(field->name, "customer") != 0;
	}
	if (customer)
		printf(", BY(\"customer\")");
	printf("),\n\tSHOW_COMMAND(\"%s\"),\n\tWRITE_COMMANDS(\"%s\"),\n", noun->name, noun->name);
}

static bool is_own(const struct noun *noun, int count, char **own)
{
	for (int i = 0; i < count; i++)
		if (strcmp(noun->name, own[i]) == 0)
			return true;
	return false;
}

static void print_commands(int count, char **own)
{
	printf("// Printed by print-fields from the schema.\n#ifdef NOUN_ROWS\n");
	for (int i = 0; i < NOUNS; i++)
		if (!is_own(nouns[i], count, own))
			print_rows(nouns[i]);
	printf("#else\n");
	for (int i = 0; i < NOUNS; i++)
		if (!is_own(nouns[i], count, own))
			print_columns(nouns[i]);
	printf("#endif\n");
}

static void print_table(void)
{
	char name[64];

	printf("// Printed by print-fields from the schema.\n\n#include "
	       "\"tools/culvertctl/command.h\"\n");
	for (int i = 0; i < NOUNS; i++) {
		printf("\nstatic const struct noun_field %s_fields[] = {\n",
			c_name(nouns[i]->name, name));
		for (unsigned int j = 0; j < nouns[i]->fields.count; j++)
			print_field(&nouns[i]->fields.item[j]);
		printf("\t{0},\n};\n");
	}
	printf("\nconst struct noun_fields noun_fields[] = {\n");
	for (int i = 0; i < NOUNS; i++) {
		printf("\t{");
		print_string("noun", nouns[i]->name);
		print_string("help", nouns[i]->help);
		printf(" .field = %s_fields},\n", c_name(nouns[i]->name, name));
	}
	printf("\t{0},\n};\n");
}

int main(int count, char **words)
{
	if (count >= 2 && strcmp(words[1], "commands") == 0) {
		print_commands(count - 2, words + 2);
		return 0;
	}
	if (count == 3)
		return print_manual(words[1], words[2]);
	print_table();
	return 0;
}
