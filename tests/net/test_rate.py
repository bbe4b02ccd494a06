# SPDX-License-Identifier: BSD-3-Clause
"""The contracted rate on real traffic through the whole edge. Asserted is what is exact whatever else the machine does:
counts of packets, upper bounds, what must not be lost. Speeds that a busy machine may miss are printed."""

import json
import os
import re
import sys
import time

import pytest
from edge import PREMISES_HOST, VNET_HOST
from lab import wait_for

from conftest import start_lab

STREAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "stream.py")
RATE = 50e6  # acme's circuit, until the last test raises it
BURST = 0.05  # seconds
RAMP = 0.005  # of level above the burst, at 50 Mb/s
EF = 46 << 2
LIMITED = ("limited", "limited-ef")  # reasons of drops


@pytest.fixture(scope="module")
def edge(build):
    lab = start_lab(build, "netns")
    yield lab
    if lab.daemon.popen.poll() is not None:
        lab.print_logs(sys.stderr)
    lab.close()


class Direction:
    """One direction through acme's circuit: where packets are sent and received, what the edge counts."""

    def __init__(self, lab, name):
        self.lab, self.name, self.c = lab, name, lab.acme
        ends = [(self.c.router, PREMISES_HOST), (self.c.gateway_ns, VNET_HOST)]
        (self.sender, self.source), (self.receiver, self.target) = ends if name == "in" else ends[::-1]

    def count(self):
        """What the circuit's limiter says of this direction, and beside it what the interfaces say: how many they gave it
        (seen) and dropped for it (dropped). A packet that this machine loses before the edge reads it is in neither."""
        stats = self.lab.json("circuit", "stats", self.c.circuit)
        link = next(link for link in stats["links"] if link["edge"] == "ams1-edge1")
        (interface,) = link["interfaces"]
        now = {k: v for k, v in link[self.name].items() if isinstance(v, int) and "rate" not in k}
        if self.name == "in":
            drops = interface["drops"]
            now["seen"] = interface["rx_packets"] - interface["to_host"]
        else:
            drops = {i["reason"]: i["packets"] for i in self.lab.json("drops", "--vnet", self.c.vnet)["items"]}
            now["seen"] = interface["tx_packets"] - interface["from_host"] + sum(drops.get(r, 0) for r in LIMITED)
        now["dropped"] = sum(drops.get(r, 0) for r in LIMITED)
        now["ef_dropped"] = drops.get("limited-ef", 0)
        now["other_drops"] = sum(drops.values()) - now["dropped"] + sum(interface["tx_drops"].values())
        return now

    def send(self, count, length, rate, *tos):
        return int(self.start_send(count, length, rate, *tos)())

    def start_send(self, count, length, rate, *tos):
        name = f"send-{time.monotonic_ns()}"
        process = self.sender.start(name, "python3", "-B", STREAM, "send", self.source, self.target, count, length, int(rate), *(tos or [0]))

        def finish():
            process.popen.wait(60)
            return process.log().strip()

        finish.process = process
        return finish

    def listen(self):
        process = self.receiver.start(f"receive-{time.monotonic_ns()}", "python3", "-B", STREAM, "receive", self.target)
        wait_for(lambda: "listening" in process.log(), 5, "the receiver listens")
        return process

    def heard(self, process):
        """{TOS: packets}; none came after one that was sent later."""
        process.stop()
        told = json.loads(process.log().strip().split("\n")[-1])
        assert told.pop("late") == 0
        return {int(k): v for k, v in told.items()}


def since(before, now):
    return {k: now[k] - before[k] for k in before}


def judged(direction, before):
    """What was counted since `before`, once nothing is on its way any more. Each packet is counted once, by all alike."""
    last = []

    def quiet():
        last.append(direction.count())
        return len(last) > 1 and last[-1] == last[-2]

    wait_for(quiet, 10, "counters stand still", 0.2)
    delta = since(before, last[-1])
    assert delta["packets"] + delta["limited_packets"] == delta["seen"], delta
    assert delta["limited_packets"] == delta["dropped"], delta
    assert delta["ef_limited_packets"] == delta["ef_dropped"], delta
    assert delta["other_drops"] == 0, delta
    return delta


