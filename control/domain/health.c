// SPDX-License-Identifier: BSD-3-Clause
// What this folder knows of ports, domains, interfaces, sessions, limits and tunnels, written into the status table at
// the moment it changes. What follows from it for links and circuits is worked out in rpc/answers/health.c, which
// knows the model.
//
// Names: a port's as in the model, a domain's and interface's own ("peering/acme-01/private", "core0"), a session's
// "acme-01/private/primary" (of IPv6 beside IPv4 ".../primary/v6"), a limit's "acme-01/private IPv4", a tunnel's "acme-prod".

#include "control/domain/state.h"

#include "control/base/clock.h"
#include "control/node.h"
#include "control/publication.h"
#include "control/speakers/speaker.h"
#include "control/status/status.h"
#include "dataplane/wire/port_fault.h"

#include <event2/event.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

void health_port(struct domains *domains, uint32_t index)
{
	struct sync *sync = &domains->sync;
	const struct wire_port *port = &sync->port[index].last;
	const struct wire_port_fault *fault = wire_port_fault(port->fault);
	bool faulty = port->fault != WIRE_PORT_FAULT_NONE;
	char look[128];

	if (index >= sync->node->ports.count)
		return;
	snprintf(look, sizeof(look), "culvertctl port list; ip link show %.60s",
		sync->node->ports.item[index].device);
	status_set(sync->status, STATUS_PORT, sync->node->ports.item[index].name,
		port->up && !faulty ? STATUS_OK
		: port->up          ? STATUS_WARNING
				    : STATUS_ERROR,
		port->up ? "up" : "down", faulty || port->up ? fault->text : "no carrier",
		faulty || port->up ? fault->hint : look);
}

void health_speaker(void *ctx, const char *instance, const char *state, const char *reason,
	const char *hint)
{
	struct statuses *status = ((struct domains *)ctx)->sync.status;

	if (state[0] == '\0')
		status_clear(status, STATUS_SPEAKER, instance);
	else
		status_set(status, STATUS_SPEAKER, instance, STATUS_ERROR, state, reason, hint);
}

// --- interfaces and their sessions -------------------------------------------------------------------------

void session_name(const struct intent_interface *wanted, unsigned int family,
	char name[OBJECT_NAME_MAX + 16])
{
	const char *role = strrchr(wanted->link, '/');

	snprintf(name, OBJECT_NAME_MAX + 16, "%s/%s%s", wanted->object,
		role != NULL ? role + 1 : "", intent_is_dual(wanted) && family == 1 ? SESSION_BESIDE : "");
}

// What is to be done about it, in the model's words.
static void session_hint(const char *peering, enum speaker_fault fault, char hint[256])
{
	static const char *const hints[] = {
		[SPEAKER_NO_FAULT] = "%.0s",
		[SPEAKER_PASSWORD] = "culvertctl peering set %s --password FILE",
		[SPEAKER_TTL] = "have TTL security set on his router, or: culvertctl peering set %s "
				"--ttl-security false",
		[SPEAKER_TTL_THERE] = "if TTL security is set on his router: culvertctl peering set %s "
				      "--ttl-security true",
		[SPEAKER_UNANSWERED] = "have BGP, its filters, MD5 password and TTL security on his router "
				   "looked at; ours: culvertctl peering show %s",
		[SPEAKER_LIMIT] = "culvertctl peering clear %s",
	};
	snprintf(hint, 256, hints[fault], peering);
}

static const struct speaker_state unheard = {
	.state = "unknown", .detail = "not heard of yet since culvertd's start"},
				  never = {
	.state = "down", .detail = "its BGP daemon has not told of it"};

const struct speaker_state *session_state(const struct realised_session *session)
{
	return session->heard                            ? &session->state
	       : clock_ns() - session->began < HEARD_NS ? &unheard
							: &never;
}

// His router starts anew, as far as can be told, and forwards meanwhile; so do we.
static void tell_kept(
	struct statuses *status, const char *name, const struct speaker_state *session)
{
	const time_t until = (time_t)session->kept_until;
	char reason[SPEAKER_DETAIL_BYTES + 96], when[32];
	struct tm tm;

