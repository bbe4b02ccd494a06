// SPDX-License-Identifier: BSD-3-Clause
// What takes a session or an announcement away from a customer waits until he has been told, and has had a moment to use
// another way. A changed fragment that does so is held back as a whole:
//
//	               it takes a session away
//	  IN FORCE -------------------------------> CEASING
//	   |    ^                                    |  |  | all have been told
//	   |    |   taken back                       |  |  v
//	   |    +------------------------------------+--|- GRACE <---+
//	   |                                            |    |       |
//	   |           it takes an announcement away    |    |       |
//	   +--------------------------------------------|----|-------+
//	                                       CEASE_NS |    | GRACE_NS
//	                                                v    v
//	                                              carried out
//
// and from both at once when its place or its name is another's.
//
// CEASING: the speaker sends Cease with what becomes of the session. A daemon that hangs has CEASE_NS, then the rest goes on
// without it. In both states all is forwarded as before, both ways: the attachment, its limiters and joins stay, and of what
// the customer announced over it stays what he did not announce anew by another way. So whoever has another way loses nothing,
// however long his router takes to use it, up to GRACE_NS.
//
// (port, VLANs) belong to one attachment at a time: every wanted one is counted at its place, and where a second one comes the
// first waits no longer. So does what was deleted and is made again under its name. Nothing waits where nobody is told:
// no session is up, no data plane is there.

#include "control/domain/state.h"

#include "control/base/clock.h"
#include "control/base/log.h"
#include "control/base/turns.h"
#include "control/publication.h"

#include <event2/event.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CEASE_NS 3000000000u
#define GRACE_NS 1000000000u
#define LOOK_MS  20

struct parting_key {
	uint64_t noun, name;
};

struct parting {
	struct entry entry;
	struct parting_key key;
	TAILQ_ENTRY(parting) queue; // CEASING, or GRACE: the first of each is due first
	const struct fragment *old; // in force; a reference
	bool ceasing;               // else in its grace
	bool sessions;              // it takes some away
	uint64_t until;
	uint64_t revision; // that said so
};

static struct parting_key key_of_fragment(const struct fragment *fragment)
{
	return (struct parting_key){
		fragment->key.noun, table_hash(fragment->key.name, strlen(fragment->key.name))};
}

static struct parting *find(const struct domains *domains, const struct fragment *fragment)
{
	const struct parting_key key = key_of_fragment(fragment);
	return table_find(&domains->partings.all, &key);
}

// --- places ----------------------------------------------------------------------------------------------

struct place_count {
	struct entry entry;
	struct place_key {
		uint32_t port, vlans;
		uint16_t vlan[2];
	} key;
	unsigned int wanted;
	struct parting *parting; // of one of them
};

static struct place_key place_of(const struct intent_interface *interface)
{
	return (struct place_key){
		interface->port, interface->vlans, {interface->vlan[0], interface->vlan[1]}};
}

static struct place_count *place_find(
	const struct domains *domains, const struct intent_interface *interface)
{
	const struct place_key key = place_of(interface);
	return table_find(&domains->partings.places, &key);
}

void place_take(struct domains *domains, const struct intent_interface *wanted)
{
	struct place_count *place = place_find(domains, wanted);

	if (place == NULL) {
		place = calloc(1, sizeof(*place));
		if (place == NULL)
			abort();
		place->key = place_of(wanted);
		table_add(&domains->partings.places, place);
	}
	place->wanted++;
}

void place_leave(struct domains *domains, const struct intent_interface *was)
{
	struct place_count *place = place_find(domains, was);

	if (place == NULL || --place->wanted > 0)
		return;
	table_remove(&domains->partings.places, place);
	free(place);
}

// --- what is taken away ----------------------------------------------------------------------------------

static const struct intent_interface *find_interface(const struct fragment *fragment, uint32_t id)
{
	for (unsigned int i = 0; fragment != NULL && i < fragment->interfaces.count; i++)
		if (fragment->interfaces.item[i].id == id)
			return &fragment->interfaces.item[i];
	return NULL;
}

static struct realised *realised_of(
	const struct domains *domains, const struct intent_interface *interface)
{
	return table_find(&domains->sync.realised, &interface->id);
}

static bool is_open(const struct domains *domains, const struct intent_interface *interface)
{
	const struct realised *realised = realised_of(domains, interface);

	return interface->kind == INTENT_ATTACHMENT && realised != NULL && realised->heard &&
	       speaker_state_open(realised->session.state);
}

