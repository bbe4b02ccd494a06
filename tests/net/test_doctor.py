# SPDX-License-Identifier: BSD-3-Clause
"""`doctor`: what of the machine stands in the way is told, and the command that it gives mends it."""

import ctypes
import json
import os

import pytest
from lab import wait_for

from conftest import start_lab


@pytest.fixture(scope="module")
def lab(build):
    lab = start_lab(build, "netns")
    yield lab
    lab.close()


def found(lab, state="warning"):
    done = lab.ctl("--json", "doctor", check=False)
    items = json.loads(done.stdout)["items"]
    assert done.returncode == int(any(i["state"] == "warning" for i in items)), done.stderr
    for i in items:
        assert i["message"] and bool(i["fix"]) == (i["state"] == "warning"), i
    return {(i["check"], i["object"]): i for i in items if i["state"] == state}


def mend(lab, items):
    for key, item in items.items():
        done = lab.edge.run("sh", "-c", item["fix"], check=False)
        assert done.returncode == 0, f"{key}: {item['fix']}: {done.stderr}"


def restart_daemon(lab):
    lab.daemon.stop()
    lab.start_daemon()
    wait_for(lambda: lab.ctl("version", check=False).returncode == 0, 10, "culvertd answers")


def devices(items):
    return {key: item for key, item in items.items() if key[1] in ("wan0", "wan1", "core0")}


def test_each_fault_is_told_and_its_command_mends_it(lab):
    mend(lab, devices(found(lab)))  # what the lab itself has: the devices' link-local addresses
    wait_for(lambda: not devices(found(lab)), 5, "nothing is wrong with the devices")
    lab.edge.ip("link", "set", "wan1", "mtu", 1500)
    lab.edge.ip("addr", "add", "203.0.113.1/24", "dev", "wan1")
    lab.edge.sysctl("net.ipv4.conf.wan0.forwarding", 1)
    lab.edge.run("ethtool", "-K", "wan0", "gro", "on")
    lab.edge.ip("link", "set", "core0", "down")
    faults = {("mtu", "wan1"), ("addresses", "wan1"), ("forwarding", "wan0"), ("offloads", "wan0"), ("device", "core0")}
    wrong = devices(found(lab))
    assert set(wrong) == faults, wrong
    assert wrong["mtu", "wan1"]["fix"] == "ip link set dev wan1 mtu 1504"  # two tags, one of which passes beside the MTU
    text = lab.ctl("doctor", check=False).stdout
    for item in wrong.values():
        assert f"fix: {item['fix']}\n" in text and item["message"] in text, text
    mend(lab, wrong)
    assert not devices(found(lab)), found(lab)
    lab.edge.ip("link", "set", "wan1", "mtu", 1508)
    for c in lab.customers:
        wait_for(lambda c=c: lab.reaches_vnet(c), 20, f"{c.name} reaches its vNet again")


def test_a_device_of_another_namespace_is_not_taken_for_one_of_its_name(lab):
    with open(lab.node_path) as f:
        node = f.read()
    lab.edge.ip("link", "set", "wan1", "mtu", 1500)
    assert ("mtu", "wan1") in found(lab)
    try:
        with open(lab.node_path, "w") as f:
            f.write(node.replace("device: wan1", "device: wan1, netns: elsewhere"))
        restart_daemon(lab)
        wait_for(lambda: ("opened", "wan1") in found(lab, "ok"), 10, "the data plane has told of its ports")
        unknown = found(lab, "unknown")
        assert "network namespace elsewhere" in unknown["device", "wan1"]["message"]
        told = {**found(lab), **found(lab, "ok"), **unknown}
        assert {check for check, of in told if of == "wan1"} == {"device", "opened"}, told
    finally:
        with open(lab.node_path, "w") as f:
            f.write(node)
        lab.edge.ip("link", "set", "wan1", "mtu", 1508)
        restart_daemon(lab)


def test_the_clock(lab):
    words = (ctypes.c_ulong * 64)()
    assert ctypes.CDLL(None, use_errno=True).adjtimex(words) >= 0
    unsynchronised = ctypes.cast(words, ctypes.POINTER(ctypes.c_int))[10] & 0x40  # timex.status, STA_UNSYNC
    assert (("clock", "") in found(lab)) == bool(unsynchronised)


def test_what_the_machine_lacks(lab):
    assert ("speaker", "/usr/sbin/bird") in found(lab, "ok")
    assert {key[0] for key in {**found(lab), **found(lab, "ok"), **found(lab, "unknown")}} >= {"clock", "neighbors", "hugepages", "processors", "descriptors", "store", "speaker"}
    os.rename(lab.node_path, lab.node_path + ".whole")
    try:
        with open(lab.node_path + ".whole") as f:
            node = f.read()
        with open(lab.node_path, "w") as f:
            f.write(node.replace("hugepages: false", "hugepages: true").replace("workers: 1", "workers: 16").replace("speaker: /", "speaker: /nowhere/"))
        restart_daemon(lab)
        wait_for(lambda: lab.ctl("doctor", check=False).returncode == 1, 10, "doctor answers")
        wrong = found(lab)
        assert any(check == "speaker" and "/nowhere/" in of for check, of in wrong), wrong
        if os.sysconf("SC_NPROCESSORS_ONLN") < 16:
            assert ("processors", "") in wrong
        with open("/proc/meminfo") as f:
            none = "HugePages_Total:       0" in f.read()
        if none:
            assert wrong["hugepages", ""]["fix"] == "sysctl -w vm.nr_hugepages=256"
    finally:
        os.rename(lab.node_path + ".whole", lab.node_path)
        restart_daemon(lab)