	strftime(when, sizeof(when), "%H:%M:%S UTC", gmtime_r(&until, &tm));
	snprintf(reason, sizeof(reason),
		"%s%sits routes are kept until %s at the latest (graceful restart)",
		session->detail, session->detail[0] != '\0' ? "; " : "", when);
	status_set(status, STATUS_SESSION, name, STATUS_WARNING, "down", reason, "");
}

void health_session(struct domains *domains, const struct realised_session *of)
{
	const struct intent_interface *wanted = of->of->wanted;
	char name[OBJECT_NAME_MAX + 16], hint[256];
	const struct speaker_state *session = session_state(of);

	session_name(wanted, of->family, name);
	session_hint(wanted->object, session->fault, hint);
	if (of->parting != NULL)
		status_set(domains->sync.status, STATUS_SESSION, name, STATUS_NOTE, "closing", "",
			"");
	else if (!wanted->session.enabled)
		status_set(domains->sync.status, STATUS_SESSION, name, STATUS_NOTE, "disabled", "",
			"");
	else if (speaker_state_up(session->state) && session->fault != SPEAKER_NO_FAULT)
		status_set(domains->sync.status, STATUS_SESSION, name, STATUS_WARNING,
			session->state, session->detail, hint);
	else if (speaker_state_up(session->state))
		status_set(domains->sync.status, STATUS_SESSION, name, STATUS_OK, session->state,
			"", "");
	else if (session == &unheard)
		status_set(domains->sync.status, STATUS_SESSION, name, STATUS_NOTE, session->state,
			session->detail, "");
	else if (session->kept_until != 0)
		tell_kept(domains->sync.status, name, session);
	else
		// What it tries while it is down (connect, active, idle) is nobody's news.
		status_set(domains->sync.status, STATUS_SESSION, name, STATUS_ERROR, "down",
			session->detail, hint);
}

void health_untold(struct domains *domains, const struct untold *untold, bool over)
{
	char hold[16] = "", reason[192];

	if (over) {
		status_clear(domains->sync.status, STATUS_FAR_END, untold->name);
		return;
	}
	if (untold->hold != 0)
		snprintf(hold, sizeof(hold), " of %u s", untold->hold);
	snprintf(reason, sizeof(reason),
		"the BGP daemon hung when the session ended: his router keeps it, and sends here in "
		"vain, until its hold time%s is over",
		hold);
	status_set(domains->sync.status, STATUS_FAR_END, untold->name, STATUS_WARNING, "not told",
		reason, "have him clear the session on his router");
}

void health_interface(struct domains *domains, const struct realised *realised)
{
	const struct intent_interface *wanted = realised->wanted;
	const struct wire_port *port = &domains->sync.port[wanted->port].last;
	uint16_t carried = wire_port_mtu(port->mtu, port->tag_debt, wanted->vlans);
	struct statuses *status = domains->sync.status;
	char reason[160], hint[96];

	if (realised->error[0] != '\0') {
		status_set(status, STATUS_INTERFACE, wanted->name, STATUS_ERROR, "unmade",
			realised->error, "it is tried again every second; see culvertd's log");
	} else if (wanted->mtu > carried) {
		snprintf(reason, sizeof(reason),
			"port %s carries %u%s, not the MTU of %u of the model", port->name, carried,
			wanted->vlans == 0   ? ""
			: wanted->vlans == 1 ? " behind a tag"
					     : " behind two tags",
			wanted->mtu);
		snprintf(hint, sizeof(hint),
			"give the port mtu: %u in the node file, or lower it in the model",
			wanted->mtu + (port->mtu - carried));
		status_set(status, STATUS_INTERFACE, wanted->name, STATUS_WARNING, "smaller",
			reason, hint);
	} else {
		status_set(status, STATUS_INTERFACE, wanted->name, STATUS_OK, "made", "", "");
	}
	for (unsigned int i = 0; i < 2; i++)
		if (realised->session[i] != NULL)
			health_session(domains, realised->session[i]);
}

