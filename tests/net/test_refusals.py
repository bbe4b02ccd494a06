# SPDX-License-Identifier: BSD-3-Clause
"""What is refused on a running edge: each with an error that names the object, and nothing half applied."""

import contextlib
import os
import re
import socket
import subprocess
import time

import pytest
from lab import run, wait_for

from conftest import start_lab


@pytest.fixture(scope="module")
def lab(build):
    lab = start_lab(build, "netns")
    yield lab
    lab.close()


def check(lab, text):
    path = os.path.join(lab.dir, "candidate.yaml")
    with open(path, "w") as f:
        f.write(text)
    return lab.ctl("config", "check", path, check=False)


BROKEN = [
    ("unknown key", "bandwidth: 50mbps", "bandwith: 50mbps", ["bandwith", "bandwidth"]),
    ("duplicate key", "    bandwidth: 50mbps\n", "    bandwidth: 50mbps\n    bandwidth: 50mbps\n", ["bandwidth", "duplicate"]),
    ("missing unit", "bandwidth: 50mbps", "bandwidth: 50", ["bandwidth", "unit"]),
    ("unknown port", "port: wan0, outer-tag: 100", "port: wan7, outer-tag: 100", ["wan7"]),
    ("GRE triple in use", "gateway: 198.51.100.21, local: 192.0.2.1, key: 7002", "gateway: 198.51.100.11, local: 192.0.2.1, key: 7001", ["7001", "acme-prod"]),
    ("overlapping prefixes", "prefixes: [10.9.0.0/16]", "prefixes: [10.9.0.0/16, 10.9.4.0/24]", ["10.9.4.0/24"]),
    ("VLAN in use", "port: wan1, outer-tag: 200, inner-tag: 10", "port: wan0, outer-tag: 100", ["wan0", "100"]),
    ("anchor", "  - name: acme\n", "  - &a\n    name: acme\n", ["anchor"]),
]


@pytest.mark.parametrize("what,old,new,words", BROKEN, ids=[b[0] for b in BROKEN])
def test_config_check_refuses(lab, what, old, new, words):
    text = lab.model()
    assert old in text
    done = check(lab, text.replace(old, new, 1))
    assert done.returncode == 6, done.stdout + done.stderr
    said = (done.stdout + done.stderr).lower()
    for word in words:
        assert word.lower() in said, said


def test_nothing_is_half_applied(lab):
    before = lab.ctl("config", "show").stdout
    path = os.path.join(lab.dir, "half.yaml")
    text = lab.model().replace("bandwidth: 50mbps", "bandwidth: 200mbps", 1).replace("port: wan1, outer-tag: 200", "port: nowhere, outer-tag: 200", 1)
    with open(path, "w") as f:
        f.write(text)
    done = lab.ctl("config", "apply", path, check=False)
    assert done.returncode == 6
    assert lab.ctl("config", "show").stdout == before


def test_a_check_says_what_apply_will_say(lab):
    path = os.path.join(lab.dir, "cut.yaml")
    with open(path, "w") as f:
        f.write("version: 1\n")
    applied = lab.ctl("config", "apply", path, check=False)
    assert applied.returncode == 1 and "would delete" in applied.stderr
    for words in (("config", "apply", path, "--check"), ("config", "diff", path), ("config", "check", path)):
        done = lab.ctl(*words, check=False)
        assert (done.returncode, done.stderr) == (1, applied.stderr), words
    done = lab.ctl("config", "apply", path, "--check", "--delete", check=False)
    assert done.returncode == 0, done.stderr


def apply_text(lab, text, *words):
    path = os.path.join(lab.dir, "applied.yaml")
    with open(path, "w") as f:
        f.write(text)
    return lab.ctl("config", "apply", path, *words, check=False)


