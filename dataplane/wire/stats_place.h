/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WIRE_STATS_PLACE_H
#define WIRE_STATS_PLACE_H

// Where the stats segment lies: a file of ours, in a directory nobody else rules, that one data
// plane at a time holds.

#include <stddef.h>
#include <stdint.h>

struct stats_place {
	char *path;    // for people
	char *name;    // within `directory`
	int directory; // O_PATH
	int fd;        // read-write, locked
	int reader;    // read-only, an open file of its own: copies neither hold the lock nor can write
	uint64_t size; // 0 = new
	uint64_t unit; // in which the file system gives memory
};

// Takes the file at `path`, creating it (mode 0600) and its directory (0700, one level) as needed,
// and locks it until stats_place_close() or the process's end. What lies there and is not ours
// alone (another owner, writable for group or others, no regular file, a second name) is never
// opened: it is renamed to PATH.unusable and *note says so. Errors, with a sentence in `note`:
// -EBUSY another data plane has it, -EMEDIUMTYPE neither tmpfs nor hugetlbfs,
// -EPERM a directory that others rule, what lies there cannot be set aside, others from open().
int stats_place_open(const char *path, struct stats_place **place, char *note, size_t note_size);

// Sets the file aside as PATH.unusable and goes on with a new one. 0 or as above.
int stats_place_renew(struct stats_place *place, char *note, size_t note_size);

void stats_place_remove(struct stats_place *place); // the file; gives its memory back
void stats_place_close(struct stats_place *place);  // the file stays; NULL is fine

// What the file system of `fd` gives memory in; 0: it is neither tmpfs nor hugetlbfs.
uint64_t stats_place_unit(int fd);

// The place to use when nobody named one: the segment that is there already, in whichever directory
// below; else the first that can be had of a hugetlbfs mount with room for `bytes` (its
// subdirectory culvert-UID), /run/culvert where that is tmpfs, /dev/shm/culvert-UID. 0 or
// -ENAMETOOLONG.
int stats_place_default(uint64_t bytes, char *path, size_t size);

#endif
