// SPDX-License-Identifier: BSD-3-Clause
// Capabilities belong to threads, and the EAL has started some that take no orders: each is
// interrupted by a signal whose handler does it. Only two system calls are made there. Without the
// second, a program that root's process executes would have them all again.

#include "dataplane/capabilities.h"

#include <dirent.h>
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 2000

static struct __user_cap_data_struct wanted[2];
static unsigned followed, failed;

static int set(void)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};

	if (syscall(SYS_capset, &header, wanted))
		return -errno;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : 0;
}

static void on_order(int number)
{
	int saved = errno;

	if (set() != 0)
		__atomic_add_fetch(&failed, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&followed, 1, __ATOMIC_RELEASE);
	errno = saved;
}

static int order_all(int number)
{
	DIR *tasks = opendir("/proc/self/task");
	const struct dirent *entry;
	unsigned asked = 0;

	if (!tasks)
		return -errno;
	while ((entry = readdir(tasks)) != NULL) {
		int task = atoi(entry->d_name);

		if (task > 0 && syscall(SYS_tgkill, getpid(), task, number) == 0)
			asked++;
	}
	closedir(tasks);
	for (unsigned ms = 0; __atomic_load_n(&followed, __ATOMIC_ACQUIRE) < asked; ms++) {
		const struct timespec moment = {.tv_nsec = 1000000};

		if (ms == PATIENCE_MS)
			return -ETIMEDOUT;
		nanosleep(&moment, NULL);
	}
	return failed ? -EPERM : 0;
}

static void describe(char *left, unsigned size)
{
	static const struct {
		unsigned bit;
		const char *name;
	} names[] = {
		{CAP_NET_ADMIN, "net_admin"},
		{CAP_NET_RAW, "net_raw"},
		{CAP_IPC_LOCK, "ipc_lock"},
		{CAP_BPF, "bpf"},
		{CAP_SYS_ADMIN, "sys_admin"},
	};
	unsigned at = 0;

	snprintf(left, size, "none");
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]) && at < size; i++)
		if (wanted[names[i].bit / 32].permitted & 1u << names[i].bit % 32)
			at += (unsigned)snprintf(
				left + at, size - at, "%s%s", at ? "," : "", names[i].name);
}

int capabilities_keep(uint64_t keep, char *left, unsigned size)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct sigaction order = {.sa_handler = on_order, .sa_flags = SA_RESTART};
	int number = SIGRTMIN + 1, err;

	if (syscall(SYS_capget, &header, wanted))
		return -errno;
	for (unsigned i = 0; i < 2; i++) {
		wanted[i].permitted &= (uint32_t)(keep >> 32 * i);
		wanted[i].effective = wanted[i].permitted;
		wanted[i].inheritable = 0;
	}
	sigaction(number, &order, NULL);
	err = order_all(number);
	signal(number, SIG_IGN);
	describe(left, size);
	return err;
}
