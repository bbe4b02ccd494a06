// SPDX-License-Identifier: BSD-3-Clause
// What we put into the kernel's routing tables, as a set that is kept. The kernel's side of a declaration is not written
// once and forgotten: each route and rule of ours is an entry here, an event that names one puts it on the waiting list,
// and so do the kernel's silent ways (a device going down, lost events) and a slow round over all. An entry on the list
// is put in with EXCL: when that succeeds for one that should have been there, somebody had taken it out, which is
// drift; when it is refused because there is one, all is well, unless another was seen in its place.
//
// It is the sweep's memory too: what has our protocol number and is not held was left by an earlier life.

#include "control/bridge/held.h"

#include "control/base/clock.h"
#include "control/bridge/repair.h"
#include "control/bridge/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>

void held_init(struct held_list *list)
{
	list->table = TABLE_OF(struct held, key);
	TAILQ_INIT(&list->waiting);
	list->cursor = 0;
}

static void free_held(void *ctx, void *entry)
{
	free(entry);
}

void held_free(struct held_list *list)
{
	table_clear(&list->table, free_held, NULL);
	TAILQ_INIT(&list->waiting);
}

// ---- keys

static struct held_key route_key_for(uint32_t table, const struct ip_prefix *prefix)
{
	struct held_key key = {
		.number = table, .family = prefix->address.family, .len = prefix->len};

	memcpy(key.address, prefix->address.bytes, 16);
	return key;
}

static struct held_key rule_key(const struct kernel_rule *rule)
{
	struct held_key key = {
		.is_rule = 1,
		.family = rule->family,
		.len = rule->to.len,
		.from_len = rule->from.len,
		.number = rule->priority,
		.table = rule->action == FR_ACT_TO_TBL ? rule->table : 0,
		.target = rule->target,
		.action = rule->action,
		.invert = rule->invert,
	};

	memcpy(key.address, rule->to.address.bytes, 16);
	memcpy(key.from, rule->from.address.bytes, 16);
	if (rule->iif)
		snprintf(key.iif, sizeof(key.iif), "%s", rule->iif);
	return key;
}

static struct kernel_rule rule_of(const struct held *held)
{
	const struct held_key *key = &held->key;
	struct kernel_rule rule = {
		.priority = key->number,
		.table = key->table,
		.target = key->target,
		.iif = key->iif[0] ? key->iif : NULL,
		.family = key->family,
		.action = key->action,
		.protocol = held->protocol,
		.invert = key->invert,
	};

	if (key->from_len) {
		rule.from = (struct ip_prefix){{.family = key->family}, key->from_len};
		memcpy(rule.from.address.bytes, key->from, 16);
	}
	if (key->len) {
		rule.to = (struct ip_prefix){{.family = key->family}, key->len};
		memcpy(rule.to.address.bytes, key->address, 16);
	}
	return rule;
}

static void prefix_of(const struct held *held, struct ip_prefix *prefix)
{
	*prefix = (struct ip_prefix){{.family = held->key.family}, held->key.len};
	memcpy(prefix->address.bytes, held->key.address, 16);
}

static struct kernel_route route_of(
	const struct space *space, const struct held *held, const struct ip_prefix *prefix)
{
	return (struct kernel_route){
		.table = held->key.number,
		.protocol = space->bridge->local_protocol,
		.type = held->type,
		.scope = held->scope,
		.index = held->index,
		.prefix = prefix,
		.via = held->via.family ? &held->via : NULL,
	};
}

// ---- in and out

static int add(struct space *space, const struct held *held)
{
	struct ip_prefix prefix;

	if (held->key.is_rule) {
		const struct kernel_rule rule = rule_of(held);
		return kernel_rule_add(&space->command, &rule);
	}
	prefix_of(held, &prefix);
	const struct kernel_route route = route_of(space, held, &prefix);
	return kernel_route_add(&space->command, &route);
}

static int replace(struct space *space, const struct held *held)
{
	struct ip_prefix prefix;

	if (held->key.is_rule)
		return 0; // the same in every word
	prefix_of(held, &prefix);
	const struct kernel_route route = route_of(space, held, &prefix);
	return kernel_route_set(&space->command, &route);
}

static void wait_for(struct space *space, struct held *held)
{
	if (held->queued)
		return;
	TAILQ_INSERT_TAIL(&space->held.waiting, held, waiting);
	space->held.waits++;
	held->queued = true;
}

static void wait_no_more(struct space *space, struct held *held)
{
	if (!held->queued)
		return;
	TAILQ_REMOVE(&space->held.waiting, held, waiting);
	space->held.waits--;
	held->queued = false;
}

