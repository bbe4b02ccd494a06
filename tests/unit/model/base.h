/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TEST_MODEL_BASE_H
#define TEST_MODEL_BASE_H

// Two customers with the same addresses on two edges: what most tests start from.

#include "control/model/model.h"

#include <jansson.h>

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static const char base_yaml[] =
	"version: 1\n"
	"edges:\n"
	"- name: ams1\n"
	"  routes: [{prefix: 198.51.100.0/24, via: 192.0.2.254}]\n"
	"  ports:\n"
	"  - {name: wan0, faces: customer, speed: 10gbps, oversubscription: 100, offers: [50mbps, 100mbps, 1gbps]}\n"
	"  - {name: core0, faces: core, address: 192.0.2.1/24}\n"
	"- name: ams2\n"
	"  ports:\n"
	"  - {name: wan0, faces: customer}\n"
	"  - {name: core0, faces: core, address: 192.0.2.2/24}\n"
	"customers:\n"
	"- name: acme\n"
	"- name: globex\n"
	"circuits:\n"
	"- name: acme-ams-01\n"
	"  customer: acme\n"
	"  service-key: 00000000-0000-4000-8000-000000000001\n"
	"  bandwidth: 50mbps\n"
	"  links:\n"
	"  - {role: primary, edge: ams1, port: wan0, outer-tag: 100}\n"
	"  - {role: secondary, edge: ams2, port: wan0, outer-tag: 100}\n"
	"  peerings:\n"
	"  - {type: private, primary-subnet: 169.254.10.0/30, secondary-subnet: 169.254.10.4/30,"
	" peer-asn: 65001, local-asn: 64900}\n"
	"  connections:\n"
	"  - {vnet: acme-prod}\n"
	"- name: globex-ams-01\n"
	"  customer: globex\n"
	"  service-key: 00000000-0000-4000-8000-000000000002\n"
	"  bandwidth: 50mbps\n"
	"  links:\n"
	"  - {role: primary, edge: ams1, port: wan0, outer-tag: 200, inner-tag: 20}\n"
	"  peerings:\n"
	"  - {type: private, primary-subnet: 169.254.10.0/30, peer-asn: 65002, local-asn: 64900}\n"
	"  connections:\n"
	"  - {vnet: globex-prod}\n"
	"vnets:\n"
	"- name: acme-prod\n"
	"  customer: acme\n"
	"  prefixes: [10.9.0.0/16]\n"
	"  tunnels: [{edge: ams1, gateway: 192.0.2.40, local: 192.0.2.1, key: 7001}]\n"
	"- name: globex-prod\n"
	"  customer: globex\n"
	"  prefixes: [10.9.0.0/16]\n"
	"  tunnels: [{edge: ams1, gateway: 192.0.2.40, local: 192.0.2.1, key: 7002}]\n";

static inline struct model *parse(const struct model *old, const char *text)
{
	struct findings findings = {0};
	struct model *model = NULL;

	if (model_parse(old, text, strlen(text), "test.yaml", &model, &findings)) {
		char *shown = findings_text(&findings, "test.yaml");
		fputs(shown, stderr);
		free(shown);
		fail();
	}
	return model;
}

static inline struct model *base_with(enum host_domain host_domain, bool lab)
{
	struct model_options options = {.host_domain = host_domain, .lab = lab};
	struct model *empty = model_create(&options);
	struct model *model = parse(empty, base_yaml);

	model_unref(empty);
	return model;
}

static inline struct model *base(void)
{
	return base_with(HOST_DOMAIN_NETNS, false);
}

// Of a random test: CULVERT_SEED repeats one.
static inline unsigned int random_seed(void)
{
	const char *given = getenv("CULVERT_SEED");
	unsigned int seed =
		given ? (unsigned int)strtoul(given, NULL, 0) : (unsigned int)time(NULL);

	print_message("seed: CULVERT_SEED=%u\n", seed);
	return seed;
}

// Applies changes written as JSON; NULL and the findings when refused.
static inline struct model *change(
	const struct model *old, const char *text, struct findings *findings)
{
	json_error_t error;
	json_t *changes = json_loads(text, 0, &error);
	struct model *model = NULL;

	memset(findings, 0, sizeof(*findings));
	if (!changes)
		fail_msg("%s: %s", text, error.text);
	int rc = model_change(old, changes, &model, findings);
	assert_true(rc == 0 || (rc == -EINVAL && findings->count > 0 && model == NULL));
	assert_true(rc != 0 || findings->count == 0);
	json_decref(changes);
	return model;
}

#endif
