// SPDX-License-Identifier: BSD-3-Clause
// Where configuration, kernel and data plane meet. This file only joins the others:
//
//	publication  -> fragment.c    what changed, one object after the other
//	             -> domain.c, join.c, interface.c, underlay.c   what it means here and in the kernel
//	             -> configure.c, decide.c   the data plane's half, into the ledger (sync/records.c, sync/route.c)
//	ledger       -> sync/dataplane.c   over the wire
//	bridge says: a route, a neighbor, a session     -> decide.c, next hops, announcements
//	data plane says: a port, a neighbor is needed   -> paths, carriers, MAC addresses, a probe
//
// Next-hop ids are those that the data plane already has for equal content, so the ledger is filled only when
// the first connection has been read back (`ready`). Until then the kernel's half goes ahead alone.

#include "control/domain/state.h"

#include "control/base/log.h"
#include "control/base/turns.h"
#include "control/node.h"
#include "control/publication.h"
#include "control/status/status.h"

#include <event2/event.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GRACE_S      3   // for neighbors to be heard of after start
#define OUR_PROTOCOL 157 // RTPROT of the routes and rules that are ours
#define STATIC_ROUTE 4   // RTPROT_STATIC: of what a speaker without a daemon says

struct statuses *domains_statuses(struct domains *domains)
{
	return domains->sync.status;
}

struct sync *domains_sync(struct domains *domains)
{
	return &domains->sync;
}

const struct publication *domains_publication(const struct domains *domains)
{
	return fragments_publication(domains->fragments);
}

const struct fragments *domains_fragments(const struct domains *domains)
{
	return domains->fragments;
}

bool domains_idle(const struct domains *domains)
{
	return TAILQ_EMPTY(&domains->jobs) && TAILQ_EMPTY(&domains->device_jobs);
}

bool domains_without_dataplane(const struct domains *domains, uint64_t revision)
{
	const struct sync *sync = &domains->sync;

	return sync->ready && sync->hold.open && domains_idle(domains) &&
	       !partings_pending(domains, revision) &&
	       revision >= domains->published.revision &&
	       sync->records.changes == domains->published.changes;
}

// --- from the bridge -------------------------------------------------------------------------------------

static void on_neighbor(
	void *ctx, uint32_t interface, const struct ip_address *address, const uint8_t *mac)
{
	struct domains *domains = ctx;
	struct realised *realised = table_find(&domains->sync.realised, &interface);

	nexthops_neighbor(&domains->sync.hops, interface, address,
		mac != NULL ? NEIGHBOR_USABLE : NEIGHBOR_FAILED, mac);
	if (realised != NULL && realised->wanted->kind == INTENT_CORE) {
		work_add(domains, JOB_TUNNELS, NULL, NULL);
		work_now(domains);
		return;
	}
	struct realised_session *session =
		realised != NULL ? realised->session[ip_index(address->family)] : NULL;
	if (session != NULL && ip_address_compare(address, &session_address(session)->remote) == 0) {
		session->answers = mac != NULL;
		health_neighbor(domains, session);
	}
}

void count_session(
	struct domains *domains, const struct realised_session *session, unsigned int change)
{
	struct session_sum *sum = &domains->sync.sessions;

	if (!session->heard)
		return;
	sum->rejected += change * session->rejected;
	if (strcmp(session->state.state, "static") == 0)
		sum->silent += change;
}

static void on_session(void *ctx, uint32_t id, const struct speaker_state *state)
{
	struct domains *domains = ctx;
	struct realised_session *session = session_find(&domains->sync, id);

	if (session == NULL)
		return;
	const struct speaker_state old = session->state;
	count_session(domains, session, -1u);
	session->heard = true;
	session->state = *state;
	count_session(domains, session, 1);
	session_recount(domains, session);
	event_session(&domains->sync, session, &old, state);
	health_session(domains, session);
	parting_heard(domains, session);
	struct domain *domain = domain_find(domains, session->of->wanted->domain);
	struct end *end;
	if (domain == NULL || strcmp(old.state, state->state) == 0)
		return;
	domain_known(domain);
	LIST_FOREACH (end, &domain->ends, entry)
		domain_known(end->peer->domain);
}

