// SPDX-License-Identifier: BSD-3-Clause
// What takes a session or an announcement away from a customer waits until he has been told, and has had a moment to use
// another way. A changed fragment that does so is held back as a whole, and so is one that takes the place of such a one:
//
//	               it takes a session away
//	  IN FORCE -------------------------------> CEASING
//	   |  |  ^                                   |  |  | all have been told
//	   |  |  |   taken back                      |  |  v
//	   |  |  +-----------------------------------+--|- GRACE <---+
//	   |  |                                         |    |       |
//	   |  |        it takes an announcement away    |    |       |
//	   |  +-----------------------------------------|----|-------+
//	   |                                   CEASE_NS |    | GRACE_NS
//	   | it takes a place that another may have     v    v
//	   +------------------------------------------> WAITING --> carried out
//	                                                         nobody who has its place is CEASING or in GRACE
//
// CEASING: the speaker sends Cease with what becomes of the session. A daemon that hangs has CEASE_NS, then the rest goes on
// without it. In both states all is forwarded as before, both ways: the attachment, its limiters and joins stay, and of what
// the customer announced over it stays what he did not announce anew by another way. So whoever has another way loses nothing,
// however long his router takes to use it, up to GRACE_NS.
//
// Each address family of an attachment has a session of its own; those that the change does not touch hear nothing of it.
//
// (port, VLANs) and a session's name belong to one attachment at a time, in a shared namespace an address too: every wanted one is counted at its
// place. Fragments come one after the other, so who comes to a place that another has is looked at when all have come: whoever
// gives it up without losing a session (tags are swapped) is not waited for. Those who wait for each other go at once, when
// each has been told. Nothing waits where nobody is told: no session is up, no data plane is there.

#include "control/domain/state.h"

#include "control/base/clock.h"
#include "control/base/log.h"
#include "control/base/turns.h"
#include "control/node.h"
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

enum parting_state { CEASING, GRACE, WAITING };

struct parting {
	struct entry entry;
	struct parting_key key;
	enum parting_state state;
	struct parting_list
		*list; // that it is in, by `queue`: of CEASING and GRACE the first is due first
	TAILQ_ENTRY(parting) queue;
	struct parting_list behind; // they wait for its places
	const struct fragment *old; // in force, NULL = nothing; a reference
	const struct object *object; // whose they are, as it is called now; a reference
	bool nameless;               // it is gone, and its name is another's
	bool sessions;              // it takes some away
	bool untold;                // ..: and not all of them have been told in time
	uint64_t until;
	uint64_t revision; // that said so
};

static struct parting_key key_of_object(const struct object *object)
{
	return (struct parting_key){
		object->noun->id, table_hash(object->name, strlen(object->name))};
}

// Nobody asks for it by this one.
static struct parting_key key_of_nobody(const struct parting *parting)
{
	return (struct parting_key){NOUNS + parting->object->noun->id, (uintptr_t)parting};
}

struct search {
	const struct object *object;
	struct parting *found;
};

static void is_wanted(void *ctx, void *entry)
{
	struct search *search = ctx;
	struct parting *parting = entry;

	if (parting->nameless && parting->object->identity == search->object->identity)
		search->found = parting;
}

// Of the object whose fragment came last.
static struct parting *find(const struct domains *domains)
{
	bool nameless;
	struct search search = {.object = fragments_object(domains->fragments, &nameless)};

	if (nameless) {
		table_each(&domains->partings.all, is_wanted, &search);
		return search.found;
	}
	const struct parting_key key = key_of_object(search.object);
	return table_find(&domains->partings.all, &key);
}

static void move(struct parting *parting, struct parting_list *list)
{
	if (parting->list != NULL)
		TAILQ_REMOVE(parting->list, parting, queue);
	parting->list = list;
	if (list != NULL)
		TAILQ_INSERT_TAIL(list, parting, queue);
}

// --- places ----------------------------------------------------------------------------------------------

struct place_count {
	struct entry entry;
	struct place_key {
		uint32_t port, vlans;
		uint16_t vlan[2];
		struct ip_address address;
		uint8_t zero[3];
	} key;
	unsigned int wanted;
	struct parting *parting; // of one of them
};

