# SPDX-License-Identifier: BSD-3-Clause
"""One change on two edges with a store each: made on both or on neither, whoever is killed at whichever step."""

import array
import contextlib
import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from lab import run, wait_for

SPAN = "5s"  # in place of culvertctl's 30 s: Relay puts it in
NAMES = ("east", "west")
MODEL = """version: 1
edges:
- name: east
  ports:
  - {name: wan0, faces: customer}
- name: west
  ports:
  - {name: wan0, faces: customer}
customers:
- name: acme
"""


class Relay:
    """Between culvertctl and a culvertd: counts the requests, and calls at(step, "before" | "after") of each."""

    def __init__(self, pair, edge):
        self.pair, self.edge = pair, edge
        self.path = os.path.join(pair.dir, edge + ".relay")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(8)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    @staticmethod
    def _line(s):
        data, fds = b"", []
        while not data.endswith(b"\n"):
            more, ancillary, _, _ = s.recvmsg(1 << 16, socket.CMSG_SPACE(4 * 4))
            for level, kind, content in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds += list(array.array("i", content[: len(content) - len(content) % 4]))
            if not more:
                return b"", fds
            data += more
        return data, fds

    def _serve(self, client):
        with contextlib.suppress(OSError), client, socket.socket(socket.AF_UNIX) as server:
            connected = False
            while True:
                request, fds = self._line(client)
                if not request:
                    return
                method = json.loads(request)["method"]
                step = self.pair.step(self.edge, method)
                if self.pair.at(step, "before") == "client":
                    return  # it was not sent
                if not connected:
                    server.connect(self.pair.socket(self.edge))
                    connected = True
                request = request.replace(b'"confirm":"30s"', f'"confirm":"{SPAN}"'.encode())
                assert b'"confirm":"30s"' not in request.replace(b" ", b"")
                ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
                server.sendmsg([request[:1]], ancillary)
                server.sendall(request[1:])
                for fd in fds:
                    os.close(fd)
                answer, _ = self._line(server)
                if self.pair.at(step, "after") == self.edge or not answer:
                    return  # lost with it
                client.sendall(answer)


