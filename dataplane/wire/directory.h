/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WIRE_DIRECTORY_H
#define WIRE_DIRECTORY_H

#include <sys/types.h>

// Makes what is missing of the directories above `path`, each with this mode. What cannot be made
// is seen when the file is.
void directory_above(const char *path, mode_t mode);

#endif
