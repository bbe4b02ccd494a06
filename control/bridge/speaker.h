/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BRIDGE_SPEAKER_H
#define BRIDGE_SPEAKER_H

// A BGP daemon of one namespace: its files, its process, its sessions.

#include "control/bridge/state.h"

struct birdc;
struct child;

enum speaker_phase {
	SPEAKER_IDLE,   // nothing to do
	SPEAKER_CHECK,  // bird -p runs on the new configuration
	SPEAKER_TELL,   // `configure` is on its way
	SPEAKER_SETTLE, // accepted, the daemon still changes over
};

struct speaker {
	struct space *space;
	char *directory;
	struct birdc *control;
	struct event *
		apply; // timer: files are to be written, or the daemon to be asked whether it is done
	struct event *poll; // timer: sessions
	struct child *checker, *launcher;
	enum speaker_phase phase;
	bool dirty;    // something declared is not in the files
	bool written;  // the daemon may start: its files are complete
	bool polling;  // `show protocols` is on its way
	bool settling; // heard while asking: the change is still under way
	bool closing;  // nobody is to be told anything any more
	unsigned int polls;
	uint64_t launched; // clock of the last start, ns
	TAILQ_HEAD(peering_list, peering) peerings;
	struct session_reader *sessions;
};

int speaker_create(
	struct space *space, const char *name, struct api_error *error); // fills space->speaker
void speaker_close(struct speaker *speaker);                             // the daemon goes on
void speaker_stop(struct speaker *speaker);    // the daemon is stopped, its files go
void speaker_changed(struct speaker *speaker); // something to render has changed

// Stops whatever daemon serves that directory, then removes its files.
void speaker_stop_directory(struct bridge *bridge, const char *directory, const char *netns);
void speakers_forget_endings(struct bridge *bridge);                 // they go on without us
void peering_free(struct speaker *speaker, struct peering *peering); // not from the daemon's files

// config.c: the speaker's files. 0 or -errno.
bool config_changed(const struct peering *peering); // its text is not in the files, and may be
int config_write(struct speaker *speaker);          // renders all, writes new files beside the old
int config_commit(struct speaker *speaker); // the new files have been checked and take effect

// session.c: called once a second
void session_poll(struct speaker *speaker);
void session_lost(struct speaker *speaker); // the daemon does not answer
void session_free(struct speaker *speaker);
struct session_reader *session_new(void);

#endif
