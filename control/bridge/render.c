// SPDX-License-Identifier: BSD-3-Clause
// What a domain's speaker is told, for BIRD 2 (2.0.12 and 2.17 read the same text). Per domain a table for each
// family and a kernel protocol, per peering one include file with its import filter and its BGP protocol.
// Every identifier is made from an id, so no name a user chose can meet a keyword; such names appear in strings
// only, without the characters that end one.
//
// - Announcements are blackhole routes of our protocol number in the kernel. The kernel protocol learns those
//   and nothing else, at preference 300, over BGP's 100: a customer who announces our prefix does not win.
// - Only what the kernel protocol brought is exported to the customer; only BGP routes to the kernel.
// - `import keep filtered` keeps what the filter rejects, so that it can be listed.
// - Restarts: graceful restart in BGP and in the kernel protocol, `persist`, and bird -R together leave the
//   kernel's routes standing while a new daemon learns them again (any one of them missing: the table empties).
// - The receive limit is only a guard for the daemon's memory; limits that a customer sees are the bridge's.

#include "control/bridge/render.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	DEFAULT_CONNECT_S = 5,
	DEFAULT_ERROR_WAIT_S = 2,
	PASSWORD_MAX = 80, // TCP MD5 signature option, RFC 2385
	RECOVERY_WAIT_S =
		10, // one silent customer holds a restarted daemon's routes back no longer
	PREFERENCE = 300,
};

void render_table(char name[24], uint32_t domain, uint8_t family)
{
	snprintf(name, 24, "d%uv%u", domain, family);
}

static bool password_safe(const char *password)
{
	for (const char *c = password; *c; c++)
		if (*c < 0x20 || *c > 0x7e || *c == '"' || *c == '\\')
			return false;
	return true;
}

int render_check(const struct bridge_peering *peering, struct api_error *error)
{
	const char *name = peering->name;

	if (peering->local.family != peering->remote.family ||
		(peering->local.family != 4 && peering->local.family != 6))
		return api_fail(error, API_INVALID, NULL,
			"peering \"%s\" has ends of different address families", name);
	if (ip_address_compare(&peering->local, &peering->remote) == 0)
		return api_fail(error, API_INVALID, NULL,
			"peering \"%s\" has the same address on both ends", name);
	if (peering->local_asn == 0 || peering->remote_asn == 0)
		return api_fail(error, API_INVALID, NULL, "peering \"%s\" has AS number 0", name);
	if (peering->password && !password_safe(peering->password))
		return api_fail(error, API_INVALID, "use printable ASCII without \" and \\",
			"the BGP password of peering \"%s\" cannot be written to the speaker's "
			"configuration",
			name);
	if (peering->password &&
		(peering->password[0] == '\0' || strlen(peering->password) > PASSWORD_MAX))
		return api_fail(error, API_INVALID, "use 1 to 80 characters",
			"the BGP password of peering \"%s\" has a length TCP MD5 does not allow",
			name);
	if (peering->hold != 0 && peering->hold < 3)
		return api_fail(error, API_INVALID, "use 0 for the default, or 3 s and more",
			"peering \"%s\" has a hold time of %u s", name, peering->hold);
	return 0;
}

const struct bridge_reject *render_rejecting(
	const struct bridge_peering *peering, const struct ip_prefix *prefix)
{
	for (unsigned int i = 0; i < peering->rejects; i++) {
		const struct bridge_reject *reject = &peering->reject[i];
		if (reject->more_specifics ? ip_prefix_contains(&reject->prefix, prefix)
					   : ip_prefix_compare(&reject->prefix, prefix) == 0)
			return reject;
	}
	return NULL;
}

// A user's name inside a string or comment.
static void put_name(FILE *out, const char *name)
{
	for (const char *c = name ? name : ""; *c; c++)
		fputc(*c < 0x20 || *c > 0x7e || *c == '"' || *c == '\\' ? '_' : *c, out);
}

static void put_filter(FILE *out, const struct bridge_peering *peering)
{
	char text[IP_TEXT_MAX];
	unsigned int count = 0;

	fprintf(out, "filter p%u_in {\n", peering->id);
	for (unsigned int i = 0; i < peering->rejects; i++) {
		const struct bridge_reject *reject = &peering->reject[i];
		if (reject->prefix.address.family != peering->local.family)
			continue;
		fprintf(out, "%s\t\t%s%s", count++ ? ",\n" : "\tif net ~ [\n",
			ip_prefix_format(&reject->prefix, text), reject->more_specifics ? "+" : "");
	}
	if (count)
		fprintf(out, "\n\t] then reject;\n");
	fprintf(out, "\taccept;\n}\n\n");
}

