// SPDX-License-Identifier: BSD-3-Clause
// The data plane's end of the wire over a plain array: keeps what it is told, refuses what refers to nothing or
// is still referred to, counts what changed, sweeps, and misbehaves on request.

#include "tests/unit/sync/fixture.h"

#include "dataplane/wire/link.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

// The fixed part of a record that names the object.
static size_t name_of(uint16_t type, const void *value, uint8_t name[64])
{
	struct record_key key = record_key_of(type, value);
	struct wire_route route;

	if (type == WIRE_ROUTE_SET) {
		memcpy(&route, value, sizeof(route));
		route.group = route.origin = 0;
		memcpy(name, &route, sizeof(route));
		return sizeof(route);
	}
	memcpy(name, &key, sizeof(key));
	return sizeof(key);
}

static struct fake_record *find(struct fake_dataplane *fake, uint16_t type, const void *value)
{
	uint8_t wanted[64], name[64];
	size_t size = name_of(type, value, wanted);

	for (unsigned int i = 0; i < fake->count; i++) {
		if (fake->record[i].type != type)
			continue;
		name_of(type, fake->record[i].value, name);
		if (memcmp(name, wanted, size) == 0)
			return &fake->record[i];
	}
	return NULL;
}

const void *fake_find(const struct fake_dataplane *fake, uint16_t type, uint32_t id)
{
	for (unsigned int i = 0; i < fake->count; i++)
		if (fake->record[i].type == type &&
			record_key_of(type, fake->record[i].value).id == id)
			return fake->record[i].value;
	return NULL;
}

const struct wire_route *fake_route(
	const struct fake_dataplane *fake, uint32_t vrf, const char *text)
{
	struct ip_prefix prefix;

	assert_int_equal(ip_prefix_parse(text, &prefix), 0);
	for (unsigned int i = 0; i < fake->count; i++) {
		const struct wire_route *route = (const void *)fake->record[i].value;
		if (fake->record[i].type == WIRE_ROUTE_SET && route->vrf == vrf &&
			route->len == prefix.len &&
			memcmp(route->addr, prefix.address.bytes, 16) == 0)
			return route;
	}
	return NULL;
}

unsigned int fake_count(const struct fake_dataplane *fake, uint16_t type)
{
	unsigned int count = 0;
	for (unsigned int i = 0; i < fake->count; i++)
		count += fake->record[i].type == type;
	return count;
}

static bool has(const struct fake_dataplane *fake, uint16_t type, uint32_t id)
{
	return id == 0 || fake_find(fake, type, id) != NULL;
}

static bool refers_well(const struct fake_dataplane *fake, uint16_t type, const void *value)
{
	const struct wire_interface *interface = value;
	const struct wire_local *local = value;
	const struct wire_neighbor *neighbor = value;
	const struct wire_path *path = value;
	const struct wire_group *group = value;
	const struct wire_route *route = value;

	switch (type) {
	case WIRE_INTERFACE_SET:
		return has(fake, WIRE_VRF_SET, interface->vrf) &&
		       has(fake, WIRE_LIMITER_SET, interface->limiter_in) &&
		       has(fake, WIRE_LIMITER_SET, interface->limiter_out) &&
		       has(fake, WIRE_GROUP_SET, interface->underlay);
	case WIRE_LOCAL_SET:
		return has(fake, WIRE_VRF_SET, local->vrf) &&
		       has(fake, WIRE_INTERFACE_SET, local->interface);
	case WIRE_NEIGHBOR_SET:
		return has(fake, WIRE_INTERFACE_SET, neighbor->interface);
	case WIRE_PATH_SET:
		return has(fake, WIRE_INTERFACE_SET, path->interface) &&
		       has(fake, WIRE_NEIGHBOR_SET, path->neighbor);
	case WIRE_GROUP_SET:
		for (unsigned int i = 0; i < group->count; i++)
			if (!has(fake, WIRE_PATH_SET, group->path[i]))
				return false;
		return true;
	case WIRE_ROUTE_SET:
		return has(fake, WIRE_VRF_SET, route->vrf) &&
		       has(fake, WIRE_GROUP_SET, route->group);
	default:
		return true;
	}
}

