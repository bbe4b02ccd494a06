# SPDX-License-Identifier: BSD-3-Clause
"""kill -9 of anything at any moment, in the middle of changes and under traffic: after each round everything is
as the model says. The rounds are drawn from a seed (CULVERT_SEED replays it); CULVERT_LONG=1 plays a hundred."""

import copy
import os
import random
import signal
import subprocess
import sys
import textwrap
import time

from demo import PingTrain
from lab import LabError, run, wait_for


ROUNDS = 100 if os.environ.get("CULVERT_LONG") else 6


class Change:
    """A change of the model that a kill may interrupt: `do` may or may not happen, `undo` must, afterwards."""

    def __init__(self, name, do, undo=None, touches=None):
        self.name, self.do, self.undo, self.touches = name, do, undo, touches


def models(lab):
    """Two model files: as the edge is configured now, whatever earlier rounds have changed, and with a third customer, who has a
    circuit of his own on acme's port, added to that."""
    paths = [os.path.join(lab.dir, name) for name in ("third.yaml", "two.yaml")]
    two = lab.ctl("config", "show").stdout
    c = copy.copy(lab.acme)
    c.name, c.circuit, c.vnet, c.vlans, c.key, c.gateway = "initech", "initech-ams-01", "initech-prod", [300], 7003, "198.51.100.31"
    c.subnet, c.secondary_subnet = "169.254.20.0/30", "169.254.20.4/30"
    third = two
    for noun, text in (("customers", f"  - name: {c.name}\n"), ("circuits", lab.circuit_text(c)), ("vnets", lab.vnet_text(c))):
        third = third.replace(f"\n{noun}:\n", f"\n{noun}:\n" + textwrap.dedent(text), 1)
    for path, text in zip(paths, (third, two)):
        with open(path, "w") as f:
            f.write(text)
    return paths


def changes(lab, number):
    tunnel = "edge=ams1-edge1,gateway=198.51.100.99,local=192.0.2.1,key=7099"
    new = [["vnet", "create", "acme-new", "--customer", "acme", "--prefixes", "10.99.0.0/16", "--tunnels", tunnel]]
    third, two = models(lab)
    made = [Change("vnet", new, [["vnet", "delete", "acme-new"]]), Change("model", [["config", "apply", third]], [["config", "apply", two]])] * 2
    for c in lab.customers:
        peering, connection = f"{c.circuit}/private", f"{c.circuit}/{c.vnet}"
        made.append(Change("contract", [["circuit", "set", c.circuit, "--burst", f"{40 + number % 20}ms"]]))
        made.append(Change("disable", [["peering", "set", peering, "--enabled", "false"]], [["peering", "set", peering, "--enabled", "true"]], c))
        made.append(Change("connection", [["connection", "delete", connection]], [["connection", "create", connection]], c))
        made.append(Change("timers", [["peering", "set", peering, "--hold", f"{90 + number % 30}s"]], touches=c))
    return made


def speaker_pids(lab):
    """BIRDs of the edge, by where they run; none may be left from before a kill, none started twice."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as f:
                name = f.read()
            where = os.readlink(f"/proc/{pid}/cwd")
        except OSError:
            continue
        if name == "bird\n" and where.startswith(lab.dir + "/run/bird/"):
            found.append(int(pid))
    return found


def kernel_state(lab):
    """Devices in every namespace of culvertd's: nothing of ours may be left over, nothing of others may go."""
    state = {}
    for line in run("ip", "netns", "list").stdout.split("\n"):
        name = line.split(" ")[0]
        if name.startswith(lab.kernel_prefix + "-"):
            links = run("ip", "-n", name, "-br", "link", check=False).stdout.split("\n")  # it may go meanwhile
            state[name] = sorted(link.split("@")[0].split(" ")[0] for link in links if link)
    return state


def told_all(lab):
    """Whether every router is in a session and keeps no route of a killed speaker. Killed again before it has told them anew, that
    takes them with it, as RFC 4724 (4.2, consecutive restarts) demands; that is not what is tested here."""
    shown = [lab.birdc(c.bird, "show", "protocols", "all", "edge") for c in lab.customers]
    return all("Established" in text and "graceful restart active" not in text for text in shown)


def descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def zombies(process):
    """Children that have ended and that nobody has asked for."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as f:
                state, parent = f.read().rsplit(")", 1)[1].split()[:2]
        except OSError:
            continue
        if state == "Z" and int(parent) == process.pid:
            found.append(int(pid))
    return found


def problems(lab):
    return sorted((p["object"], p["message"]) for p in lab.status()["problems"])


def interface_counters(lab):
    seen = {}
    for c in lab.customers:
        for link in lab.json("circuit", "stats", c.circuit)["links"]:
            for i in link["interfaces"] or []:
                for field in ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes", "forwarded"):
                    seen[i["interface"], field] = i[field]
    return seen


class Chaos:
    def __init__(self, lab, seed):
        self.lab, self.random, self.seed = lab, random.Random(seed), seed
        lab.plant_foreign()
        self.foreign = lab.foreign_state()
        self.kernel, self.problems = kernel_state(lab), problems(lab)
        self.counters = interface_counters(lab)
        self.speakers = len(speaker_pids(lab))
        self.descriptors = {name: descriptors(getattr(lab, name)) for name in ("daemon", "dataplane")}

    def ask(self, words):
        """A change after the storm: it must be taken, or be done already."""
        done = self.lab.ctl(*words, check=False)
        if done.returncode not in (0, 3) and "already" not in done.stderr:
            raise LabError(f"{words}: exit {done.returncode}: {done.stderr}")

    def kill(self, victim):
        lab = self.lab
        if victim == "speaker":
            os.kill(self.random.choice(speaker_pids(lab)), signal.SIGKILL)
            return
        getattr(lab, victim).kill()

    def play(self, number):
        lab, draw = self.lab, self.random
        victims = draw.choice([["daemon"], ["dataplane"], ["speaker"], ["daemon", "dataplane"], ["dataplane", "daemon"], ["daemon", "speaker"], ["speaker", "dataplane"]])
        change = draw.choice(changes(lab, number))
        delays = [draw.choice([0, draw.uniform(0, 0.02), draw.uniform(0, 0.4)]) for _ in range(4)]
        again = draw.random() < 0.3  # what was started is killed once more while it starts
        what = f"seed {self.seed} round {number}: {change.name} of {change.touches.name if change.touches else '-'}, kill {'+'.join(victims)}{' twice' if again else ''}, delays {delays}"
        print(what, file=sys.stderr)
        trains = {c: PingTrain(lab, c, 0.01, 60) for c in lab.customers}
        try:
            self.storm(victims, change, delays, again)
        finally:
            lost = {c: train.lost() for c, train in trains.items()}
        if "dataplane" not in victims:
            for c, (packets, sent) in lost.items():
                assert packets == 0 or c is change.touches, f"{what}: {c.name} lost {packets} of {sent}"
        self.check(what)

    def storm(self, victims, change, delays, again):
        lab = self.lab
        asked = None
        for words in change.do:
            command = [lab.program("tools/culvertctl/culvertctl"), "-s", lab.socket, *words]
            asked = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delays[0])
        for victim in victims:
            self.kill(victim)
            time.sleep(delays[1])
        asked.wait(40)
        for victim in victims:
            if victim == "speaker":
                continue
            getattr(lab, "start_" + victim)()
            time.sleep(delays[2])
            if again:
                self.kill(victim)
                getattr(lab, "start_" + victim)()
        wait_for(lambda: lab.ctl("version", check=False).returncode == 0, 10, "culvertd answers")
        for words in change.undo or []:
            self.ask(words)
        for c in lab.customers:
            wait_for(lambda c=c: lab.whose_vnet(c) == c.vnet, 10, f"{c.name} reaches its own vNet")

    def check(self, what):
        lab = self.lab
        try:
            wait_for(lab.synced, 10, "replayed")
            wait_for(lambda: lab.status()["bridge"]["speakers_pending"] == 0, 10, "speakers have taken the changes over")
            wait_for(lambda: all(lab.session(c) == "established" for c in lab.customers), 10, "sessions")
            wait_for(lambda: told_all(lab), 15, "routers have heard all from the new speaker")
            wait_for(lambda: problems(lab) == self.problems, 10, "no problems but those from before")
            wait_for(lambda: kernel_state(lab) == self.kernel, 10, "namespaces and devices as before")
            wait_for(lambda: len(speaker_pids(lab)) == self.speakers, 10, "speakers as before")
            wait_for(lambda: not zombies(lab.daemon), 10, "no zombies")
            status = lab.status()
            assert status["bridge"]["drift"] == 0 and status["dataplane"]["records"]["refused"] == 0, status
            counters = interface_counters(lab)
            back = {k: (v, counters.get(k)) for k, v in self.counters.items() if counters.get(k, 0) < v}
            assert not back, back
            self.counters = counters
            assert lab.foreign_state() == self.foreign, "something foreign was touched"
            for name, before in self.descriptors.items():
                wait_for(lambda n=name, b=before: descriptors(getattr(lab, n)) <= b, 10, f"descriptors of {name}: {descriptors(getattr(lab, name))}, before {before}")
        except (LabError, AssertionError) as error:
            raise LabError(f"{what}: {error}; problems {problems(lab)}; kernel {kernel_state(lab)}, at first {self.kernel}") from error


def test_random_kills(edge):
    seed = int(os.environ.get("CULVERT_SEED", random.SystemRandom().randrange(1 << 32)))
    chaos = Chaos(edge, seed)
    for number in range(ROUNDS):
        chaos.play(number)
