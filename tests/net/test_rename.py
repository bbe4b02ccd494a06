# SPDX-License-Identifier: BSD-3-Clause
"""An object gets another name while traffic flows: nothing is lost, no session ends, the data plane is told nothing, and
nothing in the kernel or in the daemons' files is another."""

import json
import os

import pytest
from demo import PingTrain
from lab import run, wait_for

from test_guard import restart_daemon
from test_kills import kernel_state, speaker_pids


def addresses(lab):
    """Of every namespace of ours: addresses, routes and rules, as the kernel has them."""
    found = {}
    for name in kernel_state(lab):
        for what in (["-o", "address"], ["route", "show", "table", "all"], ["-6", "route", "show", "table", "all"], ["rule"], ["neigh"]):
            shown = run("ip", "-n", name, *what).stdout
            found[name, " ".join(what)] = sorted(line for line in shown.split("\n") if what != ["neigh"] or "PERMANENT" in line or "managed" in line)
    return found


def daemon_files(lab):
    """What every BGP daemon of ours reads, with the times at which it was written."""
    found = {}
    for where, _, names in os.walk(os.path.join(lab.dir, "run", "bird")):
        for name in names:
            path = os.path.join(where, name)
            if ".conf" in name or name == "bird.told":
                with open(path) as f:
                    found[path] = (os.stat(path).st_mtime_ns, f.read())
    return found


def session(lab, peering):
    rows = lab.json("peering", "status", peering)["items"]
    return [(row["link"], row["session"], row["since"], row["remote"]) for row in rows]


def state_of(lab, circuit):
    row = next(c for c in lab.json("circuit", "status", circuit)["items"] if c["circuit"] == circuit)
    return row["state"], row["reason"], [(link["link"], link["state"]) for link in row["links"]]


def records(lab):
    return lab.status()["dataplane"]["records"]["sent"]


@pytest.fixture
def acme(edge):
    """acme has traffic all the time, and loses none of it."""
    train = PingTrain(edge, edge.acme, 0.001, 60)
    train.run_on(50)
    yield edge.acme
    lost, sent = train.lost()
    assert lost == 0, f"acme lost {lost} of {sent}"


def untouched(lab):
    return kernel_state(lab), sorted(speaker_pids(lab)), addresses(lab), daemon_files(lab), records(lab)


def test_a_circuit(edge, acme):
    old, new = acme.circuit, "acme-ams-1"
    wait_for(edge.synced, 10, "synced")
    wait_for(lambda: edge.session(acme) == "established", 10, "up")
    before, established, state = untouched(edge), session(edge, f"{old}/private"), state_of(edge, old)
    packets = edge.circuit_packets(acme)
    shown = edge.ctl("rename", "circuit", old, new).stdout
    assert f"~ circuit {new} was {old} (no traffic effect)" in shown, shown
    assert f"~ connection {new}/{acme.vnet} was {old}/{acme.vnet}" in shown, shown
    assert edge.ctl("circuit", "show", old, check=False).returncode == 3
    assert session(edge, f"{new}/private") == established
    assert state_of(edge, new) == state
    stats = edge.json("circuit", "stats", new)
    carried = sum(link["in"]["packets"] + link["out"]["packets"] for link in stats["links"] if link["edge"] == "ams1-edge1")
    assert carried >= packets, "its counters begin anew"
    routes = edge.json("route", "list", "--circuit", new)["items"]
    assert {route["domain"] for route in routes} == {f"peering/{new}/private"}
    assert not [p for p in edge.status()["problems"] if old in json.dumps(p)], edge.status()["problems"]
    after = untouched(edge)
    for b, a in zip(before, after):
        assert a == b
    # who asks for its past finds it under either name
    edge.ctl("circuit", "set", new, "--burst", "77ms")
    for name in (old, new):
        verbs = [row["verb"] for row in edge.json("audit", "list", "--object", name)["items"]]
        assert "circuit.rename" in verbs and "config.apply" in verbs, (name, verbs)
    # the name is free, and its namespace's name is not
    edge.ctl("circuit", "rename", new, old)
    wait_for(edge.synced, 10, "synced")
    assert session(edge, f"{old}/private") == established
    assert kernel_state(edge) == before[0] and daemon_files(edge) == before[3]


