/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef STORAGE_H
#define STORAGE_H

struct statuses;
struct store_place;

// What the table of states is to say of the store's files and their file system. `store`: the database's name.
void storage_tell(struct statuses *statuses, const char *store, const struct store_place *place);

#endif
