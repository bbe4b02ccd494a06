// SPDX-License-Identifier: BSD-3-Clause
// What a BIRD is told (2.0.12 and 2.17 read the same text). One include file per domain, with a table and a kernel
// protocol for each family and its announcements; one per session, with its filters and its BGP protocol. Every
// identifier is made from an id, so no name a user chose can meet a keyword; such names appear in strings only,
// without the characters that end one.
//
// - Announcements are static routes with their attributes, at preference 300, over BGP's 100: a customer who
//   announces our prefix does not win. A protocol for each group, so that one can be taken back by a command.
// - Only BGP routes that the domain itself learned go to the kernel; what came by a join has its route already.
// - `import keep filtered` keeps what the filter rejects, so that it can be listed.
// - Restarts: graceful restart in BGP and in the kernel protocol, `persist`, and bird -R together leave the
//   kernel's routes standing while a new daemon learns them again (any one of them missing: the table empties).
//   A far end's long-lived one is off: BIRD would take an expired hold timer for a restart (RFC 4271, 8.2.2).
// - The receive limit is only a guard for the daemon's memory; limits that a customer sees are the domain's.
// - strict bind: one listening socket for each local address. All passwords on one socket would run out of option
//   memory at about 150 sessions (net.core.optmem_max of 20,480).
// - scan time 1 of the device protocol is the main loop's pulse: with the default it sleeps up to 3 s over work due.
//   A scan costs the square of the number of interfaces (1.2 s with 20,000), and many sessions have timers enough to
//   wake the loop: with many domains the scan comes as rarely as BIRD's own default.
// - scan time 300 of the kernel protocols: each dumps its table, 20,000 of them with 10,000 domains, to find what the kernel
//   has told already; a daemon whose routes were taken is asked for them at once (bird_restore()).

#include "control/speakers/bird/render.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	DEFAULT_CONNECT_S = 5,
	DEFAULT_ERROR_WAIT_S = 2,
	PASSWORD_MAX = 80, // TCP MD5 signature option, RFC 2385
	RECOVERY_WAIT_S =
		10, // one silent customer holds a restarted daemon's routes back no longer
	PREFERENCE = 300,
	DOMAINS_PER_SCAN_S = 200, // a daemon of 10,000 domains scans every 51 s
};

static const uint32_t JOIN_ASN = 4294967294; // the last private one, RFC 6996: no path shows it

void render_table(char name[24], uint32_t domain, uint8_t family)
{
	snprintf(name, 24, "d%uv%u", domain, family);
}

void render_group(char name[40], uint32_t domain, uint32_t group, uint8_t family)
{
	snprintf(name, 40, "a%ug%uv%u", domain, group, family);
}

// --- what no configuration can hold

static bool password_safe(const char *password)
{
	for (const char *c = password; *c != '\0'; c++)
		if (*c < 0x20 || *c > 0x7e || *c == '"' || *c == '\\')
			return false;
	return true;
}

static int password_accepted(const struct speaker_session *session, struct api_error *error)
{
	if (session->password == NULL)
		return 0;
	if (!password_safe(session->password))
		return api_fail(error, API_INVALID, "use printable ASCII without \" and \\",
			"the BGP password of peering \"%s\" cannot be written to the speaker's "
			"configuration",
			session->name);
	if (session->password[0] == '\0' || strlen(session->password) > PASSWORD_MAX)
		return api_fail(error, API_INVALID, "use 1 to 80 characters",
			"the BGP password of peering \"%s\" has a length TCP MD5 does not allow",
			session->name);
	return 0;
}

int render_accepts(const struct speaker_session *session, struct api_error *error)
{
	const char *name = session->name;

	if (session->local.family != session->remote.family ||
		(session->local.family != 4 && session->local.family != 6))
		return api_fail(error, API_INVALID, NULL,
			"peering \"%s\" has ends of different address families", name);
	if (ip_address_compare(&session->local, &session->remote) == 0)
		return api_fail(error, API_INVALID, NULL,
			"peering \"%s\" has the same address on both ends", name);
	if (session->local_asn == 0 || session->remote_asn == 0)
		return api_fail(error, API_INVALID, NULL, "peering \"%s\" has AS number 0", name);
	if (session->hold != 0 && session->hold < 3)
		return api_fail(error, API_INVALID, "use 0 for the default, or 3 s and more",
			"peering \"%s\" has a hold time of %u s", name, session->hold);
	return password_accepted(session, error);
}

// --- a session

// A user's name inside a string or comment.
static void put_name(FILE *out, const char *name)
{
	for (const char *c = name; *c != '\0'; c++)
		fputc(*c < 0x20 || *c > 0x7e || *c == '"' || *c == '\\' ? '_' : *c, out);
}