// Of a speaker without a daemon: as if the kernel had said it.
static void on_static(void *ctx, uint32_t domain, const struct policy_route *route, bool present)
{
	const struct bridge_route learned = {.prefix = route->prefix,
		.protocol = STATIC_ROUTE,
		.count = 1,
		.nexthop[0] = {.via = route->next_hop, .weight = 1}};

	routes_learned(ctx, domain, &learned, present);
}

static void on_taken(void *ctx, uint32_t domain)
{
	speakers_restore(((struct domains *)ctx)->sync.speakers, domain);
}

// Its device is another one: the data plane's queue leads nowhere.
static void on_interface_made(void *ctx, uint32_t interface)
{
	struct domains *domains = ctx;
	dataplane_host(domains->sync.dataplane, interface, true);
}

// --- from the data plane ---------------------------------------------------------------------------------

static void forget_had(void *ctx, void *entry)
{
	((struct domain *)entry)->had_routes = false;
}

static void on_connected(void *ctx, const struct wire_hello *hello, int stats)
{
	struct domains *domains = ctx;
	struct sync *sync = &domains->sync;

	if (sync->instance != 0 && sync->instance != hello->instance)
		table_each(&domains->domains, forget_had, NULL); // this one starts with nothing
	sync->instance = hello->instance;
	counters_attach(sync, stats);
}

static void on_disconnected(void *ctx)
{
	counters_detach(&((struct domains *)ctx)->sync);
}

static bool is_full(const struct domain *domain, const struct wire_vrf_stats *stats)
{
	return stats->routes4 >= limit_of(domain, 0) || stats->routes6 >= limit_of(domain, 1);
}

static bool on_found(void *ctx, uint16_t type, const void *record)
{
	struct domains *domains = ctx;
	const struct wire_vrf_stats *stats = record;
	const struct wire_route *route = record;

	if (type == WIRE_INTERFACE_SET) {
		hold_found(&domains->sync, record);
		interface_placed(domains, record);
		return false;
	}
	if (type == WIRE_VRF_STATS) { // of a full one: which routes have the places
		struct domain *domain = domain_get(domains, stats->vrf);
		domain->had_routes = stats->routes4 + stats->routes6 > 0;
		return is_full(domain, stats);
	}
	if (type != WIRE_ROUTE_SET)
		nexthops_adopt(&domains->sync.hops, type, record);
	else if (route->origin == ORIGIN_BGP)
		limit_keep(domain_get(domains, route->vrf), route);
	return false;
}

// --- filling the ledger for the first time, in slices ----------------------------------------------------

static void fill_domain(void *ctx, void *entry)
{
	struct domain *domain = entry;

	if (!domain_is_up(domain))
		return;
	configure_domain(ctx, domain->wanted);
	domain_known(domain);
	decide_own(domain, domain->wanted);
	decide_attachments(domain);
	work_add(ctx, JOB_REVIEW, NULL, domain);
}

static void fill_interface(void *ctx, void *entry)
{
	configure_interface(ctx, ((struct realised *)entry)->wanted);
}

static void fill_limiter(void *ctx, void *entry)
{
	if (((struct limiter *)entry)->wanted != NULL)
		configure_limiter(ctx, ((struct limiter *)entry)->wanted);
}

bool fill_step(struct domains *domains, struct job *job)
{
	const struct {
		const struct table *table;
		void (*visit)(void *ctx, void *entry);
	} parts[] = {
		{&domains->limiters, fill_limiter},
		{&domains->sync.realised, fill_interface},
		{&domains->domains, fill_domain},
	};

	if (table_slice(parts[job->port].table, &job->slot, 32, parts[job->port].visit, domains))
		return false;
	job->slot = 0;
	return ++job->port == sizeof(parts) / sizeof(parts[0]);
}

