# SPDX-License-Identifier: BSD-3-Clause
"""What is done to the two processes that should not hurt them: signals, a log that nobody reads, a neighbor process that
hangs, a machine that runs out of descriptors. Each customer's traffic goes on, and who asks gets an answer."""

import contextlib
import fcntl
import json
import os
import re
import resource
import shlex
import signal
import socket
import subprocess
import sys
import time

import pytest
from edge import run
from lab import wait_for

from conftest import start_lab
from test_strange import restart_daemon

F_SETPIPE_SZ = 1031


@pytest.fixture(scope="module")
def lab(build):
    lab = start_lab(build, "netns")
    yield lab
    lab.print_logs(sys.stderr)
    lab.close()


def answered(lab, seconds=5):
    """`culvertctl status`, which has to come within `seconds`."""
    began = time.monotonic()
    done = run(lab.program("tools/culvertctl/culvertctl"), "-s", lab.socket, "--json", "status", check=False, timeout=40)
    assert done.returncode in (0, 1), f"status: {done.returncode} {done.stderr}"
    assert time.monotonic() - began < seconds
    return done.stdout


# ---- signals

HARMLESS = ["HUP", "PIPE", "USR1", "USR2", "ALRM", "VTALRM", "PROF", "IO", "PWR", "STKFLT", "TSTP", "TTIN", "TTOU", "XCPU", "XFSZ", "TRAP", "RTMIN", "RTMAX"]


@pytest.mark.parametrize("name", HARMLESS)
def test_only_term_and_int_end_a_process(lab, name):
    number = getattr(signal, "SIG" + name)
    for process in (lab.dataplane, lab.daemon):
        os.kill(process.pid, number)
    answered(lab)
    assert min(lab.ping(c) for c in lab.customers) >= 3
    for process in (lab.dataplane, lab.daemon):
        assert process.alive(), f"SIG{name} ended {process.name}"


def test_a_hang_up_ends_nothing_for_the_daemons_either(lab):
    """What a process of ours ignores is not ignored by those it starts, or BIRD would be deaf for what it listens to."""
    for pid in lab.speakers():
        with open(f"/proc/{pid}/status") as f:
            ignored = int(re.search(r"SigIgn:\s*(\w+)", f.read())[1], 16)
        assert not ignored & (1 << (signal.SIGHUP - 1)), f"bird {pid} ignores SIGHUP"


# ---- a log that nobody reads

