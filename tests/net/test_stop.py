# SPDX-License-Identifier: BSD-3-Clause
"""The machine stops, in the order of docs/operations.md ("Stop everything"): the BGP daemons tell the customers while the data
plane forwards on, so whoever has another way, here round this edge altogether, loses nothing."""

import os
import signal

import pytest
from edge import PREMISES, VNET, EdgeLab
from lab import run, wait_for

from conftest import ROOT, running_lab
from test_cease import Stream
from test_live import reached

OTHER = """
router id 10.254.0.1;
protocol device { }
protocol static vnet { ipv4; route 10.9.0.0/16 via 169.254.51.2; }
protocol kernel { ipv4 { import none; export all; }; }
protocol bgp acme {
	local 169.254.50.1 as 64999;
	neighbor 169.254.50.2 as 65010;
	connect retry time 1;
	connect delay time 1;
	ipv4 { import all; export filter { if proto != "vnet" then reject; bgp_path.prepend(64999); bgp_path.prepend(64999); accept; }; };
}
"""


class WayRound(EdgeLab):
    """acme's router has a second way to his vNet, over another provider: less preferred."""

    def make_network(self):
        super().make_network()
        c, self.other = self.acme, self.netns("other")
        for a, b, device, subnet in ((c.router, self.other, "round0", "169.254.50"), (c.gateway_ns, self.other, "round1", "169.254.51")):
            self.link(b, device, a, "round")
            b.ip("addr", "add", f"{subnet}.1/30", "dev", device)
            a.ip("addr", "add", f"{subnet}.2/30", "dev", "round")
        self.other.sysctl("net.ipv4.ip_forward", 1)

    def start_routers(self):
        super().start_routers()
        self.bird(self.other, "bird-other", OTHER)
        one = "log stderr all;\n" + self.acme.bird_config()
        session = one[one.index("protocol bgp edge"):].replace("bgp edge ", "bgp round ").replace("local 169.254.10.1 ", "local 169.254.50.2 ")
        self.bird_configure(self.acme.bird, one + session.replace("neighbor 169.254.10.2 as 64900", "neighbor 169.254.50.1 as 64999"))

    def way(self):
        """The device by which acme's router reaches his vNet."""
        return self.acme.router.ip("route", "show", VNET).stdout


@pytest.fixture(params=["netns", "table"])
def lab(request, build):
    with running_lab(request, build, request.param, WayRound) as lab:
        wait_for(lambda: "Established" in lab.birdc(lab.acme.bird, "show", "protocols", "round"), 20, "the other way")
        wait_for(lambda: "dev eth0" in lab.way() and reached(lab, lab.acme), 10, "the edge is preferred")
        yield lab


def test_the_machine_stops(lab):
    c = lab.acme
    stream, log = Stream(lab), len(c.bird.log())
    lab.daemon.popen.send_signal(signal.SIGTERM)
    wait_for(lambda: not lab.daemon.alive(), 10, "culvertd has ended")
    path = os.path.join(lab.dir, "run", "bird")
    for name in os.listdir(path):
        run(os.path.join(ROOT, "tools", "culvert-speaker"), "stop", os.path.join(path, name), f"{lab.kernel_prefix}-{name}")
    said = c.bird.log()[log:]
    assert 'edge: Received: Administrative shutdown: "this edge stops"' in said, said
    wait_for(lambda: "dev round" in lab.way(), 5, "he uses the other way")
    c.gateway_ns.ip("route", "replace", PREMISES, "via", "169.254.51.1")  # as the vNet's side does when the edge is drained
    lab.other.ip("route", "replace", PREMISES, "via", "169.254.50.2")
    lab.dataplane.popen.send_signal(signal.SIGTERM)
    wait_for(lambda: not lab.dataplane.alive(), 10, "the data plane has ended")
    assert stream.lost() == [0, 0]
    assert lab.ping(c) == 3
    # And comes again.
    lab.start_dataplane()
    lab.start_daemon()
    wait_for(lab.synced, 20, "synced")
    wait_for(lambda: lab.session(c) == "established" and "dev eth0" in lab.way(), 30, "his session")
    c.gateway_ns.ip("route", "del", PREMISES, "via", "169.254.51.1")
    wait_for(lambda: reached(lab, c), 10, "by the edge again")
