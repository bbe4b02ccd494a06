# SPDX-License-Identifier: BSD-3-Clause
"""`status` is green on an edge where all is well, and red, with the object and the next command, for what is not."""

import contextlib
import json
import os
import re
import signal
import socket
import time

import pytest
from edge import PREMISES, VNET, host
from lab import run, wait_for

from conftest import running_lab


@pytest.fixture(scope="module")
def lab(request, build):
    with running_lab(request, build, "netns") as lab:
        wait_for(lambda: lab.status()["problems"] == [], 20, f"green: {lab.status()['problems']}")
        yield lab


def problem(lab, name):
    return next((p for p in lab.status()["problems"] if p["object"] == name), None)


def verdict(lab, *words):
    done = lab.ctl(*(words or ("status", "--monitoring")), check=False)
    return done.returncode, done.stdout


def green(lab):
    wait_for(lambda: verdict(lab)[0] == 0, 90, f"green again: {lab.status()['problems']}")


def test_all_is_well(lab):
    assert verdict(lab) == (0, "OK: edge ams1-edge1\n")
    assert verdict(lab, "status")[0] == 0
    for c in lab.customers:
        assert verdict(lab, "circuit", "check", c.circuit)[0] == 0


def test_a_dead_core_port(lab):
    lab.core.ip("link", "set", "edge0", "down")
    try:
        dead = wait_for(lambda: problem(lab, "port/core0"), 10, "the port is named")
        assert dead["level"] == "error" and "port list" in dead["hint"] and "core0" in dead["hint"]
        for c in lab.customers:
            wait_for(lambda c=c: problem(lab, f"tunnel/{c.vnet}"), 10, "what hangs on it is named")
        code, line = verdict(lab)
        assert code == 2 and line.startswith("CRITICAL: edge ams1-edge1: ") and line.count("\n") == 1
        assert verdict(lab, "status")[0] == 1
    finally:
        lab.core.ip("link", "set", "edge0", "up")
    green(lab)


def test_a_router_that_does_not_answer(lab):
    """Behind a wrong tag nobody answers ARP. Without BGP nothing else can tell, so that tells: what was asked, where, why."""
    c, peering = lab.acme, f"{lab.acme.circuit}/private"
    green(lab)
    lab.ctl("peering", "set", peering, "--routes", PREMISES)
    c.router.ip("route", "replace", VNET, "via", host(c.subnet, 2))
    try:
        wait_for(lambda: lab.reaches_vnet(c), 15, "without BGP all is well")
        wait_for(lambda: verdict(lab, "circuit", "check", c.circuit)[0] == 0, 10, "and told to be")
        lab.ctl("link", "set", f"{c.circuit}/primary", "--outer-tag", "101")
        code, text = wait_for(lambda: (lambda v: v if v[0] == 1 else None)(verdict(lab, "circuit", "check", c.circuit)), 90, "not well")
        for word in (host(c.subnet, 1), "does not answer ARP", "wan0", "VLAN 101"):
            assert word in text, text
        told = problem(lab, f"circuit/{c.circuit}")
        assert told["level"] == "error" and c.circuit in told["hint"] and "VLAN 101" in told["message"]
        c.router.run("ping", "-c", 1, "-W", 1, VNET.split("/")[0], check=False)  # his frames come with VLAN 100
        wait_for(lambda: "his tags may be others" in verdict(lab, "circuit", "check", c.circuit)[1], 10, "the likely reason")
        [item] = [n for n in lab.json("neighbor", "list", "--circuit", c.circuit)["items"]]
        assert item["state"] == "unresolved"
    finally:
        lab.ctl("link", "set", f"{c.circuit}/primary", "--outer-tag", "100")
        lab.ctl("peering", "set", peering, "--unset", "routes")
        c.router.ip("route", "del", VNET, "via", host(c.subnet, 2), check=False)
    wait_for(lambda: lab.session(c) == "established", 60, "BGP again")
    green(lab)


def neighbor(lab, netns, address):
    shown = run("ip", "-n", netns, "neigh", "show", address).stdout
    return shown.split()[2], shown


