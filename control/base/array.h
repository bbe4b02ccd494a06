/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BASE_ARRAY_H
#define BASE_ARRAY_H

// Growing arrays of the model's LIST_OF shape.

#include <stdlib.h>
#include <string.h>

#define APPEND(list) append((void **)&(list).item, &(list).count, sizeof(*(list).item))

// A new zeroed element at the end; grows at powers of two.
static inline void *append(void **items, unsigned int *count, size_t size)
{
	if ((*count & (*count - 1)) == 0) {
		size_t room = *count == 0 ? 1 : 2 * (size_t)*count;
		*items = reallocarray(*items, room, size);
		if (*items == NULL)
			abort();
	}
	void *item = (char *)*items + (*count)++ * size;
	memset(item, 0, size);
	return item;
}

#endif