def test_its_vnet_and_customer(edge, acme):
    wait_for(edge.synced, 10, "synced")
    before, established = untouched(edge), session(edge, f"{acme.circuit}/private")
    edge.ctl("vnet", "rename", acme.vnet, "acme-main")
    edge.ctl("customer", "rename", "acme", "acme-inc")
    assert edge.json("circuit", "show", acme.circuit)["object"]["customer"] == "acme-inc"
    assert [c["full_name"] for c in edge.json("connection", "list", "--circuit", acme.circuit)["items"]] == [f"{acme.circuit}/acme-main"]
    assert session(edge, f"{acme.circuit}/private") == established
    for b, a in zip(before, untouched(edge)):
        assert a == b
    edge.ctl("vnet", "rename", "acme-main", acme.vnet)
    edge.ctl("customer", "rename", "acme-inc", "acme")
    assert records(edge) == before[4]


def test_two_names_change_places(edge, acme):
    """In one revision, and under traffic of both."""
    globex = edge.globex
    train = PingTrain(edge, globex, 0.001, 60)
    train.run_on(50)
    wait_for(edge.synced, 10, "synced")
    before = untouched(edge)
    sessions = [session(edge, f"{c.circuit}/private") for c in (acme, globex)]
    batch = os.path.join(edge.dir, "swap")
    with open(batch, "w") as f:
        f.write(f"circuit rename {acme.circuit} aside\ncircuit rename {globex.circuit} {acme.circuit}\ncircuit rename aside {globex.circuit}\n")
    edge.ctl("batch", batch)
    wait_for(lambda: [session(edge, f"{c.circuit}/private") for c in (globex, acme)] == sessions, 5, "each has the other's name")
    assert [edge.json("circuit", "show", c.circuit)["object"]["customer"] for c in (globex, acme)] == ["acme", "globex"]
    for b, a in zip(before, untouched(edge)):
        assert a == b
    # a restart finds everything as it is
    restart_daemon(edge)
    wait_for(edge.synced, 20, "synced")
    wait_for(lambda: [session(edge, f"{c.circuit}/private") for c in (globex, acme)] == sessions, 15, "the same sessions")
    assert kernel_state(edge) == before[0] and sorted(speaker_pids(edge)) == before[1]
    edge.ctl("batch", batch)
    lost, sent = train.lost()
    assert lost == 0, f"globex lost {lost} of {sent}"


def test_the_name_of_one_that_was_renamed_is_free(edge, acme):
    """A new circuit may have it at once, beside the namespace that still bears it."""
    old, new = acme.circuit, "acme-ams-1"
    before = kernel_state(edge)
    edge.ctl("circuit", "rename", old, new)
    try:
        edge.ctl("circuit", "create", old, "--customer", "acme", "--bandwidth", "50mbps", "--link", "primary:ams1-edge1/wan0:777",
                 "--peering", "private,primary-subnet=169.254.77.0/30,peer-asn=65001,local-asn=64900")
        wait_for(lambda: len(kernel_state(edge)) == len(before) + 1 or edge.host_domain != "netns", 10, "a namespace more")
        wait_for(lambda: f"{old}/private" in json.dumps(edge.json("peering", "status")), 10, "its session is told of")
        assert set(before) <= set(kernel_state(edge))
        assert not [p for p in edge.status()["problems"] if p["object"].startswith("domain/")]
    finally:
        edge.ctl("circuit", "delete", old, check=False)
        edge.ctl("circuit", "rename", new, old)
    wait_for(lambda: kernel_state(edge).keys() == before.keys(), 10, "as before")