static void report(struct space *space, const struct held *held)
{
	char text[IP_TEXT_MAX + 40], prefix[IP_TEXT_MAX];
	struct ip_prefix shown;

	prefix_of(held, &shown);
	if (held->key.is_rule)
		snprintf(text, sizeof(text), "%u", held->key.number);
	else
		snprintf(text, sizeof(text), "%s table %u", ip_prefix_format(&shown, prefix),
			held->key.number);
	repair_done(space, held->key.is_rule ? "rule" : "route", text,
		held->wrong ? "changed" : "removed");
}

// One try to have it in. 0 = it is in.
static int put_in(struct space *space, struct held *held)
{
	int err = add(space, held);
	bool missed = err == 0;

	if (err == -EEXIST && (held->wrong || !held->doubted))
		err = replace(space, held);
	else if (err == -EEXIST)
		err = 0;
	held->installed = err == 0;
	if (err)
		return err;
	if (held->doubted && (missed || held->wrong))
		report(space, held);
	held->doubted = held->wrong = false;
	wait_no_more(space, held);
	return 0;
}

static struct held *obtain(struct space *space, const struct held_key *key)
{
	struct held *held = table_find(&space->held.table, key);

	if (held != NULL)
		return held;
	held = calloc(1, sizeof(*held));
	if (held == NULL)
		abort();
	held->key = *key;
	table_add(&space->held.table, held);
	return held;
}

static void forget(struct space *space, struct held *held)
{
	wait_no_more(space, held);
	table_remove(&space->held.table, held);
	free(held);
}

int held_route(struct space *space, const struct kernel_route *route)
{
	const struct held_key key = route_key_for(route->table, route->prefix);
	struct held *held = obtain(space, &key);
	struct ip_address via = route->via ? *route->via : (struct ip_address){0};
	uint8_t type = route->type ? route->type : route->via ? RTN_UNICAST : RTN_BLACKHOLE;

	if (held->installed && held->type == type && held->scope == route->scope &&
		held->index == route->index && ip_address_compare(&held->via, &via) == 0)
		return 0;
	held->type = type;
	held->scope = route->scope;
	held->index = route->index;
	held->via = via;
	held->doubted = held->wrong = false;
	int err = put_in(space, held);
	if (err)
		wait_for(space, held);
	return err;
}

void held_route_drop(struct space *space, uint32_t table, const struct ip_prefix *prefix)
{
	const struct held_key key = route_key_for(table, prefix);
	struct held *held = table_find(&space->held.table, &key);

	if (held == NULL)
		return;
	const struct kernel_route route = route_of(space, held, prefix);
	kernel_route_delete(&space->command, &route);
	forget(space, held);
}

int held_rule(struct space *space, const struct kernel_rule *rule)
{
	const struct held_key key = rule_key(rule);
	struct held *held = obtain(space, &key);

	if (held->references++ > 0)
		return 0;
	held->protocol = rule->protocol;
	int err = put_in(space, held);
	if (err)
		wait_for(space, held);
	return err;
}

void held_rule_drop(struct space *space, const struct kernel_rule *rule)
{
	const struct held_key key = rule_key(rule);
	struct held *held = table_find(&space->held.table, &key);

	if (held == NULL || --held->references > 0)
		return;
	const struct kernel_rule mine = rule_of(held);
	kernel_rule_delete(&space->command, &mine);
	forget(space, held);
}

// ---- what the kernel says

struct seen_route {
	struct held_key key;
	uint8_t protocol, type;
	uint32_t metric, index;
	struct ip_address via;
};

static bool read_route(const struct nlmsghdr *header, struct seen_route *seen)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(header);
	const struct nlattr *attr[RTA_MAX + 1];
	struct ip_prefix prefix = {.len = rtm->rtm_dst_len};

	*seen = (struct seen_route){.protocol = rtm->rtm_protocol, .type = rtm->rtm_type};
	if ((rtm->rtm_family != AF_INET && rtm->rtm_family != AF_INET6) ||
		!netlink_parse(header, sizeof(*rtm), attr, RTA_MAX))
		return false;
	prefix.address.family = rtm->rtm_family == AF_INET6 ? 6 : 4;
	if (prefix.len && !netlink_address(attr[RTA_DST], rtm->rtm_family, &prefix.address))
		return false;
	seen->key = route_key_for(
		attr[RTA_TABLE] ? mnl_attr_get_u32(attr[RTA_TABLE]) : rtm->rtm_table, &prefix);
	if (attr[RTA_PRIORITY])
		seen->metric = mnl_attr_get_u32(attr[RTA_PRIORITY]);
	if (attr[RTA_OIF])
		seen->index = mnl_attr_get_u32(attr[RTA_OIF]);
	if (!netlink_address(attr[RTA_GATEWAY], rtm->rtm_family, &seen->via))
		seen->via = (struct ip_address){0};
	return true;
}

