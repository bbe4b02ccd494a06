# SPDX-License-Identifier: BSD-3-Clause
"""One edge, two customers with the same addresses, in host domains `netns` and `table`."""

import json
import os
import pwd
import shutil
import signal
import time

from edge import EDGE_CORE, PREMISES, VNET, VNET_HOST, host
from lab import run, wait_for


def both_reach_their_own(lab):
    return all(lab.whose_vnet(c) == c.vnet for c in lab.customers)


def test_each_customer_reaches_its_own_vnet(edge):
    for c in edge.customers:
        assert edge.ping(c, 10, 0.01) == 10
        assert edge.whose_vnet(c) == c.vnet


def test_packets_of_full_size_pass_with_all_their_tags(edge):
    """1500 bytes of IP, the customer's tags on top: to us, and in BGP updates that fill their segments."""
    for c in edge.customers:
        done = c.router.run("ping", "-n", "-q", "-M", "do", "-s", "1472", "-c", "3", "-i", "0.05", "-w", "5", host(c.subnet, 2), check=False)
        # with -w it sends another one while a reply is late, and three are enough
        assert int(done.stdout.split(" received")[0].split()[-1]) >= 3, f"{c.name}: {done.stdout}"
    c = edge.globex  # two tags
    many = [f"10.{100 + i // 256}.{i % 256}.0/24" for i in range(1100)]
    edge.announce(c, [PREMISES, *many])
    wait_for(lambda: edge.own_peering(c)["accepted"] == 1101, 20, "1,101 routes over two tags")
    edge.announce(c, [PREMISES])
    wait_for(lambda: edge.own_peering(c)["accepted"] == 1, 20, "one route again")


def test_nothing_crosses_between_customers(edge):
    for c, other in ((edge.acme, edge.globex), (edge.globex, edge.acme)):
        before = edge.peer_counters(other)["received"]
        assert edge.ping(c, 100, 0.002) == 100
        assert edge.peer_counters(other)["received"] == before


def test_forged_tunnel_packets_are_counted(edge):
    for source, key in ((edge.acme.gateway, 4242), ("192.0.2.2", edge.acme.key), (edge.globex.gateway, edge.acme.key)):
        before = edge.drops("tunnel-unknown")
        edge.forge(source, key, 10)
        wait_for(lambda b=before: edge.drops("tunnel-unknown") == b + 10, 5, "10 more drops")


def test_peering_addresses_of_another_are_out_of_reach(edge):
    """acme cannot talk to the address we have on globex's peering (mode table has both in one namespace)."""
    c = edge.acme
    ours, ours_on_globex = host(c.subnet, 2), host(edge.globex.subnet, 2)
    if ours_on_globex == ours:
        return  # the same address is acme's own peering then
    c.router.ip("route", "add", ours_on_globex, "via", ours)
    for target, answers in ((ours, 2), (ours_on_globex, 0)):
        done = c.router.run("ping", "-n", "-c", "2", "-i", "0.2", "-w", "2", target, check=False)
        assert f" {answers} received" in done.stdout, done.stdout
    c.router.ip("route", "del", ours_on_globex)


def test_false_announcements_are_rejected_with_their_rule(edge):
    claims = {VNET: "vnet-prefix", "10.9.128.0/17": "vnet-prefix", edge.acme.subnet: "peering-subnet", f"{EDGE_CORE}/32": "outer-address"}
    with edge.claims(edge.acme, claims):
        wait_for(lambda: edge.rejected_as(edge.acme, claims), 10, "all claims rejected")
        assert both_reach_their_own(edge)
    wait_for(lambda: not edge.rejected(edge.acme), 10, "rejected routes gone")


def test_default_route_is_a_route_like_any_other(edge):
    edge.announce(edge.acme, ["10.1.0.0/16", "0.0.0.0/0"])
    wait_for(lambda: edge.installed(edge.acme, "0.0.0.0/0"), 10, "0/0 installed")
    assert both_reach_their_own(edge)
    edge.announce(edge.acme, ["10.1.0.0/16"])
    wait_for(lambda: not edge.installed(edge.acme, "0.0.0.0/0"), 10, "0/0 gone")


def test_a_prefix_of_two_customers_is_accepted_for_both(edge):
    for c in edge.customers:
        edge.announce(c, ["10.1.0.0/16", "10.77.0.0/16"])
    for c in edge.customers:
        wait_for(lambda c=c: edge.installed(c, "10.77.0.0/16"), 10, "installed")
    edge.announce(edge.acme, ["10.1.0.0/16"])
    wait_for(lambda: not edge.installed(edge.acme, "10.77.0.0/16"), 10, "withdrawn by acme")
    assert edge.installed(edge.globex, "10.77.0.0/16")
    edge.announce(edge.globex, ["10.1.0.0/16"])


