# SPDX-License-Identifier: BSD-3-Clause
"""One Culvert edge with two customers who use the same addresses, for the demo and the net tests.

    acme router ---802.1Q 100--- wan0 +--------+ core0 --- core router --+-- gateway of acme's vNet
    globex router ---QinQ 200.10- wan1 |  edge  |                         +-- gateway of globex's vNet
                                       +--------+

Routers run a stock BIRD, gateways run gre-peer. On the edge run culvert-dataplane and culvertd, exactly the
binaries that are installed; everything said to them goes through culvertctl.
"""

import contextlib
import glob
import ipaddress
import json
import os
import re
import shlex
import signal
import subprocess
import threading
import time

from lab import HERE, Lab, LabError, run, wait_for

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EDGE_CORE = "192.0.2.1"  # ours on the core link; the core router is .2
PREMISES = "10.1.0.0/16"
PREMISES_HOST = "10.1.0.10"
VNET = "10.9.0.0/16"
VNET_HOST = "10.9.0.1"
PEERING = "169.254.10.0/30"


def host(subnet, n):
    """The n-th address of a subnet, as text."""
    return str(ipaddress.ip_network(subnet)[n])


class Customer:
    def __init__(self, name, port, vlans, asn, gateway, core, key, bandwidth):
        self.name, self.port, self.vlans, self.asn = name, port, vlans, asn
        self.gateway, self.core, self.key, self.bandwidth = gateway, core, key, bandwidth
        self.circuit, self.vnet = f"{name}-ams-01", f"{name}-prod"
        # In host domain "table" all peering subnets of a host differ, else all customers use the same.
        self.subnet, self.secondary_subnet = PEERING, "169.254.10.4/30"
        # A policer of any make starves TCP over a path without delay such as this one (a lost burst costs a time-out of
        # 200 ms, which no bucket outlasts), so acme's circuit queues.
        self.shape = "20ms" if name == "acme" else "0ms"
        self.router = self.gateway_ns = self.bird = self.peer = None
        self.more = ""  # in his BIRD's configuration

    def bird_config(self, prefixes=(PREMISES,)):
        statics = "\n".join(f"\troute {p} blackhole;" for p in prefixes)
        return f"""
router id 10.255.0.{self.asn % 250 + 1};
protocol device {{ scan time 1; }}
protocol static premises {{
	ipv4;
{statics}
}}
protocol kernel {{
	ipv4 {{ import none; export filter {{ if source != RTS_BGP then reject; krt_mtu = 1500; accept; }}; }};
	scan time 5;
}}
protocol bgp edge {{
	local {host(self.subnet, 1)} as {self.asn};
	neighbor {host(self.subnet, 2)} as 64900;
	connect retry time 1;
	connect delay time 1;
	error wait time 1, 2;
	graceful restart on;
	ipv4 {{ import all; export where proto = "premises"; }};
}}
{self.more}"""


class Since:
    """When BIRD says that something came up. It works the clock time out anew at each answer, so that two answers about
    the same moment may differ by a millisecond: equal is what differs by less than a tenth of a second."""

    def __init__(self, text):
        clock = re.search(r"(\d+):(\d+):(\d+(?:\.\d+)?)", text)
        self.text, self.words = text, text.replace(clock[0], "") if clock else text
        self.seconds = int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3]) if clock else 0

    def __eq__(self, other):
        return self.words == other.words and abs(self.seconds - other.seconds) < 0.1

    def __repr__(self):
        return self.text


