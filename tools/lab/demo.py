# SPDX-License-Identifier: BSD-3-Clause
"""The seven points of ./tools/demo. Each is a function that raises LabError with what it saw instead."""

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time

from dual import DualLab
from edge import EDGE_CORE, PREMISES_HOST, VNET, VNET_HOST, EdgeLab
from lab import LabError, leftovers, run, wait_for

PREFIX = "culvert-demo"


def expect(condition, what):
    if not condition:
        raise LabError(what)


class PingTrain:
    """A ping every few ms in the background; lost() ends it and says how many were not answered."""

    def __init__(self, lab, customer, interval=0.001, seconds=30, source=PREMISES_HOST, target=VNET_HOST):
        self.lab, self.customer = lab, customer
        self.path = os.path.join(lab.dir, f"train-{customer.name}-{time.monotonic_ns()}")
        words = [*customer.router.enter(), "ping", "-n", "-I", source, "-i", str(interval), "-w", str(seconds), target]
        with open(self.path, "w") as out:
            self.popen = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)

    def run_on(self, count):
        """Waits until the edge has carried `count` more of its packets, there and back."""
        start = self.lab.circuit_packets(self.customer)
        wait_for(lambda: self.lab.circuit_packets(self.customer) >= start + 2 * count, 20, f"{count} more pings of {self.customer.name}")

    def answered(self):
        """The numbers of those that were, and how many were sent: 0 as long as it runs."""
        with open(self.path) as f:
            text = f.read()
        sent = re.search(r"^(\d+) packets transmitted", text, re.M)
        return {int(n) for n in re.findall(r" icmp_seq=(\d+) ttl", text)}, int(sent[1]) if sent else 0

    def stop(self):
        """(sent, received), of those up to the last that was answered: ping does not wait for what is on its way. Without
        one more answer before the end, of all."""
        newest, alive = max(self.answered()[0], default=0), self.popen.poll() is not None
        if not alive:
            with contextlib.suppress(LabError):
                alive = wait_for(lambda: max(self.answered()[0], default=0) > newest, 5, "one more answer")
            self.popen.send_signal(signal.SIGINT)
        self.popen.wait(15)
        received, sent = self.answered()
        if sent == 0:
            raise LabError("the ping train printed no summary")
        return max(received) if alive and received else sent, len(received)

    def lost(self):
        sent, received = self.stop()
        return sent - received, sent