def test_route_summary_tells_routes_and_bytes_of_each_domain(edge):
    summary = {i["domain"]: i for i in edge.json("route", "summary")["items"]}
    for c in edge.customers:
        for domain in (f"peering/{c.circuit}/private", f"vnet/{c.vnet}"):
            assert summary[domain]["installed"] >= 2
            assert 64 <= summary[domain]["bytes"] <= 65536


def test_vnet_prefix_reaches_the_customer(edge):
    for c in edge.customers:
        assert VNET in edge.birdc(c.bird, "show", "route")


def test_announced_and_withdrawn_within_a_second(edge):
    """From the customer's announcement to the FIB and the first packet: a second, and as long from the kernel's word,
    which is our part of it; withdrawn alike."""
    c, new, source = edge.globex, "10.44.0.0/16", "10.44.0.10"
    c.router.ip("addr", "add", source + "/32", "dev", "lo")
    passes = ["ping", "-n", "-q", "-I", source, "-c", "1", "-W", "0.3", VNET_HOST]
    whole = []
    for _ in range(3):
        for present in (True, False):
            monitor = edge.monitor_routes(c)
            start = time.time()
            edge.announce(c, [PREMISES, new] if present else [PREMISES])
            wait_for(lambda p=present: edge.installed(c, new) == p, 10, f"{new} {'in' if present else 'out of'} the data plane")
            wait_for(lambda p=present: (c.router.run(*passes, check=False).returncode == 0) == p, 10, "traffic follows")
            seen = time.time()
            kernel = wait_for(lambda p=present, m=monitor: m.when(new, p), 5, "the kernel's message")
            monitor.stop()
            assert seen - kernel <= 1.0, f"{seen - kernel:.2f} s after the kernel's message"
            whole.append(seen - start)
    assert sorted(whole)[len(whole) // 2] <= 1.0, whole
    c.router.ip("addr", "del", source + "/32", "dev", "lo")


def test_link_down_takes_the_routes_out(edge):
    c = edge.acme
    c.router.ip("link", "set", "eth0", "down")
    wait_for(lambda: not edge.installed(c, "10.1.0.0/16"), 10, "routes out")
    assert edge.installed(edge.globex, "10.1.0.0/16")
    c.router.ip("link", "set", "eth0", "up")
    wait_for(lambda: edge.installed(c, "10.1.0.0/16"), 20, "routes back")
    wait_for(lambda: edge.reaches_vnet(c), 10, "traffic back")


def carriers(lab, c):
    """Devices in the kernel of the peering's domain that hold our address on it: name -> has a carrier."""
    netns = lab.domain_netns(c)
    lines = run("ip", "-n", netns, "-o", "-4", "addr", "show").stdout.split("\n")
    devices = [line.split()[1] for line in lines if host(c.subnet, 2) + "/" in line]
    return {d: "LOWER_UP" in run("ip", "-n", netns, "link", "show", d).stdout for d in devices}


def test_data_plane_restarted_while_a_port_is_down(edge):
    c = edge.acme
    (device,) = carriers(edge, c)
    c.router.ip("link", "set", "eth0", "down")
    wait_for(lambda: carriers(edge, c) == {device: False}, 10, "no carrier")
    for process in ("dataplane", "daemon"):
        getattr(edge, process).kill()
        getattr(edge, "start_" + process)()
        wait_for(edge.synced, 10, "replayed")
        wait_for(lambda: edge.whose_vnet(edge.globex) == edge.globex.vnet, 10, "traffic of the other")
        wait_for(lambda: carriers(edge, c) == {device: False}, 5, f"still no carrier after {process}")
    assert not edge.installed(c, "10.1.0.0/16")
    c.router.ip("link", "set", "eth0", "up")
    wait_for(lambda: carriers(edge, c) == {device: True}, 10, "carrier")
    wait_for(lambda: edge.reaches_vnet(c), 20, "traffic back")
    assert "cannot set carrier" not in edge.daemon.log()


def test_the_speakers_are_not_root(edge):
    """A user of their own with BIRD's four network capabilities, no way to more, and cores without memory."""
    network = 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13  # NET_BIND_SERVICE, NET_BROADCAST, NET_ADMIN, NET_RAW
    user = pwd.getpwnam("bird")
    daemons = edge.speakers()
    assert len(daemons) == (1 if edge.host_domain == "table" else len(edge.customers))
    for pid in daemons:
        with open(f"/proc/{pid}/status") as f:
            of = dict(line.rstrip("\n").split(":\t") for line in f)
        assert set(of["Uid"].split()) == {str(user.pw_uid)} and set(of["Gid"].split()) == {str(user.pw_gid)}, of
        assert not of["Groups"].split(), of["Groups"]
        assert int(of["CapEff"], 16) == int(of["CapPrm"], 16) == network and int(of["CapInh"], 16) == int(of["CapAmb"], 16) == 0, of
        assert of["NoNewPrivs"] == "1"
        with open(f"/proc/{pid}/coredump_filter") as f:
            assert int(f.read(), 16) == 0


def test_counting_laws_hold_on_the_running_edge(edge):
    for c in edge.customers:
        stats = json.loads(edge.ctl("--json", "circuit", "stats", c.circuit).stdout)
        for link in stats["links"]:
            for i in link["interfaces"] or []:
                came = i["rx_packets"] + i["generated"]
                assert came == i["forwarded"] + i["to_host"] + sum(i["drops"].values()), i


def test_kill_culvertd(edge):
    written = edge.written()
    edge.daemon.kill()
    assert all(edge.ping(c, 20, 0.01) == 20 for c in edge.customers)
    edge.start_daemon()
    wait_for(edge.synced, 10, "replayed")
    wait_for(lambda: edge.installed(edge.acme, "10.1.0.0/16"), 10, "mirror back")
    assert edge.written() == written
    assert both_reach_their_own(edge)


def removals(lab):
    """What the edge's BIRDs were made to take away or restart, of all their logs."""
    found = []
    for directory, _, files in os.walk(lab.dir + "/run/bird"):
        for name in files:
            if name.startswith("bird.log"):
                with open(os.path.join(directory, name), errors="replace") as f:
                    found += [f"{os.path.basename(directory)}: {line.strip()}" for line in f if "Removing protocol" in line or "Restarting protocol" in line]
    return found


def slow_parser(lab):
    """A directory for PATH in which BIRD's parser takes its time, as on a busy machine."""
    directory = os.path.join(lab.dir, "slow")
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, "bird"), "w") as f:
        f.write(f'#!/bin/sh\nif [ "$1" = -p ]; then sleep 0.3; fi\nexec {shutil.which("bird")} "$@"\n')
    os.chmod(os.path.join(directory, "bird"), 0o755)
    return directory


