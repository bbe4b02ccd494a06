// SPDX-License-Identifier: BSD-3-Clause
// Whoever may open the control socket's file is asked for his role; whoever may not never comes so far, whatever the
// node file grants him. That is two settings for one wish, so what one takes back of the other is said at the start.

#include "control/roles.h"

#include "control/node.h"
#include "control/rpc/rpc.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#define OTHERS_WRITE 02u
#define GROUP_WRITE  020u
#define MODE         0660u // of the socket when the node file has none

static int grant_id(const struct node_grant *from, struct rpc_grant *to, struct api_error *error)
{
	to->group = from->group != NULL || from->gid != NULL;
	if (from->user != NULL) {
		const struct passwd *user = getpwnam(from->user);
		if (user == NULL)
			return api_fail(error, API_INVALID, "getent passwd",
				"roles name a user \"%s\" that does not exist", from->user);
		to->id = user->pw_uid;
	} else if (from->group != NULL) {
		const struct group *group = getgrnam(from->group);
		if (group == NULL)
			return api_fail(error, API_INVALID, "getent group",
				"roles name a group \"%s\" that does not exist", from->group);
		to->id = group->gr_gid;
	} else {
		to->id = (uint32_t)strtoul(from->uid != NULL ? from->uid : from->gid, NULL, 10);
	}
	to->provider = from->provider;
	switch ((enum node_role)from->role) {
	case NODE_VIEWER:
		to->role = RPC_VIEWER;
		break;
	case NODE_OPERATOR:
		to->role = RPC_OPERATOR;
		break;
	case NODE_ADMIN:
		to->role = RPC_ADMIN;
		break;
	}
	return 0;
}

int roles_read(const struct node *node, struct rpc_grant **out, struct api_error *error)
{
	struct rpc_grant *grants = calloc(node->roles.count + 1, sizeof(*grants));

	if (grants == NULL)
		return -ENOMEM;
	for (unsigned int i = 0; i < node->roles.count; i++) {
		int result = grant_id(&node->roles.item[i], &grants[i], error);
		if (result != 0) {
			free(grants);
			return result;
		}
	}
	*out = grants;
	return 0;
}

int roles_group(const struct node *node, unsigned int *out, struct api_error *error)
{
	*out = 0;
	if (node->socket_group == NULL)
		return 0;
	const struct group *group = getgrnam(node->socket_group);
	if (group == NULL)
		return api_fail(error, API_INVALID, "getent group",
			"socket-group \"%s\" does not exist", node->socket_group);
	*out = group->gr_gid;
	return 0;
}

// --- who gets through the door ---------------------------------------------------------------------------

static bool is_in(const char *name, gid_t primary, gid_t wanted)
{
	int count = 0;

	getgrouplist(name, primary, NULL, &count);
	gid_t *groups = calloc((size_t)count + 1, sizeof(*groups));
	bool found = false;
	if (groups == NULL)
		return true; // no reason to complain
	if (getgrouplist(name, primary, groups, &count) < 0)
		count = 0;
	for (int i = 0; i < count; i++)
		found = found || groups[i] == wanted;
	free(groups);
	return found;
}

static bool user_opens(const struct passwd *user, mode_t mode, gid_t socket_group)
{
	if (user->pw_uid == 0 || user->pw_uid == geteuid())
		return true;
	return mode & GROUP_WRITE && is_in(user->pw_name, user->pw_gid, socket_group);
}

// A group opens what is its own; of another its members are looked at who stand in the list.
static bool group_opens(const struct group *group, mode_t mode, gid_t socket_group)
{
	if (group->gr_gid == socket_group)
		return mode & GROUP_WRITE;
	for (char **member = group->gr_mem; *member != NULL; member++) {
		const struct passwd *user = getpwnam(*member);
		if (user != NULL && user_opens(user, mode, socket_group))
			return true;
	}
	return false;
}

static bool opens(const struct rpc_grant *id, mode_t mode, gid_t socket_group)
{
	if (mode & OTHERS_WRITE)
		return true;
	if (id->group) {
		const struct group *group = getgrgid(id->id);
		return group != NULL ? group_opens(group, mode, socket_group)
				     : id->id == socket_group && mode & GROUP_WRITE;
	}
	const struct passwd *user = getpwuid(id->id);
	return user != NULL ? user_opens(user, mode, socket_group)
			    : id->id == 0 || id->id == geteuid();
}

bool roles_reach(const struct node *node, struct api_error *error)
{
	static const char *const names[] = {
		[NODE_VIEWER] = "viewer", [NODE_OPERATOR] = "operator", [NODE_ADMIN] = "admin"};
	mode_t mode = node->socket_mode != 0 ? node->socket_mode : MODE;
	gid_t socket_group = getegid();
	unsigned int given = 0;

	if (roles_group(node, &given, NULL) == 0 && node->socket_group != NULL)
		socket_group = given;
	for (unsigned int i = 0; i < node->roles.count; i++) {
		const struct node_grant *grant = &node->roles.item[i];
		struct rpc_grant id = {.group = false};
		if (grant_id(grant, &id, NULL) != 0 || opens(&id, mode, socket_group))
			continue;
		const char *who = grant->user != NULL    ? grant->user
				  : grant->uid != NULL   ? grant->uid
				  : grant->group != NULL ? grant->group
							 : grant->gid;
		api_fail(error, API_DENIED,
			"in the node file: a socket-group that he belongs to, or socket-mode: "
			"\"0666\", where roles alone decide",
			"%s \"%s\" has the role %s and may not open the control socket %s (mode "
			"%04o)",
			id.group ? "group" : "user", who, names[grant->role], node->socket,
			(unsigned int)mode);
		return false;
	}
	return true;
}
