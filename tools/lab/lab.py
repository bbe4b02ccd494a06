# SPDX-License-Identifier: BSD-3-Clause
"""Network namespaces, links and processes for the demo and the net tests.

A Lab owns everything it makes: every namespace name begins with its prefix, every process is started by it
and ended by its pid, every file lies in its directory. close() takes all of it away again, in any state, and
may be called twice. Nothing here waits for a fixed time: wait_for() polls a condition up to a deadline.
"""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))


class LabError(Exception):
    pass


def wait_for(condition, seconds, what, interval=0.02):
    """Polls condition() until it is true and returns its value; LabError after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise LabError(f"not within {seconds} s: {what}")
        time.sleep(interval)


def run(*command, check=True, timeout=30, stdin=None):
    """Runs a command, returns its CompletedProcess with text output."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=timeout, input=stdin)
    if check and done.returncode != 0:
        words = shlex.join(str(c) for c in command)
        raise LabError(f"{words}: exit {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done


class Process:
    """One process of the lab, its output in a log file."""

    def __init__(self, lab, name, command, netns=None, log=None):
        self.lab, self.name = lab, name
        self.log_path = log or os.path.join(lab.dir, name + ".log")
        words = [str(c) for c in command]
        if netns:
            words = [*netns.enter(), *words]
        with open(self.log_path, "ab") as log_file:
            self.popen = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log_file, stderr=log_file, start_new_session=True)

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def log(self):
        with open(self.log_path, "r", errors="replace") as f:
            return f.read()

    def kill(self):
        """kill -9, waited for."""
        if self.alive():
            self.popen.kill()
        self.popen.wait(10)

    def stop(self, seconds=5, number=signal.SIGTERM):
        if self.alive():
            self.popen.send_signal(number)
            try:
                self.popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.popen.wait(10)


class Netns:
    def __init__(self, lab, name):
        self.lab, self.short, self.name = lab, name, f"{lab.prefix}-{name}"
        run("ip", "netns", "add", self.name)
        self.ip("link", "set", "lo", "up")
        for key in ("net.ipv6.conf.all.disable_ipv6", "net.ipv6.conf.default.disable_ipv6"):
            self.sysctl(key, 1)

    def enter(self):
        """Words that run a command in here. Not `ip netns exec`: that also gives the command a mount
        namespace of its own, and a namespace made inside would be seen by nobody else."""
        return ["nsenter", f"--net=/run/netns/{self.name}"]

    def ip(self, *args, check=True):
        return run("ip", "-n", self.name, *args, check=check)

    def run(self, *command, **kwargs):
        return run(*self.enter(), *command, **kwargs)

    def sysctl(self, key, value):
        path = "/proc/sys/" + key.replace(".", "/")
        self.run("sh", "-c", f"echo {value} > {path}")

    def start(self, name, *command):
        return self.lab.start(name, *command, netns=self)

    def tag(self, device, vlans):
        """Makes an Ethernet device speak 802.1Q ([vid]) or QinQ ([outer, inner]) on the wire."""
        outer, inner = (vlans if len(vlans) == 2 else (0, vlans[0]))
        program = self.lab.tagger(outer, inner)
        self.run("tc", "qdisc", "add", "dev", device, "clsact")
        self.run("tc", "filter", "add", "dev", device, "egress", "bpf", "da", "obj", program, "sec", "push")
        self.run("tc", "filter", "add", "dev", device, "ingress", "bpf", "da", "obj", program, "sec", "pop")