def test_a_file_cut_off_at_an_item_is_refused(lab):
    """Whatever is shown begins and ends with the number of its objects; a file that was cut off in between is a file, too."""
    whole = lab.ctl("config", "show").stdout
    before = lab.json("config", "history", "--limit", "1")
    lines = whole.split("\n")
    ends = [i for i, line in enumerate(lines) if i > 2 and line.startswith(("- name:", "  - ")) or line and not line.startswith((" ", "-"))][3:]
    assert len(ends) > 8
    for end in ends:
        done = apply_text(lab, "\n".join(lines[:end]) + "\n", "--delete")
        assert done.returncode == 6 and "objects" in done.stderr and "hint:" in done.stderr, f"{lines[:end][-1]}: {done.stderr}"
    assert lab.json("config", "history", "--limit", "1") == before
    assert apply_text(lab, whole).stdout == "no change\n"


def test_an_established_session_is_not_left_out_by_mistake(lab):
    """One circuit less is neither many nor a tenth; but somebody works on it."""
    text = lab.model()
    for c in [lab.globex]:
        text = text.replace(lab.circuit_text(c), "").replace(lab.vnet_text(c), "")
    done = apply_text(lab, text)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f'"{lab.globex.circuit}", whose BGP session is established' in done.stderr and "--delete" in done.stderr, done.stderr
    assert lab.session(lab.globex) == "established"
    checked = check(lab, text)
    assert checked.returncode == 1 and checked.stderr == done.stderr, checked.stderr
    # what would be made, changed and taken away; what goes is told first
    assert re.search(r"ok, would make 0 objects, change \d+, take away \d+\n  - circuit globex-ams-01 ", checked.stdout), checked.stdout
    done = apply_text(lab, text, "--check", "--delete")
    assert done.returncode == 0, done.stderr
    # his peering is not enabled: then nobody does
    lab.ctl("peering", "set", f"{lab.globex.circuit}/private", "--enabled", "false")
    try:
        wait_for(lambda: apply_text(lab, text, "--check").returncode == 0, 10, "the session is down")
    finally:
        lab.ctl("peering", "set", f"{lab.globex.circuit}/private", "--enabled", "true")
    wait_for(lambda: lab.session(lab.globex) == "established", 30, "the session is back")


def test_a_part_of_an_established_session_is_not_left_out_by_mistake(lab):
    """The circuit stays, and what its session stands on goes."""
    text = lab.model()
    c = lab.globex
    circuit = lab.circuit_text(c)
    links, peerings, connections = (circuit.index(f"    {section}:") for section in ("links", "peerings", "connections"))
    route = f"      - {{prefix: {c.gateway}/32, via: 192.0.2.2}}\n"
    tunnel = f"      - {{edge: ams1-edge1, gateway: {c.gateway}, "
    tunnel = next(line + "\n" for line in text.split("\n") if line.startswith(tunnel))
    for gone, named in ((circuit[links:peerings], f'link "{c.circuit}/primary"'), (circuit[peerings:], f'peering "{c.circuit}/private", connection "{c.circuit}/{c.vnet}"'),
                        (circuit[connections:], f'connection "{c.circuit}/{c.vnet}"'), (tunnel, f'tunnel "{c.vnet}/ams1-edge1"'), (route, f'route "ams1-edge1/{c.gateway}"')):
        assert gone in text
        left = text.replace(gone, "", 1) if gone in (tunnel, route) else text.replace(circuit, circuit.replace(gone, ""))
        done = apply_text(lab, left)
        assert done.returncode == 1 and f"this would delete {named}, whose BGP session is established" in done.stderr and "--delete" in done.stderr, f"{gone}: {done}"
        checked = check(lab, left)
        assert checked.returncode == 1 and checked.stderr == done.stderr, checked.stderr
        assert apply_text(lab, left, "--check", "--delete").returncode == 0
        assert lab.session(c) == "established"