class Pair:
    """Two culvertd without data planes."""

    def __init__(self, build, prefix, number):
        self.build, self.number = build, number
        self.dir = tempfile.mkdtemp(prefix=f"{prefix}{number}-", dir="/tmp")
        self.prefix = f"{prefix}{number}"
        self.daemon, self.client, self.steps, self.victim = {}, None, [], None
        self.lock = threading.Lock()
        self.relay = {name: Relay(self, name) for name in NAMES}
        for name in NAMES:
            self.write_node(name)
            self.start(name)

    def write_node(self, name, peers=True):
        other = NAMES[1 - NAMES.index(name)]
        socket_ = self.relay[other].path if name == "east" else self.socket(other)
        with open(self.node(name), "w") as f:
            f.write(
                f"""edge: {name}
kernel-prefix: {self.prefix}{name[0]}
run-dir: {self.dir}/{name}
store: {self.dir}/{name}.db
socket: {self.socket(name)}
speaker: /bin/true
roles:
  - {{uid: "0", role: admin}}
ports:
  wan0: {{device: none0}}
dataplane: {{socket: {self.dir}/{name}.dp, stats: {self.dir}/{name}.stats}}
"""
            )
            if peers:
                f.write(f"peers:\n  {other}: {{socket: {socket_}}}\n")

    def node(self, name):
        return os.path.join(self.dir, name + ".yaml")

    def socket(self, name):
        return os.path.join(self.dir, name + ".sock")

    def start(self, name):
        log = open(os.path.join(self.dir, name + ".log"), "ab")
        with log:
            self.daemon[name] = subprocess.Popen([os.path.join(self.build, "control/culvertd"), "--config", self.node(name)], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        wait_for(lambda: self.direct(name, "version", check=False).returncode == 0, 20, f"culvertd of {name} answers")

    def kill(self, name):
        self.daemon[name].kill()
        self.daemon[name].wait(10)

    def words(self, path, *words):
        return [os.path.join(self.build, "tools/culvertctl/culvertctl"), "-s", path, *words]

    def direct(self, name, *words, check=True):
        return run(*self.words(self.socket(name), *words), check=check)

    def ctl(self, *words, check=True):
        """By the relays, from east."""
        return run(*self.words(self.relay["east"].path, *words), check=check)

    def json(self, name, *words):
        return json.loads(self.direct(name, "--json", *words, check=False).stdout)

    def show(self, name):
        return self.direct(name, "config", "show").stdout

    def digests(self):
        """Of both models, None while anything waits."""
        about = [self.peers(name) for name in NAMES]
        return None if any(a["pending"] for a in about) else [a["digest"] for a in about]

    def peers(self, name):
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as s:
            s.settimeout(10)
            s.connect(self.socket(name))
            s.sendall(b'{"jsonrpc":"2.0","id":1,"method":"edge.peers","params":{}}\n')
            return json.loads(Relay._line(s)[0])["result"]

    # ---- the steps

    def step(self, edge, method):
        with self.lock:
            self.steps.append((edge, method))
            return len(self.steps) - 1

    def at(self, step, when):
        if self.victim is None or (step, when) != self.victim[:2]:
            return None
        who = self.victim[2]
        self.victim = None
        if who == "client":
            self.client.kill()
            self.client.wait(10)
        else:
            self.kill(who)
        return who

    def killed_at(self, victim, *words):
        """Runs the command, in which the victim is killed, and starts anew who was. Exit status, or None, and standard error."""
        self.steps, self.victim = [], victim
        with self.lock:  # its first request may be there before it is known
            self.client = subprocess.Popen(self.words(self.relay["east"].path, *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            _, err = self.client.communicate(timeout=60)
        finally:
            for name in NAMES:
                if self.daemon[name].poll() is not None:
                    self.start(name)
        status = self.client.returncode
        return (None if status == -signal.SIGKILL else status), err

    def close(self):
        for relay in self.relay.values():
            relay.listener.shutdown(socket.SHUT_RDWR)  # or the thread that waits in accept() would go on
            relay.listener.close()
        for name in NAMES:
            self.kill(name)
        ours = tuple(f"{self.prefix}{name[0]}-" for name in NAMES)
        for netns in run("ip", "netns", "list").stdout.split("\n"):
            if netns.startswith(ours):
                run("ip", "netns", "del", netns.split(" ")[0], check=False)
        shutil.rmtree(self.dir, ignore_errors=True)


@pytest.fixture(scope="module")
def prefix():
    return os.environ.get("CULVERT_LAB", "cvt") + "e"


@pytest.fixture
def pair(build, prefix):
    pair = Pair(build, prefix, 0)
    try:
        yield pair
    finally:
        pair.close()


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.yaml"
    path.write_text(MODEL)
    return str(path)


def same(pair):
    assert pair.show("east") == pair.show("west")


def test_made_on_both(pair, model, tmp_path):
    (tmp_path / "password").write_text("s3cret-word\n")
    done = pair.ctl("config", "apply", model)
    assert "revision 1 on east, 1 on west" in done.stdout and "warning" not in done.stderr
    same(pair)
    # what is made up is the same: keys, names of passwords
    pair.ctl("circuit", "create", "acme-01", "--customer", "acme", "--bandwidth", "50mbps")
    pair.ctl("peering", "create", "acme-01/private", "--peer-asn", "65010", "--local-asn", "64900", "--primary-subnet", "169.254.10.0/30", "--password", str(tmp_path / "password"))
    same(pair)
    assert "keep:" in pair.show("west") and "service-key:" in pair.show("west")
    revision = pair.peers("east")["revision"]
    pair.ctl("circuit", "set", "acme-01", "--burst", "40ms", "--if-revision", str(revision))  # of east; west's may be another
    assert pair.ctl("circuit", "set", "acme-01", "--burst", "41ms", "--if-revision", str(revision), check=False).returncode == 7
    pair.ctl("customer", "ensure", "acme", "--all-edges")
    batch = tmp_path / "batch"
    batch.write_text("customer create globex\ncircuit create globex-01 --customer globex --bandwidth 50mbps\n")
    pair.ctl("batch", str(batch))
    pair.ctl("peering", "delete", "acme-01/private")
    same(pair)
    # what somebody else has configured is said; and nobody is half changed
    assert [h["verb"] for h in pair.json("west", "config", "history")["items"]][:2] == ["peering.delete", "model.change"]
    at = pair.json("east", "config", "history")["items"][1]["revision"]
    pair.ctl("config", "rollback", str(at))
    same(pair)
    assert "acme-01/private" in pair.direct("west", "peering", "list").stdout
    assert "revision" in pair.ctl("status", check=False).stdout and "the same model" in pair.ctl("status", check=False).stdout


CATALOG = """version: 1
realms: [{name: public}]
areas: [{name: europe, realm: public}]
edges:
- name: east
  ports:
  - {name: wan0, faces: customer, speed: 10gbps, provider: ixnet}
- name: west
  ports:
  - {name: wan0, faces: customer, speed: 10gbps, provider: ixnet}
locations: [{name: ams, area: europe, edges: [east, west]}]
providers:
- {name: ixnet, models: [exchange/l2], bandwidths: [50mbps, 200mbps], locations: [ams]}
customers: [{name: acme}]
"""


def test_an_order(pair, tmp_path):
    """What one edge places is placed so on the other, and where a workflow stands nothing takes back."""
    (tmp_path / "catalog.yaml").write_text(CATALOG)
    pair.ctl("config", "apply", str(tmp_path / "catalog.yaml"))
    for number, first in enumerate(("east", "west", "east")):
        pair.direct(first, "circuit", "create", f"acme-0{number}", "--customer", "acme", "--location", "ams", "--provider", "ixnet", "--bandwidth", "200mbps")
        same(pair)
    links = pair.json("west", "link", "list")["items"]
    assert len(links) == 6 and len({(link["edge"], link["outer-tag"]) for link in links}) == 6
    pair.ctl("circuit", "recreate", "acme-01", "--bandwidth", "50mbps")
    same(pair)
    made = [pair.json(name, "circuit", "show", "acme-01-r2")["object"] for name in NAMES]
    assert made[0] == made[1] and made[0]["bandwidth"] == "50mbps"
    at = pair.peers("east")["revision"]
    key = pair.json("west", "circuit", "show", "acme-00")["object"]["service-key"]
    pair.ctl("cross-connection", "provision", key, "--device", "primary=pe1")
    same(pair)
    pair.ctl("rename", "circuit", "acme-02", "acme-two")
    same(pair)
    assert "name: acme-two" in pair.show("west") and "acme-02" not in pair.show("west")
    renames = tmp_path / "renames"
    renames.write_text("circuit rename acme-two acme-02\ncustomer rename acme acme-corp\ncustomer rename acme-corp acme\n")
    pair.ctl("batch", str(renames))
    same(pair)
    pair.ctl("peering", "create", "acme-00/private", "--peer-asn", "65010", "--local-asn", "64900", "--primary-subnet", "169.254.10.0/30", "--secondary-subnet", "169.254.10.4/30")
    pair.ctl("circuit", "set", "acme-01", "--burst", "40ms", "--confirm", "10m")
    pair.ctl("config", "rollback")
    same(pair)
    assert pair.ctl("circuit", "delete", "acme-00", check=False).returncode == 1
    pair.ctl("config", "rollback", str(at))  # before the provider had done anything
    same(pair)
    assert pair.direct("west", "peering", "show", "acme-00/private", check=False).returncode == 3 and pair.json("west", "circuit", "show", "acme-00")["object"]["provider-state"] == "provisioned"
    # and an edge that has lost its store is made the same by what the other one shows
    (tmp_path / "shown.yaml").write_text(pair.show("east"))
    pair.kill("west")
    for suffix in ("", "-wal", "-shm", ".key"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(pair.dir, "west.db" + suffix))
    pair.start("west")
    assert "ANOTHER MODEL" in pair.ctl("status", check=False).stdout
    pair.ctl("config", "apply", str(tmp_path / "shown.yaml"))
    same(pair)


def test_a_successor(pair, tmp_path):
    """What the first edge makes of it - name, key, tags, subnets, the password - the other one has, too."""
    (tmp_path / "catalog.yaml").write_text(CATALOG)
    (tmp_path / "password").write_text("s3cret-word\n")
    pair.ctl("config", "apply", str(tmp_path / "catalog.yaml"))
    order = ["--customer", "acme", "--location", "ams", "--provider", "ixnet", "--bandwidth", "200mbps"]
    pair.ctl("circuit", "create", "acme-00", *order)
    pair.ctl("cross-connection", "provision", pair.json("west", "circuit", "show", "acme-00")["object"]["service-key"])
    subnets = ["--primary-subnet", "169.254.10.0/30", "--secondary-subnet", "169.254.10.4/30"]
    pair.ctl("peering", "create", "acme-00/private", "--peer-asn", "65010", "--local-asn", "64900", *subnets, "--password", str(tmp_path / "password"))
    pair.ctl("vnet", "create", "acme-prod", "--customer", "acme", "--prefixes", "10.9.0.0/16")
    pair.ctl("connection", "create", "acme-00/acme-prod")
    made = pair.ctl("circuit", "recreate", "acme-00", "--bandwidth", "50mbps")
    assert "next: give ixnet the key" in made.stdout, made.stdout
    same(pair)
    pair.ctl("cross-connection", "provision", pair.json("west", "circuit", "show", "acme-00-r2")["object"]["service-key"])
    pair.ctl("circuit", "recreate", "acme-00", "--name", "acme-00-r2")
    same(pair)
    old, new = (pair.json("west", "peering", "show", f"{name}/private")["object"] for name in ("acme-00", "acme-00-r2"))
    assert new["password"] == old["password"] and new["primary-subnet"] == "169.254.10.8/30"
    kept = pair.ctl("circuit", "replace", "acme-00", "acme-00-r2")
    assert "culvertctl cross-connection deprovision" in kept.stdout
    same(pair)
    assert [c["full_name"] for c in pair.json("west", "connection", "list")["items"]] == ["acme-00-r2/acme-prod"]
    pair.ctl("cross-connection", "deprovision", pair.json("west", "circuit", "show", "acme-00")["object"]["service-key"])
    pair.ctl("circuit", "replace", "acme-00", "acme-00-r2")
    same(pair)
    assert pair.direct("west", "circuit", "show", "acme-00", check=False).returncode == 3


def test_refused_on_one_is_made_on_none(pair, model):
    pair.ctl("config", "apply", model)
    pair.direct("west", "customer", "create", "globex", "--one-edge")
    shown = pair.ctl("status", check=False)
    assert shown.returncode == 1 and "ANOTHER MODEL" in shown.stdout
    before = [pair.show(name) for name in NAMES]
    refused = pair.ctl("customer", "create", "globex", check=False)
    assert refused.returncode == 1 and "edge west: customer \"globex\" exists already" in refused.stderr
    assert [pair.show(name) for name in NAMES] == before
    # with --check neither is changed, and the other one's refusal is told
    assert pair.ctl("customer", "create", "globex", "--check", check=False).returncode == 1
    assert pair.ctl("customer", "create", "initech", "--check").returncode == 0
    # an ensure makes them the same
    done = pair.ctl("customer", "ensure", "globex")
    assert "warning" not in done.stderr
    same(pair)
    # where something waits, and where nobody answers
    pair.direct("west", "customer", "create", "hooli", "--one-edge", "--confirm", "10m")
    refused = pair.ctl("customer", "create", "initech", check=False)
    assert refused.returncode == 7 and "edge west: pending confirm by root (uid:0) until" in refused.stderr
    pair.direct("west", "config", "rollback", "--one-edge")
    pair.kill("west")
    refused = pair.ctl("customer", "create", "initech", check=False)
    assert refused.returncode == 4 and "edge west" in refused.stderr and "--one-edge" in refused.stderr
    pair.ctl("customer", "create", "initech", "--one-edge")
    pair.start("west")
    done = pair.ctl("customer", "ensure", "initech")
    assert "warning" not in done.stderr
    same(pair)


def test_with_a_deadline_of_ones_own(pair, model):
    pair.ctl("config", "apply", model)
    before = pair.show("east")
    pair.ctl("customer", "create", "globex", "--confirm", "10m")
    assert all(pair.peers(name)["pending"] for name in NAMES)
    pair.ctl("config", "rollback")
    assert pair.digests() is not None and pair.show("east") == before
    same(pair)
    pair.ctl("customer", "create", "globex", "--confirm", "10m")
    pair.ctl("config", "confirm")
    assert pair.digests() is not None and "globex" in pair.show("west")
    same(pair)
    # confirmed on the one that decides, forgotten on the other: it follows, when its time is over
    pair.ctl("customer", "create", "initech", "--confirm", "5s")
    pair.direct("east", "config", "confirm", "--one-edge")
    wait_for(lambda: pair.peers("west")["pending"] is None, 10, "west follows")
    assert "initech" in pair.show("west")
    same(pair)
    # and goes back with it
    pair.ctl("customer", "create", "hooli", "--confirm", "5s")
    wait_for(lambda: pair.digests() is not None, 12, "nothing waits")
    assert "hooli" not in pair.show("west") + pair.show("east")
    assert [h["verb"] for h in pair.json("west", "config", "history")["items"]][0] == "config.revert"


def test_who_has_no_peers(pair, model):
    pair.kill("west")
    pair.write_node("west", peers=False)
    pair.start("west")
    pair.direct("west", "config", "apply", model)
    assert "acme" in pair.show("west") and "acme" not in pair.show("east")
    refused = pair.direct("west", "customer", "create", "globex", "--all-edges", check=False)
    assert refused.returncode == 2 and "has no peers" in refused.stderr
    # it could not ask east what has become of a change: told before anything stays
    pair.direct("east", "config", "apply", model, "--one-edge")
    refused = pair.ctl("customer", "create", "globex", check=False)
    assert refused.returncode == 1 and 'edge "east", which the change comes from, is no peer in the node file of west' in refused.stderr, refused.stderr
    assert pair.digests() is not None and "globex" not in pair.show("east") + pair.show("west")
    same(pair)


def test_many_at_once(pair, model):
    """Of those who change at once, over either edge, one is first; the others are told (7) and try again."""
    pair.ctl("config", "apply", model)

    def order(number):
        words = pair.words(pair.socket(NAMES[number % 2]), "customer", "create", f"c{number}")
        end = time.monotonic() + 60
        while time.monotonic() < end:
            done = run(*words, check=False)
            if done.returncode == 0:
                return None
            if done.returncode != 7:
                return done.stderr
        return "no end of conflicts"

    with ThreadPoolExecutor(4) as pool:
        wrong = [w for w in pool.map(order, range(24)) if w]
    assert not wrong, wrong
    assert pair.digests() is not None
    same(pair)
    assert len(json.loads(pair.direct("west", "--json", "customer", "list").stdout)["items"]) == 25


def play(build, prefix, model, case):
    """One kill at one step; what is wrong with the outcome, or None."""
    number, victim = case
    pair = Pair(build, prefix, number)
    try:
        pair.ctl("config", "apply", model)
        old = pair.digests()
        status, err = pair.killed_at(victim, "customer", "create", "globex")
        start = time.monotonic()
        wait_for(lambda: pair.digests() is not None, 20, f"{victim}: nothing waits any more")
        took = time.monotonic() - start
        made = ["globex" in pair.show(name) for name in NAMES]
        said = f"{victim}: exit {status}, made {made}, {took:.1f} s, {err.strip()}"
        if made[0] != made[1] or len(set(pair.digests())) != 1 or (pair.digests() == old) == made[0]:
            return "they differ: " + said
        if status == 0 and not made[0]:
            return "said to be made: " + said
        if status not in (0, None) and made[0] and "is not known" not in err:
            return "said not to be made: " + said
        if took > 8:
            return "too late: " + said
        return None
    finally:
        pair.close()


def test_killed_at_each_step(build, prefix, pair, model):
    """culvertctl or either culvertd, before a request arrives and before its answer does, at every request of a change."""
    pair.ctl("config", "apply", model)
    pair.steps = []
    pair.ctl("customer", "create", "initech")
    steps = [f"{edge} {method}" for edge, method in pair.steps]
    assert steps[:7] == ["east edge.peers", "east customer.create", "west customer.create", "east customer.create", "west customer.create", "east config.confirm", "west config.confirm"], steps
    cases = [(step, when, who) for step in range(7) for when in ("before", "after") for who in ("client", *NAMES)]
    with ThreadPoolExecutor(6) as pool:
        wrong = [w for w in pool.map(lambda case: play(build, prefix, model, case), enumerate(cases, 1)) if w]
    assert not wrong, "\n".join(wrong)


def test_the_one_that_decides_is_down(pair, model):
    """Final on east, which then is down for longer than west would wait for a word: it waits for east, and follows."""
    pair.ctl("config", "apply", model)
    pair.steps, pair.victim = [], (5, "after", "east")
    client = subprocess.Popen(pair.words(pair.relay["east"].path, "customer", "create", "globex"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _, err = client.communicate(timeout=60)
    assert client.returncode == 4 and "edge east" in err and "is not known" in err, err
    until = pair.peers("west")["pending"]["until"]
    wait_for(lambda: time.time() > until + 2, 10, "its deadline is over")
    assert pair.peers("west")["pending"]["decider"]["edge"] == "east" and "globex" in pair.show("west")
    pair.start("east")
    wait_for(lambda: pair.digests() is not None, 10, "west has heard of it")
    same(pair)
    assert "globex" in pair.show("west")
    assert [a["actor"] for a in pair.json("west", "audit", "list")["items"] if a["verb"] == "config.confirm"][0] == "culvertd"


def test_asked_on_a_terminal(pair, model):
    """Before a raise, which cannot be lowered again: no is no change."""
    pair.ctl("config", "apply", model)
    pair.ctl("circuit", "create", "acme-01", "--customer", "acme", "--bandwidth", "50mbps")
    before = pair.show("west")

    def at_terminal(answer, *words):
        own, other = pty.openpty()
        with subprocess.Popen(pair.words(pair.socket("west"), *words), stdin=other, stdout=other, stderr=other, close_fds=True) as client:
            os.close(other)
            said = b""
            with contextlib.suppress(OSError):  # the other end is closed
                while True:
                    more = os.read(own, 4096)
                    if not more:
                        break
                    said += more
                    if b"[y/N]" in more:
                        os.write(own, answer)
            os.close(own)
            return client.wait(10), said.decode()

    raised = ("circuit", "set", "acme-01", "--bandwidth", "10gbps")
    status, said = at_terminal(b"\n", *raised)
    assert status == 1 and "bandwidth of circuit acme-01: 50mbps -> 10gbps cannot be lowered again" in said and "--confirm 10m" in said
    assert pair.show("west") == before
    assert "[y/N]" not in at_terminal(b"", "circuit", "set", "acme-01", "--burst", "20ms")[1]
    status, said = at_terminal(b"", *raised, "--confirm", "10m")
    assert status == 0 and "[y/N]" not in said
    pair.ctl("config", "rollback")
    status, said = at_terminal(b"y\n", *raised)
    assert status == 0 and "10gbps" in pair.show("east")
    same(pair)
