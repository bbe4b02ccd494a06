# SPDX-License-Identifier: BSD-3-Clause
"""Taking a session away: the customer is told (Cease, with the reason), and forwarding stays until he had a moment to use his
other way. A customer with a healthy one loses no packet, counted one by one in both directions."""

import contextlib
import json
import os
import re
import signal
import time

import pytest
from edge import PREMISES_HOST, VNET_HOST, EdgeLab, host
from lab import wait_for

from conftest import running_lab
from test_live import apply, reached

STREAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "stream.py")


class TwoWays(EdgeLab):
    """acme's router has two attachments on this edge: the two links of a circuit, or two circuits of one link each."""

    circuits = 1

    def node_file(self):
        return super().node_file().replace("ports:\n", "lab: true\nports:\n  wan2: {device: wan2}\n", 1)

    def make_attachment(self, c):
        super().make_attachment(c)
        if c is self.acme:
            self.other = "169.254.20.0/30" if self.circuits == 2 else c.secondary_subnet
            self.link(self.edge, "wan2", c.router, "eth1", mtu=1504)
            c.router.tag("eth1", [300])
            c.router.ip("addr", "add", host(self.other, 1) + "/30", "dev", "eth1")

    def start_routers(self):
        super().start_routers()
        self.bird_configure(self.acme.bird, self.two_ways())

    def two_ways(self):
        c = self.acme
        one = "log stderr all;\n" + c.bird_config()
        session = one[one.index("protocol bgp edge"):]
        two = session.replace("bgp edge ", "bgp edge2 ").replace(host(c.subnet, 1) + " ", host(self.other, 1) + " ")
        return one + two.replace(host(c.subnet, 2) + " ", host(self.other, 2) + " ")

    def model(self):
        text = super().model().replace("- {name: wan0, faces: customer}\n", "- {name: wan0, faces: customer}\n      - {name: wan2, faces: customer}\n", 1)
        if self.circuits == 1:
            return text.replace("edge: ams1-edge2, port: wan0, outer-tag: 100}", "edge: ams1-edge1, port: wan2, outer-tag: 300}", 1)
        mine = self.circuit_text(self.acme)
        other = mine.replace("acme-ams-01", "acme-ams-02").replace("port: wan0, outer-tag: 100}", "port: wan2, outer-tag: 300}", 1)
        other = other.replace(self.acme.subnet, "169.254.20.0/30").replace("169.254.10.4/30", "169.254.20.4/30")
        return text.replace(mine, mine + other.replace("edge: ams1-edge2, port: wan0, outer-tag: 100", "edge: ams1-edge2, port: wan0, outer-tag: 101"))


def start(request, build, kind):
    with running_lab(request, build, request.param, kind) as lab:
        both_up(lab)
        yield lab


@pytest.fixture(scope="module", params=["netns", "table"])
def links(request, build):
    yield from start(request, build, TwoWays)


def own_sessions(lab):
    """The customer's word for his two sessions."""
    said = lab.birdc(lab.acme.bird, "show", "protocols")
    return {w[0]: w[-1] for w in (line.split() for line in said.split("\n")) if w and w[0] in ("edge", "edge2")}


def both_up(lab):
    wait_for(lambda: own_sessions(lab) == {"edge": "Established", "edge2": "Established"}, 30, "both sessions of acme")
    wait_for(lambda: lab.status()["sessions"] == {"established": 3, "static": 0, "down": 0, "unknown": 0}, 10, "which culvertd knows, too")
    wait_for(lambda: reached(lab, lab.acme), 10, "acme reaches its vNet")
    wait_for(lambda: lab.installed(lab.acme, "10.1.0.0/16"), 10, "his network is known")


