/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SPEAKERS_STATE_H
#define SPEAKERS_STATE_H

// Inside control/speakers: what was declared, and the interface that every kind of speaker fills in.

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/queue.h>

#include "control/base/table.h"
#include "control/speakers/speaker.h"

struct child;
struct event;
struct speaker;

// glibc's sys/queue.h lacks these.
#ifndef TAILQ_FOREACH_SAFE
#define TAILQ_FOREACH_SAFE(var, head, field, next)                                     \
	for ((var) = TAILQ_FIRST(head); (var) && ((next) = TAILQ_NEXT(var, field), 1); \
		(var) = (next))
#endif

// A file of the daemon's configuration and what the text of it is to be: by digest, texts are not kept.
struct speaker_file {
	bool looked;   // what an earlier life left under its name has been read
	bool stale;    // to be rendered again
	bool rendered; // `wanted` is a text's
	bool there;    // `installed` is what lies under its final name
	bool refused;  // the speaker refused the text `wanted`
	uint8_t wanted[16], installed[16];
};

// Its text is not the one the daemon has, and may be.
static inline bool speaker_file_is_new(const struct speaker_file *file)
{
	return file->rendered && !file->refused &&
	       (!file->there || memcmp(file->wanted, file->installed, sizeof(file->wanted)) != 0);
}

struct announcement_group {
	TAILQ_ENTRY(announcement_group) entry;
	uint32_t id;
	bool up;
	bool kept; // while the groups are being replaced
	unsigned int count;
	struct speaker_announcement *list; // with its arrays, one block each
};

struct served_domain {
	struct entry entry;
	uint32_t id;
	struct speaker_domain declared; // strings owned; netns_fd is the speaker's
	struct speaker *speaker;
	TAILQ_ENTRY(served_domain) link; // of the speaker
	LIST_HEAD(, served_session) sessions;
	LIST_HEAD(, speaker_join) joins[2]; // where it is the first, and where it is the second
	TAILQ_HEAD(, announcement_group) groups; // by id
	bool announced; // the groups have been said, were it that there is none
	struct speaker_file file;
};

struct served_session {
	struct entry entry;
	uint32_t id;
	struct speaker_session declared; // every pointer owned
	struct policy import, export;
	struct served_domain *domain;
	TAILQ_ENTRY(served_session) link; // of the speaker
	LIST_ENTRY(served_session) of_domain;
	struct speaker_file file;
	char refusal[128];
	bool reported, news; // news: its state is about to be told
	TAILQ_ENTRY(served_session) of_news;
	bool ended;  // by a command, and nothing else about it has changed since
	bool untold; // ..: and the far end has not been told yet
	unsigned int asked, polled; // number of the last poll that is to show it, and that did
	uint64_t up_at;      // UNIX time at which it was last seen up
	bool stuck;          // of the kind: it is up, and nothing that we send arrives
	unsigned int trying; // of the kind: how far it gets
	uint64_t trying_at;  // .., and since when no farther; clock, ns
	struct speaker_state state;
	void *own; // of the kind
};

struct speaker_join {
	struct served_domain *domain[2];
	TAILQ_ENTRY(speaker_join) link[2]; // of the speaker, of both if they are two
	LIST_ENTRY(speaker_join) of_domain[2];
	struct policy policy[2]; // what leaves that domain
	char device[2][16];      // between two speakers: in that one's namespace
};

enum speaker_step {
	STEP_IDLE,  // nothing to do, or waiting for more
	STEP_WAIT,  // for its turn to check
	STEP_CHECK, // the speaker's own parser reads the new configuration
	STEP_TELL,  // on its way into effect
};

// One daemon, or what stands for one.
struct speaker {
	struct speakers *speakers;
	const struct speaker_ops *ops;
	LIST_ENTRY(speaker) entry;
	TAILQ_ENTRY(speaker) waiting;
	char *name;      // of the instance
	char *directory; // RUN/bird/NAME
	char *netns;
	int netns_fd;
	TAILQ_HEAD(, served_domain) domains;
	unsigned int domain_count;
	TAILQ_HEAD(, served_session) sessions;
	TAILQ_HEAD(, speaker_join) joins[2]; // of its domains, and those of two speakers in which it is the second
	struct event *apply; // timer: the next step is due
	struct event *poll;  // timer: once a second
	enum speaker_step step;
	bool dirty;       // something declared is not in effect
	bool writing;     // in slices: what is rendered, or takes effect
	uint64_t gather_until; // first declaration of a burst, and a moment
	unsigned int session_count;
	bool closing;     // nobody is to be told anything any more
	char trouble[96]; // why the last try failed, "" = it did not
	void *own;        // of the kind
};

