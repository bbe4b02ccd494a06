// SPDX-License-Identifier: BSD-3-Clause
// Building one fragment: what the realise functions of the nouns look with and write into. Every
// look at another object is reported to the caller with what was asked for, not with what was
// found: a name that does not exist yet is as much an input as one that does.

#include "control/model/intent.h"

#include "control/base/array.h"
#include "control/model/fragment.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct realise {
	const struct model *model;
	const struct ids *ids;
	const struct node_view *node;
	const struct realise_hooks *hooks;
	struct fragment *fragment;
};

const struct fragment *fragment_build(const struct model *model, const struct ids *ids,
	const struct node_view *node, const struct object *object,
	const struct realise_hooks *hooks)
{
	struct realise realise = {model, ids, node, hooks, fragment_new(object)};

	if (object->noun->realise)
		object->noun->realise(&realise, object);
	return realise.fragment;
}

// --- looking -------------------------------------------------------------------------------------------

static void looked(
	struct realise *realise, enum input_kind kind, enum noun_id noun, const char *name)
{
	if (realise->hooks && realise->hooks->input)
		realise->hooks->input(realise->hooks->ctx, kind, noun, name);
}

// What is found is kept as long as the fragment, so that its strings can be borrowed.
static const struct object *found(const struct realise *realise, const struct object *object)
{
	if (object)
		fragment_keep(realise->fragment, object);
	return object;
}

const struct object *realise_find(struct realise *realise, enum noun_id noun, const char *name)
{
	looked(realise, INPUT_OBJECT, noun, name);
	return found(realise, model_find(realise->model, noun, name));
}

unsigned int realise_first_child(struct realise *realise, enum noun_id noun, const char *parent)
{
	looked(realise, INPUT_CHILDREN, noun, parent);
	return model_first_child(realise->model, noun, parent);
}

const struct object *realise_child_at(
	const struct realise *realise, enum noun_id noun, const char *parent, unsigned int index)
{
	return found(realise, model_child_at(realise->model, noun, parent, index));
}

unsigned int realise_count(struct realise *realise, enum noun_id noun)
{
	looked(realise, INPUT_ALL, noun, "");
	return model_count(realise->model, noun);
}

const struct object *realise_at(
	const struct realise *realise, enum noun_id noun, unsigned int index)
{
	return found(realise, model_at(realise->model, noun, index));
}

struct id realise_id(const struct realise *realise, enum id_class class, const char *format, ...)
{
	struct id id = {0};
	char key[ID_KEY_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(key, sizeof(key), format, args);
	va_end(args);
	ids_get(realise->ids, class, key, &id);
	return id;
}

const char *realise_edge(const struct realise *realise)
{
	return realise->node->edge;
}

int realise_port_index(const struct realise *realise, const char *name)
{
	for (unsigned int i = 0; i < realise->node->ports; i++) {
		if (!strcmp(realise->node->port[i], name))
			return (int)i;
	}
	return -1;
}

// --- saying --------------------------------------------------------------------------------------------

const char *realise_text(struct realise *realise, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	const char *text = fragment_text(realise->fragment, format, args);
	va_end(args);
	return text;
}

struct intent_domain *realise_domain(
	struct realise *realise, enum intent_domain_kind kind, const char *object)
{
	static const char *const prefix[] = {"", "peering/", "vnet/"};
	struct intent_domain *domain = APPEND(realise->fragment->domains);
	char host[ID_HOST_MAX];

	domain->kind = kind;
	domain->object = realise_text(realise, "%s", object);
	domain->name = realise_text(realise, "%s%s", prefix[kind], object);
	domain->id = kind == INTENT_UNDERLAY ? INTENT_UNDERLAY_ID
					     : realise_id(realise, ID_VRF, "%s", domain->name).id;
	ids_host(realise->ids, domain->name, host);
	domain->host_name = realise_text(realise, "%s", host);
	domain->circuit = domain->customer = "";
	domain->import.otherwise = POLICY_ACCEPT;
	return domain;
}

struct intent_interface *realise_interface(
	struct realise *realise, enum intent_interface_kind kind, struct id id)
{
	struct intent_interface *interface = APPEND(realise->fragment->interfaces);

	interface->id = id.id;
	interface->uid = id.uid;
	interface->kind = kind;
	interface->name = interface->object = interface->link = "";
	return interface;
}

struct intent_limiter *realise_limiter(struct realise *realise)
{
	struct intent_limiter *limiter = APPEND(realise->fragment->limiters);

	limiter->name = "";
	return limiter;
}

struct intent_join *realise_join(struct realise *realise)
{
	struct intent_join *join = APPEND(realise->fragment->joins);

	join->object = "";
	join->policy[0].otherwise = join->policy[1].otherwise = POLICY_ACCEPT;
	return join;
}

void realise_problem(
	struct realise *realise, const char *object, const char *hint, const char *format, ...)
{
	struct intent_problem *problem = APPEND(realise->fragment->problems);
	va_list args;

	problem->object = realise_text(realise, "%s", object);
	problem->hint = realise_text(realise, "%s", hint);
	va_start(args, format);
	problem->message = fragment_text(realise->fragment, format, args);
	va_end(args);
}

int realise_port(struct realise *realise, const char *object, const char *name)
{
	int index = realise_port_index(realise, name);

	if (index < 0)
		realise_problem(realise, object,
			"add it to the node file's ports and restart both processes",
			"port \"%s\" has no device on this machine", name);
	return index;
}

void realise_policy(struct realise *realise, struct policy *policy, struct policy_set *set)
{
	if (realise->hooks && realise->hooks->intern)
		set = realise->hooks->intern(realise->hooks->ctx, set);
	policy_add(policy, set);
}
