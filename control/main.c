/* SPDX-License-Identifier: BSD-3-Clause */
// culvertd: reads the node file, opens the store, starts its three threads and waits for a signal.
//
// Main thread: model and control socket. Route thread: kernel, speakers and the data plane's socket. Store
// thread: SQLite and the parsing of whole files. Nothing outside is needed to start: a data plane, a
// speaker or a port that is not there yet is waited for in the background and shown by `status`. Ending
// changes nothing outside either: traffic, sessions and kernel objects stay, for the next culvertd to find.

#include "dataplane/wire/log_out.h"
#include "dataplane/wire/signals.h"
#include "control/api/json_pool.h"
#include "control/api/methods.h"
#include "control/api/text.h"
#include "control/base/log.h"
#include "control/domain/domain.h"
#include "control/model/model.h"
#include "control/node.h"
#include "control/notify.h"
#include "control/publication.h"
#include "control/roles.h"
#include "control/rpc/answers/methods.h"
#include "control/rpc/rpc.h"
#include "control/rpc/verbs.h"
#include "control/service.h"
#include "control/status/status.h"
#include "control/storage.h"
#include "control/store/store.h"
#include "control/thread.h"

#include <event2/event.h>
#include <jansson.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define NODE_FILE "/etc/culvert/node.yaml"

struct daemon {
	struct node *node;
	struct thread *main, *route, *store;
	struct service *service;
	struct publication_slot published; // for the route thread
	struct domains *domains;
	struct health *health;
	struct rpc_server *server;
	struct rpc_grant *grants;
	struct event *signals[2];
};

static void report(const struct api_error *error)
{
	log_say("error: %s", error->message);
	if (error->hint[0] != '\0')
		log_say("hint: %s", error->hint);
}

// --- between the threads -------------------------------------------------------------------------------

static void deliver(void *arg)
{
	struct daemon *daemon = arg;
	struct publication *publication = publication_take(&daemon->published);
	if (publication != NULL && daemon->domains != NULL)
		domains_publish(daemon->domains, publication);
	else
		publication_unref(publication);
}

static void publish(void *ctx, struct publication *publication)
{
	struct daemon *daemon = ctx;
	log_info("main", "model", log_number("revision", (int64_t)publication->revision));
	if (publication_put(&daemon->published, publication))
		post(daemon->route, deliver, daemon);
}

static void run_call(void *arg)
{
	rpc_call_run(arg);
}

static void finish_call(void *arg)
{
	rpc_call_finish(arg);
}

static void forward(void *ctx, struct rpc_call *call)
{
	post(((struct daemon *)ctx)->route, run_call, call);
}

static void ran(void *ctx, void *user)
{
	post(((struct daemon *)ctx)->main, rpc_ran, user);
}

static void back(void *ctx, struct rpc_call *call)
{
	post(((struct daemon *)ctx)->main, finish_call, call);
}

struct news {
	struct daemon *daemon;
	const char *topic;
	json_t *data;
};

static void note_session(struct daemon *daemon, const json_t *data)
{
	const char *object = json_string_value(json_object_get(data, "object"));
	const char *state = json_string_value(json_object_get(data, "state"));

	if (object != NULL && state != NULL && strncmp(object, "session/", 8) == 0)
		service_session(daemon->service, object + 8, strcmp(state, "established") == 0);
}

static void tell_news(void *arg)
{
	struct news *news = arg;
	if (strcmp(news->topic, "state") == 0)
		note_session(news->daemon, news->data);
	if (news->daemon->server != NULL)
		rpc_event(news->daemon->server, news->topic, news->data);
	else
		json_decref(news->data);
	free(news);
}

static void log_session(const json_t *data)
{
	log_info("main", "session",
		log_text("peering", json_string_value(json_object_get(data, "peering"))),
		log_text("link", json_string_value(json_object_get(data, "link"))),
		log_text("state", json_string_value(json_object_get(data, "state"))),
		log_number("family", json_integer_value(json_object_get(data, "family"))));
}

