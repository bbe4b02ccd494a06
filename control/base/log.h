/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BASE_LOG_H
#define BASE_LOG_H

// Log lines: key=value on standard error (dataplane/wire/log_out.h). Values are quoted and escaped, so that no text of a
// customer or a daemon can break a line or make up a key. From any thread.
//
//	log_error("bridge", "speaker refuses peering", log_text("peering", name), log_number("errno", -err));
//
// prints: level=error part=bridge msg="speaker refuses peering" peering=acme-ams-01/private errno=2

#include <stdint.h>

enum log_level { LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR, LOG_LEVEL_FATAL };

struct log_field {
	const char *key;  // NULL ends the list
	const char *text; // NULL = number counts
	int64_t number;
};

static inline struct log_field log_text(const char *key, const char *text)
{
	return (struct log_field){.key = key, .text = text != 0 ? text : ""};
}

static inline struct log_field log_number(const char *key, int64_t number)
{
	return (struct log_field){.key = key, .number = number};
}

void log_write(enum log_level level, const char *part, const char *message,
	const struct log_field *fields);

#define LOG_FIELDS(...) ((const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){.key = 0}})
#define log_info(part, message, ...) \
	log_write(LOG_LEVEL_INFO, part, message, LOG_FIELDS(__VA_ARGS__))
#define log_warning(part, message, ...) \
	log_write(LOG_LEVEL_WARNING, part, message, LOG_FIELDS(__VA_ARGS__))
#define log_error(part, message, ...) \
	log_write(LOG_LEVEL_ERROR, part, message, LOG_FIELDS(__VA_ARGS__))
#define log_fatal(part, message, ...) \
	log_write(LOG_LEVEL_FATAL, part, message, LOG_FIELDS(__VA_ARGS__))

#endif