static struct held *held_of(const struct space *space, const struct nlmsghdr *header)
{
	struct seen_route seen;
	struct kernel_rule rule;
	char iif[16];

	if (header->nlmsg_type == RTM_NEWRULE || header->nlmsg_type == RTM_DELRULE) {
		if (!kernel_rule_parse(header, &rule, iif))
			return NULL;
		const struct held_key key = rule_key(&rule);
		return table_find(&space->held.table, &key);
	}
	return read_route(header, &seen) ? table_find(&space->held.table, &seen.key) : NULL;
}

bool held_has(const struct space *space, const struct nlmsghdr *header)
{
	const struct held *held = held_of(space, header);

	return held != NULL &&
	       (held->key.is_rule ||
		       held->type == ((struct rtmsg *)mnl_nlmsg_get_payload(header))->rtm_type);
}

static void doubt(struct space *space, struct held *held, bool wrong)
{
	if (!held->installed)
		return; // it is waited for already
	held->doubted = true;
	held->wrong = held->wrong || wrong;
	wait_for(space, held);
	repair_soon(space->bridge);
}

static void route_message(struct space *space, const struct nlmsghdr *header)
{
	struct seen_route seen;

	if (!read_route(header, &seen))
		return;
	struct held *held = table_find(&space->held.table, &seen.key);
	bool ours = seen.protocol == space->bridge->local_protocol;
	if (held == NULL)
		return;
	if (header->nlmsg_type == RTM_DELROUTE) {
		if (ours)
			doubt(space, held, false);
		return;
	}
	// Another route under the same prefix and metric has taken its place, or the same one was changed.
	bool same_place = seen.metric == (held->key.family == 6 ? 1024 : 0);
	bool same = ours && seen.type == held->type &&
		    ip_address_compare(&seen.via, &held->via) == 0 &&
		    (held->index == 0 || seen.index == (uint32_t)held->index);
	if (same_place && !same && (ours || header->nlmsg_flags & NLM_F_REPLACE))
		doubt(space, held, true);
}

void held_message(struct space *space, const struct nlmsghdr *header)
{
	if (header->nlmsg_pid == space->command.port)
		return; // our own doing, and past
	if (header->nlmsg_type == RTM_NEWROUTE || header->nlmsg_type == RTM_DELROUTE) {
		route_message(space, header);
		return;
	}
	struct held *held = header->nlmsg_type == RTM_DELRULE ? held_of(space, header) : NULL;
	if (held != NULL)
		doubt(space, held, false);
}

void held_route_lost(struct space *space, uint32_t table, const struct ip_prefix *prefix)
{
	const struct held_key key = route_key_for(table, prefix);
	struct held *held = table_find(&space->held.table, &key);

	if (held == NULL)
		return;
	held->installed = held->doubted = held->wrong = false;
	wait_for(space, held);
}

struct loss {
	struct space *space;
	int index;
};

static void lose(void *ctx, void *entry)
{
	const struct loss *loss = ctx;
	struct held *held = entry;

	if (held->key.is_rule || !(held->via.family || held->index == loss->index) ||
		(held->index && held->index != loss->index))
		return;
	held->installed = held->doubted = held->wrong = false;
	wait_for(loss->space, held);
}

void held_lost(struct space *space, int index)
{
	struct loss loss = {space, index};

	// Where many domains share a namespace, the routes over a device are asked for by name (install.c).
	if (!space->shared)
		table_each(&space->held.table, lose, &loss);
}

static void doubt_entry(void *ctx, void *entry)
{
	doubt(ctx, entry, false);
}

void held_doubt_all(struct space *space)
{
	table_each(&space->held.table, doubt_entry, space);
}

void held_check(struct space *space, size_t budget)
{
	if (!table_slice(&space->held.table, &space->held.cursor, budget, doubt_entry, space))
		space->held.cursor = 0;
}

bool held_repair(struct space *space, uint64_t end)
{
	// Each once: what cannot be put in now goes to the end of the list and is met again a second later.
	for (unsigned int left = space->held.waits; left > 0; left--) {
		struct held *held = TAILQ_FIRST(&space->held.waiting);
		TAILQ_REMOVE(&space->held.waiting, held, waiting);
		TAILQ_INSERT_TAIL(&space->held.waiting, held, waiting);
		put_in(space, held);
		if (left % 8 == 0 && clock_ns() > end)
			return false;
	}
	return true;
}
