# SPDX-License-Identifier: BSD-3-Clause
"""A provider's IPVPN behind one session: his router has three branches of a customer, each an AS of its own with 40 networks.
The cloud is one more branch: all networks are learned with the paths that they came by, and each branch has the vNet."""

import glob
import os

import pytest
from conftest import PREFIX, start_lab
from lab import run, wait_for

BRANCHES, EACH = 3, 40


def networks(b):
    return [f"10.{100 + b}.{i}.0/24" for i in range(EACH)]


def branch_config(b):
    routes = "\n".join(f"\troute {n} blackhole;" for n in networks(b)[1:])
    return f"""
router id 10.254.0.{b};
protocol device {{ scan time 1; }}
protocol direct {{ ipv4; interface "lo"; }}
protocol static {{ ipv4;
{routes}
}}
protocol kernel {{ ipv4 {{ import none; export where source = RTS_BGP; }}; }}
protocol bgp provider {{
	local 172.16.{b}.2 as {64600 + b};
	neighbor 172.16.{b}.1 as 65010;
	connect retry time 1; connect delay time 0;
	ipv4 {{ import all; export where source != RTS_BGP; }};
}}
"""


def to_branches():
    return "\n".join(f"""protocol bgp branch{b} {{
	local 172.16.{b}.1 as 65010;
	neighbor 172.16.{b}.2 as {64600 + b};
	connect retry time 1; connect delay time 0;
	ipv4 {{ import all; export where source = RTS_BGP; }};
}}""" for b in range(1, BRANCHES + 1))


@pytest.fixture(scope="module")
def lab(build):
    lab = start_lab(build, "netns")
    try:
        yield lab
    finally:
        lab.close()


def test_three_branches_and_the_cloud(lab):
    acme, branch = lab.acme, {}
    acme.router.sysctl("net.ipv4.ip_forward", 1)
    for b in range(1, BRANCHES + 1):
        ns = lab.netns(f"branch{b}")
        lab.link(acme.router, f"branch{b}", ns, "wan")
        acme.router.ip("addr", "add", f"172.16.{b}.1/30", "dev", f"branch{b}")
        ns.ip("addr", "add", f"172.16.{b}.2/30", "dev", "wan")
        ns.ip("addr", "add", networks(b)[0].replace(".0/24", ".1/24"), "dev", "lo")
        branch[b] = (ns, lab.bird(ns, f"bird-branch{b}", branch_config(b)))
    acme.more = to_branches()
    text = acme.bird_config().replace('export where proto = "premises"', "export all")
    lab.bird_configure(acme.bird, text)
    wait_for(lambda: lab.json("route", "summary", "--peering", f"{acme.circuit}/private")["items"][0]["installed"] >= BRANCHES * EACH, 30,
        "all networks of all branches are installed")
    prefixes = {r["prefix"] for r in lab.routes(acme, "installed") if r["origin"] == "bgp"}
    for b in branch:
        assert set(networks(b)) <= prefixes
    # The paths are as they came.
    controls = glob.glob(os.path.join(lab.dir, "run", "**", "bird.ctl"), recursive=True)
    for b in branch:
        shown = [run("birdc", "-s", c, "show", "route", "all", networks(b)[7], "table", "all", check=False).stdout for c in controls]
        assert any(f"BGP.as_path: 65010 {64600 + b}\n" in text for text in shown), shown
    # One session carries them, and the cloud is a branch to each of them.
    assert len([s for s in lab.json("peering", "status", f"{acme.circuit}/private")["items"] if s["session"] == "established"]) == 1
    for ns, bird in branch.values():
        wait_for(lambda: "10.9.0.0/16" in lab.birdc(bird, "show", "route", "for", "10.9.0.1"), 20, "the vNet in the branch")
        assert "BGP.as_path: 65010 64900\n" in lab.birdc(bird, "show", "route", "all", "for", "10.9.0.1")
    for b, (ns, _) in branch.items():
        source = networks(b)[0].replace(".0/24", ".1")
        wait_for(lambda: ns.run("ping", "-n", "-q", "-c", 1, "-W", 1, "-I", source, "10.9.0.1", check=False).returncode == 0, 10, f"branch {b} reaches the vNet")
    # A branch that goes takes its networks along, and nobody else's.
    branch[2][1].stop()
    wait_for(lambda: not set(networks(2)) & {r["prefix"] for r in lab.routes(acme, "installed")}, 20, "branch 2 is gone")
    left = {r["prefix"] for r in lab.routes(acme, "installed")}
    assert set(networks(1)) <= left and set(networks(3)) <= left
