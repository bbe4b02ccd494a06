# SPDX-License-Identifier: BSD-3-Clause
"""An edge in strange company: stores, files and programs that are not what they should be, and the other edge of
the pair. Each is said clearly, and what ran before goes on."""

import contextlib
import os
import shlex
import shutil
import signal
import socket
import sys

import pytest
from demo import PingTrain
from edge import EdgeLab, host
from lab import run, wait_for

import conftest
from conftest import start_lab
from test_kills import speaker_pids


@pytest.fixture(scope="module")
def lab(build):
    lab = start_lab(build, "netns")
    yield lab
    lab.print_logs(sys.stderr)
    lab.close()


@contextlib.contextmanager
def nothing_lost(lab):
    trains = [PingTrain(lab, c, 0.005, 120) for c in lab.customers]
    yield
    for c, train in zip(lab.customers, trains):
        lost, sent = train.lost()
        assert lost == 0, f"{c.name} lost {lost} of {sent}"


@contextlib.contextmanager
def node_file(lab, old, new):
    """culvertd and, at its next start, the data plane run with another node file."""
    with open(lab.node_path) as f:
        text = f.read()
    assert old in text
    with open(lab.node_path, "w") as f:
        f.write(text.replace(old, new))
    try:
        yield
    finally:
        with open(lab.node_path, "w") as f:
            f.write(text)


def restart_daemon(lab):
    lab.daemon.stop()
    lab.start_daemon()
    wait_for(lambda: lab.ctl("status", check=False).returncode in (0, 1), 10, "culvertd answers")


def whole(lab):
    wait_for(lab.synced, 10, "synced")
    for c in lab.customers:
        wait_for(lambda c=c: lab.whose_vnet(c) == c.vnet, 15, f"{c.name} reaches its own vNet")


def test_an_older_copy_of_the_store_sweeps_nothing(lab):
    store = os.path.join(lab.dir, "culvert.db")
    lab.daemon.stop()
    shutil.copy(store, store + ".old")
    restart_daemon(lab)
    lab.ctl("vnet", "create", "acme-new", "--customer", "acme", "--prefixes", "10.99.0.0/16")
    wait_for(lab.synced, 5, "synced")
    lab.daemon.stop()
    shutil.copy(store, store + ".new")
    shutil.copy(store + ".old", store)
    with nothing_lost(lab):
        restart_daemon(lab)
        wait_for(lambda: lab.status()["dataplane"]["state"] == "refused", 10, "refused")
        assert "later revision" in lab.status()["dataplane"]["error"]
        assert lab.status()["dataplane"]["hint"]
        lab.daemon.stop()
        shutil.copy(store + ".new", store)
        restart_daemon(lab)
        wait_for(lab.synced, 10, "the newer store again")
    lab.ctl("vnet", "delete", "acme-new")


def test_strangers_at_the_data_planes_socket(lab):
    """Nobody controls the data plane, and these would: what they say is cut off without harm."""
    lab.daemon.kill()
    header = bytes.fromhex("54525643")
    with nothing_lost(lab):
        for message in (b"", b"x", b"\0" * 23, header, header + b"\0" * 20, b"\xff" * 4096, os.urandom(60000)):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
                s.settimeout(5)
                s.connect(os.path.join(lab.dir, "dataplane.sock"))
                with contextlib.suppress(OSError):
                    s.send(message)
                    s.recv(65536)
        assert lab.dataplane.alive()
        lab.start_daemon()
        wait_for(lab.synced, 10, "synced")


def test_a_launcher_that_is_not_there(lab):
    with node_file(lab, "tools/culvert-speaker", "tools/no-such-launcher"):
        restart_daemon(lab)
        wait_for(lab.synced, 10, "synced")
        whole(lab)  # the BIRDs are there, and are found
        os.kill(speaker_pids(lab)[0], signal.SIGKILL)
        wait_for(lambda: "no-such-launcher" in lab.daemon.log(), 10, "it says which program is missing")
        said = [p["message"] for p in lab.status()["problems"]]
        wait_for(lambda: any("BGP daemon" in p["message"] for p in lab.status()["problems"]), 10, f"a problem: {said}")
    restart_daemon(lab)
    wait_for(lambda: all(lab.session(c) == "established" for c in lab.customers), 20, "sessions")
    whole(lab)


