# SPDX-License-Identifier: BSD-3-Clause
"""Both address families on one peering: one attachment, two sessions. What happens to one family does not touch the other."""

import contextlib
import os
import random
import time

import pytest
from demo import PingTrain
from dual import PREMISES6, PREMISES6_HOST, SUBNETS6, VNET6, VNET6_HOST, DualLab
from edge import PREMISES_HOST, VNET_HOST, Since, host
from lab import run, wait_for

from conftest import running_lab
from test_cease import hung, problem
from test_live import apply, reached


class Acme(DualLab):
    """What is asked here is acme's."""

    @property
    def peering(self):
        return f"{self.acme.circuit}/private"

    def start_routers(self):
        self.acme.more += "log stderr all;\n"
        super().start_routers()

    def single_model(self):
        self.dual = False
        text = self.model()
        self.dual = True
        return text

    def sessions(self):
        """Family -> session, of acme on this edge."""
        items = self.json("peering", "status", self.peering)["items"]
        return {s["family"]: s for s in items if s["edge"] == "ams1-edge1"}

    def states(self):
        return {family: s["session"] for family, s in self.sessions().items()}

    def since(self):
        return {family: s["since"] for family, s in self.sessions().items()}

    def own_link(self):
        return next(link for link in self.circuit_status(self.acme)["links"] if link["edge"] == "ams1-edge1")

    def neighbors(self):
        items = self.json("neighbor", "list", "--circuit", self.acme.circuit)["items"]
        return {n["address"]: n["state"] for n in items}

    def our_addresses(self):
        return run("ip", "-n", self.domain_netns(self.acme), "addr").stdout

    def move6(self, subnets):
        """His router and his BIRD have these addresses."""
        self.set_subnets6(subnets)
        self.acme.more += "log stderr all;\n"
        self.address6()
        self.bird_configure(self.acme.bird, self.acme.bird_config())


@pytest.fixture(scope="module", params=["netns", "table"])
def lab(request, build):
    with running_lab(request, build, request.param, Acme) as lab:
        yield lab


@pytest.fixture
def dual(lab):
    """With both families up, before and after."""
    for name in ("edge", "edge6"):
        lab.birdc(lab.acme.bird, "enable", name)
    apply(lab, lab.model())
    both_up(lab)
    yield lab
    apply(lab, lab.model())
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
    said = lab.birdc(lab.acme.bird, "show", "protocols").split("\n")
    return next(Since(" ".join(line.split()[3:])) for line in said if line.startswith(name + " "))


def test_ipv6_comes_to_a_live_peering_and_goes(lab):
    """One line each for what comes and goes; IPv4 does not notice, and the far end of IPv6 is told."""
    apply(lab, lab.single_model())
    wait_for(lambda: lab.states() == {4: "established"}, 20, "IPv4 alone")
    with undisturbed(lab, 4):
        said = lab.ctl("peering", "set", lab.peering, "--primary-subnet-v6", SUBNETS6[0], "--secondary-subnet-v6", SUBNETS6[1]).stdout
        assert "session resets" not in said, said
        lab.ctl("vnet", "set", lab.acme.vnet, "--add-prefixes", VNET6)
        both_up(lab)
        assert lab.installed(lab.acme, PREMISES6) and lab.installed(lab.acme, "10.1.0.0/16")
        assert VNET6 in lab.birdc(lab.acme.bird, "show", "route", "protocol", "edge6")
        assert lab.neighbors() == {host(lab.acme.subnet, 1): "usable", host(SUBNETS6[0], 1): "usable"}
    at = len(lab.acme.bird.log())
    with undisturbed(lab, 4):
        lab.ctl("vnet", "set", lab.acme.vnet, "--remove-prefixes", VNET6)
        lab.ctl("peering", "set", lab.peering, "--unset", "primary-subnet-v6", "--unset", "secondary-subnet-v6")
        wait_for(lambda: lab.states() == {4: "established"}, 10, "IPv4 alone again")
        wait_for(lambda: not lab.installed(lab.acme, PREMISES6), 10, "its routes go")
        said = lab.acme.bird.log()[at:]
        assert f"edge6: Received: Administrative shutdown" in said and f"IPv6 was removed from peering {lab.peering}" in said, said
        wait_for(lambda: "fd00:77::2" not in lab.our_addresses(), 5, "our address goes")
        assert not [o for o in lab.status()["problems"] if "/v6" in o["object"]]


