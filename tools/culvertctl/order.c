// SPDX-License-Identifier: BSD-3-Clause

// Ordering: where circuits can be had, what came of an order, what a circuit waits for.

#include "tools/culvertctl/command.h"

#include "control/api/client.h"
#include "control/api/methods.h"
#include "tools/culvertctl/table.h"

#include <jansson.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// --- location list -------------------------------------------------------------------------------------

static const json_t *named(const json_t *items, const char *name)
{
	const json_t *item;
	size_t i;

	json_array_foreach ((json_t *)(uintptr_t)items, i, item)
		if (strcmp(get_text(item, "full_name"), name) == 0)
			return item;
	return NULL;
}

static bool has(const json_t *list, const char *text)
{
	const json_t *item;
	size_t i;

	json_array_foreach ((json_t *)(uintptr_t)list, i, item)
		if (json_is_string(item) && strcmp(json_string_value(item), text) == 0)
			return true;
	return false;
}

// "50mbps" -> 50000000, for the order of sizes.
static double rate_of(const char *text)
{
	char *unit;
	double number = strtod(text, &unit);

	return number * (*unit == 'k' ? 1e3 : *unit == 'm' ? 1e6 : *unit == 'g' ? 1e9 : 1);
}

// What all providers at the location offer: their names, models, and the smallest and the largest size.
static void add_offers(json_t *location, const json_t *providers)
{
	const char *name = get_text(location, "full_name"), *least = NULL, *most = NULL, *text;
	json_t *names = json_array(), *models = json_array(), *item;
	const json_t *provider;
	size_t i, j;

	json_array_foreach ((json_t *)(uintptr_t)providers, i, provider) {
		if (!has(json_object_get(provider, "locations"), name))
			continue;
		json_array_append(names, json_object_get(provider, "name"));
		json_array_foreach (json_object_get(provider, "models"), j, item)
			if (!has(models, json_string_value(item)))
				json_array_append(models, item);
		json_array_foreach (json_object_get(provider, "bandwidths"), j, item) {
			text = json_string_value(item);
			if (least == NULL || rate_of(text) < rate_of(least))
				least = text;
			if (most == NULL || rate_of(text) > rate_of(most))
				most = text;
		}
	}
	json_object_set_new(location, "providers", names);
	json_object_set_new(location, "models", models);
	if (least != NULL && strcmp(least, most) != 0)
		json_object_set_new(location, "sizes", json_sprintf("%s..%s", least, most));
	else
		json_object_set_new(location, "sizes", json_string(least != NULL ? least : ""));
}

int run_location_list(struct context *context)
{
	int status;
	json_t *result = ask_list(context, "location.list", json_incref(context->params), &status);
	json_t *areas = result != NULL ? ask_list(context, "area.list", json_object(), &status) : NULL;
	json_t *providers =
		areas != NULL ? ask_list(context, "provider.list", json_object(), &status) : NULL;
	json_t *items = json_object_get(result, "items"), *item;
	size_t i;

	if (providers != NULL) {
		json_array_foreach (items, i, item) {
			const json_t *area =
				named(json_object_get(areas, "items"), get_text(item, "area"));
			json_object_set_new(item, "realm", json_string(get_text(area, "realm")));
			add_offers(item, json_object_get(providers, "items"));
		}
		if (context->json) {
			print_json(result);
		} else {
			struct table *table = table_of_columns(context, context->command->columns);
			json_array_foreach (items, i, item)
				table_row(table, context->command->columns, item);
			table_end(table);
		}
	}
	json_decref(result);
	json_decref(areas);
	json_decref(providers);
	return status;
}

// --- provider show -------------------------------------------------------------------------------------

// {"pe1": ["KEY primary", ..]}: what is hit when one device of the provider's fails.
static json_t *by_device(const json_t *crosses)
{
	static const char *const roles[] = {"primary", "secondary"};
	json_t *devices = json_object();
	const json_t *cross;
	size_t i;

	json_array_foreach ((json_t *)(uintptr_t)crosses, i, cross) {
		for (size_t r = 0; r < 2; r++) {
			const char *device = get_text(json_object_get(cross, roles[r]), "device");
			if (*device == '\0')
				continue;
			if (json_object_get(devices, device) == NULL)
				json_object_set_new(devices, device, json_array());
			json_array_append_new(json_object_get(devices, device),
				json_sprintf("%s %s", get_text(cross, "key"), roles[r]));
		}
	}
	return devices;
}

int run_provider_show(struct context *context)
{
	int status;
	json_t *result = ask(context, &status);
	json_t *crosses = result == NULL ? NULL
					 : ask_list(context, API_CROSS_LIST,
						   json_pack("{s:s}", "provider", context->argument), &status);
	json_t *devices = by_device(json_object_get(crosses, "items")), *links;
	const char *device;

	if (crosses != NULL && context->json) {
		json_object_set(result, "devices", devices);
		print_json(result);
	} else if (crosses != NULL) {
		printf("provider %s\n", context->argument);
		print_object(context, json_object_get(result, "object"));
		json_object_foreach (devices, device, links) {
			printf("\ndevice %s  %zu link%s\n", device, json_array_size(links),
				json_array_size(links) == 1 ? "" : "s");
			for (size_t i = 0; i < json_array_size(links); i++)
				printf("  %s\n", json_string_value(json_array_get(links, i)));
		}
	}
	json_decref(devices);
	json_decref(crosses);
	json_decref(result);
	return status;
}