// A kind of speaker. Every function runs on the route thread and waits for nothing.
struct speaker_ops {
	const char *name;
	int (*open)(struct speaker *speaker); // fills `own`; 0 or -ENOMEM
	void (*close)(
		struct speaker *speaker); // what runs goes on; questions are answered with an error
	// What cannot be put into a configuration, or makes no session. 0 or an error.
	int (*accepts)(const struct speaker_session *session, struct api_error *error);
	// Declared -> what the daemon would read, beside what it reads now. 0, 1 = there is more to do, or -errno: tried again.
	int (*render)(struct speaker *speaker);
	// Lets the daemon's own parser read it; the answer is steps_checked(). 0 or -errno.
	int (*check)(struct speaker *speaker);
	// It takes effect; the answer is steps_told(), or steps_tell_more(): called again in the next turn.
	void (*tell)(struct speaker *speaker);
	// Whether an earlier life's files announce the group.
	bool (*announces)(
		const struct speaker *speaker, const struct served_domain *domain, uint32_t group);
	void (*poll)(struct speaker *speaker); // once a second: session states, by speaker_report()
	// A group went up or down. Declared and rendered text follow.
	void (*toggle)(struct speaker *speaker, struct served_domain *domain,
		struct announcement_group *group);
	// The session ends now, with these words to the far end. Declared and rendered text follow. May be NULL.
	void (*end)(struct speaker *speaker, struct served_session *session, const char *why);
	// What was thrown away of its announcements. May be NULL.
	const struct speaker_remark *(*remarks)(
		const struct served_session *session, unsigned int *count);
	// What the domain has is put into the kernel again. May be NULL.
	void (*restore)(struct speaker *speaker, const struct served_domain *domain);
	// A session's, or a domain's (session NULL), files go.
	void (*forget)(struct speaker *speaker, const struct served_domain *domain,
		const struct served_session *session);
	int (*ask)(struct speaker *speaker, struct served_session *session,
		enum speaker_question question, speaker_row row, speaker_done done, void *ctx);
	int (*clear)(struct speaker *speaker, struct served_session *session, bool soft,
		speaker_done done, void *ctx);
};
extern const struct speaker_ops bird_speaker, static_speaker;

struct speakers {
	struct event_base *base;
	char *run_dir, *launcher;
	struct speaker_callbacks callbacks;
	struct speaker_counters counters;
	struct table domains, sessions;
	LIST_HEAD(, speaker) list;
	LIST_HEAD(, speaker_ending) endings; // daemons being stopped
	TAILQ_HEAD(, speaker) waiting;       // for a check
	unsigned int checks;                 // under way
	TAILQ_HEAD(, served_session) news;   // in the order in which it came
	struct event *tell;                  // timer: of a daemon of thousands all may have changed
	bool swept;                          // what is not declared is not wanted
	bool closing;
};

// speakers.c
struct served_session *served_session(struct speakers *speakers, uint32_t id); // NULL = none
struct served_domain *served_domain(struct speakers *speakers, uint32_t id);
// The state of a session as the speaker tells it. Told to the owner, in one of the next turns, when it is news.
void speaker_report(struct served_session *session, const struct speaker_state *state);
void speaker_report_all(struct speaker *speaker, const char *detail); // all are down
// Of the daemon as a whole; state "" = well.
void speaker_tell(
	const struct speaker *speaker, const char *state, const char *reason, const char *hint);

void *speakers_copy(const void *from, size_t bytes); // malloc'ed, never NULL

// announce.c
void groups_free(struct served_domain *domain);
void joins_free(struct served_domain *domain); // of it

// steps.c: from what is declared to what the daemon runs
void steps_changed(struct speaker *speaker); // something declared is not in effect
void steps_due(int fd, short what, void *ctx);
// The parser's answer; NULL = accepted. blamed: whose part it was, NULL = not known.
void steps_checked(struct speaker *speaker, const char *complaint, struct served_session *blamed);
void steps_told(struct speaker *speaker, const char *complaint); // NULL = in effect
void steps_tell_more(struct speaker *speaker);
void steps_end(struct speaker *speaker);                         // it is about to close

// ending.c: daemons that are being stopped
bool speaker_is_ending(const struct speakers *speakers, const char *directory);
// Stops whatever daemon serves that directory, then removes its files.
void speaker_end(struct speakers *speakers, const char *directory, const char *netns);
void speakers_forget_endings(struct speakers *speakers); // they go on without us

#endif
