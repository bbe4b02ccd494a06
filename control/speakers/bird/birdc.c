// SPDX-License-Identifier: BSD-3-Clause
// BIRD's control protocol (its doc/prog guide, section "Command line interface"): a greeting, then for each
// command lines "NNNN-text", with " text" for more of the same code, until a line "NNNN text". Codes under 8000
// are good, 8000 to 8999 are errors of the daemon, 9000 on errors in the command. One command is on its way at a
// time, the others queue. Whether the daemon says something while it should is known here; what follows when it does not is its
// owner's to decide.

#include "control/speakers/bird/birdc.h"

#include "control/api/text.h"
#include "control/base/turns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

enum { READ_AT_ONCE = 16384, LINE_MAX_BYTES = 1 << 20 };

struct command {
	STAILQ_ENTRY(command) entry;
	birdc_line line;
	birdc_done done;
	void *ctx;
	char text[];
};

struct birdc {
	struct event_base *base;
	struct sockaddr_un address;
	struct bufferevent *stream;
	bool open;         // somebody took the connection
	bool ready;        // ..: and has greeted
	bool sent;         // the first of the queue is with the daemon
	bool spoke;        // it has said something since birdc_silent() was asked last
	unsigned int code; // of the last line
	birdc_state state;
	void *ctx;
	STAILQ_HEAD(, command) queue;
};

static void finish(struct birdc *birdc, int error, unsigned int code, const char *text)
{
	struct command *command = STAILQ_FIRST(&birdc->queue);

	STAILQ_REMOVE_HEAD(&birdc->queue, entry);
	birdc->sent = false;
	if (command->done)
		command->done(command->ctx, error, code, text);
	free(command);
}

static void disconnect(struct birdc *birdc, int error)
{
	if (birdc->stream)
		bufferevent_free(birdc->stream);
	birdc->stream = NULL;
	birdc->open = birdc->ready = birdc->sent = false;
	while (!STAILQ_EMPTY(&birdc->queue))
		finish(birdc, error, 0, "");
}

static void lost(struct birdc *birdc)
{
	disconnect(birdc, -ECONNRESET);
	birdc->state(birdc->ctx, false);
}

static void send_next(struct birdc *birdc)
{
	struct command *command = STAILQ_FIRST(&birdc->queue);

	if (!birdc->ready || birdc->sent || command == NULL)
		return;
	birdc->sent = true;
	bufferevent_write(birdc->stream, command->text, strlen(command->text));
}

// One line without its newline. False when the daemon speaks something else.
static bool take_line(struct birdc *birdc, const char *text)
{
	struct command *command = birdc->sent ? STAILQ_FIRST(&birdc->queue) : NULL;
	bool last = false;

	if (text[0] == '+')
		return true; // a log message echoed to us
	if (text[0] == ' ') {
		text++;
	} else {
		if (strspn(text, "0123456789") != 4 || (text[4] != '-' && text[4] != ' '))
			return false;
		birdc->code = (unsigned int)atoi(text);
		last = text[4] == ' ';
		text += 5;
	}
	if (command == NULL) {
		if (!birdc->ready && last) { // the greeting
			birdc->ready = true;
			birdc->state(birdc->ctx, true);
		}
		return true;
	}
	if (command->line)
		command->line(command->ctx, birdc->code, text);
	if (last)
		finish(birdc, 0, birdc->code, text);
	return true;
}

static void on_read(struct bufferevent *stream, void *ctx)
{
	struct birdc *birdc = ctx;
	struct evbuffer *input = bufferevent_get_input(stream);
	char *text;

	turns_note("bird: answer");
	birdc->spoke = true;
	while (birdc->stream == stream &&
		(text = evbuffer_readln(input, NULL, EVBUFFER_EOL_LF)) != NULL) {
		api_text_mend(text); // it quotes what far ends send
		bool good = take_line(birdc, text);
		free(text);
		if (!good) {
			lost(birdc);
			return;
		}
		send_next(birdc);
	}
	if (birdc->stream == stream && evbuffer_get_length(input) > LINE_MAX_BYTES)
		lost(birdc);
}

static void on_event(struct bufferevent *stream, short what, void *ctx)
{
	struct birdc *birdc = ctx;

	turns_note("bird: socket");
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
		lost(birdc);
	else if (what & BEV_EVENT_CONNECTED)
		birdc->open = true;
}

struct birdc *birdc_create(struct event_base *base, const char *path, birdc_state state, void *ctx)
{
	struct birdc *birdc = calloc(1, sizeof(*birdc));

	if (birdc == NULL || strlen(path) >= sizeof(birdc->address.sun_path)) {
		free(birdc);
		return NULL;
	}
	birdc->base = base;
	birdc->state = state;
	birdc->ctx = ctx;
	birdc->address.sun_family = AF_UNIX;
	strcpy(birdc->address.sun_path, path);
	STAILQ_INIT(&birdc->queue);
	return birdc;
}

void birdc_destroy(struct birdc *birdc)
{
	if (birdc == NULL)
		return;
	disconnect(birdc, -ECANCELED);
	free(birdc);
}

void birdc_connect(struct birdc *birdc)
{
	if (birdc->stream)
		return;
	birdc->stream = bufferevent_socket_new(
		birdc->base, -1, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	if (birdc->stream == NULL)
		return;
	bufferevent_set_max_single_read(birdc->stream, READ_AT_ONCE);
	bufferevent_setcb(birdc->stream, on_read, NULL, on_event, birdc);
	bufferevent_enable(birdc->stream, EV_READ | EV_WRITE);
	if (bufferevent_socket_connect(birdc->stream, (struct sockaddr *)&birdc->address,
		    sizeof(birdc->address)) < 0) {
		disconnect(birdc, -ECONNREFUSED); // the owner's timer tries again
	}
}

bool birdc_open(const struct birdc *birdc)
{
	return birdc->open;
}

bool birdc_ready(const struct birdc *birdc)
{
	return birdc->ready;
}

bool birdc_silent(struct birdc *birdc)
{
	bool silent = birdc->open && (!birdc->ready || birdc->sent) && !birdc->spoke;

	birdc->spoke = false;
	return silent;
}

void birdc_drop(struct birdc *birdc)
{
	if (birdc->stream)
		lost(birdc);
}

int birdc_pid(const struct birdc *birdc)
{
	struct ucred peer = {0};
	socklen_t size = sizeof(peer);

	if (!birdc->open || getsockopt(bufferevent_getfd(birdc->stream), SOL_SOCKET, SO_PEERCRED,
				     &peer, &size) != 0)
		return 0;
	return peer.pid;
}

int birdc_command(
	struct birdc *birdc, const char *text, birdc_line line, birdc_done done, void *ctx)
{
	size_t len = strlen(text);

	if (!birdc->ready)
		return -ENOTCONN;
	struct command *command = malloc(sizeof(*command) + len + 2);
	if (command == NULL)
		return -ENOMEM;
	*command = (struct command){.line = line, .done = done, .ctx = ctx};
	memcpy(command->text, text, len);
	memcpy(command->text + len, "\n", 2);
	STAILQ_INSERT_TAIL(&birdc->queue, command, entry);
	send_next(birdc);
	return 0;
}