def test_a_file_that_leaves_a_family_out_is_asked_about(dual):
    for text, says in ((dual.single_model(), f'IPv6 of peering "{dual.peering}", whose BGP session is established'),
                       (dual.model().replace(dual.circuit_text(dual.acme), ""), f'circuit "{dual.acme.circuit}", with 2 established BGP sessions')):
        path = os.path.join(dual.dir, "left-out.yaml")
        with open(path, "w") as f:
            f.write(text)
        done = dual.ctl("config", "apply", path, check=False)
        assert done.returncode == 1 and f"this would delete {says}" in done.stderr and "--delete" in done.stderr, done.stderr
    assert dual.states() == {4: "established", 6: "established"}


def test_shut(dual):
    """Both far ends are told, and both come again."""
    at = len(dual.acme.bird.log())
    dual.ctl("peering", "set", dual.peering, "--enabled", "false")
    said = dual.acme.bird.log()[at:]
    assert said.count(f"peering {dual.peering} was disabled") == 2 and "edge6: Received: Administrative shutdown" in said, said
    wait_for(lambda: dual.own_link()["state"] == "disabled", 5, "the link says why")
    dual.ctl("peering", "set", dual.peering, "--enabled", "true")
    both_up(dual)


def test_a_daemon_that_hangs(dual):
    """IPv6 goes without a word to its far end, which is said of that session; IPv4 forwards."""
    with undisturbed(dual, 4):
        with hung(dual):
            done = dual.ctl("peering", "set", dual.peering, "--unset", "primary-subnet-v6", "--unset", "secondary-subnet-v6")
            assert "not told" in done.stderr, done.stderr
            assert problem(dual, f"far-end/{dual.peering}/primary/v6"), dual.status()["problems"]
        apply(dual, dual.model())
        both_up(dual)
        wait_for(lambda: not problem(dual, "far-end/"), 10, "he has a new one")


def test_renamed(dual):
    """The circuit has another name, and each session has it, too; nothing else happens."""
    names = [dual.acme.circuit, "acme-two-families"]
    with undisturbed(dual, 4), undisturbed(dual, 6):
        for old, new in (names, names[::-1]):
            dual.ctl("rename", "circuit", old, new)
            dual.acme.circuit = new
            wait_for(lambda: dual.states() == {4: "established", 6: "established"}, 10, "both have the new name")
            wait_for(lambda: dual.own_link()["state"] == "up", 5, "the link is up")
            assert not [p for p in dual.status()["problems"] if old in p["object"]], dual.status()["problems"]


def test_made_by_one_command(dual):
    """A circuit with both families, as the manual has circuits made."""
    words = ["circuit", "create", "acme-ams-09", "--customer", "acme", "--bandwidth", "50mbps", "--link", "primary:ams1-edge1/wan0:109"]
    try:
        dual.ctl(*words, "--peering", "private,subnet=169.254.90.0/29,subnet-v6=fd00:90::/125,peer-asn=65010,local-asn=64900", "--connect", dual.acme.vnet)
        items = dual.json("peering", "status", "acme-ams-09/private")["items"]
        assert [(s["family"], s["remote"], s["local"]) for s in items] == [(4, "169.254.90.1", "169.254.90.2"), (6, "fd00:90::1", "fd00:90::2")]
        listed = next(line for line in dual.ctl("peering", "list").stdout.split("\n") if line.startswith("acme-ams-09/private"))
        assert listed.split()[1:3] == ["169.254.90.0/29,", "fd00:90::/125"], listed
    finally:
        apply(dual, dual.model())


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


def test_our_addresses_answer(dual):
    """A ping, and whoever's packet dies here is told so by our address of its family."""
    router = dual.acme.router
    for ours, source, target in ((host(dual.acme.subnet, 2), PREMISES_HOST, VNET_HOST), (host(SUBNETS6[0], 2), PREMISES6_HOST, VNET6_HOST)):
        assert "3 received" in router.run("ping", "-n", "-q", "-c", 3, "-i", 0.05, "-w", 5, ours).stdout
        said = router.run("ping", "-n", "-c", 1, "-t", 1, "-w", 5, "-I", source, target, check=False).stdout
        assert f"From {ours} icmp_seq=1 Time" in said, said


