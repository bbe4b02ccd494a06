// SPDX-License-Identifier: BSD-3-Clause

// The server: the socket file, who is let in, the tables of methods, the clock. One tick watches over all
// clients while there are any. Once a second the socket's file is looked at: a server without one is deaf, and somebody
// who tidied up in /run is no reason to restart.
//
// Who has no role is told so and never occupies a place. Places are limited per user and in all, and the last
// ones are kept for administrators, so that no other user's connections lock them out. Where none is left, a connection that
// nobody has used for a while gives its own up: the user's, or the one that has been idle for longest.

#include "control/rpc/server.h"

#include "control/api/methods.h"
#include "control/base/log.h"
#include "dataplane/wire/directory.h"

#include <event2/event.h>
#include <jansson.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define COUNT(array)     (sizeof(array) / sizeof((array)[0]))
#define BACKLOG          128
#define ACCEPTS_PER_TURN 16
#define RESERVED         8 // places that only administrators get

static uint32_t overflow_id(const char *path)
{
	FILE *file = fopen(path, "re");
	unsigned int id = 65534;

	if (file != NULL) {
		if (fscanf(file, "%u", &id) != 1)
			id = 65534;
		fclose(file);
	}
	return id;
}

static void fill_limits(struct rpc_limits *limits)
{
	const struct rpc_limits defaults = {
		.clients = 256,
		.clients_per_user = 64,
		.request_seconds = 10,
		.idle_seconds = 600,
		.spare_ms = 2000,
		.write_seconds = 10,
		.pending_calls = 16,
		.output_bytes = 256 * 1024,
		.events_kept = 1024,
	};

#define DEFAULT(member)          \
	if (limits->member == 0) \
	limits->member = defaults.member
	DEFAULT(clients);
	DEFAULT(clients_per_user);
	DEFAULT(request_seconds);
	DEFAULT(idle_seconds);
	DEFAULT(spare_ms);
	DEFAULT(write_seconds);
	DEFAULT(pending_calls);
	DEFAULT(output_bytes);
	DEFAULT(events_kept);
#undef DEFAULT
}

// --- letting in ----------------------------------------------------------------------------------------

