// SPDX-License-Identifier: BSD-3-Clause
// culvert-dataplane: puts the parts together, then is the main thread: the one writer of all
// tables.
//
// Start-up goes from what fails most often to what costs most: options, control socket and the lock
// of the stats segment (is another one running? it must not lose its devices to us), EAL, counters,
// packet buffers, ports, tables, threads. Each failure is one line that says what to do, and an exit
// code. Everything is undone in reverse at the end, which SIGTERM or SIGINT brings. Before all of it
// the opener is forked off (io/opener.h); it keeps the privileges, which end here with the start.
//
// The main loop sleeps in ppoll: 20 ms when nothing is going on, 1 ms while a grace period or the
// FIB's writer has work left. It never waits for the controller, which may come, go and come back.

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>

#include "dataplane/wire/log_out.h"
#include "dataplane/wire/signals.h"
#include "dataplane/capabilities.h"
#include "dataplane/control.h"
#include "dataplane/dataplane.h"
#include "dataplane/io/device.h"
#include "dataplane/io/host.h"
#include "dataplane/io/thread.h"
#include "dataplane/log.h"
#include "dataplane/options.h"
#include "dataplane/tables/interface.h"
#include "dataplane/tables/limiter.h"
#include "dataplane/tables/limiter_clock.h"
#include "dataplane/tables/limiters.h"
#include "dataplane/wire/link.h"
#include "dataplane/wire/port_fault.h"
#include "dataplane/wire/stats_place.h"

enum exit_code { EXIT_EAL = 1, EXIT_USAGE, EXIT_PORT, EXIT_MEMORY, EXIT_SOCKET };

#define LINK_PERIOD    50000000u // ns
#define CLOCK_PERIOD   1000000000u
#define SWEEP_PERIOD   600000000000u // for all limiters
#define SWEEP_PARTS    600u
#define CALIBRATION_NS 50000000u
#define BUFFER_CACHE   256u
#define BUFFER_SIZE    2048u // at least
#define IDLE_NS        20000000
#define BUSY_NS        1000000

struct program {
	struct options options;
	struct wire_listener *listener;
	struct stats_place *place; // until `stats` has it
	struct stats_segment *stats;
	struct rte_mempool *pool;
	struct port *port[PORT_MAX];
	struct dataplane *dp;
	struct host *host;
	struct control *control;
	struct io_threads *threads;
	uint64_t hz; // as measured at the start
	struct limiter_clock clock;
	uint64_t instance;
	uint64_t link_at; // next look at the ports
	uint64_t clock_at;
	uint64_t sweep_at;
	uint32_t swept;        // limiter slot
	struct opener *opener; // NULL = no port uses it
	int signals;
	int eal;
};

static int die(enum exit_code code, const char *format, ...)
{
	char text[1024], fields[320];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_say("error: %s", text);
	options_fields(text, fields, sizeof(fields));
	if (*fields)
		log_say("hint: in the node file %s", fields);
	return (int)code;
}

// --- DPDK's log ---

static char last_words[256]; // of the EAL, for the line about why it did not start

static ssize_t take_log(void *cookie, const char *text, size_t size)
{
	size_t length = size;

	while (length && (text[length - 1] == '\n' || text[length - 1] == ' '))
		length--;
	if (!length)
		return (ssize_t)size;
	snprintf(last_words, sizeof(last_words), "%.*s", (int)length, text);
	for (char *p = last_words; *p; p++)
		if (*p == '"' || *p == '\n')
			*p = '\'';
	if (rte_log_cur_msg_loglevel() <= (int)RTE_LOG_WARNING)
		log_line("warning", last_words, "source=dpdk");
	return (ssize_t)size;
}