static void put_timers(FILE *out, const struct speaker_session *session)
{
	unsigned int wait = session->error_wait != 0 ? session->error_wait : DEFAULT_ERROR_WAIT_S;
	unsigned int connect = session->connect != 0 ? session->connect : DEFAULT_CONNECT_S;

	if (session->hold != 0)
		fprintf(out, "\thold time %u;\n", session->hold);
	if (session->keepalive != 0)
		fprintf(out, "\tkeepalive time %u;\n", session->keepalive);
	fprintf(out, "\tconnect delay time 1;\n\tconnect retry time %u;\n", connect);
	fprintf(out, "\terror wait time %u, %u;\n", wait, wait * 5);
	fprintf(out, "\tgraceful restart on;\n\tgraceful restart time 120;\n");
	fprintf(out, "\tlong lived graceful restart off;\n");
}

// Described by its domain's name, which no other name of the peering changes.
static void put_protocol(
	FILE *out, const struct speaker_session *session, const struct served_domain *domain)
{
	char text[IP_TEXT_MAX];

	fprintf(out, "protocol bgp p%u {\n\tdescription \"", session->id);
	put_name(out, domain->declared.name);
	fprintf(out, "\";\n");
	if (!session->enabled)
		fprintf(out, "\tdisabled;\n");
	ip_address_format(&session->local, text);
	if (session->local.family == 4)
		fprintf(out, "\trouter id %s;\n", text);
	fprintf(out, "\tlocal %s as %u;\n", text, session->local_asn);
	fprintf(out, "\tneighbor %s as %u;\n", ip_address_format(&session->remote, text),
		session->remote_asn);
	fprintf(out, "\tdirect;\n\tstrict bind yes;\n\tcheck link yes;\n");
	// Our own AS number in a path is the import policy's to refuse: BIRD would drop the route without a word.
	fprintf(out, "\tallow local as;\n");
	if (session->local_asn != session->remote_asn)
		fprintf(out, "\tenforce first as on;\n");
	if (session->ttl_security)
		fprintf(out, "\tttl security on;\n");
	if (session->password != NULL)
		fprintf(out, "\tpassword \"%s\";\n", session->password);
	put_timers(out, session);
}

