// SPDX-License-Identifier: BSD-3-Clause

// Whose turn it is. Users take turns, not connections: each user that has a client with something to go on with stands
// once in a ring, and a turn is one request of one of its clients, who take turns among themselves. So whoever opens
// more connections, or sends more at once, waits for himself.
//
// The route thread is given one call of each user at a time, so that it has little to do between two looks at kernel and
// data plane (call.c). A user gets no turn while he has OPEN_MAX calls unanswered or UNSENT_MAX bytes unread; calls that are
// there to wait do not count. What he makes us hold in memory is bounded by HELD_MAX, but for a single request of his.

#include "control/rpc/server.h"

#include "control/base/clock.h"

#include <event2/event.h>

#include <stdlib.h>

#define TURNS_NS   2000000u // then sockets and timers are looked at
#define OPEN_MAX   16u
#define HELD_MAX   (96u << 20)
#define UNSENT_MAX (32u << 20)

// --- users ---------------------------------------------------------------------------------------------

struct user *user_get(struct rpc_server *server, uid_t uid)
{
	struct user *user;

	LIST_FOREACH (user, &server->users, entry)
		if (user->uid == uid)
			break;
	if (user == NULL) {
		user = calloc(1, sizeof(*user));
		if (user == NULL)
			return NULL;
		user->server = server;
		user->uid = uid;
		TAILQ_INIT(&user->ready);
		TAILQ_INIT(&user->waiting);
		LIST_INSERT_HEAD(&server->users, user, entry);
	}
	user->clients++;
	return user;
}

void user_release(struct user *user)
{
	if (user->clients > 0 || user->calls > 0 || user->running > 0)
		return;
	if (user->server != NULL)
		LIST_REMOVE(user, entry);
	if (user->queued)
		TAILQ_REMOVE(&user->server->turns, user, turn_entry);
	free(user);
}

void user_leave(struct user *user)
{
	user->clients--;
	user_release(user);
}

bool user_take(struct user *user, size_t bytes)
{
	user->full = user->held > 0 && user->held + bytes > HELD_MAX;
	if (!user->full)
		user->held += bytes;
	return !user->full;
}

void user_give_back(struct user *user, size_t bytes)
{
	user->held -= bytes;
	user->full = false;
	user_wake(user);
}

static bool may_go_on(const struct user *user)
{
	return !user->full && user->open < OPEN_MAX && user->unsent < UNSENT_MAX;
}

// --- turns ---------------------------------------------------------------------------------------------

void user_wake(struct user *user)
{
	const struct timeval now = {0, 0};

	if (user->server == NULL || user->queued || TAILQ_EMPTY(&user->ready) || !may_go_on(user))
		return;
	TAILQ_INSERT_TAIL(&user->server->turns, user, turn_entry);
	user->queued = true;
	// By a timer: what event_active() activates runs before sockets are looked at again.
	if (!event_pending(user->server->turn, EV_TIMEOUT, NULL))
		event_add(user->server->turn, &now);
}

void client_wake(struct client *client)
{
	struct user *user = client->user;

	if (!client->ready)
		TAILQ_INSERT_TAIL(&user->ready, client, ready_entry);
	client->ready = true;
	user_wake(user);
}

static void give_turn(struct user *user)
{
	struct client *client = TAILQ_FIRST(&user->ready);

	TAILQ_REMOVE(&user->ready, client, ready_entry);
	client->ready = false;
	user->clients++; // so that it outlives its client
	client_turn(client);
	user_wake(user);
	user_leave(user);
}

void turns_run(int fd, short what, void *ctx)
{
	const struct timeval now = {0, 0};
	struct rpc_server *server = ctx;
	uint64_t end = clock_ns() + TURNS_NS;
	struct user *user;

	while ((user = TAILQ_FIRST(&server->turns)) != NULL && clock_ns() < end) {
		TAILQ_REMOVE(&server->turns, user, turn_entry);
		user->queued = false;
		if (!TAILQ_EMPTY(&user->ready) && may_go_on(user))
			give_turn(user);
	}
	if (!TAILQ_EMPTY(&server->turns))
		event_add(server->turn, &now);
}
