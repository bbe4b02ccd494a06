// SPDX-License-Identifier: BSD-3-Clause
// The life of a routing domain: one struct, one state machine, and nothing else sets its state.
//
//	          domain_set                    kernel half made          kernel has told all
//	  GONE ----------------> MAKING ---------------------> FILLING ----------------------> LIVE
//	    ^                     |  ^ tried again, 1 s to 60 s    |                              |
//	    |                     |  +-----------------------------+------ domain_lost -----------+
//	    |                     |  |                             | domain_unset                 |
//	    |                     +--|-----------------------------+------------------------------+
//	    |   nothing is left      |                             v
//	    +------------------------|-------------------------- GOING <--> WANTED
//	                             +--------------------------------------- (configured again before it was gone:
//	                                 nothing is left of the earlier life    WANTED, and back)
//
// What has nothing in the kernel (a vNet) is LIVE at once. The kernel half, the speaker's table, the VRF of the data plane,
// what was learned and decided, places and what was kept are of one life and end with it: a later owner of the number starts
// from nothing, and waits until the data plane was told of the end. Routes that the kernel said in an earlier life of the same
// domain (its kernel half was made anew) are swept when the new one has told all.
//
// A domain that is not LIVE holds back the sweep of the VRFs it is joined to, never their routes. It counts as empty when its
// sessions are down, or after a speaker's restart time. Only while its kernel half is being read for the first time, and
// the data plane still has what an earlier culvertd gave it, does that stay untouched: a half-known answer may be worse.

#include "control/domain/state.h"

#include "control/base/clock.h"
#include "control/base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILL_NS \
	3000000000u // a first dump may take so long before what is known so far is better than nothing
#define RESTART_NS   120000000000u // a speaker's restart: what its domain brought stays for so long
#define RETRY_NS     1000000000u
#define RETRY_MAX_NS 60000000000u

const char *domain_state_name(enum domain_state state)
{
	static const char *const names[] = {"gone", "wanted", "making", "filling", "live", "going"};
	return names[state];
}

struct domain *domain_find(const struct domains *domains, uint32_t id)
{
	return table_find(&domains->domains, &id);
}

struct domain *domain_get(struct domains *domains, uint32_t id)
{
	struct domain *domain = domain_find(domains, id);
	if (domain != NULL)
		return domain;
	domain = calloc(1, sizeof(*domain));
	if (domain == NULL)
		abort();
	domain->id = id;
	domain->domains = domains;
	domain->kept = TABLE_OF(struct kept, key);
	LIST_INIT(&domain->ends);
	table_add(&domains->domains, domain);
	return domain;
}

void domain_put(struct domain *domain)
{
	if (domain->state != DOMAIN_GONE || domain->wanted != NULL || domain->jobs > 0 ||
		domain->prefixes > 0 || !LIST_EMPTY(&domain->ends) ||
		domain->attachments.count > 0 || domain->out != 0)
		return;
	health_domain_gone(domain);
	table_remove(&domain->domains->domains, domain);
	limit_free(domain);
	prefixes_free(domain);
	free(domain->attachments.item);
	free(domain);
}

static void set_state(struct domain *domain, enum domain_state state)
{
	struct domains *domains = domain->domains;
	bool unsettled = state == DOMAIN_MAKING || state == DOMAIN_FILLING;

	if (domain->state != state)
		domain->since = clock_ns();
	domain->state = state;
	if (unsettled && !domain->is_unsettled)
		TAILQ_INSERT_TAIL(&domains->unsettled, domain, unsettled);
	if (!unsettled && domain->is_unsettled)
		TAILQ_REMOVE(&domains->unsettled, domain, unsettled);
	domain->is_unsettled = unsettled;
	health_later(domain);
}

static bool has_kernel_half(const struct intent_domain *wanted)
{
	return wanted->kind != INTENT_VNET;
}

// --- making ----------------------------------------------------------------------------------------------

static void set_statics(struct domain *domain)
{
	const struct intent_domain *wanted = domain->wanted;

	if (wanted->kind != INTENT_UNDERLAY)
		return; // a hand-off's are its speaker's
	struct bridge_static *route = calloc(wanted->routes.count + 1, sizeof(*route));

	if (route == NULL)
		abort();
	for (unsigned int i = 0; i < wanted->routes.count; i++) {
		route[i].prefix = wanted->routes.item[i].prefix;
		route[i].via = wanted->routes.item[i].via;
	}
	bridge_static_set(domain->domains->sync.bridge, domain->id, route, wanted->routes.count);
	free(route);
}

