// SPDX-License-Identifier: BSD-3-Clause

// The three shapes of an error are one table, API_ERRORS in error.h: what a function returns (-errno), what
// travels on the control socket (a code, a sentence, a hint) and what culvertctl exits with. Whoever refuses
// something fills a struct api_error at the place that knows the object's name and the rule; everybody above
// only hands it on. So a user never sees a bare strerror().

#include "control/api/error.h"
#include "control/api/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define ROW(symbol, text, rpc_code, status) {text, rpc_code, status},
static const struct {
	const char *name;
	int rpc;
	int exit;
} table[] = {API_ERRORS(ROW)};
#undef ROW

static int code_errno(enum api_code code)
{
	switch (code) {
	case API_NONE:
		return 0;
	case API_REFUSED:
		return -EPERM;
	case API_NOT_FOUND:
		return -ENOENT;
	case API_UNREACHABLE:
		return -ECONNREFUSED;
	case API_DENIED:
		return -EACCES;
	case API_CONFLICT:
		return -EBUSY;
	case API_TIMEOUT:
		return -ETIMEDOUT;
	case API_METHOD:
		return -ENOSYS;
	case API_INTERNAL:
		return -EIO;
	case API_USAGE:
	case API_INVALID:
	case API_PARSE:
	case API_REQUEST:
		break;
	}
	return -EINVAL;
}

int api_fail(struct api_error *error, enum api_code code, const char *hint, const char *format, ...)
{
	if (error != NULL) {
		va_list arguments;

		error->code = code;
		snprintf(error->hint, sizeof(error->hint), "%s", hint == NULL ? "" : hint);
		va_start(arguments, format);
		vsnprintf(error->message, sizeof(error->message), format, arguments);
		va_end(arguments);
		api_text_mend(error->message);
		api_text_mend(error->hint);
	}
	return code_errno(code);
}

const char *api_code_name(enum api_code code)
{
	return (size_t)code < COUNT(table) ? table[code].name : "internal";
}

int api_code_rpc(enum api_code code)
{
	return (size_t)code < COUNT(table) ? table[code].rpc : table[API_INTERNAL].rpc;
}

int api_code_exit(enum api_code code)
{
	return (size_t)code < COUNT(table) ? table[code].exit : table[API_INTERNAL].exit;
}

enum api_code api_code_from_rpc(int code)
{
	for (size_t i = 0; i < COUNT(table); i++)
		if (table[i].rpc == code)
			return (enum api_code)i;
	return API_INTERNAL;
}
