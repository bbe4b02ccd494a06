// SPDX-License-Identifier: BSD-3-Clause
// The route thread of a test, with what it stands between, in one event loop that the test turns.

#include "tests/unit/sync/running.h"

#include "control/rpc/answers/methods.h"

#include <event2/event.h>

#include <time.h>

struct configuration configuration;
struct fake_dataplane fake;
struct event_base *base;
struct node *node;
struct sync *running;
static struct domains *domains;
static struct health *health;
struct domains_options options;
char path[96];

double running_now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

void turn(void)
{
	event_base_loop(base, EVLOOP_NONBLOCK);
	fake_turn(&fake);
}

enum dataplane_state state_of(void)
{
	return dataplane_status(running->dataplane)->state;
}

void stop_sync(void)
{
	health_destroy(health);
	health = NULL;
	domains_destroy(domains);
	domains = NULL;
	running = NULL;
}

// --- what is configured, by its names ------------------------------------------------------------------

enum part { PART_DOMAINS, PART_INTERFACES, PART_LIMITERS };
struct looking {
	enum part part;
	const char *name;
	const void *found;
};

static void look_in(void *ctx, const struct fragment *fragment)
{
	struct looking *l = ctx;

	for (unsigned int i = 0; l->part == PART_DOMAINS && i < fragment->domains.count; i++)
		if (strcmp(fragment->domains.item[i].name, l->name) == 0)
			l->found = &fragment->domains.item[i];
	for (unsigned int i = 0; l->part == PART_INTERFACES && i < fragment->interfaces.count; i++)
		if (strcmp(fragment->interfaces.item[i].name, l->name) == 0)
			l->found = &fragment->interfaces.item[i];
	for (unsigned int i = 0; l->part == PART_LIMITERS && i < fragment->limiters.count; i++)
		if (strcmp(fragment->limiters.item[i].name, l->name) == 0)
			l->found = &fragment->limiters.item[i];
}

static const void *called(enum part part, const char *name)
{
	struct looking l = {part, name, NULL};

	fragments_each(domains_fragments(domains), look_in, &l);
	if (l.found == NULL)
		fail_msg("nothing is called %s", name);
	return l.found;
}

const struct intent_domain *domain_called(const char *name)
{
	return called(PART_DOMAINS, name);
}

const struct intent_interface *interface_called(const char *name)
{
	return called(PART_INTERFACES, name);
}

const struct intent_limiter *limiter_called(const char *name)
{
	return called(PART_LIMITERS, name);
}

uint32_t vrf(const char *name)
{
	return domain_called(name)->id;
}

uint32_t interface(const char *name)
{
	return interface_called(name)->id;
}

static void say_domains(void *ctx, const struct fragment *fragment)
{
	for (unsigned int i = 0; i < fragment->domains.count; i++)
		if (ctx == NULL || strcmp(fragment->domains.item[i].name, ctx) != 0)
			fake_bridge.callbacks.synced(
				fake_bridge.callbacks.ctx, fragment->domains.item[i].id);
}

void say_synced_but(const char *domain)
{
	fragments_each(domains_fragments(domains), say_domains, (char *)(uintptr_t)domain);
}

void say_synced(void)
{
	say_synced_but(NULL);
}

void start_sync(void)
{
	start_sync_refusing("");
}

void start_sync_refusing(const char *host)
{
	options.base = base;
	options.node = node;
	struct api_error error = {0};
	assert_int_equal(domains_create(&domains, &options, &error), 0);
	health = health_create(domains_sync(domains));
	running = domains_sync(domains);
	snprintf(fake_bridge.refuse_domain, sizeof(fake_bridge.refuse_domain), "%s", host);
	publish();
}

void say_all(void)
{
	bridge_says_neighbor(interface("core0"), "192.0.2.2", true);
	bridge_says_neighbor(interface("acme-01/private"), "169.254.10.1", true);
	bridge_says_neighbor(interface("globex-01/private"), "169.254.10.1", true);
	bridge_says_route(vrf(ACME), "10.1.0.0/16", "169.254.10.1", true);
	bridge_says_route(vrf(GLOBEX), "10.1.0.0/16", "169.254.10.1", true);
	say_synced();
}

int running_start(void **state)
{
	configuration_open(&configuration);
	configuration_apply(&configuration, base_yaml);
	snprintf(path, sizeof(path), "%s/dataplane.sock", configuration.directory);
	base = event_base_new();
	node = make_node("east", path);
	memset(&fake, 0, sizeof(fake));
	fake_start(&fake, path);
	start_sync();
	say_all();
	WAIT(state_of() == DATAPLANE_SYNCED);
	return 0;
}

int running_stop(void **state)
{
	stop_sync();
	fake_stop(&fake);
	event_base_free(base);
	free_node(node);
	configuration_close(&configuration);
	return 0;
}

void publish(void)
{
	domains_publish(domains, configuration_publish(&configuration));
	WAIT(domains_idle(domains));
}

void restart_sync(void)
{
	stop_sync();
	start_sync();
}

void settle(void)
{
	WAIT(domains_idle(domains) && running->records.pending == 0);
	for (unsigned int i = 0; i < 20; i++)
		turn();
}