void health_interface_gone(struct domains *domains, const struct intent_interface *was)
{
	status_clear(domains->sync.status, STATUS_INTERFACE, was->name);
}

void health_session_gone(
	struct domains *domains, const struct intent_interface *was, unsigned int family)
{
	char name[OBJECT_NAME_MAX + 16];

	session_name(was, family, name);
	status_clear(domains->sync.status, STATUS_SESSION, name);
	status_clear(domains->sync.status, STATUS_NEIGHBOR, name);
}

// --- the routers behind them -------------------------------------------------------------------------------

#define SILENT_S 3  // asked for so long, he does not answer
#define STRAYS_S 60 // frames with other tags may be his

// What was asked, where, and what is likely: the kernel has no other news than that nobody answered.
static void tell_silence(
	struct domains *domains, const struct realised_session *session, const char *name)
{
	const struct intent_interface *wanted = session->of->wanted;
	const struct ip_address *router = &session_address(session)->remote;
	const struct port_state *port = &domains->sync.port[wanted->port];
	const char *port_name = domains->sync.node->ports.item[wanted->port].name;
	char remote[IP_TEXT_MAX], tags[48] = "untagged", reason[320], hint[192];

	if (wanted->vlans == 1)
		snprintf(tags, sizeof(tags), "VLAN %u", wanted->vlan[0]);
	else if (wanted->vlans == 2)
		snprintf(tags, sizeof(tags), "VLAN %u.%u", wanted->vlan[0], wanted->vlan[1]);
	snprintf(reason, sizeof(reason), "%s does not answer %s, asked every second on %s %s; %s",
		ip_address_format(router, remote),
		router->family == 4 ? "ARP" : "neighbor solicitations", port_name, tags,
		port->strayed > 0
			? "frames with tags of no link come in there: his tags may be others"
			: "likely his port, his tags or his address");
	snprintf(hint, sizeof(hint), "culvertctl link show %.90s; culvertctl drops --port %.40s",
		wanted->link, port_name);
	status_set(domains->sync.status, STATUS_NEIGHBOR, name, STATUS_ERROR, "unresolved", reason,
		hint);
}

void health_neighbor(struct domains *domains, struct realised_session *session)
{
	const struct realised *realised = session->of;
	struct statuses *status = domains->sync.status;
	char name[OBJECT_NAME_MAX + 16];

	session_name(realised->wanted, session->family, name);
	bool asked = realised->interface && realised->carrier_known && realised->carrier;
	if (session->answers || !asked)
		session->silent = 0;
	if (session->answers)
		status_set(status, STATUS_NEIGHBOR, name, STATUS_OK, "usable", "", "");
	else if (!asked)
		status_clear(status, STATUS_NEIGHBOR, name); // what lacks there is told of the port
	else if (session->silent >= SILENT_S)
		tell_silence(domains, session, name);
}

void health_silence(struct domains *domains, struct realised_session *session)
{
	if (session->heard)
		session_recount(domains, session); // what was rejected may have come rightly since
	else
		health_session(domains, session);
	if (session->answers)
		return;
	session->silent += session->silent < SILENT_S;
	health_neighbor(domains, session);
}

void health_strays(struct domains *domains)
{
	struct sync *sync = &domains->sync;
	struct stats_interface sum;
	struct stats_sparse sparse;

	for (unsigned int i = 0; i < sync->node->ports.count && i < PORTS_MAX; i++) {
		struct port_state *port = &sync->port[i];
		port->strayed -= port->strayed > 0;
		if (!counters_interface(sync, STATS_UNCLASSIFIED(i), &sum, &sparse))
			continue;
		if (sparse.drops[DROP_VLAN_UNKNOWN] > port->strays && port->strays_known)
			port->strayed = STRAYS_S;
		port->strays = sparse.drops[DROP_VLAN_UNKNOWN];
		port->strays_known = true;
	}
}

// --- what somebody changes under us ------------------------------------------------------------------------

#define DRIFT_S 10 // after the last of them; who goes on changing it is told for as long

