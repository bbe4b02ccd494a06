// SPDX-License-Identifier: BSD-3-Clause

// Who is at the other end of a socket. The kernel answers that: SO_PEERCRED has uid, pid and primary group as
// they were at connect(), SO_PEERGROUPS the supplementary groups. Groups are compared by number, so no name
// service is asked while a client waits. The overflow uid and gid stand for "somebody of another user
// namespace" and are never given a role, whatever the node file says.

#include "control/rpc/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define GROUPS_MAX 65536 // NGROUPS_MAX of Linux

static int peer_groups(int fd, gid_t **groups, size_t *count)
{
	socklen_t length = 64 * sizeof(gid_t);

	for (;;) {
		gid_t *list = malloc(length);

		if (list == NULL)
			return -ENOMEM;
		if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, list, &length) == 0) {
			*groups = list;
			*count = length / sizeof(gid_t);
			return 0;
		}
		free(list);
		// ERANGE has set length to what is needed.
		if (errno != ERANGE || length > GROUPS_MAX * sizeof(gid_t))
			return -errno;
	}
}

static bool in_groups(const gid_t *groups, size_t count, gid_t gid)
{
	for (size_t i = 0; i < count; i++)
		if (groups[i] == gid)
			return true;
	return false;
}

int peer_identify(const struct rpc_server *server, int fd, struct client *client)
{
	struct ucred credentials;
	socklen_t length = sizeof(credentials);
	gid_t *groups = NULL;
	size_t count = 0;
	int ret;

	client->role = RPC_NONE;
	client->provider = NULL;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0)
		return -errno;
	client->uid = credentials.uid;
	client->pid = credentials.pid;
	if (credentials.uid == server->overflow_uid || credentials.uid == (uid_t)-1)
		return 0;
	ret = peer_groups(fd, &groups, &count);
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < server->options.grant_count; i++) {
		const struct rpc_grant *grant = &server->grants[i];
		bool match = grant->group ? grant->id != server->overflow_gid &&
						    (grant->id == credentials.gid ||
							    in_groups(groups, count, grant->id))
					  : grant->id == credentials.uid;

		// Of equal roles the one that sees all.
		bool more = grant->role > client->role ||
			    (grant->role == client->role && grant->provider == NULL);
		if (match && more) {
			client->role = grant->role;
			client->provider = grant->provider;
		}
	}
	free(groups);
	return 0;
}
