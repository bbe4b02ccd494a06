#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""How long one user of the control socket waits while another floods it.

usage: fairness.py BUILD [CIRCUITS [CONNECTIONS [CALLS]]]        (root; default 10000 64 16)

Starts a culvertd with CIRCUITS circuits of the pair's other edge, no data plane. A viewer (uid 65533) keeps CALLS unanswered
calls on each of CONNECTIONS connections; root meanwhile asks one thing after the other. Prints, for each method that
floods, the slowest of root's answers in ms beside that without a flood, and culvertd's resident memory.
"""

import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time

VIEWER = 65533
SECONDS = 6
ASKED = [("hello", {}), ("drops", {}), ("circuit.status", {"limit": 1}), ("status", {}), ("circuit.get", {"name": "c00000"})]
FLOODS = [("circuit.status", {"limit": 1000}), ("status", {}), ("config.show", {}), ("circuit.list", {"limit": 1000}), ("hello", {})]


def model(circuits):
    text = "version: 1\nedges:\n"
    for edge, address in (("ams1", 1), ("ams2", 2)):
        text += f"  - name: {edge}\n    ports:\n      - {{name: wan0, faces: customer}}\n"
        text += f"      - {{name: core0, faces: core, address: 192.0.2.{address}/24}}\n"
    text += "customers:\n  - name: acme\ncircuits:\n"
    for i in range(circuits):
        text += (f"  - name: c{i:05}\n    customer: acme\n    bandwidth: 100mbps\n    links:\n"
                 f"      - {{role: primary, edge: ams2, port: wan0, outer-tag: {i // 4000 + 1}, inner-tag: {i % 4000 + 1}}}\n")
    return text


def connect(path):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    return s


class Asker:
    def __init__(self, path):
        self.socket, self.rest, self.id = connect(path), b"", 0

    def ask(self, method, params=None, seconds=120):
        self.id += 1
        self.socket.settimeout(seconds)
        self.socket.sendall(json.dumps({"jsonrpc": "2.0", "id": self.id, "method": method, "params": params or {}}).encode() + b"\n")
        while b"\n" not in self.rest:
            got = self.socket.recv(1 << 20)
            if not got:
                raise SystemExit(f"culvertd hung up on {method}")
            self.rest += got
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line)


def flood(path, method, params, connections, calls):
    """As the viewer, until killed: each answer that comes is asked for again."""
    os.setgroups([])
    os.setgid(VIEWER)
    os.setuid(VIEWER)
    line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode() + b"\n"
    poll = select.epoll()
    sockets = {}
    for _ in range(connections):
        s = connect(path)
        s.sendall(line * calls)
        s.setblocking(False)
        sockets[s.fileno()] = s
        poll.register(s, select.EPOLLIN)
    while True:
        for fd, _ in poll.poll():
            got = sockets[fd].recv(1 << 20)
            if not got:
                poll.unregister(fd)
                continue
            if (ends := got.count(b"\n")):
                try:
                    sockets[fd].sendall(line * ends)
                except BlockingIOError:
                    pass


def slowest(asker, seconds):
    """The slowest answer of each kind, ms."""
    worst, end = dict.fromkeys((m for m, _ in ASKED), 0.0), time.monotonic() + seconds
    while True:
        for method, params in ASKED:
            began = time.monotonic()
            asker.ask(method, params)
            worst[method] = max(worst[method], (time.monotonic() - began) * 1e3)
        if time.monotonic() > end:
            return worst


def resident(pid):
    with open(f"/proc/{pid}/statm") as f:
        return int(f.read().split()[1]) * 4096 >> 20


def main():
    build, numbers = sys.argv[1], [int(a) for a in sys.argv[2:]]
    circuits, connections, calls = numbers + [10000, 64, 16][len(numbers):]
    directory = tempfile.mkdtemp(prefix="culvert-fair-", dir="/run")
    os.chmod(directory, 0o755)
    path = f"{directory}/sock"
    with open(f"{directory}/node.yaml", "w") as f:
        f.write(f"edge: ams1\nhost-domain: table\nkernel-prefix: cvfair\nrun-dir: {directory}/run\nstore: {directory}/store.db\nsocket: {path}\n"
                f"socket-mode: \"0666\"\nroles:\n  - {{uid: \"0\", role: admin}}\n  - {{uid: \"{VIEWER}\", role: viewer}}\n"
                f"ports:\n  wan0: {{device: wan0}}\n  core0: {{device: core0}}\ndataplane: {{socket: {directory}/dp.sock}}\n")
    with open(f"{directory}/model.yaml", "w") as f:
        f.write(model(circuits))
    with open(f"{directory}/log", "w") as log:
        daemon = subprocess.Popen([f"{build}/control/culvertd", "--config", f"{directory}/node.yaml"], stderr=log)
    child = 0
    try:
        while not os.path.exists(path):
            if daemon.poll() is not None:
                raise SystemExit(open(f"{directory}/log").read())
            time.sleep(0.05)
        subprocess.run([f"{build}/tools/culvertctl/culvertctl", "-s", path, "config", "apply", f"{directory}/model.yaml"],
                       check=True, stdout=subprocess.DEVNULL)
        asker = Asker(path)
        while "result" not in asker.ask("circuit.status", {"circuit": "c00000"}):
            time.sleep(0.1)
        print(f"{circuits} circuits, {connections} connections x {calls} calls; slowest answer in ms while another user floods with the method on the left")
        print(f"{'':24}" + "".join(f"{m:>16}" for m, _ in ASKED) + f"{'RSS MiB':>10}")

        def row(name, worst):
            print(f"{name:24}" + "".join(f"{worst[m]:16.1f}" for m, _ in ASKED) + f"{resident(daemon.pid):10}", flush=True)
        row("(nobody)", slowest(asker, 2))
        for method, params in FLOODS:
            child = os.fork()
            if child == 0:
                try:
                    flood(path, method, params, connections, calls)
                finally:
                    os._exit(1)
            time.sleep(0.5)
            row(method, slowest(asker, SECONDS))
            os.kill(child, 9)
            os.waitpid(child, 0)
            child = 0
            asker.ask("hello")
    finally:
        if child:
            os.kill(child, 9)
            os.waitpid(child, 0)
        daemon.terminate()
        daemon.wait(30)
        for name in os.listdir("/run/netns") if os.path.isdir("/run/netns") else ():
            if name.startswith("cvfair-"):
                subprocess.run(["ip", "netns", "del", name], check=False)
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
