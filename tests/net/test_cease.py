# SPDX-License-Identifier: BSD-3-Clause
"""Taking a session away: the customer is told (Cease, with the reason), and forwarding stays until he had a moment to use his
other way. A customer with a healthy one loses no packet, counted one by one in both directions."""

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
    wait_for(lambda: lab.status()["sessions"] == {"established": 3, "static": 0, "down": 0}, 10, "which culvertd knows, too")
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
            received.append(sum(map(int, re.findall(r": (\d+)", receiver.log()))))
        return [s - r for s, r in zip(sent, received)]


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
        assert f"link {c.circuit}/{role} was set down" in c.bird.log()[at:], c.bird.log()[at:]
    for role in ("primary", "secondary"):
        links.ctl("link", "set", f"{c.circuit}/{role}", "--admin", "up")
    both_up(links)


def test_a_daemon_that_hangs(links):
    """It sends nothing: the deadline decides, and forwarding ends."""
    c, primary = links.acme, links.acme.circuit + "/primary"
    path = os.path.join(links.dir, "run/bird")
    pids = [int(open(os.path.join(path, d, "bird.pid")).read()) for d in os.listdir(path) if d == "domains" or "acme" in d]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        said = links.ctl("link", "set", primary, "--admin", "down").stderr
        assert "when=untold" in links.daemon.log()
        assert f"not told, the BGP daemon does not answer: the far end of {c.circuit}/private/primary; it keeps the session" in said, said
        assert re.search(r"until its hold time of \d+ s is over", said), said
        wait_for(lambda: links.ping(c, 1, deadline=1) == 0, 10, "what his router still sends there is dropped")
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        links.ctl("link", "set", primary, "--admin", "up")
    both_up(links)
