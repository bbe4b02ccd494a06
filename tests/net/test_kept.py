# SPDX-License-Identifier: BSD-3-Clause
"""What culvertd put into the kernel is kept there: whoever tidies up in a namespace of ours, takes away or changes
something sees it come back within seconds, without a restart, and it is counted and said once."""

import os
import re
import sys

import pytest
from bridge_rig import Rig
from demo import PingTrain
from edge import host
from lab import leftovers, run, wait_for

from conftest import PREFIX, start_lab

DRIVE = (PREFIX if PREFIX != "cvt" else "br") + "k"


@pytest.fixture(scope="module", params=["netns", "table"])
def rig(request, build):
    for name in leftovers(DRIVE):
        run("ip", "netns", "del", name, check=False)
    rig = Rig(DRIVE, build, request.param)
    try:
        bridge = rig.start_bridge(launcher="")
        bridge.call("domain", id=1, name="underlay")
        bridge.call("interface", id=10, domain=1, name="u0", addresses=["192.0.2.1/24"])
        bridge.call("static", domain=1, routes=[{"prefix": "203.0.113.0/24", "via": "192.0.2.9"}])
        for n in (7, 8):
            bridge.call("domain", id=n, name=f"d{n}")
            bridge.call("interface", id=n, domain=n, name=f"w{n}", addresses=[f"169.254.{n}.2/30", f"fd00:{n}::2/126"])
        bridge.call("sweep")
        rig.queues = [bridge.queue(n) for n in (10, 7, 8)]
        rig.whole = {}
        yield rig
    finally:
        rig.close()


def inside(rig, *words, netns=None):
    return run("ip", "netns", "exec", netns or rig.space("d7"), *words).stdout


def state(rig, netns):
    """All that we put there, in words that do not change by themselves."""
    lines = inside(rig, "ip", "-o", "link", netns=netns) + inside(rig, "ip", "-o", "addr", netns=netns)
    for family in ("-4", "-6"):
        lines += inside(rig, "ip", family, "route", "show", "table", "all", "proto", "67", netns=netns)
        lines += inside(rig, "ip", family, "rule", netns=netns)
    lines = re.sub(r"^\d+: |qdisc \w+|state \w+|qlen \d+|valid_lft \w+|numtxqueues.*|master \w+", "", lines, flags=re.M)
    lines = re.sub(r"inet6 fe80[^\n]*|linkdown|dead|NO-CARRIER,|,LOWER_UP", "", lines)
    return sorted(" ".join(line.split()) for line in lines.split("\n"))


def put_back(rig, words, *actions, netns=None):
    """Does the actions inside; then all is as it was in the beginning, and the counter says that something was put right."""
    netns = netns or rig.space("d7")
    whole = rig.whole.setdefault(netns, state(rig, netns))
    drift = rig.bridge.counters()["drift"]
    for action in actions:  # a flush may complain that there is always something left: it is put back while it looks
        run("ip", "netns", "exec", netns, *action.split(), check=False)
    wait_for(lambda: rig.bridge.counters()["drift"] > drift, 10, f"{actions} noticed")
    wait_for(lambda: state(rig, netns) == whole, 10, f"{actions} put right")
    assert any(word in rig.bridge.counters()["drift_last"] for word in words), rig.bridge.counters()["drift_last"]
    with open(os.path.join(rig.dir, "bridge.log")) as f:
        assert any("put back" in line for line in f)


CHANGES = [
    (["set down"], ["ip link set w7 down"]),
    (["renamed"], ["ip link set w7 name other7"]),
    (["renamed", "set down"], ["ip link set w7 down", "ip link set w7 name other7"]),
    (["MTU"], ["ip link set w7 mtu 1300"]),
    (["MAC"], ["ip link set w7 address 02:00:00:00:99:99"]),
    (["ARP"], ["ip link set w7 arp off"]),
    (["addresses"], ["ip addr flush dev w7 scope global"]),
    (["addresses"], ["ip addr del 169.254.7.2/30 dev w7"]),
    (["addresses"], ["ip addr add 198.51.100.1/24 dev w7"]),
    (["lo"], ["ip link set lo down"]),
]


@pytest.mark.parametrize("words,actions", CHANGES, ids=[a[-1] for _, a in CHANGES])
def test_a_device(rig, words, actions):
    put_back(rig, words, *actions)