// What packets are recognised by. False: it is parked.
static bool place_of(const struct wire_interface *interface, uint8_t place[48])
{
	memset(place, 0, 48);
	place[0] = interface->kind;
	if (interface->kind == WIRE_INTERFACE_ETHERNET) {
		memcpy(place + 4, &interface->port, 4);
		memcpy(place + 8, interface->vlan, 4);
	} else {
		place[1] = (interface->flags & WIRE_INTERFACE_KEY) != 0;
		memcpy(place + 4, &interface->key, 4);
		memcpy(place + 8, interface->local, 16);
		memcpy(place + 24, interface->remote, 16);
	}
	return (interface->flags & WIRE_INTERFACE_PARKED) == 0;
}

// Whether another interface, not one of those to `skip`, is where this one is to be.
static bool place_taken(const struct fake_dataplane *fake, const struct wire_interface *wanted,
	const bool skip[FAKE_OBJECTS])
{
	uint8_t mine[48], other[48];

	if (!place_of(wanted, mine))
		return false;
	if (fake->squatter != 0 && wanted->vlan[0] == fake->squatter)
		return true;
	for (unsigned int i = 0; i < fake->count; i++) {
		const struct wire_interface *there = (const void *)fake->record[i].value;
		if (fake->record[i].type != WIRE_INTERFACE_SET ||
			there->interface == wanted->interface ||
			(skip != NULL && skip[there->interface]))
			continue;
		if (place_of(there, other) && memcmp(mine, other, sizeof(mine)) == 0)
			return true;
	}
	return false;
}

static int set(struct fake_dataplane *fake, uint16_t type, const void *value)
{
	size_t size = wire_type_info(type)->size;
	struct fake_record *record = find(fake, type, value);

	if (record != NULL) {
		record->marked = true;
		record->doomed = false;
	}
	if (type == fake->refuse_type)
		return -ENOSPC;
	if (!refers_well(fake, type, value))
		return -ENOENT;
	if (record != NULL && memcmp(record->value, value, size) == 0) {
		fake->unchanged++;
		return 0;
	}
	if (type == WIRE_INTERFACE_SET && !fake->exchanging && place_taken(fake, value, NULL))
		return -EEXIST;
	if (record == NULL) {
		if (fake->count == sizeof(fake->record) / sizeof(fake->record[0]))
			return -ENOSPC;
		record = &fake->record[fake->count++];
		*record = (struct fake_record){.type = type};
	}
	record->marked = true;
	memcpy(record->value, value, size);
	fake->written++;
	fake->set_messages[type]++;
	return 0;
}

// Whether deleting it would leave something pointing nowhere.
static bool in_use(struct fake_dataplane *fake, unsigned int index)
{
	struct fake_record saved = fake->record[index];
	bool used = false;

	fake->record[index].type = 0;
	for (unsigned int i = 0; i < fake->count && !used; i++)
		used = fake->record[i].type != 0 &&
		       !refers_well(fake, fake->record[i].type, fake->record[i].value);
	fake->record[index] = saved;
	return used;
}

static int delete_at(struct fake_dataplane *fake, unsigned int index)
{
	if (in_use(fake, index))
		return -EBUSY;
	fake->record[index] = fake->record[--fake->count];
	fake->written++;
	return 0;
}

static int delete_record(struct fake_dataplane *fake, uint16_t set_type, const void *value)
{
	for (unsigned int i = 0; i < fake->count; i++) {
		struct record_key key = record_key_of(set_type, fake->record[i].value);
		bool same;
		if (fake->record[i].type != set_type)
			continue;
		if (set_type == WIRE_ROUTE_SET || set_type == WIRE_LOCAL_SET)
			same = &fake->record[i] == find(fake, set_type, value);
		else
			same = key.id == ((const struct wire_id *)value)->id;
		if (!same)
			continue;
		int error = delete_at(fake, i);
		fake->deleted += error == 0;
		return error;
	}
	return -ENOENT;
}

static bool in_scope(const struct fake_sweep *sweep, uint16_t type, const void *value)
{
	switch (type) {
	case WIRE_ROUTE_SET:
		return sweep->scope == WIRE_SCOPE_ROUTES &&
		       ((const struct wire_route *)value)->vrf == sweep->vrf;
	case WIRE_NEIGHBOR_SET:
	case WIRE_PATH_SET:
	case WIRE_GROUP_SET:
		return sweep->scope == WIRE_SCOPE_NEXTHOPS;
	default:
		return sweep->scope == WIRE_SCOPE_CONFIGURATION;
	}
}