static void put(void *ctx, void *entry)
{
	domain_put(entry);
}

static void on_ready(void *ctx)
{
	struct domains *domains = ctx;

	domains->sync.ready = true;
	hold_ready(&domains->sync);
	table_each(&domains->domains, put, NULL); // of VRFs that are nobody's
	work_add(domains, JOB_FILL, NULL, NULL);
	underlay_changed(domains);
	struct job *known = work_add(domains, JOB_KNOWN, NULL, NULL);
	if (known != NULL)
		work_first(domains, known); // what is guarded is so from the first
	work_now(domains);
}

static void on_swept(void *ctx)
{
	nexthops_swept(&((struct domains *)ctx)->sync.hops);
}

// A port's number is its place in the node file, and names in the model mean numbers there: a data plane that was started
// from another order would give one customer's attachments to the other's cable.
static bool is_ours(struct sync *sync, const struct wire_port *port)
{
	const struct node *node = sync->node;
	char message[256];

	if (port->port >= node->ports.count ||
		strcmp(port->name, node->ports.item[port->port].name) == 0)
		return true;
	snprintf(message, sizeof(message),
		"port %u of the running data plane is \"%s\", in the node file it is \"%s\": "
		"nothing is "
		"sent to it",
		port->port, port->name, node->ports.item[port->port].name);
	dataplane_stranger(sync->dataplane, message,
		"restart culvert-dataplane, so that it has the ports of this node file, or put "
		"their order back");
	return false;
}

static void on_port(void *ctx, const struct wire_port *port)
{
	struct domains *domains = ctx;
	struct sync *sync = &domains->sync;

	if (port->port >= PORTS_MAX || !is_ours(sync, port))
		return;
	struct port_state *state = &sync->port[port->port];
	bool moved = !state->known || state->last.up != port->up;
	if (moved)
		state->since = (uint64_t)time(NULL);
	bool changed = !state->known || memcmp(&state->last, port, sizeof(*port)) != 0;
	state->known = true;
	state->last = *port;
	if (!changed)
		return;
	log_info("domain", "port", log_number("port", port->port), log_text("name", port->name),
		log_number("up", port->up));
	if (moved)
		event_port(sync, port->port);
	health_port(domains, port->port);
	work_add(domains, JOB_PATHS, NULL, NULL)->port = port->port;
	struct job *carriers = work_add(domains, JOB_CARRIERS, NULL, NULL);
	const struct realised *any = LIST_FIRST(&state->interfaces);
	carriers->port = port->port;
	if (any != NULL && any->wanted->kind == INTENT_CORE)
		work_first(domains, carriers); // all tunnels wait for the neighbors there
	work_add(domains, JOB_TUNNELS, NULL,
		NULL); // from the next turn on: several ports may go at once
}

static void on_state(void *ctx)
{
	const struct sync *sync = ctx;
	const struct dataplane_status *now = dataplane_status(sync->dataplane);
	static const enum status_level level[] = {
		[DATAPLANE_DOWN] = STATUS_ERROR,
		[DATAPLANE_REPLAYING] = STATUS_NOTE,
		[DATAPLANE_SYNCED] = STATUS_OK,
		[DATAPLANE_INCOMPLETE] = STATUS_WARNING,
		[DATAPLANE_REFUSED] = STATUS_ERROR,
		[DATAPLANE_HELD] = STATUS_ERROR,
		[DATAPLANE_SILENT] = STATUS_ERROR,
	};

	status_set(sync->status, STATUS_DATAPLANE, sync->node->edge, level[now->state],
		dataplane_state_name(now->state), now->error, now->hint);
}

