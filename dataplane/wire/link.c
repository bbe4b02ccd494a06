// SPDX-License-Identifier: BSD-3-Clause
// Both ends of the control socket: SOCK_SEQPACKET, so that a message is a datagram that arrives
// whole or not at all, in order, over a connection whose end is noticed.
//
// There is one controller at a time. When another one knocks, the present one is polled: a process
// that was killed has hung up although nobody read that yet, and its successor must not be turned
// away because of it. A living one stays, and the newcomer's connection ends.
//
// Nothing here blocks. What the socket does not take is queued, in order; the owner polls for
// output as long as there is a backlog. Descriptors that go into the queue are duplicated, so the
// caller's remain the caller's. Received descriptors are close-on-exec, and closed here whenever
// the message they came with is refused.

#include "dataplane/wire/link.h"

#include "dataplane/wire/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET_BUFFER (4 << 20) // both ways; the kernel clamps it to its limits

struct wire_listener {
	int fd;
	uid_t uid;
	dev_t device; // of the socket's file, to know it again
	ino_t inode;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

struct queued {
	struct queued *next;
	uint32_t length;
	unsigned fds_count;
	int *fds; // duplicates; behind the bytes
	uint8_t data[];
};

struct wire_link {
	int fd;
	unsigned receives; // WIRE_TO_*
	uint64_t sent;     // last seq given out
	uint64_t acked;
	struct queued *first;
	struct queued **last;
	size_t backlog;
};

static void close_all(const int *fds, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
}

static int address(const char *path, struct sockaddr_un *a)
{
	if (strlen(path) >= sizeof(a->sun_path))
		return -ENAMETOOLONG;
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	memcpy(a->sun_path, path, strlen(path) + 1);
	return 0;
}

static int new_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

// Removes a socket that nobody listens on. Anything else at the path is left alone.
static int remove_abandoned(const struct sockaddr_un *a)
{
	struct stat st;
	int fd, err;

	if (lstat(a->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = new_socket();
	if (fd < 0)
		return fd;
	err = connect(fd, (const struct sockaddr *)a, sizeof(*a)) < 0 ? errno : 0;
	close(fd);
	if (err != ECONNREFUSED)
		return -EADDRINUSE;
	return unlink(a->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

// Binds a socket at the listener's path and listens; the listener is as before on error.
static int bind_at(struct wire_listener *l)
{
	struct sockaddr_un a;
	struct stat st;
	int fd, err = address(l->path, &a);

	if (!err)
		err = remove_abandoned(&a);
	if (err)
		return err;
	directory_above(l->path, 0755);
	fd = new_socket();
	if (fd < 0)
		return fd;
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	if (chmod(l->path, 0660) < 0 || lstat(l->path, &st) < 0 || listen(fd, 8) < 0) {
		err = -errno;
		unlink(l->path);
		close(fd);
		return err;
	}
	l->fd = fd;
	l->device = st.st_dev;
	l->inode = st.st_ino;
	return 0;
}

int wire_listen(const char *path, uid_t uid, struct wire_listener **listener)
{
	struct wire_listener *l = calloc(1, sizeof(*l));
	int err;

	if (l == NULL)
		return -ENOMEM;
	l->uid = uid;
	err = strlen(path) < sizeof(l->path) ? 0 : -ENAMETOOLONG;
	if (!err) {
		strcpy(l->path, path);
		err = bind_at(l);
	}
	if (err)
		free(l);
	else
		*listener = l;
	return err;
}

static bool is_ours(const struct wire_listener *l)
{
	struct stat st;

	return lstat(l->path, &st) == 0 && st.st_dev == l->device && st.st_ino == l->inode;
}

int wire_listener_renew(struct wire_listener *l)
{
	int old = l->fd, err;

	if (is_ours(l))
		return 0;
	err = bind_at(l);
	if (err)
		return err;
	close(old);
	return 1;
}

void wire_listener_close(struct wire_listener *l)
{
	if (l == NULL)
		return;
	if (is_ours(l)) // else it is another data plane's by now
		unlink(l->path);
	close(l->fd);
	free(l);
}

int wire_listener_fd(const struct wire_listener *l)
{
	return l->fd;
}

static int hung_up(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLRDHUP};

	return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLRDHUP | POLLERR));
}

static int peer_allowed(int fd, uid_t uid)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return -errno;
	return peer.uid == geteuid() || peer.uid == 0 || peer.uid == uid ? 0 : -EPERM;
}

int wire_accept(struct wire_listener *l, const struct wire_link *current, struct wire_link **link)
{
	int fd, err;

	fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return errno == ECONNABORTED || errno == EINTR ? -EAGAIN : -errno;
	err = hung_up(fd) ? -EAGAIN : peer_allowed(fd, l->uid); // gone already: a probe
	if (!err && current && !wire_link_hung_up(current))
		err = -EBUSY;
	if (!err)
		err = wire_link_adopt(fd, WIRE_TO_DATAPLANE, link);
	if (err)
		close(fd);
	return err;
}

int wire_connect(const char *path, struct wire_link **link)
{
	struct sockaddr_un a;
	int fd, err;

	err = address(path, &a);
	if (err)
		return err;
	fd = new_socket();
	if (fd < 0)
		return fd;
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		err = -errno;
	else
		err = wire_link_adopt(fd, WIRE_TO_CONTROLLER, link);
	if (err)
		close(fd);
	return err;
}

int wire_link_adopt(int fd, unsigned direction, struct wire_link **link)
{
	struct wire_link *l = calloc(1, sizeof(*l));
	int size = SOCKET_BUFFER;

	if (l == NULL)
		return -ENOMEM;
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
		free(l);
		return -errno;
	}
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	l->fd = fd;
	l->receives = direction;
	l->last = &l->first;
	*link = l;
	return 0;
}