class Stream:
    """Numbered datagrams both ways, 500 a second each."""

    latest = None

    def __init__(self, lab, seconds=6):
        if Stream.latest and Stream.latest.lab is lab:  # of a test that failed
            Stream.latest.lost()
        Stream.latest = self
        self.lab, c = lab, lab.acme
        words, number = ["/usr/bin/python3", "-B", STREAM], str(time.monotonic_ns())
        self.receivers, self.senders = [], []
        for ns, address in ((c.gateway_ns, VNET_HOST), (c.router, PREMISES_HOST)):
            receiver = ns.start(f"receive-{address}-{number}", *words, "receive", address)
            wait_for(lambda r=receiver: "listening" in r.log(), 5, "receiver")
            self.receivers.append(receiver)
        for ns, source, target in ((c.router, PREMISES_HOST, VNET_HOST), (c.gateway_ns, VNET_HOST, PREMISES_HOST)):
            self.senders.append(ns.start(f"send-{source}-{number}", *words, "send", source, target, 500 * seconds, 200, 500 * 200 * 8, 0))
        before = lab.circuit_packets(c)
        wait_for(lambda: lab.circuit_packets(c) > before + 200, 5, "traffic over the way that is to go")

    def lost(self):
        """Towards the vNet, towards the customer."""
        Stream.latest = None
        sent = []
        for sender in self.senders:
            sender.popen.wait(30)
            sent.append(int(sender.log().strip()))
        received = []
        for receiver in self.receivers:
            receiver.stop(5)
            counts = json.loads(receiver.log().strip().split("\n")[-1])
            received.append(sum(n for kind, n in counts.items() if kind != "late"))
        return [s - r for s, r in zip(sent, received)]


def daemons(lab):
    """The processes of acme's BGP daemon."""
    path = os.path.join(lab.dir, "run/bird")
    found = []
    for name in os.listdir(path):
        with contextlib.suppress(OSError, ValueError):
            if name == "domains" or "acme-ams-01" in name:
                found.append(int(open(os.path.join(path, name, "bird.pid")).read()))
    return found


@contextlib.contextmanager
def hung(lab):
    pids = daemons(lab)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield pids
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def problem(lab, name):
    """The first of that name in `status`, None = there is none."""
    return next((p for p in lab.status()["problems"] if p["object"].startswith(name)), None)


def takes_away(lab, words, why):
    stream = Stream(lab)
    at = len(lab.acme.bird.log())
    lab.ctl(*words)
    wait_for(lambda: own_sessions(lab)["edge"] != "Established", 2, "he is told at once")
    said = lab.acme.bird.log()[at:]
    assert "Received: Administrative shutdown" in said and why in said, said
    assert stream.lost() == [0, 0]
    assert own_sessions(lab)["edge2"] == "Established"


def test_a_link_is_set_down(links):
    primary = links.acme.circuit + "/primary"
    takes_away(links, ["link", "set", primary, "--admin", "down"], f"link {primary} was set down")
    assert "when=told" in links.daemon.log()
    links.ctl("link", "set", primary, "--admin", "up")
    both_up(links)


def test_a_link_is_deleted(links):
    primary = links.acme.circuit + "/primary"
    takes_away(links, ["link", "delete", primary], f"link {primary} was removed")
    apply(links, links.model())
    both_up(links)


def test_set_down_and_up_again(links):
    """Within the grace: the session comes back, and nothing was taken away meanwhile."""
    primary = links.acme.circuit + "/primary"
    stream = Stream(links)
    before = links.daemon.log().count("taken back")
    links.start("down", links.program("tools/culvertctl/culvertctl"), "-s", links.socket, "link", "set", primary, "--admin", "down")
    wait_for(lambda: own_sessions(links)["edge"] != "Established", 2, "he is told", 0.005)
    links.ctl("link", "set", primary, "--admin", "up")
    wait_for(lambda: links.daemon.log().count("taken back") > before, 3, "taken back")
    assert stream.lost() == [0, 0]
    both_up(links)