class Deaf:
    """A process whose standard error is a pipe that is full, and that nobody reads until told to."""

    def __init__(self, netns, words):
        self.end, write = os.pipe()
        fcntl.fcntl(write, F_SETPIPE_SZ, 4096)
        os.write(write, b"x" * 4095 + b"\n")
        self.popen = subprocess.Popen([*netns.enter(), *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=write,
                                      start_new_session=True)
        os.close(write)

    @property
    def pid(self):
        return self.popen.pid

    def drain(self):
        os.set_blocking(self.end, False)
        with contextlib.suppress(BlockingIOError):
            return os.read(self.end, 1 << 20).decode(errors="replace")
        return ""

    def end_it(self):
        with contextlib.suppress(ProcessLookupError):
            self.popen.terminate()
        try:
            self.popen.wait(10)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait(10)
        if self.end >= 0:
            os.close(self.end)


def test_a_log_that_nobody_reads_stops_neither(lab):
    words = run(lab.program("control/culvertd"), "--config", lab.node_path, "--dataplane-args").stdout
    lab.daemon.stop()
    lab.dataplane.stop()
    dataplane = Deaf(lab.edge, shlex.split(words))
    daemon = Deaf(lab.edge, [lab.program("control/culvertd"), "--config", lab.node_path])
    try:
        wait_for(lab.synced, 20, "synced with both logs full")
        for c in lab.customers:
            wait_for(lambda c=c: lab.reaches_vnet(c), 30, f"{c.name} reaches its vNet")
        # Something that each has to say something about: a session that ends, a data plane that is another one.
        dataplane.end_it()
        dataplane = Deaf(lab.edge, shlex.split(words))
        wait_for(lab.synced, 20, "synced again")
        for c in lab.customers:
            wait_for(lambda c=c: lab.reaches_vnet(c), 30, f"{c.name} reaches its vNet again")
        answered(lab)
        # Once somebody reads, he is told how much he missed.
        daemon.drain()
        dataplane.drain()
        lab.edge.ip("link", "set", "wan1", "down")
        text = {"culvertd": "", "dataplane": ""}

        def told():
            text["culvertd"] += daemon.drain()
            text["dataplane"] += dataplane.drain()
            return all("log lines were lost" in t for t in text.values())
        wait_for(told, 10, "lost lines are counted and told")
        # Nobody at the other end at all.
        for process in (daemon, dataplane):
            os.close(process.end)
            process.end = -1
        lab.edge.ip("link", "set", "wan1", "up")
        for c in lab.customers:
            wait_for(lambda c=c: lab.reaches_vnet(c), 30, f"{c.name} reaches its vNet without a reader")
        answered(lab)
    finally:
        daemon.end_it()
        dataplane.end_it()
        lab.start_dataplane()
        lab.start_daemon()
        wait_for(lab.synced, 20, "synced")


# ---- a neighbor process that hangs

def test_status_answers_when_the_data_plane_does_not(lab):
    os.kill(lab.dataplane.pid, signal.SIGSTOP)
    try:
        first = json.loads(answered(lab))  # within 5 s, whatever it was waiting for
        assert first["dataplane"]["state"] in ("synced", "silent")
        wait_for(lambda: json.loads(answered(lab))["dataplane"]["state"] == "silent", 10, "status says that it does not answer")
        told = json.loads(answered(lab, 1))
        assert "does not answer since" in told["dataplane"]["error"]
        assert any(p["object"].startswith("data-plane/") and "does not answer" in p["message"] for p in told["problems"])
        began = time.monotonic()
        for words in (["route", "summary"], ["circuit", "status"], ["drops"], ["neighbor", "list"], ["port", "list"]):
            done = run(lab.program("tools/culvertctl/culvertctl"), "-s", lab.socket, *words, check=False, timeout=40)
            assert done.returncode != 8, words
            # What only it can say is not told as if it were so still.
            if words[0] in ("port", "neighbor"):
                assert done.returncode == 4 and "the data plane is silent: it does not answer since" in done.stderr, done
        assert time.monotonic() - began < 5
        # A change is taken, and whoever waits for it is told that it is not in force, if the data plane has a part in it.
        assert "not in force" not in lab.ctl("customer", "create", "while-it-hangs").stderr
        assert "not in force yet, the data plane is silent" in lab.ctl("circuit", "set", lab.acme.circuit, "--burst", "33ms").stderr
    finally:
        os.kill(lab.dataplane.pid, signal.SIGCONT)
    wait_for(lab.synced, 10, "synced again")
    assert lab.daemon.log().count("data plane disconnected") == 0 or lab.daemon.log().rstrip().count("data plane answers again") >= 1
    for c in lab.customers:
        wait_for(lambda c=c: lab.reaches_vnet(c), 10, f"{c.name} reaches its vNet")


def test_answers_come_when_a_bird_hangs(lab):
    hung = lab.speakers()
    for pid in hung:
        os.kill(pid, signal.SIGSTOP)
    try:
        for words in (["status"], ["circuit", "status"], ["route", "list"], ["peering", "list"], ["route", "list", "--state", "rejected"],
                      ["customer", "create", "while-bird-hangs"]):
            began = time.monotonic()
            done = run(lab.program("tools/culvertctl/culvertctl"), "-s", lab.socket, *words, check=False, timeout=40)
            assert done.returncode != 8, (words, done.stderr)
            # Two daemons are asked one after the other, 5 s each; after 3 s it is known that they do not answer.
            assert time.monotonic() - began < 15, words
            answered(lab, 2)
            if words == ["route", "list"]:  # what only they know is missing, and that is said
                assert "does not answer" in done.stderr and done.returncode == 4, (done.returncode, done.stderr)
    finally:
        for pid in hung:
            with contextlib.suppress(ProcessLookupError):  # it may have been replaced
                os.kill(pid, signal.SIGCONT)
    for c in lab.customers:
        wait_for(lambda c=c: lab.session(c) == "established", 30, f"session of {c.name}")
        wait_for(lambda c=c: lab.reaches_vnet(c), 30, f"{c.name} reaches its vNet")


# ---- a machine that runs out of descriptors

def test_out_of_descriptors_status_still_answers(lab):
    pid = lab.daemon.pid
    used = len(os.listdir(f"/proc/{pid}/fd"))
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 2, before[1]))
    idle = []
    try:
        for _ in range(4):  # connections that take what is left
            s = socket.socket(socket.AF_UNIX)
            s.connect(lab.socket)
            idle.append(s)
        lines = lab.daemon.log().count("\n")
        began = time.monotonic()
        for _ in range(5):
            answered(lab)
        # What needs a descriptor fails meanwhile; that is not told 20 times a second.
        lab.ctl("customer", "create", "without-descriptors")
        answered(lab)
        assert lab.daemon.log().count("\n") - lines < 20 + 5 * (time.monotonic() - began)
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        for s in idle:
            s.close()
    answered(lab)