def test_files_that_are_no_files(lab):
    """Pipes are read to their end; a byte order mark is skipped; what is no text is named with its place."""
    culvertd, ctl = lab.program("control/culvertd"), lab.program("tools/culvertctl/culvertctl")
    model = lab.model().encode()
    for words in ([culvertd, "--check", "-"], [culvertd, "--check", "/dev/stdin"], [ctl, "-s", lab.socket, "config", "check", "-"]):
        for text in (model, b"\xef\xbb\xbf" + model):
            done = subprocess.run(words, input=text, capture_output=True, check=False)
            assert done.returncode == 0, f"{words}: {done.stderr}"
        for text, place in ((model.replace(b"name: globex", b"name: gl\0bex", 1), rb":\d+:13: error: control characters"), (model.replace(b"name: globex", b"name: gl\xffbex", 1), rb":\d+:13: error: .*UTF-8")):
            done = subprocess.run(words, input=text, capture_output=True, check=False)
            assert done.returncode == 6 and re.search(place, done.stderr), f"{words}: {done.stderr}"
    batch = subprocess.run([ctl, "-s", lab.socket, "batch", "-", "--check"], input=b"customer create a\ncustomer create b\0c\n", capture_output=True, check=False)
    assert batch.returncode == 2 and b"-:2: error: the line holds a NUL" in batch.stderr, batch.stderr
    password = os.path.join(lab.dir, "nul")
    with open(password, "wb") as f:
        f.write(b"se\0cret\n")
    done = lab.ctl("peering", "set", f"{lab.acme.circuit}/private", "--password", password, "--check", check=False)
    assert done.returncode == 2 and "NUL" in done.stderr, done.stderr


def test_bandwidth_is_not_lowered(lab):
    done = lab.ctl("circuit", "set", lab.globex.circuit, "--bandwidth", "50mbps", check=False)
    assert done.returncode in (1, 6)
    assert lab.globex.circuit in done.stderr and "hint:" in done.stderr


def test_a_password_that_breaks_the_speaker_is_refused(lab):
    secret = os.path.join(lab.dir, "password")
    with open(secret, "w") as f:
        f.write('x"; } protocol static { route 0.0.0.0/0 blackhole; } #')
    path = os.path.join(lab.dir, "password.yaml")
    with open(path, "w") as f:
        f.write(lab.model().replace("        peer-asn: 65010\n", f"        peer-asn: 65010\n        password: {{file: {secret}}}\n"))
    done = lab.ctl("config", "apply", path, check=False)
    assert done.returncode == 6
    assert "password" in done.stderr
    assert lab.session(lab.acme) == "established"


def test_unknown_object_and_usage(lab):
    done = lab.ctl("circuit", "show", "acme", check=False)
    assert done.returncode == 3
    assert 'no circuit named "acme"' in done.stderr
    assert lab.ctl("circuit", "frobnicate", check=False).returncode == 2
    assert run(lab.program("tools/culvertctl/culvertctl"), "-s", "/nonexistent.sock", "status", check=False).returncode == 4


def test_a_port_goes_by_both_of_its_names(lab):
    full = [p["full_name"] for p in lab.json("port", "list")["items"] if p["status"]]
    assert full
    for name in [*full, *(f.split("/")[1] for f in full)]:
        assert lab.ctl("drops", "--port", name, check=False).returncode == 0, name
        assert lab.json("port", "show", name)["object"]["full_name"] in full
        done = lab.ctl("port", "set", name, "--mtu", "1600", "--check", check=False)
        assert done.returncode == 0 and "~ port ams1-edge1/" in done.stdout, done.stderr
    for name, word in (("ams9/wan0", 'is not one of edge "ams1-edge1"'), ("wan9", 'no port named "wan9"')):
        done = lab.ctl("drops", "--port", name, check=False)
        assert (done.returncode, word in done.stderr) == (3, True), done.stderr


