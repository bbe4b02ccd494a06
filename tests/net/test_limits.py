# SPDX-License-Identifier: BSD-3-Clause
"""Limits as a customer and an operator meet them: more prefixes than the contract allows, drops and why, and
what is told to whoever watches."""

import json
import time

from edge import PREMISES, VNET_HOST
from lab import wait_for

LIMIT = 4000


def prefixes(count, first=0):
    return [f"10.{128 + i // 256}.{i % 256}.0/24" for i in range(first, first + count)]


def summary(lab, c):
    return lab.json("route", "summary", "--peering", f"{c.circuit}/private")["items"][0]


def counts(lab, c):
    row = summary(lab, c)
    return row["accepted"], row["held"]


def problems(lab, c):
    return [p["message"] for p in lab.status()["problems"] if p["object"].startswith(f"limit/{c.circuit}/private")]


def settled(lab):
    """The data plane has everything that was decided."""
    status = lab.status()["dataplane"]
    return status["state"] == "synced" and status["records"]["pending"] == 0


def installed(lab, c):
    return {r["prefix"] for r in lab.routes(c, "installed") if r["origin"] == "bgp"}


def test_the_excess_is_held(edge):
    acme, globex = edge.customers
    edge.announce(acme, [PREMISES, *prefixes(3300)])
    wait_for(lambda: counts(edge, acme) == (3301, 0), 20, "3,301 routes")
    wait_for(lambda: any("above 80 %" in p for p in problems(edge, acme)), 5, "a word at 80 %")
    edge.announce(acme, [PREMISES, *prefixes(4999)])
    edge.announce(globex, [PREMISES, "10.77.0.0/16"])
    wait_for(lambda: edge.installed(globex, "10.77.0.0/16"), 10, "the other's route, meanwhile")
    wait_for(lambda: counts(edge, acme) == (LIMIT, 1000), 20, "4,000 of 5,000")
    wait_for(lambda: len(installed(edge, acme)) == LIMIT, 20, "4,000 installed")
    assert len(edge.routes(acme, "held")) == 1000
    wait_for(lambda: any("limit of 4000 prefixes reached, 1000 held" in p for p in problems(edge, acme)), 5, "another when it is full")
    assert edge.circuit_status(acme)["links"][0]["state"] == "degraded"
    assert edge.own_peering(acme)["held"] == 1000
    assert not problems(edge, globex)
    assert all(edge.whose_vnet(c) == c.vnet for c in edge.customers)
    edge.announce(globex, [PREMISES])


def test_a_premium_plan_has_room_for_more(edge):
    """Live: what was held is in within a second of the change, the session stays."""
    acme = edge.acme
    since = edge.own_peering(acme)["since"]
    edge.ctl("circuit", "set", acme.circuit, "--sku", "premium")
    began = time.monotonic()
    wait_for(lambda: counts(edge, acme) == (5000, 0), 5, "5,000 of 10,000")
    wait_for(lambda: len(installed(edge, acme)) == 5000, 5, "5,000 installed")
    print(f"{time.monotonic() - began:.2f} s")
    assert edge.own_peering(acme)["since"] == since and edge.own_peering(acme)["limit"] == 10000
    assert not problems(edge, acme)


def test_and_the_standard_plan_for_no_more(edge):
    acme = edge.acme
    edge.announce(acme, [PREMISES, *prefixes(3900)])
    wait_for(lambda: counts(edge, acme) == (3901, 0), 20, "what the standard plan takes")
    edge.ctl("circuit", "set", acme.circuit, "--sku", "standard")
    wait_for(lambda: edge.own_peering(acme)["limit"] == LIMIT, 5, "the standard plan's limit")
    edge.announce(acme, [PREMISES, *prefixes(4999)])
    wait_for(lambda: counts(edge, acme) == (LIMIT, 1000), 20, "4,000 of 5,000")
    wait_for(lambda: len(installed(edge, acme)) == LIMIT, 20, "4,000 installed")


def test_a_restart_gives_the_places_to_the_same(edge):
    before, written = installed(edge, edge.acme), edge.written()
    edge.daemon.kill()
    edge.start_daemon()
    wait_for(lambda: edge.synced() and counts(edge, edge.acme) == (LIMIT, 1000), 20, "replayed")
    wait_for(lambda: len(installed(edge, edge.acme)) == LIMIT, 10, "4,000 again")
    assert installed(edge, edge.acme) == before
    assert edge.written() == written


