/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef API_ERROR_H
#define API_ERROR_H

// What went wrong, as a user is told: a code, a sentence that names the object and the rule, and what to do
// next. The same three travel in JSON-RPC (error.data) and end as culvertctl's exit status.

// X(symbol, name in JSON, JSON-RPC code, exit status)
// clang-format off
#define API_ERRORS(X) \
	X(NONE,        "ok",          0,      0) \
	X(REFUSED,     "refused",     -32000, 1) \
	X(USAGE,       "usage",       -32602, 2) \
	X(NOT_FOUND,   "not-found",   -32001, 3) \
	X(UNREACHABLE, "unreachable", -32002, 4) \
	X(DENIED,      "denied",      -32003, 5) \
	X(INVALID,     "invalid",     -32004, 6) \
	X(CONFLICT,    "conflict",    -32005, 7) \
	X(TIMEOUT,     "timeout",     -32006, 8) \
	X(PARSE,       "parse",       -32700, 2) \
	X(REQUEST,     "request",     -32600, 2) \
	X(METHOD,      "method",      -32601, 2) \
	X(INTERNAL,    "internal",    -32603, 1)
// clang-format on

#define API_ERROR_ENUM(symbol, name, rpc, exit) API_##symbol,
enum api_code { API_ERRORS(API_ERROR_ENUM) };
#undef API_ERROR_ENUM

struct api_error {
	enum api_code code;
	char message[512]; // one sentence, no full stop, names the object
	char hint[256];    // the next command or value, or ""
};

// Fills *error (may be NULL) and returns the negative errno that goes with the code, so that a caller can
// write: return api_fail(error, API_NOT_FOUND, "culvertctl circuit list", "no circuit named \"%s\"", name);
// hint may be NULL.
int api_fail(struct api_error *error, enum api_code code, const char *hint, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

const char *api_code_name(enum api_code code);
int api_code_rpc(enum api_code code);
int api_code_exit(enum api_code code);
enum api_code api_code_from_rpc(int code); // API_INTERNAL for a code we do not know

#endif
