// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/wire/directory.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void directory_above(const char *path, mode_t mode)
{
	char part[PATH_MAX];

	snprintf(part, sizeof(part), "%s", path);
	for (char *slash = strchr(part + (*part == '/'), '/'); slash;
		slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(part, mode);
		*slash = '/';
	}
}
