# SPDX-License-Identifier: BSD-3-Clause
"""What is not ours, or may not be, is not touched: a mistyped edge, a lost store, namespaces of others. The sessions stay
up, and not one packet is lost, until somebody says what is to be done."""

import os
import sys

import pytest
from bridge_rig import Rig
from lab import leftovers, run, wait_for

from conftest import PREFIX, start_lab
from test_strange import node_file, nothing_lost, restart_daemon, whole


@pytest.fixture(scope="module", params=["netns", "table"])
def lab(request, build):
    lab = start_lab(build, request.param)
    yield lab
    lab.print_logs(sys.stderr)
    lab.close()


def namespaces(lab):
    return {n.split()[0] for n in run("ip", "netns", "list").stdout.split("\n") if n.startswith(lab.kernel_prefix + "-")}


def settled(lab):
    """Long after culvertd would have swept, were it of a mind to: it waits three seconds for neighbors to be heard of."""
    status = lab.status()
    return status if status["time"] - status["started"] >= 6 else None


def held(lab, *words):
    status = wait_for(lambda: settled(lab), 20, "six seconds of life")
    assert status["dataplane"]["state"] == "held"
    problem = next(p for p in status["problems"] if p["object"].startswith("edge/"))
    for word in words:
        assert word in problem["message"], problem
    assert "edge adopt" in problem["hint"]
    return problem


class Untouched:
    """Namespaces, sessions and packets are the same afterwards."""

    def __init__(self, lab):
        self.lab, self.lost = lab, nothing_lost(lab)

    def __enter__(self):
        self.before = namespaces(self.lab), [self.lab.session_since(c) for c in self.lab.customers]
        self.lost.__enter__()

    def __exit__(self, *failure):
        self.lost.__exit__(*failure)
        if failure[0] is None:
            assert namespaces(self.lab) == self.before[0]
            assert [self.lab.session_since(c) for c in self.lab.customers] == self.before[1]


def test_a_mistyped_edge_touches_nothing(lab):
    with Untouched(lab):
        with node_file(lab, "edge: ams1-edge1", "edge: ams11"):
            restart_daemon(lab)
            held(lab, "ams11", "not in the model")
            said = lab.json("edge", "adopt", "--check")
            assert not said["known"] and said["there"]["domains"] == len(lab.customers) + 1, said
            assert said["remove"]["domains"] == len(lab.customers), said  # all but the underlay
            assert said["remove"]["interfaces"] >= len(lab.customers), said
            refused = lab.ctl("edge", "adopt", check=False)
            assert refused.returncode != 0 and "--force" in refused.stderr, refused
            held(lab, "ams11", "not in the model")
        restart_daemon(lab)
        whole(lab)


def test_the_name_of_another_edge_touches_nothing(lab):
    with Untouched(lab):
        with node_file(lab, "edge: ams1-edge1", "edge: ams1-edge2"):
            restart_daemon(lab)
            held(lab, "ams1-edge1")
        restart_daemon(lab)
        whole(lab)


def test_a_namespace_of_somebody_else_stays(lab):
    name = lab.kernel_prefix + "-mine"
    run("ip", "netns", "add", name)
    run("ip", "-n", name, "link", "add", "keep0", "type", "dummy", check=False)
    try:
        with Untouched(lab):
            restart_daemon(lab)
            wait_for(lambda: settled(lab), 20, "six seconds of life")
            whole(lab)
        assert name in namespaces(lab)
    finally:
        run("ip", "netns", "del", name)


def test_a_lost_store_touches_nothing_until_adopted(lab):
    """The store is another one (the disk was lost): first empty, then with the same model in it."""
    before = namespaces(lab)
    with Untouched(lab):
        lab.daemon.stop()
        for name in ("culvert.db", "culvert.db.key"):
            os.rename(os.path.join(lab.dir, name), os.path.join(lab.dir, "lost-" + name))
        restart_daemon(lab)
        held(lab, "not in the model")
        said = lab.json("edge", "adopt", "--check")
        assert said["remove"]["domains"] == len(lab.customers), said
        lab.ctl("config", "apply", lab.model_path)
        wait_for(lambda: "store" in held(lab)["message"], 5, "whose it is")
        said = lab.json("edge", "adopt", "--check")
        assert said["needed"] and not said["adopted"]
        assert said["take_over"]["domains"] == len(lab.customers) + 1, said
        assert said["take_over"]["edge"] == "ams1-edge1"
        assert said["remove"]["domains"] == 0, said
        held(lab)
    lab.ctl("edge", "adopt")
    whole(lab)
    for c in lab.customers:
        wait_for(lambda c=c: lab.session(c) == "established", 20, f"session of {c.name}")
    wait_for(lambda: not [p for p in lab.status()["problems"] if p["object"].startswith("edge/")], 10, "nothing is held back")
    assert len(namespaces(lab)) == len(before)


# ---- the bridge alone

DRIVE = (PREFIX if PREFIX != "cvt" else "br") + "g"


@pytest.fixture
def rig(build):
    for name in leftovers(DRIVE):
        run("ip", "netns", "del", name, check=False)
    rig = Rig(DRIVE, build, "netns")
    yield rig
    rig.close()


