/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BIRD_BIRD_H
#define BIRD_BIRD_H

// Inside control/speakers/bird: one BIRD of one instance.

#include <dirent.h>
#include <stdio.h>
#include <sys/types.h>

#include "control/speakers/bird/birdc.h"
#include "control/speakers/state.h"

struct bird_reader;

struct bird {
	struct birdc *control;
	struct event *settle; // timer: the daemon is asked whether it is done
	struct event *farewell; // timer: it is asked whether sessions that end have told the far end
	struct child *checker, *launcher;
	struct bird_reader *reader; // of session states
	bool written;               // the daemon may start: its files are complete
	bool told;                  // the daemon has read the files as they are
	bool configured;            // it has taken over what it is being told
	bool connected;             // it has been, in our life
	bool polling;               // `show protocols` is on its way
	bool in_progress;           // heard while asking: the change is still under way
	bool removed;               // a file went, and the daemon has not been told since
	DIR *leftovers;             // the directory while they are removed, NULL = not begun
	int tidying;                // which part's, -1 = done
	bool doubtful;        // it refused a command: perhaps it is not as the files say
	bool marked;          // bird.told is there
	unsigned int changes; // of the files
	unsigned int asked;   // changes when it was asked whether it is done
	unsigned int polls;
	uint64_t launched; // clock of the last start, ns
	struct {
		unsigned int seconds;  // that it is silent, or not there
		unsigned int patience; // as it was told, 0 = it was not
		unsigned int replaced; // times, without a calm time between
		unsigned int calm;     // s without such a thing
		bool replace;          // the launcher is to end it before it starts another
		uint64_t work;         // processor time of the daemon when it was told, ms
	} silence;
	ino_t log_inode;   // of the log, and how much of it has been read
	off_t log_read;
	bool down; // a session that is wanted was not up at the last poll
	struct {
		bool known;
		uint64_t count[4], seen[4]; // DROP_..; clock of when it grew last, ns
	} drops;
};

// config.c: the instance's files. 0 or -errno.
// Renders what is stale, writes new files beside the old. 1 = there is more to do.
int config_write(struct speaker *speaker);
bool config_is_new(const struct speaker *speaker); // what was rendered is not what is in use
// The new files have been checked and take effect. *changed is set if one of them is another than before. 1 = there is
// more to do.
int config_commit(struct speaker *speaker, bool *changed);
void config_told(struct speaker *speaker); // the daemon has read the files that are in use
void config_will_change(const struct speaker *speaker); // before they or what it runs become another
bool config_was_told(const struct speaker *speaker);
int config_toggle(
	struct speaker *speaker, struct served_domain *domain); // only groups' states changed
int config_end(struct speaker *speaker, struct served_session *session); // it is disabled now
bool config_announces(const struct speaker *speaker, const struct served_domain *domain,
	uint32_t group); // the file of an earlier life does
void config_forget(struct speaker *speaker, const struct served_domain *domain,
	const struct served_session *session);
void config_lost(struct speaker *speaker); // somebody removed them
// The file of an earlier life that the complaint names goes. False: it names none.
bool config_drop_leftover(const struct speaker *speaker, const char *complaint);

// bird.c
void bird_launch(struct speaker *speaker); // where no daemon is, or another one is wanted

// silence.c: a daemon that hangs, or does not come.
bool silence_look(struct speaker *speaker);      // once a second; true = it is being replaced
bool silence_is_told(const struct bird *bird);
void silence_over(struct speaker *speaker);      // it speaks
void silence_lost(struct speaker *speaker); // the connection ended

// session.c
struct bird_reader *session_reader_new(void);
void session_poll(struct speaker *speaker);
// Of sessions that were told to end: asked again and again until the far end has been told.
void session_farewells(int fd, short what, void *ctx);

// said.c: what its log has of the far ends
void said_read(struct speaker *speaker); // what is new of it
void said_fill(const struct served_session *session, struct speaker_state *state);
const struct speaker_remark *said_remarks(
	const struct served_session *session, unsigned int *count);

// ask.c
int bird_ask(struct speaker *speaker, struct served_session *session,
	enum speaker_question question, speaker_row row, speaker_done done, void *ctx);
int bird_clear(struct speaker *speaker, struct served_session *session, bool soft,
	speaker_done done, void *ctx);

#endif