// The one that is open, or (scope 0) a place for another.
static struct fake_sweep *sweep_of(struct fake_dataplane *fake, uint32_t scope, uint32_t vrf)
{
	for (unsigned int i = 0; i < FAKE_SWEEPS; i++)
		if (fake->sweep[i].scope == scope && fake->sweep[i].vrf == vrf)
			return &fake->sweep[i];
	return NULL;
}

static int begin(struct fake_dataplane *fake, const struct wire_begin *record)
{
	if (record->flags & WIRE_FORCE)
		fake->refuse_begin = 0;
	if (fake->refuse_begin != 0)
		return fake->refuse_begin;
	memcpy(fake->store, record->store, sizeof(fake->store));
	fake->revision = record->revision;
	struct fake_sweep *sweep = sweep_of(fake, 0, 0);
	assert_non_null(sweep);
	*sweep = (struct fake_sweep){.force = record->flags & WIRE_FORCE,
		.scope = record->scope,
		.vrf = record->vrf};
	for (unsigned int i = 0; i < fake->count; i++)
		if (in_scope(sweep, fake->record[i].type, fake->record[i].value))
			fake->record[i].marked = false;
	return 0;
}

// The routes of a doomed VRF go at once.
static void doom_routes(struct fake_dataplane *fake)
{
	bool any = false;

	for (unsigned int i = 0; i < fake->count; i++)
		any = any || (fake->record[i].type == WIRE_VRF_SET && fake->record[i].doomed);
	if (!any)
		return;
	for (unsigned int i = 0; i < fake->count; i++) {
		const struct wire_route *route = (const void *)fake->record[i].value;
		for (unsigned int j = 0; j < fake->count; j++)
			if (fake->record[i].type == WIRE_ROUTE_SET &&
				fake->record[j].type == WIRE_VRF_SET && fake->record[j].doomed &&
				record_key_of(WIRE_VRF_SET, fake->record[j].value).id == route->vrf)
				fake->record[i].doomed = true;
	}
}

static int end(struct fake_dataplane *fake, const struct wire_end *record)
{
	struct fake_sweep *open = sweep_of(fake, record->scope, record->vrf);
	if (open == NULL)
		return -ENOENT;
	const struct fake_sweep sweep = *open;
	*open = (struct fake_sweep){0};
	if (record->count != sweep.arrived)
		return -EBADMSG;
	unsigned int going = 0, all = 0;
	for (unsigned int i = 0; i < fake->count; i++) {
		all += fake->record[i].type == WIRE_INTERFACE_SET;
		going += fake->record[i].type == WIRE_INTERFACE_SET && !fake->record[i].marked;
	}
	if (fake->guard && !sweep.force && record->scope == WIRE_SCOPE_CONFIGURATION &&
		going > 16 && going * 10 > all)
		return -EPERM;
	for (unsigned int i = 0; i < fake->count; i++)
		if (!fake->record[i].marked &&
			in_scope(&sweep, fake->record[i].type, fake->record[i].value))
			fake->record[i].doomed = true;
	doom_routes(fake);
	// What is still in use waits for a later END.
	for (unsigned int again = 0; again < 4; again++)
		for (unsigned int i = fake->count; i-- > 0;)
			if (fake->record[i].doomed)
				fake->swept += delete_at(fake, i) == 0;
	return 0;
}

static void reply(struct fake_dataplane *fake, struct wire_message *message)
{
	if (fake->silent)
		return;
	if (fake->link != NULL && wire_send(fake->link, message, NULL, 0) != 0)
		fake_hang_up(fake);
}

void fake_send(struct fake_dataplane *fake, uint16_t type, const void *record)
{
	struct wire_message message;

	wire_message_start(&message, type, 0);
	assert_int_equal(wire_message_add(&message, record), 0);
	reply(fake, &message);
}