# ---- start, and what a process has and shows

def test_directories_are_made_and_a_second_culvertd_is_told(lab, tmp_path):
    node = tmp_path / "node.yaml"
    node.write_text(f"edge: elsewhere\nhost-domain: netns\nkernel-prefix: {lab.kernel_prefix}x\nrun-dir: {tmp_path}/r/run\nstore: {tmp_path}/s/t/store.db\n"
                    f"socket: {tmp_path}/c/d/sock\nroles:\n  - {{uid: \"0\", role: admin}}\nports:\n  p0: {{device: p0}}\n"
                    f"dataplane: {{socket: {tmp_path}/p/q/dp.sock}}\n")
    key = tmp_path / "s" / "t" / "store.db.key"
    key.parent.mkdir(parents=True)
    key.with_suffix(".key.new").write_bytes(b"half")  # what a machine that stopped in the middle left
    words = [lab.program("control/culvertd"), "--config", str(node)]
    first = lab.edge.start("first", *words)
    try:
        wait_for(lambda: (tmp_path / "c" / "d" / "sock").exists() or not first.alive(), 10, "its socket")
        assert first.alive(), first.log()
        assert len(key.read_bytes()) == 32 and key.stat().st_mode & 0o777 == 0o600 and not key.with_suffix(".key.new").exists()
        second = run(*words, check=False)
        assert second.returncode == 7, (second.returncode, second.stderr)
    finally:
        assert first.stop() == 0
    line = shlex.split(run(*words, "--dataplane-args").stdout)
    line = [w for w in line if not w.startswith("p0=")]
    line = [w for i, w in enumerate(line) if w != "--port"]
    plane = lab.edge.start("plane", *line[:line.index("--") + 1], "--socket", f"{tmp_path}/p/q/dp.sock", "--stats", "none") if "--" in line else None
    assert plane is not None
    try:
        wait_for(lambda: (tmp_path / "p" / "q" / "dp.sock").exists() or not plane.alive(), 10, "the data plane's socket")
        assert (tmp_path / "p" / "q" / "dp.sock").exists() or "control socket" not in plane.log(), plane.log()
    finally:
        plane.stop()


