/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TEST_RPC_FAKE_SERVICE_H
#define TEST_RPC_FAKE_SERVICE_H

// control/service.h without threads and store: a model in memory. Changes are applied at the next turn of the
// loop. Link it instead of the service.

struct event_base;
struct service;

// From a YAML file. Fails the test when it is not valid.
struct service *fake_service_create(const char *yaml_path);
void fake_service_destroy(struct service *service);
// Before the first change.
void fake_service_base(struct service *service, struct event_base *base);

#endif