// The places that an interface has alone, by their number.
static bool place_of(const struct domains *domains, const struct intent_interface *interface,
	unsigned int i, struct place_key *key)
{
	*key = (struct place_key){.port = 0};
	if (interface->kind == INTENT_TUNNEL)
		return false;
	if (i == 0) {
		key->port = interface->port;
		key->vlans = interface->vlans;
		memcpy(key->vlan, interface->vlan, sizeof(key->vlan));
		return true;
	}
	if (i == 1 && interface->kind == INTENT_ATTACHMENT) {
		char name[OBJECT_NAME_MAX + 16];
		session_name(interface, 0, name);
		const uint64_t hash = table_hash(name, strlen(name));
		key->port = UINT32_MAX - 1;
		memcpy(key->address.bytes, &hash, sizeof(hash));
		return true;
	}
	// One address, or one of each family.
	bool other = i == 3 || interface->address[0].local.family == 0;
	key->port = UINT32_MAX;
	key->address = interface->address[other].local;
	return i <= (intent_is_dual(interface) ? 3u : 2u) && interface->kind == INTENT_ATTACHMENT &&
	       domains->sync.node->host_domain == HOST_DOMAIN_TABLE;
}

#define EACH_PLACE(domains, interface, key) \
	for (unsigned int i_ = 0; place_of(domains, interface, i_, key); i_++)

void place_take(struct domains *domains, const struct intent_interface *wanted)
{
	struct place_key key;

	EACH_PLACE(domains, wanted, &key)
	{
		struct place_count *place = table_find(&domains->partings.places, &key);
		if (place == NULL) {
			place = calloc(1, sizeof(*place));
			if (place == NULL)
				abort();
			place->key = key;
			table_add(&domains->partings.places, place);
		}
		place->wanted++;
	}
}

void place_leave(struct domains *domains, const struct intent_interface *was)
{
	struct place_key key;

	EACH_PLACE(domains, was, &key)
	{
		struct place_count *place = table_find(&domains->partings.places, &key);
		if (place == NULL || --place->wanted > 0)
			continue;
		table_remove(&domains->partings.places, place);
		free(place);
	}
}

static bool has_place(const struct domains *domains, const struct intent_interface *interface,
	const struct place_key *key)
{
	struct place_key own;

	EACH_PLACE(domains, interface, &own)
	{
		if (memcmp(&own, key, sizeof(own)) == 0)
			return true;
	}
	return false;
}

// --- what is taken away ----------------------------------------------------------------------------------

static const struct intent_interface *find_interface(const struct fragment *fragment, uint32_t id)
{
	for (unsigned int i = 0; fragment != NULL && i < fragment->interfaces.count; i++)
		if (fragment->interfaces.item[i].id == id)
			return &fragment->interfaces.item[i];
	return NULL;
}

// The session of this family, NULL = there is none.
static struct realised_session *session_of(const struct domains *domains,
	const struct intent_interface *interface, unsigned int family)
{
	return interface->address[family].remote.family != 0
		       ? session_find(&domains->sync, interface->address[family].session)
		       : NULL;
}

// for (i...) over the sessions of a fragment's attachments as they are now, most have one of the two. `of` NULL is fine.
#define EACH_SESSION(domains, of, was, session)                                               \
	for (unsigned int j_ = 0; (of) != NULL && j_ < 2 * (of)->interfaces.count; j_++)      \
		if (((was) = &(of)->interfaces.item[j_ / 2]),                                 \
			((session) = session_of((domains), (was), j_ % 2)) == NULL)           \
			continue;                                                             \
		else

static bool is_open(const struct realised_session *session)
{
	return session->heard && speaker_state_open(session->state.state);
}

// Its session is no more, and not made anew by the speaker: another tag or port is another way to the same router.
static bool is_taken(
	const struct intent_interface *was, unsigned int family, const struct fragment *new)
{
	const struct intent_interface *now = find_interface(new, was->id);
	const struct intent_address *a = &was->address[family];
	const struct intent_address *b = now != NULL ? &now->address[family] : NULL;

	return was->session.enabled &&
	       (now == NULL || !now->up || !now->session.enabled || was->domain != now->domain ||
		       a->session != b->session ||
		       ip_address_compare(&a->remote, &b->remote) != 0 ||
		       ip_address_compare(&a->local, &b->local) != 0);
}

// What the far end is told, RFC 9003.
static void reason(char text[128], const struct intent_interface *was, unsigned int family,
	const struct fragment *new)
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
	else if (now->address[family].remote.family == 0)
		snprintf(text, 128, "IPv%u was removed from peering %.90s", family == 0 ? 4 : 6,
			was->object);
	else
		snprintf(text, 128, "link %.90s has other addresses", was->link);
}