// From the route thread; the topic is a literal.
static void on_event(void *ctx, const char *topic, json_t *data)
{
	struct daemon *daemon = ctx;
	if (strcmp(topic, "session") == 0)
		log_session(data);
	struct news *news = malloc(sizeof(*news));
	if (news == NULL)
		abort();
	*news = (struct news){daemon, topic, data};
	post(daemon->main, tell_news, news);
}

static void audit(
	void *ctx, const char *actor, const char *verb, const char *object, const char *result)
{
	struct daemon *daemon = ctx;
	if (daemon->service != NULL)
		service_audit(daemon->service, actor, verb, object, result);
}

// From the route thread.
static void finals_stored(void *ctx, json_t *list, bool stored)
{
	struct daemon *daemon = ctx;
	if (daemon->domains != NULL)
		domains_finals_stored(daemon->domains, list, stored);
	else
		json_decref(list);
}

static void on_finals(void *ctx, json_t *list)
{
	service_finals(((struct daemon *)ctx)->service, list, finals_stored, ctx);
}

static void on_place(void *ctx, const struct store_place *place)
{
	struct daemon *daemon = ctx;
	if (daemon->domains != NULL)
		storage_tell(
			domains_statuses(daemon->domains), daemon->node->store, place);
}

static void on_adopted(void *ctx)
{
	service_accept(((struct daemon *)ctx)->service);
}

static uint64_t revision(void *ctx)
{
	return service_revision(((struct daemon *)ctx)->service);
}

// --- start ---------------------------------------------------------------------------------------------

// The route thread, whose table it is, does not run yet.
static void tell_shut_out(struct daemon *daemon)
{
	struct api_error error = {0};

	if (roles_reach(daemon->node, &error))
		return;
	log_warning("main", error.message, log_text("hint", error.hint));
	status_set(domains_statuses(daemon->domains), STATUS_EDGE, "roles", STATUS_WARNING,
		"shut out", error.message, error.hint);
}

static int start_server(struct daemon *daemon, struct api_error *error)
{
	const struct node *node = daemon->node;
	struct rpc_options options = {
		.base = thread_base(daemon->main),
		.path = node->socket,
		.mode = node->socket_mode,
		.grant_count = node->roles.count,
		.edge = node->edge,
		.revision = revision,
		.ctx = daemon,
		.forward = forward,
		.back = back,
		.ran = ran,
		.audit = audit,
	};

	int result = roles_read(node, &daemon->grants, error);
	if (result == 0)
		result = roles_group(node, &options.group, error);
	if (result != 0)
		return result;
	options.grants = daemon->grants;
	result = rpc_server_create(&daemon->server, &options, error);
	if (result == 0)
		result = rpc_verbs_add(daemon->server, daemon->service, error);
	if (result == 0)
		result =
			rpc_server_add(daemon->server, sync_methods, domains_sync(daemon->domains));
	if (result == 0)
		tell_shut_out(daemon);
	return result;
}

static void on_signal(evutil_socket_t number, short events, void *arg)
{
	struct daemon *daemon = arg;
	log_info("main", "signal, ending", log_text("signal", sigabbrev_np((int)number)));
	thread_stop(daemon->main);
}

static int start_signals(struct daemon *daemon)
{
	const int number[2] = {SIGTERM, SIGINT};

	for (unsigned int i = 0; i < 2; i++) {
		daemon->signals[i] =
			evsignal_new(thread_base(daemon->main), number[i], on_signal, daemon);
		if (daemon->signals[i] == NULL || event_add(daemon->signals[i], NULL) != 0)
			return -ENOMEM;
	}
	return 0;
}

