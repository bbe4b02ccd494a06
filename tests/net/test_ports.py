# SPDX-License-Identifier: BSD-3-Clause
"""Ports on kernel devices under the whole edge. What comes and goes frame by frame is tests/smoke/kernel_port.py's."""

import functools
import json
import os
import re
import time

import pytest
from edge import PREMISES_HOST, VNET_HOST, EdgeLab, host
from lab import run, wait_for

from conftest import PREFIX, start_lab


@pytest.fixture(scope="module", params=["packet", "xdp", "xdp-whole"])
def lab(request, build):
    lab = start_lab(build, "netns", functools.partial(EdgeLab, mode=request.param))
    yield lab
    lab.close()


def ports(lab):
    # 4: the data plane is silent, which it may be for a moment where devices are made and taken away all around.
    done = wait_for(lambda: [d for d in [lab.ctl("--json", "port", "list", check=False)] if d.returncode != 4], 10, "the data plane tells")[0]
    assert done.returncode == 0, done
    return {p["port"]: p for p in json.loads(done.stdout)["items"] for p in [p.get("status")] if p}


def test_nothing_is_switched_off_at_the_far_end(lab):
    """Sessions and TCP streams stand on a veth whose kernel fills in neither tag nor checksum and cuts no segments."""
    for c in lab.customers:
        c.router.run("ethtool", "-K", "eth0", "tso", "on", "gso", "on")
        shown = c.router.run("ethtool", "-k", "eth0").stdout
        # where XDP stands on a veth the kernel itself has the other end cut its segments
        cuts = () if lab.mode.startswith("xdp") else ("tcp-segmentation-offload",)
        for feature in ("tx-checksumming", "tx-vlan-offload", "tx-vlan-stag-hw-insert", *cuts):
            assert re.search(rf"{feature}: on", shown), shown
        for reverse in (False, True):
            assert lab.iperf(c, reverse, 2) > 5e6
        assert lab.session(c) == "established"
        c.router.run("ethtool", "-K", "eth0", "tso", "off", "gso", "off")
    for reason in ("frame-large", "frame-truncated", "ip-checksum"):
        assert lab.drops(reason) == 0


def test_fragmented_datagrams(lab):
    """Up to 9,000 bytes, of both customers at once, who use the same addresses."""
    sizes = (1600, 2000, 4500, 8972)
    for size in sizes:
        words = ["ping", "-n", "-q", "-I", PREMISES_HOST, "-s", size, "-c", 20, "-i", "0.02", "-w", 10, VNET_HOST]
        running = [c.router.start(f"ping-{c.name}-{size}", *words) for c in lab.customers]
        for process in running:
            process.popen.wait(20)
            assert " 20 received" in process.log(), f"{size} bytes: {process.log()}"


def test_doctor_says_how_a_port_was_opened(lab):
    words = {"packet": "packet sockets: ", "xdp": "AF_XDP sockets: what is not the edge's ", "xdp-whole": "AF_XDP sockets: all of it "}
    opened = {i["object"]: i for i in json.loads(lab.ctl("--json", "doctor", check=False).stdout)["items"] if i["check"] == "opened"}
    assert set(opened) == {"wan0", "wan1", "core0"}
    for device, item in opened.items():
        assert item["state"] == "ok" and item["message"].startswith(words[lab.mode]), (device, item)


def test_port_list_says_what_a_port_is(lab):
    seen = ports(lab)
    assert {p["kind"] for p in seen.values()} == {lab.mode}
    assert {name: p["mtu"] for name, p in seen.items()} == {"wan0": 1504, "wan1": 1508, "core0": 1500}
    # what is not ours is the kernel's to lose
    counter = "rx_left" if lab.mode == "xdp" else "rx_missed"
    before = seen["core0"][counter]
    lab.core.ip("neigh", "replace", "192.0.2.99", "lladdr", seen["core0"]["mac"], "dev", "edge0")
    lab.dataplane.popen.send_signal(19)  # SIGSTOP
    try:
        words = ["ping", "-n", "-q", "-f", "-c", "20000", "-l", "20000", "-W", "0.01", "-w", "5", "192.0.2.99"]
        lab.core.run(*words, check=False)
    finally:
        lab.dataplane.popen.send_signal(18)
    wait_for(lambda: ports(lab)["core0"][counter] > before, 5, counter)
    assert re.search(rf"core0 .* {lab.mode} ", lab.ctl("port", "list").stdout)
    for c in lab.customers:
        wait_for(lambda c=c: lab.reaches_vnet(c), 20, f"{c.name} reaches its vNet again")


def test_a_port_without_room_for_tags_is_told(lab):
    """The model sells 1500; the device has 1500 and one tag, and the customer has two."""
    c = lab.globex
    assert not [p for p in lab.status()["problems"] if "behind" in p["message"]]
    lab.edge.ip("link", "set", c.port, "mtu", 1500)
    try:
        wait_for(lambda: [p for p in lab.status()["problems"] if f"port {c.port} carries 1496 behind two tags, not the MTU of 1500" in p["message"] and "mtu: 1504" in p["hint"]], 5, "a problem that says so")
    finally:
        lab.edge.ip("link", "set", c.port, "mtu", 1508)
    wait_for(lambda: not [p for p in lab.status()["problems"] if "behind" in p["message"]], 5, "no problem any more")


def came_twice(lab):
    """Segments that the edge's kernel had already when they came (TcpExt, DSACKs that it sent)."""
    names, values = [line.split() for line in lab.edge.run("cat", "/proc/net/netstat").stdout.splitlines() if line.startswith("TcpExt:")]
    return sum(int(value) for name, value in zip(names, values) if name in ("TCPDSACKOldSent", "TCPDSACKOfoSent"))


