// SPDX-License-Identifier: BSD-3-Clause
// What BIRD 2 shows of routes, line by line: one that begins with a prefix begins a route, those after it, indented, are
// its next hop and attributes.

#include "control/speakers/bird/parse.h"

#include "control/base/array.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DESTINATION = 1007 };

void parse_end(struct route_reader *reader)
{
	struct policy_route *route = &reader->route;

	if (reader->open && reader->row != NULL) {
		route->as_path = reader->path.item;
		route->as_path_length = reader->path.count;
		route->community = reader->communities.item;
		route->communities = reader->communities.count;
		route->large = reader->larges.item;
		route->larges = reader->larges.count;
		reader->row(reader->ctx, route);
	}
	reader->open = false;
	free(reader->path.item);
	free(reader->communities.item);
	free(reader->larges.item);
	memset(&reader->path, 0, sizeof(reader->path));
	memset(&reader->communities, 0, sizeof(reader->communities));
	memset(&reader->larges, 0, sizeof(reader->larges));
}

// "10.1.0.0/16          unicast [p7 2026-11-21 02:24:46] * (100) [AS65001i]"
static void route_line(struct route_reader *reader, const char *text)
{
	char word[IP_TEXT_MAX], kind[16] = "";

	parse_end(reader);
	if (sscanf(text, "%63s %15s", word, kind) < 1)
		return;
	reader->route = (struct policy_route){.origin = POLICY_LEARNED};
	reader->open = ip_prefix_parse(word, &reader->route.prefix) == 0;
	reader->route.blackhole = strcmp(kind, "blackhole") == 0 ||
				  strcmp(kind, "unreachable") == 0 ||
				  strcmp(kind, "prohibited") == 0;
}

// "65001 65010 { 1 2 }": of a set every member is shown, in the order BIRD does.
static void read_path(struct route_reader *reader, const char *text)
{
	char *end;

	for (; *text != '\0'; text++) {
		unsigned long asn = strtoul(text, &end, 10);
		if (end == text)
			continue;
		*(uint32_t *)APPEND(reader->path) = (uint32_t)asn;
		text = end - 1;
	}
}

// "(64500,1) (65535,0)"; a well-known one may stand there by its name, which says nothing to a rule of ours but one.
static void read_communities(struct route_reader *reader, const char *text)
{
	unsigned int asn, value;

	for (; (text = strchr(text, '(')) != NULL; text++) {
		if (sscanf(text, "(%u,%u)", &asn, &value) == 2)
			*(uint32_t *)APPEND(reader->communities) = POLICY_COMMUNITY(asn, value);
		else if (strncmp(text, "(graceful", 9) == 0)
			*(uint32_t *)APPEND(reader->communities) = POLICY_GRACEFUL_SHUTDOWN;
	}
}

static void read_larges(struct route_reader *reader, const char *text)
{
	struct policy_large large;

	for (; (text = strchr(text, '(')) != NULL; text++)
		if (sscanf(text, "(%u, %u, %u)", &large.asn, &large.a, &large.b) == 3)
			*(struct policy_large *)APPEND(reader->larges) = large;
}

static void attribute_line(struct route_reader *reader, const char *text)
{
	struct policy_route *route = &reader->route;
	char word[IP_TEXT_MAX];

	if (strncmp(text, "BGP.as_path:", 12) == 0)
		read_path(reader, text + 12);
	else if (strncmp(text, "BGP.community:", 14) == 0)
		read_communities(reader, text + 14);
	else if (strncmp(text, "BGP.large_community:", 20) == 0)
		read_larges(reader, text + 20);
	else if (sscanf(text, "BGP.next_hop: %63s", word) == 1)
		ip_address_parse(word, &route->next_hop);
	else if (sscanf(text, "BGP.local_pref: %u", &route->local_pref) == 1)
		return;
	else if (sscanf(text, "BGP.med: %u", &route->med) == 1)
		route->has_med = true;
	else if (strncmp(text, "Type: static", 12) == 0)
		route->origin = POLICY_OWN;
	else if (strncmp(text, "cv_joined:", 10) == 0)
		route->origin = POLICY_JOINED;
}

void parse_line(struct route_reader *reader, unsigned int code, const char *text)
{
	if (code == DESTINATION && text[0] != ' ' && text[0] != '\t')
		route_line(reader, text);
	else if (reader->open)
		attribute_line(reader, text + strspn(text, " \t"));
}
