// SPDX-License-Identifier: BSD-3-Clause
// Which kind of port a name stands for, and what all kinds have in common. A name that the EAL was
// given is a PMD's; any other is a device of the kernel, by AF_XDP where its driver does that best
// (it then takes what is ours and leaves the kernel the rest), else by packet sockets.

#include "dataplane/io/device.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include <rte_ethdev.h>

#include "dataplane/io/ethdev.h"
#include "dataplane/io/packet.h"
#include "dataplane/io/pci.h"
#include "dataplane/io/xdp.h"
#include "dataplane/log.h"
#include "dataplane/wire/port_fault.h"

int device_wrong(struct device_error *error, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return err;
}

int device_check_buffer(const struct device_config *c, struct device_error *error)
{
	uint32_t needed = size_buffer_for(c->mtu);

	if (c->mtu == 0 || needed <= c->buffer_size)
		return 0;
	return device_wrong(error, -ENOSPC,
		"packets of mtu=%u do not fit into packet buffers of %u bytes: give "
		"--buffer-size %u",
		c->mtu, c->buffer_size, needed);
}

int device_show(struct port *port, bool up, uint32_t speed, const struct size *size, uint8_t fault)
{
	if (up == port->up && speed == port->speed && size->mtu == port->mtu &&
		size->tag_debt == port->tag_debt && fault == port->fault)
		return 0;
	port->fault = fault;
	port->speed = speed;
	port->mtu = size->mtu;
	port->tag_debt = size->tag_debt;
	__atomic_store_n(&port->up, up, __ATOMIC_RELEASE);
	return 1;
}

uint8_t device_fault(const struct opener *opener, int err, bool idle)
{
	if (err == -ENODEV)
		return WIRE_PORT_FAULT_GONE;
	return idle || opener_is_there(opener) ? WIRE_PORT_FAULT_NONE : WIRE_PORT_FAULT_OPENER;
}

static bool is_ethdev(const struct device_config *c)
{
	uint16_t id;

	return rte_eth_dev_get_port_by_name(c->device, &id) == 0;
}

int device_measure(const struct device_config *c, struct size_users *users, uint32_t *buffer_size,
	struct device_error *error)
{
	char address[PCI_ADDRESS_SIZE], why[sizeof(error->text)];

	*buffer_size = RTE_MAX(*buffer_size, size_buffer_for(c->mtu));
	if (is_ethdev(c))
		return ethdev_measure(c, users, buffer_size, error);
	if (!pci_address(c->device, address))
		return 0;
	pci_why_not(PCI_SYSFS, address, why, sizeof(why));
	return device_wrong(error, -ENODEV, "%s", why);
}

int device_open(const struct device_config *c, struct port **port, struct device_error *error)
{
	if (is_ethdev(c)) {
		if (c->netns[0] != '\0' || c->mode != DEVICE_AUTO)
			return device_wrong(error, -EINVAL,
				"netns= and mode= belong to a device of the kernel; this one is "
				"the "
				"EAL's");
		return ethdev_open(c, port, error);
	}
	if (c->mode == DEVICE_XDP || c->mode == DEVICE_XDP_WHOLE)
		return xdp_open(c, port, error);
	if (c->mode == DEVICE_AUTO && xdp_suits(c)) {
		if (xdp_open(c, port, error) == 0)
			return 0;
		log_warn("packet sockets instead of AF_XDP", "port=%s device=%s error=\"%s\"",
			c->name, c->device, error->text);
	}
	return packet_open(c, port, error);
}

int device_map_queues(struct dataplane *dp)
{
	for (uint32_t p = 0; p < dp->ports; p++) {
		for (uint16_t q = 0; q < dp->port[p]->rx_queues; q++) {
			int err = worker_add_queue(dp->worker[(p + q) % dp->workers], p, q);

			if (err)
				return err;
		}
		for (unsigned w = 0; w < dp->workers; w++)
			worker_set_tx_queue(dp->worker[w], p, (uint16_t)w);
	}
	return 0;
}

unsigned device_send_others(const struct dataplane *dp, unsigned worker)
{
	unsigned n = 0;

	for (uint32_t p = 0; p < dp->ports; p++)
		if (dp->port[p]->kind->send_others != NULL)
			n += dp->port[p]->kind->send_others(dp->port[p], worker);
	return n;
}

// The lines of the fold are the main thread's.
void device_book_losses(struct dataplane *dp)
{
	for (uint32_t p = 0; p < dp->ports; p++) {
		struct port *port = dp->port[p];
		struct stats_interface *hot =
			stats_interface(dp->stats, STATS_FOLD, port->unclassified);
		struct stats_sparse *sparse =
			stats_sparse(dp->stats, STATS_FOLD, port->unclassified);
		struct port_losses now, *booked = &port->booked;

		port->kind->losses(port, &now);
		sparse->missed_ring += now.no_ring - booked->no_ring;
		sparse->missed_memory += now.no_chunk - booked->no_chunk;
		sparse->missed_socket += now.no_socket - booked->no_socket;
		sparse->missed += now.missed - booked->missed + now.no_ring - booked->no_ring +
				  now.no_chunk - booked->no_chunk + now.no_socket -
				  booked->no_socket;
		sparse->left += now.left - booked->left;
		sparse->drops[DROP_FRAME_LARGE] += now.large - booked->large;
		sparse->drops[DROP_FRAME_TRUNCATED] += now.broken - booked->broken;
		hot->rx_packets += now.large - booked->large + now.broken - booked->broken;
		*booked = now;
	}
}
