// SPDX-License-Identifier: BSD-3-Clause
// What this program says about files that are broken, for tests/unit/model/broken.py:
//
//	show_broken FILE...	of each its name, the findings as people read them, then rule and path of each
//	show_broken --rules	the names of all nouns' rules
//
// NAME.yaml is a model, against the one in NAME.before if there is one; NAME.json a list of changes to that one; NAME.node a
// node file. "# lab" or "# table" in a model's first line is what the node file says.

#include "control/model/model_internal.h"
#include "control/node.h"

#include <jansson.h>

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *read_file(const char *name, size_t *length)
{
	FILE *in = fopen(name, "re");
	char *text = calloc(1, 1 << 20);

	if (!in || !text) {
		free(text);
		return NULL;
	}
	*length = fread(text, 1, (1 << 20) - 1, in);
	fclose(in);
	return text;
}

static struct model *before(const char *name)
{
	struct model_options options = {0};
	struct findings findings = {0};
	struct model *empty, *model = NULL;
	char other[256];
	size_t length;

	char *text = read_file(name, &length);
	if (text && strstr(name, ".yaml")) {
		options.lab = !strncmp(text, "# lab\n", 6);
		options.host_domain = strncmp(text, "# table\n", 8) ? HOST_DOMAIN_NETNS : HOST_DOMAIN_TABLE;
	}
	free(text);
	empty = model_create(&options);
	length = strcspn(name, ".");
	assert(length < sizeof(other) - sizeof(".before"));
	memcpy(mempcpy(other, name, length), ".before", sizeof(".before"));
	text = read_file(other, &length);
	if (!text)
		return empty;
	if (model_parse(empty, text, length, other, &model, &findings)) {
		char *shown = findings_text(&findings, other);
		printf("%s", shown);
		free(shown);
		exit(1);
	}
	free(text);
	model_unref(empty);
	return model;
}

static void show_node(const char *name)
{
	struct api_error error = {0};
	struct node *node;
	char *text;

	if (node_load(name, &node, &text, &error) == 0)
		printf("nothing is wrong\n");
	else
		printf("%s", text ? text : error.message);
	free(text);
	node_free(node);
}

static void show_model(const char *name)
{
	struct findings findings = {0};
	struct model *old = before(name), *new = NULL;
	size_t length = 0;
	char *text = read_file(name, &length);

	if (strstr(name, ".json")) {
		json_t *changes = json_loads(text, 0, NULL);
		model_change(old, changes, &new, &findings);
		json_decref(changes);
	} else {
		model_parse(old, text, length, name, &new, &findings);
	}
	char *shown = findings_text(&findings, name);
	printf("%s", findings.count ? shown : "nothing is wrong\n");
	for (unsigned int i = 0; i < findings.count; i++)
		printf("[%s] %s%s\n", findings.item[i].rule, findings.item[i].path,
			findings.item[i].hint[0] ? "" : " (no hint)");
	free(shown);
	free(text);
	model_unref(new);
	model_unref(old);
}

int main(int argc, char **argv)
{
	for (unsigned int noun = 0; argc == 2 && !strcmp(argv[1], "--rules") && noun < NOUNS; noun++) {
		for (const struct rule *rule = nouns[noun]->rules; rule && rule->name; rule++)
			printf("%s\n", rule->name);
	}
	for (int i = 1; i < argc && argv[i][0] != '-'; i++) {
		printf("=== %s\n", argv[i]);
		if (strstr(argv[i], ".node"))
			show_node(argv[i]);
		else
			show_model(argv[i]);
	}
	return 0;
}