static int start_eal(struct program *p, char **argv)
{
	cookie_io_functions_t io = {.write = take_log};
	FILE *stream = fopencookie(NULL, "w", io);
	cpu_set_t affinity;

	if (stream) {
		setvbuf(stream, NULL, _IOLBF, 1024);
		rte_openlog_stream(stream);
	}
	rte_log_set_global_level(RTE_LOG_WARNING);
	sched_getaffinity(0, sizeof(affinity), &affinity);
	if (rte_eal_init(p->options.eal_count, argv) < 0)
		return die(EXIT_EAL,
			"DPDK does not start: %s (%s); it was given what -m, --vdev and -a say",
			*last_words ? last_words : "see above", rte_strerror(rte_errno));
	p->eal = 1;
	// The EAL pinned this thread to the main lcore; only workers need a core of their own.
	sched_setaffinity(0, sizeof(affinity), &affinity);
	return 0;
}

// --- start-up ---

// Forked before there is anything to inherit. Which ports are the EAL's only the EAL will know.
static int start_opener(struct program *p)
{
	struct opener_device list[PORT_MAX] = {0};
	int err;

	for (uint32_t i = 0; i < p->options.ports; i++) {
		const struct options_port *o = &p->options.port[i];

		if (strlen(o->device) < sizeof(list[i].name))
			memcpy(list[i].name, o->device, strlen(o->device));
		memcpy(list[i].netns, o->netns, sizeof(list[i].netns));
		list[i].mtu = o->mtu;
		list[i].mode = o->mode;
		list[i].descriptors = p->options.descriptors;
	}
	err = opener_start(list, p->options.ports, &p->opener);
	return err ? die(EXIT_PORT, "the opener of devices does not start: %s", strerror(-err)) : 0;
}

static int stats_failed(int err, const char *note)
{
	return die(err == -ENOSPC || err == -ENOMEM ? EXIT_MEMORY : EXIT_SOCKET, "%s",
		*note != '\0' ? note : strerror(-err));
}

static struct stats_config stats_config(const struct program *p)
{
	return (struct stats_config){
		.place = p->place,
		.interfaces = p->options.interfaces,
		.limiters = p->options.limiters,
		.workers = p->options.workers,
		.hz = p->hz,
		.instance = p->instance,
	};
}

// What only one data plane can have; before anything is touched that another one may be using.
static int take_socket_and_place(struct program *p)
{
	const struct options *o = &p->options;
	struct stats_config config = stats_config(p);
	char path[256], note[768] = "";
	int err;

	err = wire_listen(o->socket, o->uid, &p->listener);
	if (err)
		return die(EXIT_SOCKET, "control socket %s: %s", o->socket,
			err == -EADDRINUSE ? "another data plane listens there" : strerror(-err));
	if (o->stats != NULL && strcmp(o->stats, "none") == 0)
		return 0;
	if (config.workers == 0)
		config.workers = DATAPLANE_WORKERS;
	err = o->stats == NULL
		      ? stats_place_default(stats_bytes(&config, 2 << 20), path, sizeof(path))
		      : 0;
	if (err == 0)
		err = stats_place_open(
			o->stats != NULL ? o->stats : path, &p->place, note, sizeof(note));
	if (err != 0)
		return stats_failed(err, note);
	if (*note != '\0')
		log_warn("stats segment", "note=\"%s\"", note);
	return 0;
}

static int open_stats(struct program *p)
{
	struct stats_config config = stats_config(p);
	char note[768] = "";
	int err = stats_open(&config, &p->stats, note, sizeof(note));

	p->place = NULL;
	if (err != 0)
		return stats_failed(err, note);
	if (*note != '\0')
		log_warn("stats segment", "note=\"%s\"", note);
	log_info("stats segment", "path=%s", stats_path(p->stats));
	return 0;
}

static struct device_config device_config(const struct program *p, uint32_t port)
{
	const struct options_port *o = &p->options.port[port];

	return (struct device_config){
		.name = o->name,
		.device = o->device,
		.netns = o->netns,
		.index = port,
		.opener = p->opener,
		.mode = (enum device_mode)o->mode,
		.outer_tpid = o->outer_tpid,
		.mtu = o->mtu,
		.buffer_size = p->options.buffer_size,
		.workers = p->options.workers,
		.descriptors = p->options.descriptors,
		.pool = p->pool,
	};
}

