// SPDX-License-Identifier: BSD-3-Clause
// What is configured on this edge, read where it stands: the model for the order, the fragments for what an object means
// here (control/publication.h). A routing domain and its interfaces are one fragment - a peering's, a vNet's - but for the
// underlay, whose interfaces are those of the ports.
//
// A walk goes on behind a name, so it may be left and taken up again in a later turn, with another model.

#include "control/rpc/answers/answers.h"

#include "control/node.h"
#include "control/publication.h"

#include <stdio.h>
#include <string.h>

const struct model *model_of(const struct sync *sync)
{
	return domains_publication(sync->domains)->model;
}

const struct fragment *fragment_of(const struct sync *sync, enum noun_id noun, const char *name)
{
	return fragments_find(domains_fragments(sync->domains), (int)noun, name);
}

// --- walking -------------------------------------------------------------------------------------------

static const enum noun_id domain_nouns[] = {NOUN_EDGE, NOUN_PEERING, NOUN_VNET};
static const enum noun_id interface_nouns[] = {NOUN_PORT, NOUN_PEERING, NOUN_VNET};
#define PARTS 3

// The next object of the noun behind the last one.
static const struct object *next_object(
	const struct model *model, enum noun_id noun, struct walk *walk)
{
	unsigned int index = model_lower_bound(model, noun, walk->name);

	if (index == model_count(model, noun))
		return NULL;
	const struct object *object = model_at(model, noun, index);
	if (!walk->again && strcmp(object->name, walk->name) == 0) {
		if (++index == model_count(model, noun))
			return NULL;
		object = model_at(model, noun, index);
	}
	walk->again = false;
	snprintf(walk->name, sizeof(walk->name), "%s", object->name);
	return object;
}

static bool is_behind(const struct selection *only, const struct object *object)
{
	size_t length = only->children ? strlen(only->name) : 0;

	return length > 0 &&
	       (strncmp(object->name, only->name, length) != 0 || object->name[length] != '/');
}

// Of one noun; NULL: no more of it.
static const struct fragment *next_of(
	const struct sync *sync, enum noun_id noun, const struct selection *only, struct walk *walk)
{
	const struct object *object;

	while ((object = next_object(model_of(sync), noun, walk)) != NULL) {
		if (is_behind(only, object))
			return NULL;
		const struct fragment *fragment = fragment_of(sync, noun, object->name);
		if (fragment != NULL)
			return fragment;
	}
	return NULL;
}

static const struct selection everything = {.all = true};

static const struct fragment *next_part(const struct sync *sync, const enum noun_id parts[PARTS],
	const struct selection *only, struct walk *walk)
{
	while (walk->part < PARTS) {
		bool wanted = only->all || parts[walk->part] == only->noun;
		const struct fragment *fragment =
			wanted ? next_of(sync, parts[walk->part], only, walk) : NULL;
		if (fragment != NULL)
			return fragment;
		*walk = (struct walk){.part = walk->part + 1};
	}
	return NULL;
}

static bool has_domain(const struct fragment *fragment)
{
	return fragment->domains.count > 0;
}

const struct fragment *next_domain(
	const struct sync *sync, const struct selection *selection, struct walk *walk)
{
	const struct selection *only = selection != NULL ? selection : &everything;
	const struct fragment *fragment;

	if (!only->all && walk->part == 0 && walk->name[0] == '\0' && only->noun != NOUN_EDGE) {
		while (domain_nouns[walk->part] != only->noun)
			walk->part++;
		snprintf(walk->name, sizeof(walk->name), "%.*s%s", OBJECT_NAME_MAX - 2, only->name,
			only->children ? "/" : "");
		walk->again = true;
	}
	do {
		fragment = next_part(sync, domain_nouns, only, walk);
		if (fragment == NULL || (!only->all && !only->children &&
						strcmp(fragment->key.name, only->name) != 0))
			return NULL;
	} while (!has_domain(fragment));
	return fragment;
}

const struct fragment *next_interfaces(const struct sync *sync, struct walk *walk)
{
	return next_part(sync, interface_nouns, &everything, walk);
}

void walk_to(struct walk *walk, const struct fragment *fragment)
{
	*walk = (struct walk){.again = true};
	while (domain_nouns[walk->part] != fragment->key.noun)
		walk->part++;
	snprintf(walk->name, sizeof(walk->name), "%s", fragment->key.name);
}

// --- names ---------------------------------------------------------------------------------------------

const struct fragment *domain_named(const struct sync *sync, const char *name)
{
	const struct fragment *fragment = NULL;

	if (strcmp(name, "underlay") == 0)
		fragment = fragment_of(sync, NOUN_EDGE, sync->node->edge);
	else if (strncmp(name, "peering/", 8) == 0)
		fragment = fragment_of(sync, NOUN_PEERING, name + 8);
	else if (strncmp(name, "vnet/", 5) == 0)
		fragment = fragment_of(sync, NOUN_VNET, name + 5);
	return fragment != NULL && has_domain(fragment) ? fragment : NULL;
}

const struct intent_interface *interface_of(const struct sync *sync, uint32_t id)
{
	const struct realised *realised = table_find(&sync->realised, &id);
	const struct tunnel *tunnel = table_find(&sync->tunnels, &id);

	return realised != NULL ? realised->wanted : tunnel != NULL ? tunnel->wanted : NULL;
}

const char *interface_name(const struct sync *sync, uint32_t id)
{
	const struct intent_interface *interface = interface_of(sync, id);
	return interface != NULL ? interface->name : "";
}

const char *domain_name(const struct sync *sync, uint32_t id)
{
	const struct intent_domain *domain = domain_wanted(sync->domains, id);
	return domain != NULL ? domain->name : "";
}
