// SPDX-License-Identifier: BSD-3-Clause
// The routing bridge and the speakers without a culvertd around them: one JSON object a line on standard input is a call, one a line
// on standard output is an answer ({"done": ..}) or a callback ({"event": ..}). Queues of host interfaces go out
// over a unix socket whose number is the second argument, so that the test can play the data plane and survive
// this process.
//	bridge-drive OPTIONS-JSON FD

#include "control/bridge/bridge.h"
#include "tests/net/drive.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>
#include <jansson.h>

struct drive {
	struct bridge *bridge;
	struct speakers *speakers;
	struct event_base *base;
	int fds; // where queues are sent
	size_t filled;
	bool quiet; // routes are counted only
	unsigned long present, absent;
	unsigned long told, most; // routes in this turn of the loop, and in the one that had most
	uint64_t longest;         // ns between two turns of the loop
	uint64_t last;
	char line[1 << 20];
};

void drive_say(json_t *object)
{
	char *text = json_dumps(object, JSON_COMPACT);

	puts(text);
	fflush(stdout);
	free(text);
	json_decref(object);
}

static void on_route(void *ctx, uint32_t domain, const struct bridge_route *route, bool present)
{
	struct drive *drive = ctx;
	char prefix[IP_TEXT_MAX], via[IP_TEXT_MAX];
	json_t *hops = json_array();

	drive->present += present;
	drive->absent += !present;
	drive->told++;
	for (unsigned int i = 0; !drive->quiet && i < route->count; i++)
		json_array_append_new(
			hops, json_pack("{s:s,s:I,s:i}", "via",
				      ip_address_format(&route->nexthop[i].via, via), "interface",
				      (json_int_t)route->nexthop[i].interface, "weight",
				      route->nexthop[i].weight));
	if (drive->quiet) {
		json_decref(hops);
		return;
	}
	drive_say(json_pack("{s:s,s:I,s:s,s:b,s:i,s:b,s:o}", "event", "route", "domain",
		(json_int_t)domain, "prefix", ip_prefix_format(&route->prefix, prefix), "present",
		present, "protocol", route->protocol, "blackhole", route->blackhole, "hops", hops));
}

static void on_synced(void *ctx, uint32_t domain)
{
	drive_say(json_pack("{s:s,s:I}", "event", "synced", "domain", (json_int_t)domain));
}

static void on_neighbor(
	void *ctx, uint32_t interface, const struct ip_address *address, const uint8_t *mac)
{
	char text[IP_TEXT_MAX], hex[18] = "";

	if (mac)
		snprintf(hex, sizeof(hex), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
			mac[3], mac[4], mac[5]);
	drive_say(json_pack("{s:s,s:I,s:s,s:s}", "event", "neighbor", "interface",
		(json_int_t)interface, "address", ip_address_format(address, text), "mac", hex));
}

static void on_interface_made(void *ctx, uint32_t interface)
{
	drive_say(json_pack("{s:s,s:I}", "event", "made", "interface", (json_int_t)interface));
}

static void on_lost(void *ctx, uint32_t domain)
{
	drive_say(json_pack("{s:s,s:I}", "event", "lost", "domain", (json_int_t)domain));
}

static void on_taken(void *ctx, uint32_t domain)
{
	speakers_restore(((struct drive *)ctx)->speakers, domain);
}

uint32_t drive_number(const json_t *call, const char *name)
{
	return (uint32_t)json_integer_value(json_object_get(call, name));
}

const char *drive_text(const json_t *call, const char *name)
{
	return json_string_value(json_object_get(call, name));
}

struct ip_address drive_address(const json_t *call, const char *name)
{
	struct ip_address address = {0};
	const char *value = drive_text(call, name);

	if (value && ip_address_parse(value, &address))
		abort();
	return address;
}

static int do_interface(struct drive *drive, const json_t *call, struct api_error *error)
{
	struct bridge_interface interface = {
		.id = drive_number(call, "id"),
		.domain = drive_number(call, "domain"),
		.name = drive_text(call, "name"),
		.tun = json_is_true(json_object_get(call, "tun")),
		.mac = {2, 0, 0, 0, 0, (uint8_t)drive_number(call, "id")},
		.mtu = 1500,
	};
	const json_t *list = json_object_get(call, "addresses");

	for (size_t i = 0; i < json_array_size(list) && i < 4; i++) {
		struct bridge_interface_address *address =
			&interface.address[interface.addresses++];
		if (ip_prefix_host_parse(json_string_value(json_array_get(list, i)),
			    &address->address, &address->len))
			abort();
	}
	return bridge_interface_set(drive->bridge, &interface, error);
}

static int do_queue(struct drive *drive, const json_t *call, struct api_error *error)
{
	int fd;
	int err = bridge_interface_queue(drive->bridge, drive_number(call, "id"), &fd, error);

	if (err)
		return err;
	char space[CMSG_SPACE(sizeof(int))] = {0}, byte = 'q';
	struct iovec iovec = {&byte, 1};
	struct msghdr message = {.msg_iov = &iovec,
		.msg_iovlen = 1,
		.msg_control = space,
		.msg_controllen = sizeof(space)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	*header = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS,
		.cmsg_len = CMSG_LEN(sizeof(int))};
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	err = sendmsg(drive->fds, &message, 0) == 1 ? 0 : -1;
	close(fd);
	return err;
}

