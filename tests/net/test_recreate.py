# SPDX-License-Identifier: BSD-3-Clause
"""A lower bandwidth is another circuit: the old one carries on until its successor is up, and the vNet moves over in one revision
without a packet lost."""

from demo import PingTrain
from edge import VNET_HOST, host
from lab import wait_for


def second_line(lab, tag, subnet):
    """The customer's router gets a line to the other port, in globex's place."""
    c = lab.acme
    lab.globex.router.ip("link", "set", "eth0", "netns", c.router.name, "name", "eth1")
    c.router.ip("link", "set", "eth1", "up")
    c.router.tag("eth1", [tag])
    c.router.ip("addr", "add", host(subnet, 1) + "/30", "dev", "eth1")


def session_of(c, name, subnet):
    return f"""
protocol bgp {name} {{
	local {host(subnet, 1)} as {c.asn};
	neighbor {host(subnet, 2)} as 64900;
	connect retry time 1;
	connect delay time 1;
	error wait time 1, 2;
	ipv4 {{ import all; export where proto = "premises"; }};
}}
"""


def test_lowered_by_a_successor(edge):
    c, successor = edge.acme, f"{edge.acme.circuit}-r2"
    edge.ctl("circuit", "set", c.circuit, "--bandwidth", "100mbps")
    refused = edge.ctl("circuit", "set", c.circuit, "--bandwidth", "50mbps", check=False)
    assert refused.returncode == 1 and f"culvertctl circuit recreate {c.circuit} --bandwidth 50mbps" in refused.stderr, refused.stderr
    train = PingTrain(edge, c, 0.002, 60)
    train.run_on(50)

    said = edge.ctl("circuit", "recreate", c.circuit, "--bandwidth", "50mbps", "--link", "primary:ams1-edge1/wan1:301").stdout
    assert f"culvertctl circuit replace {c.circuit} {successor}" in said, said
    links = [edge.json("link", "show", f"{successor}/{role}")["object"] for role in ("primary", "secondary")]
    assert [(link["edge"], link["port"], link["outer-tag"]) for link in links] == [("ams1-edge1", "wan1", 301), ("ams1-edge2", "wan0", 101)]
    subnet = edge.json("peering", "show", f"{successor}/private")["object"]["primary-subnet"]
    assert subnet != c.subnet
    early = edge.ctl("circuit", "replace", c.circuit, successor, check=False)  # nobody is there yet
    assert early.returncode == 1 and "has none on this edge" in early.stderr, early.stderr
    assert edge.session(c) == "established"

    second_line(edge, 301, subnet)
    edge.bird_configure(c.bird, c.bird_config() + session_of(c, "successor", subnet))
    wait_for(lambda: edge.json("peering", "status", f"{successor}/private")["items"][0]["accepted"] == 1, 20, "its session has brought the premises")
    edge.ctl("connection", "create", f"{successor}/{c.vnet}")  # whoever is to lose nothing has both for a while
    wait_for(lambda: edge.birdc(c.bird, "show", "route", "for", VNET_HOST, "all").count("via") == 2, 15, "the router has both ways")
    edge.ctl("circuit", "replace", c.circuit, successor)
    assert [x["full_name"] for x in edge.json("connection", "list", "--vnet", c.vnet)["items"]] == [f"{successor}/{c.vnet}"]
    assert edge.ctl("circuit", "show", c.circuit, check=False).returncode == 3
    before = edge.json("circuit", "stats", successor)["links"][0]["in"]["packets"]
    wait_for(lambda: edge.json("circuit", "stats", successor)["links"][0]["in"]["packets"] > before + 50, 15, "traffic by the successor")
    lost, sent = train.lost()
    assert lost == 0, f"lost {lost} of {sent}"

    edge.ctl("rename", "circuit", successor, c.circuit)
    assert edge.json("circuit", "show", c.circuit)["object"]["bandwidth"] == "50mbps"
    assert edge.ping(c, 20, 0.01) == 20