// It takes away a session that is up, and whose far end has not been told.
static bool takes_session(const struct intent_interface *was,
	const struct realised_session *session, const struct fragment *new)
{
	return is_taken(was, session->family, new) && is_open(session) && session->parting == NULL;
}

static bool takes_sessions(
	const struct domains *domains, const struct fragment *old, const struct fragment *new)
{
	const struct intent_interface *was;
	const struct realised_session *session;

	EACH_SESSION(domains, old, was, session)
	{
		if (takes_session(was, session, new))
			return true;
	}
	return false;
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
	for (unsigned int i = 0; i < 2 * domain->attachments.count; i++) {
		const struct realised_session *session =
			session_of(domain->domains, domain->attachments.item[i / 2], i % 2);
		if (session != NULL && is_open(session))
			return true;
	}
	return false;
}

static bool takes_announcements(
	const struct domains *domains, const struct fragment *old, const struct fragment *new)
{
	for (unsigned int i = 0; old != NULL && i < old->joins.count; i++) {
		const struct end *end = join_taken(domains, &old->joins.item[i], new);
		if (end != NULL && (listens(end->domain) || listens(end->peer->domain)))
			return true;
	}
	return false;
}

// --- whose place is taken --------------------------------------------------------------------------------

// A place that it is to have is another's, too, so far.
static bool takes_places(
	const struct domains *domains, const struct fragment *old, const struct fragment *new)
{
	struct place_key key;

	for (unsigned int i = 0; new != NULL && i < new->interfaces.count; i++) {
		const struct intent_interface *wanted = &new->interfaces.item[i],
					      *was = find_interface(old, wanted->id);
		EACH_PLACE(domains, wanted, &key)
		{
			const struct place_count *place =
				table_find(&domains->partings.places, &key);
			bool own = was != NULL && has_place(domains, was, &key);
			if (place != NULL && place->wanted > own)
				return true;
		}
	}
	return false;
}

// Who has to be told before this one is carried out. Of those that wait for each other none, when each has been told.
static struct parting *before(
	const struct domains *domains, const struct parting *parting, const struct fragment *new)
{
	struct place_key key;

	for (unsigned int i = 0; new != NULL && i < new->interfaces.count; i++)
		EACH_PLACE(domains, &new->interfaces.item[i], &key)
		{
			const struct place_count *place =
				table_find(&domains->partings.places, &key);
			if (place != NULL && place->parting != NULL && place->parting != parting &&
				place->parting->state != WAITING)
				return place->parting;
		}
	return NULL;
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
	parting->state = GRACE;
	parting->until = clock_ns() + GRACE_NS;
	move(parting, &domains->partings.grace);
	look_soon(domains);
}

// Looked at when all fragments have come.
static void enter_waiting(struct domains *domains, struct parting *parting)
{
	parting->state = WAITING;
	move(parting, &domains->partings.waiting);
	work_add(domains, JOB_PARTING, NULL, NULL);
}

static struct parting *begin(struct domains *domains, const struct fragment *old)
{
	struct parting *parting = calloc(1, sizeof(*parting));

	if (parting == NULL)
		abort();
	TAILQ_INIT(&parting->behind);
	parting->object =
		object_ref(fragments_object(domains->fragments, &parting->nameless));
	parting->old = old != NULL ? fragment_ref(old) : NULL;
	parting->key = parting->nameless ? key_of_nobody(parting) : key_of_object(parting->object);
	parting->revision = fragments_publication(domains->fragments)->revision;
	domains->partings.revision = parting->revision;
	table_add(&domains->partings.all, parting);
	return parting;
}

// The far ends of the sessions that it takes, those of an earlier change apart, are being told.
static void cease(struct domains *domains, struct parting *parting, const struct fragment *new)
{
	const struct fragment *old = parting->old;
	const struct intent_interface *was;
	struct realised_session *session;
	struct place_key key;
	char why[128];

	for (unsigned int i = 0; !parting->sessions && i < old->domains.count; i++)
		domain_get(domains, old->domains.item[i].id)->partings++;
	parting->sessions = true;
	parting->state = CEASING;
	parting->until = clock_ns() + CEASE_NS;
	move(parting, &domains->partings.ceasing);
	EACH_SESSION(domains, old, was, session)
	{
		if (!takes_session(was, session, new))
			continue;
		EACH_PLACE(domains, was, &key)
		{
			struct place_count *place = table_find(&domains->partings.places, &key);
			if (place != NULL)
				place->parting = parting;
		}
		session->parting = parting;
		session->ended = true;
		reason(why, was, session->family, new);
		speakers_session_end(domains->sync.speakers, session->id, why);
		health_session(domains, session);
	}
	look_soon(domains);
}