void health_drift(struct domains *domains)
{
	struct sync *sync = &domains->sync;
	struct bridge_counters counters = {0};
	char reason[192];

	bridge_counters(sync->bridge, &counters);
	if (counters.drift == domains->drift) {
		if (domains->drifted > 0 && --domains->drifted == 0)
			status_clear(sync->status, STATUS_KERNEL, "drift");
		return;
	}
	domains->drift = counters.drift;
	domains->drifted = DRIFT_S;
	snprintf(reason, sizeof(reason), "what is ours in this host was changed and put back: %s",
		counters.drift_last);
	status_set(sync->status, STATUS_KERNEL, "drift", STATUS_WARNING, "changed", reason,
		"find who works in our namespaces: culvertd's log says what was put back, and when");
}

// --- domains and their limits ------------------------------------------------------------------------------

static void limit(const struct domain *domain, unsigned int family)
{
	struct statuses *status = domain->domains->sync.status;
	const struct domain_counts *count = &domain->count[family];
	unsigned int most = limit_of(domain, family);
	char name[OBJECT_NAME_MAX + 16], reason[96];

	snprintf(
		name, sizeof(name), "%s %s", domain->wanted->object, family == 0 ? "IPv4" : "IPv6");
	if (most != 0 && count->taken >= most) {
		snprintf(reason, sizeof(reason), "limit of %u prefixes reached, %u held", most,
			count->held);
		status_set(status, STATUS_LIMIT, name, STATUS_WARNING,
			count->held > 0 ? "holding" : "full", reason,
			"the customer has to announce fewer, aggregated prefixes");
	} else if (most != 0 && (uint64_t)count->taken * 100 >= (uint64_t)most * 80) {
		snprintf(reason, sizeof(reason), "above 80 %% of the limit of %u prefixes", most);
		status_set(status, STATUS_LIMIT, name, STATUS_WARNING, "high", reason,
			"the customer has to announce fewer, aggregated prefixes");
	} else {
		status_clear(status, STATUS_LIMIT, name); // most have no limit in sight
	}
}

// Who waits for what such a domain brings, and what it counts as meanwhile.
static void not_live(const struct domain *domain)
{
	enum source source = domain_source(domain);
	char reason[640];

	snprintf(reason, sizeof(reason), "%s%s%s",
		domain->error[0] != '\0' ? domain->error : "its routes are not known yet",
		domain->error[0] != '\0' ? "; " : ": ",
		source == SOURCE_EMPTY ? "it counts as empty" : "what it brought stays for now");
	bool waits = source == SOURCE_WAITING || source == SOURCE_EMPTY || domain->error[0] != '\0';
	status_set(domain->domains->sync.status, STATUS_DOMAIN, domain->wanted->name,
		waits ? STATUS_WARNING : STATUS_NOTE, domain_state_name(domain->state),
		waits ? reason : "", "");
}

static void tell(const struct domain *domain)
{
	struct statuses *status = domain->domains->sync.status;
	char reason[128];

	if (domain->wanted == NULL)
		return;
	if (domain->state != DOMAIN_LIVE || domain->error[0] != '\0') {
		not_live(domain);
	} else if (domain->vrf != NULL && domain->vrf->refused > 0) {
		snprintf(reason, sizeof(reason), "the data plane refuses %u of its routes: %s",
			domain->vrf->refused, refusal_text(domain->vrf->error));
		status_set(status, STATUS_DOMAIN, domain->wanted->name, STATUS_ERROR, "incomplete",
			reason, "they are tried again; culvert-dataplane's log says more");
	} else if (domain->crowded > 0) {
		snprintf(reason, sizeof(reason),
			"%u prefixes have more than %u paths, the first %u are used",
			domain->crowded, WIRE_GROUP_PATHS, WIRE_GROUP_PATHS);
		status_set(status, STATUS_DOMAIN, domain->wanted->name, STATUS_WARNING, "live",
			reason, "connect fewer circuits that announce the same prefix");
	} else {
		status_set(status, STATUS_DOMAIN, domain->wanted->name, STATUS_OK, "live", "", "");
	}
	for (unsigned int i = 0; i < 2 && domain->wanted->kind == INTENT_PEERING; i++)
		limit(domain, i);
}