// Its session is no more, and not made anew by the speaker: another tag or port is another way to the same router.
static bool is_taken(const struct intent_interface *was, const struct fragment *new)
{
	const struct intent_interface *now = find_interface(new, was->id);

	return was->kind == INTENT_ATTACHMENT && was->session.enabled &&
	       (now == NULL || !now->up || !now->session.enabled || was->domain != now->domain ||
		       ip_address_compare(&was->remote, &now->remote) != 0 ||
		       ip_address_compare(&was->local, &now->local) != 0);
}

// What the far end is told, RFC 9003.
static void reason(char text[128], const struct intent_interface *was, const struct fragment *new)
{
	const struct intent_interface *now = find_interface(new, was->id);

	if (now == NULL && new == NULL)
		snprintf(text, 128, "peering %.90s was removed", was->object);
	else if (now == NULL)
		snprintf(text, 128, "link %.90s was removed", was->link);
	else if (!now->up)
		snprintf(text, 128, "link %.90s was set down", was->link);
	else if (!now->session.enabled)
		snprintf(text, 128, "peering %.90s was disabled", was->object);
	else
		snprintf(text, 128, "link %.90s has other addresses", was->link);
}

// It takes away a session that is up, and nobody else has its place.
static bool takes_sessions(
	const struct domains *domains, const struct fragment *old, const struct fragment *new)
{
	bool takes = false;

	for (unsigned int i = 0; i < old->interfaces.count; i++) {
		const struct intent_interface *was = &old->interfaces.item[i];
		if (!is_taken(was, new) || !is_open(domains, was))
			continue;
		const struct place_count *place = place_find(domains, was);
		if (place != NULL && place->wanted > 1)
			return false;
		takes = true;
	}
	return takes;
}

static struct end *join_taken(
	const struct domains *domains, const struct intent_join *was, const struct fragment *new)
{
	for (unsigned int i = 0; new != NULL && i < new->joins.count; i++)
		if (new->joins.item[i].domain[0] == was->domain[0] &&
			new->joins.item[i].domain[1] == was->domain[1])
			return NULL;
	return join_find(domains, was->domain[0], was->domain[1], was->object);
}

static bool listens(const struct domain *domain)
{
	for (unsigned int i = 0; i < domain->attachments.count; i++)
		if (is_open(domain->domains, domain->attachments.item[i]))
			return true;
	return false;
}

static bool takes_announcements(const struct domains *domains, const struct fragment *old,
	const struct fragment *new)
{
	for (unsigned int i = 0; i < old->joins.count; i++) {
		const struct end *end = join_taken(domains, &old->joins.item[i], new);
		if (end != NULL && (listens(end->domain) || listens(end->peer->domain)))
			return true;
	}
	return false;
}

// --- beginning -------------------------------------------------------------------------------------------

static void look_soon(struct domains *domains)
{
	const struct timeval soon = {0, LOOK_MS * 1000};

	if (!event_pending(domains->partings.look, EV_TIMEOUT, NULL))
		event_add(domains->partings.look, &soon);
}

static void enter_grace(struct domains *domains, struct parting *parting)
{
	parting->ceasing = false;
	parting->until = clock_ns() + GRACE_NS;
	TAILQ_INSERT_TAIL(&domains->partings.grace, parting, queue);
	look_soon(domains);
}

static struct parting *begin(struct domains *domains, const struct fragment *old)
{
	struct parting *parting = calloc(1, sizeof(*parting));

	if (parting == NULL)
		abort();
	parting->key = key_of_fragment(old);
	parting->old = fragment_ref(old);
	parting->revision = fragments_publication(domains->fragments)->revision;
	domains->partings.revision = parting->revision;
	table_add(&domains->partings.all, parting);
	return parting;
}

static void begin_ceasing(
	struct domains *domains, const struct fragment *old, const struct fragment *new)
{
	struct parting *parting = begin(domains, old);
	char why[128];

	parting->sessions = parting->ceasing = true;
	parting->until = clock_ns() + CEASE_NS;
	TAILQ_INSERT_TAIL(&domains->partings.ceasing, parting, queue);
	for (unsigned int i = 0; i < old->domains.count; i++)
		domain_get(domains, old->domains.item[i].id)->partings++;
	for (unsigned int i = 0; i < old->interfaces.count; i++) {
		const struct intent_interface *was = &old->interfaces.item[i];
		struct place_count *place = place_find(domains, was);
		if (!is_taken(was, new) || !is_open(domains, was))
			continue;
		if (place != NULL)
			place->parting = parting;
		struct realised *realised = realised_of(domains, was);
		realised->parting = parting;
		realised->ended = true;
		reason(why, was, new);
		speakers_session_end(domains->sync.speakers, was->id, why);
		health_session(domains, realised);
	}
	look_soon(domains);
}

