/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WIRE_STATS_READER_H
#define WIRE_STATS_READER_H

// The stats segment as who only reads it sees it: through a descriptor that may come from anybody.
// Nothing in the file is believed and nothing of it is mapped. Single thread.

#include <stddef.h>
#include <stdint.h>

#include "dataplane/wire/stats_file.h"

struct stats_reader;

// `fd` stays the caller's and may be closed afterwards. Nothing is called on it that could wait for
// anybody before it is known to be a file of tmpfs or hugetlbfs. -EMEDIUMTYPE it is not, -EBADMSG
// not a segment of this layout,
// -ENOMEM, others from pread().
int stats_reader_open(int fd, struct stats_reader **reader);
void stats_reader_close(struct stats_reader *reader); // NULL is fine

uint32_t stats_reader_slots(const struct stats_reader *reader, enum stats_kind kind);

// Reads the directories, if they changed. 0, or the file cannot be read any more: -EBADMSG, others
// from pread().
int stats_reader_refresh(struct stats_reader *reader);

// The directory's entry as it was at the last refresh. slot < stats_reader_slots().
const struct stats_entry *stats_reader_entry(
	const struct stats_reader *reader, enum stats_kind kind, uint32_t slot);

// The slot of a uid, now. Refreshes when it has to. -ENOENT, or as stats_reader_refresh().
int64_t stats_reader_find(struct stats_reader *reader, enum stats_kind kind, uint64_t uid);

// Sums over all writers, now. `sparse` may be NULL. -EAGAIN while counts are being moved (retry),
// -EINVAL bad slot.
int stats_reader_interface(struct stats_reader *reader, uint32_t slot, struct stats_interface *sum,
	struct stats_sparse *sparse);

// Likewise for `n` limiters or accounts from `first` on, 1..STATS_READER_CHUNK at once.
#define STATS_READER_CHUNK 256u
int stats_reader_limiters(
	struct stats_reader *reader, uint32_t first, uint32_t n, struct stats_limiter *sums);

int stats_reader_accounts(
	struct stats_reader *reader, uint32_t first, uint32_t n, struct stats_account *sums);

int stats_reader_word(struct stats_reader *reader, uint32_t slot, struct stats_limiter_word *word);

#endif
