/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_SCHEMA_H
#define MODEL_SCHEMA_H

// One descriptor table per noun (and per node file section). Everything that knows a field knows it
// from here: parsing and printing as JSON and YAML, comparison and diff, JSON schema, the CLI's
// flags and completion (through rpc.describe), the manual's tables, sealing of secrets. Adding a
// field is one line in the noun's table and one member in its struct.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "control/base/ip.h"
#include "control/model/nouns.h"

struct check;
struct findings;
struct id_sink;
struct index_sink;
struct json_t;
struct model;
struct object;
struct preview;
struct realise;

#define NOUN_ENUM(symbol, name) NOUN_##symbol,
enum noun_id { NOUN_LIST(NOUN_ENUM) NOUNS };
#undef NOUN_ENUM

// X(symbol, name shown in the schema, C type of the member, what a value looks like)
// clang-format off
#define FIELD_KINDS(X) \
	X(NAME,      "name",      const char *,        "acme-ams-01") \
	X(STRING,    "string",    const char *,        "any text") \
	X(UINT,      "uint",      uint32_t,            "100") \
	X(INT,       "int",       int32_t,             "-4") \
	X(BOOL,      "bool",      bool,                "true") \
	X(BANDWIDTH, "bandwidth", uint64_t,            "100mbps")   /* bit/s */ \
	X(DURATION,  "duration",  uint64_t,            "5ms")       /* ns */ \
	X(SIZE,      "size",      uint64_t,            "64KiB")     /* bytes */ \
	X(ADDRESS,   "address",   struct ip_address,   "192.0.2.1") \
	X(PREFIX,    "prefix",    struct ip_prefix,    "10.1.0.0/16") \
	X(HOST,      "host",      struct ip_host,      "192.0.2.1/24") \
	X(ASN,       "asn",       uint32_t,            "65001") \
	X(ENUM,      "enum",      uint32_t,            "one of the values listed") \
	X(ETHERTYPE, "ethertype", uint32_t,            "88a8") \
	X(UUID,      "uuid",      const char *,        "1f8e5c0a-5c57-4b0e-9a53-0d7a8f6f3c11") \
	X(MAC,       "mac",       struct mac,          "02:00:5e:00:00:01") \
	X(SECRET,    "secret",    struct secret,       "{file: PATH} or {keep: FINGERPRINT}") \
	X(REFERENCE, "reference", const char *,        "the name of another object") \
	X(LIST,      "list",      LIST_OF(void),       "[...]") \
	X(STRUCT,    "struct",    void,                "{...}")     /* element of a list only, or node file */
// clang-format on

#define FIELD_KIND_ENUM(symbol, name, type, example) FIELD_##symbol,
enum field_kind { FIELD_KINDS(FIELD_KIND_ENUM) FIELD_KIND_COUNT };
#undef FIELD_KIND_ENUM

#define LIST_OF(type)               \
	struct {                    \
		unsigned int count; \
		type *item;         \
	}

struct ip_host {                   // "192.0.2.1/24"
	struct ip_address address; // family 0 = unset
	uint8_t len;
};

struct mac {
	uint8_t bytes[6];
	bool set;
};

// The fingerprint is a random token given when the secret is first stored: it says whether two
// secrets are the same one and tells nothing about the text.
#define SECRET_FINGERPRINT 17
struct secret {
	char fingerprint[SECRET_FINGERPRINT]; // 16 hex digits, "" = no secret
	char *text; // clear text; NULL = unset, or only the fingerprint is known
};

#define FIELD_KEY        (1u << 0) // part of the object's name; immutable and required
#define FIELD_IMMUTABLE  (1u << 1) // refused to change: delete and create again
#define FIELD_RAISE_ONLY (1u << 2) // a number that may only grow
#define FIELD_REQUIRED   (1u << 3)
#define FIELD_GENERATED \
	(1u << 4) // made up when not given at creation (UUID); kept when not given later