def slowest(done):
    """Of a hundred pings the slowest but one, ms."""
    times = sorted(float(t) for t in re.findall(r"time=([0-9.]+) ms", done.stdout))
    return times[len(times) * 99 // 100 - 1]


def set_circuit(lab, **fields):
    lab.ctl("circuit", "set", lab.acme.circuit, *(w for k, v in fields.items() for w in ("--" + k.replace("_", "-"), v)))
    wait_for(lab.synced, 5, "the data plane has it")


def report(what, *numbers):
    print(what, *numbers)


@pytest.mark.parametrize("name", ["in", "out"])
@pytest.mark.parametrize("queue", ["0ms", "20ms"], ids=["policed", "shaped"])
def test_tcp(edge, name, queue):
    """Never more than what is sold. What a flow gets below that is printed: shaped it is all of it unless the machine pauses,
    policed on a path without delay what it gets (decision 4)."""
    set_circuit(edge, shape_in=queue, shape_out=queue)
    direction, ceiling = Direction(edge, name), edge.tcp_ceiling(RATE)
    before, start = direction.count(), time.monotonic()
    got = edge.iperf(edge.acme, name == "out", 4, 1)
    delta, seconds = since(before, direction.count()), time.monotonic() - start
    report(f"{name}, queue {queue}, share of the ceiling: {got / ceiling:.3f}")
    assert delta["bytes"] * 8 <= RATE * (seconds + BURST + RAMP + 0.02) + 8 * 1500
    assert got <= 1.01 * ceiling


@pytest.mark.parametrize("name", ["in", "out"])
@pytest.mark.parametrize("queue", ["0ms", "20ms"], ids=["policed", "shaped"])
def test_every_packet_is_counted_once(edge, name, queue):
    set_circuit(edge, shape_in=queue, shape_out=queue)
    direction = Direction(edge, name)
    ear, before = direction.listen(), direction.count()
    assert direction.send(20000, 1400, 80e6) == 20000
    delta, heard = judged(direction, before), sum(direction.heard(ear).values())
    report(f"{name}, queue {queue}: of 20000 passed {delta['packets']}, limited {delta['limited_packets']}, heard {heard}")
    assert delta["limited_packets"] > 0
    assert heard == delta["packets"] and delta["seen"] <= 20000


@pytest.mark.parametrize("name", ["in", "out"])
def test_voice_beside_a_flood(edge, name):
    """The ping is there and back in EF, 70 kb/s of a share of 5 Mb/s; the flood is 1.6 x the contract. What it waits more than
    without the flood is this machine's as well, and printed."""
    set_circuit(edge, shape_in="0ms", shape_out="0ms", ef_bandwidth="5mbps")
    direction = Direction(edge, name)
    ear = direction.listen()
    voice = ["ping", "-n", "-Q", EF, "-I", PREMISES_HOST, "-c", 300, "-i", "0.01", VNET_HOST]
    alone = slowest(edge.acme.router.run(*voice, timeout=60))
    for _ in range(3):  # a ping that this machine lost before the edge saw it is not the edge's
        before = {n: Direction(edge, n).count() for n in ("in", "out")}
        flood = direction.start_send(40000, 1400, 80e6)
        wait_for(lambda b=before[name]: since(b, direction.count())["limited_packets"] > 0, 10, "the flood is limited")
        done = edge.acme.router.run(*voice, timeout=60)
        assert flood.process.alive(), "the flood ended before the train"
        flood()
        delta = {n: since(before[n], Direction(edge, n).count()) for n in before}
        assert all(d["ef_limited_packets"] == 0 for d in delta.values()), delta
        assert delta[name]["limited_packets"] > 0
        if "300 received" in done.stdout:
            break
    assert "300 received" in done.stdout, done.stdout
    report(f"{name}: 99 of 100 within {slowest(done):.2f} ms, without the flood {alone:.2f} ms")
    assert all(d["ef_packets"] >= 300 for d in delta.values()), delta
    direction.heard(ear)
    edge.ctl("circuit", "set", edge.acme.circuit, "--unset", "ef-bandwidth")


@pytest.mark.parametrize("name", ["in", "out"])
def test_dscp_is_nobodys_business(edge, name):
    """All 64 arrive as they were sent, and so does EF above its share."""
    set_circuit(edge, shape_in="0ms", shape_out="0ms", ef_bandwidth="1mbps")
    direction, all_tos = Direction(edge, name), [d << 2 for d in range(64)]
    ear, before = direction.listen(), direction.count()
    direction.send(640, 200, 2e6, *all_tos)
    judged(direction, before)
    assert direction.heard(ear) == {tos: 10 for tos in all_tos}
    set_circuit(edge, burst="500ms")  # for a worker that this machine stops for a while: it gets all of that at once
    ear, before = direction.listen(), direction.count()
    direction.send(5000, 1400, 20e6, EF)
    delta = judged(direction, before)
    assert delta["limited_packets"] == 0, delta  # best effort has room for the excess
    assert direction.heard(ear) == {EF: delta["ef_packets"]}
    edge.ctl("circuit", "set", edge.acme.circuit, "--unset", "burst")
    edge.ctl("circuit", "set", edge.acme.circuit, "--unset", "ef-bandwidth")


@pytest.mark.parametrize("name", ["in", "out"])
def test_packet_rate(edge, name):
    """A cap of 1,000/s on packets far below the bandwidth: a burst of it and what the time brings, not one more."""
    set_circuit(edge, shape_in="0ms", shape_out="0ms", packet_rate="1000")
    direction = Direction(edge, name)
    before, start = direction.count(), time.monotonic()
    direction.send(3000, 100, 4e6)
    seconds, delta = time.monotonic() - start, judged(direction, before)
    report(f"{name}: {delta['packets']} of 3000 passed a cap of 1,000/s in {seconds:.2f} s")
    assert delta["limited_packets"] > 0
    assert delta["packets"] <= 1000 * (seconds + BURST) + 1
    edge.ctl("circuit", "set", edge.acme.circuit, "--unset", "packet-rate")


def test_tcp_over_a_long_path(edge):
    """20 ms of round trip: what a CUBIC flow gets is printed (the target is 0.98 shaped, 0.92 policed)."""
    edge.start_peer(edge.acme, delay_ms=10)
    wait_for(lambda: edge.reaches_vnet(edge.acme), 10, "through the delay")
    for queue in ("20ms", "0ms"):
        set_circuit(edge, shape_in=queue, shape_out=queue)
        got, ceiling = edge.iperf(edge.acme, False, 6, 2), edge.tcp_ceiling(RATE)
        report(f"20 ms RTT, queue {queue}: share of the ceiling {got / ceiling:.3f}")
        assert got <= 1.01 * ceiling
    done = edge.acme.router.run("ping", "-n", "-q", "-I", PREMISES_HOST, "-c", 20, "-i", "0.02", VNET_HOST, timeout=30)
    shortest = float(re.search(r"= ([0-9.]+)/", done.stdout).group(1))
    assert shortest >= 20, done.stdout
    assert edge.peer_counters(edge.acme)["delay_full"] == 0
    edge.start_peer(edge.acme)
    wait_for(lambda: edge.reaches_vnet(edge.acme), 10, "without the delay")


@pytest.mark.parametrize("name,bandwidths", [("in", ["100mbps"]), ("out", ["200mbps"]), ("in", ["1gbps", "2gbps"]), ("out", ["5gbps", "10gbps"])])
def test_raised_under_a_conforming_stream(edge, name, bandwidths):
    """A stream all the time of what the machine's sender gives, at most 40 Mb/s: no packet is lost, limited or overtaken, the
    session stays. The burst is long enough for a worker that this machine stops for a while."""
    set_circuit(edge, shape_in="0ms", shape_out="0ms", burst="500ms")
    direction, session = Direction(edge, name), edge.session_since(edge.acme)
    for bandwidth in bandwidths:
        ear, before = direction.listen(), direction.count()
        stream = direction.start_send(12000, 1400, 40e6)
        wait_for(lambda b=before: since(b, direction.count())["packets"] > 2000, 10, "the stream runs")
        set_circuit(edge, bandwidth=bandwidth)
        assert stream.process.alive(), "the stream ended before the change"
        assert int(stream()) == 12000
        delta, heard = judged(direction, before), sum(direction.heard(ear).values())
        report(f"{name}, to {bandwidth}: of 12000 the edge saw {delta['seen']}, limited {delta['limited_packets']}, heard {heard}")
        assert delta["limited_packets"] == 0 and heard == delta["packets"] == delta["seen"], delta
    assert edge.session_since(edge.acme) == session
