// SPDX-License-Identifier: BSD-3-Clause
// The one guard in front of both halves. Before anything of this host is told what to be, two questions are asked:
// does the model know this edge at all, and is what lies in the kernel ours (bridge/guard.c)? While the answer is no,
// nothing is declared, nothing is swept, and the data plane is not even connected to: an empty store, a store of another
// site or a mistyped name in the node file must not take a running edge down. `edge adopt` is the way out.
//
// Once open it stays open: what a change of the model takes away is what somebody asked for. The kernel is swept only
// after the data plane has accepted our configuration with its own checks (another store, an older revision, too
// many interfaces at once), and then by the bridge's own.

#include "control/domain/state.h"

#include "control/base/log.h"
#include "control/model/ids.h"
#include "control/node.h"
#include "control/publication.h"
#include "control/status/status.h"

#include <stdio.h>
#include <string.h>

static void judge_edge(const struct sync *sync, struct hold *hold)
{
	const char *edge = sync->node->edge;

	if (publication_has_edge(fragments_publication(sync->domains->fragments), edge))
		return;
	snprintf(hold->message, sizeof(hold->message),
		"edge \"%s\" of the node file is not in the model: nothing is touched", edge);
	snprintf(hold->hint, sizeof(hold->hint),
		"correct `edge:` in the node file, apply the model that has it, or on a new machine: "
		"culvertctl edge create %s; to remove what another edge left here: culvertctl edge adopt",
		edge);
}

// Half of it, or what somebody wrote into it, is no reason to change what runs.
static void judge_store(const struct sync *sync, struct hold *hold)
{
	const char *doubt = fragments_publication(sync->domains->fragments)->doubt;

	if (doubt == NULL)
		return;
	snprintf(hold->message, sizeof(hold->message), "%s: nothing is touched", doubt);
	snprintf(hold->hint, sizeof(hold->hint),
		"stop culvertd, then culvertctl restore FILE; if what is there is meant: culvertctl edge "
		"adopt");
}

static void judge_kernel(const struct sync *sync, struct hold *hold)
{
	struct bridge_claims claims;

	bridge_claims(sync->bridge, &claims);
	if (claims.foreign == 0)
		return;
	snprintf(hold->message, sizeof(hold->message),
		"this host holds %u domains of edge \"%s\" of store %s: nothing is touched",
		claims.domains, claims.edge, claims.store);
	snprintf(hold->hint, sizeof(hold->hint),
		"start culvertd with the right store and edge, or take over: culvertctl edge "
		"adopt");
}

bool hold_judge(struct sync *sync)
{
	struct hold *hold = &sync->hold;
	char before[sizeof(hold->message)];

	hold->sweep_message[0] = '\0';
	status_clear(sync->status, STATUS_KERNEL, sync->node->edge);
	if (hold->open)
		return true;
	memcpy(before, hold->message, sizeof(before));
	hold->message[0] = hold->hint[0] = '\0';
	if (!hold->adopted)
		judge_store(sync, hold);
	if (!hold->adopted && hold->message[0] == '\0')
		judge_edge(sync, hold);
	if (!hold->adopted && hold->message[0] == '\0')
		judge_kernel(sync, hold);
	hold->open = hold->message[0] == '\0';
	if (hold->open)
		return true;
	if (strcmp(before, hold->message) != 0)
		log_warning("sync", hold->message, log_text("hint", hold->hint));
	dataplane_hold(sync->dataplane, hold->message, hold->hint);
	return false;
}

static bool too_early(const struct sync *sync)
{
	if (sync->swept || !sync->hold.open || sync->hold.sweep_message[0] != '\0' ||
		!sync->settled || !dataplane_accepted(sync->dataplane))
		return true;
	return !sync->domains->applied || !interfaces_all_made(sync->domains);
}

static const struct ids *history(const struct sync *sync)
{
	return fragments_publication(sync->domains->fragments)->ids;
}