class Demo:
    def __init__(self, lab):
        self.lab = lab

    # 1
    def same_addresses(self):
        lab = self.lab
        for c in lab.customers:
            wait_for(lambda c=c: lab.session(c) == "established", 15, f"BGP session of {c.name}")
        for c in lab.customers:
            wait_for(lambda c=c: lab.reaches_vnet(c), 10, f"{c.name} reaches its vNet")
            expect(lab.ping(c, 5) == 5, f"{c.name}: lost pings")
            expect(lab.whose_vnet(c) == c.vnet, f"{c.name} connected to {VNET_HOST} and met {lab.whose_vnet(c)!r}")
        wait_for(lab.ping6, 10, "acme reaches its vNet by IPv6, too")
        families = {p["family"]: p["session"] for link in lab.circuit_status(lab.acme)["links"] if link["edge"] == "ams1-edge1" for p in link["peerings"]}
        expect(families == {4: "established", 6: "established"}, f"sessions of acme: {families}")
        return "acme and globex, both 10.1.0.0/16 and vNet 10.9.0.0/16, peerings both 169.254.10.0/30: each reaches its own; acme by IPv6, too, on the same peering"

    # 2
    def keyed_gre(self):
        lab = self.lab
        seen = []
        for c in lab.customers:
            before = lab.peer_counters(c)
            expect(lab.ping(c, 20, 0.01) == 20, f"{c.name}: lost pings")
            now = lab.peer_counters(c)
            expect(now["received"] - before["received"] >= 20 and now["sent"] - before["sent"] >= 20, f"gateway of {c.name} saw {before} then {now}")
            expect(now["foreign_key"] == 0 and now["foreign_source"] == 0 and now["bad_header"] == 0, f"gateway of {c.name} refused packets: {now}")
            seen.append(f"{c.vnet} key {c.key}")
        return "gre-peer, an independent program, took and gave every packet: " + ", ".join(seen)

    # 3
    def isolation(self):
        lab = self.lab
        for c, other in ((lab.acme, lab.globex), (lab.globex, lab.acme)):
            before = lab.peer_counters(other)["received"]
            expect(lab.ping(c, 50, 0.004) == 50, f"{c.name}: lost pings")
            after = lab.peer_counters(other)["received"]
            expect(after == before, f"{after - before} packets of {c.name} reached {other.vnet}")
        forged = [("wrong key", lab.acme.gateway, 9999), ("right key, wrong source", "192.0.2.2", lab.acme.key), ("another's key", lab.globex.gateway, lab.acme.key)]
        for what, source, key in forged:
            before = lab.drops("tunnel-unknown")
            lab.forge(source, key, 20)
            wait_for(lambda: lab.drops("tunnel-unknown") == before + 20, 5, f"{what}: 20 packets counted tunnel-unknown, saw {lab.drops('tunnel-unknown') - before}")
        claims = {"10.9.0.0/16": "vnet-prefix", "10.9.7.0/24": "vnet-prefix", "169.254.10.0/30": "peering-subnet", f"{EDGE_CORE}/32": "outer-address"}
        shared = "10.77.0.0/16"
        lab.announce(lab.globex, ["10.1.0.0/16", shared])
        with lab.claims(lab.acme, [shared, *claims]):
            rejected = wait_for(lambda: lab.rejected_as(lab.acme, claims), 10, f"acme's claims rejected as {claims}, saw {lab.rejected(lab.acme)}")
            wait_for(lambda: lab.installed(lab.acme, shared) and lab.installed(lab.globex, shared), 10, f"{shared} accepted for both")
            for c in lab.customers:
                expect(lab.whose_vnet(c) == c.vnet, f"after the false announcements {c.name} meets {lab.whose_vnet(c)!r}")
        lab.announce(lab.globex, ["10.1.0.0/16"])
        wait_for(lambda: not lab.installed(lab.acme, shared), 10, f"{shared} withdrawn")
        return f"no packet crossed; 60 forged GRE packets counted tunnel-unknown; {len(rejected)} false announcements rejected with their rule"

    # 4
    def wire(self):
        lab = self.lab
        pcap = os.path.join(lab.dir, "core.pcap")
        dump = lab.core.start("tcpdump", "tcpdump", "-i", "edge0", "-U", "-w", pcap, "ip proto 47")
        wait_for(lambda: "listening on" in dump.log(), 5, "tcpdump listens")
        for c in lab.customers:
            expect(lab.ping(c, 5, 0.01) == 5, f"{c.name}: lost pings")

        def decoded():
            fields = ["ip.src", "ip.dst", "gre.key", "icmp.type"]
            words = [w for f in fields for w in ("-e", f)]
            out = run("tshark", "-r", pcap, "-T", "fields", *words, check=False).stdout
            return [line.split("\t") for line in out.split("\n") if line]

        def complete():
            rows = decoded()
            for c in lab.customers:
                key = f"0x{c.key:08x}"
                out = [f"{EDGE_CORE},{PREMISES_HOST}", f"{c.gateway},{VNET_HOST}", key, "8"]
                back = [f"{c.gateway},{VNET_HOST}", f"{EDGE_CORE},{PREMISES_HOST}", key, "0"]
                if rows.count(out) < 5 or rows.count(back) < 5:
                    return None
            return rows

        rows = wait_for(complete, 10, "tshark sees both keys with the right outer and inner addresses", 0.2)
        dump.stop()
        strange = [r for r in rows if r[2] not in [f"0x{c.key:08x}" for c in lab.customers]]
        expect(not strange, f"foreign keys on the wire: {strange[:3]}")
        return f"tshark: GRE keys {lab.acme.key} and {lab.globex.key}, outer {EDGE_CORE} > gateway, inner {PREMISES_HOST} > {VNET_HOST}"

    # 5
    def rate(self):
        lab = self.lab
        c, neighbour = lab.acme, lab.globex
        train = PingTrain(lab, neighbour, 0.01)
        lines = []
        for reverse in (False, True):
            ceiling, tries = lab.tcp_ceiling(50e6), []
            # Once more if the machine paused: the limiter never gives more, a stolen core may take some.
            while not tries or (len(tries) < 2 and tries[-1] < 0.99 * ceiling):
                tries.append(lab.iperf(c, reverse, 10, 2))
            got, direction = tries[-1], "to customer" if reverse else "to cloud"
            seen = " then ".join(f"{t / 1e6:.1f}" for t in tries)
            expect(0.99 * ceiling <= got <= 1.01 * ceiling, f"{direction}: {seen} Mb/s of TCP payload, at 50 Mb/s at most {ceiling / 1e6:.2f}")
            lines.append(f"{direction} {seen}")
        lost, sent = train.lost()
        expect(lost == 0, f"neighbour lost {lost} of {sent} pings")
        train = PingTrain(lab, c, 0.001)
        train.run_on(300)
        lab.ctl("circuit", "set", c.circuit, "--bandwidth", "100mbps")
        wait_for(lambda: lab.bandwidth(c) == 100_000_000, 2, "new rate in force")
        train.run_on(300)
        lost, sent = train.lost()
        expect(lost == 0, f"raising the bandwidth lost {lost} of {sent} pings")
        got, ceiling = lab.iperf(c, False, 4), lab.tcp_ceiling(100e6)
        expect(0.98 * ceiling <= got <= 1.01 * ceiling, f"after the raise: {got / 1e6:.2f} Mb/s, at most {ceiling / 1e6:.2f}")
        return f"50 Mb/s: {', '.join(lines)} Mb/s of TCP payload (at most {lab.tcp_ceiling(50e6) / 1e6:.1f}); neighbour lost 0; raised live, 0 of {sent} lost, then {got / 1e6:.1f}"

    # 6
    def routes(self):
        lab = self.lab
        c = lab.acme
        expect(VNET in lab.birdc(c.bird, "show", "route"), "the vNet prefix is not in the customer's BIRD")
        new, worst = "10.44.0.0/16", {}
        for present, prefixes in ((True, ["10.1.0.0/16", new]), (False, ["10.1.0.0/16"])):
            monitor = lab.monitor_routes(c)
            start = time.time()
            lab.announce(c, prefixes)
            wait_for(lambda: lab.installed(c, new) == present, 10, f"{new} {'in' if present else 'out of'} the data plane")
            seen = time.time()
            kernel = wait_for(lambda: monitor.when(new, present), 5, "the kernel's netlink message")
            monitor.stop()
            expect(seen - kernel <= 1.0, f"{seen - kernel:.2f} s after the kernel's message")
            worst["announced" if present else "withdrawn"] = (seen - kernel, seen - start)
        c.router.ip("link", "set", "eth0", "down")
        wait_for(lambda: not lab.installed(c, "10.1.0.0/16"), 10, "link down takes the routes out")
        c.router.ip("link", "set", "eth0", "up")
        wait_for(lambda: lab.installed(c, "10.1.0.0/16"), 20, "routes back after link up")
        wait_for(lambda: lab.reaches_vnet(c), 10, "traffic back after link up")
        parts = [f"{k} {kernel * 1000:.0f} ms after netlink, {total:.1f} s end to end" for k, (kernel, total) in worst.items()]
        return "; ".join(parts) + "; link down took the routes out"

    # 7
    def kills(self):
        lab = self.lab
        # The link that was taken down has its two sessions again; what a session brings is no unchanged object.
        wait_for(lambda: lab.status()["sessions"] == {"established": 3, "static": 0, "down": 0, "unknown": 0}, 30, "all sessions are up")
        wait_for(lab.synced, 10, "all is told")
        train = PingTrain(lab, lab.acme, 0.002)
        train.run_on(200)
        written = lab.written()
        lab.daemon.kill()
        lab.start_daemon()
        wait_for(lab.synced, 10, "culvertd has replayed")
        train.run_on(200)
        lost, sent = train.lost()
        expect(lost == 0, f"kill -9 of culvertd lost {lost} of {sent} packets")
        expect(lab.written() == written, f"{lab.written() - written} table writes for unchanged objects")

        uptime = {c.name: lab.session_since(c) for c in lab.customers}
        before = lab.circuit_packets(lab.acme)
        lab.dataplane.kill()
        lab.start_dataplane()
        killed = time.monotonic()
        wait_for(lambda: all(lab.reaches_vnet(c) for c in lab.customers), 10, "traffic after kill -9 of culvert-dataplane")
        blackout = time.monotonic() - killed
        expect({c.name: lab.session_since(c) for c in lab.customers} == uptime, "a BGP session went down with the data plane")
        expect(lab.circuit_packets(lab.acme) >= before, "counters went back")

        lab.plant_foreign()
        foreign = lab.foreign_state()
        for order in (("daemon", "dataplane"), ("dataplane", "daemon")):
            before = lab.circuit_packets(lab.acme)
            for name in order:
                getattr(lab, name).kill()
            for name in order:
                getattr(lab, "start_" + name)()
            wait_for(lambda: all(lab.reaches_vnet(c) for c in lab.customers), 10, f"traffic after killing {' then '.join(order)}")
            wait_for(lab.synced, 10, "culvertd has replayed")
            expect(lab.circuit_packets(lab.acme) >= before, "counters went back")
            expect(lab.foreign_state() == foreign, "something foreign was swept")
        # one killed while the other is just back
        lab.daemon.kill()
        lab.dataplane.kill()
        lab.start_dataplane()
        lab.start_daemon()
        lab.daemon.kill()
        lab.start_daemon()
        wait_for(lambda: all(lab.reaches_vnet(c) for c in lab.customers), 10, "traffic after a third order")
        return f"culvertd: 0 of {sent} lost, 0 writes; data plane: back in {blackout:.1f} s, sessions stayed up; both orders came back by themselves, counters went on"