// SECRET: its text is told once by whoever sets it and never needed again; only a hash is kept
#define FIELD_HASH_ONLY (1u << 7)
// Neither is part of what a configuration asks for: a workflow field moves by transitions and,
// absent in a file, stays as it is; a status field is what the system says, which nobody sets.
#define FIELD_WORKFLOW (1u << 8)
#define FIELD_STATUS   (1u << 9)
// Set where nothing was set, it is one more of its kind: what there is stays as it is.
#define FIELD_ADDS   (1u << 10)
#define FIELD_DETAIL (1u << 6) // not a column of lists, where there are many
#define FIELD_MAP \
	(1u << 5) // LIST of STRUCT written as a map: the keys are the elements' first field

enum on_delete {
	ON_DELETE_REFUSE,  // the target cannot go while this object refers to it
	ON_DELETE_CASCADE, // this object goes with the target
};

// What changing the field on a live object does to traffic.
enum effect {
	EFFECT_NONE,    // nothing on the wire: "no traffic effect"
	EFFECT_HITLESS, // "hitless"
	EFFECT_ROUTES,  // "routes change"
	EFFECT_SESSION, // "BGP session resets"
	EFFECT_TRAFFIC, // "traffic interrupted"
};
const char *effect_text(enum effect effect);

struct field_when { // another field of the same table, and texts of its values
	const char *field;
	const char *const *values; // NULL at the end
};
struct field_move { // of an ENUM's value to another
	const char *from, *to;
};
struct field_default { // what the default is while the other field has this value
	const char *value, *initial;
};

struct field {
	const char *name; // as in YAML and JSON; the CLI's flag is --name
	enum field_kind kind;
	uint32_t flags;      // FIELD_*
	size_t offset;       // of the member in the noun's struct
	const char *initial; // value when not given, as text; NULL = none (0, NULL, family 0)
	int64_t min,
		max; // inclusive, of UINT, INT, BANDWIDTH, DURATION, SIZE; both 0 = the kind's own
	const char *const *values; // ENUM: names in the order of the C enum, NULL at the end
	enum noun_id target;       // REFERENCE
	const char *
		within; // REFERENCE: name of the field that holds the first part of the target's name
	enum on_delete on_delete;    // REFERENCE
	enum field_kind element;     // LIST: kind of the elements
	const struct fields *fields; // STRUCT, or LIST of STRUCT
	struct field_when visible; // there is such a field only then; .field NULL = always
	const char *initial_field; // the default goes by this field, `initial` where initial_by has none
	const struct field_default *initial_by; // value NULL at the end
	// ENUM: what it may change to on a live object; from NULL at the end. NULL = anything. A workflow field of a
	// new object is at its default.
	const struct field_move *moves;
	// RAISE_ONLY: whether this object's may be lowered all the same; NULL = never.
	bool (*may_lower)(const struct model *model, const struct object *object);
	const char *since; // version that it came with, NULL = there from the beginning
	const char *merge; // LIST of STRUCT: field of the elements that tells which is which
	enum effect effect; // of an element's field: that of the list, which changes as a whole
	const char *help; // one line, lower case, no full stop
};

struct fields {
	const struct field *item;
	unsigned int count;
	size_t size; // of the C struct
};

struct rule {
	const char *name; // as findings show it
	const char *help; // what is refused, one line
	void (*check)(struct check *check, const struct object *object);
};