def test_one_password_for_both(dual):
    """Set on both sides, both sessions come up anew with it."""
    secret, config = os.path.join(dual.dir, "secret"), dual.acme.bird_config()
    with open(secret, "w") as f:
        f.write("swordfish")
    before = dual.since()
    dual.ctl("peering", "set", dual.peering, "--password", secret, "--ttl-security", "true")
    try:
        dual.bird_configure(dual.acme.bird, config.replace(" as 64900;", ' as 64900;\n\tpassword "swordfish";\n\tttl security on;'))
        both_up(dual)
        assert all(dual.since()[family] != before[family] for family in before)
    finally:
        dual.ctl("peering", "set", dual.peering, "--unset", "password", "--unset", "ttl-security")
        dual.bird_configure(dual.acme.bird, config)


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
            apply(dual, dual.model())
            wait_for(lambda: "does not answer neighbor solicitations" in dual.own_link()["reason"], 20, "IPv6's router does not answer")
            assert dual.own_link()["state"] == "degraded"
            assert dual.neighbors() == {host(dual.acme.subnet, 1): "usable", host(SUBNETS6[0], 1): "unresolved"}
        finally:
            dual.address6()
        both_up(dual)


def test_other_addresses_of_ipv6(dual):
    with undisturbed(dual, 4):
        try:
            dual.move6(("fd00:78::/126", "fd00:78::4/126"))
            apply(dual, dual.model())
            both_up(dual)
            assert "fd00:77::" not in dual.our_addresses()
        finally:
            dual.move6(SUBNETS6)
            apply(dual, dual.model())


def test_subnets_change_places(dual):
    """globex has the IPv6 subnets that acme had, and acme those of globex, in one change."""
    other = ("fd00:79::/126", "fd00:79::4/126")
    line = f"primary-subnet: {dual.globex.subnet}\n        secondary-subnet: {dual.globex.secondary_subnet}\n        peer-asn: 65020"
    assert line in dual.model()

    def model(of_globex):
        six = f"        primary-subnet-v6: {of_globex[0]}\n        secondary-subnet-v6: {of_globex[1]}\n        peer-asn: 65020"
        return dual.model().replace(line, line.replace("        peer-asn: 65020", six))

    since = dual.session_since(dual.globex)
    with undisturbed(dual, 4):
        try:
            apply(dual, model(other))
            dual.move6(other)
            apply(dual, model(SUBNETS6))
            both_up(dual)
            dual.move6(SUBNETS6)
            apply(dual, model(other))
            both_up(dual)
        finally:
            dual.move6(SUBNETS6)
            apply(dual, dual.model())
    assert dual.session_since(dual.globex) == since


def test_other_addresses_of_ipv4(dual):
    """IPv6 goes on while IPv4 is taken away and given again."""
    with undisturbed(dual, 6):
        dual.ctl("peering", "set", dual.peering, "--unset", "primary-subnet", "--unset", "secondary-subnet")
        wait_for(lambda: dual.states() == {6: "established"}, 10, "IPv6 alone")
        wait_for(lambda: dual.own_link()["state"] == "up", 5, "and that is all")
        apply(dual, dual.model())
        both_up(dual)


def test_one_subnet_for_both_links(dual):
    """Halved, it is what was there: nobody notices."""
    c = dual.acme
    with undisturbed(dual, 4), undisturbed(dual, 6):
        text = dual.model()
        for line in (f"        secondary-subnet: {c.secondary_subnet}\n", f"        secondary-subnet-v6: {SUBNETS6[1]}\n"):
            assert line in text
            text = text.replace(line, "", 1)
        apply(dual, text.replace(f"primary-subnet: {c.subnet}", "subnet: 169.254.10.0/29", 1).replace(f"primary-subnet-v6: {SUBNETS6[0]}", "subnet-v6: fd00:77::/125", 1))
        wait_for(lambda: len(dual.sessions()) == 2, 5, "both sessions")


def test_culvertd_is_killed(dual):
    """Neither family notices."""
    with undisturbed(dual, 4), undisturbed(dual, 6):
        dual.daemon.kill()
        dual.start_daemon()
        wait_for(dual.synced, 20, "synced")
        wait_for(lambda: dual.states() == {4: "established", 6: "established"}, 10, "both are known again")


def test_killed_while_a_family_comes_or_goes(dual):
    """kill -9 of culvertd at any moment of it: what is in force afterwards is what was asked for last, or before, and IPv4 never notices."""
    seed = time.monotonic_ns()
    chance = random.Random(seed)
    models = [dual.model(), dual.single_model(), dual.model().replace("fd00:77::", "fd00:78::")]
    with undisturbed(dual, 4):
        for n in range(8):
            path = os.path.join(dual.dir, f"chance-{n}.yaml")
            with open(path, "w") as f:
                f.write(chance.choice(models))
            dual.start(f"apply-{n}", dual.program("tools/culvertctl/culvertctl"), "-s", dual.socket, "config", "apply", path, "--delete")
            time.sleep(chance.random() * 1.5)
            dual.daemon.kill()
            dual.start_daemon()
            wait_for(dual.synced, 20, f"synced, seed {seed}")
        apply(dual, dual.model())
        wait_for(lambda: dual.states() == {4: "established", 6: "established"}, 30, f"both sessions, seed {seed}")
    assert "fd00:78::" not in dual.our_addresses(), seed