char *render_session(const struct served_session *session)
{
	const struct speaker_session *declared = &session->declared;
	char *text = NULL, table[24];
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		return NULL;
	put_protocol(out, declared, session->domain);
	render_table(table, session->domain->id, declared->local.family);
	fprintf(out, "\tipv%u {\n\t\ttable %s;\n", declared->local.family, table);
	fprintf(out, "\t\timport keep filtered;\n\t\timport where\n");
	filter_render(out, &session->import, declared->local.family);
	fputs(";\n", out);
	if (declared->memory_limit != 0)
		fprintf(out, "\t\treceive limit %u action disable;\n", declared->memory_limit);
	fprintf(out, "\t\texport where cv_med_told() && (\n");
	filter_render(out, &session->export, declared->local.family);
	fprintf(out, ");\n\t\tnext hop self;\n\t};\n}\n");
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

// --- a domain

static void put_table(FILE *out, const struct served_domain *domain, uint8_t family)
{
	char table[24];

	render_table(table, domain->id, family);
	fprintf(out, "ipv%u table %s;\nprotocol kernel k%uv%u {\n", family, table, domain->id,
		family);
	fprintf(out, "\tpersist;\n\tgraceful restart;\n\tscan time 300;\n");
	fprintf(out, "\tkernel table %u;\n\tipv%u {\n\t\ttable %s;\n\t\timport none;\n",
		domain->declared.kernel_table, family, table);
	fprintf(out, "\t\texport where source = RTS_BGP && !defined(cv_joined);\n\t};\n}\n");
}

static void put_announcement(FILE *out, const struct speaker_announcement *announcement)
{
	char text[IP_TEXT_MAX];

	fprintf(out, "\troute %s unreachable", ip_prefix_format(&announcement->prefix, text));
	if (announcement->communities + announcement->larges > 0)
		fprintf(out, " {");
	for (unsigned int i = 0; i < announcement->communities; i++)
		fprintf(out, " bgp_community.add((%u,%u));", announcement->community[i] >> 16,
			announcement->community[i] & 0xffff);
	for (unsigned int i = 0; i < announcement->larges; i++)
		fprintf(out, " bgp_large_community.add((%u,%u,%u));", announcement->large[i].asn,
			announcement->large[i].a, announcement->large[i].b);
	fprintf(out, "%s;\n", announcement->communities + announcement->larges > 0 ? " }" : "");
}

static void put_group(FILE *out, const struct served_domain *domain,
	const struct announcement_group *group, uint8_t family)
{
	char name[40], table[24];
	unsigned int count = 0;

	for (unsigned int i = 0; i < group->count; i++)
		count += group->list[i].prefix.address.family == family;
	if (count == 0)
		return;
	render_group(name, domain->id, group->id, family);
	render_table(table, domain->id, family);
	fprintf(out, "protocol static %s {\n%s\tipv%u { table %s; preference %u; };\n", name,
		group->up ? "" : "\tdisabled;\n", family, table, PREFERENCE);
	for (unsigned int i = 0; i < group->count; i++)
		if (group->list[i].prefix.address.family == family)
			put_announcement(out, &group->list[i]);
	fprintf(out, "}\n");
}

char *render_domain(const struct served_domain *domain)
{
	const struct announcement_group *group;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		return NULL;
	fprintf(out, "# ");
	put_name(out, domain->declared.name);
	fprintf(out, "\n");
	for (uint8_t family = 4; family <= 6; family += 2) {
		put_table(out, domain, family);
		TAILQ_FOREACH (group, &domain->groups, entry)
			put_group(out, domain, group, family);
	}
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

// --- the main file

// One way of a join. What came by another join is not told further.
static void put_way(FILE *out, const char *way, const struct policy *policy, uint8_t family)
{
	fprintf(out, "\t%s where source = RTS_BGP && !defined(cv_joined) && (\n", way);
	filter_render(out, policy, family);
	fprintf(out, ") && cv_mark_joined();\n");
}

static void put_pipe(FILE *out, const struct speaker_join *join, uint8_t family)
{
	const struct served_domain *a = join->domain[0], *b = join->domain[1];
	char table[24];

	render_table(table, a->id, family);
	fprintf(out, "protocol pipe j%ux%uv%u {\n\ttable %s;\n", a->id, b->id, family, table);
	render_table(table, b->id, family);
	fprintf(out, "\tpeer table %s;\n", table);
	put_way(out, "export", &join->policy[0], family);
	put_way(out, "import", &join->policy[1], family);
	fprintf(out, "}\n");
}

// The session to another daemon, of our domain `i`. The way that it says is none: such routes do not go to the kernel.
static void put_hop(FILE *out, const struct speaker_join *join, unsigned int i)
{
	fprintf(out, "protocol bgp j%ux%u {\n", join->domain[0]->id, join->domain[1]->id);
	fprintf(out, "\tinterface \"%s\";\n", join->device[i]);
	fprintf(out, "\tlocal fe80::%u as %u;\n\tneighbor fe80::%u as %u;\n", i + 1, JOIN_ASN,
		2 - i, JOIN_ASN);
	fprintf(out, "\tdirect;\n\tstrict bind yes;\n\tcheck link yes;\n\tallow local as;\n");
	fprintf(out, "\tconnect delay time 1;\n\tconnect retry time 2;\n\terror wait time 1, 5;\n");
	fprintf(out, "\tgraceful restart on;\n\tlong lived graceful restart off;\n");
	for (uint8_t family = 4; family <= 6; family += 2) {
		char table[24];
		render_table(table, join->domain[i]->id, family);
		fprintf(out, "\tipv%u {\n\ttable %s;\n\tnext hop self;\n\tgateway direct;\n%s",
			family, table, family == 4 ? "\textended next hop on;\n" : "");
		fprintf(out, "\timport where cv_mark_joined();\n");
		put_way(out, "export", &join->policy[i], family);
		fprintf(out, "\t};\n");
	}
	fprintf(out, "}\n");
}

static void put_joins(FILE *out, const struct speaker *speaker)
{
	const struct speaker_join *join;

	TAILQ_FOREACH (join, &speaker->joins[0], link[0]) {
		if (join->domain[1]->speaker != speaker)
			put_hop(out, join, 0);
		for (uint8_t family = 4; family <= 6 && join->domain[1]->speaker == speaker; family += 2)
			put_pipe(out, join, family);
	}
	TAILQ_FOREACH (join, &speaker->joins[1], link[1])
		put_hop(out, join, 1);
}

char *render_main(
	const struct speaker *speaker, const char *log, const char *domains, const char *sessions)
{
	const struct served_domain *first = TAILQ_FIRST(&speaker->domains);
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	uint32_t id = first != NULL && !first->declared.shared ? first->id : 0;

	if (out == NULL)
		return NULL;
	fprintf(out, "# Written by culvertd; changes are overwritten.\n");
	if (log != NULL)
		fprintf(out,
			"log \"%s\" 1000000 \"%s.1\" { info, remote, warning, error, auth, fatal, "
			"bug };\n",
			log, log);
	// Only a default: every IPv4 session has its own. Never changes, since that would restart all sessions.
	fprintf(out, "router id 100.%u.%u.%u;\n", 64 + (id >> 16 & 63), id >> 8 & 255, id & 255);
	fprintf(out, "graceful restart wait %u;\n", RECOVERY_WAIT_S);
	fprintf(out, "timeformat base iso long;\ntimeformat protocol iso long ms;\n");
	fprintf(out, "timeformat route iso long;\ntimeformat log iso long;\n\n");
	filter_functions(out);
	fprintf(out, "\nprotocol device dev0 {\n\tscan time %u;\n}\n\n",
		1 + speaker->domain_count / DOMAINS_PER_SCAN_S);
	fputs(domains, out);
	put_joins(out, speaker);
	fputs(sessions, out);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}
