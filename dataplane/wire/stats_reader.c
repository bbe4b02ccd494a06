// SPDX-License-Identifier: BSD-3-Clause
// Reading the stats segment without trusting who wrote it.
//
// A mapping of a file that somebody else can shorten is a promise of SIGBUS, and no check before an
// access holds until the access. So nothing is mapped: pread() of what is wanted either copies it
// or says that it is not there. That costs a system call per line and writer where a load would do,
// about half a microsecond; lists therefore read in chunks. Words are copied whole: source and
// target are aligned, and the kernel copies aligned memory by words or more.
//
// The descriptor comes over the socket. Before anything that could wait (stat of a file system in
// user space, read of a FIFO) it is asked for its seals, which the kernel answers for memory files
// only, without asking anybody.
//
// The directories are kept as a copy with an index by uid. `changes` in the header tells when they
// are out of date; a slot that the index gives is compared with the file's entry before it is
// believed, so that only a miss, and only after a change, reads them again.

#include "dataplane/wire/stats_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/wire/stats_private.h"

struct directory {
	struct stats_entry *entry;
	uint32_t *bucket; // first slot of the chain + 1, 0 = empty
	uint32_t *next;   // by slot, likewise
	uint32_t mask;
};

struct stats_reader {
	int fd;
	struct stats_header
		layout; // checked; offsets, slots and strides are constant while the file is good
	struct directory directory[STATS_KINDS];
	uint64_t changes; // of the copies
	int filled;
	struct stats_limiter_part part[STATS_READER_CHUNK];
};