def test_one_link_after_the_other(links):
    """The second goes while the first one's end is under way: he is told of each."""
    c, at = links.acme, len(links.acme.bird.log())
    links.start("first", links.program("tools/culvertctl/culvertctl"), "-s", links.socket, "link", "set", c.circuit + "/primary", "--admin", "down")
    wait_for(lambda: own_sessions(links)["edge"] != "Established", 2, "told of the first", 0.005)
    links.ctl("link", "set", c.circuit + "/secondary", "--admin", "down")
    for role in ("primary", "secondary"):
        wait_for(lambda r=role: f"link {c.circuit}/{r} was set down" in c.bird.log()[at:], 2, f"told of {role}")
    for role in ("primary", "secondary"):
        links.ctl("link", "set", f"{c.circuit}/{role}", "--admin", "up")
    both_up(links)


def test_a_daemon_that_hangs(links):
    """It sends nothing: the deadline decides, and forwarding ends. Whom it could not tell is said wherever one looks."""
    c, primary = links.acme, links.acme.circuit + "/primary"
    with hung(links):
        said = links.ctl("link", "set", primary, "--admin", "down").stderr
        assert "when=untold" in links.daemon.log()
        assert f"not told, the BGP daemon does not answer: the far end of {c.circuit}/private/primary; it keeps the session" in said, said
        assert re.search(r"until its hold time of \d+ s is over", said), said
        wait_for(lambda: links.ping(c, 1, deadline=1) == 0, 10, "what his router still sends there is dropped")
        shown = links.ctl("circuit", "check", c.circuit, check=False).stdout
        assert re.search(r"not told: the BGP daemon hung .* until its hold time of \d+ s is over, at \d\d:\d\d:\d\d at the latest", shown), shown
        assert "not told: the BGP daemon hung" in links.ctl("peering", "show", f"{c.circuit}/private").stdout
        told = problem(links, f"far-end/{c.circuit}/private/primary")
        assert told["level"] == "warning" and "until its hold time" in told["message"], told
    links.ctl("link", "set", primary, "--admin", "up")
    both_up(links)
    assert problem(links, f"far-end/{c.circuit}/private/primary") is None and "not told" not in links.ctl("circuit", "show", c.circuit).stdout


def test_a_daemon_that_hangs_is_replaced(links):
    """Named within seconds; after 15 s another one is in its place, and nobody's forwarding has stood still."""
    c = links.acme
    stream, log = Stream(links, 28), len(links.daemon.log())
    with hung(links) as pids:
        began = time.monotonic()
        told = wait_for(lambda: problem(links, "speaker/"), 6, "status names it")
        assert told["level"] == "error" and "does not answer" in told["message"] and "replaced when that has lasted 15 s" in told["message"], told
        assert told["hint"].startswith("ps -o") and told["hint"].endswith(f"-p {pids[0]}")
        for words in (["circuit", "check", c.circuit], ["peering", "show", f"{c.circuit}/private"]):
            shown = links.ctl(*words, check=False).stdout
            assert "silent: the BGP daemon does not answer: routers keep its" in shown, shown
        assert links.circuit_status(c)["state"] == "up"  # it forwards, and the far ends know of nothing
        wait_for(lambda: not os.path.exists(f"/proc/{pids[0]}"), 25, "it is killed")
        assert time.monotonic() - began > 14
        wait_for(lambda: "replaced" in (problem(links, "speaker/") or {"message": ""})["message"] or daemons(links), 5, "and status says so")
    wait_for(lambda: daemons(links) and daemons(links) != pids, 10, "another one")
    both_up(links)
    assert stream.lost() == [0, 0]
    said = links.daemon.log()[log:]
    assert 'msg="BGP daemon does not answer"' in said and 'msg="hung BGP daemon is replaced"' in said, said
    wait_for(lambda: problem(links, "speaker/") is None, 5, "all is well")
    # Once more: it has twice as long, so that a machine that is too slow is not made slower.
    with hung(links):
        wait_for(lambda: "lasted 30 s" in (problem(links, "speaker/") or {"message": ""})["message"], 6, "patience grows")
    wait_for(lambda: problem(links, "speaker/") is None, 5, "it answers again")
    assert 'msg="BGP daemon answers again"' in links.daemon.log()
    both_up(links)