static void put_session(FILE *out, const struct bridge_peering *peering)
{
	char local[IP_TEXT_MAX], remote[IP_TEXT_MAX];
	unsigned int wait = peering->error_wait ? peering->error_wait : DEFAULT_ERROR_WAIT_S;
	unsigned int connect = peering->connect ? peering->connect : DEFAULT_CONNECT_S;

	fprintf(out, "protocol bgp p%u {\n\tdescription \"", peering->id);
	put_name(out, peering->name);
	fprintf(out, "\";\n");
	if (!peering->enabled)
		fprintf(out, "\tdisabled;\n");
	if (peering->local.family == 4)
		fprintf(out, "\trouter id %s;\n", ip_address_format(&peering->local, local));
	fprintf(out, "\tlocal %s as %u;\n", ip_address_format(&peering->local, local),
		peering->local_asn);
	fprintf(out, "\tneighbor %s as %u;\n", ip_address_format(&peering->remote, remote),
		peering->remote_asn);
	fprintf(out, "\tdirect;\n\tstrict bind yes;\n\tcheck link yes;\n");
	if (peering->local_asn != peering->remote_asn)
		fprintf(out, "\tenforce first as on;\n");
	if (peering->password)
		fprintf(out, "\tpassword \"%s\";\n", peering->password);
	if (peering->hold)
		fprintf(out, "\thold time %u;\n", peering->hold);
	if (peering->keepalive)
		fprintf(out, "\tkeepalive time %u;\n", peering->keepalive);
	fprintf(out, "\tconnect delay time 1;\n\tconnect retry time %u;\n", connect);
	fprintf(out, "\terror wait time %u, %u;\n", wait, wait * 5);
	fprintf(out, "\tgraceful restart on;\n\tgraceful restart time 120;\n");
}

char *render_peering(const struct peering *peering)
{
	const struct bridge_peering *declared = &peering->declared;
	char *text = NULL, table[24];
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		return NULL;
	put_filter(out, declared);
	put_session(out, declared);
	render_table(table, peering->domain->id, declared->local.family);
	fprintf(out, "\tipv%u {\n\t\ttable %s;\n", declared->local.family, table);
	fprintf(out, "\t\timport keep filtered;\n\t\timport filter p%u_in;\n", declared->id);
	if (declared->memory_limit)
		fprintf(out, "\t\treceive limit %u action disable;\n", declared->memory_limit);
	fprintf(out, "\t\texport where source = RTS_INHERIT;\n\t\tnext hop self;\n\t};\n}\n");
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

static void put_domain(FILE *out, const struct domain *domain)
{
	char table[24];

	fprintf(out, "\n# ");
	put_name(out, domain->name);
	fprintf(out, "\n");
	for (uint8_t family = 4; family <= 6; family += 2) {
		render_table(table, domain->id, family);
		fprintf(out, "ipv%u table %s;\nprotocol kernel k%uv%u {\n", family, table,
			domain->id, family);
		fprintf(out, "\tlearn;\n\tpersist;\n\tgraceful restart;\n\tscan time 20;\n");
		fprintf(out, "\tkernel table %u;\n\tipv%u {\n\t\ttable %s;\n", domain->table,
			family, table);
		fprintf(out,
			"\t\timport filter {\n\t\t\tif krt_source = %u && dest = RTD_BLACKHOLE "
			"then {\n",
			domain->space->bridge->local_protocol);
		fprintf(out,
			"\t\t\t\tpreference = "
			"%u;\n\t\t\t\taccept;\n\t\t\t}\n\t\t\treject;\n\t\t};\n",
			PREFERENCE);
		fprintf(out, "\t\texport where source = RTS_BGP;\n\t};\n}\n");
	}
}

char *render_main(const struct speaker *speaker, const char *const *include, unsigned int includes)
{
	const struct domain *domain = TAILQ_FIRST(&speaker->space->domains);
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	uint32_t id = speaker->space->shared || domain == NULL ? 0 : domain->id;

	if (out == NULL)
		return NULL;
	fprintf(out, "# Written by culvertd; changes are overwritten.\n");
	fprintf(out,
		"log \"%s/bird.log\" 1000000 \"%s/bird.log.1\" { info, warning, error, auth, "
		"fatal, bug };\n",
		speaker->directory, speaker->directory);
	// Only a default: every IPv4 session has its own. Never changes, since that would restart all sessions.
	fprintf(out, "router id 100.%u.%u.%u;\n", 64 + (id >> 16 & 63), id >> 8 & 255, id & 255);
	fprintf(out, "graceful restart wait %u;\n", RECOVERY_WAIT_S);
	fprintf(out, "timeformat base iso long;\ntimeformat protocol iso long;\n");
	fprintf(out, "timeformat route iso long;\ntimeformat log iso long;\n\n");
	fprintf(out, "protocol device dev0 {\n\tscan time 10;\n}\n");
	TAILQ_FOREACH (domain, &speaker->space->domains, entry)
		put_domain(out, domain);
	fprintf(out, "\n");
	for (unsigned int i = 0; i < includes; i++)
		fprintf(out, "include \"%s\";\n", include[i]);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}