static void on_needed(void *ctx, const struct wire_needed *needed)
{
	struct sync *sync = &((struct domains *)ctx)->sync;
	const struct neighbor *neighbor = nexthops_neighbor_by_id(&sync->hops, needed->neighbor);

	if (neighbor == NULL || neighbor->key.interface != needed->interface)
		return;
	struct ip_address address = {.family = neighbor->key.family};
	memcpy(address.bytes, neighbor->key.addr, sizeof(neighbor->key.addr));
	bridge_neighbor_probe(sync->bridge, needed->interface, &address);
}

static void on_episode(void *ctx, const struct wire_episode *episode)
{
	counters_episode(&((struct domains *)ctx)->sync, episode);
}

static void on_lost(void *ctx, uint32_t interface)
{
	struct sync *sync = &((struct domains *)ctx)->sync;
	const struct realised *realised = table_find(&sync->realised, &interface);

	log_warning("domain", "the data plane's host queue reads as an error and is replaced",
		log_text("interface", realised != NULL ? realised->wanted->name : "?"));
	bridge_interface_doubt(sync->bridge, interface);
}

static int on_queue(void *ctx, uint32_t interface, int *fd)
{
	struct sync *sync = &((struct domains *)ctx)->sync;
	struct api_error error = {0};
	int result = bridge_interface_queue(sync->bridge, interface, fd, &error);

	if (result != 0)
		log_error("domain", "no host queue", log_number("interface", interface),
			log_text("error", error.message));
	return result;
}

static void on_placed(void *ctx, const struct wire_interface *record)
{
	interface_placed(ctx, record);
}

static void on_hosted(void *ctx, uint32_t interface)
{
	bridge_interface_carried(((struct domains *)ctx)->sync.bridge, interface, false);
}

static void on_vrf_stats(void *ctx, const struct wire_vrf_stats *stats)
{
	struct domain *domain = domain_find(ctx, stats->vrf);

	if (domain != NULL)
		domain->stats = *stats;
}

static void on_describe(void *ctx, const struct record *record, char *text, size_t size)
{
	sync_describe(ctx, record, text, size);
}

static void on_describe_route(void *ctx, const struct route *route, char *text, size_t size)
{
	sync_describe_route(ctx, route, text, size);
}

#define NAMESAKES 16 // records that people have the same words for are told apart up to here

// "next hop vnet/acme-prod", and another one that is taken for the same: "next hop vnet/acme-prod (2)".
static char *refusal_name(const struct sync *sync, const struct record *record)
{
	char text[176], name[200];

	sync_describe(sync, record, text, sizeof(text));
	snprintf(name, sizeof(name), "%s", text);
	for (unsigned int i = 2;
		i <= NAMESAKES && status_get(sync->status, STATUS_RECORD, name) != NULL; i++)
		snprintf(name, sizeof(name), "%s (%u)", text, i);
	char *copy = strdup(name);
	if (copy == NULL)
		abort();
	return copy;
}

// Told again under the same name each time it is refused.
static void on_refusal(void *ctx, struct record *record)
{
	struct sync *sync = &((struct domains *)ctx)->sync;

	if (record->error == 0) {
		if (record->refused_as != NULL)
			status_clear(sync->status, STATUS_RECORD, record->refused_as);
		free(record->refused_as);
		record->refused_as = NULL;
		return;
	}
	if (record->refused_as == NULL)
		record->refused_as = refusal_name(sync, record);
	status_set(sync->status, STATUS_RECORD, record->refused_as, STATUS_ERROR, "refused",
		refusal_text(record->error),
		"it is tried again every second; culvert-dataplane's log says what it has against it");
}

static void on_routes_refused(void *ctx, struct vrf *vrf)
{
	struct domain *domain = domain_find(ctx, vrf->id);

	if (domain != NULL)
		health_later(domain);
}

static void on_changed(void *ctx)
{
	struct domains *domains = ctx;
	dataplane_wake(domains->sync.dataplane);
}

// --- the ledger's routes are ours ------------------------------------------------------------------------

