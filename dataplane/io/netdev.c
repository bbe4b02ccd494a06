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
#include <stdlib.h>
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

void netdev_driver(int fd, const char *name, char driver[NETDEV_DRIVER])
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};

	if (ethtool(fd, name, &info) != 0)
		info.driver[0] = 0;
	snprintf(driver, NETDEV_DRIVER, "%.*s", (int)sizeof(info.driver) - 1, info.driver);
}

unsigned netdev_queues(int fd, const char *name)
{
	struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
	unsigned queues = 0;

	if (ethtool(fd, name, &channels) == 0)
		queues = channels.combined_count + channels.rx_count;
	return queues != 0 ? queues : 1;
}

// --- features: bits by name ---

#define FEATURE_BLOCKS 8u
#define FEATURES       (FEATURE_BLOCKS * 32)

// Its bit; -ENOENT = the kernel has none of that name. `blocks`: how many the kernel has of them all.
static int find_feature(int fd, const char *name, const char *feature, uint32_t *blocks)
{
	struct {
		struct ethtool_sset_info info;
		uint32_t count;
	} set = {.info = {.cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1ull << ETH_SS_FEATURES}};
	struct ethtool_gstrings *strings;
	int err = ethtool(fd, name, &set), bit = -ENOENT;

	if (err != 0)
		return err;
	*blocks = (set.count + 31) / 32;
	strings = calloc(1, sizeof(*strings) + (size_t)set.count * ETH_GSTRING_LEN);
	if (strings == NULL)
		return -ENOMEM;
	strings->cmd = ETHTOOL_GSTRINGS;
	strings->string_set = ETH_SS_FEATURES;
	strings->len = set.count;
	err = ethtool(fd, name, strings);
	for (uint32_t i = 0; err == 0 && bit < 0 && i < strings->len && i < FEATURES; i++)
		if (strncmp((const char *)strings->data + (size_t)i * ETH_GSTRING_LEN, feature,
			    ETH_GSTRING_LEN) == 0)
			bit = (int)i;
	free(strings);
	return err != 0 ? err : bit;
}

static int is_active(int fd, const char *name, unsigned bit)
{
	struct {
		struct ethtool_gfeatures head;
		struct ethtool_get_features_block block[FEATURE_BLOCKS];
	} now = {.head = {.cmd = ETHTOOL_GFEATURES, .size = FEATURE_BLOCKS}};
	int err = ethtool(fd, name, &now);

	return err != 0 ? err : !!(now.block[bit / 32].active & 1u << bit % 32);
}

int netdev_switch_off(int fd, const char *name, const char *feature)
{
	struct {
		struct ethtool_sfeatures head;
		struct ethtool_set_features_block block[FEATURE_BLOCKS];
	} off = {.head = {.cmd = ETHTOOL_SFEATURES}};
	uint32_t blocks = 0;
	int bit = find_feature(fd, name, feature, &blocks), active;

	if (bit < 0)
		return bit == -ENOENT ? 0 : bit;
	active = is_active(fd, name, (unsigned)bit);
	if (active <= 0)
		return active;
	off.head.size = blocks; // it takes all or none
	off.block[bit / 32].valid = 1u << bit % 32;
	ethtool(fd, name, &off); // what it says is not to be relied on
	active = is_active(fd, name, (unsigned)bit);
	return active > 0 ? -EOPNOTSUPP : active;
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
