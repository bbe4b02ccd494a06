// SPDX-License-Identifier: BSD-3-Clause
// What a record of the controller's does: to the tables, to the host path, to sweeps; and
// read-back.
//
// Each stands for itself and answers 0 or an error. Two may have more to look at than a turn should
// take, DUMP and END: they say UNFINISHED and are called again. One type is not a row of records
// but one change of several interfaces, the exchange.

#include "dataplane/control_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/io/host.h"
#include "dataplane/log.h"
#include "dataplane/tables/interface.h"
#include "dataplane/tables/limiters.h"
#include "dataplane/tables/nexthop.h"
#include "dataplane/tables/vrf.h"

// --- DUMP ---

static int dump_record(void *ctx, const void *record)
{
	struct control *c = ctx;
	uint16_t type = c->out.header.type;
	int err;

	c->dumped++;
	if (wire_message_add(&c->out, record) == 0)
		return 0;
	err = wire_send(c->link, &c->out, NULL, 0);
	wire_message_start(&c->out, type, c->in.header.seq);
	wire_message_add(&c->out, record);
	return err;
}

// A slice of the answer; the first one begins it.
static int dump(struct control *c, const struct wire_dump *r, unsigned budget)
{
	int done;

	if (!c->resumed) {
		if (r->type > UINT16_MAX || walk_start(&c->walk, (uint16_t)r->type, r->vrf))
			return -EINVAL;
		if (r->type == WIRE_ROUTE_SET && r->vrf && !vrf_find(c->dp, r->vrf))
			return -ENOENT;
		c->dumped = 0;
	}
	wire_message_start(&c->out, (uint16_t)r->type, c->in.header.seq);
	done = walk_slice(c->dp, &c->walk, budget, dump_record, c);
	if (done >= 0 && c->out.header.count && wire_send(c->link, &c->out, NULL, 0))
		return -EPIPE;
	if (done != 1)
		return done == 0 ? UNFINISHED : done;
	wire_message_start(&c->out, WIRE_DUMP_END, c->in.header.seq);
	wire_message_add(&c->out, &(struct wire_dump_end){.count = c->dumped});
	return wire_send(c->link, &c->out, NULL, 0);
}

// --- records ---

static int set_host(struct control *c, const struct wire_host *r)
{
	uint32_t slot = interface_find(c->dp, r->interface);
	int fd;

	if (c->config.host == NULL)
		return -EOPNOTSUPP;
	if (r->fd >= c->fds_count || c->fds[r->fd] < 0)
		return -EBADF;
	if (!slot)
		return -ENOENT;
	fd = c->fds[r->fd];
	c->fds[r->fd] = -1; // the host path's from here on
	return host_set(c->config.host, slot, interface_at(c->dp, slot)->generation, fd,
		interface_record(c->dp, slot)->kind == WIRE_INTERFACE_ETHERNET);
}

static int delete_host(struct control *c, uint32_t id)
{
	uint32_t slot = interface_find(c->dp, id);

	return slot && c->config.host ? host_unset(c->config.host, slot) : -ENOENT;
}

static int set_interface(struct control *c, const struct wire_interface *r)
{
	int err = interface_set(c->dp, r);

	if (err == 0 && c->config.host)
		host_update(c->config.host, interface_find(c->dp, r->interface));
	return err;
}

