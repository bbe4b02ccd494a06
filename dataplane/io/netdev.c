// SPDX-License-Identifier: BSD-3-Clause
// What ports have to know of the kernel's devices, and change on them. By ioctl, which needs no
// connection to anything.

#include "dataplane/io/netdev.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

static int ask(int fd, unsigned long what, const char *name, struct ifreq *r)
{
	snprintf(r->ifr_name, sizeof(r->ifr_name), "%s", name);
	return ioctl(fd, what, r) < 0 ? -errno : 0;
}

static int ethtool(int fd, const char *name, void *command)
{
	struct ifreq r = {.ifr_data = command};

	return ask(fd, SIOCETHTOOL, name, &r);
}

static uint32_t read_speed(int fd, const char *name)
{
	struct ethtool_cmd settings = {.cmd = ETHTOOL_GSET};
	uint32_t speed;

	if (ethtool(fd, name, &settings) != 0)
		return 0;
	speed = ethtool_cmd_speed(&settings);
	return speed == (uint32_t)SPEED_UNKNOWN ? 0 : speed;
}

int netdev_read(int fd, const char *name, struct netdev *device)
{
	struct ifreq index = {0}, flags = {0}, mtu = {0}, mac = {0};
	int err = ask(fd, SIOCGIFINDEX, name, &index);

	if (err == 0)
		err = ask(fd, SIOCGIFFLAGS, name, &flags);
	if (err == 0)
		err = ask(fd, SIOCGIFMTU, name, &mtu);
	if (err == 0)
		err = ask(fd, SIOCGIFHWADDR, name, &mac);
	if (err != 0)
		return err;
	*device = (struct netdev){
		.index = index.ifr_ifindex,
		.ethernet = mac.ifr_hwaddr.sa_family == ARPHRD_ETHER,
		.running = (flags.ifr_flags & IFF_UP) && (flags.ifr_flags & IFF_RUNNING),
		.mtu = mtu.ifr_mtu > 0 ? (uint32_t)mtu.ifr_mtu : 0,
		.speed = read_speed(fd, name),
	};
	memcpy(device->mac, mac.ifr_hwaddr.sa_data, sizeof(device->mac));
	return 0;
}

int netdev_set_mtu(int fd, const char *name, uint32_t mtu)
{
	struct ifreq r = {.ifr_mtu = (int)mtu};

	return ask(fd, SIOCSIFMTU, name, &r);
}

void netdev_keep_apart(int fd, const char *name)
{
	struct ethtool_value gro = {.cmd = ETHTOOL_SGRO}, flags = {.cmd = ETHTOOL_GFLAGS};

	ethtool(fd, name, &gro);
	if (ethtool(fd, name, &flags) != 0 || (flags.data & ETH_FLAG_LRO) == 0)
		return;
	flags.cmd = ETHTOOL_SFLAGS;
	flags.data &= ~(uint32_t)ETH_FLAG_LRO;
	ethtool(fd, name, &flags);
}
