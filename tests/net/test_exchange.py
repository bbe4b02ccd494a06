# SPDX-License-Identifier: BSD-3-Clause
"""Values that must be unique change places on a running edge: forwarding is the model's within a moment."""

import pytest
from lab import wait_for

from test_live import apply


@pytest.fixture(autouse=True)
def quiet(edge):
    """What the next exchange heals is refused for a moment, and nobody's news."""
    before = edge.daemon.log().count("data plane refused")
    yield
    assert edge.daemon.log().count("data plane refused") == before, [line for line in edge.daemon.log().split("\n") if "refused" in line]


def swapped(edge, *pairs):
    text = edge.model()
    for a, b in pairs:
        text = text.replace(a, "\0").replace(b, a).replace("\0", b)
    return text


def received(edge, c):
    """Packets that came in on the circuit's link at this edge, counted by its interface."""
    stats = edge.json("circuit", "stats", c.circuit)
    link = next(i for i in stats["links"] if i["edge"] == "ams1-edge1")
    return sum(i["rx_packets"] for i in link["interfaces"])


def tunnel(c):
    return f"gateway: {c.gateway}, local: 192.0.2.1, key: {c.key}}}"


@pytest.mark.parametrize("fields", ["key and gateway"])
def test_two_tunnels_change_places(edge, fields):
    """Both vNets have the same prefixes, so who answers tells whose tunnel a customer's packets take."""
    a, b = edge.acme, edge.globex
    assert edge.whose_vnet(a) == a.vnet and edge.whose_vnet(b) == b.vnet
    apply(edge, swapped(edge, (tunnel(a), tunnel(b))))
    wait_for(lambda: edge.whose_vnet(a) == b.vnet and edge.whose_vnet(b) == a.vnet, 10, "the tunnels are exchanged")
    wait_for(edge.synced, 5, "synced")
    apply(edge, edge.model())
    wait_for(lambda: edge.whose_vnet(a) == a.vnet and edge.whose_vnet(b) == b.vnet, 10, "and back")
    wait_for(edge.synced, 5, "synced")


def test_two_attachments_change_places(edge):
    """Ports and tags: each customer's frames belong to the other's circuit, and nobody else's. No session comes up
    there (AS numbers and subnets are the other's), but what arrives is counted on the other's circuit."""
    a, b = edge.acme, edge.globex

    def link(c):
        inner = f", inner-tag: {c.vlans[1]}" if len(c.vlans) == 2 else ""
        return f"edge: ams1-edge1, port: {c.port}, outer-tag: {c.vlans[0]}{inner}}}"

    apply(edge, swapped(edge, (link(a), link(b))))
    wait_for(edge.synced, 5, "the data plane took it")
    # What comes with the other's tag on the other's port is charged to the other, by rule and by counter.
    before = received(edge, a), received(edge, b)

    def moved():
        edge.ping(a, 100, 0.005, deadline=1)
        return received(edge, b) >= before[1] + 100

    wait_for(moved, 10, "acme's frames arrive on globex's circuit")
    assert received(edge, a) - before[0] < 50  # BGP's attempts of globex's router, no ping of acme's
    apply(edge, edge.model())
    wait_for(edge.synced, 5, "synced")
    for c in (a, b):
        wait_for(lambda c=c: edge.whose_vnet(c) == c.vnet, 20, f"{c.name}'s own again")
        # The other's router was met under the same address, and refused for its AS number. It is his word that counts: ours may
        # still be that of the session before.
        wait_for(lambda c=c: "Established" in edge.session_since(c).text, 20, f"{c.name}'s session again")
    wait_for(lambda: edge.ctl("status", check=False).returncode == 0, 10, "which is known here, too")


def test_a_port_that_carries_less_is_a_problem(edge):
    """An interface larger than its port is carried out at what the port carries, and status names both numbers."""
    port, link = f"ams1-edge1/{edge.acme.port}", f"{edge.acme.circuit}/primary"
    assert edge.ctl("status", check=False).returncode == 0, edge.ctl("status", check=False).stdout
    edge.ctl("port", "set", port, "--mtu", "9000")
    edge.ctl("link", "set", link, "--mtu", "9000")
    try:
        wait_for(lambda: [p for p in edge.status()["problems"] if "9000" in p["message"] and "carries 15" in p["message"]], 5, "both numbers")
        assert edge.ctl("status", check=False).returncode == 1
        assert edge.whose_vnet(edge.acme) == edge.acme.vnet
    finally:
        edge.ctl("link", "set", link, "--mtu", "1500")
        edge.ctl("port", "set", port, "--mtu", "1500")
    wait_for(lambda: edge.ctl("status", check=False).returncode == 0, 5, "all is well again")


def test_a_new_vnet_takes_the_tunnel_of_one_that_goes(edge):
    """The connection names the new one: routes to the same prefix lead from the old tunnel to the new one at once."""
    c, since = edge.acme, edge.session_since(edge.acme)
    apply(edge, edge.model().replace(c.vnet, "acme-new"))
    wait_for(lambda: edge.whose_vnet(c) == c.vnet, 10, "the same gateway answers")  # the echo's name is the gateway's own
    wait_for(edge.synced, 5, "synced")
    assert edge.session_since(c) == since
    assert edge.ctl("status", check=False).returncode == 0
    apply(edge, edge.model())
    wait_for(lambda: edge.whose_vnet(c) == c.vnet, 10, "and back")
    wait_for(edge.synced, 5, "synced")
