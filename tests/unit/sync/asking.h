/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SYNC_ASKING_H
#define SYNC_ASKING_H

// Asks a running route thread (running.h) over a real control socket.

#include "tests/unit/sync/running.h"

#include <jansson.h>

#define LIMIT 8 // of routes, in these tests

extern json_t *events; // so far, each with its "topic", those of the topic "state" apart
extern json_t *states;

int asking_start(void **state); // cmocka's setup and teardown
int asking_stop(void **state);
void asking_again(void); // after the route thread was started again

void ask(const char *method, const char *params);          // under way until get_answer()
json_t *get_answer(void);                                  // the whole; a new reference
json_t *result_of(const char *method, const char *params); // fails on an error; a new reference
json_int_t number(const json_t *object, const char *key);
const char *text(const json_t *object, const char *key); // "" when it is none

#endif
