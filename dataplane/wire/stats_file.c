// SPDX-License-Identifier: BSD-3-Clause
// The file behind the stats segment: a mapping that outlives the data plane.
//
// It lies on hugetlbfs or tmpfs, because a page fault that waits for a disk, or a SIGBUS because
// one is full, must not happen to a worker. The file has room for every writer there can be; only
// those in use get memory (fallocate, then one touch per page), the rest are holes. stats_place.c
// finds it, sees to it that it is ours alone, and holds the lock, which the kernel drops with the
// process, so a killed one is never in the way of the next.
//
// Take-up: header and directories are checked first, since whatever wrote this file may have been
// another version or a bad day. What does not fit is renamed to PATH.unusable and a new file is
// made: an empty start with a note beats no start. What fits is repaired in this order: finish an
// interrupted move, book what was in flight, fold writers that no longer exist, then take a new
// instance number. Limiter words stay only within one boot and one clock frequency, which
// words_valid says; limiter_take_up() does the rest.

#include "dataplane/wire/stats_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define PAGE          4096u
#define SLOTS_DEFAULT 4096u
#define SLOTS_MAX     (1u << 20)

static uint64_t round_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) / unit * unit;
}

static uint64_t hash_words(const uint64_t *word, size_t n)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ word[i]) * 0x100000001b3u;
	return h;
}

// Where everything lies, from the slot counts and the unit in which the file system gives memory.
void stats_lay_out(struct stats_header *h, const uint32_t slots[STATS_KINDS], uint64_t unit)
{
	uint64_t at = sizeof(*h);

	memset(h, 0, sizeof(*h));
	h->version = STATS_VERSION;
	for (int kind = 0; kind < STATS_KINDS; kind++) {
		h->slots[kind] = slots[kind];
		h->entry_offset[kind] = at = round_up(at, 64);
		at += (uint64_t)slots[kind] * sizeof(struct stats_entry);
	}
	h->word_offset = at = round_up(at, 64);
	at += (uint64_t)slots[STATS_LIMITER] * sizeof(struct stats_limiter_word);
	h->writer_offset = round_up(at, unit);
	at = (uint64_t)slots[STATS_INTERFACE] * sizeof(struct stats_interface);
	h->limiter_offset = at;
	at += (uint64_t)slots[STATS_LIMITER] * sizeof(struct stats_limiter_part);
	h->account_offset = at;
	at = round_up(at + (uint64_t)slots[STATS_ACCOUNT] * sizeof(struct stats_account), 64);
	h->sparse_offset = at;
	at += (uint64_t)slots[STATS_INTERFACE] * sizeof(struct stats_sparse);
	h->writer_stride = round_up(at, unit);
	h->size = h->writer_offset + STATS_WRITERS * h->writer_stride;
	h->layout =
		hash_words((const uint64_t[]){sizeof(*h), sizeof(struct stats_entry),
				   sizeof(struct stats_interface), sizeof(struct stats_sparse),
				   DROP_MAX, sizeof(struct stats_limiter_part),
				   sizeof(struct stats_limiter_word), sizeof(struct stats_account),
				   STATS_WRITERS, slots[0], slots[1], slots[2], unit, h->size},
			14);
}

void stats_point(struct stats_segment *s)
{
	uint8_t *base = s->private->base;
	struct stats_header *h = s->private->base;

	s->header = h;
	for (int kind = 0; kind < STATS_KINDS; kind++) {
		s->entry[kind] = (struct stats_entry *)(void *)(base + h->entry_offset[kind]);
		s->slots[kind] = h->slots[kind];
	}
	s->word = (struct stats_limiter_word *)(void *)(base + h->word_offset);
	s->writers = base + h->writer_offset;
	s->writer_stride = h->writer_stride;
	s->limiter_offset = h->limiter_offset;
	s->account_offset = h->account_offset;
	s->sparse_offset = h->sparse_offset;
}