static struct route *next_route(void *owner, const struct route_key *after)
{
	struct prefix *prefix = prefix_next(owner, after);
	return prefix != NULL ? &prefix->route : NULL;
}

static void on_released(void *owner, struct route *route)
{
	prefix_drop(owner, (struct prefix *)route); // its first member
}

// --- from the main thread --------------------------------------------------------------------------------

static void announce_domain(void *ctx, void *entry)
{
	work_add(ctx, JOB_ANNOUNCE, entry, NULL);
}

void domains_applied(struct domains *domains)
{
	const struct publication *publication = fragments_publication(domains->fragments);

	if (!domains->applied)
		table_each(&domains->domains, announce_domain, domains); // they waited for it
	domains->applied = true;
	renames_applied(domains);
	const char *edge = domains->sync.node->edge;
	char reason[OBJECT_NAME_MAX + 40];
	if (publication->revision == 0 || publication_has_edge(publication, edge)) {
		snprintf(reason, sizeof(reason), "revision %llu",
			(unsigned long long)publication->revision);
		status_set(
			domains->sync.status, STATUS_EDGE, edge, STATUS_OK, "applied", reason, "");
	} else {
		snprintf(reason, sizeof(reason), "the configuration has no edge \"%s\"", edge);
		status_set(domains->sync.status, STATUS_EDGE, edge, STATUS_ERROR, "unknown", reason,
			"culvertctl edge create, or correct the node file");
	}
	dataplane_identity(domains->sync.dataplane, publication->store, publication->revision);
	hold_sweep(&domains->sync);
}

static void tell_finding(
	void *ctx, const char *path, const char *rule, const char *message, const char *hint)
{
	struct domains *domains = ctx;
	char name[256];

	snprintf(name, sizeof(name), "%s (%s)", path, rule);
	status_set(domains->sync.status, STATUS_RULE, name, STATUS_ERROR, "broken", message, hint);
}

// What this version's rules have against the model, although it is in force.
static void tell_findings(struct domains *domains, const struct publication *publication)
{
	struct statuses *status = domains->sync.status;
	bool had = status_count(status, STATUS_RULE, STATUS_ERROR) > 0;
	uint64_t mark = statuses_mark(status);

	publication_problems(publication, tell_finding, domains);
	if (had) // most have none, and this looks at every entry
		status_clear_unmarked(status, STATUS_RULE, mark);
}

void domains_publish(struct domains *domains, struct publication *publication)
{
	struct renames renames = {0};

	if (domains_idle(domains)) {
		domains->published.revision = publication->revision;
		domains->published.changes = domains->sync.records.changes;
	}
	tell_findings(domains, publication);
	fragments_update(domains->fragments, publication, renames_collect, &renames);
	renames_apply(domains, &renames);
	renames_free(&renames);
	bridge_owner_set(domains->sync.bridge, publication->store, domains->sync.node->edge);
	publication_unref(publication);
	domains_go(domains);
}

// Once nothing holds us back, what was published since then and before is carried out.
void domains_go(struct domains *domains)
{
	const struct hold *hold = &domains->sync.hold;

	if (!hold_judge(&domains->sync)) {
		status_set(domains->sync.status, STATUS_EDGE, domains->sync.node->edge,
			STATUS_ERROR, "held", hold->message, hold->hint);
		return;
	}
	work_add(domains, JOB_FRAGMENTS, NULL, NULL);
	work_now(domains);
}

// --- life ------------------------------------------------------------------------------------------------

static void on_work(evutil_socket_t fd, short events, void *arg)
{
	turns_note("domain: work");
	work_now(arg);
}

static void on_grace(evutil_socket_t fd, short events, void *arg)
{
	struct domains *domains = arg;

	turns_note("domain: grace");
	domains->sync.settled = true;
	work_add(domains, JOB_TUNNELS, NULL, NULL);
	work_now(domains);
	hold_sweep(&domains->sync);
}

