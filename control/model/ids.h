/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_IDS_H
#define MODEL_IDS_H

// Numbers that the data plane, the kernel and the stats segment know objects by. They come with the
// object, stay the same over restarts, and are not given to another object before a quarantine is
// over: the store gives and keeps them (control/store/ids.c). Which object needs which its noun
// says: struct noun, ids. Keys in use:
//	VRF        "underlay" (always 1), "peering/CIRCUIT/TYPE", "vnet/VNET"
//	INTERFACE  "port/EDGE/PORT" (core ports), "attachment/CIRCUIT/TYPE/ROLE", "tunnel/VNET/EDGE",
//	           "exit/EXIT/EDGE"
//	LIMITER    "CIRCUIT/ROLE/in", "CIRCUIT/ROLE/out"
//	PEERING    "CIRCUIT/TYPE"
//	OWNER      "peering/CIRCUIT/TYPE", "vnet/VNET", "exit/EXIT"
//	ACCOUNT    "CIRCUIT/VNET/in", "CIRCUIT/VNET/out": what a connection carried towards the cloud and back
// An object that gets another name keeps its numbers: their keys follow its name. So does what is in the kernel, where
// names are seldom changed: a VRF's namespace and daemon are called as they were when it was made (ids_host()).

#include <stdbool.h>
#include <stdint.h>

#include "control/model/model.h"

enum id_class { ID_VRF, ID_INTERFACE, ID_LIMITER, ID_PEERING, ID_OWNER, ID_ACCOUNT, ID_CLASSES };

#define ID_KEY_MAX (OBJECT_NAME_MAX + 32)

struct id {
	uint32_t id;  // >= 1, unique in its class
	uint64_t uid; // unique for ever, over all classes: names counters in the stats segment
};

// An immutable, reference-counted snapshot, from any thread.
struct ids;
struct ids *ids_ref(const struct ids *ids);
void ids_unref(const struct ids *ids); // NULL is fine
// False: no such key.
bool ids_get(const struct ids *ids, enum id_class class, const char *key, struct id *id);
// The same with a formatted key; *id is zero when there is none.
struct id ids_of(const struct ids *ids, enum id_class class, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

// What a VRF is called in the kernel: "acme-ams-01-private", and when that is too long, or still another's that has a new
// name, with its number behind it.
#define ID_HOST_MAX 40 // terminator included; stands in paths of unix sockets
void ids_host(const struct ids *ids, const char *key, char host[ID_HOST_MAX]);
// As made from the key; `apart`: with the number.
void id_host(const char *key, uint32_t id, bool apart, char host[ID_HOST_MAX]);

// Whether the store released this number before it was opened: what still bears it belonged to an object that was deleted,
// and is not there by a mistake of whoever asks.
bool ids_gone(const struct ids *ids, enum id_class class, uint32_t id);

// --- making snapshots: the store -----------------------------------------------------------------------

struct id_key {                  // immutable, shared by snapshots
	unsigned int references; // atomic
	enum id_class class;
	struct id id;
	char *host; // NULL = as its key says
	char key[];
};
struct id_key *id_key_new(enum id_class class, const char *key, struct id id); // NULL = no memory
bool id_key_set_host(struct id_key *key, const char *host); // before it is shared; false = no memory
struct id_key *id_key_ref(struct id_key *key);
void id_key_unref(struct id_key *key);
int id_key_compare(const struct id_key *a, const struct id_key *b); // by class, then key

struct ids_past {                // immutable, shared by snapshots
	unsigned int references; // atomic
	unsigned int count;
	struct {
		uint32_t class, id;
	} item[]; // sorted
};

struct ids {
	unsigned int references; // atomic
	struct ids_past *past;   // NULL = nothing was ever released
	unsigned int count;
	struct id_key *item[]; // sorted, a reference each
};
struct ids_past *ids_past_ref(struct ids_past *past); // NULL is fine
void ids_past_unref(struct ids_past *past);           // NULL is fine
struct ids *ids_new(unsigned int room);               // empty; NULL = no memory
struct id_key *ids_find(const struct ids *ids, enum id_class class, const char *key); // NULL = none

// For struct noun, ids: the object needs a number under this key.
struct id_sink {
	void (*need)(void *ctx, enum id_class class, const char *key);
	void *ctx;
};
void id_needed(struct id_sink *sink, enum id_class class, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