def test_free_places_are_filled(edge):
    c = edge.acme
    had = installed(edge, c)
    gone = sorted(had - {PREMISES})[:300]
    edge.announce(c, [PREMISES, *[p for p in prefixes(4999) if p not in gone]])
    wait_for(lambda: counts(edge, c) == (LIMIT, 700), 20, "300 of the held ones take the places")
    wait_for(lambda: len(installed(edge, c)) == LIMIT, 10, "4,000 installed")
    assert had - set(gone) <= installed(edge, c)
    edge.announce(c, [PREMISES])
    wait_for(lambda: counts(edge, c) == (1, 0), 20, "one route again")
    wait_for(lambda: settled(edge) and installed(edge, c) == {PREMISES}, 20, "one installed")
    assert not problems(edge, c)
    assert edge.whose_vnet(c) == c.vnet


def direction(lab, c, name):
    return next(link for link in lab.json("circuit", "stats", c.circuit)["links"] if link["edge"] == "ams1-edge1")[name]


def test_stats_say_why_there_were_drops(edge):
    c = edge.globex
    contract = direction(edge, c, "in")["contract"]
    assert contract["rate"] == 100_000_000 and contract["burst_bytes"] == 625_000 and contract["burst_ms"] == 50
    assert not contract["shaped"]
    assert direction(edge, edge.acme, "out")["contract"]["queue_ms"] == 20
    server = c.gateway_ns.start("udp-server", "iperf3", "-s", "-1", "--forceflush", "-B", VNET_HOST)
    wait_for(lambda: "listening" in server.log(), 5, "iperf3 server")
    flood = c.router.start("udp-client", "iperf3", "-c", VNET_HOST, "-B", "10.1.0.10", "-u", "-b", "200M", "-l", "1400", "-t", "3")
    seen = wait_for(lambda: (direction(edge, c, "in")["last_drops"] or {}).get("ongoing"), 10, "drops, while they last")
    assert seen
    wait_for(lambda: not flood.alive(), 20, "iperf3 ends")
    wait_for(lambda: not direction(edge, c, "in")["last_drops"]["ongoing"], 10, "they have ended")
    now = direction(edge, c, "in")
    drops = now["last_drops"]
    assert 0 < drops["packets"] <= now["best_effort"]["limited_packets"] == now["limited_packets"]
    assert drops["bytes"] > 1400 * drops["packets"] and drops["length_ms"] > 500
    assert now["ef"]["limited_packets"] == 0
    assert now["peak_bytes"] > 12_500 and now["peak_rate"] == now["peak_bytes"] * 8000
    assert now["limited_since"] == drops["start"]
    last = edge.ctl("circuit", "list").stdout.strip().split("\n")[-1]
    assert f"{c.circuit} limited since" in last, last
    edge.daemon.kill()
    edge.start_daemon()
    wait_for(edge.synced, 10, "replayed")
    assert direction(edge, c, "in")["last_drops"]["packets"] == drops["packets"]


def test_sessions_and_ports_are_told(edge):
    c = edge.acme
    monitor = edge.start("monitor", edge.program("tools/culvertctl/culvertctl"), "-s", edge.socket, "--json", "monitor")

    def told(topic, **what):
        events = [json.loads(line) for line in monitor.log().split("\n") if line.endswith("}")]
        return any(e["topic"] == topic and all(e["data"].get(k) == v for k, v in what.items()) for e in events)

    def subscribed():
        edge.ctl("circuit", "set", c.circuit, "--burst", "50ms" if subscribed.turn % 2 else "40ms")
        subscribed.turn += 1
        return told("model")

    subscribed.turn = 0
    wait_for(subscribed, 10, "the monitor listens")
    wait_for(lambda: edge.session(c) == "established", 20, "culvertd knows the session")
    before = edge.session_since(c)
    assert edge.json("peering", "clear", f"{c.circuit}/private") == {"cleared": 1, "failed": 0}
    wait_for(lambda: told("session", peering=f"{c.circuit}/private", link="primary", was="established"), 10, "the session ended")
    wait_for(lambda: told("session", peering=f"{c.circuit}/private", state="established"), 20, "and came again")
    wait_for(lambda: edge.session(c) == "established" and edge.session_since(c) != before, 10, "as the customer sees it")
    c.router.ip("link", "set", "eth0", "down")
    wait_for(lambda: told("port", port="wan0", state="down"), 10, "port down")
    c.router.ip("link", "set", "eth0", "up")
    wait_for(lambda: told("port", port="wan0", state="up"), 10, "port up")
    wait_for(lambda: edge.reaches_vnet(c), 20, "traffic back")
    monitor.stop()
