// SPDX-License-Identifier: BSD-3-Clause
// What an FRR bgpd would be told of an instance that serves one domain, in its namespace's default VRF: a route-map each
// way for each session, own announcements as `network` statements with a route-map for their communities. The same
// declarations as BIRD's (bird/render.c) in another language: the proof that nothing above knows which one is spoken.
// `bgpd -C` reads it without complaint in the tests; the daemon's process and its questions are still to come.

#include "control/speakers/frr/render.h"

#include <stdlib.h>
#include <string.h>

int frr_accepts(const struct speaker_session *session, struct api_error *error)
{
	if (session->password != NULL && strpbrk(session->password, " \t?") != NULL)
		return api_fail(error, API_INVALID, "use a password without spaces and ?",
			"the BGP password of peering \"%s\" cannot be written to FRR's "
			"configuration",
			session->name);
	return 0;
}

static void put_name(FILE *out, const char *name)
{
	for (const char *c = name; *c != '\0'; c++)
		fputc(*c < 0x20 || *c > 0x7e || *c == '?' ? '_' : *c, out);
}

// --- own announcements

static void put_announcement_map(
	FILE *out, const char *name, const struct speaker_announcement *announcement)
{
	fprintf(out, "route-map %s permit 10\n", name);
	if (announcement->communities > 0)
		fprintf(out, " set community");
	for (unsigned int i = 0; i < announcement->communities; i++)
		fprintf(out, " %u:%u", announcement->community[i] >> 16,
			announcement->community[i] & 0xffff);
	if (announcement->communities > 0)
		fprintf(out, "\n");
	if (announcement->larges > 0)
		fprintf(out, " set large-community");
	for (unsigned int i = 0; i < announcement->larges; i++)
		fprintf(out, " %u:%u:%u", announcement->large[i].asn, announcement->large[i].a,
			announcement->large[i].b);
	fprintf(out, "%sexit\n", announcement->larges > 0 ? "\n" : "");
}

// family 4, 6: the `network` statements of that address family; 0: the route-maps that they name.
static void put_announcements(FILE *out, const struct served_domain *domain, uint8_t family)
{
	const struct announcement_group *group;
	char name[48], text[IP_TEXT_MAX];

	TAILQ_FOREACH (group, &domain->groups, entry)
		for (unsigned int i = 0; group->up && i < group->count; i++) {
			const struct speaker_announcement *one = &group->list[i];
			snprintf(name, sizeof(name), "a%ug%u-%u", domain->id, group->id, i);
			if (family == 0)
				put_announcement_map(out, name, one);
			else if (one->prefix.address.family == family)
				fprintf(out, "  network %s route-map %s\n",
					ip_prefix_format(&one->prefix, text), name);
		}
}

// --- sessions

static void put_session(FILE *out, const struct speaker_session *session)
{
	char remote[IP_TEXT_MAX], local[IP_TEXT_MAX];

	ip_address_format(&session->remote, remote);
	ip_address_format(&session->local, local);
	fprintf(out, " neighbor %s remote-as %u\n neighbor %s description ", remote,
		session->remote_asn, remote);
	put_name(out, session->name);
	fprintf(out, "\n neighbor %s update-source %s\n", remote, local);
	if (session->ttl_security)
		fprintf(out, " neighbor %s ttl-security hops 1\n", remote);
	if (session->password != NULL)
		fprintf(out, " neighbor %s password %s\n", remote, session->password);
	if (session->hold != 0)
		fprintf(out, " neighbor %s timers %u %u\n", remote,
			session->keepalive != 0 ? session->keepalive : session->hold / 3,
			session->hold);
	if (session->connect != 0)
		fprintf(out, " neighbor %s timers connect %u\n", remote, session->connect);
	if (!session->enabled)
		fprintf(out, " neighbor %s shutdown\n", remote);
}

static void put_activation(FILE *out, const struct served_session *session)
{
	char remote[IP_TEXT_MAX];

	ip_address_format(&session->declared.remote, remote);
	fprintf(out, "  neighbor %s activate\n  neighbor %s next-hop-self\n", remote, remote);
	fprintf(out, "  neighbor %s soft-reconfiguration inbound\n", remote);
	fprintf(out, "  neighbor %s route-map p%u-in in\n", remote, session->id);
	fprintf(out, "  neighbor %s route-map p%u-out out\n", remote, session->id);
	if (session->declared.memory_limit != 0)
		fprintf(out, "  neighbor %s maximum-prefix %u\n", remote,
			session->declared.memory_limit);
}

static void put_family(FILE *out, const struct speaker *speaker, uint8_t family)
{
	const struct served_session *session;
	const struct served_domain *domain;

	fprintf(out, " !\n address-family ipv%u unicast\n", family);
	TAILQ_FOREACH (domain, &speaker->domains, link)
		put_announcements(out, domain, family);
	TAILQ_FOREACH (session, &speaker->sessions, link)
		if (session->declared.local.family == family)
			put_activation(out, session);
	fprintf(out, " exit-address-family\n");
}

static void put_maps(FILE *out, const struct speaker *speaker)
{
	const struct served_session *session;
	const struct served_domain *domain;
	char name[32];

	TAILQ_FOREACH (domain, &speaker->domains, link)
		put_announcements(out, domain, 0);
	TAILQ_FOREACH (session, &speaker->sessions, link) {
		uint8_t family = session->declared.local.family;
		snprintf(name, sizeof(name), "p%u-in", session->id);
		frr_route_map(out, name, &session->import, family);
		snprintf(name, sizeof(name), "p%u-out", session->id);
		frr_route_map(out, name, &session->export, family);
	}
}

char *frr_render(const struct speaker *speaker)
{
	const struct served_session *first = TAILQ_FIRST(&speaker->sessions), *session;
	const struct served_domain *domain = TAILQ_FIRST(&speaker->domains);
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		return NULL;
	fprintf(out,
		"! Written by culvertd; changes are overwritten.\nfrr defaults traditional\n!\n");
	if (first != NULL) {
		uint32_t id = domain->id;
		put_maps(out, speaker);
		fprintf(out, "router bgp %u\n bgp router-id 100.%u.%u.%u\n",
			first->declared.local_asn, 64 + (id >> 16 & 63), id >> 8 & 255, id & 255);
		fprintf(out, " no bgp default ipv4-unicast\n no bgp ebgp-requires-policy\n");
		fprintf(out, " no bgp network import-check\n bgp graceful-restart\n");
		TAILQ_FOREACH (session, &speaker->sessions, link)
			put_session(out, &session->declared);
		put_family(out, speaker, 4);
		put_family(out, speaker, 6);
		fprintf(out, "exit\n!\n");
	}
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}
