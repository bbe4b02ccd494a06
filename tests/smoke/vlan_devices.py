#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Customers behind real VLAN devices of Linux, 802.1Q, 802.1ad and QinQ: tags beside the frame and in it, both ways, nobody's frame at another.

usage: vlan_devices.py PROGRAM     (root; makes one network namespace of its own; a kernel with VLAN devices, see guest.py)
"""

import contextlib
import os
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import wire  # noqa: E402
from dataplane import CLOUD, CUSTOMER, Wire, in_namespace, ip, ipv4, run_in_directory, udp  # noqa: E402
from kernel_port import CUSTOMERS, SOURCE, TARGET, KernelPorts, hop  # noqa: E402


def parent(c):
    return ("sh-a0", None, "sh-b0")[c.port]


def device(c):
    return ".".join([parent(c), *(str(vid) for vid in c.vlans)])


class VlanDevices(KernelPorts):
    patience = 60  # the guest's processor is emulated
    mtu = {"c": "1600"}

    def make_devices(self):
        for c in CUSTOMERS:
            under = parent(c)
            for place, vid in enumerate(c.vlans):
                name = f"{under}.{vid}"
                ip("link", "add", "link", under, "name", name, "type", "vlan", "proto", "802.1ad" if c.port == 2 and place == 0 else "802.1Q", "id", str(vid))
                with open(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6", "w") as f:
                    f.write("1")
                ip("link", "set", name, "address", CUSTOMER, "up")
                under = name
        self.ends = {c.number: Wire(device(c)) for c in CUSTOMERS}

    @contextlib.contextmanager
    def pushing(self, c):
        yield device(c)

    def offload(self, on):
        for name in ("sh-a0", "sh-b0"):
            for feature in ("txvlan", "tx-vlan-stag-hw-insert"):
                subprocess.run(["ethtool", "-K", name, feature, "on" if on else "off"], check=True)
        print(f"     tags {'beside' if on else 'in'} the frame", flush=True)

    def both_ways(self):
        """What comes out of a tunnel is at its customer's device, without tags, and at no other."""
        for c in CUSTOMERS:
            up, back = udp(SOURCE, TARGET, b"up %d" % c.number), udp(TARGET, SOURCE, b"down %d" % c.number)
            self.ends[c.number].send(wire.mac(self.macs[c.port]) + wire.mac(CUSTOMER) + b"\x08\x00" + up)
            key, packet = self.tunnelled()
            assert (key, packet[:len(up)]) == (c.key, hop(up)), f"customer {c.number}: key {key}"
            outer = ipv4("192.0.2.2", "192.0.2.1", 47, struct.pack("!HHI", 0x2000, 0x0800, c.key) + back)
            self.wires[1].send(wire.mac(self.macs[1]) + wire.mac(CLOUD) + b"\x08\x00" + outer)
            wanted = wire.mac(CUSTOMER) + wire.mac(self.macs[c.port]) + b"\x08\x00" + hop(back)
            self.ends[c.number].expect(lambda f, w=wanted: f[:len(w)] == w, f"at {device(c)}", 3)
        for c in CUSTOMERS:
            self.nothing_of_others(c)
        print("ok   802.1Q, 802.1ad and QinQ devices, both ways", flush=True)

    def nothing_of_others(self, c):
        end = self.ends[c.number].socket
        end.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                frame, sender = end.recvfrom(16384)
                if sender[2] != 4 and b"down " in frame:
                    assert b"down %d" % c.number in frame, f"{device(c)} has {frame.hex()}"

    def cases(self):
        for on in (True, False, True):
            self.offload(on)
            for case in (self.both_ways, self.outside, self.segments, self.fragments):
                case()


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    in_namespace()
    ip("link", "add", "sh-try0", "type", "veth", "peer", "name", "sh-try1")
    made = subprocess.run(["ip", "link", "add", "link", "sh-try0", "name", "sh-try2", "type", "vlan", "id", "2"], capture_output=True, text=True)
    if made.returncode:
        print(f"this kernel has no VLAN devices: {made.stderr.strip()}")
        sys.exit(77)
    ip("link", "del", "sh-try0")
    run_in_directory(lambda directory: VlanDevices(sys.argv[1], "packet", directory))


if __name__ == "__main__":
    main()