static void made(struct domain *domain)
{
	domain->life++;
	set_state(domain, DOMAIN_FILLING);
	set_statics(domain);
	work_add(domain->domains, JOB_ANNOUNCE, domain, NULL);
}

static const char *instance_of(const struct intent_domain *wanted, const struct bridge_place *place)
{
	return place->shared ? "domains" : wanted->host_name;
}

const char *domain_speaker(const struct domains *domains, uint32_t id)
{
	const struct domain *domain = domain_find(domains, id);
	struct bridge_place place;

	if (domain == NULL || domain->wanted == NULL || !has_kernel_half(domain->wanted) ||
		bridge_domain_place(domains->sync.bridge, id, &place) != 0)
		return "";
	return instance_of(domain->wanted, &place);
}

// The speaker of a domain whose kernel half is there. Where the model says what lies behind a customer no BGP is spoken.
static int set_speaker(const struct domain *domain, struct api_error *error)
{
	const struct intent_domain *wanted = domain->wanted;
	struct bridge_place place;
	int result = bridge_domain_place(domain->domains->sync.bridge, domain->id, &place);

	if (result != 0 || wanted->kind == INTENT_UNDERLAY)
		return result;
	const struct speaker_domain declared = {
		.id = domain->id,
		.kind = wanted->routes.count > 0 ? SPEAKER_STATIC : SPEAKER_BIRD,
		.name = wanted->host_name,
		.instance = instance_of(wanted, &place),
		.shared = place.shared,
		.netns = place.netns,
		.netns_fd = place.netns_fd,
		.kernel_table = place.kernel_table,
	};
	return speakers_domain_set(domain->domains->sync.speakers, &declared, error);
}

static void make(struct domain *domain)
{
	const struct bridge_domain declared = {.id = domain->id, .name = domain->wanted->host_name};
	struct api_error error = {0};
	bool again = domain->life > 0;

	if (domain->lost) {
		bridge_domain_delete(domain->domains->sync.bridge, domain->id);
		interfaces_lost(domain);
		domain->lost = false;
	}
	int result = bridge_domain_set(domain->domains->sync.bridge, &declared, &error);

	if (result == 0)
		result = set_speaker(domain, &error);
	if (result != 0 && error.message[0] == '\0')
		snprintf(error.message, sizeof(error.message), "%s", strerror(-result));
	if (result != 0 && strcmp(domain->error, error.message) != 0)
		log_error("domain", error.message, log_text("domain", domain->wanted->name));
	snprintf(domain->error, sizeof(domain->error), "%s", result != 0 ? error.message : "");
	if (result == 0) {
		made(domain);
		if (again)
			interfaces_try(domain);
		return;
	}
	domain->retry_after = domain->retry_after == 0                 ? RETRY_NS
			      : domain->retry_after < RETRY_MAX_NS / 2 ? 2 * domain->retry_after
								       : RETRY_MAX_NS;
	domain->retry_at = clock_ns() + domain->retry_after;
}

// Its namespace is another's now. What it learned stays until the new life has told all; who made it again has told the
// speaker where it lives now.
void domain_lost(void *ctx, uint32_t id)
{
	struct domain *domain = domain_find(ctx, id);

	if (domain == NULL || (domain->state != DOMAIN_FILLING && domain->state != DOMAIN_LIVE))
		return;
	domain->lost = true;
	domain->retry_at = domain->retry_after = 0;
	set_state(domain, DOMAIN_MAKING);
	work_add(domain->domains, JOB_KNOWN, NULL, NULL);
}

// --- beginning and end -----------------------------------------------------------------------------------

static void begin(struct domain *domain)
{
	struct domains *domains = domain->domains;
	struct end *end;

	domain->vrf = records_vrf(&domains->sync.records, domain->id);
	domain->vrf->owner = domain;
	domain->retry_after = 0;
	domain->error[0] = '\0';
	configure_domain(domains, domain->wanted);
	set_state(domain, DOMAIN_MAKING);
	if (has_kernel_half(domain->wanted))
		make(domain);
	else
		set_state(domain, DOMAIN_LIVE);
	domain_known(domain);
	// What it brings and what it gets: those it is joined to may be there already.
	decide_own(domain, domain->wanted);
	decide_attachments(domain);
	LIST_FOREACH (end, &domain->ends, entry) {
		decide_own_in(domain, end->peer->domain->wanted);
		work_add(domains, JOB_DECIDE, domain, end->peer->domain);
		work_add(domains, JOB_ANNOUNCE, end->peer->domain, NULL);
		domain_known(end->peer->domain);
	}
}

void domain_ended(struct domain *domain)
{
	bool again = domain->wanted != NULL;

	limit_free(domain);
	set_state(domain, again ? DOMAIN_WANTED : DOMAIN_GONE);
	if (again)
		begin(domain);
	else
		domain_put(domain);
}