struct noun {
	enum noun_id id;
	const char *name;    // "circuit"
	const char *section; // "circuits": key of the YAML file, at the top or inside the parent
	int parent; // noun whose YAML item holds this noun's section, -1 = top; its reference is implied
	struct fields fields;
	const struct rule *rules; // name NULL at the end
	// Calls index_key() for what has to be found or unique besides references; NULL = nothing.
	void (*keys)(struct index_sink *sink, const struct object *object);
	// Name of the customer whose the object is, borrowed from the snapshot. NULL = nobody's,
	// what an edge or a port is; also when what it hangs on is not there.
	const char *(*customer_of)(const struct model *model, const struct object *object);
	// Calls id_needed() for every number the object is known by outside the model; NULL = none.
	void (*ids)(struct id_sink *sink, const struct object *object);
	// Calls check_touch() for what else has to be looked at again when `object` came, changed
	// or goes, besides the object and (when it goes) who refers to it; NULL = nothing.
	void (*touches)(struct check *check, const struct object *object);
	// What the object means on this edge, added to the fragment that `realise` fills; NULL =
	// nothing. See control/model/intent.h. Runs on any thread.
	void (*realise)(struct realise *realise, const struct object *object);
	// What else a change brings along that creates the object (not a file, which has all of it): an array of further changes
	// as model_change() takes them, with findings if they cannot be made up; NULL = nothing. A new reference.
	// preview_model() is what there is besides (model_internal.h).
	struct json_t *(*brings)(
		struct preview *preview, const struct object *object, struct findings *findings);
	// Rules of deleting it, `object` as it was; check->model is without it. NULL = none.
	const struct rule *leaves; // name NULL at the end
	enum effect removal; // what deleting one does to traffic
	// Why its objects cannot be renamed, although their names are free; NULL = they can.
	const char *fixed_name;
	// Whether traffic may flow by it as the model stands: what is down, disabled or joined to nothing is changed without
	// anybody's noticing. NULL = always.
	bool (*carries)(const struct model *model, const struct object *object);
	const char *help;
};

extern const struct noun *const nouns[NOUNS];   // by id
const struct noun *noun_find(const char *name); // by name, NULL = none
const struct field *field_find(const struct fields *fields, const char *name);
const char *field_kind_name(enum field_kind kind);

// One scalar. text is what stands in YAML; JSON strings, integers and booleans are taken as their
// text. error gets what is wrong ("needs a unit, such as 100mbps"). Returns 0 or -EINVAL. *value is
// what field->kind says and owns nothing before.
#define FIELD_ERROR_MAX 256
int field_parse(
	const struct field *field, const char *text, void *value, char error[FIELD_ERROR_MAX]);
// As YAML and JSON show it; returns buffer, or the string itself. "" when unset.
#define FIELD_TEXT_MAX 512
const char *field_format(const struct field *field, const void *value, char buffer[FIELD_TEXT_MAX]);
bool field_is_unset(const struct field *field, const void *value);

// Numbers with units, exact: the largest unit that divides. "100mbps", "5ms", "64KiB".
// "10ms..2s"; "" when the kind's own range is all there is.
const char *field_range(const struct field *field, char *buffer, size_t size);
const char *bandwidth_format(uint64_t bits_per_second, char buffer[32]);

// Whether the struct has the field, as its other fields are.
bool field_is_visible(const struct fields *fields, const struct field *field, const void *object);
// The field's default in this struct, as text; NULL = none.
const char *field_default_of(
	const struct fields *fields, const struct field *field, const void *object);

// A whole struct described by fields.
bool fields_equal(const struct fields *fields, const void *a, const void *b);
void fields_free(
	const struct fields *fields, void *object); // what the members own, not object itself
// A new object with every set field. Secrets appear as {"keep": fingerprint}.
struct json_t *fields_json(const struct fields *fields, const void *object);

// For rpc.describe: {"circuit": {"help", "section", "parent", "key": [..], "fields": [{"name",
// "kind", "example", "flags": [..], "default", "values", "min", "max", "target", "within",
// "element", "fields", "effect", "help"}..], "schema": a JSON schema (draft 2020-12) of one
// object}, ...}. A new reference.
struct json_t *schema_describe(void);
// JSON schema of a whole configuration file. A new reference.
struct json_t *schema_file(void);
// The manual's table of one noun, as scdoc text.
void schema_manual(const struct noun *noun, FILE *out);

// The nearest of the field names (or of `names`, NULL at the end), for "did you mean"; NULL = none
// is near.
const char *did_you_mean(const char *word, const char *const *names);

#endif
