# SPDX-License-Identifier: BSD-3-Clause
"""A link moves to another tag, where another router has the same addresses: what is forwarded reaches that one at once, and
our addresses are announced at the new place."""

import os
import re
import time

import pytest
from bridge_rig import Rig
from edge import PREMISES_HOST, VNET_HOST, EdgeLab, host
from lab import leftovers, run, wait_for

from conftest import PREFIX, running_lab
from test_live import apply, reached


class SwitchLab(EdgeLab):
    """acme's port leads to a switch with two routers behind it, of the same addresses: one speaks tag 100, one 150."""

    def make_attachment(self, c):
        if c is not self.acme:
            super().make_attachment(c)
            return
        switch = self.netns("switch")
        switch.ip("link", "add", "br0", "type", "bridge")
        switch.ip("link", "set", "br0", "mtu", 1504, "up")
        self.link(self.edge, c.port, switch, "p0", mtu=1504)
        switch.ip("link", "set", "p0", "master", "br0")
        c.router, c.other = self.netns(c.name), self.netns(c.name + "-b")
        for i, (ns, tag) in enumerate(((c.router, 100), (c.other, 150))):
            self.link(switch, f"p{i + 1}", ns, "eth0", mtu=1504)
            switch.ip("link", "set", f"p{i + 1}", "master", "br0")
            ns.tag("eth0", [tag])
            ns.ip("addr", "add", host(c.subnet, 1) + "/30", "dev", "eth0")
            ns.ip("addr", "add", PREMISES_HOST + "/32", "dev", "lo")
        c.other.ip("route", "add", "10.9.0.0/16", "via", host(c.subnet, 2))


@pytest.fixture(scope="module", params=["netns", "table"])
def edge(request, build):
    with running_lab(request, build, request.param, SwitchLab) as lab:
        yield lab


def asked(ns):
    """Echo requests that came in there."""
    lines = [line.split() for line in ns.run("cat", "/proc/net/snmp").stdout.split("\n") if line.startswith("Icmp:")]
    return int(dict(zip(lines[0], lines[1]))["InEchos"])


def test_another_router_at_another_tag(edge):
    c = edge.acme
    train = c.gateway_ns.start(f"train-{time.monotonic_ns()}", "ping", "-n", "-q", "-I", VNET_HOST, "-i", "0.005", PREMISES_HOST)
    try:
        for here, there, model in (
            (c.router, c.other, edge.model().replace("port: wan0, outer-tag: 100}", "port: wan0, outer-tag: 150}", 1)),
            (c.other, c.router, edge.model()),
        ):
            before = asked(here)
            wait_for(lambda h=here, b=before: asked(h) > b + 10, 5, "the vNet reaches the router of the first tag")
            apply(edge, model)
            before = asked(there)
            wait_for(lambda t=there, b=before: asked(t) > b + 10, 1, "the vNet reaches the router of the other tag")
            before = asked(here)
            assert asked(here) == before, "the router of the first tag hears nothing more"
    finally:
        train.stop()
    wait_for(lambda: reached(edge, c), 30, "as in the beginning")


# ---- the bridge alone


@pytest.fixture
def rig(build):
    prefix = (PREFIX if PREFIX != "cvt" else "br") + "m"
    for name in leftovers(prefix):
        run("ip", "netns", "del", name, check=False)
    rig = Rig(prefix, build, "netns")
    yield rig
    rig.close()


def frames(fd, seconds=3):
    """All that the kernel sends into the queue, as long as somebody asks."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            yield os.read(fd, 65536)
        except BlockingIOError:
            time.sleep(0.002)
    raise AssertionError("not sent")


def announced(fd, mac, address4, address6):
    """An ARP announcement and an unsolicited neighbor advertisement, each as its RFC has it."""
    arp = b"\xff" * 6 + mac + b"\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01" + mac + address4 + bytes(6) + address4
    wanted = {"arp", "na"}
    for frame in frames(fd):
        if frame == arp:
            wanted.discard("arp")
        if frame[12:14] == b"\x86\xdd" and frame[54] == 136 and frame[58] == 0xA0:
            assert frame[:6] == b"\x33\x33\0\0\0\x01" and frame[6:12] == mac and frame[20] == 58 and frame[21] == 255
            assert frame[22:38] == frame[62:78] == address6 and frame[78:] == b"\x02\x01" + mac
            whole = frame[22:54] + (32).to_bytes(4, "big") + b"\0\0\0\x3a" + frame[54:]
            assert sum(int.from_bytes(whole[i:i + 2], "big") for i in range(0, len(whole), 2)) % 0xFFFF == 0, "checksum"
            wanted.discard("na")
        if not wanted:
            return


def test_addresses_are_announced(rig):
    bridge = rig.start_bridge(launcher="")
    bridge.call("domain", id=9, name="said")
    bridge.call("interface", id=90, domain=9, name="s0", addresses=["192.0.2.1/24", "2001:db8::1/64"])
    fd = bridge.queue(90)
    here = (bytes([2, 0, 0, 0, 0, 90]), bytes([192, 0, 2, 1]), bytes.fromhex("20010db8000000000000000000000001"))
    bridge.call("carried", id=90, moved=False)
    announced(fd, *here)
    bridge.call("carried", id=90, moved=True)
    announced(fd, *here)
    bridge.call("carrier", id=90, up=False)
    wait_for(lambda: "NO-CARRIER" in run("ip", "-n", rig.space("said"), "link", "show", "s0").stdout, 3, "no carrier")
    bridge.call("carrier", id=90, up=True)
    announced(fd, *here)
    os.close(fd)


def test_neighbors_are_resolved_anew(rig):
    bridge = rig.start_bridge(launcher="")
    ns, far = rig.customer("cust")
    ns.sysctl("net.ipv6.conf.wan.disable_ipv6", 0)
    for words in ("addr add 169.254.10.1/30 dev wan", "addr add fd00:7::1/126 dev wan nodad", "link set wan up"):
        ns.ip(*words.split())
    bridge.call("domain", id=7, name="acme")
    bridge.call("interface", id=70, domain=7, name="acme0", addresses=["169.254.10.2/30", "fd00:7::2/126"])
    rig.wire.connect(bridge.queue(70), far)
    remotes = ("169.254.10.1", "fd00:7::1")
    for remote in remotes:
        bridge.call("neighbor", id=70, address=remote)
    for mac in ("02:00:00:00:00:01", "02:00:00:00:00:02"):
        # Another router stands there, and says nothing by itself.
        ns.sysctl("net.ipv4.conf.wan.arp_notify", 0)
        ns.ip("link", "set", "wan", "address", mac)
        bridge.call("carried", id=70, moved=True)
        for remote in remotes:
            bridge.wait(lambda r=remote, m=mac: bridge.neighbors.get((70, r)) == m, 1, f"{remote} is {mac}")
    assert not re.search("FAILED|INCOMPLETE", run("ip", "-n", rig.space("acme"), "neigh").stdout)