static void unwant(struct domain *domain)
{
	health_domain_gone(domain);
	domain->wanted = NULL;
	fragment_unref(domain->fragment);
	domain->fragment = NULL;
}

static void end_life(struct domain *domain)
{
	struct domains *domains = domain->domains;
	struct end *end;

	unconfigure_domain(domains, domain->id);
	speakers_domain_delete(domains->sync.speakers, domain->id);
	if ((domain->state >= DOMAIN_FILLING || domain->lost) && has_kernel_half(domain->wanted))
		bridge_domain_delete(domains->sync.bridge, domain->id);
	domain->error[0] = '\0';
	domain->lost = domain->had_routes = false;
	memset(&domain->stats, 0, sizeof(domain->stats));
	set_state(domain, DOMAIN_GOING);
	records_vrf_gone(&domains->sync.records, domain->vrf);
	domain->vrf = NULL;
	decide_own(domain, domain->wanted); // gone from those it is joined to
	LIST_FOREACH (end, &domain->ends, entry) {
		work_add(domains, JOB_ANNOUNCE, end->peer->domain, NULL);
		domain_known(end->peer->domain);
	}
	work_add(domains, JOB_END, NULL, domain);
}

void domain_unset(struct domains *domains, uint32_t id)
{
	struct domain *domain = domain_find(domains, id);

	if (domain == NULL || domain->wanted == NULL)
		return;
	if (domain_is_up(domain))
		end_life(domain);
	else
		unconfigure_domain(domains, id); // it waited for the end of an earlier life
	unwant(domain);
	domain_put(domain);
}

static bool routes_equal(const struct intent_domain *a, const struct intent_domain *b)
{
	if (a->routes.count != b->routes.count)
		return false;
	for (unsigned int i = 0; i < a->routes.count; i++)
		if (ip_prefix_compare(&a->routes.item[i].prefix, &b->routes.item[i].prefix) != 0 ||
			ip_address_compare(&a->routes.item[i].via, &b->routes.item[i].via) != 0)
			return false;
	return true;
}

static bool prefixes_equal(const struct intent_domain *a, const struct intent_domain *b)
{
	if (a->prefixes.count != b->prefixes.count)
		return false;
	for (unsigned int i = 0; i < a->prefixes.count; i++)
		if (ip_prefix_compare(&a->prefixes.item[i], &b->prefixes.item[i]) != 0)
			return false;
	return true;
}

// What lies behind a customer with whom no BGP is spoken; with the first and the last such route it is spoken no more, or
// again.
static void change_routes(struct domain *domain, const struct intent_domain *old)
{
	bool spoken = old->routes.count == 0, speaks = domain->wanted->routes.count == 0;
	struct api_error error = {0};

	if (domain->state < DOMAIN_FILLING)
		return; // its sessions come when it is made
	if (spoken != speaks && set_speaker(domain, &error) != 0)
		log_error("domain", error.message, log_text("domain", domain->wanted->name));
	interfaces_try(domain);
	work_add(domain->domains, JOB_ANNOUNCE, domain, NULL);
}

// The same domain with other contents.
static void change(struct domain *domain, const struct intent_domain *old)
{
	struct domains *domains = domain->domains;

	configure_domain(domains, domain->wanted);
	if (!prefixes_equal(old, domain->wanted)) {
		decide_own(domain, old);
		decide_own(domain, domain->wanted);
		announce_joined(domain);
	}
	if (!policy_does(&old->import, &domain->wanted->import)) {
		interfaces_try(domain);
		work_add(domains, JOB_REVIEW, NULL, domain);
	} else if (!policy_equal(&old->import, &domain->wanted->import)) {
		interfaces_name(domain);
	}
	if (!routes_equal(old, domain->wanted) && domain->wanted->kind == INTENT_UNDERLAY) {
		if (domain->state >= DOMAIN_FILLING)
			set_statics(domain);
		underlay_changed(domains);
	} else if (!routes_equal(old, domain->wanted)) {
		change_routes(domain, old);
	}
}