SETTINGS = ["ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv4/conf/all/arp_ignore", "ipv4/conf/all/arp_announce",
    "ipv4/conf/w7/forwarding", "ipv6/conf/w7/disable_ipv6", "ipv4/conf/all/rp_filter"]


@pytest.mark.parametrize("path", SETTINGS)
def test_a_setting(rig, path):
    def value():
        return inside(rig, "cat", "/proc/sys/net/" + path).strip()

    changed = "1" if value() == "0" else "0"
    before, drift = value(), rig.bridge.counters()["drift"]
    inside(rig, "sh", "-c", f"echo {changed} > /proc/sys/net/{path}")
    wait_for(lambda: value() == before, 5, f"{path} is {before} again")
    wait_for(lambda: rig.bridge.counters()["drift"] > drift, 5, "counted")


def test_a_static_route(rig):
    netns = f"{rig.prefix}-own-underlay"
    put_back(rig, ["route"], "ip route del 203.0.113.0/24", netns=netns)
    put_back(rig, ["route"], "ip route replace 203.0.113.0/24 via 192.0.2.8", netns=netns)
    put_back(rig, ["route"], "ip route replace blackhole 203.0.113.0/24 proto static", netns=netns)
    put_back(rig, ["route"], "ip route flush proto 67", netns=netns)
    put_back(rig, ["set down"], "ip link set u0 down", netns=netns)


def test_rules(rig):
    rules = inside(rig, "ip", "rule").split("\n")
    mine = [line.split(":")[0] for line in rules if "169.254.7.2" in line]
    if rig.mode == 0:  # one namespace a domain: its tables are its own
        assert not mine, rules
        return
    assert len(mine) == 2, rules
    for priority in mine:
        put_back(rig, ["rule"], f"ip rule del pref {priority}")
    put_back(rig, ["rule"], "ip rule flush")
    put_back(rig, ["rule"], "ip rule add pref 0 lookup local")


def kernels_routes(rig, family):
    """What the kernel put in for our addresses."""
    lines = inside(rig, "ip", family, "route", "show", "table", "all", "dev", "w7", "proto", "kernel").split("\n")
    return sorted(" ".join(line.replace("linkdown", "").split()) for line in lines)


FLUSHES = ["ip route flush table all", "ip -6 route flush table all", "ip route flush table local", "ip route flush dev w7",
    "ip -6 route flush dev w7", "ip route del 169.254.7.0/30 dev w7", "ip -6 route del fd00:7::/126 dev w7",
    "ip route del local 169.254.7.2 table local", "ip -6 route del local fd00:7::2 table local dev w7"]


@pytest.mark.parametrize("flush", FLUSHES)
def test_the_kernels_routes(rig, flush):
    """Those of our addresses, without which nobody reaches us, whoever took them."""
    before = {family: kernels_routes(rig, family) for family in ("-4", "-6")}
    assert len(before["-4"]) >= 3 and len(before["-6"]) >= 3, before
    drift = rig.bridge.counters()["drift"]
    inside(rig, *flush.split())
    wait_for(lambda: all(kernels_routes(rig, f) == before[f] for f in before), 3, f"as before, not {kernels_routes(rig, '-4')} {kernels_routes(rig, '-6')}, {before}")
    wait_for(lambda: rig.bridge.counters()["drift"] > drift, 3, "counted")


def test_a_device_is_deleted(rig):
    """It is made again, with everything on it, and whoever reads its queue is told to take another."""
    since = len(rig.bridge.events)
    put_back(rig, ["deleted"], "ip link del w7")
    rig.bridge.wait_event("made", since=since, interface=7)
    os.close(rig.bridge.queue(7))


def test_the_namespaces_name(rig):
    path = "/run/netns/" + rig.space("d7")
    number = os.stat(path).st_ino
    drift = rig.bridge.counters()["drift"]
    run("ip", "netns", "del", rig.space("d7"))
    wait_for(lambda: os.path.exists(path) and os.stat(path).st_ino == number, 5, "the same namespace has its name again")
    assert rig.bridge.counters()["drift"] > drift
    put_back(rig, ["set down"], "ip link set w7 down")


def test_the_run_directory(rig):
    mark = os.path.join(rig.run_dir, "marks", rig.space("d7"))
    run("rm", "-rf", rig.run_dir)
    wait_for(lambda: os.path.exists(mark), 5, "the mark is there again")
    assert "mark" in rig.bridge.counters()["drift_last"]