@pytest.mark.parametrize("how", ["permanent", "reachable"])
@pytest.mark.parametrize("whose", ["core", "customer"])
def test_a_neighbor_that_somebody_writes_over(lab, whose, how):
    """With a wrong address packets to it are lost, and nobody asks who has it: what is ours is put back, and told."""
    c = lab.acme
    netns, address = (lab.kernel_prefix + "-underlay", "192.0.2.2") if whose == "core" else (lab.domain_netns(c), host(c.subnet, 1))
    device, _ = neighbor(lab, netns, address)
    drift = lab.status()["bridge"]["drift"]
    run("ip", "-n", netns, "neigh", "replace", address, "lladdr", "02:00:00:00:00:99", "dev", device, "nud", how)
    wait_for(lambda: lab.status()["bridge"]["drift"] > drift, 5, "noticed")
    wait_for(lambda: "02:00:00:00:00:99" not in neighbor(lab, netns, address)[1] and "managed" in neighbor(lab, netns, address)[1], 5, "put back")
    wait_for(lambda: lab.reaches_vnet(c), 5, "packets go where they belong")
    told = wait_for(lambda: problem(lab, "kernel/drift"), 5, "told")
    assert "written over" in told["message"] and told["hint"] and told["level"] == "warning"
    assert verdict(lab)[0] == 1
    # what the data plane has is what is there
    item = next(n for n in lab.json("neighbor", "list")["items"] if n["address"] == address)
    assert item["state"] == "usable" and item["mac"] != "02:00:00:00:00:99"


def bare(lab, tmp_path, more="", roles='  - {uid: "0", role: admin}\n'):
    """A culvertd beside the lab's, without a data plane and without an edge in its model."""
    node = tmp_path / "node.yaml"
    node.write_text(f"edge: elsewhere\nhost-domain: netns\nkernel-prefix: {lab.kernel_prefix}y\nrun-dir: {tmp_path}/run\nstore: {tmp_path}/store.db\n"
                    f"socket: {tmp_path}/sock\n{more}roles:\n{roles}ports:\n  p0: {{device: p0}}\ndataplane: {{socket: {tmp_path}/dp.sock}}\n")
    daemon = lab.edge.start(f"bare-{tmp_path.name}", lab.program("control/culvertd"), "--config", str(node))

    def ctl(*words):
        return run(lab.program("tools/culvertctl/culvertctl"), "-s", f"{tmp_path}/sock", *words, check=False)

    wait_for(lambda: ctl("version").returncode == 0 or not daemon.alive(), 10, "it answers")
    return daemon, ctl


def test_the_end_of_a_hold_without_a_data_plane(lab, tmp_path):
    daemon, ctl = bare(lab, tmp_path)
    try:
        wait_for(lambda: json.loads(ctl("--json", "status").stdout)["dataplane"]["state"] == "held", 10, "held back")
        assert ctl("edge", "create", "elsewhere").returncode == 0
        wait_for(lambda: json.loads(ctl("--json", "status").stdout)["dataplane"]["state"] == "down", 5, "there is none, and it is not held")
        told = json.loads(ctl("--json", "status").stdout)
        [one] = [p for p in told["problems"] if p["object"] == "data-plane/elsewhere"]
        assert one["message"].startswith("down: nobody answers at") and "start culvert-dataplane" in one["hint"]
    finally:
        ended = daemon.stop()
        run("ip", "netns", "del", f"{lab.kernel_prefix}y-underlay", check=False)  # it stays on purpose
    assert ended == 0