// Whether the store's history names the deletion of what lies in the kernel.
static bool was_deleted(void *ctx, uint32_t domain, const char *interface)
{
	if (domain != 0)
		return ids_gone(history(ctx), ID_VRF, domain);
	uint32_t id = device_id(interface);
	return id != 0 && ids_gone(history(ctx), ID_INTERFACE, id);
}

void hold_found(struct sync *sync, const struct wire_interface *record)
{
	struct hold *hold = &sync->hold;

	hold->found++;
	if (table_find(&sync->realised, &record->interface) != NULL ||
		table_find(&sync->tunnels, &record->interface) != NULL)
		return;
	hold->going++;
	hold->unexplained += !ids_gone(history(sync), ID_INTERFACE, record->interface);
}

// The data plane refuses a large sweep, since it knows no history. When ours explains it - we died between a commit and
// its consequences - it is told to go ahead. Another store or a later revision is refused by it before that.
void hold_ready(struct sync *sync)
{
	const struct hold *hold = &sync->hold;
	const struct publication *mine = fragments_publication(sync->domains->fragments);
	const struct wire_hello *hello = &dataplane_status(sync->dataplane)->hello;
	bool large = hold->going > 16 && (uint64_t)hold->going * 10 > hold->found;
	bool dubious = hold->unexplained > 16 && (uint64_t)hold->unexplained * 10 > hold->found;

	if (!large || dubious || hello->revision > mine->revision ||
		memcmp(hello->store, mine->store, sizeof(hello->store)) != 0)
		return;
	log_info("sync", "interfaces that were deleted while we were not there",
		log_number("count", hold->going));
	dataplane_force(sync->dataplane);
}

void hold_sweep(struct sync *sync)
{
	if (sync->hold.sweeping || too_early(sync))
		return;
	sync->hold.sweeping = true;
	work_add(sync->domains, JOB_SWEEP, NULL, NULL);
}

// True: it is over.
bool sweep_step(struct sync *sync)
{
	struct bridge_sweep sweep = {
		.force = sync->hold.force, .deleted = was_deleted, .ctx = sync};
	struct api_error error = {0};

	int err = bridge_sweep(sync->bridge, &sweep, &error);
	if (err == 1)
		return false;
	sync->hold.sweeping = false;
	if (err == 0) {
		sync->swept = true;
		speakers_sweep(sync->speakers);
		sync->hold.force = false;
		return true;
	}
	snprintf(sync->hold.sweep_message, sizeof(sync->hold.sweep_message), "%s", error.message);
	snprintf(sync->hold.sweep_hint, sizeof(sync->hold.sweep_hint), "%s", error.hint);
	status_set(sync->status, STATUS_KERNEL, sync->node->edge, STATUS_WARNING, "unswept",
		error.message, error.hint);
	log_warning("sync", error.message, log_text("hint", error.hint));
	return true;
}

void hold_preview(struct sync *sync, struct bridge_preview *preview, struct adoption *adoption)
{
	*adoption = (struct adoption){
		.known = publication_has_edge(
			fragments_publication(sync->domains->fragments), sync->node->edge),
		.needed = !sync->hold.open || sync->hold.sweep_message[0] != '\0' ||
			  dataplane_status(sync->dataplane)->state == DATAPLANE_REFUSED};
	bridge_claims(sync->bridge, &adoption->claims);
	if (sync->swept)
		return;
	bridge_preview(sync->bridge, preview);
	adoption->domains_there = preview->domains_there;
	adoption->interfaces_there = preview->interfaces_there;
	adoption->domains = preview->domains;
	adoption->interfaces = preview->interfaces;
}

void hold_adopt(struct sync *sync)
{
	log_info("sync", "adopting what this host and the data plane hold",
		log_text("edge", sync->node->edge));
	bridge_adopt(sync->bridge);
	sync->hold.adopted = true;
	if (sync->adopted != NULL)
		sync->adopted(sync->event_ctx);
	sync->hold.force = !sync->swept;
	dataplane_force(sync->dataplane);
	domains_go(sync->domains);
}
