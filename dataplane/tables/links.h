/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TABLES_LINKS_H
#define TABLES_LINKS_H

// Who refers to what, backwards: for each slot of one table the slots of another one that name it,
// as doubly linked lists in three arrays. Writer only; a member is in at most one list. 0 is no
// member and no owner.
//
//	for (uint32_t m = l->first[owner]; m != 0; m = l->next[m])

#include <stdint.h>

struct links {
	uint32_t *first; // by owner
	uint32_t *next;  // by member
	uint32_t *prev;  // by member; of the first one 0
};

static inline void links_add(struct links *l, uint32_t owner, uint32_t member)
{
	if (owner == 0)
		return;
	uint32_t second = l->first[owner];
	l->next[member] = second;
	l->prev[member] = 0;
	if (second != 0)
		l->prev[second] = member;
	l->first[owner] = member;
}

static inline void links_remove(struct links *l, uint32_t owner, uint32_t member)
{
	if (owner == 0)
		return;
	uint32_t before = l->prev[member], after = l->next[member];
	if (before != 0)
		l->next[before] = after;
	else
		l->first[owner] = after;
	if (after != 0)
		l->prev[after] = before;
	l->next[member] = l->prev[member] = 0;
}

#endif