// Is this a header of ours for a file of this size? The layout is recomputed, so that no offset is
// believed.
int stats_header_fits(const struct stats_header *h, uint64_t size, uint64_t unit)
{
	struct stats_header want;

	if (h->magic != STATS_MAGIC || h->version != STATS_VERSION)
		return 0;
	for (int kind = 0; kind < STATS_KINDS; kind++)
		if (h->slots[kind] < 2 || h->slots[kind] > SLOTS_MAX)
			return 0;
	stats_lay_out(&want, h->slots, unit);
	return h->layout == want.layout && h->size == want.size && size == want.size &&
	       h->entry_offset[0] == want.entry_offset[0] &&
	       h->entry_offset[1] == want.entry_offset[1] &&
	       h->entry_offset[2] == want.entry_offset[2] && h->word_offset == want.word_offset &&
	       h->writer_offset == want.writer_offset && h->writer_stride == want.writer_stride &&
	       h->limiter_offset == want.limiter_offset &&
	       h->account_offset == want.account_offset && h->sparse_offset == want.sparse_offset &&
	       h->workers >= 1 && h->workers <= STATS_HOST;
}

// Gives a part of the file memory now: an error here instead of a SIGBUS later.
static int back(const struct stats_segment *s, uint64_t offset, uint64_t length, uint64_t unit)
{
	uint8_t *base = s->private->base;

	if (s->private->fd < 0)
		return 0;
	if (fallocate(s->private->fd, 0, (off_t)offset, (off_t)round_up(length, unit)) < 0)
		return -errno;
	for (uint64_t at = offset; at < offset + length; at += PAGE)
		__atomic_fetch_add(base + at, 0, __ATOMIC_RELAXED);
	return 0;
}

static int back_all(const struct stats_segment *s, uint32_t workers, uint64_t unit)
{
	const struct stats_header *h = s->header;
	int err = back(s, 0, h->writer_offset, unit);

	for (unsigned w = 0; w < STATS_WRITERS && !err; w++)
		if (stats_has_writer(workers, w))
			err = back(
				s, h->writer_offset + w * h->writer_stride, h->writer_stride, unit);
	return err;
}

static void read_boot_id(char boot[40])
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	memset(boot, 0, 40);
	if (f == NULL)
		return;
	if (fgets(boot, 40, f) == NULL)
		boot[0] = 0;
	boot[strcspn(boot, "\n")] = 0;
	fclose(f);
}

static uint64_t realtime_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void new_run(struct stats_segment *s, const struct stats_config *c)
{
	struct stats_header *h = s->header;
	char boot[40];
	double apart = h->hz ? (double)c->hz / (double)h->hz - 1.0 : 1.0;

	read_boot_id(boot);
	s->words_valid = boot[0] && memcmp(boot, h->boot, sizeof(boot)) == 0 && apart < 1e-4 &&
			 apart > -1e-4;
	memcpy(h->boot, boot, sizeof(boot));
	h->hz = c->hz;
	h->start = realtime_ns();
	h->starts++;
	h->workers = c->workers;
	__atomic_store_n(&h->instance, c->instance, __ATOMIC_RELEASE);
}

static int map(struct stats_segment *s, int fd, uint64_t size, int writable)
{
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED;
	void *base = mmap(NULL, size, PROT_READ | (writable ? PROT_WRITE : 0), flags, fd, 0);

	if (base == MAP_FAILED)
		return -errno;
	s->private->base = base;
	s->private->size = size;
	s->private->fd = fd;
	return 0;
}

static struct stats_segment *new_segment(void)
{
	struct stats_segment *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->private = calloc(1, sizeof(*s->private));
	if (s->private == NULL) {
		free(s);
		return NULL;
	}
	s->private->fd = -1;
	return s;
}

void stats_close(struct stats_segment *s)
{
	if (s == NULL)
		return;
	stats_index_free(s);
	if (s->private->base)
		munmap(s->private->base, s->private->size);
	stats_place_close(s->private->place);
	free(s->private);
	free(s);
}

