/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_INTERNAL_H
#define MODEL_INTERNAL_H

// What the files behind model.h share: the insides of a snapshot, edits, and the reader of objects.

#include "control/model/model.h"
#include "control/model/schema_internal.h"
#include "control/model/tree.h"

// --- snapshot ------------------------------------------------------------------------------------------

struct objects {                 // sorted by name
	unsigned int references; // atomic
	unsigned int count;
	const struct object *item[];
};

// Sorted by hash. Several objects may stand under one hash, also by accident: who looks up
// compares.
struct index_entry {
	uint64_t hash;
	const struct object *object;
};
struct index {
	unsigned int references; // atomic
	unsigned int count;
	struct index_entry entry[];
};

struct model {
	unsigned int references; // atomic
	struct model_options options;
	uint64_t digest;
	struct objects *objects[NOUNS];
	struct index *index;
};

// --- index ---------------------------------------------------------------------------------------------

struct index_sink {
	struct index_entry *entry;
	unsigned int count, room;
	const struct object *object;
	bool failed;
};
// Adds one key of the sink's object.
void index_key(struct index_sink *sink, uint64_t hash);
// Hashes of keys.
uint64_t key_reference(enum noun_id noun, const char *name);
uint64_t key_text(const char *what, const char *text);

// All entries of an object: references and the noun's own keys.
void index_object(struct index_sink *sink, const struct object *object);
// A new index: old without what is in `gone`, with what is in `come`; both are sorted in place.
// NULL = no memory.
struct index *index_merge(
	const struct index *old, struct index_sink *gone, struct index_sink *come);
void index_unref(struct index *index);
// First entry of the hash, == index->count when none; go on while entry[i].hash is equal.
unsigned int index_first(const struct index *index, uint64_t hash);

// --- objects and edits ---------------------------------------------------------------------------------

struct object *object_new(const struct noun *noun); // one reference, fields all zero
// Sets the name from the key fields, and the digest. 0 or -ENOMEM.
int object_finish(struct object *object);
void *object_fields(const struct object *object);

// Calls fn for every reference of the object, those in lists of structs too, until it returns
// non-zero.
int object_references(const struct object *object,
	int (*fn)(void *ctx, const struct field *field, const char *target), void *ctx);

struct edit {
	const struct noun *noun;
	const char *name;         // of the object
	const struct object *old; // of that name; NULL = created; borrowed from the old snapshot
	struct object *new;       // NULL = deleted; one reference
	struct object *was; // what `new` was, under the names that it has now; NULL = `old` as it is. One reference
	bool moved;         // `old` has another name now
};
// What `new` was before the change, whatever it was called: transitions are judged against it. NULL = it is created.
static inline const struct object *edit_before(const struct edit *edit)
{
	return edit->was ? edit->was : edit->moved ? NULL : edit->old;
}
// `old` goes for good; another one may have its name.
static inline bool edit_deletes(const struct edit *edit)
{
	return edit->old && !edit->moved &&
	       (!edit->new || (edit->was && edit->was->identity != edit->old->identity));
}
struct edits {
	unsigned int count, room;
	struct edit *item;
};
struct edit *edits_add(struct edits *edits);
void edits_free(struct edits *edits);
// The edit of that object once model_apply() has sorted them, NULL = none.
struct edit *edits_sorted_find(const struct edits *edits, const struct object *object);
// A new snapshot without any check. Sorts the edits. NULL = no memory.
struct model *model_apply(const struct model *old, struct edits *edits);

// The model as the changes before leave it, unchecked, for struct noun, brings: made when it is asked for, since that
// costs a glance at all there is.
struct preview;
const struct model *preview_model(struct preview *preview); // borrowed; NULL = no memory

// --- reading objects -----------------------------------------------------------------------------------

// Of a whole file: how many objects it has, at its beginning and at its end.
#define FILE_COUNT "objects"
#define FILE_END   "end"