void wire_link_close(struct wire_link *l)
{
	if (l == NULL)
		return;
	for (struct queued *q = l->first, *next; q; q = next) {
		next = q->next;
		close_all(q->fds, q->fds_count);
		free(q);
	}
	close(l->fd);
	free(l);
}

int wire_link_fd(const struct wire_link *l)
{
	return l->fd;
}

int wire_link_hung_up(const struct wire_link *l)
{
	return hung_up(l->fd);
}

static int send_now(int fd, const void *data, size_t length, const int *fds, unsigned n)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(WIRE_FDS_MAX * sizeof(int))];
	struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = length};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t sent;

	if (n) {
		struct cmsghdr *c;

		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
		memset(control, 0, msg.msg_controllen);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	}
	do
		sent = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return 0;
	if (errno == ECONNRESET || errno == ENOTCONN)
		return -EPIPE;
	// ETOOMANYREFS: too many descriptors in flight, the peer must read first.
	return errno == ETOOMANYREFS || errno == ENOBUFS ? -EAGAIN : -errno;
}

static int enqueue(struct wire_link *l, const struct wire_message *m, const int *fds, unsigned n)
{
	size_t aligned = (m->header.len + sizeof(int) - 1) & ~(sizeof(int) - 1);
	struct queued *q;

	if (l->backlog + m->header.len > WIRE_BACKLOG_MAX)
		return -ENOBUFS;
	q = malloc(sizeof(*q) + aligned + n * sizeof(int));
	if (q == NULL)
		return -ENOMEM;
	q->next = NULL;
	q->length = m->header.len;
	q->fds = (int *)(void *)(q->data + aligned);
	memcpy(q->data, m->data, q->length);
	for (q->fds_count = 0; q->fds_count < n; q->fds_count++) {
		int fd = fcntl(fds[q->fds_count], F_DUPFD_CLOEXEC, 0);

		if (fd < 0) {
			int err = -errno;

			close_all(q->fds, q->fds_count);
			free(q);
			return err;
		}
		q->fds[q->fds_count] = fd;
	}
	*l->last = q;
	l->last = &q->next;
	l->backlog += q->length;
	return 0;
}

int wire_send(struct wire_link *l, struct wire_message *m, const int *fds, unsigned n)
{
	int controller = l->receives == WIRE_TO_CONTROLLER;
	int err = -EAGAIN, numbered = 0;

	if (n > WIRE_FDS_MAX)
		return -EINVAL;
	if (controller && m->header.type != WIRE_HELLO) {
		if (!wire_link_window(l))
			return -EAGAIN;
		if (!m->header.seq)
			m->header.seq = l->sent + 1;
		numbered = 1;
	}
	if (l->first == NULL)
		err = send_now(l->fd, m->data, m->header.len, fds, n);
	if (err == -EAGAIN)
		err = enqueue(l, m, fds, n);
	if (!err && numbered)
		l->sent = m->header.seq;
	return err;
}

size_t wire_link_backlog(const struct wire_link *l)
{
	return l->backlog;
}

int wire_link_flush(struct wire_link *l)
{
	while (l->first) {
		struct queued *q = l->first;
		int err = send_now(l->fd, q->data, q->length, q->fds, q->fds_count);

		if (err)
			return err == -EAGAIN ? 0 : err;
		l->first = q->next;
		if (l->first == NULL)
			l->last = &l->first;
		l->backlog -= q->length;
		close_all(q->fds, q->fds_count);
		free(q);
	}
	return 0;
}

unsigned wire_link_window(const struct wire_link *l)
{
	uint64_t under_way = l->sent - l->acked;

	return under_way >= WIRE_WINDOW ? 0 : WIRE_WINDOW - (unsigned)under_way;
}

// Takes the descriptors out of the control data. Returns how many.
static unsigned take_fds(struct msghdr *msg, int *fds)
{
	unsigned n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t bytes;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		bytes = c->cmsg_len - CMSG_LEN(0);
		memcpy(fds + n, CMSG_DATA(c), bytes);
		n += (unsigned)(bytes / sizeof(int));
	}
	return n;
}

int wire_receive(struct wire_link *l, struct wire_message *m, int *fds, unsigned *fds_count)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(WIRE_FDS_MAX * sizeof(int))];
	struct iovec iov = {.iov_base = m->data, .iov_len = sizeof(m->data)};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	ssize_t got;
	int err;

	*fds_count = 0;
	do
		got = recvmsg(l->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EAGAIN ? 0 : errno == ECONNRESET ? -EPIPE : -errno;
	*fds_count = take_fds(&msg, fds);
	if (got == 0 && !*fds_count)
		return -EPIPE; // an empty datagram looks the same and is no message either

	err = msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)
		      ? -EBADMSG
		      : wire_message_check(m, (size_t)got, l->receives);
	if (err) {
		close_all(fds, *fds_count);
		*fds_count = 0;
		return err;
	}
	if (m->header.type == WIRE_ACK && m->header.seq > l->acked && m->header.seq <= l->sent)
		l->acked = m->header.seq;
	return 1;
}