void domain_set(struct domains *domains, const struct intent_domain *wanted,
	const struct fragment *fragment)
{
	struct domain *domain = domain_get(domains, wanted->id);
	const struct intent_domain *old = domain->wanted;
	const struct fragment *held = domain->fragment;
	// It keeps its name in the kernel whatever its object is called.
	bool same = old != NULL && old->kind == wanted->kind &&
		    strcmp(old->host_name, wanted->host_name) == 0;

	if (old != NULL && !same && domain_is_up(domain))
		end_life(domain); // another one has the number
	if (old != NULL && !same)
		health_domain_gone(domain);
	domain->wanted = wanted;
	domain->fragment = fragment_ref(fragment);
	if (domain->state == DOMAIN_GOING)
		configure_domain(domains,
			wanted); // its interfaces need a VRF; routes wait for the end of the earlier
	else if (domain->state == DOMAIN_GONE)
		begin(domain);
	else if (same)
		change(domain, old);
	if (old == NULL && wanted->routes.count > 0)
		underlay_changed(domains);
	fragment_unref(held);
	health_later(domain);
}

// --- what is known ---------------------------------------------------------------------------------------

// A session that is down brings nothing, unless its routes are kept; of one that was never heard of nothing is known.
static bool sessions_down(const struct domain *domain)
{
	unsigned int heard = 0, there = 0;

	for (unsigned int i = 0; i < 2 * domain->attachments.count; i++) {
		const struct intent_address *address =
			&domain->attachments.item[i / 2]->address[i % 2];
		if (address->remote.family == 0)
			continue;
		there++;
		const struct realised_session *session =
			session_find(&domain->domains->sync, address->session);
		if (session == NULL || !session->heard)
			continue;
		if (speaker_state_up(session->state.state) || session->state.kept_until != 0)
			return false;
		heard++;
	}
	return heard > 0 && heard == there;
}

// Of a hand-off without BGP: its routes come from its speaker, not from the kernel, when its port has been heard of. Their
// states are said after them.
static bool awaits_speaker(const struct domain *domain)
{
	if (domain->wanted->kind == INTENT_UNDERLAY || domain->wanted->routes.count == 0)
		return false;
	for (unsigned int i = 0; i < 2 * domain->attachments.count; i++) {
		const struct intent_address *address =
			&domain->attachments.item[i / 2]->address[i % 2];
		if (address->remote.family == 0)
			continue;
		const struct realised_session *session =
			session_find(&domain->domains->sync, address->session);
		if (session == NULL || !session->heard)
			return true;
	}
	return false;
}

enum source domain_source(const struct domain *domain)
{
	if (!domain_is_up(domain))
		return SOURCE_EMPTY;
	bool read = domain->state == DOMAIN_LIVE;
	if (read && !awaits_speaker(domain))
		return SOURCE_LIVE;
	uint64_t waited = clock_ns() - domain->since;
	if (waited >= RESTART_NS || sessions_down(domain))
		return SOURCE_EMPTY;
	bool filling = read || domain->state == DOMAIN_FILLING;
	return filling && waited < FILL_NS ? SOURCE_FILLING : SOURCE_WAITING;
}

void domain_known(struct domain *domain)
{
	struct domains *domains = domain->domains;
	enum source source = domain_source(domain);
	bool waiting = source == SOURCE_WAITING, filling = source == SOURCE_FILLING;
	struct end *end;

	if (!domains->sync.ready || !domain_is_up(domain))
		return;
	LIST_FOREACH (end, &domain->ends, entry) {
		source = domain_source(end->peer->domain);
		waiting = waiting || source == SOURCE_WAITING;
		filling = filling || source == SOURCE_FILLING;
	}
	records_vrf_guard(&domains->sync.records, domain->vrf, filling && domain->had_routes);
	// What is known but not decided yet must not be swept.
	bool decided = domains->applied && domains->deciding == 0;
	records_vrf_known(&domains->sync.records, domain->vrf,
		!waiting && !filling && (decided || domain->vrf->known));
}

static void look(void *ctx, void *entry)
{
	struct domain *domain = entry;

	if (domain->state == DOMAIN_MAKING && clock_ns() >= domain->retry_at)
		make(domain);
	domain_known(domain);
	if (domain->is_unsettled)
		health_later(domain); // waiting ends with time
}

bool known_step(struct domains *domains, struct job *job)
{
	return !table_slice(&domains->domains, &job->slot, 64, look, NULL);
}

void domain_synced(void *ctx, uint32_t id)
{
	struct domain *domain = domain_find(ctx, id);
	struct end *end;

	if (domain == NULL || !domain_is_up(domain))
		return;
	bool first = domain->state == DOMAIN_FILLING;
	set_state(domain, DOMAIN_LIVE);
	if (first && domain->life > 1)
		work_add(domain->domains, JOB_LIFE, NULL, domain);
	if (domain->domains->sync.ready && domain->reviews == 0) { // else when it has been reviewed
		give_places(domain, NULL);
		limit_settle(domain);
	}
	domain_known(domain);
	LIST_FOREACH (end, &domain->ends, entry)
		domain_known(end->peer->domain);
}
