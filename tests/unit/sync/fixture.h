/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SYNC_FIXTURE_H
#define SYNC_FIXTURE_H

// What the tests of sync share: publications made from YAML by the real model and store, a node file in
// memory, a bridge that only remembers, and a data plane that is a map behind the wire contract.

#include "control/bridge/bridge.h"
#include "control/model/ids.h"
#include "control/speakers/speaker.h"
#include "control/model/model.h"
#include "control/node.h"
#include "control/publication.h"
#include "control/store/store.h"
#include "control/domain/state.h"
#include "control/domain/live.h"
#include "control/model/intent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

extern const char *const base_yaml; // two edges; acme and globex with equal addresses on both

// --- publications --------------------------------------------------------------------------------------

struct configuration { // a store in a directory of its own
	char directory[64];
	struct store *store;
	struct model *model;
	struct ids *ids;
	uint8_t uuid[16];
	uint64_t revision;
};
extern bool configuration_lab; // of the next one: both links of a circuit may end on one edge
void configuration_open(struct configuration *c);
void configuration_close(struct configuration *c);
void configuration_apply(struct configuration *c, const char *yaml);
// One replacement of text in what was applied.
void configuration_edit(struct configuration *c, const char *from, const char *to);
struct publication *configuration_publish(const struct configuration *c);

struct node *make_node(const char *edge, const char *socket);
void free_node(struct node *node);

// --- the fake bridge: link-time substitute for control/bridge ----------------------------------------------

#define FAKE_OBJECTS 2048 // ids are below
struct fake_bridge {
	struct bridge_callbacks callbacks;
	bool exists;
	unsigned int interface_sets, interfaces, domains, sweeps, probes, carriers, doubts;
	unsigned int foreign;   // namespaces that another store has marked
	bool too_many;          // refuse a sweep that is not forced
	char refuse_domain[64]; // host name of a domain that cannot be made, "" = none
	int refuse_neighbor;    // answer until it is 0 again
	bool no_ipv6;           // the kernel takes no address of it
	unsigned int interface_deletes;
	bool carrier[FAKE_OBJECTS], domain_there[FAKE_OBJECTS];
	char interface_name[FAKE_OBJECTS][16];
	uint32_t interface_domain[FAKE_OBJECTS];
	struct ip_address interface_address[FAKE_OBJECTS];
	unsigned int interface_addresses[FAKE_OBJECTS]; // how many it has
};
extern struct fake_bridge fake_bridge;
void bridge_says_route(uint32_t domain, const char *prefix, const char *via, bool present);
void bridge_says_neighbor(uint32_t interface, const char *address, bool usable);

// --- the fake speakers: link-time substitute for control/speakers --------------------------------------------

struct fake_speakers {
	struct speaker_callbacks callbacks;
	unsigned int sessions, sweeps;
	uint64_t moment;                      // of what speaker_says_session() says
	unsigned int announced[FAKE_OBJECTS]; // prefixes by domain, as last announced
	unsigned int clears; // questions to clear a session, for the test to answer
	struct {
		speaker_done done;
		void *ctx;
	} clear[8];
	int refuse_clear;   // answer to the next one, 0 = do it
	int refuse_domain;  // answer until it is 0 again
	int refuse_session; // answer until it is 0 again
	bool domain_there[FAKE_OBJECTS];
	bool session_there[FAKE_OBJECTS], second_there[FAKE_OBJECTS]; // by interface
	unsigned int session_deletes;                                 // of the first
};
extern struct fake_speakers fake_speakers;
void speaker_says_session(uint32_t session, const char *state);
// One that came between two looks.
void speaker_says_another_session(uint32_t session, const char *state);

// --- the fake data plane -------------------------------------------------------------------------------

struct fake_record {
	uint16_t type; // SET
	bool marked, doomed;
	_Alignas(8) uint8_t value[128];
};

enum { FAKE_SWEEPS = 64 };
struct fake_sweep {
	bool force;
	uint32_t scope, vrf; // scope 0: not open
	uint64_t arrived;
};

struct fake_dataplane {
	char path[108];
	struct wire_listener *listener;
	struct wire_link *link;
	uint64_t instance, written, unchanged, deleted, swept, refused, messages;
	unsigned int exchanges;
	bool exchanging;
	uint16_t squatter;  // this outer tag belongs to somebody who does not go, 0 = none
	unsigned int hosts; // descriptors received
	unsigned int count;
	struct fake_record record[8192];
	uint8_t store[16];
	uint64_t revision;
	struct fake_sweep sweep[FAKE_SWEEPS]; // those that are open
	bool guard;       // refuse to delete more than 10 % and 16 interfaces, as the real one does
	int refuse_begin; // answer to BEGIN, 0 = take it
	int refuse_type;  // SETs of this type are refused with ENOSPC
	bool port_down;
	unsigned int ports;
	const char *port_name[3];
	bool wrong_acks;               // answers something that was not asked
	bool silent;                   // answers nothing
	int stats;                     // descriptor of the stats segment, 0 = none
	unsigned int stats_copies;     // sent with HELLO; 0 = one
	const char *stats_path;        // what HELLO says about it; NULL = ""
	bool endless_version;          // HELLO's text without an end
	unsigned int set_messages[64]; // SET records that changed something, by type
};
void fake_start(struct fake_dataplane *fake, const char *path);
void fake_stop(struct fake_dataplane *fake);  // closes the socket; what is installed stays
void fake_reset(struct fake_dataplane *fake); // a new start: nothing is installed
void fake_hang_up(struct fake_dataplane *fake);
void fake_turn(struct fake_dataplane *fake);
void fake_send(struct fake_dataplane *fake, uint16_t type, const void *record);
const void *fake_find(
	const struct fake_dataplane *fake, uint16_t type, uint32_t id); // by first id field
const struct wire_route *fake_route(
	const struct fake_dataplane *fake, uint32_t vrf, const char *prefix);
unsigned int fake_count(const struct fake_dataplane *fake, uint16_t type);

#endif