struct reader {
	struct findings *findings;
	const struct source *source; // NULL = not from a file
	// Clear text of a stored secret; NULL = {keep} refers to the object as it was.
	char *(*secret)(void *ctx, const char *fingerprint);
	void *ctx;
	bool from_file; // secrets by {file} and {credential}, else by {value}
	bool failed;    // out of memory
	bool stored; // from the store: what this version does not take is kept as far as it can be held
	bool lost;                       // stored: it cannot, the object is to be left out
	char what[OBJECT_NAME_MAX + 64]; // who the sentences are about: circuit "acme-ams-01"
	char path[192];
};
// Reads the members of `map` into object. *given gets a bit for each field of the table that was
// there and not null. old is the object as it was, or NULL. noun tells which other keys (sections
// of children) are right; may be NULL.
void fields_read(struct reader *reader, const struct fields *fields, const struct tree *map,
	void *object, const void *old, const struct noun *noun, uint64_t *given);
// What depends on other fields, once all have been read: defaults of those not given, and that none
// is given which there is not as the others are.
void fields_settle(struct reader *reader, const struct fields *fields, const struct tree *map,
	void *object, uint64_t given);
// Finds fault with required fields that are missing.
void fields_require(struct reader *reader, const struct fields *fields, const struct tree *map,
	const void *object, uint64_t given);
// A secret in one of its forms; old is what it was, or NULL (secret.c).
void secret_read(struct reader *reader, const struct field *field, const struct tree *tree,
	struct secret *secret, const struct secret *old);
// A finding about a field's value; tree->text is quoted.
// Which of the names was meant, or which there are.
void hint_names(const struct reader *reader, struct finding *finding, const char *word,
	const char *const *names);
void reader_wrong_value(struct reader *reader, const struct field *field, const struct tree *tree,
	const char *error);
// A finding at a place of the file.
struct finding *reader_complain(struct reader *reader, const char *rule, const struct place *place,
	const char *field, const char *format, ...) __attribute__((format(printf, 5, 6)));

// --- checking ------------------------------------------------------------------------------------------

struct origin { // where an object stands in the file
	const struct object *object;
	const struct tree *tree;
};

struct check {
	const struct model *old, *model; // before and after
	struct findings *findings;
	const struct edits *edits;
	const struct source *source;  // NULL = not from a file
	const struct origin *origins; // sorted by object
	unsigned int origin_count;
	// set by check_run
	const struct rule *rule;
	// Of the next refuse(): what it is about, where that is less than its sentence says. Of things that
	// must be unique each is refused once, and is the same refusal whichever other one it names.
	const char *about;
	bool all;
	const struct object **touched; // sorted by pointer, when not all
	unsigned int touched_count, touched_room;
	bool failed; // out of memory
	bool broken; // the object at hand refers to what is not there
	// What was wrong before the change is no reason to refuse it: hashes of those findings,
	// sorted.
	uint64_t *known;
	unsigned int known_count, known_room;
	bool collecting, only_deletes;
	bool stepwise; // by single changes: what a field became on the way was judged then
	bool revert; // of a change that was not confirmed: rules about the way from one to the other do not bind it
};
// Checks what the edits touch, or everything. 0, -EINVAL with findings, -ENOMEM.
int check_run(struct check *check);

// For struct noun, touches: look at this object again (NULL is fine); at everything.
void check_touch(struct check *check, const struct object *object);
void check_touch_all(struct check *check);

// For rules: a refusal that blames a field of an object, named after the rule that runs.
struct finding *refuse(struct check *check, const struct object *object, const char *field,
	const char *format, ...) __attribute__((format(printf, 4, 5)));
void finding_hint(struct finding *finding, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
// Of a value that cannot become another: what it can become.
void move_hint(struct finding *finding, const struct field *field, const char *was);
// Whether the change creates it: false where all that there is is looked at.
bool check_creates(const struct check *check, const struct object *object);
// Whether the file that is applied gives the object this field.
bool check_said(const struct check *check, const struct object *object, const char *field);
// Of two objects that cannot both be: is it `mine` that is to blame? True for exactly one of the
// two calls.
bool blame(const struct check *check, const struct object *mine, const struct object *other);

#endif