static int start(struct daemon *daemon, struct api_error *error)
{
	int result = thread_create(&daemon->main, "culvertd");
	if (result == 0)
		result = thread_create(&daemon->route, "culvertd-route");
	if (result == 0)
		result = thread_create(&daemon->store, "culvertd-store");
	if (result == 0)
		result = start_signals(daemon);
	if (result != 0)
		return result;
	const struct service_options service = {
		.node = daemon->node,
		.main = daemon->main,
		.route = daemon->route,
		.store = daemon->store,
		.publish = publish,
		.place = on_place,
		.ctx = daemon,
	};
	result = service_create(&daemon->service, &service, error);
	if (result != 0)
		return result;
	const struct domains_options domains = {
		.base = thread_base(daemon->route),
		.node = daemon->node,
		.event = on_event,
		.final = on_finals,
		.adopted = on_adopted,
		.event_ctx = daemon,
	};
	result = domains_create(&daemon->domains, &domains, error);
	if (result == 0)
		daemon->health = health_create(domains_sync(daemon->domains));
	if (result == 0)
		result = start_server(daemon, error);
	return result;
}

// The threads have ended: what is left in their mailboxes, and what that leaves.
static void drain(struct daemon *daemon)
{
	bool any;
	do {
		any = thread_drain(daemon->route);
		any = thread_drain(daemon->store) || any;
		any = thread_drain(daemon->main) || any;
	} while (any);
}

// In reverse, whatever start() has made.
static void stop(struct daemon *daemon)
{
	rpc_server_destroy(daemon->server);
	daemon->server = NULL;
	drain(daemon);
	health_destroy(daemon->health);
	domains_destroy(daemon->domains);
	daemon->domains = NULL;
	drain(daemon);
	service_destroy(daemon->service);
	for (unsigned int i = 0; i < 2; i++)
		if (daemon->signals[i] != NULL)
			event_free(daemon->signals[i]);
	thread_destroy(daemon->route);
	thread_destroy(daemon->store);
	thread_destroy(daemon->main);
	free(daemon->grants);
	node_free(daemon->node);
}

// A core of this process would have the store's key and BGP passwords in it; one of a BIRD, too, which inherits the filter.
static void keep_secrets(void)
{
	int fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "0", 1) != 1)
		log_warning("main", "core dumps may hold secrets", log_number("errno", errno));
	if (fd >= 0)
		close(fd);
	prctl(PR_SET_DUMPABLE, 0);
}

static int run(struct daemon *daemon)
{
	keep_secrets();
	struct api_error error = {0};
	int result = start(daemon, &error);

	if (result == 0)
		result = thread_start(daemon->store);
	if (result != 0) {
		if (error.code == API_NONE)
			api_fail(&error, API_INTERNAL, NULL, "cannot start: %s", strerror(-result));
		report(&error);
		stop(daemon);
		return api_code_exit(error.code);
	}
	result = thread_start(daemon->route);
	if (result != 0)
		thread_stop(daemon->main);
	log_info("main", "ready", log_text("version", CULVERT_VERSION),
		log_text("edge", daemon->node->edge),
		log_number("revision", (int64_t)service_revision(daemon->service)),
		log_text("socket", daemon->node->socket));
	struct thread *const watched[] = {daemon->route, daemon->store};
	struct notify *notify = notify_ready(
		daemon->main, watched, 2, daemon->node->edge, service_revision(daemon->service));
	thread_run(daemon->main);
	notify_stopping(notify);
	if (result == 0) {
		thread_stop(daemon->route);
		thread_join(daemon->route);
	}
	thread_stop(daemon->store);
	thread_join(daemon->store);
	stop(daemon);
	notify_free(notify);
	return result != 0;
}

// --- without a daemon ----------------------------------------------------------------------------------