static int port_failed(const struct program *p, uint32_t port, const struct device_error *error)
{
	const struct options_port *o = &p->options.port[port];

	return die(EXIT_PORT, "port %s on device %s: %s", o->name, o->device, error->text);
}

// How many there have to be, from what the ports' queues and the workers hold.
static int count_buffers(struct program *p)
{
	struct size_users users = {.workers = p->options.workers};
	struct options *o = &p->options;
	uint32_t buffer_size = BUFFER_SIZE;
	struct device_error error;

	for (uint32_t i = 0; i < o->ports; i++) {
		struct device_config config = device_config(p, i);

		if (device_measure(&config, &users, &buffer_size, &error))
			return port_failed(p, i, &error);
	}
	if (o->buffer_size == 0)
		o->buffer_size = buffer_size;
	if (o->buffers == 0)
		o->buffers = size_buffers_default(&users);
	if (o->buffers >= size_buffers_least(&users))
		return 0;
	return die(EXIT_MEMORY,
		"--buffers %u is too few for %u ports with %u receive and %u transmit descriptors "
		"and "
		"%u workers: give %u or more (or none, then %u are taken), or lower --descriptors "
		"or "
		"--workers",
		o->buffers, o->ports, users.rx_descriptors, users.tx_descriptors, users.workers,
		size_buffers_least(&users), size_buffers_default(&users));
}

static int make_buffers(struct program *p)
{
	const struct options *o = &p->options;
	uint64_t bytes;
	int code = count_buffers(p);

	if (code)
		return code;
	bytes = (uint64_t)o->buffers *
		(o->buffer_size + RTE_PKTMBUF_HEADROOM + sizeof(struct rte_mbuf) + 128);
	p->pool = rte_pktmbuf_pool_create_by_ops("packets", o->buffers, BUFFER_CACHE, 0,
		(uint16_t)(o->buffer_size + RTE_PKTMBUF_HEADROOM), SOCKET_ID_ANY, "ring_mt_rts");
	if (p->pool == NULL)
		return die(EXIT_MEMORY,
			"too little memory for %u packet buffers of %u bytes, %" PRIu64
			" MiB (%s): raise -m, or lower --buffers, --descriptors or --workers",
			o->buffers, o->buffer_size, bytes >> 20, rte_strerror(rte_errno));
	log_info("packet buffers", "count=%u size=%u", o->buffers, o->buffer_size);
	return 0;
}

static void log_port(const struct port *port, const char *device, uint16_t wanted)
{
	const struct wire_port_fault *fault = wire_port_fault(port->fault);

	log_info("port", "name=%s device=%s kind=%s rx_queues=%u mtu=%u link=%s speed=%u",
		port->name, device, port->kind->name, port->rx_queues, port->mtu,
		port->up ? "up" : "down", port->speed);
	if (port->fault != WIRE_PORT_FAULT_NONE)
		log_warn("port", "name=%s fault=\"%s\" hint=\"%s\"", port->name, fault->text,
			fault->hint);
	if (port->mtu < wanted)
		log_warn("port carries less than it was given",
			"name=%s mtu=%u given=%u bound=\"%s\"", port->name, port->mtu, wanted,
			port->kind->mtu_bound(port));
}

static void look_at_opener(struct program *p)
{
	char how[64];

	if (p->opener != NULL && opener_ended(p->opener, how, sizeof(how)))
		log_warn("the opener has ended", "by=\"%s\"", how);
}

static int open_ports(struct program *p)
{
	for (uint32_t i = 0; i < p->options.ports; i++) {
		struct device_config config = device_config(p, i);
		struct device_error error;

		if (device_open(&config, &p->port[i], &error)) {
			look_at_opener(p);
			return port_failed(p, i, &error);
		}
		log_port(p->port[i], config.device, config.mtu);
	}
	if (!opener_was_asked(p->opener)) {
		opener_stop(p->opener);
		p->opener = NULL;
	}
	return 0;
}

