/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MODEL_FINDING_H
#define MODEL_FINDING_H

// What validation has to say about a configuration: up to FINDINGS_MAX refusals, each with the rule that was
// broken, the objects, where it stands in the file, and what to do.

#include <stddef.h>
#include <stdint.h>

#include "control/api/error.h"

struct json_t;

#define FINDINGS_MAX 20u

struct finding {
	enum api_code code;
	const char *rule;    // "reference-exists", "tunnel-triple", ...; static
	char path[192];      // "link acme-ams-01/primary: port"; "" = the file as a whole
	char message[512];   // one sentence, no full stop, names the objects
	char hint[256];      // the next command or value, or ""
	unsigned int change; // which of a list of changes, from 1; 0 = none of them, or none alone
	// Where in the YAML file, from 1; 0 = not from a file. `length` characters from column are to blame.
	unsigned int line, column, length;
	char source[160]; // that line of the file
};

struct findings {
	unsigned int count; // in item
	unsigned int more;  // further ones that found no room
	struct finding item[FINDINGS_MAX];
};

// Starts the next finding (code API_INVALID) or, when there is no room, counts it and returns a scratch one
// that is never seen. Never NULL.
struct finding *finding_add(struct findings *findings, const char *rule, const char *path,
	const char *hint, const char *format, ...) __attribute__((format(printf, 5, 6)));

// As they stand in the file.
void findings_sort(struct findings *findings);
// The first finding as the error of the whole; API_NONE when there is none.
void findings_error(const struct findings *findings, struct api_error *error);
// [{"code", "path", "rule", "message", "hint", "line", "column"}...], a new reference; NULL when there is none.
struct json_t *findings_json(const struct findings *findings);
// As people read it, one block each:
//	culvert.yaml:4:5: error: unknown key "bandwith" in circuit "acme-ams-01"
//	    4 |     bandwith: 1gbps
//	      |     ^~~~~~~~ did you mean "bandwidth"?
// and a last line "2 errors, nothing applied". A new string for free().
char *findings_text(const struct findings *findings, const char *file_name);

#endif
