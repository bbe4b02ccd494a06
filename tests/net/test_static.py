# SPDX-License-Identifier: BSD-3-Clause
"""A customer with whom no BGP is spoken: routes of the model in place of a daemon, through the whole edge, and back."""


from demo import PingTrain
from edge import PREMISES, VNET, host
from lab import wait_for

from test_kills import speaker_pids


def restarts_keep_the_routes(lab):
    """They come from no kernel that could say them again: the data plane keeps them until culvertd has."""
    for _ in range(3):
        wait_for(lab.synced, 10, "nothing under way")
        written, dropped = lab.written(), lab.drops("source")
        lab.daemon.kill()
        train = PingTrain(lab, lab.acme, 0.01, 60)
        lab.start_daemon()
        wait_for(lab.synced, 10, "replayed")
        wait_for(lambda: lab.session(lab.acme) == "static", 10, "its session is heard of")
        wait_for(lambda: lab.installed(lab.acme, PREMISES), 10, "the model's route")
        lost, sent = train.lost()
        assert (lost, lab.drops("source") - dropped, lab.written() - written) == (0, 0, 0), f"of {sent} sent"


def test_routes_in_place_of_bgp(edge):
    acme, peering = edge.acme, f"{edge.acme.circuit}/private"
    birds = len(speaker_pids(edge))
    edge.ctl("peering", "set", peering, "--routes", f"{PREMISES},10.9.1.0/24")  # the second is the vNet's
    acme.router.ip("route", "replace", VNET, "via", host(acme.subnet, 2))  # his side's half, by hand
    wait_for(lambda: edge.session(acme) == "static", 15, "no session, and up")
    wait_for(lambda: edge.installed(acme, PREMISES), 10, "the model's route installed")
    wait_for(lambda: edge.reaches_vnet(acme), 10, "traffic to the vNet and back")
    assert edge.rejected(acme) == {"10.9.1.0/24": "vnet-prefix"}
    told = edge.json("route", "list", "--peering", peering)["items"]
    assert sorted((r["prefix"], r["state"], r["origin"]) for r in told if r["origin"] not in ("vnet", "connection", "connected")) == [
        (PREMISES, "installed", "static"), ("10.9.1.0/24", "rejected", "static")]
    [session] = [s for s in edge.json("peering", "status", peering)["items"] if s["session"] == "static"]
    assert (session["accepted"], session["rejected"], session["advertised"]) == (1, 1, 0)
    assert edge.json("route", "list", "--peering", peering, "--state", "advertised")["items"] == []
    [summary] = edge.json("route", "summary", "--peering", peering)["items"]
    assert (summary["learned"], summary["accepted"], summary["rejected"]) == (2, 1, 1)
    sessions = edge.status()["sessions"]
    assert (sessions["static"], sessions["established"]) == (1, len(edge.customers) - 1), sessions
    assert edge.circuit_status(acme)["state"] != "down"
    if edge.host_domain == "netns":
        wait_for(lambda: len(speaker_pids(edge)) == birds - 1, 15, "his BIRD ends")
    restarts_keep_the_routes(edge)
    edge.ctl("peering", "set", peering, "--routes", "10.77.0.0/16")
    wait_for(lambda: not edge.reaches_vnet(acme), 10, "the other route went")
    edge.ctl("peering", "set", peering, "--unset", "routes")
    acme.router.ip("route", "del", VNET, "via", host(acme.subnet, 2))
    wait_for(lambda: edge.session(acme) == "established", 30, "BGP again")
    wait_for(lambda: edge.reaches_vnet(acme), 10, "traffic by BGP")
    assert edge.reaches_vnet(edge.globex)