static void count_slots(const struct stats_config *c, uint32_t slots[STATS_KINDS])
{
	slots[STATS_INTERFACE] = c->interfaces != 0 ? c->interfaces : SLOTS_DEFAULT;
	slots[STATS_LIMITER] = c->limiters != 0 ? c->limiters : SLOTS_DEFAULT;
	slots[STATS_ACCOUNT] = c->accounts;
	if (slots[STATS_ACCOUNT] == 0) // each connection has two
		slots[STATS_ACCOUNT] = 2 * slots[STATS_INTERFACE] < SLOTS_MAX
					       ? 2 * slots[STATS_INTERFACE]
					       : SLOTS_MAX;
}

static int fill_new(struct stats_segment *s, const struct stats_config *c, int fd, uint64_t unit)
{
	uint32_t slots[STATS_KINDS];
	struct stats_header h;
	int err;

	count_slots(c, slots);
	stats_lay_out(&h, slots, unit);
	if (fd >= 0 && (ftruncate(fd, 0) < 0 || ftruncate(fd, (off_t)h.size) < 0))
		return -errno;
	err = map(s, fd, h.size, 1);
	if (err)
		return err;
	s->header = s->private->base;
	if (fd >= 0) { // before the first store
		err = fallocate(fd, 0, 0, (off_t)unit) < 0 ? -errno : 0;
		if (err)
			return err;
	}
	*s->header = h;
	stats_point(s);
	err = back_all(s, c->workers, unit);
	if (err)
		return err;
	for (int kind = 0; kind < STATS_KINDS; kind++)
		s->entry[kind][0] = (struct stats_entry){STATS_UID_SELF, 1, STATS_LIVE};
	if (getrandom(&s->header->segment, sizeof(s->header->segment), 0) < 0)
		s->header->segment = realtime_ns();
	new_run(s, c);
	__atomic_store_n(&s->header->magic, STATS_MAGIC, __ATOMIC_RELEASE); // now it is one
	return 0;
}

static int fold_vanished(struct stats_segment *s, uint32_t workers)
{
	struct stats_header *h = s->header;

	for (unsigned w = workers; w < h->workers; w++) {
		stats_fold_writer(s, w);
		if (fallocate(s->private->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			    (off_t)(h->writer_offset + w * h->writer_stride),
			    (off_t)h->writer_stride) < 0)
			return -errno;
	}
	return 0;
}

// -EBADMSG: not a segment that can be taken up.
static int take_up(
	struct stats_segment *s, const struct stats_config *c, int fd, uint64_t size, uint64_t unit)
{
	struct stats_header *h;
	int err;

	if (size < sizeof(*h) || size % unit)
		return -EBADMSG;
	err = map(s, fd, size, 1);
	if (err)
		return err;
	h = s->private->base;
	if (!stats_header_fits(h, size, unit) || (c->interfaces && c->interfaces != h->slots[0]) ||
		(c->limiters && c->limiters != h->slots[1]) ||
		(c->accounts && c->accounts != h->slots[2]))
		return -EBADMSG;
	stats_point(s);
	err = stats_index_build(s);
	if (err)
		return err;
	err = back_all(s, h->workers > c->workers ? h->workers : c->workers, unit);
	if (err)
		return err;
	__atomic_store_n(&h->moving, h->moving | 1, __ATOMIC_RELEASE);
	err = stats_move_redo(s);
	if (err)
		return err;
	stats_balance(s);
	err = fold_vanished(s, c->workers);
	if (err)
		return err;
	new_run(s, c);
	__atomic_store_n(&h->moving, h->moving + 1, __ATOMIC_RELEASE);
	s->taken_up = 1;
	return 0;
}

