# SPDX-License-Identifier: BSD-3-Clause
"""Who is measured: dpdk-testpmd as the I/O floor, and data planes of Culvert. OVS is in ovs.py.

A contender is started on one or more pcap files, samples what it received, sent and used, may be put to sleep with
SIGSTOP while another runs, and leaves nothing behind.
"""

import json
import os
import signal
import socket
import subprocess
import time

from machine import Failed, busy_time, cpu_times, wait_for


def telemetry(prefix, question):
    """One answer of a DPDK process's telemetry socket, None when it is not there yet."""
    path = f"/var/run/dpdk/{prefix}/dpdk_telemetry.v2"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.settimeout(2)
            s.connect(path)
            s.recv(16384)
            s.send(question.encode())
            return json.loads(s.recv(16384))
    except (OSError, ValueError):
        return None


class Contender:
    threads = 1  # that forward

    def __init__(self, bench, name):
        self.bench, self.name, self.process, self.asleep = bench, name, None, False
        self.log_path = os.path.join(bench.dir, name + ".log")

    def spawn(self, words, **more):
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, **more)
        self.asleep = False

    def log(self):
        with open(self.log_path) as log:
            return log.read()

    def failed(self, error):
        return Failed(f"{self.name}: {error}\n{self.log()[-2000:]}")

    def alive(self):
        if self.process.poll() is not None:
            raise self.failed("ended")

    def sleep(self):
        if self.process and not self.asleep:
            self.process.send_signal(signal.SIGSTOP)
            self.asleep = True

    def wake(self):
        if self.asleep:
            self.process.send_signal(signal.SIGCONT)
            self.asleep = False

    def stop(self):
        if self.process is None:
            return
        self.wake()
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdin.close()
        self.process = None

    def packets(self):
        """(received, sent) since the start, None when it cannot tell yet."""
        raise NotImplementedError

    def settle(self):
        """Returns when it forwards as it will for ever."""
        first = wait_for(self.packets, 30, f"{self.name} counts packets")
        wait_for(lambda: self.alive() or (self.packets() or (0, 0))[0] > first[0] + 200000, 30, f"{self.name} receives")
        time.sleep(0.2)  # caches; nothing depends on its length

    def sample(self, seconds):
        """One look: cycles a packet, packets per second of wall time, share sent, CPU share of others."""
        cpu0, busy0, at0, n0 = cpu_times(self.process.pid), busy_time(), time.monotonic(), self.packets()
        time.sleep(seconds)
        cpu1, n1 = cpu_times(self.process.pid), self.packets()
        busy1, at1 = busy_time(), time.monotonic()
        if n1 is None or n1[0] <= n0[0]:
            raise self.failed("stopped receiving")
        used = [cpu1[t] - cpu0.get(t, 0) for t in cpu1]
        forwarding, received = sum(sorted(used)[-self.threads:]), n1[0] - n0[0]
        return {"cycles": forwarding / 1e9 * self.bench.hz / received,
                "pps": received / (at1 - at0),
                "sent": (n1[1] - n0[1]) / received,
                "others": max(0.0, busy1 - busy0 - sum(used) / 1e9) / (at1 - at0)}


class Dpdk(Contender):
    """A DPDK program of net_pcap/net_null pairs that can be asked by telemetry."""
    pairs = 1

    def eal(self, pcaps):
        memory = ["--in-memory"] if self.bench.huge else ["--no-huge", "--no-shconf", "-m", "1536"]
        # The main thread sleeps nearly always; where two work it shares a core with the first.
        lcores = ["-l", "0,1", "--main-lcore", "0"] if len(pcaps) == 1 else ["--lcores", "0@0,1@1,2@0", "--main-lcore", "2"]
        words = [*lcores, *memory, "--no-pci", "--file-prefix", f"cv{self.name}"]
        for i, pcap in enumerate(pcaps):
            words += ["--vdev", f"net_pcap{i},rx_pcap={pcap},infinite_rx=1", "--vdev", f"net_null{i},no-rx=1"]
        self.pairs = len(pcaps)
        return words

    def packets(self):
        received = sent = 0
        for port in range(2 * self.pairs):
            answer = telemetry(f"cv{self.name}", f"/ethdev/stats,{port}")
            if answer is None:
                return None
            stats = answer["/ethdev/stats"]
            received, sent = received + stats["ipackets"], sent + stats["opackets"]
        return received, sent


class Testpmd(Dpdk):
    def start(self, pcaps, row):
        self.spawn(["dpdk-testpmd", *self.eal(pcaps), "--", "--total-num-mbufs=262144", "--forward-mode=io", "--no-flush-rx",
                    "--auto-start", "--stats-period", "100"])


class Culvert(Dpdk):
    def __init__(self, bench, name, build, workers):
        super().__init__(bench, name)
        self.build, self.threads = build, workers
        self.control, self.stats = (os.path.join(bench.dir, name + end) for end in (".sock", ".stats"))

    def start(self, pcaps, row):
        pcaps = pcaps[:self.threads]
        circuits = row.number("--circuits", 1) * self.threads
        room = ["--interfaces", 2 * circuits + 1024, "--limiters", circuits + 1024, "--vrfs", 2 * circuits + 1024,
                "--fib-memory", max(2048, circuits * row.number("--routes", 1) * 64 >> 20)]
        ports = []
        for kind, device in (("in", "net_pcap"), ("out", "net_null")):
            for i in range(len(pcaps)):
                ports += ["--port", f"{kind}{i}={device}{i}"]
        self.spawn([os.path.join(self.build, "dataplane/culvert-dataplane"), *self.eal(pcaps), "--", "--socket", self.control,
                    "--stats", self.stats, "--workers", str(len(pcaps)), "--buffers", "262144" if self.threads == 1 else "524288",
                    "--idle", "poll", *map(str, room), *ports])
        wait_for(lambda: self.alive() or "ready" in self.log(), 60, "the data plane is ready")
        pairs = ["--pairs", str(len(pcaps))] if len(pcaps) > 1 else []
        done = subprocess.run([os.path.join(self.build, "tools/bench/forward/forward-load"), "load", self.control, *row.tables(), *pairs],
                              capture_output=True, text=True)
        if done.returncode:
            raise self.failed(f"forward-load: {done.stderr}")

    def stop(self):
        super().stop()
        for path in (self.control, self.stats):
            if os.path.exists(path):
                os.unlink(path)
