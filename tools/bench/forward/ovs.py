# SPDX-License-Identifier: BSD-3-Clause
"""Debian's OVS-DPDK as a peer, doing the same job on the same pcap and virtual devices.

OpenFlow finds the route (one flow a prefix, longest first by priority), a meter polices, a GRE port with key
encapsulates, a neighbor entry gives the outer Ethernet header; the VLAN tag goes. One OVS of its own: database, sockets
and logs in the benchmark's directory, bridges in a network namespace of its own that ends with it, no system service.
"""

import json
import os
import socket
import subprocess
import time

from contenders import Contender
from machine import wait_for

SWITCHD = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
OUTER = ("10.200.0.1", "10.200.0.2")


def available():
    return os.path.exists(SWITCHD) and os.path.exists(SCHEMA)


class Ovs(Contender):
    def __init__(self, bench, name="ovs"):
        super().__init__(bench, name)
        self.home = os.path.join(bench.dir, name)
        self.env = {**os.environ, **{f"OVS_{what}DIR": self.home for what in ("RUN", "LOG", "DB", "SYSCONF")}}
        self.database = None

    def tool(self, *words, stdin=None):
        done = subprocess.run(words, env=self.env, input=stdin, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise self.failed(f"{' '.join(words[:3])}: {done.stderr}")

    def vsctl(self, *words):
        self.tool("ovs-vsctl", f"--db=unix:{self.home}/db.sock", "--timeout=100", *words)

    def start(self, pcaps, row):
        os.mkdir(self.home)
        self.tool("ovsdb-tool", "create", f"{self.home}/conf.db", SCHEMA)
        with open(f"{self.home}/db.log", "w") as log:
            self.database = subprocess.Popen(["ovsdb-server", f"{self.home}/conf.db", f"--remote=punix:{self.home}/db.sock",
                                              f"--unixctl={self.home}/db.ctl"], env=self.env, stdout=log, stderr=log)
        wait_for(lambda: os.path.exists(f"{self.home}/db.sock"), 20, "OVS database")
        self.vsctl("--no-wait", "init", "--", "set", "Open_vSwitch", ".", "other_config:dpdk-init=true",
                   "other_config:dpdk-lcore-mask=0x1", "other_config:pmd-cpu-mask=0x2", "other_config:dpdk-socket-mem=1400",
                   'other_config:dpdk-extra="--no-pci --in-memory --file-prefix=cvovs"',
                   "other_config:max-idle=3600000")  # its flows outlive the rounds it sleeps through
        self.spawn(["unshare", "--net", SWITCHD, f"unix:{self.home}/db.sock", f"--unixctl={self.home}/vs.ctl"], env=self.env)
        wait_for(lambda: self.alive() or os.path.exists(f"{self.home}/vs.ctl"), 30, "OVS switch")
        self.bridges(pcaps[0])
        self.flows(row)

    def bridges(self, pcap):
        self.vsctl("add-br", "br-phy", "--", "set", "bridge", "br-phy", "datapath_type=netdev", "fail-mode=secure",
                   "--", "add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=netdev", "fail-mode=secure",
                   "--", "add-port", "br-phy", "p1", "--", "set", "interface", "p1", "type=dpdk",
                   "options:dpdk-devargs=net_null1,no-rx=1", "ofport_request=1",
                   "--", "add-port", "br-int", "gre0", "--", "set", "interface", "gre0", "type=gre", f"options:local_ip={OUTER[0]}",
                   f"options:remote_ip={OUTER[1]}", "options:key=1001", "options:packet_type=legacy_l3", "ofport_request=10")
        inside = ["nsenter", "-t", str(self.process.pid), "-n"]
        self.tool(*inside, "ip", "addr", "add", f"{OUTER[0]}/24", "dev", "br-phy")
        self.tool(*inside, "ip", "link", "set", "br-phy", "up")
        wait_for(lambda: OUTER[0] in (self.ask("ovs/route/show") or ""), 20, "OVS knows the way to the tunnel's end")
        self.tool("ovs-appctl", "-t", f"{self.home}/vs.ctl", "tnl/arp/set", "br-phy", OUTER[1], "02:00:00:00:aa:02")
        self.pcap = pcap

    def flows(self, row):
        self.tool("ovs-ofctl", "add-flow", f"{self.home}/br-phy.mgmt", "priority=0,actions=output:1")
        self.tool("ovs-ofctl", "-O", "OpenFlow13", "add-meter", f"{self.home}/br-int.mgmt",
                  "meter=1,kbps,burst,bands=type=drop,rate=4000000000,burst_size=4000000000")
        routes = subprocess.run([self.bench.load, "routes", *row.tables()], capture_output=True, text=True, check=True).stdout.split()
        self.tool("ovs-ofctl", "-O", "OpenFlow13", "add-flows", f"{self.home}/br-int.mgmt", "-", stdin="".join(
            f"priority={100 + int(r.split('/')[1])},in_port=1,dl_vlan=1,ip,nw_dst={r},actions=meter:1,pop_vlan,dec_ttl,output:10\n"
            for r in routes))
        # Traffic starts once there is a way for it, else every flow begins with a miss that failed.
        self.vsctl("add-port", "br-int", "p0", "--", "set", "interface", "p0", "type=dpdk",
                   f"options:dpdk-devargs=net_pcap0,rx_pcap={self.pcap},infinite_rx=1", "ofport_request=1")

    def ask(self, method, *words):
        """ovs-appctl without starting a program, so that a sample is short."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(f"{self.home}/vs.ctl")
            s.send(json.dumps({"method": method, "params": words, "id": 0}).encode())
            text = b""
            while True:
                text += s.recv(65536)
                try:
                    return json.loads(text)["result"]
                except ValueError:
                    continue

    def counters(self):
        """The PMD thread's statistics as numbers by name."""
        section = self.ask("dpif-netdev/pmd-stats-show").split("main thread")[0]
        lines = (line.partition(":") for line in section.splitlines())
        return {name.strip(): int(value.split()[0]) for name, _, value in lines if value.strip()[:1].isdigit() and "." not in value.split()[0]}

    def packets(self):
        received = self.counters().get("packets received")
        if not received:
            return None
        ports = self.ask("dpctl/show", "-s", "netdev@ovs-netdev")
        at = ports.index("p1 (")
        sent = int(ports[at:].split("TX packets:")[1].split()[0])
        return received, sent

    def settle(self):
        """Until no packet has missed the caches for a while: misses cost thousands of cycles and are not the job."""
        super().settle()
        deadline = time.monotonic() + 60
        while True:
            before = self.counters()
            time.sleep(0.5)
            after = self.counters()
            missed = sum(after[k] - before[k] for k in after if k.startswith("miss"))
            if missed * 1000 < after["packets received"] - before["packets received"]:
                return
            if time.monotonic() > deadline:
                raise self.failed(f"still {missed} misses in half a second")

    def stop(self):
        super().stop()
        if self.database is not None:
            self.database.terminate()
            self.database.wait()
            self.database = None
            subprocess.run(["rm", "-rf", self.home], check=True)