def test_nothing_moves_by_itself(rig):
    """No repair is undone by the next, and none is made for our own doing."""
    drift = rig.bridge.counters()["drift"]
    rig.bridge.call("static", domain=1, routes=[{"prefix": "203.0.113.0/24", "via": "192.0.2.8"}])
    rig.bridge.call("static", domain=1, routes=[{"prefix": "203.0.113.0/24", "via": "192.0.2.9"}])
    rig.bridge.call("carrier", id=8, up=False)
    rig.bridge.call("carrier", id=8, up=True)
    rig.bridge.call("interface", id=8, domain=8, name="w8", addresses=["169.254.8.6/30"])
    rig.bridge.call("interface", id=9, domain=8, name="w9", addresses=["169.254.9.2/30"])
    rig.bridge.call("interface-delete", id=9)
    rig.bridge.call("interface", id=8, domain=8, name="w8", addresses=["169.254.8.2/30", "fd00:8::2/126"])
    dumps = rig.bridge.counters()["dumps"]
    run("ip", "-n", rig.space("d7"), "link", "set", "w7", "down")  # the one change that is not ours: a round goes by
    wait_for(lambda: rig.bridge.counters()["drift"] > drift, 5, "noticed")
    assert rig.bridge.counters()["drift"] == drift + 1, rig.bridge.counters()["drift_last"]
    assert rig.bridge.counters()["dumps"] >= dumps


# ---- the whole edge


@pytest.fixture(scope="module", params=["netns", "table"])
def lab(request, build):
    lab = start_lab(build, request.param)
    yield lab
    lab.print_logs(sys.stderr)
    lab.close()


def tap_of(lab, netns, address):
    for line in run("ip", "-n", netns, "-o", "-4", "addr").stdout.split("\n"):
        if address in line:
            return line.split()[1]
    raise AssertionError(f"no device with {address} in {netns}")


def whole(lab):
    for c in lab.customers:
        wait_for(lambda c=c: lab.whose_vnet(c) == c.vnet, 15, f"{c.name} reaches its vNet")
        wait_for(lambda c=c: lab.session(c) == "established", 40, f"session of {c.name}")


def test_the_core_ports_device_is_deleted(lab):
    netns = lab.kernel_prefix + "-underlay"
    run("ip", "-n", netns, "link", "del", tap_of(lab, netns, "192.0.2.1/"))
    wait_for(lambda: "192.0.2.1/" in run("ip", "-n", netns, "-o", "addr").stdout, 5, "the device is there again")
    core = [n for n in lab.json("neighbor", "list")["items"] if n["address"] == "192.0.2.2"]
    assert core
    wait_for(lambda: all(n["state"] == "usable" for n in lab.json("neighbor", "list")["items"] if n["address"] == "192.0.2.2"), 10, "the core neighbor answers")
    whole(lab)
    assert "deleted" in lab.status()["bridge"]["drift_last"]


def test_a_peerings_device_is_deleted(lab):
    c = lab.acme
    netns = lab.domain_netns(c)
    run("ip", "-n", netns, "link", "del", tap_of(lab, netns, host(c.subnet, 2) + "/"))
    wait_for(lambda: host(c.subnet, 2) + "/" in run("ip", "-n", netns, "-o", "addr").stdout, 5, "the device is there again")
    whole(lab)


@pytest.mark.parametrize("flush", ["proto bird", "table all"])
def test_all_routes_of_a_peering_are_flushed(lab, flush):
    """The speaker is told, and its session stands: a customer's traffic is back within seconds."""
    c = lab.acme
    netns, since, drift = lab.domain_netns(c), lab.session_since(c), lab.status()["bridge"]["drift"]
    table = ["table", "all"] if lab.host_domain == "table" and flush != "table all" else []
    run("ip", "-n", netns, "route", "flush", *flush.split(), *table)
    wait_for(lambda: lab.status()["bridge"]["drift"] > drift, 3, "counted")
    wait_for(lambda: lab.whose_vnet(c) == c.vnet, 4, "acme reaches its vNet")
    assert lab.session_since(c) == since
    whole(lab)


def lines(lab, words):
    return [line for line in lab.daemon.log().split("\n") if words in line]