POINTS = [
    ("Two customers, same addresses", Demo.same_addresses),
    ("Keyed GRE", Demo.keyed_gre),
    ("Isolation", Demo.isolation),
    ("The wire", Demo.wire),
    ("The rate", Demo.rate),
    ("Routes", Demo.routes),
    ("Kills", Demo.kills),
]


def play(lab, args):
    verdicts = []
    demo = Demo(lab)
    for number, (title, point) in enumerate(POINTS, 1):
        if args.only and number not in args.only:
            continue
        start = time.monotonic()
        try:
            ok, text = True, point(demo)
        except (LabError, subprocess.SubprocessError, OSError, ValueError, KeyError) as error:
            ok, text = False, f"{type(error).__name__}: {error}" if not isinstance(error, LabError) else str(error)
        verdicts.append({"number": number, "title": title, "ok": ok, "text": text, "seconds": round(time.monotonic() - start, 1)})
        if not args.json:
            print(f"{'PASS' if ok else 'FAIL'} {number}. {title}: {text}", flush=True)
    return verdicts


def try_these(lab):
    ctl = f"{lab.program('tools/culvertctl/culvertctl')} -s {lab.socket}"
    print(f"""
It is left running. Try:
  export PATH={os.path.dirname(lab.program('tools/culvertctl/culvertctl'))}:$PATH CULVERT_SOCKET={lab.socket}
  culvertctl status
  culvertctl circuit list
  culvertctl circuit show {lab.acme.circuit}
  culvertctl route list --circuit {lab.acme.circuit}
  culvertctl drops
  ip netns exec {lab.acme.router.name} ping -I {PREMISES_HOST} {VNET_HOST}
End it with: ./tools/demo --stop""")


