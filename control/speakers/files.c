// SPDX-License-Identifier: BSD-3-Clause
// A speaker's directory holds bird.conf, a domain-ID.conf for each domain, a peering-ID.conf for each session, and
// what the daemon itself makes (control socket, pid file, log). Passwords stand in it, so it is 0750 and files are
// 0640; the launcher gives the directory to the daemon's group, and its files inherit that. A new text is written
// beside the old one and renamed over it, after it has been checked. Only names of that pattern are ever removed.

#include "control/speakers/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 512 };

int files_make_directory(const char *path)
{
	char partial[PATH_BYTES];
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof(partial))
		return -ENAMETOOLONG;
	for (size_t i = 1; i <= len; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(partial, path, i);
		partial[i] = '\0';
		if (mkdir(partial, 0750) && errno != EEXIST)
			return -errno;
	}
	return 0;
}

int files_write(const char *directory, const char *name, const char *text)
{
	char path[PATH_BYTES];
	size_t len = strlen(text), done = 0;
	int err = 0;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	unlink(path); // never through a link somebody left
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return -errno;
	if (fchmod(fd, 0640))
		err = -errno;
	while (err == 0 && done < len) {
		ssize_t n = write(fd, text + done, len - done);
		if (n < 0 && errno != EINTR)
			err = -errno;
		done += n > 0 ? (size_t)n : 0;
	}
	if (close(fd) && err == 0)
		err = -errno;
	return err;
}

char *files_read(const char *directory, const char *name)
{
	char path[PATH_BYTES];
	struct stat status;
	char *text = NULL;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return NULL;
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size < 64 << 20)
		text = calloc(1, (size_t)status.st_size + 1);
	if (text && read(fd, text, (size_t)status.st_size) != status.st_size) {
		free(text);
		text = NULL;
	}
	close(fd);
	return text;
}

int files_rename(const char *directory, const char *from, const char *to)
{
	char old[PATH_BYTES], new[PATH_BYTES];
	struct stat seen;

	snprintf(old, sizeof(old), "%s/%s", directory, from);
	snprintf(new, sizeof(new), "%s/%s", directory, to);
	if (rename(old, new))
		return -errno;
	// Its text may be older than the directory's owner: the launcher gives that away together with the files that it
	// finds, and this one had another name then.
	if (stat(directory, &seen) == 0 && chown(new, (uid_t)-1, seen.st_gid) != 0 && errno != EPERM)
		return -errno;
	return 0;
}

void files_remove(const char *directory, const char *name)
{
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	unlink(path);
}

void files_remove_all(const char *directory)
{
	DIR *open_directory = opendir(directory);
	const struct dirent *entry;

	while (open_directory && (entry = readdir(open_directory)) != NULL)
		if (strncmp(entry->d_name, "bird.", 5) == 0 ||
			strncmp(entry->d_name, "domain-", 7) == 0 ||
			strncmp(entry->d_name, "peering-", 8) == 0)
			files_remove(directory, entry->d_name);
	if (open_directory)
		closedir(open_directory);
	rmdir(directory);
}