class Lab:
    def __init__(self, prefix, directory=None):
        self.prefix = prefix
        self.dir = directory or tempfile.mkdtemp(prefix=prefix + "-", dir=_runtime_dir())
        os.makedirs(self.dir, exist_ok=True)
        self.processes, self.namespaces, self.closers = [], {}, []

    def netns(self, name):
        if name not in self.namespaces:
            self.namespaces[name] = Netns(self, name)
        return self.namespaces[name]

    def start(self, name, *command, netns=None):
        process = Process(self, name, command, netns)
        self.processes.append(process)
        return process

    def link(self, a, device_a, b, device_b, mtu=1500):
        """A veth pair between two namespaces, tags and checksums left to it. TCP cuts its segments itself: packets of 64 KiB
        are bursts that a circuit with a short queue drops from, and what is measured here is the circuit."""
        run("ip", "link", "add", device_a, "mtu", mtu, "netns", a.name, "type", "veth", "peer", "name", device_b, "mtu", mtu, "netns", b.name)
        for ns, device in ((a, device_a), (b, device_b)):
            ns.run("ethtool", "-K", device, "gso", "off", "tso", "off", check=False)
            ns.ip("link", "set", device, "up")

    def tagger(self, outer, inner):
        """Compiles (once) the VLAN classifier for a tag stack."""
        path = os.path.join(self.dir, f"vlan-{outer}-{inner}.o")
        if not os.path.exists(path):
            run("clang", "-O2", "-g", "-target", "bpf", f"-I/usr/include/{os.uname().machine}-linux-gnu", f"-DOUTER={outer}", f"-DINNER={inner}",
                "-c", os.path.join(HERE, "vlan-tag.bpf.c"), "-o", path)
        return path

    def bird(self, netns, name, config):
        """A stock BIRD of a customer or gateway, in the foreground of its namespace."""
        path = os.path.join(self.dir, name + ".conf")
        with open(path, "w") as f:
            f.write(config)
        control = os.path.join(self.dir, name + ".ctl")
        process = netns.start(name, "bird", "-f", "-c", path, "-s", control)
        wait_for(lambda: os.path.exists(control), 5, f"control socket of {name}")
        process.control, process.config_path = control, path
        return process

    def birdc(self, process, *words, check=True):
        return run("birdc", "-s", process.control, *words, check=check).stdout

    def bird_configure(self, process, config):
        with open(process.config_path, "w") as f:
            f.write(config)
        return self.birdc(process, "configure")

    def on_close(self, closer):
        self.closers.append(closer)

    def close(self, keep_logs=False):
        for closer in reversed(self.closers):
            with contextlib.suppress(Exception):
                closer()
        self.closers = []
        for process in reversed(self.processes):
            with contextlib.suppress(Exception):
                process.stop(3)
        self.processes = []
        for ns in self.namespaces.values():
            with contextlib.suppress(Exception):
                run("ip", "netns", "del", ns.name, check=False)
        self.namespaces = {}
        if not keep_logs:
            shutil.rmtree(self.dir, ignore_errors=True)


class NeighborTable:
    """Room in the kernel's neighbor table, which all namespaces share (docs/operations.md, Many circuits), while it is needed."""

    def __init__(self):
        self.was = {}

    def grow(self, neighbors):
        for family in ("ipv4", "ipv6"):
            for name, room in (("gc_thresh3", 2 * neighbors), ("gc_thresh2", neighbors)):
                path = f"/proc/sys/net/{family}/neigh/default/{name}"
                with open(path) as f:
                    self.was[path] = int(f.read())
                if self.was[path] < room:
                    self.write(path, room)
                    print(f"{path}: {self.was[path]} -> {room} meanwhile")

    @staticmethod
    def write(path, value):
        with open(path, "w") as f:
            f.write(str(value))

    def restore(self):
        for path, value in self.was.items():
            self.write(path, value)


ASK_FOR_END = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def ignore_ends():
    """What is being cleaned up is not broken off any more."""
    for number in ASK_FOR_END:
        signal.signal(number, signal.SIG_IGN)


def end_once():
    """Signals that ask for the end raise SystemExit, once: timeout(1) sends two, and what is being cleaned up has to be."""
    def end(number, frame):
        ignore_ends()
        raise SystemExit(1)

    for number in ASK_FOR_END:
        signal.signal(number, end)


def take_away_devices(netns):
    """All TAP and TUN devices of a namespace at once. The end of the process that holds them takes minutes for thousands,
    since the kernel then takes away one after the other."""
    listed = run("ip", "-n", netns, "-br", "link", "show", "type", "tun", check=False).stdout.split("\n")
    names = [line.split()[0].split("@")[0] for line in listed if line]
    run("ip", "-n", netns, "-batch", "-", stdin="".join(f"link set dev {name} group 4242\n" for name in names), check=False, timeout=120)
    run("ip", "-n", netns, "link", "del", "group", "4242", check=False, timeout=300)


def _runtime_dir():
    return "/run" if os.access("/run", os.W_OK) else None


def leftovers(prefix):
    """Names of namespaces that an earlier, killed run of this prefix left behind."""
    listed = run("ip", "netns", "list").stdout.split("\n")
    return [line.split()[0] for line in listed if line.startswith((prefix + "-", prefix + "d-"))]
