/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BRIDGE_RECONCILE_H
#define BRIDGE_RECONCILE_H

// The state of a mirror, and what messages and walks do to the stored routes.

#include <sys/queue.h>
#include <sys/socket.h>

#include "control/bridge/decode.h"
#include "control/bridge/state.h"

enum { EVENT_BATCH = 32, EVENT_BYTES = 8192, CHUNK_BYTES = 65536, SUSPECTS_MAX = 64 };

struct event_buffers {
	struct mmsghdr header[EVENT_BATCH];
	struct iovec iovec[EVENT_BATCH];
	char data[EVENT_BATCH][EVENT_BYTES] __attribute__((aligned(8)));
};

enum job_kind {
	JOB_SWEEP,      // remove what the finished dump did not name
	JOB_INVALIDATE, // remove what leads over a device
	JOB_RENAME,     // report again what leads over a device
	JOB_ANY,
};

struct mirror_job {
	STAILQ_ENTRY(mirror_job) entry;
	enum job_kind kind;
	uint32_t ifindex;
	struct host_domain *only;   // NULL = all domains of the namespace
	struct host_domain *domain; // where the walk is; NULL = at the end
	uint32_t place;
};

enum dump_phase {
	PHASE_IDLE,
	PHASE_LINKS,
	PHASE_NEIGHBORS,
	PHASE_ROUTES4,
	PHASE_ROUTES6,
	PHASE_SWEEP
};
enum dump_purpose { DUMP_RESYNC, DUMP_CHECK, DUMP_CONFIRM };

struct mirror {
	struct space *space;
	struct netlink events, dump;
	struct event *event, *dump_read, *more, *slice, *start;
	STAILQ_HEAD(job_list, mirror_job) jobs;
	enum dump_phase phase;
	enum dump_purpose purpose, next_purpose;
	uint8_t generation;         // number of the running dump, or of the last one
	bool again;                 // one more dump when this one is done
	bool overrun;               // events were lost since the dump began
	bool interrupted;           // the kernel says this dump is inconsistent
	unsigned int interruptions; // in a row
	uint32_t suspects;  // differences a check found; beyond SUSPECTS_MAX they have no names
	uint32_t confirmed; // of those, seen again
	struct suspect {
		uint32_t table;
		struct host_route_key key;
	} suspect[SUSPECTS_MAX];
	int pending; // bytes of chunk not yet looked at
	char chunk[CHUNK_BYTES] __attribute__((aligned(8)));
};

void reconcile_route(struct mirror *mirror, const struct nlmsghdr *header, bool dump);
void reconcile_job(
	struct mirror *mirror, enum job_kind kind, uint32_t ifindex, struct host_domain *only);
void reconcile_drop_jobs(struct mirror *mirror, enum job_kind kind);
void reconcile_slice(int fd, short what, void *ctx); // the event loop's callback of mirror->slice
void mirror_dump_end(struct mirror *mirror);
void reconcile_buried(int fd, short what, void *ctx); // ..: of bridge->burial
void reconcile_buried_end(struct bridge *bridge);

#endif