static int make_dataplane(struct program *p)
{
	struct dataplane_config config = {
		.vrfs = p->options.vrfs,
		.fib_bytes = (uint64_t)p->options.fib_memory << 20,
		.workers = p->options.workers,
		.hz = p->hz,
		.stats = p->stats,
		.pool = p->pool,
	};
	struct host_config host = {
		.workers = p->options.workers,
		.punt_rate = p->options.punt_rate,
		.icmp_rate = p->options.icmp_rate,
		.hz = p->hz,
		.pool = p->pool,
	};
	int err = dataplane_create(&config, &p->dp);

	for (uint32_t i = 0; !err && i < p->options.ports; i++)
		err = dataplane_add_port(p->dp, p->port[i]);
	if (!err)
		err = host_create(p->dp, &host, &p->host);
	for (uint32_t w = 0; !err && w < p->options.workers; w++)
		worker_set_host(p->dp->worker[w], host_queue(p->host, w));
	if (!err)
		err = device_map_queues(p->dp);
	if (err)
		return die(EXIT_MEMORY, "cannot make the tables: %s", strerror(-err));
	return 0;
}

static int start_threads(struct program *p)
{
	struct control_config control = {
		.dp = p->dp, .host = p->host, .listener = p->listener, .instance = p->instance};
	struct io_threads_config threads = {.dp = p->dp, .idle_sleep = p->options.idle_sleep};
	int err = control_create(&control, &p->control);

	if (!err)
		err = host_thread_start(p->host);
	if (!err)
		err = io_threads_start(&threads, &p->threads);
	if (err)
		return die(EXIT_MEMORY, "cannot start the threads: %s", strerror(-err));
	return 0;
}

// None is used after the start: the EAL's memory is all there, locked and mapped for devices by
// now, and what a kernel device takes is the opener's. What a driver locks later is held against
// the limit that is raised here.
static void give_up_capabilities(void)
{
	struct rlimit lock = {RLIM_INFINITY, RLIM_INFINITY};
	char left[64];
	int err;

	if (setrlimit(RLIMIT_MEMLOCK, &lock) < 0 && getrlimit(RLIMIT_MEMLOCK, &lock) == 0) {
		lock.rlim_cur = lock.rlim_max;
		setrlimit(RLIMIT_MEMLOCK, &lock);
	}
	err = capabilities_keep(0, left, sizeof(left));
	if (err)
		log_warn("capabilities are not given up", "error=\"%s\"", strerror(-err));
	else
		log_info("capabilities", "kept=%s", left);
}

static int start(struct program *p, char **argv)
{
	int code;

	if (limiter_clock_start(&p->clock, CALIBRATION_NS))
		return die(EXIT_EAL, "this machine's TSC is not invariant; the limiters need it");
	p->hz = p->clock.hz;
	if (getrandom(&p->instance, sizeof(p->instance), 0) < 0)
		p->instance = rte_rdtsc();
	code = start_opener(p);
	if (!code)
		code = take_socket_and_place(p);
	if (!code)
		code = start_eal(p, argv);
	if (code)
		return code;
	if (!p->options.workers)
		p->options.workers = rte_lcore_count() > 1 ? rte_lcore_count() - 1 : 1;
	if (p->options.workers > DATAPLANE_WORKERS)
		p->options.workers = DATAPLANE_WORKERS;
	code = open_stats(p);
	if (!code)
		code = make_buffers(p);
	if (!code)
		code = open_ports(p);
	if (!code)
		code = make_dataplane(p);
	if (!code)
		code = start_threads(p);
	return code;
}