// Says why and hangs up, without ever waiting for the other end.
static int turn_away(struct rpc_server *server, int fd, const struct api_error *error)
{
	json_t *object = refusal_json(error);
	char *line = json_dumps(object, JSON_COMPACT);

	json_decref(object);
	if (line != NULL) {
		size_t length = strlen(line);

		line[length] = '\n';
		send(fd, line, length + 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		free(line);
	}
	close(fd);
	server->counters.refused++;
	return -EACCES;
}

static unsigned int places_of(const struct rpc_server *server, const struct client *who)
{
	return server->options.limits.clients_per_user * (who->uid == 0 ? 2 : 1);
}

static bool user_is_full(const struct rpc_server *server, const struct client *who)
{
	const struct client *client;
	unsigned int mine = 0;

	TAILQ_FOREACH (client, &server->clients, entry)
		mine += client->uid == who->uid;
	return mine >= places_of(server, who);
}

static bool all_is_full(const struct rpc_server *server, const struct client *who)
{
	const struct rpc_limits *limits = &server->options.limits;
	unsigned int reserved = limits->clients > 2 * RESERVED ? RESERVED : 0;

	return server->counters.clients + (who->role == RPC_ADMIN ? 0 : reserved) >=
	       limits->clients;
}

// Of this user, or of any whom he may push out. NULL = everybody does something.
static struct client *longest_idle(
	const struct rpc_server *server, const struct client *who, bool same_user)
{
	struct client *client, *found = NULL;

	TAILQ_FOREACH (client, &server->clients, entry) {
		bool may = same_user ? client->uid == who->uid
				     : client->role != RPC_ADMIN || who->role == RPC_ADMIN;
		if (may && client_is_idle(client) &&
			(found == NULL || client->active < found->active))
			found = client;
	}
	return found != NULL && now_ms() - found->active >= server->options.limits.spare_ms
		       ? found
		       : NULL;
}

static bool has_place(struct rpc_server *server, const struct client *who)
{
	bool full = user_is_full(server, who);

	if (!full && !all_is_full(server, who))
		return true;
	struct client *idle = longest_idle(server, who, full);
	if (idle == NULL)
		return false;
	server->counters.cut_idle++;
	client_destroy(idle);
	return !user_is_full(server, who) && !all_is_full(server, who);
}

static void on_tick(evutil_socket_t fd, short what, void *ctx);

static void arm_tick(struct rpc_server *server)
{
	const struct timeval interval = {.tv_usec = 250000};

	if (!event_pending(server->tick, EV_TIMEOUT, NULL))
		event_add(server->tick, &interval);
}

int rpc_server_adopt(struct rpc_server *server, int fd)
{
	struct client who = {0};
	struct api_error error;
	int ret = peer_identify(server, fd, &who);

	if (ret < 0) {
		close(fd);
		return ret;
	}
	if (who.role == RPC_NONE) {
		api_fail(&error, API_DENIED, "roles are granted in the node file",
			"uid %u has no role on this control socket", who.uid);
		call_denied(server, who.uid, "connect", NULL, "has no role");
		return turn_away(server, fd, &error);
	}
	if (!has_place(server, &who)) {
		api_fail(&error, API_REFUSED, "close some, or try again later",
			"there are too many connections to the control socket");
		return turn_away(server, fd, &error);
	}
	ret = client_create(server, fd, &who);
	if (ret < 0) {
		close(fd);
		return ret;
	}
	server->counters.accepted++;
	arm_tick(server);
	return 0;
}

// When there are no descriptors left, who asks why still gets in: a few are kept for that.
static void spare_fill(struct rpc_server *server)
{
	for (unsigned int i = 0; i < SPARE_FILES; i++)
		if (server->spare[i] < 0)
			server->spare[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static bool spare_give(struct rpc_server *server)
{
	for (unsigned int i = 0; i < SPARE_FILES; i++) {
		if (server->spare[i] < 0)
			continue;
		close(server->spare[i]);
		server->spare[i] = -1;
		return true;
	}
	return false;
}

static void on_acceptable(evutil_socket_t listener, short what, void *ctx)
{
	struct rpc_server *server = ctx;

	for (unsigned int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			rpc_server_adopt(server, fd);
			continue;
		}
		if ((errno == EMFILE || errno == ENFILE) && spare_give(server))
			continue;
		// The listener stays readable, so leave it alone until the next tick.
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
			event_del(server->acceptable);
			arm_tick(server);
		}
		return;
	}
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
	struct rpc_server *server = ctx;
	struct client *client = TAILQ_FIRST(&server->clients);
	uint64_t now = now_ms();

	while (client != NULL) {
		struct client *next = TAILQ_NEXT(client, entry);

		client_check_time(client, now);
		client = next;
	}
	if (server->acceptable != NULL)
		event_add(server->acceptable, NULL);
	spare_fill(server);
	if (!TAILQ_EMPTY(&server->clients))
		arm_tick(server);
}

// --- the socket file -----------------------------------------------------------------------------------

static bool somebody_listens(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool answer =
		fd >= 0 && (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
				   errno == EAGAIN);

	if (fd >= 0)
		close(fd);
	return answer;
}

static int listen_at(struct rpc_server *server, const char *path, struct api_error *error)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	mode_t mode = server->options.mode == 0 ? 0660 : server->options.mode;
	struct stat status;

	if (strlen(path) >= sizeof(address.sun_path))
		return api_fail(error, API_INVALID, "use a path of at most 107 bytes",
			"the control socket's path is too long: %s", path);
	strcpy(address.sun_path, path);
	if (lstat(path, &status) == 0 && S_ISSOCK(status.st_mode)) {
		if (somebody_listens(&address))
			return api_fail(error, API_CONFLICT,
				"stop it, or set another socket in the node file",
				"another culvertd listens on %s", path);
		unlink(path);
	}
	directory_above(path, 0755);
	server->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	// The mode given before bind() is the file's from its first moment, less the umask.
	if (server->listener < 0 || fchmod(server->listener, mode) < 0 ||
		bind(server->listener, (struct sockaddr *)&address, sizeof(address)) < 0)
		return api_fail(error, API_REFUSED,
			"does its directory exist, and may culvertd write there?",
			"cannot make the control socket %s: %s", path, strerror(errno));
	if (server->path == NULL)
		server->path = strdup(path);
	if (server->path == NULL || stat(path, &status) < 0 || chmod(path, mode) < 0 ||
		(server->options.group != 0 && chown(path, (uid_t)-1, server->options.group) < 0) ||
		listen(server->listener, BACKLOG) < 0)
		return api_fail(error, API_REFUSED, NULL, "cannot set up the control socket %s: %s",
			path, strerror(errno));
	server->path_inode = status.st_ino;
	server->acceptable = event_new(server->options.base, server->listener, EV_READ | EV_PERSIST,
		on_acceptable, server);
	if (server->acceptable == NULL)
		return api_fail(error, API_INTERNAL, NULL, "out of memory");
	event_add(server->acceptable, NULL);
	return 0;
}

// A new socket under the old name; a bound socket cannot be given its name back. Who waits at the old one is let in.
static void listen_again(struct rpc_server *server)
{
	struct event *acceptable = server->acceptable;
	int listener = server->listener;
	struct api_error error = {0};

	server->acceptable = NULL;
	server->listener = -1;
	if (listen_at(server, server->path, &error) != 0) {
		if (server->listener >= 0)
			close(server->listener);
		server->listener = listener;
		server->acceptable = acceptable;
		if (!server->path_lost)
			log_error("rpc", error.message, log_text("hint", error.hint));
		server->path_lost = true;
		return;
	}
	server->path_lost = false;
	log_warning("rpc", "the control socket's file was gone, and is there again",
		log_text("path", server->path));
	on_acceptable(listener, 0, server);
	event_free(acceptable);
	close(listener);
}

