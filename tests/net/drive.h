/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef NET_DRIVE_H
#define NET_DRIVE_H

// Shared by the two halves of bridge-drive.

#include <jansson.h>

#include "control/speakers/speaker.h"

void drive_say(json_t *object); // one line; takes the reference
uint32_t drive_number(const json_t *call, const char *name);
const char *drive_text(const json_t *call, const char *name);
struct ip_address drive_address(const json_t *call, const char *name);

int drive_speakers_create(struct speakers **speakers, struct event_base *base, const json_t *given,
	struct api_error *error);
// The calls of speakers/.
int drive_speakers(struct speakers *speakers, const json_t *call, struct api_error *error);

#endif