// One change or none: the ACK names what would have failed.
void control_exchange(struct control *c, struct ack *a)
{
	uint16_t count = c->in.header.count;
	const struct wire_interface *record =
		wire_message_record(&c->in, 0, sizeof(struct wire_interface));
	int *error, result;

	if (!c->trusted) {
		control_fail(a, UINT32_MAX, -ESTALE);
		return;
	}
	error = calloc(count + 1u, sizeof(*error));
	for (uint32_t i = 0; i < count; i++) {
		sweeps_note(c->sweeps, WIRE_INTERFACE_EXCHANGE, &record[i]);
		if (error != NULL)
			error[i] = wire_record_check(WIRE_INTERFACE_EXCHANGE, &record[i]);
	}
	result = error != NULL ? interface_exchange(c->dp, record, count, error) : -ENOMEM;
	if (result == -ENOMEM)
		control_fail(a, UINT32_MAX, -ENOMEM);
	for (uint32_t i = 0; i < count && result == -ECANCELED; i++)
		if (error[i] < 0)
			control_fail(a, i, error[i]);
	for (uint32_t i = 0; i < count && result == 0 && c->config.host != NULL; i++)
		if (error[i] == 0)
			host_update(c->config.host, interface_find(c->dp, record[i].interface));
	free(error);
}

static int delete_interface(struct control *c, uint32_t id)
{
	uint32_t slot = interface_find(c->dp, id);
	int err = interface_delete(c->dp, id);

	if (err == 0 && c->config.host)
		host_unset(c->config.host, slot);
	return err;
}

static int sweep(struct control *c, const struct wire_end *r, unsigned budget)
{
	unsigned deleted;
	int err = sweeps_end(c->sweeps, r, budget, &deleted);

	if (err == SWEEPS_MORE)
		return UNFINISHED;
	if (err)
		log_warn("sweep refused", "scope=%u vrf=%u error=\"%s\"", r->scope, r->vrf,
			strerror(-err));
	else if (deleted)
		log_info("swept", "scope=%u vrf=%u deleted=%u", r->scope, r->vrf, deleted);
	return err;
}

static int begin(struct control *c, const struct wire_begin *r)
{
	int err = sweeps_begin(c->sweeps, r);

	if (err == 0)
		c->trusted = true;
	else if (err == -ESTALE)
		c->trusted = false;
	return err;
}

int control_apply(struct control *c, uint16_t type, const void *r, unsigned budget)
{
	const struct wire_id *id = r;

	switch (type) {
	case WIRE_BEGIN:
		return begin(c, r);
	case WIRE_END:
		return c->trusted ? sweep(c, r, budget) : -ESTALE;
	case WIRE_DUMP:
		return dump(c, r, budget);
	default:
		break;
	}
	if (!c->trusted)
		return -ESTALE;
	switch (type) {
	case WIRE_VRF_SET:
		return vrf_set(c->dp, r);
	case WIRE_VRF_DELETE:
		return vrf_delete(c->dp, id->id);
	case WIRE_INTERFACE_SET:
		return set_interface(c, r);
	case WIRE_INTERFACE_DELETE:
		return delete_interface(c, id->id);
	case WIRE_LIMITER_SET:
		return limiter_set(c->dp, r);
	case WIRE_LIMITER_DELETE:
		return limiter_delete(c->dp, id->id);
	case WIRE_LOCAL_SET:
		return local_set(c->dp, r);
	case WIRE_LOCAL_DELETE:
		return local_delete(c->dp, r);
	case WIRE_NEIGHBOR_SET:
		return neighbor_set(c->dp, r);
	case WIRE_NEIGHBOR_DELETE:
		return neighbor_delete(c->dp, id->id);
	case WIRE_PATH_SET:
		return path_set(c->dp, r);
	case WIRE_PATH_DELETE:
		return path_delete(c->dp, id->id);
	case WIRE_GROUP_SET:
		return group_set(c->dp, r);
	case WIRE_GROUP_DELETE:
		return group_delete(c->dp, id->id);
	case WIRE_ROUTE_SET:
		return route_set(c->dp, r);
	case WIRE_ROUTE_DELETE:
		return route_delete(c->dp, r);
	case WIRE_HOST_SET:
		return set_host(c, r);
	case WIRE_HOST_DELETE:
		return delete_host(c, id->id);
	case WIRE_COUNTERS_RELEASE:
		return stats_slot_release(c->dp->stats, ((const struct wire_uid *)r)->uid);
	default:
		return -EOPNOTSUPP;
	}
}