def restart_with_ports_late(lab, monkeypatch):
    """The data plane tells of its ports while the parser reads what was declared without them. It reads, since the main file
    is not as this culvertd writes it."""
    directories = [d for d, _, files in os.walk(lab.dir + "/run/bird") if "bird.conf" in files]
    for directory in directories:
        with open(directory + "/bird.conf", "a") as f:
            f.write("# as another version wrote it\n")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", slow_parser(lab), prepend=os.pathsep)
        lab.dataplane.popen.send_signal(signal.SIGSTOP)
        try:
            lab.start_daemon()
            wait_for(lambda: all(os.path.exists(d + "/bird.conf.new") for d in directories), 10, "the parser reads", 0.01)
        finally:
            lab.dataplane.popen.send_signal(signal.SIGCONT)


def test_a_restart_with_an_unchanged_model_takes_no_session_away(edge, monkeypatch):
    sessions = {c.name: edge.session_since(c) for c in edge.customers}
    before, left = removals(edge), edge.dir + "/run/bird/left-over"
    for number in range(5):
        edge.daemon.kill()
        os.makedirs(left, exist_ok=True)
        if number % 2 == 0:
            restart_with_ports_late(edge, monkeypatch)
        else:
            edge.start_daemon()
        wait_for(edge.synced, 10, "replayed")
        wait_for(lambda: all(edge.session(c) == "established" for c in edge.customers), 10, "sessions heard of")
        wait_for(lambda: not os.path.exists(left), 10, "what an earlier life left is swept")
        assert removals(edge) == before
        assert {c.name: edge.session_since(c) for c in edge.customers} == sessions
    assert both_reach_their_own(edge)


def test_kill_dataplane(edge):
    before = {c.name: edge.circuit_packets(c) for c in edge.customers}
    sessions = {c.name: edge.session_since(c) for c in edge.customers}
    edge.dataplane.kill()
    edge.start_dataplane()
    wait_for(lambda: both_reach_their_own(edge), 10, "traffic back")
    assert {c.name: edge.session_since(c) for c in edge.customers} == sessions
    assert all(edge.circuit_packets(c) >= before[c.name] for c in edge.customers)


def test_kill_both(edge):
    before = {c.name: edge.circuit_packets(c) for c in edge.customers}
    for first, second in (("daemon", "dataplane"), ("dataplane", "daemon")):
        getattr(edge, first).kill()
        getattr(edge, second).kill()
        getattr(edge, "start_" + first)()
        getattr(edge, "start_" + second)()
        wait_for(lambda: all(edge.reaches_vnet(c) for c in edge.customers), 10, "traffic back")
        wait_for(edge.synced, 10, "replayed")
    assert all(edge.circuit_packets(c) >= before[c.name] for c in edge.customers)
