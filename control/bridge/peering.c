// SPDX-License-Identifier: BSD-3-Clause
// The declared BGP peerings. A declaration is copied whole, checked for what would break a configuration, and
// handed to the domain's speaker; what comes of it is seen in the session callback.

#include "control/bridge/render.h"
#include "control/bridge/birdc.h"
#include "control/bridge/files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void free_declared(struct bridge_peering *declared)
{
	for (unsigned int i = 0; i < declared->rejects; i++) {
		free((char *)declared->reject[i].rule);
		free((char *)declared->reject[i].object);
	}
	free((struct bridge_reject *)declared->reject);
	free((char *)declared->name);
	free((char *)declared->password);
}

static bool copy_declared(struct bridge_peering *to, const struct bridge_peering *from)
{
	struct bridge_reject *reject = calloc(from->rejects ? from->rejects : 1, sizeof(*reject));
	bool good = reject != NULL;

	*to = *from;
	to->reject = reject;
	to->name = strdup(from->name);
	to->password = from->password ? strdup(from->password) : NULL;
	good = good && to->name && (to->password || !from->password);
	for (unsigned int i = 0; reject && i < from->rejects; i++) {
		reject[i] = from->reject[i];
		reject[i].rule = strdup(from->reject[i].rule);
		reject[i].object = strdup(from->reject[i].object ? from->reject[i].object : "");
		good = good && reject[i].rule && reject[i].object;
	}
	if (reject == NULL)
		to->rejects = 0;
	if (!good)
		free_declared(to);
	return good;
}

static struct peering *peering_new(struct bridge *bridge, struct domain *domain, uint32_t id)
{
	struct peering *peering = calloc(1, sizeof(*peering));
	char name[48];

	if (peering == NULL)
		return NULL;
	peering->domain = domain;
	peering->declared.id = id;
	if (idmap_set(&bridge->peerings, id, peering)) {
		free(peering);
		return NULL;
	}
	snprintf(name, sizeof(name), "peering-%u.conf", id);
	peering->installed = files_read(domain->space->speaker->directory, name);
	TAILQ_INSERT_TAIL(&domain->space->speaker->peerings, peering, entry);
	return peering;
}

int bridge_peering_set(
	struct bridge *bridge, const struct bridge_peering *declared, struct api_error *error)
{
	struct domain *domain = idmap_get(&bridge->domains, declared->domain);
	struct peering *peering = idmap_get(&bridge->peerings, declared->id);
	struct bridge_peering copy;

	if (domain == NULL || domain->space->speaker == NULL)
		return api_fail(error, API_NOT_FOUND, NULL,
			"peering \"%s\" names no domain with a speaker", declared->name);
	int err = render_check(declared, error);
	if (err)
		return err;
	if (peering && peering->domain != domain) {
		bridge_peering_delete(bridge, declared->id);
		peering = NULL;
	}
	if (!copy_declared(&copy, declared))
		return api_fail(
			error, API_INTERNAL, NULL, "peering \"%s\": no memory", declared->name);
	if (peering == NULL)
		peering = peering_new(bridge, domain, declared->id);
	if (peering == NULL) {
		free_declared(&copy);
		return api_fail(
			error, API_INTERNAL, NULL, "peering \"%s\": no memory", declared->name);
	}
	free_declared(&peering->declared);
	peering->declared = copy;
	if (peering->quarantined) { // another text deserves another try, the same does not
		char *text = render_peering(peering);
		peering->quarantined = text && peering->text && strcmp(text, peering->text) == 0;
		free(text);
	}
	speaker_changed(domain->space->speaker);
	return 0;
}

void peering_free(struct speaker *speaker, struct peering *peering)
{
	TAILQ_REMOVE(&speaker->peerings, peering, entry);
	idmap_remove(&speaker->space->bridge->peerings, peering->declared.id);
	free_declared(&peering->declared);
	free(peering->text);
	free(peering->installed);
	free(peering);
}

void bridge_peering_delete(struct bridge *bridge, uint32_t id)
{
	struct peering *peering = idmap_get(&bridge->peerings, id);
	char name[48];

	if (peering == NULL)
		return;
	struct speaker *speaker = peering->domain->space->speaker;
	snprintf(name, sizeof(name), "peering-%u.conf", id);
	peering_free(speaker, peering);
	// The running daemon has read it already; without the file it is no leftover of an earlier life either.
	files_remove(speaker->directory, name);
	speaker_changed(speaker);
}