static void set_leaving(struct domains *domains, const struct fragment *old,
	const struct fragment *new, bool leaving)
{
	for (unsigned int i = 0; i < old->joins.count; i++) {
		struct end *end = join_taken(domains, &old->joins.item[i], new);
		if (end == NULL)
			continue;
		end->leaving = end->peer->leaving = leaving;
		work_add(domains, JOB_ANNOUNCE, end->domain, NULL);
		work_add(domains, JOB_ANNOUNCE, end->peer->domain, NULL);
	}
}

// --- end -------------------------------------------------------------------------------------------------

static void let_go(struct domains *domains, struct parting *parting)
{
	const struct fragment *old = parting->old;

	table_remove(&domains->partings.all, parting);
	if (parting->ceasing)
		TAILQ_REMOVE(&domains->partings.ceasing, parting, queue);
	else
		TAILQ_REMOVE(&domains->partings.grace, parting, queue);
	for (unsigned int i = 0; i < old->interfaces.count; i++) {
		struct place_count *place = place_find(domains, &old->interfaces.item[i]);
		struct realised *realised = realised_of(domains, &old->interfaces.item[i]);
		if (place != NULL && place->parting == parting)
			place->parting = NULL;
		if (realised != NULL && realised->parting == parting)
			realised->parting = NULL;
	}
	set_leaving(domains, old, NULL, false);
	for (unsigned int i = 0; i < old->domains.count; i++) {
		struct domain *domain = domain_find(domains, old->domains.item[i].id);
		if (domain == NULL || !parting->sessions)
			continue;
		domain->partings--;
		if (domain->state == DOMAIN_LIVE || domain->life == 1) // else when all was told again
			work_add(domains, JOB_LIFE, NULL, domain);     // what was kept
	}
}

static void carry_out(struct domains *domains, struct parting *parting, const struct fragment *new,
	const char *when)
{
	const struct fragment *old = parting->old;

	if (parting->sessions)
		log_info("domain", "sessions taken away", log_text("object", old->key.name),
			log_text("when", when));
	let_go(domains, parting);
	fragment_apply(domains, old, new);
	fragment_unref(old);
	free(parting);
}

// As the configuration is now.
static void carry_out_now(struct domains *domains, struct parting *parting, const char *when)
{
	const struct fragment_key *key = &parting->old->key;

	carry_out(domains, parting, fragments_find(domains->fragments, (int)key->noun, key->name),
		when);
}

// Whoever is not told in time keeps his session, and uses this way, until its hold time is over.
static void note_untold(struct domains *domains, const struct parting *parting)
{
	struct untold *untold = &domains->partings.untold;

	if (untold->revision != parting->revision)
		*untold = (struct untold){.revision = parting->revision};
	for (unsigned int i = 0; i < parting->old->interfaces.count; i++) {
		const struct intent_interface *was = &parting->old->interfaces.item[i];
		const struct realised *realised = realised_of(domains, was);
		if (realised == NULL || realised->parting != parting || !is_open(domains, was))
			continue;
		untold->sessions++;
		session_name(was, untold->last);
		untold->hold = realised->session.hold;
	}
}

const struct untold *partings_untold(const struct domains *domains, uint64_t revision)
{
	const struct untold *untold = &domains->partings.untold;

	return untold->sessions > 0 && untold->revision >= revision ? untold : NULL;
}

// --- from the others -------------------------------------------------------------------------------------

bool parting_holds(
	struct domains *domains, const struct fragment *old, const struct fragment *new)
{
	const enum dataplane_state state = dataplane_status(domains->sync.dataplane)->state;
	struct parting *parting = find(domains, old != NULL ? old : new);

	if (parting != NULL && old == NULL) {
		carry_out(domains, parting, NULL, "its name is another's");
		return false;
	}
	if (parting != NULL) {
		bool taken = false;
		for (unsigned int i = 0; i < parting->old->interfaces.count; i++) {
			const struct intent_interface *was = &parting->old->interfaces.item[i];
			const struct realised *realised = realised_of(domains, was);
			taken = taken || (realised != NULL && realised->parting == parting &&
						 is_taken(was, new));
		}
		if (!taken && !takes_announcements(domains, parting->old, new))
			carry_out(domains, parting, new, "taken back");
		return true;
	}
	if (old == NULL ||
		(state != DATAPLANE_SYNCED && state != DATAPLANE_INCOMPLETE &&
			state != DATAPLANE_REPLAYING))
		return false;
	if (takes_sessions(domains, old, new)) {
		begin_ceasing(domains, old, new);
		return true;
	}
	if (!takes_announcements(domains, old, new))
		return false;
	enter_grace(domains, begin(domains, old));
	set_leaving(domains, old, new, true);
	return true;
}