def cleanup_leftovers(state):
    """Takes away what an earlier run left standing (--keep, or a kill -9 of the demo)."""
    if os.path.exists(state):
        with open(state) as f:
            left = json.load(f)
        for pid, start in left["processes"]:
            try:
                with open(f"/proc/{pid}/stat") as f:
                    if f.read().rsplit(")", 1)[1].split()[19] == start:
                        os.kill(pid, signal.SIGKILL)
            except (OSError, IndexError):
                pass
        EdgeLab(PREFIX, left["build"], left["dir"]).close_left_over()
        os.unlink(state)
    for name in leftovers(PREFIX):
        run("ip", "netns", "del", name, check=False)


def main():
    parser = argparse.ArgumentParser(prog="tools/demo")
    parser.add_argument("--build", required=True)
    parser.add_argument("--keep", action="store_true", help="leave it running")
    parser.add_argument("--stop", action="store_true", help="end what --keep left")
    parser.add_argument("--json", action="store_true", help="verdicts as JSON")
    parser.add_argument("--only", type=int, action="append", help="only this point (may be given again)")
    args = parser.parse_args()
    state = os.path.join("/run", PREFIX + ".json")
    cleanup_leftovers(state)
    if args.stop:
        return 0
    lab = DualLab(PREFIX, args.build)
    kept = False

    def interrupted(number, frame):
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    try:
        start = time.monotonic()
        lab.make_network()
        lab.start_routers()
        lab.start_edge()
        verdicts = play(lab, args)
        failed = [v for v in verdicts if not v["ok"]]
        seconds = round(time.monotonic() - start, 1)
        if args.json:
            print(json.dumps({"ok": not failed, "seconds": seconds, "points": verdicts}, indent=2))
        else:
            print(f"{len(verdicts) - len(failed)} of {len(verdicts)} PASS in {seconds} s")
        if args.keep:
            lab.save_state(state)
            kept = True
            if not args.json:
                try_these(lab)
        elif failed:
            lab.print_logs(sys.stderr)
        return 1 if failed else 0
    except KeyboardInterrupt:
        print("interrupted, cleaning up", file=sys.stderr)
        return 130
    except LabError as error:
        print(f"FAIL set-up: {error}", file=sys.stderr)
        lab.print_logs(sys.stderr)
        return 1
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if not kept:
            lab.close()


if __name__ == "__main__":
    sys.exit(main())
