// SPDX-License-Identifier: BSD-3-Clause
// A fragment's memory and comparison. There are as many fragments as objects, most of them a few
// hundred bytes: strings lie in one block that grows, names are borrowed from the objects, which
// are held.

#include "control/model/fragment.h"

#include "control/base/array.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 256u

struct block {
	struct block *next;
	size_t used, room;
	char bytes[];
};

struct fragment_memory {
	struct block *block;
	LIST_OF(const struct object *) objects;
};

static void *must(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

struct fragment *fragment_new(const struct object *object)
{
	struct fragment *fragment = must(calloc(1, sizeof(*fragment)));

	fragment->references = 1;
	fragment->memory = must(calloc(1, sizeof(*fragment->memory)));
	fragment->key = (struct fragment_key){object->noun->id, object->name};
	fragment_keep(fragment, object);
	return fragment;
}

void fragment_keep(struct fragment *fragment, const struct object *object)
{
	struct fragment_memory *memory = fragment->memory;

	// The one asked for last is the one most often asked for again.
	for (unsigned int i = memory->objects.count; i-- > 0;) {
		if (memory->objects.item[i] == object)
			return;
		if (memory->objects.count - i > 8)
			break;
	}
	*(const struct object **)APPEND(memory->objects) = object_ref(object);
}

static char *allocate(struct fragment_memory *memory, size_t size)
{
	if (!memory->block || memory->block->room - memory->block->used < size) {
		size_t room = size > BLOCK ? size : BLOCK;
		struct block *block = must(malloc(sizeof(*block) + room));
		*block = (struct block){.next = memory->block, .room = room};
		memory->block = block;
	}
	char *at = memory->block->bytes + memory->block->used;
	memory->block->used += size;
	return at;
}

const char *fragment_text(struct fragment *fragment, const char *format, va_list args)
{
	va_list again;

	va_copy(again, args);
	int length = vsnprintf(NULL, 0, format, args);
	if (length < 0)
		abort();
	char *text = allocate(fragment->memory, (size_t)length + 1);
	vsnprintf(text, (size_t)length + 1, format, again);
	va_end(again);
	return text;
}

const struct fragment *fragment_ref(const struct fragment *fragment)
{
	__atomic_add_fetch((unsigned int *)(uintptr_t)&fragment->references, 1, __ATOMIC_RELAXED);
	return fragment;
}

static void memory_free(struct fragment_memory *memory)
{
	for (struct block *block = memory->block, *next; block; block = next) {
		next = block->next;
		free(block);
	}
	for (unsigned int i = 0; i < memory->objects.count; i++)
		object_unref(memory->objects.item[i]);
	free(memory->objects.item);
	free(memory);
}

void fragment_unref(const struct fragment *fragment)
{
	struct fragment *mine = (struct fragment *)(uintptr_t)fragment;

	if (!mine || __atomic_sub_fetch(&mine->references, 1, __ATOMIC_ACQ_REL))
		return;
	for (unsigned int i = 0; i < mine->domains.count; i++) {
		free(mine->domains.item[i].prefixes.item);
		free(mine->domains.item[i].routes.item);
		policy_clear(&mine->domains.item[i].import);
	}
	free(mine->domains.item);
	free(mine->interfaces.item);
	free(mine->limiters.item);
	for (unsigned int i = 0; i < mine->joins.count; i++) {
		policy_clear(&mine->joins.item[i].policy[0]);
		policy_clear(&mine->joins.item[i].policy[1]);
	}
	free(mine->joins.item);
	free(mine->problems.item);
	memory_free(mine->memory);
	free(mine);
}

bool fragment_empty(const struct fragment *fragment)
{
	return !fragment->domains.count && !fragment->interfaces.count &&
	       !fragment->limiters.count && !fragment->joins.count && !fragment->problems.count;
}

size_t fragment_bytes(const struct fragment *fragment)
{
	const struct fragment_memory *memory = fragment->memory;
	size_t bytes = sizeof(*fragment) + sizeof(*memory) +
		       memory->objects.count * sizeof(memory->objects.item[0]) +
		       fragment->domains.count * sizeof(fragment->domains.item[0]) +
		       fragment->interfaces.count * sizeof(fragment->interfaces.item[0]) +
		       fragment->limiters.count * sizeof(fragment->limiters.item[0]) +
		       fragment->joins.count * sizeof(fragment->joins.item[0]) +
		       fragment->problems.count * sizeof(fragment->problems.item[0]);

	for (const struct block *block = memory->block; block; block = block->next)
		bytes += sizeof(*block) + block->room;
	for (unsigned int i = 0; i < fragment->domains.count; i++) {
		const struct intent_domain *domain = &fragment->domains.item[i];
		bytes += domain->prefixes.count * sizeof(domain->prefixes.item[0]) +
			 domain->routes.count * sizeof(domain->routes.item[0]) +
			 domain->import.sets * sizeof(domain->import.set[0]);
	}
	for (unsigned int i = 0; i < fragment->joins.count; i++) {
		const struct policy *policy = fragment->joins.item[i].policy;
		bytes += (policy[0].sets + policy[1].sets) * sizeof(policy[0].set[0]);
	}
	return bytes;
}

// --- comparing -----------------------------------------------------------------------------------------

static bool same(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static bool domain_equal(const struct intent_domain *a, const struct intent_domain *b)
{
	if (a->id != b->id || a->kind != b->kind || !same(a->name, b->name) ||
		!same(a->host_name, b->host_name) || !same(a->object, b->object) ||
		!same(a->circuit, b->circuit) || !same(a->customer, b->customer) ||
		a->prefixes.count != b->prefixes.count || a->routes.count != b->routes.count ||
		!policy_equal(&a->import, &b->import))
		return false;
	for (unsigned int i = 0; i < a->prefixes.count; i++) {
		if (ip_prefix_compare(&a->prefixes.item[i], &b->prefixes.item[i]))
			return false;
	}
	for (unsigned int i = 0; i < a->routes.count; i++) {
		if (ip_prefix_compare(&a->routes.item[i].prefix, &b->routes.item[i].prefix) ||
			ip_address_compare(&a->routes.item[i].via, &b->routes.item[i].via))
			return false;
	}
	return true;
}

static bool session_equal(const struct intent_session *a, const struct intent_session *b)
{
	return a->enabled == b->enabled && a->local_asn == b->local_asn &&
	       a->remote_asn == b->remote_asn && same(a->password, b->password) &&
	       a->hold == b->hold && a->keepalive == b->keepalive && a->connect == b->connect &&
	       a->error_wait == b->error_wait && a->ttl_security == b->ttl_security;
}

static bool address_equal(const struct intent_address *a, const struct intent_address *b)
{
	return !ip_address_compare(&a->local, &b->local) &&
	       !ip_address_compare(&a->remote, &b->remote) && a->len == b->len &&
	       a->session == b->session;
}

static bool tunnel_equal(const struct intent_tunnel *a, const struct intent_tunnel *b)
{
	return !ip_address_compare(&a->local, &b->local) &&
	       !ip_address_compare(&a->remote, &b->remote) && a->key == b->key &&
	       a->ttl == b->ttl && a->internet == b->internet;
}

static bool interface_equal(const struct intent_interface *a, const struct intent_interface *b)
{
	return a->id == b->id && a->uid == b->uid && a->kind == b->kind && same(a->name, b->name) &&
	       same(a->object, b->object) && same(a->link, b->link) && a->domain == b->domain &&
	       a->owner == b->owner && a->up == b->up && a->source_check == b->source_check &&
	       a->limiter_in == b->limiter_in && a->limiter_out == b->limiter_out &&
	       a->mtu == b->mtu && a->port == b->port && a->vlans == b->vlans &&
	       a->vlan[0] == b->vlan[0] && a->vlan[1] == b->vlan[1] &&
	       address_equal(&a->address[0], &b->address[0]) &&
	       address_equal(&a->address[1], &b->address[1]) &&
	       session_equal(&a->session, &b->session) && tunnel_equal(&a->tunnel, &b->tunnel);
}

static bool limiter_equal(const struct intent_limiter *a, const struct intent_limiter *b)
{
	return a->id == b->id && a->uid == b->uid && same(a->name, b->name) && a->rate == b->rate &&
	       a->burst == b->burst && a->ef_rate == b->ef_rate &&
	       a->packet_rate == b->packet_rate && a->queue == b->queue &&
	       a->overhead == b->overhead && a->count_frames == b->count_frames;
}

static bool join_equal(const struct intent_join *a, const struct intent_join *b)
{
	return a->domain[0] == b->domain[0] && a->domain[1] == b->domain[1] &&
	       a->weight == b->weight && a->account[0] == b->account[0] &&
	       a->account[1] == b->account[1] && policy_equal(&a->policy[0], &b->policy[0]) &&
	       policy_equal(&a->policy[1], &b->policy[1]) && same(a->object, b->object);
}

static bool problem_equal(const struct intent_problem *a, const struct intent_problem *b)
{
	return same(a->object, b->object) && same(a->message, b->message) && same(a->hint, b->hint);
}

#define LISTS_EQUAL(list, equal)                                        \
	do {                                                            \
		if (a->list.count != b->list.count)                     \
			return false;                                   \
		for (unsigned int i = 0; i < a->list.count; i++) {      \
			if (!equal(&a->list.item[i], &b->list.item[i])) \
				return false;                           \
		}                                                       \
	} while (0)

bool fragment_equal(const struct fragment *a, const struct fragment *b)
{
	if (a->key.noun != b->key.noun || strcmp(a->key.name, b->key.name))
		return false;
	LISTS_EQUAL(domains, domain_equal);
	LISTS_EQUAL(interfaces, interface_equal);
	LISTS_EQUAL(limiters, limiter_equal);
	LISTS_EQUAL(joins, join_equal);
	LISTS_EQUAL(problems, problem_equal);
	return true;
}
