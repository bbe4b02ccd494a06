/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TEST_RPC_HARNESS_H
#define TEST_RPC_HARNESS_H

// A server on a thread of its own, listening on a socket in a new directory, with a second thread in the place
// of culvertd's route thread. Tests are its clients.

#include <stdbool.h>
#include <stddef.h>

#include "control/rpc/rpc.h"

struct harness;

// options: limits and grants are used; without grants the own user is an administrator. setup, which may be
// NULL, runs before the loop and adds methods.
struct harness *harness_start(const struct rpc_options *options,
	void (*setup)(void *ctx, struct rpc_server *server, struct event_base *base), void *ctx);
void harness_stop(struct harness *harness);
const char *harness_path(const struct harness *harness);
// Only when the loop does not run in a handler of ours: read after what is asserted was answered.
void harness_counters(const struct harness *harness, struct rpc_counters *counters);

// A plain socket, for what no client would do.
int raw_connect(const struct harness *harness);
// Changes to the socket's directory: before a child gives up its user id and connects.
void raw_enter(const struct harness *harness);
void raw_send(int fd, const char *data, size_t length); // whole, as far as the other end takes it
// A line without its newline, NULL when the connection ended. A new string. Fails the test after 10 s.
char *raw_line(int fd);
// Waits for the end of the connection, reading what comes; how many bytes that was.
size_t raw_drain(int fd);

#endif