class EdgeLab(Lab):
    def __init__(self, prefix, build, directory=None, host_domain="netns", mode="auto"):
        super().__init__(prefix, directory)
        self.build, self.host_domain, self.mode = build, host_domain, mode
        self.kernel_prefix = prefix + "d"  # of culvertd's namespaces; the lab's own begin with PREFIX-
        self.customers = [
            Customer("acme", "wan0", [100], 65010, "198.51.100.11", "198.51.100.10", 7001, "50mbps"),
            Customer("globex", "wan1", [200, 10], 65020, "198.51.100.21", "198.51.100.20", 7002, "100mbps"),
        ]
        self.acme, self.globex = self.customers
        if host_domain == "table":
            self.globex.subnet, self.globex.secondary_subnet = "169.254.10.8/30", "169.254.10.12/30"
        self.socket = os.path.join(self.dir, "culvert.sock")
        # by the directory's name, which is this lab's alone: /dev/shm may be shared by more than one root directory
        self.stats = f"/dev/shm/{os.path.basename(self.dir)}-stats"
        self.dataplane = self.daemon = None

    # ---- topology

    def make_network(self):
        self.edge, self.core = self.netns("edge"), self.netns("core")
        self.link(self.edge, "core0", self.core, "edge0")
        self.core.ip("addr", "add", "192.0.2.2/24", "dev", "edge0")
        self.core.sysctl("net.ipv4.ip_forward", 1)
        for c in self.customers:
            self.make_attachment(c)
            self._make_gateway(c)

    def make_attachment(self, c):
        c.router = self.netns(c.name)
        # Room for the tags: what is sold are IP packets of 1500 bytes, and a veth drops what is longer than its MTU and one tag.
        self.link(self.edge, c.port, c.router, "eth0", mtu=1500 + 4 * len(c.vlans))
        c.router.tag("eth0", c.vlans)
        c.router.ip("addr", "add", host(c.subnet, 1) + "/30", "dev", "eth0")
        c.router.ip("route", "replace", c.subnet, "dev", "eth0", "proto", "kernel", "scope", "link", "src", host(c.subnet, 1), "mtu", 1500)
        c.router.ip("addr", "add", PREMISES_HOST + "/32", "dev", "lo")

    def _make_gateway(self, c):
        c.gateway_ns = self.netns("gw-" + c.name)
        self.link(self.core, "gw-" + c.name, c.gateway_ns, "eth0")
        self.core.ip("addr", "add", c.core + "/31", "dev", "gw-" + c.name)
        c.gateway_ns.ip("addr", "add", c.gateway + "/31", "dev", "eth0")
        c.gateway_ns.ip("route", "add", "default", "via", c.core)
        self.start_peer(c)
        # whoever connects to the vNet host is told whose it is
        c.gateway_ns.start("echo-" + c.name, "socat", "TCP4-LISTEN:7000,fork,reuseaddr", f"SYSTEM:echo {c.vnet}")

    def start_peer(self, c, delay_ms=0):
        """The far end of the vNet's tunnel; with delay_ms more of way in each direction. A running one is replaced."""
        if c.peer:
            c.peer.stop()
        words = ["--tun", "vnet0", "--local", c.gateway, "--remote", EDGE_CORE, "--key", c.key, "--delay", delay_ms]
        c.peer = c.gateway_ns.start(f"gre-{c.name}-{time.monotonic_ns()}", self.program("tools/gre-peer/gre-peer"), *words)
        wait_for(lambda: "ready" in c.peer.log(), 5, f"gre-peer of {c.name}")
        c.gateway_ns.ip("link", "set", "vnet0", "txqueuelen", 10000)  # what is lost here would look like a loss of the edge
        c.gateway_ns.ip("addr", "add", VNET_HOST + "/32", "dev", "vnet0")
        c.gateway_ns.ip("route", "add", "10.0.0.0/8", "dev", "vnet0", "src", VNET_HOST)

    def start_routers(self):
        for c in self.customers:
            c.bird = self.bird(c.router, "bird-" + c.name, c.bird_config())

    # ---- the edge

    def program(self, path):
        return os.path.join(self.build, path)

    def node_file(self):
        return f"""edge: ams1-edge1
host-domain: {self.host_domain}
kernel-prefix: {self.kernel_prefix}
run-dir: {self.dir}/run
store: {self.dir}/culvert.db
socket: {self.socket}
speaker: {os.path.join(ROOT, "tools", "culvert-speaker")}
roles:
  - {{uid: "0", role: admin}}
ports:
  wan0: {{device: wan0, mode: {self.mode}}}
  wan1: {{device: wan1, mode: {self.mode}}}
  core0: {{device: core0, mode: {self.mode}}}
dataplane:
  program: {self.program("dataplane/culvert-dataplane")}
  socket: {self.dir}/dataplane.sock
  stats: {self.stats}
  workers: 1
  memory: 512MiB
  idle: true
  hugepages: false
"""

    def model(self):
        """The whole model: both edges of the pair, of which this machine is ams1-edge1."""
        routes = "\n".join(f"      - {{prefix: {c.gateway}/32, via: 192.0.2.2}}" for c in self.customers)
        return f"""version: 1
edges:
  - name: ams1-edge1
    routes:
{routes}
    ports:
      - {{name: wan0, faces: customer}}
      - {{name: wan1, faces: customer}}
      - {{name: core0, faces: core, address: {EDGE_CORE}/24}}
  - name: ams1-edge2
    ports:
      - {{name: wan0, faces: customer}}
      - {{name: wan1, faces: customer}}
      - {{name: core0, faces: core, address: 192.0.2.129/24}}
customers:
  - name: acme
  - name: globex
vnets:
{"".join(self.vnet_text(c) for c in self.customers)}circuits:
{"".join(self.circuit_text(c) for c in self.customers)}"""

    def vnet_text(self, c):
        return f"""  - name: {c.vnet}
    customer: {c.name}
    prefixes: [{VNET}]
    tunnels:
      - {{edge: ams1-edge1, gateway: {c.gateway}, local: {EDGE_CORE}, key: {c.key}}}
      - {{edge: ams1-edge2, gateway: {c.gateway}, local: 192.0.2.129, key: {c.key}}}
"""

    def circuit_text(self, c):
        tags = f"outer-tag: {c.vlans[0]}" + (f", inner-tag: {c.vlans[1]}" if len(c.vlans) == 2 else "")
        # in mode table all peering subnets of a host differ
        return f"""  - name: {c.circuit}
    customer: {c.name}
    bandwidth: {c.bandwidth}
    shape-in: {c.shape}
    shape-out: {c.shape}
    links:
      - {{role: primary, edge: ams1-edge1, port: {c.port}, {tags}}}
      - {{role: secondary, edge: ams1-edge2, port: {c.port}, {tags}}}
    peerings:
      - type: private
        primary-subnet: {c.subnet}
        secondary-subnet: {c.secondary_subnet}
        peer-asn: {c.asn}
        local-asn: 64900
        connect: 1s
        error-wait: 1s
    connections:
      - vnet: {c.vnet}
"""

    def start_dataplane(self):
        line = run(self.program("control/culvertd"), "--config", self.node_path, "--dataplane-args").stdout
        self.dataplane = self.edge.start("dataplane", *shlex.split(line))

    def start_daemon(self):
        self.daemon = self.edge.start("culvertd", self.program("control/culvertd"), "--config", self.node_path)

    def start_edge(self, in_force=True):
        self.node_path = os.path.join(self.dir, "node.yaml")
        self.model_path = os.path.join(self.dir, "model.yaml")
        for path, text in ((self.node_path, self.node_file()), (self.model_path, self.model())):
            with open(path, "w") as f:
                f.write(text)
        self.on_close(self.stop_edge)
        self.start_dataplane()
        self.start_daemon()
        wait_for(lambda: self.ctl("version", check=False).returncode == 0, 10, "culvertd answers")
        self.ctl("config", "apply", self.model_path, check=in_force)  # exit status 1: something is refused

    def stop_edge(self):
        """Takes down the processes of the edge and everything culvertd leaves standing on purpose, each whether or not
        what was before it went: a data plane with thousands of TAP devices is minutes in the kernel's hands after kill -9."""
        with contextlib.ExitStack() as left:  # from the last to the first
            left.callback(self._remove_stats)
            left.callback(self._remove_namespaces)
            left.callback(self._stop_speakers)
            for process in (self.dataplane, self.daemon):
                if process:
                    left.callback(process.stop, 5)

    def _stop_speakers(self):
        bird_dir = os.path.join(self.dir, "run", "bird")
        for domain in os.listdir(bird_dir) if os.path.isdir(bird_dir) else ():
            path = os.path.join(bird_dir, domain)
            run(os.path.join(ROOT, "tools", "culvert-speaker"), "stop", path, "-", check=False, timeout=60)

    def _remove_namespaces(self):
        for name in run("ip", "netns", "list").stdout.split("\n"):
            name = name.split(" ")[0]
            if name.startswith(self.kernel_prefix + "-"):
                run("ip", "netns", "del", name, check=False)

    def _remove_stats(self):
        for suffix in ("", ".lock"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.stats + suffix)

    # ---- asking

    def ctl(self, *words, check=True):
        return run(self.program("tools/culvertctl/culvertctl"), "-s", self.socket, *words, check=check)

    def json(self, *words):
        return json.loads(self.ctl("--json", *words).stdout)

    def peer_counters(self, c):
        before = c.peer.log().count("sent=")
        c.peer.popen.send_signal(signal.SIGUSR1)
        wait_for(lambda: c.peer.log().count("sent=") > before, 5, f"counters of gre-peer {c.name}")
        last = [line for line in c.peer.log().split("\n") if "sent=" in line][-1]
        return {k: int(v) for k, v in (w.split("=") for w in last.split() if "=" in w) if v.isdigit()}

    def ping(self, c, count=3, interval=0.05, to=VNET_HOST, deadline=5):
        """Replies received of `count` from the customer's premises host to the vNet host."""
        done = c.router.run("ping", "-n", "-q", "-I", PREMISES_HOST, "-c", count, "-i", interval, "-w", deadline, to, check=False, timeout=60)
        for line in done.stdout.split("\n"):
            if "packets transmitted" in line:
                return int(line.split(",")[1].split()[0])
        raise LabError(f"ping of {c.name}: {done.stderr}")

    def whose_vnet(self, c):
        """Name of the vNet that answers this customer's TCP connection."""
        done = c.router.run("socat", "-T2", "-", f"TCP4:{VNET_HOST}:7000,connect-timeout=3,bind={PREMISES_HOST}", check=False)
        return done.stdout.strip()

    def reaches_vnet(self, c):
        return self.ping(c, count=1, deadline=1) == 1

    def circuit_status(self, c):
        return next(i for i in self.json("circuit", "status", c.circuit)["items"] if i["circuit"] == c.circuit)

    def own_peering(self, c):
        return next(p for link in self.circuit_status(c)["links"] if link["edge"] == "ams1-edge1" for p in link["peerings"])

    def session(self, c):
        return self.own_peering(c)["session"]

    def session_since(self, c):
        """When the customer's own BIRD says its session came up."""
        for line in self.birdc(c.bird, "show", "protocols", "edge").split("\n"):
            if line.startswith("edge "):
                return Since(" ".join(line.split()[3:]))
        raise LabError(f"BIRD of {c.name} does not know its session")

    def circuit_packets(self, c):
        stats = self.json("circuit", "stats", c.circuit)
        return next(link["in"]["packets"] + link["out"]["packets"] for link in stats["links"] if link["edge"] == "ams1-edge1")

    def bandwidth(self, c):
        return self.circuit_status(c)["bandwidth"]

    def drops(self, reason):
        return sum(i["packets"] for i in self.json("drops")["items"] if i["reason"] == reason)

    def routes(self, c, state=None):
        words = ["route", "list", "--circuit", c.circuit] + (["--state", state] if state else [])
        return self.json(*words)["items"]

    def installed(self, c, prefix):
        domain = f"peering/{c.circuit}/private"
        return any(r["prefix"] == prefix and r["domain"] == domain for r in self.routes(c, "installed"))

    def rejected(self, c):
        return {r["prefix"]: r["rule"] for r in self.routes(c, "rejected")}

    def rejected_as(self, c, claims):
        """The rejected routes, when every prefix of claims is among them under its rule."""
        seen = self.rejected(c)
        return {p: seen[p] for p in claims} if all(seen.get(p) == rule for p, rule in claims.items()) else None

    def announce(self, c, prefixes):
        self.bird_configure(c.bird, c.bird_config(prefixes))

    @contextlib.contextmanager
    def claims(self, c, prefixes):
        """c announces what is not his. His own router then prefers his own word over what the edge tells it, so
        that its way to the vNet has to stand in its kernel by hand meanwhile."""
        c.router.ip("route", "add", VNET, "via", host(c.subnet, 2), "metric", 999)
        self.announce(c, [PREMISES, *prefixes])
        yield
        self.announce(c, [PREMISES])
        c.router.ip("route", "del", VNET, "via", host(c.subnet, 2), "metric", 999)

    def status(self):
        return json.loads(self.ctl("--json", "status", check=False).stdout)  # exit status 1: there are problems

    def synced(self):
        done = self.ctl("--json", "status", check=False)
        return done.returncode in (0, 1) and json.loads(done.stdout)["dataplane"]["state"] == "synced"

    def written(self):
        """Records the data plane applied that changed something, since it started."""
        return self.status()["dataplane"]["records"]["written"]

    # ---- traffic

    def forge(self, source, key, count):
        """GRE packets from the core router that look like a gateway's."""
        self.core.run("python3", "-B", os.path.join(HERE, "forge.py"), source, EDGE_CORE, key, VNET_HOST, PREMISES_HOST, count)

    def tcp_ceiling(self, rate, mtu=1472):
        """TCP payload per second at this rate of inner IP packets: 20 + 20 + 12 (time stamps) of header."""
        return rate * (mtu - 52) / mtu

    def iperf(self, c, reverse, seconds, omit=1):
        """Receiver's payload in bit/s, after the first `omit` seconds."""
        server = c.gateway_ns.start(f"iperf-{time.monotonic_ns()}", "iperf3", "-s", "-1", "--forceflush", "-B", VNET_HOST)
        wait_for(lambda: "listening" in server.log(), 5, "iperf3 server")
        words = ["iperf3", "-c", VNET_HOST, "-B", PREMISES_HOST, "-t", seconds, "-O", omit, "-J"] + (["-R"] if reverse else [])
        done = c.router.run(*words, timeout=seconds + omit + 20)
        server.stop()
        return json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"]

    # ---- the kernel of the peering's host domain

    def domain_netns(self, c):
        """The namespace where culvertd keeps this peering's routing domain."""
        for line in run("ip", "netns", "list").stdout.split("\n"):
            name = line.split(" ")[0]
            if name.startswith(self.kernel_prefix + "-") and (c.name in name or self.host_domain == "table"):
                if host(c.subnet, 2) + "/" in run("ip", "-n", name, "-o", "addr", check=False).stdout:
                    return name
        raise LabError(f"no namespace for the peering of {c.name}")

    def monitor_routes(self, c):
        return RouteMonitor(self.domain_netns(c))

    def plant_foreign(self):
        """Things in the kernel that look like culvertd's and are not."""
        self.netns("foreign")
        for c in self.customers:
            run("ip", "-n", self.domain_netns(c), "route", "replace", "blackhole", "203.0.113.0/24", "proto", "static")
            run("ip", "-n", self.domain_netns(c), "addr", "replace", "203.0.113.1/32", "dev", "lo")

    def foreign_state(self):
        """What is left of them, with the namespaces of the lab itself."""
        state = []
        for ns in self.namespaces.values():
            state.append((ns.name, ns.ip("-o", "addr").stdout, ns.ip("route", "show", "proto", "static").stdout))
        for c in self.customers:
            netns = self.domain_netns(c)
            state.append((netns, run("ip", "-n", netns, "route", "show", "proto", "static").stdout, run("ip", "-n", netns, "-o", "addr", "show", "dev", "lo").stdout))
        return state

    # ---- ending

    def print_logs(self, out):
        for process in self.processes:
            if process.name in ("culvertd", "dataplane") or not process.alive():
                lines = process.log().strip().split("\n")[-15:]
                print(f"--- {process.name}", *lines, sep="\n", file=out)
        for path in sorted(glob.glob(os.path.join(self.dir, "run/bird/*/bird.log"))):
            with open(path, errors="replace") as f:
                print(f"--- {os.path.relpath(path, self.dir)}", *f.read().strip().split("\n")[-15:], sep="\n", file=out)

    def save_state(self, path):
        """What --stop needs to end this lab from another process: pids with their start times."""
        left = {"build": self.build, "dir": self.dir, "processes": []}
        for process in self.processes:
            if process.alive():
                left["processes"].append([process.pid, start_time(process.pid)])
        with open(path, "w") as f:
            json.dump(left, f)

    def speakers(self):
        """The edge's BGP daemons."""
        found = []
        for pid in run("pgrep", "-x", "bird").stdout.split():
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/cwd").startswith(os.path.join(self.dir, "run", "bird")):
                    found.append(int(pid))
        assert found
        return found

    def close_left_over(self):
        self.stop_edge()
        self.close()


def start_time(pid):
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rsplit(")", 1)[1].split()[19]


class RouteMonitor:
    """Notes when the kernel of a namespace says that a route came or went."""

    def __init__(self, netns):
        words = ["nsenter", f"--net=/run/netns/{netns}", "stdbuf", "-oL", "ip", "monitor", "route"]
        self.seen = []
        self.popen = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()
        wait_for(self._listens, 5, "ip monitor listens")

    def _listens(self):
        fds = f"/proc/{self.popen.pid}/fd"
        try:
            return any("socket:" in os.readlink(os.path.join(fds, fd)) for fd in os.listdir(fds))
        except FileNotFoundError:  # one was closed meanwhile
            return False

    def _read(self):
        for line in self.popen.stdout:
            self.seen.append((time.time(), line))

    def when(self, prefix, present):
        """Time of the first message of this kind, None if there was none yet."""
        start = prefix + " " if present else "Deleted " + prefix + " "
        return next((at for at, line in self.seen if line.startswith(start)), None)

    def stop(self):
        self.popen.terminate()
        self.popen.wait(5)