void health_later(struct domain *domain)
{
	const struct timeval now = {0, 0};

	if (domain->looked_at || domain->wanted == NULL)
		return;
	domain->looked_at = true;
	TAILQ_INSERT_TAIL(&domain->domains->health, domain, health);
	event_add(domain->domains->work, &now);
}

static void unlist(struct domain *domain)
{
	if (domain->looked_at)
		TAILQ_REMOVE(&domain->domains->health, domain, health);
	domain->looked_at = false;
}

void health_step(struct domains *domains)
{
	const struct timeval now = {0, 0};
	struct domain *domain;

	for (unsigned int i = 0; i < 64; i++) {
		domain = TAILQ_FIRST(&domains->health);
		if (domain == NULL)
			return;
		unlist(domain);
		tell(domain);
	}
	event_add(domains->work, &now);
}

static void clear_domain(struct statuses *status, const struct intent_domain *was)
{
	char name[OBJECT_NAME_MAX + 16];

	status_clear(status, STATUS_DOMAIN, was->name);
	for (unsigned int i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "%s %s", was->object, i == 0 ? "IPv4" : "IPv6");
		status_clear(status, STATUS_LIMIT, name);
	}
}

// While it still knows its names.
void health_domain_gone(struct domain *domain)
{
	unlist(domain);
	if (domain->wanted != NULL)
		clear_domain(domain->domains->sync.status, domain->wanted);
}

// --- tunnels -----------------------------------------------------------------------------------------------

// What a tunnel lacks, and what to do about it.
struct words {
	char reason[256], hint[192];
};

static void no_route(const struct domains *domains, const struct tunnel *tunnel,
	const char *gateway, struct words *words)
{
	const struct intent_route *route = underlay_route(domains, &tunnel->wanted->tunnel.remote);
	char prefix[IP_TEXT_MAX], via[IP_TEXT_MAX];

	if (tunnel->fault == TUNNEL_STRAY_ROUTE && route != NULL) {
		snprintf(words->reason, sizeof(words->reason),
			"no route to %s: %s leads to %s, in the subnet of no core port of this "
			"machine",
			gateway, ip_prefix_format(&route->prefix, prefix),
			ip_address_format(&route->via, via));
		snprintf(words->hint, sizeof(words->hint), "culvertctl port list");
		return;
	}
	snprintf(words->reason, sizeof(words->reason), "no route to %s in the underlay", gateway);
	snprintf(words->hint, sizeof(words->hint),
		"culvertctl edge set %.40s --add-routes prefix=%.40s/%u,via=NEXTHOP",
		domains->sync.node->edge, gateway, ip_bits(tunnel->wanted->tunnel.remote.family));
}

static void explain(const struct domains *domains, const struct tunnel *tunnel, struct words *words)
{
	const struct realised *core = table_find(&domains->sync.realised, &tunnel->core);
	const char *port = core != NULL ? core->wanted->object : "the core port";
	char gateway[IP_TEXT_MAX], via[IP_TEXT_MAX];

	*words = (struct words){.reason = ""};
	ip_address_format(&tunnel->wanted->tunnel.remote, gateway);
	ip_address_format(&tunnel->via, via);
	switch (tunnel->fault) {
	case TUNNEL_WELL:
		break;
	case TUNNEL_UNHEARD:
		snprintf(words->reason, sizeof(words->reason),
			"the way to %s has not been heard of yet", gateway);
		break;
	case TUNNEL_NO_ROUTE:
	case TUNNEL_STRAY_ROUTE:
		no_route(domains, tunnel, gateway, words);
		break;
	case TUNNEL_CORE_UNMADE:
		snprintf(words->reason, sizeof(words->reason),
			"the host interface of %s is not made%s%.120s", port,
			core != NULL && core->error[0] != '\0' ? ": " : "",
			core != NULL ? core->error : "");
		break;
	case TUNNEL_CORE_DOWN:
		snprintf(words->reason, sizeof(words->reason), "port %s is down", port);
		snprintf(words->hint, sizeof(words->hint), "culvertctl port show %.100s", port);
		break;
	case TUNNEL_SILENT:
		snprintf(words->reason, sizeof(words->reason),
			"%s, the next hop to %s on port %s, does not answer", via, gateway, port);
		snprintf(words->hint, sizeof(words->hint), "culvertctl neighbor list");
		break;
	}
}