static void greet(struct fake_dataplane *fake)
{
	struct wire_hello hello = {
		.instance = fake->instance,
		.ports = fake->ports,
		.written = fake->written,
		.unchanged = fake->unchanged,
		.revision = fake->revision,
		.version = "fake",
	};

	memcpy(hello.store, fake->store, sizeof(hello.store));
	if (fake->stats_path != NULL)
		snprintf(hello.stats, sizeof(hello.stats), "%s", fake->stats_path);
	if (fake->endless_version)
		memset(hello.version, 'x', sizeof(hello.version));
	struct wire_message message;
	wire_message_start(&message, WIRE_HELLO, 0);
	assert_int_equal(wire_message_add(&message, &hello), 0);
	int fds[4];
	unsigned int copies = fake->stats_copies != 0 ? fake->stats_copies : 1;
	for (unsigned int i = 0; i < copies; i++)
		fds[i] = fake->stats;
	if (!fake->silent && fake->link != NULL &&
		wire_send(fake->link, &message, fds, fake->stats != 0 ? copies : 0) != 0)
		fake_hang_up(fake);
	for (unsigned int i = 0; i < fake->ports; i++) {
		struct wire_port port = {.port = i, .mtu = 1500, .up = !fake->port_down};
		port.mac[0] = 2;
		port.mac[5] = (uint8_t)i;
		snprintf(port.name, sizeof(port.name), "%s", fake->port_name[i]);
		fake_send(fake, WIRE_PORT, &port);
	}
}

static unsigned int dump_vrf_stats(struct fake_dataplane *fake, uint64_t seq)
{
	struct wire_message message;
	unsigned int count = 0;

	for (unsigned int i = 0; i < fake->count; i++) {
		struct wire_vrf_stats stats = {0};
		if (fake->record[i].type != WIRE_VRF_SET)
			continue;
		stats.vrf = record_key_of(WIRE_VRF_SET, fake->record[i].value).id;
		for (unsigned int j = 0; j < fake->count; j++) {
			const struct wire_route *route = (const void *)fake->record[j].value;
			if (fake->record[j].type == WIRE_ROUTE_SET && route->vrf == stats.vrf)
				*(route->family == WIRE_IPV4 ? &stats.routes4 : &stats.routes6) +=
					1;
		}
		wire_message_start(&message, WIRE_VRF_STATS, seq);
		wire_message_add(&message, &stats);
		reply(fake, &message);
		count++;
	}
	return count;
}

static void dump(struct fake_dataplane *fake, uint64_t seq, const struct wire_dump *record)
{
	struct wire_message message;
	struct wire_dump_end last = {0};

	if (record->type == WIRE_VRF_STATS)
		last.count = dump_vrf_stats(fake, seq);
	for (unsigned int i = 0; i < fake->count; i++) {
		const struct wire_route *route = (const void *)fake->record[i].value;
		if (fake->record[i].type != record->type ||
			(record->vrf != 0 && route->vrf != record->vrf))
			continue;
		wire_message_start(&message, (uint16_t)record->type, seq);
		wire_message_add(&message, fake->record[i].value);
		reply(fake, &message);
		last.count++;
	}
	wire_message_start(&message, WIRE_DUMP_END, seq);
	wire_message_add(&message, &last);
	reply(fake, &message);
}

static int apply(struct fake_dataplane *fake, struct wire_message *in, const void *record)
{
	uint16_t type = in->header.type;

	switch (type) {
	case WIRE_BEGIN:
		return begin(fake, record);
	case WIRE_END:
		return end(fake, record);
	case WIRE_DUMP:
		dump(fake, in->header.seq, record);
		return 0;
	case WIRE_HOST_SET:
		return has(fake, WIRE_INTERFACE_SET, ((const struct wire_host *)record)->interface)
			       ? 0
			       : -ENOENT;
	case WIRE_COUNTERS_RELEASE:
		return 0;
	default:
		break;
	}
	if (fake->refuse_begin != 0)
		return -ESTALE;
	if (type & 1)
		return delete_record(fake, type - 1, record);
	for (unsigned int i = 0; i < FAKE_SWEEPS; i++)
		fake->sweep[i].arrived +=
			fake->sweep[i].scope != 0 && in_scope(&fake->sweep[i], type, record);
	return set(fake, type, record);
}

