// SPDX-License-Identifier: BSD-3-Clause
// Whose a network namespace is. A name proves nothing: an administrator may have made `culvert-mine`, a second
// culvertd with the prefix `culvert-b` has names that begin with `culvert-` too, and the culvertd of another store
// has no business with the namespaces of the first. So each namespace that we make has a file in our run directory
// with the store, the edge, and the namespace's own number; what has none, or one that says something else, is not
// ours to remove. The run directory lies where the namespaces do, on /run: both go with the machine.

#include "control/bridge/mark.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void path_of(char path[PATH_MAX], const char *run_dir, const char *name, const char *suffix)
{
	snprintf(path, PATH_MAX, "%s/marks/%s%s", run_dir, name, suffix);
}

static void read_line(struct mark *mark, const char *key, const char *value)
{
	unsigned long long number = strtoull(value, NULL, 10);

	if (strcmp(key, "store") == 0)
		snprintf(mark->store, sizeof(mark->store), "%s", value);
	else if (strcmp(key, "edge") == 0)
		snprintf(mark->edge, sizeof(mark->edge), "%s", value);
	else if (strcmp(key, "device") == 0)
		mark->device = number;
	else if (strcmp(key, "inode") == 0)
		mark->inode = number;
	else if (strcmp(key, "found") == 0)
		mark->found = number != 0;
	else if (strcmp(key, "domain") == 0)
		mark->domain = (uint32_t)number;
	else if (strcmp(key, "domains") == 0)
		mark->domains = (uint32_t)number;
	else if (strcmp(key, "interfaces") == 0)
		mark->interfaces = (uint32_t)number;
}

int mark_read(const char *run_dir, const char *name, struct mark *mark)
{
	char path[PATH_MAX], line[256];

	*mark = (struct mark){0};
	path_of(path, run_dir, name, "");
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return -errno;
	while (fgets(line, sizeof(line), file) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		char *value = strchr(line, '=');
		if (line[0] == '#' || value == NULL)
			continue;
		*value++ = '\0';
		read_line(mark, line, value);
	}
	fclose(file);
	return mark->inode == 0 ? -EBADMSG : 0;
}

int mark_write(const char *run_dir, const char *name, const struct mark *mark)
{
	char path[PATH_MAX], next[PATH_MAX];
	int err = 0;

	snprintf(path, sizeof(path), "%s/marks", run_dir);
	if ((mkdir(run_dir, 0755) && errno != EEXIST) || (mkdir(path, 0755) && errno != EEXIST))
		return -errno;
	path_of(path, run_dir, name, "");
	path_of(next, run_dir, name, ".new~");
	FILE *file = fopen(next, "we");
	if (file == NULL)
		return -errno;
	fprintf(file,
		"# culvertd made this network namespace, or uses it; see culvertd(8)\n"
		"store=%s\nedge=%s\ndevice=%" PRIu64 "\ninode=%" PRIu64
		"\nfound=%d\ndomain=%u\ndomains=%u\ninterfaces=%u\n",
		mark->store, mark->edge, mark->device, mark->inode, mark->found, mark->domain,
		mark->domains, mark->interfaces);
	if (ferror(file))
		err = -EIO;
	if (fclose(file) && err == 0)
		err = -errno;
	if (err == 0 && rename(next, path))
		err = -errno;
	if (err)
		unlink(next);
	return err;
}

bool mark_exists(const char *run_dir, const char *name)
{
	char path[PATH_MAX];

	path_of(path, run_dir, name, "");
	return access(path, F_OK) == 0;
}

void mark_remove(const char *run_dir, const char *name)
{
	char path[PATH_MAX];

	path_of(path, run_dir, name, "");
	unlink(path);
}

DIR *marks_open(const char *run_dir)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/marks", run_dir);
	return opendir(path);
}

bool marks_next(DIR *marks, char *name, size_t size)
{
	const struct dirent *entry;

	while ((entry = readdir(marks)) != NULL) {
		size_t len = strlen(entry->d_name);
		if (entry->d_name[0] == '.' || entry->d_name[len - 1] == '~' || len >= size)
			continue;
		memcpy(name, entry->d_name, len + 1);
		return true;
	}
	return false;
}

void marks_each(const char *run_dir,
	void (*visit)(void *ctx, const char *name, const struct mark *mark), void *ctx)
{
	DIR *directory = marks_open(run_dir);
	struct mark mark;
	char name[256];

	while (directory != NULL && marks_next(directory, name, sizeof(name)))
		visit(ctx, name, mark_read(run_dir, name, &mark) == 0 ? &mark : NULL);
	if (directory != NULL)
		closedir(directory);
}
