# SPDX-License-Identifier: BSD-3-Clause
"""Speakers against the real kernel and real BIRDs, without culvertd: what makes them fall, and that they stand up again by
themselves. One customer, one session (bridge_rig.py carries the frames)."""

import os
import shutil
import signal
import subprocess
import time

import pytest

from bridge_rig import Rig, bird_pid, run, wait_for
from lab import LabError, leftovers
from test_bridge import REJECTS, VNET, customer_config, declare

PREFIX = os.environ.get("CULVERT_LAB", "br") + "s"


@pytest.fixture
def rig(build):
    for name in leftovers(PREFIX):
        run("ip", "netns", "del", name, check=False)
    rig = Rig(PREFIX, build, "netns")
    try:
        bridge = rig.start_bridge(check_interval=2)
        ns, rig.far = rig.customer("cust")
        ns.ip("addr", "add", "169.254.10.1/30", "dev", "wan")
        ns.ip("link", "set", "wan", "up")
        rig.router = rig.bird(ns, "cust", customer_config("10.1.0.0/16", "10.2.0.0/16", VNET))
        declare(bridge)
        bridge.call("sweep")
        rig.wire.connect(bridge.queue(70), rig.far)
        established(bridge)
        yield rig
    finally:
        rig.close()


def established(bridge, seconds=25):
    bridge.wait(lambda: bridge.sessions.get(700, {}).get("state") == "established", seconds, "session established")


def birds_of(rig, name):
    """Every BIRD that runs in the directory, also in one that was removed."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as f:
                comm = f.read()
            where = os.readlink(f"/proc/{pid}/cwd")
        except OSError:
            continue
        if comm == "bird\n" and where in (rig.speaker_dir(name), rig.speaker_dir(name) + " (deleted)"):
            found.append(int(pid))
    return found


def birds_in(rig, name):
    """Every BIRD in the domain's namespace, whatever directory it runs in."""
    pids = run("ip", "netns", "pids", rig.space(name)).stdout.split()
    return [int(pid) for pid in pids if run("cat", f"/proc/{pid}/comm", check=False).stdout == "bird\n"]


def another(birds, old):
    return birds[0] if len(birds) == 1 and birds != old else None


def at_customer(rig):
    return VNET in rig.birdc(rig.router, "show", "route", "table", "master4", "protocol", "edge0")


# ---- a directory that goes


def test_run_directory_removed_while_away(rig):
    """As a service manager does with a unit's directory at its stop: the daemon that runs on is found and replaced, not doubled."""
    old = birds_of(rig, "acme")
    rig.bridge.kill()
    shutil.rmtree(rig.run_dir)
    bridge = rig.start_bridge(check_interval=2)
    declare(bridge)
    bridge.call("sweep")
    rig.wire.connect(bridge.queue(70), rig.far)
    wait_for(lambda: another(birds_of(rig, "acme"), old), 15, "another daemon, alone")
    established(bridge, 30)
    bridge.wait(lambda: {p for _, p in bridge.routes} == {"10.1.0.0/16", "10.2.0.0/16"}, 15, "routes")


def test_run_directory_removed_under_us(rig):
    old = birds_of(rig, "acme")
    shutil.rmtree(rig.speaker_dir("acme"))
    wait_for(lambda: os.path.exists(os.path.join(rig.speaker_dir("acme"), "bird.conf")), 10, "files written anew")
    wait_for(lambda: another(birds_of(rig, "acme"), old), 15, "another daemon, alone")
    established(rig.bridge, 30)
    wait_for(lambda: at_customer(rig), 10, "the vNet at the customer")


