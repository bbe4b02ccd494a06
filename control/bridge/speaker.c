// SPDX-License-Identifier: BSD-3-Clause
#include "control/bridge/speaker.h"
int speaker_create(struct space *space, const char *name, struct api_error *error)
{
	return 0;
}
void speaker_close(struct speaker *speaker)
{
}
void speaker_stop(struct speaker *speaker)
{
}
void speaker_changed(struct speaker *speaker)
{
}
int bridge_peering_set(
	struct bridge *bridge, const struct bridge_peering *peering, struct api_error *error)
{
	return 0;
}
void bridge_peering_delete(struct bridge *bridge, uint32_t id)
{
}
int bridge_ask(struct bridge *bridge, uint32_t peering, enum bridge_question question,
	bridge_answer done, void *ctx)
{
	return -95;
}
int bridge_peering_clear(
	struct bridge *bridge, uint32_t peering, bool soft, bridge_answer done, void *ctx)
{
	return -95;
}
void bridge_sweep(struct bridge *bridge)
{
}
