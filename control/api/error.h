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

// What the exit status of culvertctl and culvertd means; help and culvertctl(8) are printed from it.
// X(status, meaning)
// clang-format off
#define API_EXITS(X) \
	X(0,  "ok") \
	X(1,  "refused, or what was asked after is not well") \
	X(2,  "usage") \
	X(3,  "not found") \
	X(4,  "culvertd is unreachable, or no data plane is connected that could tell") \
	X(5,  "denied") \
	X(6,  "invalid configuration") \
	X(7,  "conflict: another revision, one that waits for confirmation, or another culvertd has the store or the socket") \
	X(8,  "time-out") \
	X(10, "config diff found changes")
// clang-format on
#define API_EXIT_CHANGES 10

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
