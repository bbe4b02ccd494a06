// SPDX-License-Identifier: BSD-3-Clause
// The route thread with many routes, between a kernel that only says what it is told to say and a data plane that only
// acknowledges: N circuits (../model/generate.h) that bring R routes each, every one joined to a vNet of its own. Printed are
// memory, the time until the data plane has been told, the longest turn of the event loop (thread CPU time), what
// a port that goes and comes costs until all its paths have been sent, a page of 1,000 routes at both ends of the list, and
// whole lists as culvertctl asks for them.
// The kernel mirror (control/bridge) is not part of it.
//
//	bench-routes [CIRCUITS [ROUTES]]		default 10000 100

#include "control/domain/state.h"
#include "control/node.h"
#include "control/publication.h"
#include "control/rpc/answers/answers.h"
#include "control/store/store.h"
#include "dataplane/wire/link.h"
#include "tools/bench/model/generate.h"

#include <event2/event.h>

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void stop(const char *what, const char *why)
{
	fprintf(stderr, "bench-routes: %s: %s\n", what, why);
	exit(1);
}

static double clock_of(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

// --- a control socket ---------------------------------------------------------------------------------------

static json_t *answer;
static char *answer_text;
static size_t answer_length;

const char *rpc_string(const struct rpc_call *call, const char *name)
{
	return json_string_value(json_object_get(call->params, name));
}
int64_t rpc_integer(const struct rpc_call *call, const char *name, int64_t otherwise)
{
	return otherwise;
}
bool rpc_boolean(const struct rpc_call *call, const char *name, bool otherwise)
{
	return otherwise;
}
bool rpc_has(const struct rpc_call *call, const char *name)
{
	return json_object_get(call->params, name) != NULL;
}
unsigned int rpc_limit(const struct rpc_call *call)
{
	return API_PAGE_MAX;
}
bool rpc_cursor(struct rpc_call *call, uint64_t *cursor)
{
	const char *given = rpc_string(call, "cursor");

	*cursor = given != NULL ? strtoull(given, NULL, 10) : 0;
	return true;
}
void rpc_reply(struct rpc_call *call, json_t *result)
{
	answer = result;
}
void rpc_reply_text(struct rpc_call *call, char *text, size_t length)
{
	answer_text = text;
	answer_length = length;
}
void rpc_reply_list(struct rpc_call *call, json_t *items, const char *next)
{
	answer = json_pack("{s:o, s:s?}", "items", items, "next", next);
}
void rpc_fail(struct rpc_call *call, const struct api_error *error)
{
	stop("call", error->message);
}

// --- a kernel ----------------------------------------------------------------------------------------------

static struct bridge_callbacks kernel;

int bridge_create(
	struct bridge **bridge, const struct bridge_options *options, struct api_error *error)
{
	kernel = options->callbacks;
	*bridge = (struct bridge *)&kernel;
	return 0;
}
void bridge_destroy(struct bridge *bridge)
{
}
int bridge_domain_set(struct bridge *b, const struct bridge_domain *domain, struct api_error *error)
{
	return 0;
}
void bridge_domain_delete(struct bridge *bridge, uint32_t id)
{
}
int bridge_interface_set(
	struct bridge *b, const struct bridge_interface *i, struct api_error *error)
{
	return 0;
}
void bridge_interface_delete(struct bridge *bridge, uint32_t id)
{
}
int bridge_interface_queue(struct bridge *bridge, uint32_t id, int *fd, struct api_error *error)
{
	*fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	return *fd < 0 ? -errno : 0;
}
void bridge_interface_doubt(struct bridge *bridge, uint32_t id)
{
}

void bridge_interface_carried(struct bridge *bridge, uint32_t id, bool moved)
{
}

void bridge_interface_carrier(struct bridge *bridge, uint32_t id, bool up)
{
}
int bridge_neighbor_set(struct bridge *b, uint32_t interface, const struct ip_address *address)
{
	return 0;
}
void bridge_neighbor_delete(struct bridge *b, uint32_t interface, const struct ip_address *address)
{
}
void bridge_neighbor_probe(struct bridge *b, uint32_t interface, const struct ip_address *address)
{
}
int bridge_static_set(
	struct bridge *b, uint32_t domain, const struct bridge_static *routes, unsigned int count)
{
	return 0;
}
int bridge_domain_place(const struct bridge *bridge, uint32_t id, struct bridge_place *place)
{
	*place = (struct bridge_place){0};
	return 0;
}
int bridge_sweep(struct bridge *bridge, struct bridge_sweep *sweep, struct api_error *error)
{
	return 0;
}
void bridge_preview(struct bridge *bridge, struct bridge_preview *preview)
{
}
void bridge_owner_set(struct bridge *bridge, const uint8_t store[16], const char *edge)
{
}
void bridge_claims(struct bridge *bridge, struct bridge_claims *claims)
{
	*claims = (struct bridge_claims){.ours = 0};
}
void bridge_adopt(struct bridge *bridge)
{
}
void bridge_counters(const struct bridge *bridge, struct bridge_counters *counters)
{
	memset(counters, 0, sizeof(*counters));
}
int speakers_create(
	struct speakers **speakers, const struct speakers_options *options, struct api_error *error)
{
	*speakers = (struct speakers *)&kernel;
	return 0;
}
void speakers_destroy(struct speakers *speakers)
{
}
int speakers_domain_set(
	struct speakers *s, const struct speaker_domain *domain, struct api_error *error)
{
	return 0;
}
void speakers_domain_delete(struct speakers *speakers, uint32_t id)
{
}
int speakers_session_set(
	struct speakers *s, const struct speaker_session *session, struct api_error *error)
{
	return 0;
}
void speakers_session_end(struct speakers *speakers, uint32_t id, const char *why)
{
}

const struct speaker_remark *speakers_remarks(
	struct speakers *speakers, uint32_t id, unsigned int *count)
{
	*count = 0;
	return NULL;
}

void speakers_session_delete(struct speakers *speakers, uint32_t id)
{
}
int speakers_announce(
	struct speakers *s, uint32_t domain, const struct speaker_group *groups, unsigned int count)
{
	return 0;
}
int speakers_ask(struct speakers *s, uint32_t session, enum speaker_question question,
	speaker_row row, speaker_done done, void *ctx)
{
	return -ENOENT;
}
void speakers_restore(struct speakers *s, uint32_t domain)
{
}

int speakers_clear(struct speakers *s, uint32_t session, bool soft, speaker_done done, void *ctx)
{
	return -ENOENT;
}
void speakers_sweep(struct speakers *speakers)
{
}
void speakers_counters(const struct speakers *speakers, struct speaker_counters *counters)
{
	memset(counters, 0, sizeof(*counters));
}
void event_session(struct sync *sync, const struct realised_session *session,
	const struct speaker_state *old, const struct speaker_state *new)
{
}
void event_port(struct sync *sync, uint32_t port)
{
}

// --- a data plane that takes everything ----------------------------------------------------------------------

static struct wire_listener *listener;
static struct wire_link *plane;
static struct wire_message in, out;
static size_t records_of[64]; // by type

static void say(const void *record, uint16_t type, uint64_t seq)
{
	wire_message_start(&out, type, seq);
	if (record != NULL)
		wire_message_add(&out, record);
	if (wire_send(plane, &out, NULL, 0) != 0)
		stop("data plane", "cannot send");
}

static void say_port(uint32_t port, bool up)
{
	struct wire_port record = {.port = port, .mtu = 9000, .up = up, .mac = {2}};
	snprintf(record.name, sizeof(record.name), port < 4 ? "wan%u" : "core0", port);
	say(&record, WIRE_PORT, 0);
}

static void take(void)
{
	if (in.header.type != WIRE_HELLO) {
		records_of[in.header.type & 63] += in.header.count;
		say(NULL, WIRE_ACK, in.header.seq);
		return;
	}
	const struct wire_hello hello = {.instance = 1, .version = "bench"};
	say(&hello, WIRE_HELLO, 0);
	for (uint32_t port = 0; port < 5; port++)
		say_port(port, true);
}

static void plane_turn(void)
{
	int fds[WIRE_FDS_MAX];
	unsigned int count;

	if (plane == NULL && wire_accept(listener, NULL, &plane) <= 0)
		return;
	wire_link_flush(plane);
	while (plane != NULL && wire_receive(plane, &in, fds, &count) == 1) {
		while (count > 0)
			close(fds[--count]);
		take();
	}
}

// --- the route thread ----------------------------------------------------------------------------------------

static struct domains *domains;
static struct sync *sync_;
static struct event_base *base;
static double longest, busy; // ms of thread CPU time
static unsigned int turns;

static void turn(void)
{
	double start = clock_of(CLOCK_THREAD_CPUTIME_ID);
	event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	double took = clock_of(CLOCK_THREAD_CPUTIME_ID) - start;
	longest = took > longest ? took : longest;
	busy += took;
	turns++;
	plane_turn();
}

static void reset(void)
{
	longest = busy = 0;
	turns = 0;
}

static void tell(const char *what)
{
	printf("%-44s %9.1f ms, longest turn %6.2f ms\n", what, busy, longest);
	reset();
}

static bool all_told(void)
{
	return domains_idle(domains) && dataplane_idle(sync_->dataplane) &&
	       dataplane_status(sync_->dataplane)->state == DATAPLANE_SYNCED;
}

#define UNTIL(condition)                                           \
	do {                                                       \
		double until_ = clock_of(CLOCK_MONOTONIC) + 300e3; \
		while (!(condition)) {                             \
			turn();                                    \
			if (clock_of(CLOCK_MONOTONIC) > until_)    \
				stop("never", #condition);         \
		}                                                  \
	} while (0)

static LIST_OF(struct intent_domain) wanted; // domains

static void note_domains(void *ctx, const struct fragment *fragment)
{
	for (unsigned int i = 0; i < fragment->domains.count; i++)
		*(struct intent_domain *)APPEND(wanted) = fragment->domains.item[i];
}

static void synced_all(void)
{
	fragments_each(domains_fragments(domains), note_domains, NULL);
	for (unsigned int i = 0; i < wanted.count; i++)
		kernel.synced(kernel.ctx, wanted.item[i].id);
}

static void bring(unsigned int routes)
{
	struct bridge_route route = {.protocol = 12, .metric = 32, .count = 1};

	ip_address_parse("169.254.10.1", &route.nexthop[0].via);
	route.nexthop[0].weight = 1;
	route.prefix = (struct ip_prefix){.address = {.family = 4}, .len = 24};
	for (unsigned int i = 0; i < wanted.count; i++) {
		if (wanted.item[i].kind != INTENT_PEERING)
			continue;
		for (unsigned int r = 0; r < routes; r++) {
			route.prefix.address.bytes[0] = (uint8_t)(20 + r / 65536);
			route.prefix.address.bytes[1] = (uint8_t)(r / 256);
			route.prefix.address.bytes[2] = (uint8_t)r;
			double start = clock_of(CLOCK_THREAD_CPUTIME_ID);
			kernel.route(kernel.ctx, wanted.item[i].id, &route, true);
			busy += clock_of(CLOCK_THREAD_CPUTIME_ID) - start;
			if (r % 64 == 63)
				turn();
		}
	}
}

static size_t memory(void)
{
	struct mallinfo2 info = mallinfo2();
	return info.uordblks + info.hblkhd;
}

// All pages of a list: what the route thread has to do for it, their text included. Sending them is the main thread's.
static void list(const char *what, void (*method)(struct rpc_call *call))
{
	struct rpc_call call = {.ctx = sync_, .params = json_object()};
	double sum = 0, slowest = 0;
	size_t items = 0;
	bool more = true;

	while (more) {
		double start = clock_of(CLOCK_THREAD_CPUTIME_ID);
		answer = NULL;
		method(&call);
		double took = clock_of(CLOCK_THREAD_CPUTIME_ID) - start;
		sum += took;
		slowest = took > slowest ? took : slowest;
		if (answer_text != NULL)
			answer = json_loadb(answer_text, answer_length, 0, NULL);
		free(answer_text);
		answer_text = NULL;
		items += json_array_size(json_object_get(answer, "items"));
		json_t *next = json_object_get(answer, "next");
		more = json_is_string(next);
		if (more)
			json_object_set(call.params, "cursor", next);
		json_decref(answer);
	}
	json_decref(call.params);
	printf("%-44s %9.2f ms, %zu items, longest page %.2f ms\n", what, sum, items, slowest);
}

static void page(const char *what, uint32_t from)
{
	unsigned int left = 1000;
	double start = clock_of(CLOCK_THREAD_CPUTIME_ID);

	for (unsigned int i = from; i < wanted.count && left > 0; i++) {
		struct route_info info;
		bool more = domain_next(domains, wanted.item[i].id, NULL, &info);
		for (; more && left > 0; left--) {
			const struct ip_prefix last = info.prefix;
			more = domain_next(domains, wanted.item[i].id, &last, &info);
		}
	}
	printf("%-44s %9.2f ms\n", what, clock_of(CLOCK_THREAD_CPUTIME_ID) - start);
}

// --- configuration -------------------------------------------------------------------------------------------

static struct publication *configure(unsigned int circuits, const char *directory)
{
	char *text = bench_configuration(circuits), path[96];
	struct findings findings = {0};
	struct store_state state = {0};
	struct api_error error = {0};
	struct model *model = NULL;
	struct ids *ids = NULL;
	struct store *store;

	snprintf(path, sizeof(path), "%s/store.db", directory);
	const struct store_options options = {.path = path};
	if (store_open(&store, &options, &error) != 0 ||
		store_load(store, &state, &findings, &error) != 0)
		stop("store", error.message);
	if (model_parse(state.model, text, strlen(text), "bench", &model, &findings) != 0)
		stop("model", findings.item[0].message);
	const struct store_commit commit = {
		.old = state.model, .new = model, .actor = "bench", .verb = "bench"};
	struct publication *publication = calloc(1, sizeof(*publication));
	if (publication == NULL ||
		store_commit(store, &commit, &publication->revision, &ids, &error) != 0)
		stop("store", error.message);
	publication->references = 1;
	publication->model = model;
	publication->ids = ids;
	memcpy(publication->store, state.uuid, sizeof(state.uuid));
	store_close(store);
	model_unref(state.model);
	ids_unref(state.ids);
	free(text);
	return publication;
}

static void clean(const char *directory)
{
	static const char *const names[] = {
		"store.db", "store.db-wal", "store.db-shm", "store.db.key", "dataplane.sock"};
	char path[96];

	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		unlink(path);
	}
	rmdir(directory);
}

static void port(bool up)
{
	size_t paths = records_of[WIRE_PATH_SET];
	char what[64];

	for (uint32_t i = 0; i < 4; i++)
		say_port(i, up);
	double start = clock_of(CLOCK_MONOTONIC);
	UNTIL(records_of[WIRE_PATH_SET] >= paths + sync_->realised.count - 1);
	snprintf(what, sizeof(what), "ports %s, %zu attachments: paths sent", up ? "up" : "down",
		sync_->realised.count - 1);
	printf("%-44s %9.1f ms\n", what, clock_of(CLOCK_MONOTONIC) - start);
	UNTIL(all_told());
	tell("... everything");
}

int main(int argc, char **argv)
{
	unsigned int circuits = argc > 1 ? (unsigned int)atoi(argv[1]) : 10000;
	unsigned int routes = argc > 2 ? (unsigned int)atoi(argv[2]) : 100;
	char directory[] = "/tmp/bench-routes-XXXXXX", socket[96];
	struct node node = {.edge = "ams1", .kernel_prefix = "bench", .run_dir = "/nonexistent"};
	struct node_port ports[5] = {{.name = "wan0", .device = "wan0"},
		{.name = "wan1", .device = "wan1"}, {.name = "wan2", .device = "wan2"},
		{.name = "wan3", .device = "wan3"}, {.name = "core0", .device = "core0"}};
	struct api_error error = {0};

	if (mkdtemp(directory) == NULL)
		stop(directory, strerror(errno));
	snprintf(socket, sizeof(socket), "%s/dataplane.sock", directory);
	node.ports.count = 5;
	node.ports.item = ports;
	node.dataplane.socket = socket;
	struct publication *publication = configure(circuits, directory);
	size_t start = memory();
	base = event_base_new();
	const struct domains_options options = {.base = base, .node = &node};
	if (wire_listen(socket, getuid(), &listener) != 0 ||
		domains_create(&domains, &options, &error) != 0)
		stop("start", error.message);
	sync_ = domains_sync(domains);
	domains_publish(domains, publication);
	UNTIL(sync_->ready && domains_idle(domains));
	synced_all();
	UNTIL(all_told());
	tell("configuration, first fill");
	reset();
	size_t before = memory();
	printf("%-44s %9.1f MB\n", "memory of it", (double)(before - start) / 1e6);
	bring(routes);
	UNTIL(all_told());
	tell("all routes learned, decided, told");
	printf("%-44s %9.1f MB, %.0f bytes a route\n", "memory of them",
		(double)(memory() - before) / 1e6, (double)(memory() - before) / circuits / routes);
	page("first page of 1,000 routes", 0);
	page("last page of 1,000 routes", wanted.count - 1 - 1000 / (routes + 2));
	list("all of circuit list", method_circuit_status);
	list("all of peering status", method_peering_status);
	list("all of neighbor list", method_neighbor_list);
	list("all of drops", method_drops);
	wire_link_close(plane);
	plane = NULL;
	memset(records_of, 0, sizeof(records_of));
	UNTIL(plane != NULL);
	UNTIL(all_told());
	tell("told again to the same data plane");
	printf("%-44s %9zu\n", "... routes", records_of[WIRE_ROUTE_SET]);
	port(false);
	port(true);
	domains_destroy(domains);
	wire_link_close(plane);
	wire_listener_close(listener);
	event_base_free(base);
	clean(directory);
	return 0;
}