static int do_static(struct drive *drive, const json_t *call)
{
	struct bridge_static routes[64];
	const json_t *list = json_object_get(call, "routes");
	unsigned int count = 0;

	for (; count < json_array_size(list) && count < 64; count++) {
		const json_t *route = json_array_get(list, count);
		routes[count].via = drive_address(route, "via");
		if (ip_prefix_parse(drive_text(route, "prefix"), &routes[count].prefix))
			abort();
	}
	return bridge_static_set(drive->bridge, drive_number(call, "domain"), routes, count);
}

// As culvertd does it: the speaker lives where the bridge has put the domain.
static int do_domain(struct drive *drive, const json_t *call, struct api_error *error)
{
	const struct bridge_domain domain = {drive_number(call, "id"), drive_text(call, "name")};
	struct bridge_place place;
	int err = bridge_domain_set(drive->bridge, &domain, error);

	if (err == 0)
		err = bridge_domain_place(drive->bridge, domain.id, &place);
	if (err != 0 || domain.id == BRIDGE_UNDERLAY)
		return err;
	const struct speaker_domain served = {.id = domain.id,
		.kind = json_is_true(json_object_get(call, "static")) ? SPEAKER_STATIC
								      : SPEAKER_BIRD,
		.name = domain.name,
		.instance = place.shared ? "domains" : domain.name,
		.shared = place.shared,
		.netns = place.netns,
		.netns_fd = place.netns_fd,
		.kernel_table = place.kernel_table};
	return speakers_domain_set(drive->speakers, &served, error);
}

static void do_counters(struct drive *drive)
{
	struct speaker_counters speakers;
	struct bridge_counters c;

	bridge_counters(drive->bridge, &c);
	speakers_counters(drive->speakers, &speakers);
	drive_say(json_pack("{s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "event",
		"counters", "drift_last", c.drift_last, "messages", (json_int_t)c.route_messages,
		"overruns", (json_int_t)c.overruns, "resyncs", (json_int_t)c.resyncs, "dumps",
		(json_int_t)c.dumps, "drift", (json_int_t)c.drift, "quarantined",
		(json_int_t)speakers.quarantined, "present", (json_int_t)drive->present, "absent",
		(json_int_t)drive->absent, "longest_us", (json_int_t)(drive->longest / 1000),
		"most", (json_int_t)drive->most));
	drive->longest = drive->most = 0;
}

static bool was_deleted(void *ctx, uint32_t domain, const char *interface)
{
	const json_t *list = json_object_get(ctx, "deleted");

	for (size_t i = 0; domain && i < json_array_size(list); i++)
		if (json_integer_value(json_array_get(list, i)) == (json_int_t)domain)
			return true;
	return interface && json_is_true(json_object_get(ctx, "deleted_interfaces"));
}

static int do_sweep(struct drive *drive, const json_t *call, struct api_error *error)
{
	struct bridge_sweep sweep = {.force = json_is_true(json_object_get(call, "force")),
		.deleted = was_deleted,
		.ctx = (json_t *)call};
	int err;

	do
		err = bridge_sweep(drive->bridge, &sweep, error);
	while (err == 1);

	if (err == 0)
		speakers_sweep(drive->speakers);

	drive_say(json_pack("{s:s,s:I,s:I}", "event", "swept", "domains", (json_int_t)sweep.domains,
		"interfaces", (json_int_t)sweep.interfaces));
	return err;
}

static void do_owner(struct drive *drive, const json_t *call)
{
	uint8_t store[16];

	memset(store, (int)drive_number(call, "store"), sizeof(store));
	bridge_owner_set(drive->bridge, store, drive_text(call, "edge"));
}

static void do_claims(struct drive *drive)
{
	struct bridge_claims claims;

	bridge_claims(drive->bridge, &claims);
	drive_say(json_pack("{s:s,s:I,s:I,s:I,s:I,s:s}", "event", "claims", "ours",
		(json_int_t)claims.ours, "foreign", (json_int_t)claims.foreign, "domains",
		(json_int_t)claims.domains, "interfaces", (json_int_t)claims.interfaces, "edge",
		claims.edge));
}