static void on_tick(evutil_socket_t fd, short events, void *arg)
{
	struct domains *domains = arg;

	turns_note("domain: tick");
	counters_tick(&domains->sync);
	health_strays(domains);
	health_drift(domains);
	untold_tick(domains);
	if (!TAILQ_EMPTY(&domains->unsettled) || domains->sync.records.unswept > 0)
		work_add(domains, JOB_KNOWN, NULL, NULL);
	work_add(domains, JOB_RETRY, NULL, NULL);
	hold_sweep(&domains->sync);
}

static int create_bridge(struct domains *domains, struct api_error *error)
{
	static const enum bridge_mode mode[] = {
		[HOST_DOMAIN_NETNS] = BRIDGE_NETNS,
		[HOST_DOMAIN_TABLE] = BRIDGE_TABLE,
		[HOST_DOMAIN_VRF] = BRIDGE_VRF,
	};
	const struct node *node = domains->sync.node;
	const struct bridge_options options = {
		.base = domains->sync.base,
		.mode = mode[node->host_domain],
		.prefix = node->kernel_prefix,
		.run_dir = node->run_dir,
		.local_protocol = OUR_PROTOCOL,
		.callbacks = {domains, routes_learned, domain_synced, on_neighbor, domain_lost,
			on_taken, on_interface_made},
		.device_id = device_id,
	};
	return bridge_create(&domains->sync.bridge, &options, error);
}

// Own prefixes, and what a join with attributes brings; never what another session of the domain learned.
static void create_policy(struct domains *domains)
{
	const struct policy_rule announce = {
		.match = {.origins = POLICY_OWN | POLICY_JOINED}, .action = POLICY_ACCEPT};

	domains->announced.otherwise = POLICY_REJECT;
	policy_add(&domains->announced, policy_set_build(&announce, 1));
}

static int create_speakers(struct domains *domains, struct api_error *error)
{
	const struct node *node = domains->sync.node;
	const struct speakers_options options = {
		.base = domains->sync.base,
		.run_dir = node->run_dir,
		.launcher = node->speaker,
		.callbacks = {.ctx = domains,
			.session = on_session,
			.daemon = health_speaker,
			.route = on_static},
	};
	return speakers_create(&domains->sync.speakers, &options, error);
}

static int start(struct domains *domains, struct api_error *error)
{
	const struct dataplane_callbacks callbacks = {domains, on_connected, on_disconnected,
		on_found, on_ready, on_swept, on_port, on_needed, on_vrf_stats, on_episode, on_placed,
		on_hosted, on_lost, on_queue, on_describe, on_describe_route, on_state};
	const struct timeval grace = {GRACE_S, 0}, second = {1, 0};
	struct event_base *base = domains->sync.base;

	int result = partings_create(domains);
	if (result == 0)
		result = dataplane_create(&domains->sync.dataplane, base,
			domains->sync.node->dataplane.socket, &domains->sync.records, &callbacks);
	if (result == 0)
		result = create_bridge(domains, error);
	if (result == 0)
		result = create_speakers(domains, error);
	if (result != 0)
		return result;
	domains->work = evtimer_new(base, on_work, domains);
	domains->grace = evtimer_new(base, on_grace, domains);
	domains->tick = event_new(base, -1, EV_PERSIST, on_tick, domains);
	if (domains->work == NULL || domains->grace == NULL || domains->tick == NULL ||
		event_add(domains->grace, &grace) != 0 || event_add(domains->tick, &second) != 0)
		return -ENOMEM;
	return 0;
}

