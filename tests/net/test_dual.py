# SPDX-License-Identifier: BSD-3-Clause
"""Both address families on one peering: one attachment, two sessions. What happens to one family does not touch the other."""

import contextlib

import pytest
from demo import PingTrain
from edge import EdgeLab, host
from lab import run, wait_for

from conftest import running_lab
from test_live import apply, reached

PREMISES6, PREMISES6_HOST = "fd00:1::/64", "fd00:1::10"
VNET6, VNET6_HOST = "fd00:9::/64", "fd00:9::1"
SUBNETS6 = ("fd00:77::/126", "fd00:77::4/126")


class DualLab(EdgeLab):
    """acme's router, his BIRD and his gateway know both families; the model begins with IPv4 alone."""

    subnets6 = SUBNETS6

    def make_attachment(self, c):
        super().make_attachment(c)
        if c is self.acme:
            self.with_ipv6(c.router)
            self.address6(c)
            c.router.ip("addr", "add", PREMISES6_HOST + "/128", "dev", "lo")

    def with_ipv6(self, ns):
        for key in ("all", "default"):
            ns.sysctl(f"net.ipv6.conf.{key}.disable_ipv6", 0)

    def address6(self, c):
        c.router.ip("-6", "addr", "flush", "dev", "eth0", "scope", "global")
        c.router.ip("addr", "add", host(self.subnets6[0], 1) + "/126", "dev", "eth0", "nodad")

    def start_peer(self, c, delay_ms=0):
        super().start_peer(c, delay_ms)
        if c is self.acme:
            self.with_ipv6(c.gateway_ns)
            c.gateway_ns.ip("addr", "add", VNET6_HOST + "/128", "dev", "vnet0", "nodad")
            c.gateway_ns.ip("route", "replace", "fd00:1::/32", "dev", "vnet0", "src", VNET6_HOST)

    def start_routers(self):
        super().start_routers()
        self.bird_configure(self.acme.bird, self.both())

    def both(self):
        c = self.acme
        one = "log stderr all;\n" + c.bird_config()
        return one + f"""
protocol static premises6 {{ ipv6; route {PREMISES6} blackhole; }}
protocol kernel {{ ipv6 {{ import none; export where source = RTS_BGP; }}; scan time 5; }}
protocol bgp edge6 {{
	local {host(self.subnets6[0], 1)} as {c.asn};
	neighbor {host(self.subnets6[0], 2)} as 64900;
	connect retry time 1;
	connect delay time 1;
	error wait time 1, 2;
	graceful restart on;
	ipv6 {{ import all; export where proto = "premises6"; }};
}}
"""

    def dual_model(self):
        c = self.acme
        text = self.model().replace(f"primary-subnet: {c.subnet}\n", f"""primary-subnet: {c.subnet}
        primary-subnet-v6: {self.subnets6[0]}
        secondary-subnet-v6: {self.subnets6[1]}
""", 1)
        return text.replace("prefixes: [10.9.0.0/16]", f"prefixes: [10.9.0.0/16, {VNET6}]", 1)

    @property
    def peering(self):
        return f"{self.acme.circuit}/private"

    def sessions(self):
        """Family -> session, of acme on this edge."""
        items = self.json("peering", "status", self.peering)["items"]
        return {s["family"]: s for s in items if s["edge"] == "ams1-edge1"}

    def states(self):
        return {family: s["session"] for family, s in self.sessions().items()}

    def since(self):
        return {family: s["since"] for family, s in self.sessions().items()}

    def ping6(self, count=5):
        done = self.acme.router.run("ping", "-n", "-q", "-I", PREMISES6_HOST, "-c", count, "-i", 0.05, "-w", 5, VNET6_HOST, check=False)
        return f"{count} received" in done.stdout

    def own_link(self):
        return next(link for link in self.circuit_status(self.acme)["links"] if link["edge"] == "ams1-edge1")


@pytest.fixture(scope="module", params=["netns", "table"])
def lab(request, build):
    with running_lab(request, build, request.param, DualLab) as lab:
        yield lab


@pytest.fixture
def dual(lab):
    """With both families up, before and after."""
    for name in ("edge", "edge6"):
        lab.birdc(lab.acme.bird, "enable", name)
    apply(lab, lab.dual_model())
    both_up(lab)
    yield lab
    apply(lab, lab.dual_model())
    both_up(lab)


def both_up(lab):
    wait_for(lambda: lab.states() == {4: "established", 6: "established"}, 20, "both sessions")
    wait_for(lambda: reached(lab, lab.acme), 10, "IPv4 reaches the vNet")
    wait_for(lab.ping6, 10, "IPv6 reaches the vNet")
    wait_for(lambda: lab.own_link()["state"] == "up", 5, "the link is up")