def namespace_of(lab, which):
    return lab.kernel_prefix + "-underlay" if which == "underlay" else lab.domain_netns(lab.acme)


def address_in(lab, which):
    return "192.0.2.1/" if which == "underlay" else host(lab.acme.subnet, 2) + "/"


@pytest.mark.parametrize("which", ["peering", "underlay"])
def test_a_namespaces_name_is_taken_away(lab, which):
    """What lives in it lives on: nothing is lost, and it is named again."""
    netns, c = namespace_of(lab, which), lab.acme
    since, before = lab.session_since(c), len(lines(lab, "put back"))
    train = PingTrain(lab, c, 0.005, 60)
    train.run_on(20)
    run("ip", "netns", "del", netns)
    wait_for(lambda: address_in(lab, which) in run("ip", "-n", netns, "-o", "addr", check=False).stdout, 5, "the same namespace has its name again")
    train.run_on(100)
    lost, sent = train.lost()
    assert lost == 0 and lab.session_since(c) == since, f"lost {lost} of {sent}"
    assert len(lines(lab, "put back")) == before + 1


@pytest.mark.parametrize("which", ["peering", "underlay"])
def test_a_namespace_is_replaced(lab, which):
    """Somebody deletes the namespace and makes one of its name: domains, devices, routes and speakers come to life in that
    one, and those who are not in it lose nothing."""
    netns, c = namespace_of(lab, which), lab.acme
    before, since = len(lines(lab, "put back")), {x: lab.session_since(x) for x in lab.customers}
    alone = lab.host_domain == "netns" and which == "peering"
    train = PingTrain(lab, lab.globex, 0.005, 60) if alone else None
    run("ip", "netns", "del", netns)
    run("ip", "netns", "add", netns)
    wait_for(lambda: address_in(lab, which) in run("ip", "-n", netns, "-o", "addr").stdout, 5, "its devices are in the new one")
    everyone = lab.customers if lab.host_domain == "table" else [c]
    for x in everyone:
        if which == "peering":
            wait_for(lambda x=x: lab.session_since(x) != since[x], 10, f"a new session of {x.name}")
        wait_for(lambda x=x: lab.session(x) == "established", 10, f"session of {x.name}")
        wait_for(lambda x=x: lab.whose_vnet(x) == x.vnet, 5, f"{x.name} reaches its vNet")
    assert len(lines(lab, "put back")) == before + 1
    assert "network namespace" in lab.status()["bridge"]["drift_last"]
    if train:
        lost, sent = train.lost()
        assert lost == 0, f"globex lost {lost} of {sent}"
    wait_for(lambda: lab.ctl("status", check=False).returncode == 0, 15, "all is well")
    whole(lab)


def test_a_namespaces_name_comes_to_mean_anothers(lab):
    """Two customers in one namespace would be one: the name is not used and the next command said, the other loses nothing."""
    if lab.host_domain == "table":
        return  # all domains of a host are in one there
    netns, others, c = namespace_of(lab, "peering"), lab.domain_netns(lab.globex), lab.acme
    train = PingTrain(lab, lab.globex, 0.005, 60)
    since = lab.session_since(lab.globex)
    run("umount", "-l", "/run/netns/" + netns)
    run("mount", "--bind", "/run/netns/" + others, "/run/netns/" + netns)
    wait_for(lambda: any(f"it is not used until \"ip netns del {netns}" in p["message"] for p in lab.status()["problems"]), 10, "said")
    train.run_on(100)
    seen = run("ip", "-n", others, "-o", "-4", "addr", "show").stdout
    assert seen.count(host(c.subnet, 2) + "/") == 1, seen  # both customers have that address, globex's is there
    run("ip", "netns", "del", netns)
    wait_for(lambda: lab.session(c) == "established" and lab.whose_vnet(c) == c.vnet, 20, "a namespace of its own again")
    lost, sent = train.lost()
    assert lost == 0 and lab.session_since(lab.globex) == since, f"globex lost {lost} of {sent}"
    wait_for(lambda: lab.ctl("status", check=False).returncode == 0, 15, "all is well")
    whole(lab)


def test_the_control_sockets_file(lab):
    os.unlink(lab.socket)
    wait_for(lambda: os.path.exists(lab.socket), 5, "the socket has its name again")
    assert lab.synced()