@pytest.mark.parametrize("what", ["directory", "run directory"])
@pytest.mark.parametrize("away", [False, True])
def test_directory_moved(rig, what, away):
    """The daemon that stands in the moved directory is no longer found there, but in the namespace: one is left, with the port.
    Another process there is none of ours."""
    old = birds_in(rig, "acme")
    other = subprocess.Popen(["ip", "netns", "exec", rig.space("acme"), "sleep", "600"])
    try:
        if away:
            rig.bridge.kill()
        path = rig.run_dir if what == "run directory" else rig.speaker_dir("acme")
        os.rename(path, path + "-moved")
        if away:
            bridge = rig.start_bridge(check_interval=2)
            declare(bridge)
            bridge.call("sweep")
            rig.wire.connect(bridge.queue(70), rig.far)
        wait_for(lambda: another(birds_in(rig, "acme"), old), 15, "another daemon, alone")
        established(rig.bridge, 30)
        wait_for(lambda: at_customer(rig), 10, "the vNet at the customer")
        assert another(birds_in(rig, "acme"), old) and other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_session_without_a_socket_is_enabled_again(rig):
    """BIRD gives a session up for good when it finds the port taken at its start."""
    bridge, ns = rig.bridge, rig.space("acme")
    # It listens and takes nothing, so that no connection of its own keeps the port after its end (TIME_WAIT).
    listen = "import signal, socket; s = socket.socket(); %ss.bind(('169.254.10.2', 179)); s.listen(); signal.pause()"
    blocker = subprocess.Popen(["ip", "netns", "exec", ns, "/usr/bin/python3", "-c", listen % ""],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        os.kill(bird_pid(rig, "acme"), signal.SIGKILL)
        bridge.wait(lambda: bridge.sessions[700]["state"] != "established", 10, "session down")

        def taken():
            if blocker.poll() is None and "python3" in run("ip", "netns", "exec", ns, "ss", "-ltnp").stdout:
                return True
            return False

        wait_for(lambda: taken() or "No listening socket" in bridge.sessions[700]["detail"] or blocker.poll() is not None, 10, "port taken")
        if blocker.poll() is not None:
            blocker = subprocess.Popen(["ip", "netns", "exec", ns, "/usr/bin/python3", "-c", listen % "s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); "],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        bridge.wait(lambda: "No listening socket" in bridge.sessions[700]["detail"], 20, "BIRD without a socket")
    finally:
        os.killpg(blocker.pid, signal.SIGKILL)
        blocker.wait()
    established(bridge, 25)


# ---- a namespace that goes


def test_namespace_made_again(rig):
    """The daemon of a namespace that was removed is replaced by one in the domain's present one."""
    old = bird_pid(rig, "acme")
    rig.bridge.kill()
    run("ip", "netns", "del", rig.space("acme"))
    bridge = rig.start_bridge(check_interval=2)
    declare(bridge)
    bridge.call("sweep")
    rig.wire.connect(bridge.queue(70), rig.far)
    pid = wait_for(lambda: another(birds_of(rig, "acme"), [old]), 20, "another daemon, alone")
    assert os.stat(f"/proc/{pid}/ns/net").st_ino == os.stat(f"/run/netns/{rig.space('acme')}").st_ino
    established(bridge, 30)


# ---- what cannot be written


def test_unwritable_directory_is_tried_again(build):
    """A speaker that could not be made is made when it can be, without anybody's help."""
    for name in leftovers(PREFIX):
        run("ip", "netns", "del", name, check=False)
    rig = Rig(PREFIX, build, "netns")
    try:
        os.makedirs(rig.run_dir)
        with open(os.path.join(rig.run_dir, "bird"), "w"):
            pass  # a file where the directory should be
        bridge = rig.start_bridge()
        declare(bridge)
        bridge.wait(lambda: "cannot be written" in bridge.sessions.get(700, {}).get("detail", ""), 5, "the session says so")
        os.unlink(os.path.join(rig.run_dir, "bird"))
        wait_for(lambda: birds_of(rig, "acme"), 10, "daemon started")
        bridge.wait(lambda: bridge.sessions[700]["state"] in ("start", "connect", "active", "idle"), 10, "and it knows the session")
    finally:
        rig.close()


# ---- an end with questions under way


def test_end_while_a_question_waits(rig):
    """Whoever asks on when a question was cut off is refused, and nothing falls. end() looks at the exit status."""
    pid = bird_pid(rig, "acme")
    os.kill(pid, signal.SIGSTOP)  # it answers nothing
    try:
        rig.bridge.call("ask", id=700, again=5)
        rig.bridge.end()
    finally:
        os.kill(pid, signal.SIGCONT)


# ---- who the daemon is


def test_daemon_is_not_root(rig):
    """It parses what customers send. It still reaches the kernel's table and may read its secrets, which others may not."""
    pid = bird_pid(rig, "acme")
    with open(f"/proc/{pid}/status") as f:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
    assert status["Uid"].split()[0] != "0" and status["Gid"].split()[0] != "0"
    assert int(status["CapEff"], 16) & ~((1 << 10) | (1 << 11) | (1 << 12) | (1 << 13)) == 0, status["CapEff"]  # network only
    wait_for(lambda: "10.1.0.0/16" in run("ip", "-n", rig.space("acme"), "route").stdout, 5, "route in the kernel")
    directory = rig.speaker_dir("acme")
    for name in ("bird.conf", "peering-700.conf", "domain-7.conf"):
        stat = os.stat(os.path.join(directory, name))
        assert stat.st_uid == 0 and stat.st_mode & 0o027 == 0, name  # root's, no word for others
    assert os.stat(directory).st_mode & 0o1000  # sticky: it cannot put another file in their place
    assert os.path.exists(os.path.join(directory, "bird.log"))  # where it may write


# ---- announcements


def test_group_is_taken_back_at_once(rig):
    """A vNet whose tunnel goes is withdrawn by a command; the session and the configuration stand. Printed: how long it took."""
    bridge = rig.bridge
    wait_for(lambda: at_customer(rig), 10, "announced")
    since = bridge.sessions[700]["moment"]

    def toggle(state, there):
        before = time.monotonic()
        bridge.call("announce", domain=7, groups=[{"id": 1, "state": state, "prefixes": [VNET]}])
        wait_for(lambda: at_customer(rig) == there, 5, f"announced: {there}")
        return time.monotonic() - before

    times = [(toggle(0, False), toggle(1, True)) for _ in range(5)]
    print("withdrawn, announced again (ms):", [(int(a * 1000), int(b * 1000)) for a, b in times])
    assert bridge.sessions[700]["moment"] == since
    with open(os.path.join(rig.speaker_dir("acme"), "domain-7.conf")) as f:
        assert "disabled" not in f.read()
    toggle(0, False)
    with open(os.path.join(rig.speaker_dir("acme"), "domain-7.conf")) as f:
        assert "disabled" in f.read()
    os.kill(bird_pid(rig, "acme"), signal.SIGKILL)  # the next one reads the file
    bridge.wait(lambda: bridge.sessions[700]["state"] != "established", 10, "session down")
    established(bridge, 25)
    bridge.wait(lambda: bridge.sessions[700]["imported"] == 2, 15, "routes learned again")
    assert not at_customer(rig)


def test_announcements_of_an_earlier_life_stay(rig):
    """Whether a tunnel is up is not known at first: until it is, what was announced is announced."""
    wait_for(lambda: at_customer(rig), 10, "announced")
    rig.bridge.kill()
    bridge = rig.start_bridge(check_interval=2)
    declare(bridge, announce=False)
    bridge.call("announce", domain=7, groups=[{"id": 1, "state": 2, "prefixes": [VNET]}, {"id": 2, "state": 2, "prefixes": ["10.10.0.0/16"]}])
    bridge.call("sweep")
    directory = rig.speaker_dir("acme")

    def text():
        with open(os.path.join(directory, "domain-7.conf")) as f:
            return f.read()

    wait_for(lambda: "a7g2v4" in text(), 10, "the new group in the file")
    established(bridge)
    assert "protocol static a7g2v4 {\n\tdisabled;" in text() and "protocol static a7g1v4 {\n\tdisabled;" not in text()
    assert at_customer(rig)


def test_attributes_of_announcements_and_drain(rig):
    bridge = rig.bridge
    bridge.call("announce", domain=7, prefixes=[VNET], community=64512 << 16 | 7)

    def shown():
        return rig.birdc(rig.router, "show", "route", "all", "protocol", "edge0")

    wait_for(lambda: "(64512,7)" in shown(), 5, "community at the customer")
    since = bridge.sessions[700]["moment"]
    bridge.call("peering", id=700, domain=7, name="acme/private", local="169.254.10.2", remote="169.254.10.1", local_asn=64512,
        remote_asn=65001, memory_limit=100000, rejects=REJECTS, drain=True)
    wait_for(lambda: "BGP.as_path: 64512 64512 64512\n" in shown() and "(65535,0)" in shown(), 5, "drain at the customer")
    assert bridge.sessions[700]["moment"] == since


# ---- no BGP


def test_static_speaker(build):
    """Routes from the model in place of a daemon: reported, each with the rule of the import policy that refuses it."""
    for name in leftovers(PREFIX):
        run("ip", "netns", "del", name, check=False)
    rig = Rig(PREFIX, build, "netns")
    try:
        bridge = rig.start_bridge()
        bridge.call("domain", id=7, name="acme", static=True)
        bridge.call("announce", domain=7, prefixes=[VNET])
        session = dict(id=700, domain=7, name="acme/private", local="169.254.10.2", remote="169.254.10.1", local_asn=1, remote_asn=2, rejects=REJECTS)
        bridge.call("peering", routes=["10.1.0.0/16", "10.9.1.0/24"], **session)

        def routes():
            seen = {}
            for e in bridge.events:
                if e["event"] == "static-route":
                    seen[e["prefix"]] = e["present"] and e["via"]
            return {p: via for p, via in seen.items() if via}

        bridge.wait(lambda: routes() == {"10.1.0.0/16": "169.254.10.1", "10.9.1.0/24": "169.254.10.1"}, 5, "both reported")
        bridge.wait(lambda: [bridge.sessions.get(700, {}).get(k) for k in ("state", "imported", "filtered")] == ["static", 2, 0], 5, "none is kept out")
        assert not bridge.ask("ask", id=700, question=0)["array"]
        assert sorted((r["prefix"], r["rule"]) for r in bridge.ask("ask", id=700, question=2)["array"]) == [
            ("10.1.0.0/16", ""), ("10.9.1.0/24", "vnet-prefix")]
        assert not bridge.ask("ask", id=700, question=1)["array"]  # nobody is told anything
        bridge.call("peering", routes=["10.2.0.0/16"], **session)
        bridge.wait(lambda: routes() == {"10.2.0.0/16": "169.254.10.1"}, 5, "others")
        bridge.call("peering", routes=["10.2.0.0/16"], enabled=False, **session)
        bridge.wait(lambda: not routes() and bridge.sessions[700]["state"] == "down", 5, "disabled")
        assert not birds_of(rig, "acme")
    finally:
        rig.close()


@pytest.mark.parametrize("command", ["withdraw", "end"])
def test_killed_between_command_and_file(build, command):
    """The daemon has heard what its files do not say yet; then the change is undone, so that they never will."""
    for name in leftovers(PREFIX):
        run("ip", "netns", "del", name, check=False)
    rig = Rig(PREFIX, build, "netns")
    try:
        bridge = rig.start_bridge()
        ns, far = rig.customer("cust")
        ns.ip("addr", "add", "169.254.10.1/30", "dev", "wan")
        ns.ip("link", "set", "wan", "up")
        router = rig.bird(ns, "cust", customer_config("10.1.0.0/16"))

        def told():
            return VNET in rig.birdc(router, "show", "route")

        def mark():
            try:
                return os.stat(os.path.join(rig.speaker_dir("acme"), "bird.told")).st_mtime_ns
            except FileNotFoundError:
                return 0

        # Killed a turn after the change the command is on its way, unless another one was just being answered.
        between = 0
        for life in range(9):
            declare(bridge)
            rig.wire.connect(bridge.queue(70), far)
            wait_for(told, 30, f"announced in life {life}")
            wait_for(mark, 10, "its files are in force")
            if between == 2:
                # It comes again after whatever took it away.
                before = mark()
                if command == "end":
                    bridge.call("end", id=700)
                else:
                    bridge.call("announce", domain=7, groups=[{"id": 1, "state": 0, "prefixes": [VNET]}, {"id": 2, "state": 1, "prefixes": ["10.77.0.0/16"]}])
                bridge.counters()
                wait_for(lambda: mark() > before, 10, "its files are in force again")
                break
            bridge.call("announce", domain=7, groups=[{"id": 1, "state": 2, "prefixes": [VNET]}, {"id": 2, "state": 1, "prefixes": ["10.77.0.0/16"]}])
            if command == "end":
                bridge.call("end", id=700)
            else:
                bridge.call("announce", domain=7, groups=[{"id": 1, "state": 0, "prefixes": [VNET]}, {"id": 2, "state": 1, "prefixes": ["10.77.0.0/16"]}])
            bridge.counters()  # a turn later it is on its way
            bridge.kill()
            try:
                wait_for(lambda: not told(), 2, "the command has arrived")
                between += 1
            except LabError:
                pass
            bridge = rig.start_bridge()
        assert between == 2
    finally:
        rig.close()


def test_joins(build):
    """Without a patch nothing leads from one daemon to the other, and one that is none tells nobody."""
    for name in leftovers(PREFIX):
        run("ip", "netns", "del", name, check=False)
    rig = Rig(PREFIX, build, "netns")
    try:
        bridge = rig.start_bridge(launcher="")
        for number, name in ((7, "a"), (8, "b")):
            bridge.call("domain", id=number, name=name)
        bridge.call("domain", id=9, name="c", static=True)
        answer = bridge.call("join", check=False, a=7, b=8)
        assert answer["result"] < 0 and answer["error"].endswith("nothing leads from one to the other")
        answer = bridge.call("join", check=False, a=7, b=9, devices=["patch9", "patch7"])
        assert answer["result"] < 0 and answer["error"].endswith("one of them has no BGP daemon")
    finally:
        rig.close()


def patch_is_kept(rig, bridge, shown):
    """Nothing but the two daemons is on it; whoever takes it away sees it come back, and the routes with it."""
    a, b = rig.space("a"), rig.space("b")

    def link(netns, name):
        return run("ip", "-n", netns, "-d", "link", "show", name, check=False).stdout

    for netns, name, address in ((a, "patch8", "fe80::1/64"), (b, "patch7", "fe80::2/64")):
        lines = run("ip", "-n", netns, "-o", "addr", "show", "dev", name).stdout.splitlines()
        assert len(lines) == 1 and address in lines[0], lines
    for name, netns in (("patch8", a), ("patch7", b)):
        run("ip", "-n", netns, "link", "del", name)
        wait_for(lambda: "LOWER_UP" in link(a, "patch8") and "LOWER_UP" in link(b, "patch7"), 5, "made again")
        wait_for(lambda: "10.7.0.0/16" in shown(8) and "10.8.0.0/16" in shown(7), 30, "told again")
    run("ip", "-n", a, "link", "set", "patch8", "down")
    wait_for(lambda: "LOWER_UP" in link(a, "patch8"), 5, "up again")
    wait_for(lambda: "10.7.0.0/16" in shown(8) and "10.8.0.0/16" in shown(7), 30, "told again")


@pytest.mark.parametrize("mode", ["table", "netns"])
def test_join_keeps_attributes(build, mode):
    """By a pipe in one daemon, by an iBGP session over a patch between two."""
    for name in leftovers(PREFIX):
        run("ip", "netns", "del", name, check=False)
    rig = Rig(PREFIX, build, mode)
    try:
        bridge = rig.start_bridge()
        routers = {}
        for number, name, asn in ((7, "a", 65001), (8, "b", 65002)):
            bridge.call("domain", id=number, name=name)
            bridge.call("interface", id=number * 10, domain=number, name=f"t{name}", addresses=[f"169.254.{number}.2/30"])
            ns, far = rig.customer(f"c{name}")
            ns.ip("addr", "add", f"169.254.{number}.1/30", "dev", "wan")
            ns.ip("link", "set", "wan", "up")
            config = customer_config(f"10.{number}.0.0/16").replace("169.254.10.", f"169.254.{number}.").replace("65001", str(asn))
            config = config.replace("export all", "export filter { bgp_community.add((65001,42)); bgp_med = 77; accept; }")
            routers[number] = rig.bird(ns, f"c{name}", config)
            bridge.call("peering", id=number * 100, domain=number, name=name, local=f"169.254.{number}.2", remote=f"169.254.{number}.1",
                local_asn=64512, remote_asn=asn, memory_limit=1000, rejects=[])
            rig.wire.connect(bridge.queue(number * 10), far)
        if mode == "netns":
            bridge.call("patch", a=7, b=8)
            bridge.call("join", a=7, b=8, devices=["patch8", "patch7"])
        else:
            bridge.call("join", a=7, b=8)
        for number in (7, 8):
            bridge.wait(lambda n=number: bridge.sessions.get(n * 100, {}).get("state") == "established", 25, "session")

        def shown(number):
            return rig.birdc(routers[number], "show", "route", "all", "protocol", "edge0")

        wait_for(lambda: "10.7.0.0/16" in shown(8) and "10.8.0.0/16" in shown(7), 10, "each other's prefixes")
        assert "BGP.as_path: 64512 65001\n" in shown(8) and "(65001,42)" in shown(8) and "BGP.med: 77" in shown(8)
        # What came by a join goes to the sessions and never into the kernel: its way there is another's to decide.
        table = {7: "10007", 8: "10008"} if mode == "table" else {7: "main", 8: "main"}

        def kernel(number):
            name = rig.space("a" if number == 7 else "b")
            return run("ip", "-n", name, "route", "show", "table", table[number]).stdout

        wait_for(lambda: "10.7.0.0/16" in kernel(7), 10, "own route")
        assert "10.7.0.0/16" not in kernel(8)
        if mode == "netns":
            patch_is_kept(rig, bridge, shown)
        bridge.call("part", a=7, b=8)
        wait_for(lambda: "10.7.0.0/16" not in shown(8) and "10.8.0.0/16" not in shown(7), 10, "parted")
    finally:
        rig.close()
