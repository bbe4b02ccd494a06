// SPDX-License-Identifier: BSD-3-Clause

// What is kept: the audit, and the store as a whole. A backup comes from the daemon in a memory file and is written here,
// with the rights of whoever asks; restoring is culvertd's own work, since no daemon runs then.

#include "tools/culvertctl/command.h"

#include "control/api/client.h"
#include "control/api/methods.h"
#include "tools/culvertctl/table.h"

#include <jansson.h>

#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// --- lists since a moment --------------------------------------------------------------------------------

// "90m", "2h", "7d" ago, a UNIX time, "2026-11-28" or "2026-11-28T10:00[:00]" here. -1 = none of these.
static int64_t moment(const char *text)
{
	static const struct {
		char unit;
		int64_t seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
	static const char *const formats[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S",
		"%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d"};
	char *end;
	int64_t number = strtoll(text, &end, 10);

	if (end != text && *end == '\0' && number >= 0)
		return number;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (end != text && number >= 0 && number < 1000000 && *end == units[i].unit &&
			end[1] == '\0')
			return (int64_t)time(NULL) - number * units[i].seconds;
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		struct tm tm = {.tm_isdst = -1};
		const char *rest = strptime(text, formats[i], &tm);
		if (rest != NULL && *rest == '\0')
			return (int64_t)mktime(&tm);
	}
	return -1;
}

int run_since(struct context *context)
{
	const char *text = local_text(context, "since");
	struct api_error error;

	if (text != NULL) {
		int64_t since = moment(text);
		if (since < 0) {
			api_fail(&error, API_USAGE,
				"as 30m, 2h, 7d (ago), 2026-11-28, 2026-11-28T10:00 or a UNIX time",
				"--since \"%.64s\" is no time", text);
			return complain(&error);
		}
		json_object_set_new(context->params, "since", json_integer(since));
	}
	return run_recent(context);
}

// --- backup ----------------------------------------------------------------------------------------------

static int copy_out(int from, int to)
{
	char buffer[65536];
	ssize_t got;

	if (lseek(from, 0, SEEK_SET) < 0)
		return -errno;
	while ((got = read(from, buffer, sizeof(buffer))) > 0)
		for (ssize_t done = 0; done < got;) {
			ssize_t written = write(to, buffer + done, (size_t)(got - done));
			if (written < 0 && errno != EINTR)
				return -errno;
			done += written > 0 ? written : 0;
		}
	return got < 0 ? -errno : 0;
}

// An empty file, or one that begins as a backup does.
static bool may_be_replaced(const char *path)
{
	static const char begin[] = API_BACKUP_MAGIC;
	char text[sizeof(begin) - 1];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text));

	if (fd >= 0)
		close(fd);
	return got == 0 || (got == (ssize_t)sizeof(text) && memcmp(text, begin, sizeof(text)) == 0);
}

// What is written takes the place of FILE: nothing but an earlier backup may stand there, the store and its key least of all.
static int check_place(const char *path, struct api_error *error)
{
	struct stat there;

	if (lstat(path, &there) < 0)
		return 0; // what else is wrong with it is seen when it is written
	if (S_ISREG(there.st_mode) && may_be_replaced(path))
		return 0;
	if (S_ISREG(there.st_mode))
		return api_fail(error, API_REFUSED, "give the path of a new file, or of an old backup",
			"%s is there and no backup", path);
	return api_fail(error, API_REFUSED, "give the path of a new file, or of an old backup",
		"%s is %s, not a regular file", path,
		S_ISLNK(there.st_mode)    ? "a symbolic link"
		: S_ISDIR(there.st_mode)  ? "a directory"
		: S_ISFIFO(there.st_mode) ? "a FIFO"
		: S_ISSOCK(there.st_mode) ? "a socket"
					  : "a device");
}

// Under another name first, so that FILE is always a whole one: this one, or the one before.
static int write_backup(const char *path, int from, struct api_error *error)
{
	char partial[PATH_MAX];

	if (snprintf(partial, sizeof(partial), "%s.new", path) >= (int)sizeof(partial))
		return api_fail(error, API_USAGE, NULL, "the file's name is too long");
	unlink(partial);
	int fd = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int ret = fd < 0 ? -errno : copy_out(from, fd);
	if (ret == 0 && (fsync(fd) < 0 || rename(partial, path) < 0))
		ret = -errno;
	if (fd >= 0)
		close(fd);
	if (ret == 0)
		return 0;
	unlink(partial);
	return api_fail(error, API_REFUSED, "give another path", "cannot write %s: %s", path,
		strerror(-ret));
}

int run_backup(struct context *context)
{
	struct api_error error;
	json_t *result = NULL;
	char when[TEXT_MAX];

	if (check_place(context->argument, &error) < 0)
		return complain(&error);
	int fd = memfd_create("culvert-backup", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0) {
		api_fail(&error, API_INTERNAL, NULL, "no memory file: %s", strerror(errno));
		return complain(&error);
	}
	struct api_client *client = client_of(context, &error);
	int ret =
		client == NULL ? -1 : api_call_into(client, API_STORE_BACKUP, fd, &result, &error);
	if (ret == 0)
		ret = write_backup(context->argument, fd, &error);
	close(fd);
	if (ret < 0) {
		json_decref(result);
		return complain(&error);
	}
	if (context->json)
		print_json(result);
	else
		printf("%s: store %s, revision %" PRId64
		       ", %s; it holds the key and all passwords\n",
			context->argument, get_text(result, "store"),
			get_number(result, "revision"),
			time_text(get_number(result, "time"), when));
	json_decref(result);
	return 0;
}

// --- restore ---------------------------------------------------------------------------------------------

int run_restore(struct context *context)
{
	static char program[] = "culvertd", config[] = "--config", restore[] = "--restore",
		    replace[] = "--replace";
	const char *node = local_text(context, "config");
	char beside[PATH_MAX] = "", *words[8];
	struct api_error error;
	int count = 0;
	ssize_t length = readlink("/proc/self/exe", beside, sizeof(beside) - sizeof("/culvertd"));

	words[count++] = program;
	if (node != NULL) {
		words[count++] = config;
		words[count++] = (char *)(uintptr_t)node;
	}
	words[count++] = restore;
	words[count++] = (char *)(uintptr_t)context->argument;
	if (local_switch(context, "replace"))
		words[count++] = replace;
	words[count] = NULL;
	fflush(stdout);
	if (length > 0 && strrchr(beside, '/') != NULL) {
		strcpy(strrchr(beside, '/'), "/culvertd");
		execv(beside, words);
	}
	execvp("culvertd", words);
	api_fail(&error, API_NOT_FOUND, "it is beside culvertctl, or in the PATH",
		"culvertd, which restores, is not found: %s", strerror(errno));
	return complain(&error);
}
