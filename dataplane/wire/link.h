/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WIRE_LINK_H
#define WIRE_LINK_H

// Both ends of the socket between culvertd and culvert-dataplane. Everything is non-blocking; the
// owner polls wire_link_fd() for input always and for output while wire_link_backlog() is not 0.
// One thread per link.
//
// Order of a conversation: the controller connects and sends HELLO; the data plane answers HELLO,
// then PORT for each port. From then on every message of the controller (HELLO excepted) is
// answered with exactly one ACK of the same seq, in order; the replies to a DUMP (SET messages and
// DUMP_END, all with its seq) come before its ACK. Events have seq 0. A controller has at most
// WIRE_WINDOW messages without an ACK under way: wire_send() refuses the next with -EAGAIN; a data
// plane whose controller exceeds the window just stops reading.
//
// A controller whose HELLO names another store than the data plane was configured from, or an older
// revision, gets -ESTALE for every SET, DELETE and END until a forced BEGIN was accepted.
//
// Sweeps of several scopes may be open at once. END counts, since its BEGIN: VRF_SET, INTERFACE_SET
// (or _EXCHANGE), LIMITER_SET and LOCAL_SET (configuration), ROUTE_SET of that VRF (routes),
// NEIGHBOR_SET, PATH_SET and GROUP_SET (next hops). An END that is refused voids its sweep. What is
// swept but still in use goes with a later END that frees it.
//
// What an error means in an ACK:
//   -EINVAL      padding, range or id of this record
//   -ENOENT      refers to something that does not exist (SET), or is not there (DELETE)
//   -EBUSY       DELETE of something in use; SET of an interface to another kind, or in use to
//                another VRF
//   -EEXIST      the (port, VLAN stack), GRE triple or address belongs to another id
//   -ENOSPC      a table, or the VRF's quota, is full
//   -EBADF       HOST_SET names a descriptor that was not sent
//   -ESTALE      BEGIN with another store or an older revision
//   -EBADMSG     END whose count differs; message that lies about its length
//   -EPERM       END that would sweep too much; a record before HELLO
//   -EOPNOTSUPP  unknown message type; an interface that is not core on a port whose driver puts
//                fragments of different customers together (net_af_packet); one with a tag on a port
//                whose driver may hide it, one with and one without on a port that may do so again
//   -EPROTO      another major version; the link is closed after it

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "dataplane/wire/codec.h"

struct wire_listener;
struct wire_link;

// Listens at `path` (an abandoned socket there is removed, a live one gives -EADDRINUSE; mode
// 0660). Only peers whose effective uid is ours, 0 or `uid` are let in.
int wire_listen(const char *path, uid_t uid, struct wire_listener **listener);
void wire_listener_close(struct wire_listener *listener); // removes the socket

// Whether the socket's file is still the one that was made: 0. 1: it was gone, and a new one is
// there now; the descriptor is another one. Errors as of wire_listen(), with nothing changed; try
// again later.
int wire_listener_renew(struct wire_listener *listener);
int wire_listener_fd(const struct wire_listener *listener);

// Takes the next controller. `current` is the link in use or NULL. -EAGAIN: nobody waits. -EBUSY:
// `current` is alive, the newcomer was told (his connection ends). -EPERM: wrong uid, likewise.
// When `current` has hung up, the newcomer is accepted and the caller closes `current`. Others,
// such as -EMFILE: the newcomer still waits, and the listener stays readable: look away from it for
// a while.
int wire_accept(
	struct wire_listener *listener, const struct wire_link *current, struct wire_link **link);

int wire_connect(const char *path, struct wire_link **link);

// Adopts a connected SOCK_SEQPACKET socket (tests). `direction` is what this end receives:
// WIRE_TO_*.
int wire_link_adopt(int fd, unsigned direction, struct wire_link **link);

void wire_link_close(struct wire_link *link); // NULL is fine
int wire_link_fd(const struct wire_link *link);

// Nonzero when the peer has gone. Does not read, so messages that it sent before may still be
// waiting.
int wire_link_hung_up(const struct wire_link *link);

// Sends, or queues when the socket is full (a message with descriptors: duplicates are queued, the
// caller keeps his). seq 0 in a controller's message is replaced by the next number, which stays
// readable in m->header.seq afterwards. -EAGAIN: window full (controller), -ENOBUFS: more than
// WIRE_BACKLOG_MAX bytes queued, -EPIPE: peer gone.
int wire_send(struct wire_link *link, struct wire_message *m, const int *fds, unsigned fds_count);

#define WIRE_BACKLOG_MAX (256u << 20)

// Bytes queued that the socket did not take yet; flush when it is writable. 0 or -EPIPE.
size_t wire_link_backlog(const struct wire_link *link);
int wire_link_flush(struct wire_link *link);

// Messages that may be sent before an ACK must come (controller's end).
unsigned wire_link_window(const struct wire_link *link);

// Receives one message. 1 = *m is a checked message and *fds_count descriptors are the caller's to
// close (all close-on-exec). 0 = nothing there. Negative: -EPIPE the peer has gone; -EBADMSG not
// even a header of ours: close the link; other errors of wire_message_check: the header is
// readable, descriptors are closed, answer with ACK for the whole message. `fds` has room for
// WIRE_FDS_MAX.
int wire_receive(struct wire_link *link, struct wire_message *m, int *fds, unsigned *fds_count);

#endif