def test_the_kernel_keeps_what_is_its_own(lab):
    """A TCP server of the edge's kernel on the very device: not a segment is lost while customers' packets pass."""
    if lab.mode != "xdp":
        return  # packet sockets take nothing away, xdp-whole takes all
    lab.edge.ip("addr", "add", "192.0.2.50/24", "dev", "core0")
    server = lab.edge.start("kernel-server", "iperf3", "-s", "-1", "--forceflush", "-B", "192.0.2.50")
    wait_for(lambda: "listening" in server.log(), 5, "iperf3 server")
    words = ["ping", "-n", "-q", "-I", PREMISES_HOST, "-s", 1400, "-c", 400, "-i", "0.005", "-w", 20, VNET_HOST]
    pings = [c.router.start(f"beside-{c.name}", *words) for c in lab.customers]
    before = came_twice(lab)
    sums = json.loads(lab.core.run("iperf3", "-c", "192.0.2.50", "-t", 2, "-b", "200M", "-J", timeout=30).stdout)["end"]
    # A sender that does not get the processor may send again what has arrived; what was lost comes once.
    assert sums["sum_sent"]["retransmits"] <= came_twice(lab) - before and sums["sum_received"]["bytes"] > 20e6, sums
    for process in pings:
        process.popen.wait(30)
        assert " 400 received" in process.log(), process.log()
    lab.edge.ip("addr", "del", "192.0.2.50/24", "dev", "core0")


def test_device_made_again(lab):
    """Back within 2 s, in the same process; and the session after it."""
    c, pid = lab.acme, lab.dataplane.pid
    lab.edge.ip("link", "del", c.port)
    down = wait_for(lambda: (p := ports(lab)[c.port])["state"] == "down" and p, 5, "port down")
    assert down["reason"] == "its device is not there"
    assert any(p["object"] == f"port/{c.port}" and down["reason"] in str(p) for p in lab.status()["problems"]), lab.status()["problems"]
    c.router.ip("addr", "del", PREMISES_HOST + "/32", "dev", "lo")
    lab.make_attachment(c)
    start = time.monotonic()
    wait_for(lambda: ports(lab)[c.port]["state"] == "up", 2, "port up")
    wait_for(lambda: " 1 received" in c.router.run("ping", "-n", "-c", "1", "-w", "1", host(c.subnet, 2), check=False).stdout, 5, "our address answers")
    assert time.monotonic() < start + 2, f"{time.monotonic() - start:.2f} s"
    wait_for(lambda: lab.session(c) == "established", 30, "session")
    wait_for(lambda: lab.reaches_vnet(c), 10, "traffic")
    assert lab.dataplane.alive() and lab.dataplane.pid == pid


def test_the_opener_is_killed(lab):
    """Traffic goes on and circuits stay up; log, port list and status say what is missing."""
    for c in lab.customers:
        wait_for(lambda c=c: lab.ctl("circuit", "check", c.circuit, check=False).returncode == 0, 30, f"{c.circuit} is up")
    with open(f"/proc/{lab.dataplane.pid}/task/{lab.dataplane.pid}/children") as f:
        opener = int(f.read())
    os.kill(opener, 9)
    wait_for(lambda: "opener has ended" in (ports(lab)["wan0"]["reason"] or ""), 5, "the port list says it")
    assert 'msg="the opener has ended" by="signal 9"' in lab.dataplane.log()
    assert re.search(r"wan0 .* up: the data plane's opener has ended", lab.ctl("port", "list").stdout)
    assert any("start culvert-dataplane anew" in str(p) for p in lab.status()["problems"]), lab.status()["problems"]
    for c in lab.customers:
        assert lab.ping(c, 20) == 20
        done = lab.ctl("circuit", "check", c.circuit, check=False)
        assert done.returncode == 0, done.stdout
    done = lab.ctl("status", "--monitoring", check=False)
    assert done.returncode == 1 and done.stdout.startswith("WARNING: "), done.stdout
    # What is wrong with a port stands before what may be one day.
    lab.edge.ip("link", "set", "wan0", "down")
    wait_for(lambda: ports(lab)["wan0"]["state"] == "down", 5, "the port is down")
    assert any(p["object"] == "port/wan0" and "no carrier" in p["message"] for p in lab.status()["problems"]), lab.status()["problems"]
    lab.edge.ip("link", "set", "wan0", "up")
    wait_for(lambda: ports(lab)["wan0"]["state"] == "up" and "opener has ended" in ports(lab)["wan0"]["reason"], 5, "up, and what is missing")
    assert lab.dataplane.alive()


class OnAfPacket(EdgeLab):
    """acme's port is as DPDK's driver has it."""

    def node_file(self):
        return super().node_file().replace("{device: wan0, mode: auto}", '{device: "net_af_packet0,iface=wan0"}')


def test_no_customer_on_net_af_packet(build):
    lab = OnAfPacket(PREFIX + "n", build)
    try:
        lab.make_network()
        lab.start_routers()
        lab.start_edge(in_force=False)
        wait_for(lambda: lab.session(lab.globex) == "established", 20, "globex's session")
        found = [p for p in lab.status()["problems"] if "net_af_packet" in str(p)]
        assert any("fragments of different customers" in str(p) and "device: eth1" in str(p) for p in found), lab.status()["problems"]
        assert lab.session(lab.acme) != "established"
        assert lab.ping(lab.acme, 1, deadline=1) == 0
        assert run("ip", "netns", "list").stdout.count(lab.kernel_prefix + "-") >= 1
    finally:
        lab.close()
