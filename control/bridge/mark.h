/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BRIDGE_MARK_H
#define BRIDGE_MARK_H

// The file that says that a network namespace is ours: RUN/marks/NAME, key=value lines.

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MARK_STORE_MAX = 40, MARK_EDGE_MAX = 64 };

struct mark {
	char store[MARK_STORE_MAX]; // uuid of the store that declared it, "" = none was named
	char edge[MARK_EDGE_MAX];
	uint64_t device, inode; // of the namespace: the name alone may have got another since
	bool found;      // the namespace was there before us, unmarked: it is used, never removed
	uint32_t domain; // id of the one domain in it, 0 = of several
	uint32_t domains, interfaces; // declared in it when the mark was written
};

int mark_read(
	const char *run_dir, const char *name, struct mark *mark); // 0, -ENOENT, -EBADMSG, -errno
// Makes the directory too. The file is complete or not there.
int mark_write(const char *run_dir, const char *name, const struct mark *mark);
bool mark_exists(const char *run_dir, const char *name);
void mark_remove(const char *run_dir, const char *name);
// Every mark: visit gets its name and, when it can be read, what it says (else NULL). It may remove it.
// The names of all that are marked, one by one; NULL = there is none. Closed with closedir().
DIR *marks_open(const char *run_dir);
bool marks_next(DIR *marks, char *name, size_t size);
void marks_each(const char *run_dir,
	void (*visit)(void *ctx, const char *name, const struct mark *mark), void *ctx);

#endif