void health_tunnel(struct domains *domains, const struct tunnel *tunnel)
{
	static const struct {
		const char *state;
		enum status_level level;
	} shown[] = {
		[NEIGHBOR_UNKNOWN] = {"unknown", STATUS_NOTE},
		[NEIGHBOR_USABLE] = {"up", STATUS_OK},
		[NEIGHBOR_FAILED] = {"down", STATUS_ERROR},
	};
	struct words words;

	explain(domains, tunnel, &words);
	status_set(domains->sync.status, STATUS_TUNNEL, tunnel->wanted->object,
		shown[tunnel->announced].level, shown[tunnel->announced].state, words.reason,
		words.hint);
}

void health_tunnel_gone(struct domains *domains, const struct intent_interface *was)
{
	status_clear(domains->sync.status, STATUS_TUNNEL, was->object);
}

// --- other names ---------------------------------------------------------------------------------------------

static void tell_interface(struct domains *domains, const struct intent_interface *wanted)
{
	struct realised *realised = table_find(&domains->sync.realised, &wanted->id);
	const struct tunnel *tunnel = table_find(&domains->sync.tunnels, &wanted->id);

	if (realised != NULL) {
		health_interface(domains, realised);
		for (unsigned int i = 0; i < 2; i++)
			if (realised->session[i] != NULL)
				health_neighbor(domains, realised->session[i]);
	} else if (tunnel != NULL) {
		health_tunnel(domains, tunnel);
	}
}

// What there was to tell has the new names already (rename.c), but for what was told since.
void health_fragment_renamed(
	struct domains *domains, const struct fragment *old, const struct fragment *new)
{
	const struct fragment *other =
		fragments_find(domains->fragments, (int)old->key.noun, old->key.name);

	for (unsigned int i = 0; i < old->interfaces.count && other == NULL; i++) {
		const struct intent_interface *was = &old->interfaces.item[i];
		if (was->kind == INTENT_TUNNEL)
			health_tunnel_gone(domains, was);
		else
			health_interface_gone(domains, was);
		for (unsigned int family = 0; family < 2 && was->kind == INTENT_ATTACHMENT; family++)
			health_session_gone(domains, was, family);
	}
	for (unsigned int i = 0; i < old->domains.count && other == NULL; i++)
		clear_domain(domains->sync.status, &old->domains.item[i]);
	for (unsigned int i = 0; i < new->interfaces.count; i++)
		tell_interface(domains, &new->interfaces.item[i]);
	for (unsigned int i = 0; i < new->domains.count; i++) {
		struct domain *domain = domain_find(domains, new->domains.item[i].id);
		if (domain != NULL)
			health_later(domain);
	}
}

// --- objects of the model ------------------------------------------------------------------------------------

static void problem_name(
	const struct fragment *fragment, const struct intent_problem *problem, char name[256])
{
	snprintf(name, 256, "%s %s", nouns[fragment->key.noun]->name, problem->object);
}

void health_problems(
	struct domains *domains, const struct fragment *old, const struct fragment *new)
{
	struct statuses *status = domains->sync.status;
	char name[256];

	for (unsigned int i = 0; i < old->problems.count; i++) {
		problem_name(old, &old->problems.item[i], name);
		if (new->problems.count == 0)
			status_clear(status, STATUS_PROBLEM, name);
	}
	for (unsigned int i = 0; i < new->problems.count; i++) {
		problem_name(new, &new->problems.item[i], name);
		status_set(status, STATUS_PROBLEM, name, STATUS_ERROR, "not realised",
			new->problems.item[i].message, new->problems.item[i].hint);
	}
}