static void set_leaving(struct domains *domains, const struct fragment *old,
	const struct fragment *new, bool leaving)
{
	for (unsigned int i = 0; old != NULL && i < old->joins.count; i++) {
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
	const struct intent_interface *was;
	struct realised_session *session;
	struct parting *other;
	struct place_key key;

	table_remove(&domains->partings.all, parting);
	move(parting, NULL);
	while ((other = TAILQ_FIRST(&parting->behind)) != NULL)
		enter_waiting(domains, other);
	for (unsigned int i = 0; old != NULL && i < old->interfaces.count; i++) {
		EACH_PLACE(domains, &old->interfaces.item[i], &key)
		{
			struct place_count *place = table_find(&domains->partings.places, &key);
			if (place != NULL && place->parting == parting)
				place->parting = NULL;
		}
	}
	EACH_SESSION(domains, old, was, session)
	{
		if (session->parting == parting)
			session->parting = NULL;
	}
	set_leaving(domains, old, NULL, false);
	for (unsigned int i = 0; parting->sessions && i < old->domains.count; i++) {
		struct domain *domain = domain_find(domains, old->domains.item[i].id);
		if (domain == NULL)
			continue;
		domain->partings--;
		if (domain->state == DOMAIN_LIVE ||
			domain->life == 1)                         // else when all was told again
			work_add(domains, JOB_LIFE, NULL, domain); // what was kept
	}
}

static void end(struct parting *parting)
{
	fragment_unref(parting->old);
	object_unref(parting->object);
	free(parting);
}

static void carry_out(struct domains *domains, struct parting *parting, const struct fragment *new,
	const char *when)
{
	if (parting->sessions)
		log_info("domain", "sessions taken away", log_text("object", parting->object->name),
			log_text("when", when));
	let_go(domains, parting);
	fragment_apply(domains, parting->old, new);
	end(parting);
}

static const struct fragment *as_configured(
	const struct domains *domains, const struct parting *parting)
{
	return parting->nameless ? NULL
				 : fragments_find(domains->fragments,
					   (int)parting->object->noun->id, parting->object->name);
}

static void note_untold(struct domains *domains, struct parting *parting)
{
	const struct intent_interface *was;
	const struct realised_session *session;

	parting->untold = true;
	EACH_SESSION(domains, parting->old, was, session)
	{
		if (session->parting == parting && is_open(session))
			untold_add(domains, session, parting->revision);
	}
}

// Told, or as far as could be: carried out as the configuration is now, or as soon as its places are free.
static void go_on(struct domains *domains, struct parting *parting)
{
	const struct fragment *new = as_configured(domains, parting);
	struct parting *other = before(domains, parting, new);

	parting->state = WAITING;
	if (other != NULL)
		move(parting, &other->behind);
	else
		carry_out(domains, parting, new, parting->untold ? "untold" : "told");
}

// --- from the others -------------------------------------------------------------------------------------

static bool hold(struct domains *domains, const struct fragment *old, const struct fragment *new)
{
	const enum dataplane_state state = dataplane_status(domains->sync.dataplane)->state;

	if (state != DATAPLANE_SYNCED && state != DATAPLANE_INCOMPLETE &&
		state != DATAPLANE_REPLAYING)
		return false;
	if (takes_sessions(domains, old, new)) {
		cease(domains, begin(domains, old), new);
		return true;
	}
	if (takes_places(domains, old, new)) {
		enter_waiting(domains, begin(domains, old));
		return true;
	}
	if (!takes_announcements(domains, old, new))
		return false;
	enter_grace(domains, begin(domains, old));
	set_leaving(domains, old, new, true);
	return true;
}

static bool takes_still(
	const struct domains *domains, const struct parting *parting, const struct fragment *new)
{
	const struct intent_interface *was;
	const struct realised_session *session;

	EACH_SESSION(domains, parting->old, was, session)
	{
		if (session->parting == parting && is_taken(was, session->family, new))
			return true;
	}
	return takes_announcements(domains, parting->old, new);
}

bool parting_holds(struct domains *domains, const struct fragment *old, const struct fragment *new)
{
	struct parting *parting = find(domains);

	if (parting == NULL)
		return hold(domains, old, new);
	if (parting->state == WAITING && !parting->sessions) {
		// What is in force is another than what was to come.
		let_go(domains, parting);
		if (!hold(domains, parting->old, new))
			fragment_apply(domains, parting->old, new);
		end(parting);
	} else if (takes_sessions(domains, parting->old, new)) {
		cease(domains, parting, new);
	} else if (!takes_still(domains, parting, new)) {
		carry_out(domains, parting, new, "taken back");
	}
	return true;
}

void partings_rename(struct domains *domains, const struct renames *renames)
{
	struct table *all = &domains->partings.all;
	struct parting **parting = calloc(renames->count + 1, sizeof(struct parting *));

	if (parting == NULL)
		abort();
	for (unsigned int i = 0; i < renames->count && all->count > 0; i++) {
		const struct parting_key key = key_of_object(renames->item[i].old);
		parting[i] = table_find(all, &key);
		if (parting[i] != NULL)
			table_remove(all, parting[i]);
	}
	for (unsigned int i = 0; i < renames->count; i++) {
		const struct parting_key key = key_of_object(renames->item[i].new);
		struct parting *other = table_find(all, &key);
		if (other != NULL) {
			table_remove(all, other);
			other->nameless = true;
			other->key = key_of_nobody(other);
			table_add(all, other);
		}
		if (parting[i] == NULL)
			continue;
		object_unref(parting[i]->object);
		parting[i]->object = object_ref(renames->item[i].new);
		parting[i]->key = key;
		table_add(all, parting[i]);
	}
	free(parting);
}

void parting_yields(struct domains *domains, const struct intent_interface *wanted)
{
	struct place_key key;

	EACH_PLACE(domains, wanted, &key)
	{
		const struct place_count *place = table_find(&domains->partings.places, &key);
		if (place != NULL && place->parting != NULL)
			carry_out(domains, place->parting, as_configured(domains, place->parting),
				place->parting->untold ? "untold" : "told");
	}
}

void parting_heard(struct domains *domains, const struct realised_session *heard)
{
	const struct intent_interface *was;
	const struct realised_session *session;
	struct parting *parting = heard->parting;

	if (speaker_state_up(heard->state.state))
		untold_over(domains, heard->id); // he has a new one
	if (parting == NULL || parting->state != CEASING || is_open(heard))
		return;
	EACH_SESSION(domains, parting->old, was, session)
	{
		if (session->parting == parting && is_open(session))
			return;
	}
	enter_grace(domains, parting);
}

bool parting_keeps(const struct domain *domain, const struct learned *learned)
{
	if (domain->partings == 0 || learned->hops == NULL)
		return false;
	for (unsigned int i = 0; i < learned->hops->key.count; i++) {
		const struct ip_address *via = &learned->hops->key.hop[i].via;
		const struct intent_interface *out = attachment_to(domain, via);
		const struct realised_session *session =
			out != NULL ? session_of(domain->domains, out, ip_index(via->family))
				    : NULL;
		if (session != NULL && session->parting != NULL)
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

static struct parting *due(const struct parting_list *list)
{
	struct parting *parting = TAILQ_FIRST(list);
	return parting != NULL && clock_ns() >= parting->until ? parting : NULL;
}

bool partings_step(struct domains *domains)
{
	struct partings *partings = &domains->partings;
	struct parting *ceasing = due(&partings->ceasing), *grace = due(&partings->grace),
		       *waiting = TAILQ_FIRST(&partings->waiting);

	if (ceasing != NULL) {
		note_untold(domains, ceasing);
		go_on(domains, ceasing);
	} else if (grace != NULL && waits_for_domain(domains, grace)) {
		enter_grace(domains, grace);
	} else if (grace != NULL) {
		go_on(domains, grace);
	} else if (waiting != NULL) {
		go_on(domains, waiting);
	} else {
		return true;
	}
	return false;
}

static void on_look(evutil_socket_t fd, short events, void *arg)
{
	struct domains *domains = arg;

	turns_note("domain: look at partings");
	if (due(&domains->partings.ceasing) != NULL || due(&domains->partings.grace) != NULL)
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
	TAILQ_INIT(&partings->waiting);
	partings->look = evtimer_new(domains->sync.base, on_look, domains);
	return partings->look != NULL ? 0 : -ENOMEM;
}

static void free_parting(void *ctx, void *entry)
{
	end(entry);
}

static void free_plain(void *ctx, void *entry)
{
	free(entry);
}

void partings_free(struct domains *domains)
{
	struct partings *partings = &domains->partings;

	if (partings->look != NULL)
		event_free(partings->look);
	table_clear(&partings->all, free_parting, NULL);
	table_clear(&partings->places, free_plain, NULL);
}