static int call_one(struct drive *drive, const json_t *call, struct api_error *error)
{
	const char *what = drive_text(call, "do");
	struct bridge *bridge = drive->bridge;
	uint32_t id = drive_number(call, "id");
	struct ip_address address = drive_address(call, "address");

	if (strcmp(what, "domain") == 0)
		return do_domain(drive, call, error);
	if (strcmp(what, "domain-delete") == 0)
		return speakers_domain_delete(drive->speakers, id),
		       bridge_domain_delete(bridge, id), 0;
	if (strcmp(what, "interface") == 0)
		return do_interface(drive, call, error);
	if (strcmp(what, "interface-delete") == 0)
		return bridge_interface_delete(bridge, id), 0;
	if (strcmp(what, "queue") == 0)
		return do_queue(drive, call, error);
	if (strcmp(what, "carrier") == 0)
		return bridge_interface_carrier(
			       bridge, id, json_is_true(json_object_get(call, "up"))),
		       0;
	if (strcmp(what, "carried") == 0)
		return bridge_interface_carried(
			       bridge, id, json_is_true(json_object_get(call, "moved"))),
		       0;
	if (strcmp(what, "patch") == 0)
		return bridge_patch_set(bridge, drive_number(call, "a"), drive_number(call, "b"),
			&(struct bridge_patch){0}, error);
	if (strcmp(what, "patch-delete") == 0)
		return bridge_patch_delete(bridge, drive_number(call, "a"), drive_number(call, "b")),
		       0;
	if (strcmp(what, "neighbor") == 0)
		return bridge_neighbor_set(bridge, id, &address);
	if (strcmp(what, "neighbor-delete") == 0)
		return bridge_neighbor_delete(bridge, id, &address), 0;
	if (strcmp(what, "neighbor-probe") == 0)
		return bridge_neighbor_probe(bridge, id, &address), 0;
	if (strcmp(what, "static") == 0)
		return do_static(drive, call);
	if (strcmp(what, "sweep") == 0)
		return do_sweep(drive, call, error);
	if (strcmp(what, "owner") == 0)
		return do_owner(drive, call), 0;
	if (strcmp(what, "claims") == 0)
		return do_claims(drive), 0;
	if (strcmp(what, "adopt") == 0)
		return bridge_adopt(bridge), 0;
	if (strcmp(what, "counters") == 0)
		return do_counters(drive), 0;
	if (strcmp(what, "stop-reading") == 0) // the loop is kept busy: netlink events pile up
		return usleep(drive_number(call, "us")), 0;
	return drive_speakers(drive->speakers, call, error);
}

static void on_input(evutil_socket_t fd, short what, void *ctx)
{
	struct drive *drive = ctx;
	ssize_t n = read(fd, drive->line + drive->filled, sizeof(drive->line) - drive->filled - 1);
	char *newline;

	if (n <= 0) {
		event_base_loopbreak(drive->base);
		return;
	}
	drive->filled += (size_t)n;
	drive->line[drive->filled] = '\0';
	while ((newline = strchr(drive->line, '\n')) != NULL) {
		struct api_error error = {0};
		json_error_t where;
		json_t *call = json_loadb(drive->line, (size_t)(newline - drive->line), 0, &where);
		if (call == NULL)
			abort();
		int result = call_one(drive, call, &error);
		drive_say(json_pack("{s:s,s:i,s:s}", "done", drive_text(call, "do"), "result",
			result, "error", error.message));
		json_decref(call);
		drive->filled -= (size_t)(newline + 1 - drive->line);
		memmove(drive->line, newline + 1, drive->filled + 1);
		drive->last = 0;
	}
}

static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int main(int argc, char **argv)
{
	struct drive *drive = calloc(1, sizeof(*drive));
	struct api_error error = {0};
	json_error_t where;
	json_t *given = argc == 3 ? json_loads(argv[1], 0, &where) : NULL;

	if (drive == NULL || given == NULL)
		return 2;
	drive->base = event_base_new();
	drive->fds = atoi(argv[2]);
	drive->quiet = json_is_true(json_object_get(given, "quiet"));
	struct bridge_options options = {
		.base = drive->base,
		.mode = (enum bridge_mode)drive_number(given, "mode"),
		.prefix = drive_text(given, "prefix"),
		.run_dir = drive_text(given, "run_dir"),
		.local_protocol = 67,
		.callbacks = {drive, on_route, on_synced, on_neighbor, on_lost, on_taken, on_interface_made},
		.check_interval = drive_number(given, "check_interval"),
		.receive_buffer = drive_number(given, "receive_buffer"),
	};
	if (bridge_create(&drive->bridge, &options, &error) ||
		drive_speakers_create(&drive->speakers, drive->base, given, &error)) {
		drive_say(json_pack(
			"{s:s,s:i,s:s}", "done", "create", "result", -1, "error", error.message));
		return 1;
	}
	drive_say(json_pack("{s:s,s:i,s:s}", "done", "create", "result", 0, "error", ""));
	struct event *input =
		event_new(drive->base, STDIN_FILENO, EV_READ | EV_PERSIST, on_input, drive);
	event_add(input, NULL);
	// One turn at a time, so that the longest can be told. Processor time: the machine may be busy with others.
	while (!event_base_got_break(drive->base)) {
		uint64_t start = cpu_ns();
		drive->last = start;
		drive->told = 0;
		if (event_base_loop(drive->base, EVLOOP_ONCE) < 0)
			break;
		uint64_t took = cpu_ns() - start;
		if (drive->last && took > drive->longest)
			drive->longest = took;
		drive->most = drive->told > drive->most ? drive->told : drive->most;
	}
	event_free(input);
	speakers_destroy(drive->speakers);
	bridge_destroy(drive->bridge);
	event_base_free(drive->base);
	json_decref(given);
	free(drive);
	return 0;
}