@contextlib.contextmanager
def undisturbed(lab, family):
    """Traffic of this family loses nothing, and its session stays as it is."""
    addresses = {4: {}, 6: {"source": PREMISES6_HOST, "target": VNET6_HOST}}[family]
    train, since, customers = PingTrain(lab, lab.acme, 0.005, 120, **addresses), lab.since()[family], own_since(lab, family)
    train.run_on(20)
    yield
    train.run_on(20)
    lost, sent = train.lost()
    assert lost == 0, f"IPv{family} lost {lost} of {sent}"
    assert lab.since()[family] == since and own_since(lab, family) == customers


def own_since(lab, family):
    """The customer's word for when that session came up."""
    name = "edge" if family == 4 else "edge6"
    return next(line.split()[3:] for line in lab.birdc(lab.acme.bird, "show", "protocols").split("\n") if line.startswith(name + " "))


def test_ipv6_comes_to_a_live_peering_and_goes(lab):
    """One line each for what comes and goes; IPv4 does not notice, and the far end of IPv6 is told."""
    apply(lab, lab.model())
    wait_for(lambda: lab.states() == {4: "established"}, 20, "IPv4 alone")
    with undisturbed(lab, 4):
        said = lab.ctl("peering", "set", lab.peering, "--primary-subnet-v6", SUBNETS6[0], "--secondary-subnet-v6", SUBNETS6[1]).stdout
        assert "session resets" not in said, said
        lab.ctl("vnet", "set", lab.acme.vnet, "--add-prefixes", VNET6)
        both_up(lab)
        assert lab.installed(lab.acme, PREMISES6) and lab.installed(lab.acme, "10.1.0.0/16")
        assert VNET6 in lab.birdc(lab.acme.bird, "show", "route", "protocol", "edge6")
        neighbors = {n["address"]: n["state"] for n in lab.json("neighbor", "list", "--circuit", lab.acme.circuit)["items"]}
        assert neighbors == {host(lab.acme.subnet, 1): "usable", host(SUBNETS6[0], 1): "usable"}
    at = len(lab.acme.bird.log())
    with undisturbed(lab, 4):
        lab.ctl("vnet", "set", lab.acme.vnet, "--remove-prefixes", VNET6)
        lab.ctl("peering", "set", lab.peering, "--unset", "primary-subnet-v6", "--unset", "secondary-subnet-v6")
        wait_for(lambda: lab.states() == {4: "established"}, 10, "IPv4 alone again")
        wait_for(lambda: not lab.installed(lab.acme, PREMISES6), 10, "its routes go")
        said = lab.acme.bird.log()[at:]
        assert f"edge6: Received: Administrative shutdown" in said and f"IPv6 was removed from peering {lab.peering}" in said, said
        wait_for(lambda: "fd00:77::2" not in run("ip", "-n", lab.domain_netns(lab.acme), "addr").stdout, 5, "our address goes")
        assert not [o for o in lab.status()["problems"] if "/v6" in o["object"]]


def test_what_is_shown(dual):
    shown = dual.ctl("peering", "show", dual.peering).stdout
    assert "session on primary (ams1-edge1)  IPv4  established" in shown and "session on primary (ams1-edge1)  IPv6  established" in shown, shown
    shown = dual.ctl("circuit", "show", dual.acme.circuit).stdout
    assert f"peering {dual.peering}  IPv4  established" in shown and f"peering {dual.peering}  IPv6  established" in shown, shown
    advertised = {r["prefix"] for r in dual.routes(dual.acme, "advertised")}
    assert advertised == {"10.9.0.0/16", VNET6}
    sessions = dual.sessions()
    assert [(s["accepted"], s["advertised"], s["remote"]) for s in (sessions[4], sessions[6])] == [(1, 1, host(dual.acme.subnet, 1)), (1, 1, host(SUBNETS6[0], 1))]
    assert dual.status()["sessions"] == {"established": 3, "static": 0, "down": 0, "unknown": 0}


@pytest.mark.parametrize("family", [4, 6])
def test_one_family_is_down(dual, family):
    """The link is degraded and says which, the other family forwards; each is cleared by itself and both at once."""
    name, other = {4: ("edge", 6), 6: ("edge6", 4)}[family]
    with undisturbed(dual, other):
        dual.birdc(dual.acme.bird, "disable", name)
        wait_for(lambda: dual.own_link()["state"] == "degraded", 10, "the link is degraded")
        assert f"no BGP session of {dual.peering} for IPv{family}" in dual.own_link()["reason"]
        assert dual.circuit_status(dual.acme)["state"] == "degraded"
        dual.birdc(dual.acme.bird, "enable", name)
        wait_for(lambda: dual.own_link()["state"] == "up", 20, "up again")


def test_both_are_cleared(dual):
    before = dual.since()
    assert dual.json("peering", "clear", dual.peering) == {"cleared": 2, "failed": 0}
    wait_for(lambda: all(dual.since()[f] != before[f] for f in before), 20, "both sessions are others")


