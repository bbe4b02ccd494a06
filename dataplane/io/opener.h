/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IO_OPENER_H
#define IO_OPENER_H

// The opener: a process that keeps the privileges which the data plane gives up once it runs, and
// does with them what the list of ports from the command line takes, no more. opener.c is the
// process, opener_ask.c the data plane's end of the socket between the two. Main thread only.

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define OPENER_DESCRIPTORS 64u // that one answer can hand over

enum opener_kind {
	// A socket for ioctls in the device's network namespace, then `number` packet sockets that are
	// bound to nothing, with large buffers.
	OPENER_SOCKETS,
	// The port's MTU is set on the device, and what would put packets together is switched off
	// (GRO, LRO). Its error is the MTU's.
	OPENER_SETTINGS,
	// Settings likewise, then the steering program on the device and all that belongs to it, as in
	// steer.h. -EDOM: the device does not take the MTU.
	OPENER_XDP,
	OPENER_KINDS
};

#define OPENER_NETNS_MAX 64u

// How a device of the kernel is opened; AUTO: as its driver does best.
enum device_mode { DEVICE_AUTO, DEVICE_PACKET, DEVICE_XDP, DEVICE_XDP_WHOLE };

// A port of the command line, by its number.
struct opener_device {
	char netns[OPENER_NETNS_MAX]; // as in /run/netns; "" = where the data plane was started
	char name[IFNAMSIZ];          // "" = it is a PMD's
	uint16_t mtu;                 // 0 = left as it is
	uint8_t mode;                 // enum device_mode
	uint32_t descriptors;         // of a receive ring; 0 = the kind's own default
};

struct opener_answer {
	uint32_t value; // of the kind's own
	unsigned count;
	int fd[OPENER_DESCRIPTORS]; // the caller's from now on
};

void opener_close(struct opener_answer *answer); // the descriptors in it

struct opener;

// Before there are threads, descriptors to hide and memory to copy. `devices` stays the caller's.
int opener_start(const struct opener_device *devices, unsigned count, struct opener **opener);
void opener_stop(struct opener *opener); // NULL: nothing

// One call for a port at a time. Never waits: -EINPROGRESS until the answer is there, and the
// same is asked again. Then 0 and the answer, or -errno; -EPIPE: there is no opener any more;
// -ETIMEDOUT: it has not answered for a second, and as long as it does not.
int opener_ask(struct opener *opener, unsigned port, enum opener_kind kind, unsigned number,
	struct opener_answer *answer);
// The same at the start, when nothing else is to be done: waits up to 5 s.
int opener_wait(struct opener *opener, unsigned port, enum opener_kind kind, unsigned number,
	struct opener_answer *answer);
// What these errors are, for people.
const char *opener_strerror(int err);

bool opener_was_asked(const struct opener *opener);
bool opener_is_there(const struct opener *opener);
pid_t opener_process(const struct opener *opener);
// True once, when it has ended; what became of it as text.
bool opener_ended(struct opener *opener, char *how, unsigned size);

// --- between the two processes ---

struct opener_request {
	uint64_t serial;
	uint32_t kind;
	uint32_t port;
	uint32_t number;
	uint32_t zero;
};

struct opener_reply { // with its descriptors
	uint64_t serial;
	uint32_t port;
	int32_t error;
	uint32_t value;
	uint32_t zero;
};

#define OPENER_HOSTILE 9 // exit status after a request that the data plane does not make

// The process's whole life on its end of the socket.
_Noreturn void opener_serve(int fd, const struct opener_device *devices, unsigned count);

#endif