// All of the message or nothing of it.
static void exchange(struct fake_dataplane *fake, struct wire_message *in, struct wire_message *ack)
{
	struct wire_interface seen;
	uint8_t mine[48], other[48];
	bool named[FAKE_OBJECTS] = {false};

	for (uint32_t i = 0; i < in->header.count; i++) {
		memcpy(&seen, wire_message_record(in, i, sizeof(seen)), sizeof(seen));
		assert_true(seen.interface < FAKE_OBJECTS);
		named[seen.interface] = true;
	}
	for (uint32_t i = 0; i < in->header.count; i++) {
		const struct wire_interface *value = wire_message_record(in, i, sizeof(seen));
		struct wire_failure failure = {i, 0};
		if (place_taken(fake, value, named))
			failure.error = -EEXIST;
		for (uint32_t j = 0; j < i; j++)
			if (place_of(value, mine) &&
				place_of(wire_message_record(in, j, sizeof(seen)), other) &&
				memcmp(mine, other, sizeof(mine)) == 0)
				failure.error = -EEXIST;
		if (failure.error != 0)
			wire_message_add(ack, &failure);
	}
	fake->exchanges++;
	if (ack->header.count > 0)
		return;
	fake->exchanging = true;
	for (uint32_t i = 0; i < in->header.count; i++)
		assert_int_equal(
			set(fake, WIRE_INTERFACE_SET, wire_message_record(in, i, sizeof(seen))), 0);
	fake->exchanging = false;
}

static void handle(struct fake_dataplane *fake, struct wire_message *in)
{
	uint16_t size = wire_type_info(in->header.type)->size;
	struct wire_message ack;

	fake->messages++;
	if (in->header.type == WIRE_HELLO) {
		greet(fake);
		return;
	}
	wire_message_start(&ack, WIRE_ACK, in->header.seq + (fake->wrong_acks ? 7 : 0));
	if (in->header.type == WIRE_INTERFACE_EXCHANGE) {
		assert_null(sweep_of(fake, WIRE_SCOPE_CONFIGURATION, 0));
		exchange(fake, in, &ack);
		reply(fake, &ack);
		return;
	}
	for (uint32_t i = 0; i < in->header.count; i++) {
		const void *record = wire_message_record(in, i, size);
		assert_int_equal(wire_record_check(in->header.type, record), 0);
		int error = apply(fake, in, record);
		struct wire_failure failure = {i, error};
		fake->refused += error != 0;
		if (error != 0)
			wire_message_add(&ack, &failure);
	}
	reply(fake, &ack);
}

void fake_turn(struct fake_dataplane *fake)
{
	static struct wire_message in;
	struct pollfd wait[2];
	unsigned int count = 0, fds_count;
	int fds[WIRE_FDS_MAX];
	struct wire_link *next;

	if (fake->listener != NULL) {
		wait[count++] = (struct pollfd){wire_listener_fd(fake->listener), POLLIN, 0};
		if (wire_accept(fake->listener, fake->link, &next) == 0) {
			wire_link_close(fake->link);
			fake->link = next;
		}
	}
	while (fake->link != NULL) {
		int got = wire_receive(fake->link, &in, fds, &fds_count);
		if (got == 0)
			break;
		if (got < 0) {
			assert_int_equal(got, -EPIPE);
			fake_hang_up(fake);
			break;
		}
		fake->hosts += fds_count;
		while (fds_count > 0)
			close(fds[--fds_count]);
		handle(fake, &in);
	}
	if (fake->link != NULL) {
		wire_link_flush(fake->link);
		wait[count++] = (struct pollfd){wire_link_fd(fake->link), POLLIN, 0};
	}
	poll(wait, count, 1);
}

void fake_hang_up(struct fake_dataplane *fake)
{
	wire_link_close(fake->link);
	fake->link = NULL;
	memset(fake->sweep, 0, sizeof(fake->sweep));
}

void fake_start(struct fake_dataplane *fake, const char *path)
{
	snprintf(fake->path, sizeof(fake->path), "%s", path);
	fake->ports = 3;
	fake->port_name[0] = "wan0";
	fake->port_name[1] = "wan1";
	fake->port_name[2] = "core0";
	fake->instance++;
	assert_int_equal(wire_listen(path, getuid(), &fake->listener), 0);
}

void fake_stop(struct fake_dataplane *fake)
{
	fake_hang_up(fake);
	wire_listener_close(fake->listener);
	fake->listener = NULL;
}

void fake_reset(struct fake_dataplane *fake)
{
	fake->count = 0;
	fake->written = fake->unchanged = fake->deleted = fake->swept = fake->refused = 0;
	memset(fake->set_messages, 0, sizeof(fake->set_messages));
	memset(fake->store, 0, sizeof(fake->store));
	fake->revision = 0;
	fake->hosts = 0;
}