static void stop(struct program *p)
{
	io_threads_stop(p->threads);
	host_thread_stop(p->host);
	if (p->control != NULL)
		device_book_losses(p->dp);
	control_destroy(p->control);
	host_destroy(p->host);
	dataplane_destroy(p->dp);
	for (uint32_t i = 0; i < PORT_MAX && p->port[i] != NULL; i++)
		p->port[i]->kind->close(p->port[i]);
	opener_stop(p->opener);
	stats_close(p->stats);
	stats_place_close(p->place);
	wire_listener_close(p->listener);
	if (p->eal)
		rte_eal_cleanup();
}

// --- main loop ---

static void update_host(void *ctx, uint32_t slot)
{
	host_update(ctx, slot);
}

static void look_at_ports(struct program *p, uint64_t now)
{
	if (now < p->link_at)
		return;
	p->link_at = now + LINK_PERIOD;
	look_at_opener(p);
	for (uint32_t i = 0; i < p->dp->ports; i++) {
		struct port *port = p->dp->port[i];

		if (!port->kind->poll(port))
			continue;
		log_port(port, p->options.port[i].device, p->options.port[i].mtu);
		interfaces_follow_port(p->dp, i, update_host, p->host);
		control_port_changed(p->control, i);
	}
	device_book_losses(p->dp);
}

static uint64_t monotonic_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// Keeps the limiters' idea of a second, and their words within the clock's range.
static void check_clock(struct program *p)
{
	uint64_t before = p->clock.hz;
	int news = limiter_clock_check(&p->clock);

	if (news == 1) {
		log_info("clock", "hz=%" PRIu64 " before=%" PRIu64, p->clock.hz, before);
		limiters_retime(p->dp, p->clock.hz);
	} else if (news == -ERANGE) {
		log_warn("clock jumped",
			"hz=%" PRIu64 " measured=%" PRIu64 " limiters_repaired=%u "
			"hint=\"a guest that was moved, suspended or restored\"",
			p->clock.hz, p->clock.other_hz, limiters_settle(p->dp));
	}
}

static void look_at_clock(struct program *p, uint64_t now)
{
	if (now >= p->clock_at) {
		p->clock_at = now + CLOCK_PERIOD;
		check_clock(p);
	}
	if (now >= p->sweep_at) {
		unsigned repaired = limiters_sweep(p->dp, &p->swept, SWEEP_PARTS);

		p->sweep_at = now + SWEEP_PERIOD / SWEEP_PARTS;
		if (repaired)
			log_warn("limiter", "repaired=%u", repaired);
	}
}

static void run(struct program *p)
{
	for (;;) {
		struct pollfd fds[3] = {{.fd = p->signals, .events = POLLIN}};
		unsigned n = 1 + control_poll_fds(p->control, fds + 1);
		struct timespec wait = {0, IDLE_NS};
		unsigned work = dataplane_poll(p->dp);
		uint64_t now;

		work += control_turn(p->control);
		now = monotonic_ns();
		look_at_ports(p, now);
		look_at_clock(p, now);
		work += control_events(p->control, now);
		if (work)
			wait.tv_nsec = 0;
		else if (control_waiting(p->control))
			wait.tv_nsec = BUSY_NS;
		ppoll(fds, n, &wait, NULL);
		if (fds[0].revents)
			return;
	}
}

static int catch_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL); // threads inherit it
	signals_ignore();
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int main(int argc, char **argv)
{
	static struct program p;
	int code;

	switch (options_parse(argc, argv, &p.options)) {
	case OPTIONS_DONE:
		return 0;
	case OPTIONS_WRONG:
		return EXIT_USAGE;
	default:
		break;
	}
	p.signals = catch_signals();
	code = start(&p, argv);
	if (!code) {
		give_up_capabilities();
		log_info("ready", "version=%s workers=%u ports=%u hz=%llu counters=%s",
			CULVERT_VERSION, p.options.workers, p.options.ports,
			(unsigned long long)p.hz, p.stats->taken_up ? "continued" : "new");
		run(&p);
		log_info("stopping", "%s", "");
	}
	stop(&p);
	return code;
}
