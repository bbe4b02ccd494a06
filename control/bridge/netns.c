// SPDX-License-Identifier: BSD-3-Clause
// Host domains live in named network namespaces. A name is a file in /run/netns with the namespace bind-mounted
// on it, exactly as iproute2 does it, so that `ip netns` and every other tool find ours and we find ours again
// after a restart. The mount must be seen by other mount namespaces too (a speaker may be started by systemd):
// /run/netns is made a shared mount first, once.
//
// setns() moves only the calling thread, so the route thread steps in, opens what it needs (a TUN device, a
// netlink socket keep belonging to the namespace they were opened in) and steps out again. While it is inside,
// /proc/sys/net is the namespace's own.
//
// The kernel is the control plane's host stack and never a second router: forwarding is off in every domain.

#include "control/bridge/netns.h"

#include "control/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static void path_of(char *path, size_t size, const char *name)
{
	snprintf(path, size, NETNS_DIR "/%s", name);
}

// /run/netns as a shared mount point. Harmless to repeat.
static int make_directory(void)
{
	if (mkdir(NETNS_DIR, 0755) && errno != EEXIST)
		return -errno;
	if (mount("", NETNS_DIR, "none", MS_SHARED | MS_REC, NULL) == 0)
		return 0;
	if (errno != EINVAL) // EINVAL: not yet a mount point
		return -errno;
	if (mount(NETNS_DIR, NETNS_DIR, "none", MS_BIND | MS_REC, NULL))
		return -errno;
	if (mount("", NETNS_DIR, "none", MS_SHARED | MS_REC, NULL))
		return -errno;
	return 0;
}

static int open_own(void)
{
	return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

// A namespace file is one of ours to use when it is on the nsfs; a bare file is what a crash between
// creating it and mounting left behind.
static bool is_namespace(int fd)
{
	int back;

	if (netns_enter(fd, &back))
		return false;
	netns_leave(back);
	return true;
}

// Unshares, binds the new namespace to the path and goes home.
static int make_namespace(const char *path)
{
	int err = 0;
	int home = open_own();

	if (home < 0)
		return -errno;
	int file = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0444);
	if (file < 0) {
		err = -errno;
		goto out_home;
	}
	close(file);
	if (unshare(CLONE_NEWNET)) {
		err = -errno;
		goto out_file;
	}
	if (mount("/proc/thread-self/ns/net", path, "none", MS_BIND, NULL))
		err = -errno;
	if (setns(home, CLONE_NEWNET))
		err = -errno;
	if (err == 0)
		goto out_home;
out_file:
	unlink(path);
out_home:
	close(home);
	return err;
}

int netns_open(const char *name, int *fd, bool *made)
{
	char path[512];
	int err = make_directory();

	*made = false;
	if (err)
		return err;
	path_of(path, sizeof(path), name);
	*fd = open(path, O_RDONLY | O_CLOEXEC);
	if (*fd >= 0 && is_namespace(*fd))
		return 0;
	if (*fd >= 0)
		close(*fd);
	err = make_namespace(path);
	if (err)
		return err;
	*made = true;
	*fd = open(path, O_RDONLY | O_CLOEXEC);
	return *fd < 0 ? -errno : 0;
}

int netns_number(const char *name, uint64_t *device, uint64_t *inode)
{
	char path[512];
	struct stat status;

	path_of(path, sizeof(path), name);
	if (stat(path, &status))
		return -errno;
	*device = status.st_dev;
	*inode = status.st_ino;
	return 0;
}

int netns_remove(const char *name)
{
	char path[512];

	path_of(path, sizeof(path), name);
	if (umount2(path, MNT_DETACH) && errno != EINVAL)
		return -errno;
	return unlink(path) ? -errno : 0;
}

int netns_enter(int fd, int *back)
{
	*back = open_own();
	if (*back < 0)
		return -errno;
	if (setns(fd, CLONE_NEWNET)) {
		int err = -errno;
		close(*back);
		*back = -1;
		return err;
	}
	return 0;
}

void netns_leave(int back)
{
	// Cannot fail for a descriptor we opened ourselves; staying inside would put everything that
	// follows into a customer's namespace, so that is the end.
	if (setns(back, CLONE_NEWNET)) {
		log_fatal("bridge", "cannot leave a network namespace", log_number("errno", errno));
		_exit(70);
	}
	close(back);
}

int netns_sysctl(const char *path, const char *value)
{
	char full[256];
	int err = 0;

	snprintf(full, sizeof(full), "/proc/sys/net/%s", path);
	int fd = open(full, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, value, strlen(value)) < 0)
		err = -errno;
	close(fd);
	return err;
}

int netns_keep(const char *path, const char *value)
{
	char full[256], have[16];

	snprintf(full, sizeof(full), "/proc/sys/net/%s", path);
	int fd = open(full, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0; // a kernel without IPv6 lacks some
	ssize_t n = read(fd, have, sizeof(have) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	have[n] = '\0';
	have[strcspn(have, "\n")] = '\0';
	return strcmp(have, value) != 0 && netns_sysctl(path, value) == 0;
}

enum netns_name netns_check(const char *name, int fd)
{
	struct stat mine;
	uint64_t device, inode;

	if (netns_number(name, &device, &inode) != 0)
		return NETNS_GONE;
	if (fstat(fd, &mine) != 0 || (device == mine.st_dev && inode == mine.st_ino))
		return NETNS_THERE;
	return NETNS_OTHER;
}

int netns_bind(const char *name, int fd)
{
	char path[512], from[64];
	int err = make_directory();

	if (err)
		return err;
	path_of(path, sizeof(path), name);
	snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
	int file = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (file < 0)
		return -errno;
	close(file);
	if (mount(from, path, "none", MS_BIND, NULL) == 0)
		return 0;
	err = -errno;
	unlink(path);
	return err;
}

unsigned int netns_harden(bool shared, const char **what)
{
	unsigned int wrong = 0;

	// In a shared namespace (host domain table) a packet must come in where the answer would go out;
	// alone in a namespace there is nobody to mistake it for, and a neighbor may well be asymmetric.
	const char *reverse = shared ? "1" : "0";
	const struct {
		const char *path, *value;
	} settings[] = {
		{"ipv4/ip_forward", "0"},
		{"ipv6/conf/all/forwarding", "0"},
		{"ipv4/conf/all/rp_filter", reverse},
		{"ipv4/conf/default/rp_filter", reverse},
		{"ipv4/conf/all/arp_ignore", "1"},
		{"ipv4/conf/default/arp_ignore", "1"},
		{"ipv4/conf/all/arp_announce", "2"},
		{"ipv4/conf/default/arp_announce", "2"},
		{"ipv4/conf/all/accept_redirects", "0"},
		{"ipv4/conf/default/accept_redirects", "0"},
		{"ipv4/conf/default/send_redirects", "0"},
		{"ipv6/conf/all/accept_ra", "0"},
		{"ipv6/conf/default/accept_ra", "0"},
		{"ipv6/conf/default/autoconf", "0"},
		{"ipv6/conf/default/accept_dad", "0"},
		{"ipv6/conf/default/dad_transmits", "0"},
		{"ipv6/conf/default/router_solicitations", "0"},
		{"ipv6/conf/default/accept_redirects", "0"},
		// A path is found dead after three unanswered probes of half a second.
		{"ipv4/neigh/default/retrans_time_ms", "500"},
		{"ipv6/neigh/default/retrans_time_ms", "500"},
	};

	for (unsigned int i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		if (netns_keep(settings[i].path, settings[i].value) == 0)
			continue;
		wrong++;
		if (what)
			*what = settings[i].path;
	}
	return wrong;
}
