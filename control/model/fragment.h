/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_FRAGMENT_H
#define MODEL_FRAGMENT_H

// While a fragment is made: its memory. Running out of it ends the process.

#include <stdarg.h>

#include "control/model/intent.h"

struct fragment *fragment_new(const struct object *object);
// Holds the object as long as the fragment lives.
void fragment_keep(struct fragment *fragment, const struct object *object);
const char *fragment_text(struct fragment *fragment, const char *format, va_list args);

#endif