static void on_watch(evutil_socket_t fd, short what, void *ctx)
{
	struct rpc_server *server = ctx;
	struct stat status;

	if (lstat(server->path, &status) != 0 && (errno == ENOENT || errno == ENOTDIR))
		listen_again(server);
}

static int watch(struct rpc_server *server, struct api_error *error)
{
	const struct timeval second = {.tv_sec = 1};

	server->watch = event_new(server->options.base, -1, EV_PERSIST, on_watch, server);
	if (server->watch == NULL || event_add(server->watch, &second) != 0)
		return api_fail(error, API_INTERNAL, NULL, "out of memory");
	return 0;
}

// --- tables --------------------------------------------------------------------------------------------

int rpc_server_add(struct rpc_server *server, const struct rpc_method *methods, void *ctx)
{
	void *ignored;

	if (server->table_count == COUNT(server->tables))
		return -ENOSPC;
	for (const struct rpc_method *method = methods; method->name != NULL; method++)
		if (method_find(server, method->name, &ignored) != NULL)
			return -EEXIST;
	server->tables[server->table_count++] =
		(struct method_table){.methods = methods, .ctx = ctx};
	return 0;
}

void rpc_server_describe(struct rpc_server *server, json_t *more)
{
	json_object_update(server->more, more);
	json_decref(more);
}

void rpc_server_counters(const struct rpc_server *server, struct rpc_counters *counters)
{
	*counters = server->counters;
}

// --- life ----------------------------------------------------------------------------------------------

int rpc_server_create(
	struct rpc_server **out, const struct rpc_options *options, struct api_error *error)
{
	struct rpc_server *server = calloc(1, sizeof(*server));
	int ret;

	if (server == NULL)
		return api_fail(error, API_INTERNAL, NULL, "out of memory");
	TAILQ_INIT(&server->clients);
	TAILQ_INIT(&server->calls);
	LIST_INIT(&server->users);
	TAILQ_INIT(&server->turns);
	for (unsigned int i = 0; i < SPARE_FILES; i++)
		server->spare[i] = -1;
	spare_fill(server);
	server->listener = -1;
	server->options = *options;
	fill_limits(&server->options.limits);
	server->overflow_uid = overflow_id("/proc/sys/kernel/overflowuid");
	server->overflow_gid = overflow_id("/proc/sys/kernel/overflowgid");
	server->more = json_object();
	server->grants = calloc(options->grant_count + 1, sizeof(*server->grants));
	server->events = calloc(server->options.limits.events_kept, sizeof(*server->events));
	server->tick = evtimer_new(options->base, on_tick, server);
	server->turn = evtimer_new(options->base, turns_run, server);
	ret = server->grants == NULL || server->events == NULL || server->tick == NULL ||
			      server->turn == NULL
		      ? api_fail(error, API_INTERNAL, NULL, "out of memory")
		      : 0;
	if (ret == 0 && options->grant_count > 0)
		memcpy(server->grants, options->grants,
			options->grant_count * sizeof(*server->grants));
	if (ret == 0)
		ret = rpc_server_add(server, builtin_methods, server);
	if (ret == 0 && options->path != NULL)
		ret = listen_at(server, options->path, error);
	if (ret == 0 && options->path != NULL)
		ret = watch(server, error);
	if (ret < 0) {
		rpc_server_destroy(server);
		return ret;
	}
	*out = server;
	return 0;
}

void rpc_server_destroy(struct rpc_server *server)
{
	struct call *call;
	struct stat status;

	if (server == NULL)
		return;
	while (!TAILQ_EMPTY(&server->clients))
		client_destroy(TAILQ_FIRST(&server->clients));
	while ((call = TAILQ_FIRST(&server->calls)) != NULL) {
		TAILQ_REMOVE(&server->calls, call, entry);
		call->server = NULL;
	}
	// Whoever is left here has calls under way.
	while (!LIST_EMPTY(&server->users)) {
		struct user *user = LIST_FIRST(&server->users);
		LIST_REMOVE(user, entry);
		user->server = NULL;
		user->queued = false;
	}
	while (spare_give(server))
		;
	if (server->acceptable != NULL)
		event_free(server->acceptable);
	if (server->tick != NULL)
		event_free(server->tick);
	if (server->watch != NULL)
		event_free(server->watch);
	if (server->turn != NULL)
		event_free(server->turn);
	// Only our own file: a successor may have put its own in the place.
	if (server->path != NULL && lstat(server->path, &status) == 0 &&
		status.st_ino == server->path_inode)
		unlink(server->path);
	if (server->listener >= 0)
		close(server->listener);
	events_destroy(server);
	json_decref(server->more);
	free(server->path);
	free(server->grants);
	free(server);
}