// Unmaps but keeps the descriptor, for a second try.
static void unmap(struct stats_segment *s)
{
	stats_index_free(s);
	if (s->private->base)
		munmap(s->private->base, s->private->size);
	s->private->base = NULL;
	s->private->fd = -1;
	s->header = NULL;
}

static int fill_place(
	struct stats_segment *s, const struct stats_config *c, char *note, size_t size)
{
	struct stats_place *p = s->private->place;
	int err = p->size != 0 ? take_up(s, c, p->fd, p->size, p->unit) : -ENODATA;

	if (err == 0)
		return 0;
	// Unfinished creation of an earlier run: nobody was told of it, start over in place.
	if (err == -EBADMSG && s->private->base != NULL && s->header == NULL &&
		s->private->size >= PAGE && ((struct stats_header *)s->private->base)->magic == 0)
		err = -ENODATA;
	unmap(s);
	if (err == -EBADMSG) {
		err = stats_place_renew(p, note, size);
		if (err != 0)
			return err;
		err = -ENODATA;
	}
	if (err != -ENODATA)
		return err;
	err = fill_new(s, c, p->fd, p->unit);
	if (err != 0) {
		unmap(s);
		stats_place_remove(p); // give the memory back
	}
	return err;
}

static void explain(int err, const struct stats_place *place, char *note, size_t size)
{
	const char *path = place != NULL ? place->path : "(anonymous)";

	if (err == -ENOSPC || err == -ENOMEM)
		snprintf(note, size,
			"too little memory in the file system of the stats segment %s; give it "
			"more, or "
			"lower --interfaces, --limiters or --workers",
			path);
	else if (err != -EPERM && err != -EBUSY &&
		 err != -ENAMETOOLONG) // those have their sentence
		snprintf(note, size, "cannot open the stats segment %s: %s", path, strerror(-err));
}

// 0, or an error that `note` explains.
static int check(const struct stats_config *c, char *note, size_t size)
{
	if (c->workers >= 1 && c->workers <= STATS_HOST && c->interfaces != 1 && c->limiters != 1 &&
		c->interfaces <= SLOTS_MAX && c->limiters <= SLOTS_MAX && c->accounts != 1 &&
		c->accounts <= SLOTS_MAX && c->hz != 0)
		return 0;
	snprintf(note, size, "stats segment: slots or workers out of range");
	return -EINVAL;
}

int stats_open(
	const struct stats_config *c, struct stats_segment **segment, char *note, size_t note_size)
{
	struct stats_segment *s = new_segment();
	int err = -ENOMEM;

	if (note_size != 0 && c->place == NULL)
		note[0] = 0;
	if (s != NULL)
		s->private->place = c->place;
	else
		stats_place_close(c->place);
	if (s == NULL)
		return err;
	err = check(c, note, note_size);
	if (err == 0 && c->place == NULL && c->path != NULL) {
		err = stats_place_open(c->path, &s->private->place, note, note_size);
		if (err != 0)
			goto fail; // it said why
	}
	if (err == 0)
		err = s->private->place != NULL ? fill_place(s, c, note, note_size)
						: fill_new(s, c, -1, PAGE);
	if (err == 0 && s->private->index[0].bucket == NULL)
		err = stats_index_build(s);
	if (err != 0) {
		if (err != -EINVAL)
			explain(err, s->private->place, note, note_size);
		goto fail;
	}
	*segment = s;
	return 0;

fail:
	stats_close(s);
	return err;
}

uint64_t stats_bytes(const struct stats_config *c, uint64_t unit)
{
	uint32_t slots[STATS_KINDS];
	struct stats_header h;

	count_slots(c, slots);
	stats_lay_out(&h, slots, unit);
	return h.writer_offset + (c->workers + 2) * h.writer_stride;
}

int stats_descriptor(const struct stats_segment *s)
{
	return s->private->place != NULL ? s->private->place->reader : -1;
}

const char *stats_path(const struct stats_segment *s)
{
	return s->private->place != NULL ? s->private->place->path : "";
}