int domains_create(
	struct domains **out, const struct domains_options *options, struct api_error *error)
{
	struct domains *domains = calloc(1, sizeof(*domains));
	if (domains == NULL)
		return -ENOMEM;
	struct sync *sync = &domains->sync;
	sync->base = options->base;
	sync->node = options->node;
	sync->domains = domains;
	sync->route_limit = options->route_limit;
	sync->event = options->event;
	sync->event_ctx = options->event_ctx;
	sync->final = options->final;
	sync->adopted = options->adopted;
	sync->started = (uint64_t)time(NULL);
	sync->realised = TABLE_OF(struct realised, id);
	sync->tunnels = TABLE_OF(struct tunnel, id);
	sync->gateways = TABLE_OF(struct gateway, key);
	domains->domains = TABLE_OF(struct domain, id);
	domains->limiters = TABLE_OF(struct limiter, id);
	domains->hop_sets = TABLE_OF(struct hop_set, key);
	joins_create(domains);
	untold_create(domains);
	TAILQ_INIT(&domains->unsettled);
	TAILQ_INIT(&domains->health);
	sync->status = statuses_create();
	if (sync->status == NULL)
		abort();
	TAILQ_INIT(&domains->jobs);
	TAILQ_INIT(&domains->device_jobs);
	domains->view = node_view_create(options->node);
	domains->fragments = fragments_create(domains->view);
	records_init(&sync->records, on_changed, domains);
	sync->records.refusal = on_refusal;
	sync->records.routes_refused = on_routes_refused;
	sync->records.owner = (struct route_owner){next_route, on_released};
	nexthops_init(&sync->hops, &sync->records);
	create_policy(domains);
	int result = start(domains, error);
	if (result != 0) {
		domains_destroy(domains);
		return result;
	}
	*out = domains;
	return 0;
}

static void free_domain(void *ctx, void *entry)
{
	struct domain *domain = entry;
	struct end *end;

	limit_free(domain);
	prefixes_free(domain);
	while ((end = LIST_FIRST(&domain->ends)) != NULL) {
		LIST_REMOVE(end, entry);
		LIST_REMOVE(end->peer, entry);
		fragment_unref(end->memory[0].fragment);
		free(end->memory);
	}
	fragment_unref(domain->fragment);
	free(domain->attachments.item);
	free(domain);
}

static void free_realised(void *ctx, void *entry)
{
	struct realised *realised = entry;

	fragment_unref(realised->fragment);
	free(realised->session[0]);
	free(realised->session[1]);
	free(realised);
}

static void free_tunnel(void *ctx, void *entry)
{
	fragment_unref(((struct tunnel *)entry)->fragment);
	free(entry);
}

static void free_limiter(void *ctx, void *entry)
{
	fragment_unref(((struct limiter *)entry)->fragment);
	free(entry);
}

static void free_plain(void *ctx, void *entry)
{
	free(entry);
}

static void keep(void *owner, struct route *route)
{
}

void domains_destroy(struct domains *domains)
{
	struct sync *sync = &domains->sync;

	if (domains == NULL)
		return;
	sync->records.owner.released = keep; // all goes at once
	dataplane_destroy(sync->dataplane);
	speakers_destroy(sync->speakers);
	if (sync->bridge != NULL)
		bridge_destroy(sync->bridge);
	policy_clear(&domains->announced);
	counters_detach(sync);
	struct event *const timers[] = {domains->work, domains->grace, domains->tick};
	for (unsigned int i = 0; i < sizeof(timers) / sizeof(timers[0]); i++)
		if (timers[i] != NULL)
			event_free(timers[i]);
	work_free(domains);
	partings_free(domains);
	table_clear(&domains->domains, free_domain, NULL);
	table_clear(&domains->hop_sets, free_plain, NULL);
	joins_destroy(domains);
	untold_free(domains);
	table_clear(&domains->limiters, free_limiter, NULL);
	table_clear(&sync->episodes, free_plain, NULL);
	table_clear(&sync->realised, free_realised, NULL);
	table_clear(&sync->tunnels, free_tunnel, NULL);
	table_clear(&sync->gateways, free_plain, NULL);
	free(domains->candidates.item);
	free(domains->cores.item);
	nexthops_free(&sync->hops);
	records_free(&sync->records);
	fragments_destroy(domains->fragments);
	free(domains->view);
	statuses_destroy(sync->status);
	free(domains);
}