// Validates a configuration as `config check` would against an empty store.
static int check(const char *path, const struct node *node)
{
	const struct model_options defaults = {0};
	struct model_options options = node != NULL ? node_model_options(node) : defaults;
	struct findings *findings = calloc(1, sizeof(*findings));
	struct model *empty = model_create(&options), *model = NULL;
	struct api_error error;
	size_t length = 0;
	char *text = NULL;
	int status = api_code_exit(API_INVALID);

	if (api_read_file(path, API_FILE_MAX, &text, &length, &error) != 0) {
		report(&error);
		status = api_code_exit(error.code);
	} else if (findings == NULL || empty == NULL ||
		   model_parse(empty, text, length, path, &model, findings) != 0) {
		char *shown = findings != NULL ? findings_text(findings, path) : NULL;
		fputs(shown != NULL ? shown : "error: out of memory\n", stderr);
		free(shown);
	} else {
		printf("%s: ok\n", path);
		status = 0;
	}
	model_unref(model);
	model_unref(empty);
	free(findings);
	free(text);
	return status;
}

// A backup into the place of the store; whoever runs on it is found out by its lock.
static int restore(const char *path, const struct node *node, bool replace)
{
	const struct store_options options = {
		.path = node->store, .key_path = node->store_key, .model = node_model_options(node)};
	struct api_error error = {0};
	json_t *about = NULL;

	if (store_restore(path, &options, replace, &about, &error) != 0) {
		report(&error);
		return api_code_exit(error.code);
	}
	printf("%s: store %s of revision %lld; start culvertd\n", node->store,
		json_string_value(json_object_get(about, "store")),
		(long long)json_integer_value(json_object_get(about, "revision")));
	json_decref(about);
	return 0;
}

static void usage(FILE *out)
{
	fputs("usage: culvertd [--config NODEFILE] [--check FILE | --dataplane-args | --restore FILE | "
	      "--version]\n"
	      "  --config NODEFILE   this machine's file, default " NODE_FILE "\n"
	      "  --check FILE        validate a configuration and end\n"
	      "  --dataplane-args    print culvert-dataplane's command line and end\n"
	      "  --restore FILE      put a backup in the place of the store and end\n"
	      "  --replace           even if there is a store, which is kept as NAME.replaced\n"
	      "  --version           print the version and end\n",
		out);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"check", required_argument, NULL, 'k'},
		{"dataplane-args", no_argument, NULL, 'd'},
		{"restore", required_argument, NULL, 'r'},
		{"replace", no_argument, NULL, 'p'},
		{"version", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct daemon daemon = {0};
	const char *config = NULL, *file = NULL, *backup = NULL;
	bool dataplane_args = false, replace = false;
	int option;

	while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			config = optarg;
			break;
		case 'k':
			file = optarg;
			break;
		case 'd':
			dataplane_args = true;
			break;
		case 'r':
			backup = optarg;
			break;
		case 'p':
			replace = true;
			break;
		case 'v':
			printf("culvertd %s\n", CULVERT_VERSION);
			return 0;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return api_code_exit(API_USAGE);
		}
	}
	if (optind != argc) {
		usage(stderr);
		return api_code_exit(API_USAGE);
	}
	signals_ignore();
	mallopt(M_MXFAST, 0); // or a hundred thousand freed blocks are put together in one turn
	json_object_seed(0);  // before there are threads
	json_pool_use(1024);
	struct api_error error = {0};
	char *text = NULL;
	if ((file == NULL || config != NULL) &&
		node_load(config != NULL ? config : NODE_FILE, &daemon.node, &text, &error) != 0) {
		if (text != NULL)
			fputs(text, stderr);
		else
			report(&error);
		free(text);
		return api_code_exit(error.code);
	}
	int status = 0;
	if (file != NULL) {
		status = check(file, daemon.node);
		node_free(daemon.node);
	} else if (backup != NULL) {
		status = restore(backup, daemon.node, replace);
		node_free(daemon.node);
	} else if (dataplane_args) {
		char **arguments = node_dataplane_args(daemon.node);
		node_arguments_print(arguments, stdout);
		node_arguments_free(arguments);
		node_free(daemon.node);
	} else {
		status = run(&daemon);
	}
	return status;
}
