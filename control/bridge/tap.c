// SPDX-License-Identifier: BSD-3-Clause
// The kernel's end of an interface is a TAP (frames, Ethernet) or TUN (packets, GRE) device with several queues.
// The data plane reads and writes one queue; culvertd holds another, detached, as an anchor. While either
// process lives the device, its addresses and the BGP sessions over it live; a restarted culvertd opens a new
// queue of the same device, and a restarted data plane is handed a new one. Only when both are dead does the
// device go: it is not made persistent, since a device nobody reads would only hide that.
//
// A detached queue receives nothing, so an unread anchor never fills up. Frames carry no extra header
// (IFF_NO_PI) and no offloads, so the kernel completes every checksum itself.

#include "control/bridge/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/if.h>
#include <linux/if_tun.h>

int tap_open(const char *name, bool tun, int *fd, bool *made)
{
	struct ifreq request = {.ifr_flags = IFF_NO_PI | IFF_MULTI_QUEUE};
	size_t len = strlen(name);

	if (len >= IFNAMSIZ)
		return -ENAMETOOLONG;
	memcpy(request.ifr_name, name, len + 1);
	request.ifr_flags |= tun ? IFF_TUN : IFF_TAP;
	*fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (*fd < 0)
		return -errno;
	if (made) {
		// EBUSY: it exists, the descriptor is as before.
		request.ifr_flags |= (short)IFF_TUN_EXCL;
		*made = ioctl(*fd, TUNSETIFF, &request) == 0;
		if (*made)
			return 0;
		request.ifr_flags &= (short)~IFF_TUN_EXCL;
	}
	if (ioctl(*fd, TUNSETIFF, &request)) {
		int err = -errno;
		close(*fd);
		*fd = -1;
		return err;
	}
	return 0;
}

int tap_detach(int fd)
{
	struct ifreq request = {.ifr_flags = IFF_DETACH_QUEUE};

	return ioctl(fd, TUNSETQUEUE, &request) ? -errno : 0;
}

int tap_carrier(int fd, bool up)
{
	int carrier = up;

	return ioctl(fd, TUNSETCARRIER, &carrier) ? -errno : 0;
}