@pytest.mark.parametrize("order", [["dataplane"], ["daemon", "dataplane"]])
def test_the_data_plane_is_killed(dual, order):
    """Both families come back, with the sessions as they were where the TAP devices stayed."""
    since = {family: own_since(dual, family) for family in (4, 6)}
    for name in order:
        getattr(dual, name).kill()
    for name in order:
        getattr(dual, "start_" + name)()
    wait_for(dual.synced, 20, "synced")
    both_up(dual)
    if order == ["dataplane"]:
        assert {family: own_since(dual, family) for family in (4, 6)} == since


def test_static_routes_of_both_families(dual):
    """Without BGP: each family by the router of its own."""
    c = dual.acme
    text = dual.model().replace("        connect: 1s\n", f"        connect: 1s\n        routes: [10.1.0.0/16, {PREMISES6}]\n", 1)
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


FRR = """frr defaults traditional
no ipv6 forwarding
route-map all permit 10
router bgp 65010
 no bgp ebgp-requires-policy
 no bgp network import-check
 bgp router-id 10.255.0.77
 neighbor {n4} remote-as 64900
 neighbor {n4} timers connect 1
 neighbor {n6} remote-as 64900
 neighbor {n6} timers connect 1
 address-family ipv4 unicast
  network 10.1.0.0/16
  no neighbor {n6} activate
 exit-address-family
 address-family ipv6 unicast
  network {p6}
  neighbor {n6} activate
 exit-address-family
"""


def test_a_router_of_another_make(dual):
    """FRR announces IPv6 with its link-local address as a second next hop (RFC 2545, 3): the first one counts."""
    c = dual.acme
    for name in ("edge", "edge6"):
        dual.birdc(c.bird, "disable", name)
    directory = os.path.join(dual.dir, "frr")
    os.makedirs(directory, exist_ok=True)
    os.chmod(dual.dir, 0o755)
    os.chmod(directory, 0o777)
    path = os.path.join(directory, "frr.conf")
    with open(path, "w") as f:
        f.write(FRR.format(n4=host(c.subnet, 2), n6=host(SUBNETS6[0], 2), p6=PREMISES6))
    os.chmod(path, 0o644)
    groups = os.path.join(directory, "group")
    with open("/etc/group") as known, open(groups, "w") as f:
        f.writelines(line.rstrip("\n") + (",root\n" if line.startswith("frrvty:") else "\n") for line in known)
    zserv, daemons = os.path.join(directory, "zserv.api"), []

    def start(name, *more):
        words = ["-f", path, "-i", os.path.join(directory, name + ".pid"), "-z", zserv, "--vty_socket", directory, *more]
        # As root, since the way to the checkout may be root's alone; FRR wants him in its group, and believes this file.
        as_root = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/group && exec "$@"', groups]
        daemons.append(c.router.start(name, *as_root, f"/usr/lib/frr/{name}", *words, "-u", "root", "-g", "root"))

    def knows_his_devices():  # who hears of BGP's next hops before them never uses one
        return "bgp" in c.router.run("vtysh", "--vty_socket", directory, "-c", "show zebra client summary", check=False).stdout

    dual.ctl("peering", "set", dual.peering, "--enabled", "false")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(zserv)
    try:
        start("zebra")
        wait_for(lambda: os.path.exists(zserv), 5, "zebra")
        start("bgpd", "-p", "0")
        wait_for(knows_his_devices, 10, "bgpd and zebra talk")
        dual.ctl("peering", "set", dual.peering, "--enabled", "true")
        wait_for(lambda: dual.states() == {4: "established", 6: "established"}, 30, "both sessions")
        wait_for(lambda: dual.installed(c, PREMISES6) and dual.installed(c, "10.1.0.0/16"), 10, "both networks are known")
        hops = {r["prefix"]: [h["via"] for h in r["nexthops"]] for r in dual.routes(c, "installed") if r["origin"] == "bgp"}
        assert hops == {"10.1.0.0/16": [host(c.subnet, 1)], PREMISES6: [host(SUBNETS6[0], 1)]}
        wait_for(dual.ping6, 10, "IPv6 reaches the vNet")
    finally:
        for daemon in reversed(daemons):
            daemon.stop()
        wait_for(lambda: "established" not in dual.states().values(), 10, "FRR's sessions are over")
        for name in ("edge", "edge6"):
            dual.birdc(c.bird, "enable", name)