def test_a_service_manager_is_told(lab, tmp_path):
    """READY once it answers, a sign of life at half the time of WatchdogSec=, STOPPING at the end."""
    node, path = tmp_path / "node.yaml", str(tmp_path / "notify")
    node.write_text(f"edge: elsewhere\nhost-domain: netns\nkernel-prefix: {lab.kernel_prefix}w\nrun-dir: {tmp_path}/run\nstore: {tmp_path}/store.db\n"
                    f"socket: {tmp_path}/sock\nroles:\n  - {{uid: \"0\", role: admin}}\nports:\n  p0: {{device: p0}}\ndataplane: {{socket: {tmp_path}/dp.sock}}\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(10)
        daemon = lab.edge.start("told", "env", f"NOTIFY_SOCKET={path}", "WATCHDOG_USEC=400000", lab.program("control/culvertd"), "--config", str(node))
        try:
            first = manager.recv(4096).decode()
            assert first.startswith("READY=1\nSTATUS=edge elsewhere, revision 0"), first
            assert run(lab.program("tools/culvertctl/culvertctl"), "-s", f"{tmp_path}/sock", "version", check=False).returncode == 0
            before = time.monotonic()
            assert [manager.recv(4096) for _ in range(4)] == [b"WATCHDOG=1"] * 4
            assert time.monotonic() - before < 4 * 0.4
            # stopped it says nothing, and that is what its manager ends it for
            daemon.popen.send_signal(signal.SIGSTOP)
            manager.settimeout(1)
            with contextlib.suppress(TimeoutError):
                manager.recv(4096)  # one may have been under way
                assert not manager.recv(4096), "a sign of life of a process that stands still"
            daemon.popen.send_signal(signal.SIGCONT)
            manager.settimeout(10)
            assert manager.recv(4096) == b"WATCHDOG=1"
        finally:
            assert daemon.stop() == 0
        manager.settimeout(1)
        told = [b"WATCHDOG=1"]
        while told[-1] == b"WATCHDOG=1":
            told.append(manager.recv(4096))
        assert told[-1] == b"STOPPING=1", told
        for name in run("ip", "netns", "list").stdout.split():
            if name.startswith(lab.kernel_prefix + "w-"):
                run("ip", "netns", "del", name)


def test_the_running_data_plane_has_no_capability(lab):
    """Nor would what it executes have any. Those of its opener are held to the bit by tests/smoke/kernel_port.py."""
    for task in os.listdir(f"/proc/{lab.dataplane.pid}/task"):
        with open(f"/proc/{lab.dataplane.pid}/task/{task}/status") as f:
            text = f.read()
        for kind in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
            assert int(re.search(kind + r":\s*(\w+)", text)[1], 16) == 0, f"thread {task}: {text}"
        assert "NoNewPrivs:\t1" in text, text
    assert 'msg="capabilities" kept=none' in lab.dataplane.log()


def test_a_core_has_no_secret_in_it(lab):
    for pid in (lab.daemon.pid, *lab.speakers()):
        with open(f"/proc/{pid}/coredump_filter") as f:
            assert int(f.read(), 16) == 0, "no memory of its own goes into a core"


if os.environ.get("CULVERT_LONG"):  # with gdb, whose gcore takes what coredump_filter lets the kernel take
    def test_a_core_that_is_made_has_no_secret_in_it(lab, tmp_path):
        word = f"s3cret-of-a-session-{os.getpid()}"
        secret = tmp_path / "password"
        secret.write_text(word)
        lab.ctl("peering", "set", f"{lab.acme.circuit}/private", "--password", secret)
        wait_for(lambda: any(holds(f"/proc/{pid}/mem", word) for pid in lab.speakers()), 10, "BIRD has the password")
        assert holds(f"/proc/{lab.daemon.pid}/mem", word), "so has culvertd: it is looked for in the right way"
        for pid in (*lab.speakers(), lab.daemon.pid):
            run("gcore", "-o", tmp_path / "core", pid, timeout=60)
            core = (tmp_path / f"core.{pid}").read_bytes()
            assert core.startswith(b"\x7fELF") and word.encode() not in core, f"{pid}: {len(core)} bytes"
        lab.ctl("peering", "set", f"{lab.acme.circuit}/private", "--unset", "password")
        wait_for(lambda: lab.session(lab.acme) == "established" and lab.reaches_vnet(lab.acme), 60, "acme's session without it")


def holds(path, word):
    """Whether a process has this text in memory that it may write."""
    with open(path.replace("/mem", "/maps")) as maps, open(path, "rb") as memory:
        for line in maps:
            at, rights = line.split()[:2]
            first, end = (int(x, 16) for x in at.split("-"))
            if not rights.startswith("rw"):
                continue
            with contextlib.suppress(OSError):
                memory.seek(first)
                if word.encode() in memory.read(end - first):
                    return True
    return False


def test_the_log_tells_of_sessions_and_changes(lab):
    before = lab.daemon.log()
    lab.ctl("customer", "create", "told-in-the-log")
    lab.ctl("peering", "clear", f"{lab.acme.circuit}/private")
    wait_for(lambda: "msg=model revision=" in lab.daemon.log()[len(before):], 5, "a revision in the log")
    wait_for(lambda: re.search(r"time=\S+Z level=info part=main msg=session peering=\S+/private link=primary state=established", lab.daemon.log()[len(before):]),
             20, "the session in the log")
    wait_for(lambda: lab.reaches_vnet(lab.acme), 20, "acme reaches its vNet")


def processor_time(pid, thread):
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/stat") as f:
            name, fields = f.read().split("(", 1)[1].rsplit(")", 1)
        if name == thread:
            return sum(int(field) for field in fields.split()[11:13])
    raise AssertionError(thread)


@pytest.mark.parametrize("item", ["{name: same}", "{name: long-enough-%07d}"])
def test_a_long_file_holds_up_no_end(lab, tmp_path, item):
    path = tmp_path / "long.yaml"
    path.write_text("version: 1\ncustomers:\n" + "".join("  - " + (item % i if "%" in item else item) + "\n" for i in range(100000)))
    before = processor_time(lab.daemon.pid, "culvertd-store")
    asking = subprocess.Popen([lab.program("tools/culvertctl/culvertctl"), "-s", lab.socket, "config", "check", path],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: processor_time(lab.daemon.pid, "culvertd-store") > before + 5, 10, "it reads the file")
    began = time.monotonic()
    lab.daemon.popen.terminate()
    lab.daemon.popen.wait(20)
    assert time.monotonic() - began < 5
    asking.wait(10)
    restart_daemon(lab)
    wait_for(lab.synced, 20, "synced")


def test_the_demo_says_what_it_does_before_it_does_anything(tmp_path):
    tool = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "demo")
    build = tmp_path / "build"
    for word in ("--help", "-h"):
        done = run("/usr/bin/env", f"CULVERT_BUILD={build}", f"TMPDIR={tmp_path}", tool, word, timeout=10)
        assert "tools/demo [--keep] [--json]" in done.stdout and not os.listdir(tmp_path), done.stdout
    with open(tool) as f:
        assert not re.search(r"/tmp/|\$\$", f.read()), "a file whose name others know beforehand"


@pytest.mark.parametrize("item", ["{name: same}", "{name: a-%d, bandwith: 1gbps}", "{name: -%d}"])
def test_a_file_full_of_faults_is_read_once(lab, tmp_path, item):
    path = tmp_path / "faults.yaml"
    path.write_text("version: 1\ncustomers:\n" + "".join("  - " + (item % i if "%d" in item else item) + "\n" for i in range(60000)))
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = run(lab.program("control/culvertd"), "--check", path, check=False, timeout=120)
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    assert done.returncode == 6 and "errors, the first 20 shown, nothing applied" in done.stderr
    assert used < 4, f"{used:.1f} s of a processor"