def test_what_a_circuit_loses_is_shown_on_both_sides(lab):
    def lost(c):
        return {i["interface"] for i in lab.json("drops", "--circuit", c.circuit)["items"] if i["reason"] == "no-route"}

    lab.acme.gateway_ns.run("ping", "-n", "-q", "-c", "1", "-W", "0.1", "10.77.0.1", check=False)
    wait_for(lambda: f"vnet/{lab.acme.vnet}" in lost(lab.acme), 5, "what came out of the vNet and has no route")
    assert f"vnet/{lab.acme.vnet}" not in lost(lab.globex)


def test_a_second_controller_is_refused(lab):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.settimeout(5)
        s.connect(os.path.join(lab.dir, "dataplane.sock"))
        # told so, or cut off at once; never served
        answer = s.recv(65536)
        assert len(answer) <= 64
    assert lab.synced()
    assert lab.reaches_vnet(lab.acme)


def test_a_foreign_store_does_not_sweep_the_network(lab):
    lab.daemon.stop()
    with open(lab.node_path) as f:
        node = f.read()
    with open(lab.node_path, "w") as f:
        f.write(node.replace("culvert.db", "other.db"))
    lab.start_daemon()
    wait_for(lambda: lab.ctl("status", check=False).returncode in (0, 1), 10, "culvertd answers")
    wait_for(lambda: lab.status()["dataplane"]["state"] == "held", 10, "nothing is told to anybody")
    for c in lab.customers:
        assert lab.ping(c, 20, 0.01) == 20
    lab.daemon.stop()
    with open(lab.node_path, "w") as f:
        f.write(node)
    lab.start_daemon()
    wait_for(lab.synced, 10, "own store again")
    assert all(lab.whose_vnet(c) == c.vnet for c in lab.customers)


def start_dataplane(lab, *more, port="net_null9"):
    words = [lab.program("dataplane/culvert-dataplane"), "--no-huge", "--no-shconf", "--no-pci", "--file-prefix", "cvt-start", "--vdev", "net_null9", *more,
             "--", "--socket", os.path.join(lab.dir, "start.sock"), "--stats", lab.stats.replace("-stats", "-start"), "--port", f"wan0={port}"]
    start = time.monotonic()
    done = run(*words, check=False)
    seconds = time.monotonic() - start
    with contextlib.suppress(FileNotFoundError):
        os.unlink(lab.stats.replace("-stats", "-start"))
    return done, seconds


@pytest.mark.parametrize("more,port,word", [(["-m", "256"], "net_nothere0", "net_nothere0"), (["-m", "4"], "net_null9", "memory")])
def test_dataplane_says_what_is_wrong_at_start(lab, more, port, word):
    done, seconds = start_dataplane(lab, *more, port=port)
    assert done.returncode not in (0, -6, -11)
    errors = [line for line in done.stderr.split("\n") if "error" in line.lower() and word in line]
    assert errors, done.stderr
    assert seconds < 5


def other_node(lab, name, **changes):
    """The lab's node file with another store, or another socket."""
    with open(lab.node_path) as f:
        text = f.read()
    for old, new in changes.values():
        assert old in text
        text = text.replace(old, new)
    path = os.path.join(lab.dir, name)
    with open(path, "w") as f:
        f.write(text)
    return path


def culvertd(lab, *words):
    return run("ip", "netns", "exec", lab.edge.name, lab.program("control/culvertd"), *words, check=False)