@pytest.mark.parametrize("what", ["garbage", "other size"])
def test_a_stats_segment_that_cannot_be_taken_up(lab, what):
    path = lab.stats
    lab.dataplane.kill()
    size = os.path.getsize(path)
    with open(path, "r+b") as f:
        if what == "garbage":
            f.write(b"\xa5" * 4096)
        else:
            f.truncate(size + 8192)
    lab.start_dataplane()
    whole(lab)
    assert "unusable" in lab.dataplane.log()
    assert lab.circuit_packets(lab.acme) > 0
    os.unlink(path + ".unusable")


def test_a_port_that_the_node_does_not_have(lab):
    line = [line for line in lab.node_file().split("\n") if line.startswith("  wan1:")][0] + "\n"
    lab.dataplane.kill()
    lab.daemon.kill()
    with node_file(lab, line, ""):
        lab.start_dataplane()
        lab.start_daemon()
        wait_for(lambda: lab.whose_vnet(lab.acme) == lab.acme.vnet, 15, "acme, whose port is there")
        problems = wait_for(lambda: [p for p in lab.status()["problems"] if "wan1" in p["object"] + p["message"]], 5, "the port is named as a problem")
        assert problems
    for name in ("dataplane", "daemon"):
        getattr(lab, name).kill()
        getattr(lab, "start_" + name)()
    whole(lab)


def test_too_little_memory_or_no_device_ends_at_once(lab):
    line = run(lab.program("control/culvertd"), "--config", lab.node_path, "--dataplane-args").stdout.strip()
    for old, new in (("wan0=wan0", "wan0=wan9"), ("dataplane.sock", "other.sock"), (lab.stats, lab.stats.replace("-stats", "-other"))):
        assert old in line
        line = line.replace(old, new)
    done = lab.edge.run(*shlex.split(line), check=False)
    assert done.returncode not in (0, -6, -11)
    said = [line for line in done.stderr.split("\n") if "error" in line and ("wan0" in line or "wan9" in line)]
    assert len(said) == 1, done.stderr
    for suffix in ("", ".lock"):
        with contextlib.suppress(OSError):
            os.unlink(lab.stats.replace("-stats", "-other") + suffix)


def test_equal_subnets_are_refused_where_domains_share_a_namespace(lab, build):
    path = os.path.join(lab.dir, "table.yaml")
    with open(path, "w") as f:
        f.write(lab.node_file().replace("host-domain: netns", "host-domain: table"))
    done = run(lab.program("control/culvertd"), "--config", path, "--check", lab.model_path, check=False)
    assert done.returncode == 6, done
    assert "169.254.10.0/30" in done.stderr + done.stdout


def test_two_edges_of_one_model(lab, build):
    """The same model on the other edge of the pair: it realises its own half, and knows of ours."""
    other = EdgeLab(conftest.PREFIX + "o", build)
    try:
        other.edge = other.netns("edge")
        for port in ("wan0", "wan1", "core0"):
            other.edge.ip("link", "add", port, "type", "veth", "peer", "name", port + "-far")
            for end in (port, port + "-far"):
                other.edge.ip("link", "set", end, "up")
        node = other.node_file
        other.node_file = lambda: node().replace("ams1-edge1", "ams1-edge2")
        # what was applied here has made-up service keys by now: the same model is the one that is shown
        text = lab.ctl("config", "show").stdout
        other.model = lambda: text
        other.start_edge()
        wait_for(other.synced, 10, "synced")
        assert other.ctl("config", "show").stdout == lab.ctl("config", "show").stdout
        for c in other.customers:
            def state(edge, c=c):
                return next(link["state"] for link in other.circuit_status(c)["links"] if link["edge"] == edge)

            wait_for(lambda: state("ams1-edge2") != "unknown", 12, "its own link has been heard of")
            assert state("ams1-edge1") == "unknown"
        addresses = "".join(run("ip", "-n", f"{other.kernel_prefix}-{c.circuit}-private", "-o", "-4", "addr").stdout for c in other.customers)
        assert addresses.count(host("169.254.10.4/30", 2) + "/30") == 2 and host("169.254.10.0/30", 2) not in addresses, addresses
        assert other.status()["dataplane"]["installed"]["tunnels"] == lab.status()["dataplane"]["installed"]["tunnels"] == 2
        whole(lab)
    finally:
        other.close()