// --- what came of an order -----------------------------------------------------------------------------

static void print_side(const char *role, const json_t *link)
{
	if (!json_is_object(link))
		return;
	printf("; %s %s/%s", role, get_text(link, "edge"), get_text(link, "port"));
	if (json_is_integer(json_object_get(link, "tag")))
		printf(" tag %" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(link, "tag")));
}

// "service key 1f8e..; primary ams1/wan0 tag 101, ..; waits for ixnet": what the customer gives his provider.
void print_order(struct context *context)
{
	struct api_error error;
	struct api_client *client = client_of(context, &error);
	json_t *answer = NULL, *details = NULL;
	const json_t *object;

	if (client == NULL || api_call(client, API_CROSS_SHOW,
				      json_pack("{s:s}", "key", context->argument), &answer, &error,
				      &details) != 0) {
		json_decref(details);
		return; // of no provider
	}
	mend_answer(answer);
	object = json_object_get(answer, "object");
	printf("service key %s", get_text(object, "key"));
	print_side("primary", json_object_get(object, "primary"));
	print_side("secondary", json_object_get(object, "secondary"));
	if (strcmp(get_text(object, "state"), "provisioned") != 0)
		printf("; waits for %s", get_text(object, "provider"));
	putchar('\n');
	json_decref(answer);
}

// --- waiting -------------------------------------------------------------------------------------------

#define LOOK_MS 100

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// The state that is meant: the provider's, or what the links make of it ("up").
static int look(struct context *context, const char *wanted, char state[64], bool *reached)
{
	int status;
	json_t *answer = ask_method(context, API_CIRCUIT_CHECK,
		json_pack("{s:s}", "circuit", context->argument), &status);
	json_t *live = answer != NULL
			       ? ask_method(context, API_CIRCUIT_STATUS,
					 json_pack("{s:s}", "circuit", context->argument), &status)
			       : NULL;
	const char *shown = get_text(answer, "state");
	const char *of_provider = get_text(answer, "provider_state");
	const char *up = get_text(json_array_get(json_object_get(live, "items"), 0), "state");

	*reached = strcmp(wanted, shown) == 0 || strcmp(wanted, of_provider) == 0 ||
		   strcmp(wanted, up) == 0;
	snprintf(state, 64, "%s%s%s", of_provider, *of_provider != '\0' ? ", " : "", up);
	json_decref(answer);
	json_decref(live);
	return status;
}

int run_circuit_wait(struct context *context)
{
	static const char *const states[] = {"not-provisioned", "provisioning", "provisioned",
		"deprovisioning", "enabling", "enabled", "disabling", "disabled", "up", "degraded",
		"partial", "down", NULL};
	const char *wanted = local_text(context, "state");
	int64_t end = now_ms() + (int64_t)context->timeout * 1000;
	struct api_error error;
	char state[64];
	bool reached, known = false;

	if (wanted == NULL)
		wanted = "provisioned";
	for (const char *const *one = states; *one != NULL; one++)
		known = known || strcmp(*one, wanted) == 0;
	if (!known) {
		api_fail(&error, API_USAGE, "culvertctl circuit wait --help",
			"\"%.64s\" is no state of a circuit", wanted);
		return complain(&error);
	}
	for (;;) {
		int status = look(context, wanted, state, &reached);
		if (status != 0)
			return status;
		if (reached) {
			if (!context->json)
				printf("circuit %s is %s\n", context->argument, wanted);
			return 0;
		}
		if (now_ms() >= end)
			break;
		nanosleep(&(struct timespec){0, LOOK_MS * 1000000}, NULL);
	}
	char hint[160];
	snprintf(hint, sizeof(hint), "culvertctl circuit check %.100s", context->argument);
	api_fail(&error, API_TIMEOUT, hint, "circuit \"%.100s\" is not %s after %u s, it is %s",
		context->argument, wanted, context->timeout, state);
	return complain(&error);
}

// --- what is missing -----------------------------------------------------------------------------------

int print_missing(struct context *context, json_t *shown)
{
	int status;
	json_t *answer = ask_method(context, API_CIRCUIT_CHECK,
		json_pack("{s:s}", "circuit", context->argument), &status);
	json_t *item;
	size_t i;

	if (answer == NULL)
		return status;
	if (context->json) {
		json_object_set(shown, "missing", json_object_get(answer, "missing"));
		json_object_set(shown, "notes", json_object_get(answer, "notes"));
	} else {
		json_array_foreach (json_object_get(answer, "missing"), i, item) {
			printf("missing  %zu. %s: %s\n", i + 1, get_text(item, "party"),
				get_text(item, "what"));
			if (*get_text(item, "next") != '\0')
				printf("            %s\n", get_text(item, "next"));
		}
		json_array_foreach (json_object_get(answer, "notes"), i, item)
			printf("note     %s: %s\n", get_text(item, "party"), get_text(item, "what"));
	}
	if (json_array_size(json_object_get(answer, "missing")) > 0)
		status = 1;
	json_decref(answer);
	return status;
}