def test_exit_statuses_are_those_of_the_manual(lab):
    bad = os.path.join(lab.dir, "bad.yaml")
    with open(bad, "w") as f:
        f.write("version: 1\nnonsense: 3\n")
    same_socket = other_node(lab, "same-socket.yaml", store=("culvert.db", "second.db"))
    same_store = other_node(lab, "same-store.yaml", socket=(lab.socket, lab.socket + "2"))
    for status, word, *words in [
        (7, "another culvertd", "--config", same_socket),
        (7, "another process has it open", "--config", same_store),
        (7, "another", "--config", lab.node_path),
        (3, "/nonexistent", "--config", "/nonexistent.yaml"),
        (3, "/nonexistent", "--check", "/nonexistent.yaml"),
        (6, "nonsense", "--check", bad),
        (2, "usage", "--nonsense"),
        (2, "usage", "nonsense"),
    ]:
        done = culvertd(lab, *words)
        assert (done.returncode, word in done.stderr) == (status, True), f"{words}: {done.returncode} {done.stderr}"
    assert lab.synced()
    for status, *words in [
        (2, "circuit", "frobnicate"),
        (3, "circuit", "show", "nobody"),
        (3, "config", "check", "/nonexistent.yaml"),
        (6, "config", "check", bad),
        (7, "customer", "set", "acme", "--description", "x", "--if-revision", "99999"),
        (10, "config", "diff", "CHANGED"),
    ]:
        if words[-1] == "CHANGED":
            words[-1] = os.path.join(lab.dir, "changed.yaml")
            with open(words[-1], "w") as f:
                f.write(lab.model().replace("  - name: acme\n", "  - name: acme\n    description: somebody\n", 1))
        done = lab.ctl(*words, check=False)
        assert done.returncode == status, f"{words}: {done.returncode} {done.stderr}"


def test_exit_statuses_of_the_dataplane(lab):
    program, common = lab.program("dataplane/culvert-dataplane"), ["--no-huge", "--no-shconf", "--no-pci", "-m", "256", "--file-prefix", "cvt-start", "--vdev", "net_null9"]
    mine = ["--stats", lab.stats.replace("-stats", "-start"), "--socket", os.path.join(lab.dir, "start.sock")]
    for status, words in [
        (2, [*common, "--", "--nonsense"]),
        (3, [*common, "--", *mine, "--port", "wan0=net_nothere0"]),
        (5, [*common, "--", "--stats", lab.stats.replace("-stats", "-start"), "--socket", os.path.join(lab.dir, "dataplane.sock"), "--port", "wan0=net_null9"]),
        (5, [*common, "--", "--stats", lab.stats, "--socket", os.path.join(lab.dir, "start.sock"), "--port", "wan0=net_null9"]),
        (1, ["--no-huge", "--no-shconf", "--no-pci", "--nonsense", "--", *mine, "--port", "wan0=net_null9"]),
    ]:
        done = run(program, *words, check=False)
        assert done.returncode == status, f"{words}: {done.returncode} {done.stderr}"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(mine[1])


def test_a_link_that_is_held_back_says_so(lab):
    """An edge that the model does not know touches nothing: what was there goes on, and nobody refuses anything."""
    lab.daemon.stop()
    with open(lab.node_path) as f:
        node = f.read()
    with open(lab.node_path, "w") as f:
        f.write(node.replace("edge: ams1-edge1", "edge: ams1-egde1"))
    lab.start_daemon()
    wait_for(lambda: lab.ctl("status", check=False).returncode in (0, 1), 10, "culvertd answers")
    wait_for(lambda: lab.status()["dataplane"]["state"] == "held", 10, "nothing is told to anybody")
    done = lab.ctl("status", check=False)
    assert 'edge "ams1-egde1" of the node file is not in the model' in done.stdout and "refuse" not in done.stdout, done.stdout
    assert lab.ctl("drops", check=False).returncode == 4
    lab.daemon.stop()
    with open(lab.node_path, "w") as f:
        f.write(node)
    lab.start_daemon()
    wait_for(lab.synced, 10, "the right edge again")


def test_stats_segment_on_a_disk_is_refused(lab):
    words = [lab.program("dataplane/culvert-dataplane"), "--no-huge", "--no-shconf", "--no-pci", "-m", "256", "--file-prefix", "cvt-start", "--vdev", "net_null9",
             "--", "--socket", os.path.join(lab.dir, "start.sock"), "--stats", "/usr/cvt-stats", "--port", "wan0=net_null9"]
    done = run(*words, check=False)
    assert done.returncode != 0
    assert "tmpfs" in done.stderr
    assert not os.path.exists("/usr/cvt-stats")