void parting_yields(struct domains *domains, const struct intent_interface *wanted)
{
	const struct place_count *place = place_find(domains, wanted);

	if (place != NULL && place->parting != NULL)
		carry_out_now(domains, place->parting, "its place is another's");
}

void parting_heard(struct domains *domains, const struct realised *realised)
{
	struct parting *parting = realised->parting;

	if (parting == NULL || !parting->ceasing || is_open(domains, realised->wanted))
		return;
	for (unsigned int i = 0; i < parting->old->interfaces.count; i++) {
		const struct intent_interface *was = &parting->old->interfaces.item[i];
		const struct realised *other = realised_of(domains, was);
		if (other != NULL && other->parting == parting && is_open(domains, was))
			return;
	}
	TAILQ_REMOVE(&domains->partings.ceasing, parting, queue);
	enter_grace(domains, parting);
}

bool parting_keeps(const struct domain *domain, const struct learned *learned)
{
	if (domain->partings == 0 || learned->hops == NULL)
		return false;
	for (unsigned int i = 0; i < learned->hops->key.count; i++) {
		const struct intent_interface *out =
			attachment_to(domain, &learned->hops->key.hop[i].via);
		const struct realised *realised =
			out != NULL ? realised_of(domain->domains, out) : NULL;
		if (realised != NULL && realised->parting != NULL)
			return true;
	}
	return false;
}

bool partings_pending(const struct domains *domains, uint64_t revision)
{
	return domains->partings.all.count > 0 && domains->partings.revision >= revision;
}

// The domain of a join waits itself: until then its customer uses the join.
static bool waits_for_domain(const struct domains *domains, const struct parting *parting)
{
	for (unsigned int i = 0; i < parting->old->joins.count; i++)
		for (unsigned int j = 0; j < 2; j++) {
			uint32_t id = parting->old->joins.item[i].domain[j];
			const struct domain *domain = domain_find(domains, id);
			if (domain != NULL && domain->partings > 0)
				return true;
		}
	return false;
}

static bool is_due(const struct parting *parting)
{
	return parting != NULL && clock_ns() >= parting->until;
}

bool partings_step(struct domains *domains)
{
	struct parting *parting = TAILQ_FIRST(&domains->partings.ceasing);

	if (is_due(parting)) {
		note_untold(domains, parting);
		carry_out_now(domains, parting, "untold");
		return false;
	}
	parting = TAILQ_FIRST(&domains->partings.grace);
	if (!is_due(parting))
		return true;
	if (waits_for_domain(domains, parting)) {
		TAILQ_REMOVE(&domains->partings.grace, parting, queue);
		enter_grace(domains, parting);
	} else {
		carry_out_now(domains, parting, "told");
	}
	return false;
}

static void on_look(evutil_socket_t fd, short events, void *arg)
{
	struct domains *domains = arg;

	turns_note("domain: look at partings");
	if (is_due(TAILQ_FIRST(&domains->partings.ceasing)) ||
		is_due(TAILQ_FIRST(&domains->partings.grace)))
		work_add(domains, JOB_PARTING, NULL, NULL);
	if (domains->partings.all.count > 0)
		look_soon(domains);
}

// --- life ------------------------------------------------------------------------------------------------

int partings_create(struct domains *domains)
{
	struct partings *partings = &domains->partings;

	partings->all = TABLE_OF(struct parting, key);
	partings->places = TABLE_OF(struct place_count, key);
	TAILQ_INIT(&partings->ceasing);
	TAILQ_INIT(&partings->grace);
	partings->look = evtimer_new(domains->sync.base, on_look, domains);
	return partings->look != NULL ? 0 : -ENOMEM;
}

static void free_parting(void *ctx, void *entry)
{
	fragment_unref(((struct parting *)entry)->old);
	free(entry);
}

static void free_place(void *ctx, void *entry)
{
	free(entry);
}

void partings_free(struct domains *domains)
{
	struct partings *partings = &domains->partings;

	if (partings->look != NULL)
		event_free(partings->look);
	table_clear(&partings->all, free_parting, NULL);
	table_clear(&partings->places, free_place, NULL);
}