def test_a_role_whose_owner_cannot_come(lab, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    roles = '  - {uid: "0", role: admin}\n  - {user: daemon, role: viewer}\n'
    daemon, ctl = bare(lab, one, roles=roles)
    try:
        [told] = [p for p in json.loads(ctl("--json", "status").stdout)["problems"] if p["object"] == "edge/roles"]
        assert 'user "daemon" has the role viewer and may not open' in told["message"] and "socket-mode" in told["hint"]
        assert "may not open the control socket" in daemon.log()
    finally:
        assert daemon.stop() == 0
    daemon, ctl = bare(lab, two, more='socket-mode: "0666"\n', roles=roles)
    try:
        assert not [p for p in json.loads(ctl("--json", "status").stdout)["problems"] if p["object"] == "edge/roles"]
    finally:
        assert daemon.stop() == 0


def told(lab):
    """Of one moment: monitoring's exit status and line, what it makes of the circuits and their sessions."""
    status = lab.status()
    circuits = lab.json("circuit", "list")["items"]
    return (verdict(lab), [(p["object"], p["message"]) for p in status["problems"]], {c["circuit"]: c["state"] for c in circuits},
            {p["peering"]: p["session"] for c in circuits for link in c["links"] if link["edge"] == "ams1-edge1" for p in link["peerings"]})


def test_a_start_of_culvertd_is_no_fault(lab):
    """Sessions and traffic go on without it; until it has heard of them they are unknown, and nobody is woken up."""
    green(lab)
    well, seen, speakers = told(lab), [], lab.speakers()
    for pid in speakers:
        os.kill(pid, signal.SIGSTOP)
    try:
        lab.daemon.kill()
        lab.start_daemon()
        wait_for(lambda: lab.ctl("status", check=False).returncode in (0, 1), 10, "it answers")
        began = time.monotonic()
        while time.monotonic() < began + 1.5:
            seen.append(told(lab))
    finally:
        for pid in speakers:
            os.kill(pid, signal.SIGCONT)
    for (code, line), problems, circuits, sessions in seen:
        assert code == 3 and re.match(r"UNKNOWN: edge ams1-edge1: (2 sessions not heard of yet|culvertd is still)", line) and problems == [], (line, problems)
        assert set(circuits.values()) == {"unknown"} == set(sessions.values()), (circuits, sessions)
    wait_for(lambda: seen.append(told(lab)) or seen[-1] == well, 5, "heard of", 0)
    for (code, line), problems, circuits, sessions in seen:
        assert code in (0, 3) and problems == [], (line, problems)
        assert set(circuits.values()) <= {*well[2].values(), "unknown"} and set(sessions.values()) <= {"established", "unknown"}, (circuits, sessions)


def test_a_router_that_starts_anew(lab):
    """Its end of the session is gone, his routes stay and carry (graceful restart): less than was sold, and not nothing."""
    green(lab)
    c = lab.acme
    c.router.ip("route", "replace", VNET, "via", host(c.subnet, 2), "metric", 999)  # his side goes on forwarding, too
    c.bird.kill()
    try:
        wait_for(lambda: verdict(lab)[0] != 0, 5, "noticed")
        code, line = verdict(lab)
        assert code == 1 and "routes are kept until" in line, line
        assert lab.reaches_vnet(c) and lab.circuit_status(c)["state"] == "degraded" and lab.own_peering(c)["accepted"] == 1
    finally:
        c.bird = lab.bird(c.router, "bird-" + c.name, c.bird_config())
        c.router.ip("route", "del", VNET, "via", host(c.subnet, 2), "metric", 999, check=False)
    wait_for(lambda: lab.session(c) == "established", 60, "BGP again")
    green(lab)


def test_monitoring_without_a_culvertd(lab, tmp_path):
    ask = lab.program("tools/culvertctl/culvertctl"), "-s"
    done = run(*ask, f"{tmp_path}/none", "status", "--monitoring", check=False)
    assert (done.returncode, done.stdout) == (2, f"CRITICAL: culvertd does not answer on {tmp_path}/none: No such file or directory\n")
    # The checkout may lie where only root may look.
    nobody = "setpriv", "--reuid", "65534", "--clear-groups", "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"
    done = run(*nobody, *ask, lab.socket, "status", "--monitoring", check=False)
    assert (done.returncode, done.stdout) == (3, "UNKNOWN: uid 65534 has no role on this control socket\n")
    with contextlib.ExitStack() as crowd:
        for _ in range(200):
            crowd.enter_context(socket.socket(socket.AF_UNIX)).connect(lab.socket)
        done = lab.ctl("status", "--monitoring", check=False)
    assert (done.returncode, done.stdout) == (3, "UNKNOWN: there are too many connections to the control socket\n"), done


def test_a_batch_that_is_too_large(lab, tmp_path):
    path = tmp_path / "batch"
    path.write_text("".join(f"customer create c{i} --description '{'x' * 100}'\n" for i in range(8000)))
    done = lab.ctl("batch", str(path), check=False)
    assert done.returncode == 2 and re.search(r"is \d+ bytes, more than the 1048576", done.stderr), done.stderr
    assert "hint: split it" in done.stderr and "config apply" in done.stderr


def test_a_link_that_is_not_there(lab):
    lab.ctl("circuit", "create", "lone", "--customer", lab.globex.name, "--bandwidth", "50mbps")
    try:
        done = lab.ctl("circuit", "stats", "lone", "--link", "secondary", check=False)
        assert done.returncode == 3 and 'no link named "lone/secondary"' in done.stderr and "hint: culvertctl link list" in done.stderr, done
    finally:
        lab.ctl("circuit", "delete", "lone")