def test_a_router_that_has_one_family_alone(dual):
    """Nobody has the address of IPv6: neighbor discovery says so, IPv4 goes on."""
    with undisturbed(dual, 4):
        dual.ctl("peering", "set", dual.peering, "--unset", "primary-subnet-v6", "--unset", "secondary-subnet-v6")
        dual.acme.router.ip("-6", "addr", "flush", "dev", "eth0", "scope", "global")
        try:
            apply(dual, dual.dual_model())
            wait_for(lambda: "does not answer neighbor solicitations" in dual.own_link()["reason"], 20, "IPv6's router does not answer")
            assert dual.own_link()["state"] == "degraded"
            neighbors = {n["address"]: n["state"] for n in dual.json("neighbor", "list", "--circuit", dual.acme.circuit)["items"]}
            assert neighbors == {host(dual.acme.subnet, 1): "usable", host(SUBNETS6[0], 1): "unresolved"}
        finally:
            dual.address6(dual.acme)
        both_up(dual)


def test_other_addresses_of_ipv6(dual):
    with undisturbed(dual, 4):
        dual.subnets6 = ("fd00:78::/126", "fd00:78::4/126")
        try:
            dual.address6(dual.acme)
            dual.bird_configure(dual.acme.bird, dual.both())
            apply(dual, dual.dual_model())
            both_up(dual)
            assert "fd00:77::" not in run("ip", "-n", dual.domain_netns(dual.acme), "addr").stdout
        finally:
            dual.subnets6 = SUBNETS6
            dual.address6(dual.acme)
            dual.bird_configure(dual.acme.bird, dual.both())
            apply(dual, dual.dual_model())


def test_other_addresses_of_ipv4(dual):
    """IPv6 goes on while IPv4 is taken away and given again."""
    with undisturbed(dual, 6):
        dual.ctl("peering", "set", dual.peering, "--unset", "primary-subnet", "--unset", "secondary-subnet")
        wait_for(lambda: dual.states() == {6: "established"}, 10, "IPv6 alone")
        wait_for(lambda: dual.own_link()["state"] == "up", 5, "and that is all")
        apply(dual, dual.dual_model())
        both_up(dual)


def test_one_subnet_for_both_links(dual):
    """Halved, it is what was there: nobody notices."""
    c = dual.acme
    with undisturbed(dual, 4), undisturbed(dual, 6):
        text = dual.dual_model()
        for line in (f"        secondary-subnet: {c.secondary_subnet}\n", f"        secondary-subnet-v6: {SUBNETS6[1]}\n"):
            assert line in text
            text = text.replace(line, "", 1)
        apply(dual, text.replace(f"primary-subnet: {c.subnet}", "subnet: 169.254.10.0/29", 1).replace(f"primary-subnet-v6: {SUBNETS6[0]}", "subnet-v6: fd00:77::/125", 1))
        wait_for(lambda: len(dual.sessions()) == 2, 5, "both sessions")


@pytest.mark.parametrize("who", ["daemon", "dataplane"])
def test_killed(dual, who):
    """kill -9 of culvertd is noticed by neither family; both come back after one of the data plane."""
    if who == "daemon":
        with undisturbed(dual, 4), undisturbed(dual, 6):
            dual.daemon.kill()
            dual.start_daemon()
            wait_for(dual.synced, 20, "synced")
            wait_for(lambda: dual.states() == {4: "established", 6: "established"}, 10, "both are known again")
        return
    dual.dataplane.kill()
    dual.start_dataplane()
    wait_for(dual.synced, 20, "synced")
    both_up(dual)


def test_static_routes_of_both_families(dual):
    """Without BGP: each family by the router of its own."""
    c = dual.acme
    text = dual.dual_model().replace("        connect: 1s\n", f"        connect: 1s\n        routes: [10.1.0.0/16, {PREMISES6}]\n", 1)
    dual.birdc(c.bird, "disable", "edge")
    dual.birdc(c.bird, "disable", "edge6")
    c.router.ip("route", "add", "10.9.0.0/16", "via", host(c.subnet, 2), "metric", 999)
    c.router.ip("route", "add", VNET6, "via", host(SUBNETS6[0], 2), "metric", 999)
    try:
        apply(dual, text)
        wait_for(lambda: dual.states() == {4: "static", 6: "static"}, 10, "no BGP is spoken")
        wait_for(lambda: reached(dual, c), 10, "IPv4 reaches the vNet")
        wait_for(dual.ping6, 10, "IPv6 reaches the vNet")
        hops = {r["prefix"]: [h["via"] for h in r["nexthops"]] for r in dual.routes(c, "installed") if r["origin"] == "static"}
        assert hops == {"10.1.0.0/16": [host(c.subnet, 1)], PREMISES6: [host(SUBNETS6[0], 1)]}
        assert [s["accepted"] for s in dual.sessions().values()] == [1, 1]
    finally:
        c.router.ip("route", "del", "10.9.0.0/16", "via", host(c.subnet, 2), "metric", 999)
        c.router.ip("route", "del", VNET6, "via", host(SUBNETS6[0], 2), "metric", 999)
        dual.birdc(c.bird, "enable", "edge")
        dual.birdc(c.bird, "enable", "edge6")