def domains(bridge, numbers):
    for n in numbers:
        bridge.call("domain", id=n, name=f"d{n}")
        bridge.call("interface", id=n, domain=n, name=f"w{n}", addresses=["192.0.2.1/24"])


def names(rig):
    return {n.split()[0] for n in run("ip", "netns", "list").stdout.split("\n") if n.startswith(rig.prefix + "-own")}


def test_two_prefixes_of_one_host(rig, build):
    """The names of the one begin with the prefix of the other."""
    rig.start_bridge(launcher="")
    other = Rig(DRIVE, build, "netns")
    try:
        other.start_bridge(launcher="", prefix=DRIVE + "-own-b", run_dir=os.path.join(other.dir, "b"))
        domains(rig.bridge, [7])
        domains(other.bridge, [8])
        rig.bridge.call("sweep")
        other.bridge.call("sweep")
        assert names(rig) == {DRIVE + "-own-d7", DRIVE + "-own-b-d8"}
        other.bridge.kill()
        other.bridge = None
        rig.bridge.call("sweep")
        assert DRIVE + "-own-b-d8" in names(rig)
    finally:
        other.wire.close()
        if other.bridge:
            other.bridge.end()


def restart(rig, **owner):
    rig.bridge.kill()
    bridge = rig.start_bridge(launcher="")
    bridge.call("owner", **{"store": 1, "edge": "one", **owner})
    return bridge


def test_too_many_at_once(rig):
    bridge = rig.start_bridge(launcher="")
    bridge.call("owner", store=1, edge="one")
    domains(bridge, range(10, 30))
    hold = [bridge.queue(n) for n in range(10, 30)]
    before = names(rig)
    bridge = restart(rig)
    domains(bridge, [10, 11])
    refused = bridge.call("sweep", check=False)
    assert refused["result"] < 0 and "18 host interfaces and 18 routing domains" in refused["error"], refused
    assert names(rig) == before
    # two of them were deleted by somebody, says the store: sixteen may go
    bridge.call("sweep", deleted=[12, 13], deleted_interfaces=True)
    assert names(rig) == {rig.space("d10"), rig.space("d11")}
    for fd in hold:
        os.close(fd)


def test_too_many_when_told_so(rig):
    bridge = rig.start_bridge(launcher="")
    domains(bridge, range(10, 30))
    rig.bridge.kill()
    bridge = rig.start_bridge(launcher="")
    domains(bridge, [10])
    assert bridge.call("sweep", check=False)["result"] < 0
    bridge.call("sweep", force=True)
    assert names(rig) == {rig.space("d10")}


def test_marks_of_another_store(rig):
    bridge = rig.start_bridge(launcher="")
    bridge.call("owner", store=1, edge="one")
    domains(bridge, [7, 8])
    before = names(rig)
    bridge = restart(rig, store=2)
    since = len(bridge.events)
    bridge.call("claims")
    claims = bridge.wait_event("claims", since=since)
    assert claims["foreign"] == 2 and claims["edge"] == "one" and claims["domains"] == 2
    refused = bridge.call("domain", check=False, id=7, name="d7")
    assert refused["result"] < 0 and "belongs to edge" in refused["error"]
    assert bridge.call("sweep", check=False)["result"] < 0
    assert names(rig) == before
    bridge.call("adopt")
    domains(bridge, [7])
    bridge.call("sweep")
    assert names(rig) == {rig.space("d7")}


def test_a_namespace_that_was_there_before(rig):
    """A domain's name is taken by a namespace that has no mark: it is used, what is in it stays, and so does it."""
    run("ip", "netns", "add", rig.space("d7"))
    rig.on_close(lambda: run("ip", "netns", "del", rig.space("d7"), check=False))
    run("ip", "netns", "exec", rig.space("d7"), "ip", "tuntap", "add", "theirs0", "mode", "tap")
    bridge = rig.start_bridge(launcher="")
    domains(bridge, [7])
    bridge.call("sweep")
    assert "theirs0" in run("ip", "-n", rig.space("d7"), "link").stdout
    bridge.call("domain-delete", id=7)
    assert rig.space("d7") in names(rig)
    links = run("ip", "-n", rig.space("d7"), "link").stdout
    assert "theirs0" in links and "w7" not in links


def test_the_mark_says_what_is_there(rig):
    bridge = rig.start_bridge(launcher="")
    bridge.call("owner", store=17, edge="one")
    domains(bridge, [7])
    path = os.path.join(rig.run_dir, "marks", rig.space("d7"))

    def said():
        with open(path) as f:
            return dict(line.strip().split("=") for line in f if not line.startswith("#"))

    wait_for(lambda: said()["interfaces"] == "1", 5, "the mark counts the interface")
    assert said()["store"] == "11111111-1111-1111-1111-111111111111" and said()["edge"] == "one"
    assert said()["inode"] == str(os.stat("/run/netns/" + rig.space("d7")).st_ino)
    os.unlink(path)
    wait_for(lambda: os.path.exists(path), 5, "the mark is put back")
