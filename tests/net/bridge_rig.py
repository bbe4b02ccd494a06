# SPDX-License-Identifier: BSD-3-Clause
"""A rig around the routing bridge alone: bridge-drive makes the bridge's calls, this process plays the data plane
(it holds a queue of each host interface and carries frames to a TAP in a customer's namespace)."""

import ctypes
import fcntl
import json
import os
import select
import socket
import struct
import subprocess
import threading

from lab import Lab, run, wait_for

LIBC = ctypes.CDLL(None, use_errno=True)
TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI, IFF_MULTI_QUEUE = 0x0002, 0x1000, 0x0100


def open_tap(netns, name):
    """A TAP in another namespace; setns moves one thread only, so a thread does it."""
    result = []

    def inside():
        with open(f"/run/netns/{netns}") as ns:
            if LIBC.setns(ns.fileno(), 0x40000000):
                return
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
        result.append(fd)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    return result[0]


class Wire(threading.Thread):
    """Carries frames between pairs of descriptors until closed. A pair's ends can be replaced."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peer, self.cut, self.running, self.frames = {}, set(), True, 0
        self.wake_r, self.wake_w = os.pipe()
        self.start()

    def connect(self, a, b):
        self.peer[a], self.peer[b] = b, a
        os.write(self.wake_w, b"x")

    def close(self):
        self.running = False
        os.write(self.wake_w, b"x")
        self.join(5)
        for fd in {*self.peer, self.wake_r, self.wake_w}:
            os.close(fd)

    def run(self):
        while self.running:
            ready, _, _ = select.select([self.wake_r, *self.peer], [], [], 1)
            for fd in ready:
                if fd == self.wake_r:
                    os.read(fd, 64)
                    continue
                try:
                    frame = os.read(fd, 65536)
                    os.write(self.peer[fd], frame)
                    self.frames += 1
                except OSError:
                    pass  # down, or the device is gone: as a cable


class Bridge:
    """One life of bridge-drive."""

    def __init__(self, program, log, **options):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.fds = ours
        self.log = open(log, "ab")
        self.process = subprocess.Popen([program, json.dumps(options), str(theirs.fileno())], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self.log, pass_fds=[theirs.fileno()], start_new_session=True)
        theirs.close()
        self.changed = threading.Condition()
        self.events, self.done, self.routes, self.sessions, self.neighbors = [], [], {}, {}, {}
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        created = self.wait_done()
        assert created["result"] == 0 or options.get("expect_failure"), created

    def read(self):
        for line in self.process.stdout:
            message = json.loads(line)
            with self.changed:
                if "done" in message:
                    self.done.append(message)
                else:
                    self.note(message)
                self.changed.notify_all()

    def note(self, message):
        self.events.append(message)
        kind = message["event"]
        if kind == "route":
            key = (message["domain"], message["prefix"])
            if message["present"]:
                self.routes[key] = message
            else:
                self.routes.pop(key, None)
        elif kind == "session":
            self.sessions[message["peering"]] = message
        elif kind == "neighbor":
            self.neighbors[(message["interface"], message["address"])] = message["mac"]

    def wait_done(self, seconds=20):
        with self.changed:
            assert self.changed.wait_for(lambda: self.done, seconds), "bridge-drive does not answer"
            return self.done.pop(0)

    def call(self, what, check=True, **arguments):
        self.process.stdin.write(json.dumps({"do": what, **arguments}).encode() + b"\n")
        self.process.stdin.flush()
        answer = self.wait_done()
        assert not check or answer["result"] == 0, answer
        return answer

    def wait(self, condition, seconds, what):
        with self.changed:
            if not self.changed.wait_for(condition, seconds):
                raise AssertionError(f"not within {seconds} s: {what}; routes {list(self.routes)} sessions {self.sessions}")

    def wait_event(self, kind, seconds=10, since=0, **fields):
        def found():
            return next((e for e in self.events[since:] if e["event"] == kind and all(e.get(k) == v for k, v in fields.items())), None)
        self.wait(found, seconds, f"event {kind} {fields}")
        return found()

    def ask(self, what, **arguments):
        since = len(self.events)
        self.call(what, **arguments)
        return self.wait_event("answer", since=since)

    def counters(self):
        since = len(self.events)
        self.call("counters")
        return self.wait_event("counters", since=since)

    def queue(self, interface):
        self.call("queue", id=interface)
        _, fds, _, _ = socket.recv_fds(self.fds, 1, 1)
        os.set_blocking(fds[0], False)
        return fds[0]

    def end(self):
        """An orderly end, as opposed to kill(); a sanitizer's complaint shows in its status."""
        if self.process.poll() is None:
            self.process.stdin.close()
            status = self.process.wait(20)
            self.kill()
            assert status == 0, f"bridge-drive ended with {status}"

    def kill(self):
        self.process.kill()
        self.process.wait(10)
        self.reader.join(5)
        self.process.stdin.close()
        self.fds.close()
        self.log.close()


class Rig(Lab):
    def __init__(self, prefix, build, mode):
        super().__init__(prefix)
        self.mode = {"netns": 0, "table": 1}[mode]
        self.program = os.path.join(build, "tests/net/bridge-drive")
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        self.launcher = os.path.join(root, "tools/culvert-speaker")
        self.run_dir = os.path.join(self.dir, "run")
        self.wire, self.bridge, self.lives = Wire(), None, 0

    def start_bridge(self, **more):
        options = dict(mode=self.mode, prefix=self.prefix + "-own", run_dir=self.run_dir, launcher=self.launcher)
        self.bridge = Bridge(self.program, os.path.join(self.dir, "bridge.log"), **{**options, **more})
        return self.bridge

    def space(self, name):
        return f"{self.prefix}-own-{'domains' if self.mode == 1 else name}"

    def speaker_dir(self, name):
        return os.path.join(self.run_dir, "bird", "domains" if self.mode == 1 else name)

    def customer(self, name):
        """A customer's router namespace with a TAP named `wan`; returns (namespace, the TAP's descriptor)."""
        ns = self.netns(name)
        return ns, open_tap(ns.name, "wan")

    def close(self, keep_logs=False):
        try:
            if self.bridge:
                self.bridge.end()
        finally:
            self.close_rest(keep_logs)

    def close_rest(self, keep_logs):
        speakers = os.path.join(self.run_dir, "bird")
        for name in os.listdir(speakers) if os.path.isdir(speakers) else []:
            run(self.launcher, "stop", os.path.join(speakers, name), "none", check=False)
        self.wire.close()
        for line in run("ip", "netns", "list").stdout.split("\n"):
            if line.startswith(self.prefix + "-own-"):
                run("ip", "netns", "del", line.split()[0], check=False)
        Lab.close(self, keep_logs)


def bird_pid(rig, name):
    with open(os.path.join(rig.speaker_dir(name), "bird.pid")) as f:
        return int(f.read())


__all__ = ["Rig", "bird_pid", "open_tap", "run", "wait_for"]