static int read_at(const struct stats_reader *r, uint64_t offset, void *to, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t got = pread(r->fd, (char *)to + done, size - done, (off_t)(offset + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			return -EBADMSG; // it was longer
		done += (size_t)got;
	}
	return 0;
}

// What may change in the header of a good file, into `h`.
static int read_header(const struct stats_reader *r, struct stats_header *h)
{
	int err = read_at(r, 0, h, sizeof(*h));

	if (err != 0)
		return err;
	return h->magic == STATS_MAGIC && h->layout == r->layout.layout && h->workers >= 1 &&
			       h->workers <= STATS_HOST
		       ? 0
		       : -EBADMSG;
}

// --- directories ---

static uint32_t hash(uint64_t uid, uint32_t mask)
{
	return (uint32_t)((uid * 0x9e3779b97f4a7c15u) >> 32) & mask;
}

static int read_directory(struct stats_reader *r, int kind)
{
	struct directory *d = &r->directory[kind];
	uint32_t slots = r->layout.slots[kind];
	int err = read_at(
		r, r->layout.entry_offset[kind], d->entry, (size_t)slots * sizeof(*d->entry));

	if (err != 0)
		return err;
	memset(d->bucket, 0, ((size_t)d->mask + 1) * sizeof(*d->bucket));
	for (uint32_t slot = slots; slot-- > 0;) {
		uint32_t *bucket = &d->bucket[hash(d->entry[slot].uid, d->mask)];

		if (d->entry[slot].state == STATS_FREE)
			continue;
		d->next[slot] = *bucket;
		*bucket = slot + 1;
	}
	return 0;
}

int stats_reader_refresh(struct stats_reader *r)
{
	struct stats_header h;
	int err = read_header(r, &h);

	if (err != 0 || (r->filled && h.changes == r->changes))
		return err;
	r->filled = 0;
	for (int kind = 0; kind < STATS_KINDS && err == 0; kind++)
		err = read_directory(r, kind);
	r->filled = err == 0;
	r->changes = h.changes; // read before the rest: what changed meanwhile is read once more
	return err;
}

uint32_t stats_reader_slots(const struct stats_reader *r, enum stats_kind kind)
{
	return r->layout.slots[kind];
}

const struct stats_entry *stats_reader_entry(
	const struct stats_reader *r, enum stats_kind kind, uint32_t slot)
{
	return &r->directory[kind].entry[slot];
}

// The slot, or -ENOENT: not in the index, or the file has something else there by now.
static int64_t look_up(struct stats_reader *r, enum stats_kind kind, uint64_t uid)
{
	struct directory *d = &r->directory[kind];
	uint32_t slot = d->bucket[hash(uid, d->mask)];
	struct stats_entry now;
	int err;

	while (slot != 0 && d->entry[slot - 1].uid != uid)
		slot = d->next[slot - 1];
	if (slot == 0)
		return -ENOENT;
	slot--;
	err = read_at(r, r->layout.entry_offset[kind] + slot * sizeof(now), &now, sizeof(now));
	if (err != 0)
		return err;
	if (now.uid != uid || now.state == STATS_FREE)
		return -ENOENT;
	d->entry[slot] = now;
	return slot;
}

int64_t stats_reader_find(struct stats_reader *r, enum stats_kind kind, uint64_t uid)
{
	int64_t slot = r->filled ? look_up(r, kind, uid) : -ENOENT;
	uint64_t changes = r->changes;
	int err;

	if (slot != -ENOENT)
		return slot;
	err = stats_reader_refresh(r);
	if (err != 0)
		return err;
	return r->changes != changes ? look_up(r, kind, uid) : -ENOENT;
}

// --- sums ---

static void add_words(void *sum, const void *add, size_t size)
{
	uint64_t *to = sum;
	const uint64_t *from = add;

	for (size_t i = 0; i < size / sizeof(*to); i++)
		to[i] += from[i];
}

static uint64_t part_of(const struct stats_reader *r, unsigned writer)
{
	return r->layout.writer_offset + writer * r->layout.writer_stride;
}

// 0 when no count was moved since `h` was read.
static int unmoved(const struct stats_reader *r, const struct stats_header *h)
{
	uint64_t moving;
	int err = read_at(r, offsetof(struct stats_header, moving), &moving, sizeof(moving));

	return err != 0 ? err : moving == h->moving ? 0 : -EAGAIN;
}

static int start_sum(const struct stats_reader *r, struct stats_header *h)
{
	int err = read_header(r, h);

	return err != 0 ? err : (h->moving & 1) != 0 ? -EAGAIN : 0;
}

int stats_reader_interface(struct stats_reader *r, uint32_t slot, struct stats_interface *sum,
	struct stats_sparse *sparse)
{
	struct stats_header h;
	int err;

	if (slot >= r->layout.slots[STATS_INTERFACE])
		return -EINVAL;
	err = start_sum(r, &h);
	memset(sum, 0, sizeof(*sum));
	if (sparse != NULL)
		memset(sparse, 0, sizeof(*sparse));
	for (unsigned w = 0; w < STATS_WRITERS && err == 0; w++) {
		struct stats_interface line;
		struct stats_sparse block;

		if (!stats_has_writer(h.workers, w))
			continue;
		err = read_at(r, part_of(r, w) + slot * sizeof(line), &line, sizeof(line));
		if (err == 0)
			add_words(sum, &line, sizeof(line));
		if (err != 0 || sparse == NULL)
			continue;
		err = read_at(r, part_of(r, w) + r->layout.sparse_offset + slot * sizeof(block),
			&block, sizeof(block));
		if (err == 0)
			add_words(sparse, &block, sizeof(block));
	}
	return err != 0 ? err : unmoved(r, &h);
}

static int in_table(
	const struct stats_reader *r, enum stats_kind kind, uint32_t first, uint32_t n)
{
	return n != 0 && n <= STATS_READER_CHUNK && first < r->layout.slots[kind] &&
	       n <= r->layout.slots[kind] - first;
}

int stats_reader_limiters(
	struct stats_reader *r, uint32_t first, uint32_t n, struct stats_limiter *sums)
{
	struct stats_header h;
	int err;

	if (!in_table(r, STATS_LIMITER, first, n))
		return -EINVAL;
	err = start_sum(r, &h);
	memset(sums, 0, n * sizeof(*sums));
	for (unsigned w = 0; w < STATS_WRITERS && err == 0; w++) {
		if (!stats_has_writer(h.workers, w) || w == STATS_HOST) // that one limits nothing
			continue;
		err = read_at(r,
			part_of(r, w) + r->layout.limiter_offset + first * sizeof(r->part[0]),
			r->part, n * sizeof(r->part[0]));
		for (uint32_t i = 0; i < n && err == 0; i++)
			add_words(&sums[i], &r->part[i].count, sizeof(sums[i]));
	}
	return err != 0 ? err : unmoved(r, &h);
}

int stats_reader_accounts(
	struct stats_reader *r, uint32_t first, uint32_t n, struct stats_account *sums)
{
	struct stats_account part[STATS_READER_CHUNK];
	struct stats_header h;
	int err;

	if (!in_table(r, STATS_ACCOUNT, first, n))
		return -EINVAL;
	err = start_sum(r, &h);
	memset(sums, 0, n * sizeof(*sums));
	for (unsigned w = 0; w < STATS_WRITERS && err == 0; w++) {
		if (!stats_has_writer(h.workers, w))
			continue;
		err = read_at(r, part_of(r, w) + r->layout.account_offset + first * sizeof(part[0]),
			part, n * sizeof(part[0]));
		if (err == 0)
			add_words(sums, part, n * sizeof(part[0]));
	}
	return err != 0 ? err : unmoved(r, &h);
}

int stats_reader_word(struct stats_reader *r, uint32_t slot, struct stats_limiter_word *word)
{
	if (slot >= r->layout.slots[STATS_LIMITER])
		return -EINVAL;
	return read_at(r, r->layout.word_offset + slot * sizeof(*word), word, sizeof(*word));
}

// --- life ---

static int make_directory(struct stats_reader *r, int kind)
{
	struct directory *d = &r->directory[kind];
	uint32_t slots = r->layout.slots[kind], buckets = 16;

	while (buckets < slots)
		buckets *= 2;
	d->mask = buckets - 1;
	d->entry = calloc(slots, sizeof(*d->entry));
	d->bucket = calloc(buckets, sizeof(*d->bucket));
	d->next = calloc(slots, sizeof(*d->next));
	return d->entry != NULL && d->bucket != NULL && d->next != NULL ? 0 : -ENOMEM;
}

static int open_header(struct stats_reader *r)
{
	uint64_t unit = stats_place_unit(r->fd);
	struct stat st;
	int err;

	if (unit == 0)
		return -EMEDIUMTYPE;
	if (fstat(r->fd, &st) < 0)
		return -errno;
	if (st.st_size < (off_t)sizeof(r->layout))
		return -EBADMSG;
	err = read_at(r, 0, &r->layout, sizeof(r->layout));
	if (err != 0)
		return err;
	return stats_header_fits(&r->layout, (uint64_t)st.st_size, unit) ? 0 : -EBADMSG;
}

int stats_reader_open(int fd, struct stats_reader **reader)
{
	struct stats_reader *r;
	int err;

	if (fcntl(fd, F_GET_SEALS) < 0)
		return errno == EBADF ? -EBADF : -EMEDIUMTYPE;
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return -ENOMEM;
	r->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	err = r->fd < 0 ? -errno : open_header(r);
	for (int kind = 0; kind < STATS_KINDS && err == 0; kind++)
		err = make_directory(r, kind);
	if (err == 0)
		err = stats_reader_refresh(r);
	if (err != 0) {
		stats_reader_close(r);
		return err;
	}
	*reader = r;
	return 0;
}

void stats_reader_close(struct stats_reader *r)
{
	if (r == NULL)
		return;
	for (int kind = 0; kind < STATS_KINDS; kind++) {
		free(r->directory[kind].entry);
		free(r->directory[kind].bucket);
		free(r->directory[kind].next);
	}
	if (r->fd >= 0)
		close(r->fd);
	free(r);
}
