#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Ports on kernel devices: what a customer sends arrives as it was sent, at his tunnel and nobody else's.

usage: kernel_port.py PROGRAM packet|xdp|xdp-whole     (root; makes one network namespace of its own)
"""

import contextlib
import errno
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import wire  # noqa: E402
from dataplane import CLOUD, CUSTOMER, STORE, Smoke, Wire, checksum, hardware, in_namespace, ip, ipv4, run_in_directory, udp  # noqa: E402
from ports import kernel_mtu  # noqa: E402

TAGGER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "lab", "vlan-tag.bpf.c")
KEY = 7000
C, S = 0x8100, 0x88a8
MISSED, LEFT = 58, 62  # places in struct stats_sparse
NET_ADMIN, NET_RAW, IPC_LOCK, BPF = 1 << 12, 1 << 13, 1 << 14, 1 << 39
SOURCE, TARGET = "10.1.0.5", "10.9.0.7"


class Customer:
    """An attachment, a tunnel and a VRF."""

    def __init__(self, number, port, *tags):
        self.number, self.port = number, port
        self.tags = b"".join(struct.pack("!HH", tpid, vid) for tpid, vid in tags)
        self.vlans = [vid for _, vid in tags]
        self.key, self.uid = KEY + number, 2000 + number

    def frame(self, packet, to):
        return wire.mac(to) + wire.mac(CUSTOMER) + self.tags + b"\x08\x00" + packet


ONE, TWO, STACKED = Customer(0, 0, (C, 100)), Customer(1, 0, (C, 101)), Customer(2, 0, (C, 200), (C, 10))
SERVICE, SERVICE_STACKED = Customer(3, 2, (S, 100)), Customer(4, 2, (S, 200), (C, 10))
CUSTOMERS = [ONE, TWO, STACKED, SERVICE, SERVICE_STACKED]


def fragment(number, offset, more, payload):
    """Of a UDP datagram; offset in bytes."""
    packet = ipv4(SOURCE, TARGET, 17, payload)
    head = packet[:4] + struct.pack("!HH", number, offset >> 3 | (0x2000 if more else 0)) + packet[8:10] + b"\0\0" + packet[12:20]
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def hop(packet):
    """The packet one router later."""
    head = packet[:8] + bytes([packet[8] - 1]) + packet[9:10] + b"\0\0" + packet[12:20]
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + packet[20:]


def promiscuous(device):
    shown = subprocess.run(["ip", "-d", "link", "show", device], check=True, capture_output=True, text=True).stdout
    return int(re.search(r"promiscuity (\d+)", shown)[1]) > 0


def has_program(device):
    return "xdp" in subprocess.run(["ip", "-d", "link", "show", device], check=True, capture_output=True, text=True).stdout


class KernelPorts(Smoke):
    patience = 5  # s for an answer; it listens before it has started
    mtu = {"a": "9004", "c": "9100"}  # of the veth pairs, the others' is 1508

    def __init__(self, program, mode, directory):
        super().__init__(program, "2", directory)
        self.mode = mode

    def start(self):
        ports = [p + f",mode={self.mode}" for p in ("wan0=sh-a1,mtu=9004", "core0=sh-c1", "wan1=sh-b1,tpid=88a8")] + ["old0=net_af_packet0"]
        self.process = subprocess.Popen([
            self.program, "--no-huge", "--no-shconf", "-m", "256", "--no-pci", "--file-prefix", f"culvert-smoke-{os.getpid()}",
            "--vdev", "net_af_packet0,iface=sh-d1", "--",
            "--socket", self.path, "--stats", self.stats, "--workers", self.workers, *(word for p in ports for word in ("--port", p))])
        end = time.monotonic() + 10
        while True:
            try:
                self.controller = wire.Controller(self.path, self.patience)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                assert time.monotonic() < end and self.process.poll() is None, "culvert-dataplane does not start"
                time.sleep(0.01)
        self.controller.hello(STORE, 1)
        self.configure()

    def configure(self):
        c, all_ = self.controller, CUSTOMERS
        c.must(wire.VRF_SET, wire.vrf(1), *(wire.vrf(2 + x.number) for x in all_))
        c.must(wire.INTERFACE_SET, wire.ethernet(1001, 10, 1, 1, flags=wire.UP | wire.CORE, mtu=9100),
               *(wire.ethernet(x.uid, 20 + x.number, 2 + x.number, x.port, x.vlans, owner=5 + x.number, mtu=9000) for x in all_))
        c.must(wire.LOCAL_SET, wire.local(1, 10, "192.0.2.1"))
        c.must(wire.NEIGHBOR_SET, wire.neighbor(30, 10, "192.0.2.2", CLOUD), *(wire.neighbor(31 + x.number, 20 + x.number, "169.254.10.1", CUSTOMER) for x in all_))
        c.must(wire.PATH_SET, wire.path(40, 10, 30), *(wire.path(41 + x.number, 20 + x.number, 31 + x.number) for x in all_))
        c.must(wire.GROUP_SET, wire.group(50, 40), *(wire.group(51 + x.number, 41 + x.number) for x in all_))
        c.must(wire.INTERFACE_SET, *(wire.gre(3000 + x.number, 60 + x.number, 2 + x.number, "192.0.2.1", "192.0.2.2", x.key, 50, owner=5 + x.number, mtu=9000) for x in all_))
        c.must(wire.PATH_SET, *(wire.path(70 + x.number, 60 + x.number) for x in all_))
        c.must(wire.GROUP_SET, *(wire.group(80 + x.number, 70 + x.number) for x in all_))
        c.must(wire.ROUTE_SET, wire.route(1, "192.0.2.2/32", 50), *(r for x in all_ for r in (
            wire.route(2 + x.number, "10.9.0.0/16", 80 + x.number), wire.route(2 + x.number, "10.1.0.0/16", 51 + x.number))))

    # ---- what goes over the wires

    def send(self, customer, packet):
        self.wires[customer.port].send(customer.frame(packet, self.macs[customer.port]))

    def tunnelled(self):
        """The next packet that comes out of a tunnel: (key, packet)."""
        frame = self.wires[1].expect(lambda f: f[12:14] == b"\x08\x00" and f[23] == 47, "GRE on the core wire", 3)
        length = struct.unpack("!H", frame[16:18])[0]
        return struct.unpack("!I", frame[38:42])[0], frame[42:14 + length]

    def expect_tunnelled(self, *wanted):
        """[(customer, packet)] and nothing else, in any order."""
        got = [self.tunnelled() for _ in wanted]
        assert sorted(got) == sorted((c.key, hop(p)) for c, p in wanted), f"got {got}"

    def nothing_left(self):
        """What is on its way arrives before this."""
        mark = udp(SOURCE, TARGET, b"mark")
        self.send(ONE, mark)
        self.expect_tunnelled((ONE, mark))

    def from_cloud(self, customer, packet):
        outer = ipv4("192.0.2.2", "192.0.2.1", 47, struct.pack("!HHI", 0x2000, 0x0800, customer.key) + packet)
        self.wires[1].send(wire.mac(self.macs[1]) + wire.mac(CLOUD) + b"\x08\x00" + outer)

    def down(self, customer, packet):
        self.from_cloud(customer, packet)
        frame = self.wires[customer.port].expect(lambda f: f[:6] == wire.mac(CUSTOMER), f"frame to {customer.vlans}", 3)
        wanted = wire.mac(CUSTOMER) + wire.mac(self.macs[customer.port]) + customer.tags + b"\x08\x00" + hop(packet)
        assert frame[:len(wanted)] == wanted and not frame[len(wanted):].strip(b"\0"), f"{frame.hex()}\n{wanted.hex()}"

    def drain(self):
        for w in self.wires:
            w.socket.setblocking(False)
            try:
                while True:
                    w.socket.recv(1)
            except BlockingIOError:
                pass

    def unclassified(self, port):
        return self.segment()[1 << 63 | port]

    def nobodys(self, port):
        """Frames that were no interface's: counted as such, or left to the kernel by the map of what is ours."""
        rx, sparse = self.unclassified(port)
        return rx[0] + sparse[LEFT]

    # ---- cases

    def refused(self):
        """net_af_packet, whose kernel side puts fragments together, takes a core interface and no customer's."""
        record = wire.ethernet(9000, 900, 2, 3, (100,), owner=5)
        assert self.controller.call(wire.INTERFACE_SET, record) == [(0, -errno.EOPNOTSUPP)]
        self.controller.must(wire.INTERFACE_SET, wire.ethernet(9000, 900, 1, 3, flags=wire.UP | wire.CORE))
        print("ok   no customer on net_af_packet", flush=True)

    def fragments(self):
        """Two customers, equal addresses, protocol and id: first fragment of one, last of the other."""
        for other, where in ((TWO, "one port"), (SERVICE, "two ports")):
            for number in (777, 778):
                first, last = fragment(number, 0, True, b"one-" * 10), fragment(number, 40, False, b"two-" * 8)
                self.send(ONE, first)
                self.send(other, last)
                self.expect_tunnelled((ONE, first), (other, last))
            self.nothing_left()
            print(f"ok   fragments of two customers on {where} stay apart", flush=True)

    def datagrams(self):
        for length in (1600, 2000, 4500, 9000):
            data = bytes(i * 7 & 0xff for i in range(length - 20))
            parts = [fragment(length, at, at + 1480 < len(data), data[at:at + 1480]) for at in range(0, len(data), 1480)]
            for part in parts:
                self.send(ONE, part)
            self.expect_tunnelled(*((ONE, p) for p in parts))
        print("ok   fragmented datagrams of up to 9,000 bytes arrive as they were sent", flush=True)

    def large(self):
        """Frames that take several pieces of the kernel's or our memory."""
        for length in (3790, 3800, 4050, 4100, 8100, 8950):
            data = bytes(i * 11 & 0xff for i in range(length))
            for packet in (udp(SOURCE, TARGET, data), udp(TARGET, SOURCE, data)):
                if packet[12:16] == socket.inet_aton(SOURCE):
                    self.send(ONE, packet)
                    self.expect_tunnelled((ONE, packet))
                else:
                    self.down(ONE, packet)
        print("ok   packets of up to 8,978 bytes, both ways", flush=True)

    def flood(self):
        """Lone last fragments of one customer, and what that does to the datagrams of another."""
        for turn in range(400):
            for i in range(50):
                self.send(TWO, fragment(turn * 50 + i, 1480, False, b"lone" * 8))
            parts = [fragment(turn, 0, True, b"a" * 1480), fragment(turn, 1480, False, b"b" * 120)]
            for part in parts:
                self.send(ONE, part)
            seen = [self.tunnelled() for _ in range(52)]
            assert sorted(p for key, p in seen if key == ONE.key) == sorted(hop(p) for p in parts), f"turn {turn}"
            assert sum(key == TWO.key for key, _ in seen) == 50
        print("ok   20,000 lone fragments of one disturb no datagram of another", flush=True)

    def tags(self):
        for c in CUSTOMERS:
            up, back = udp(SOURCE, TARGET, b"tagged %d" % c.number), udp(TARGET, SOURCE, b"back %d" % c.number)
            self.send(c, up)
            self.expect_tunnelled((c, up))
            self.down(c, back)
        self.nothing_left()
        print("ok   802.1Q, 802.1ad and QinQ, both ways", flush=True)

    def foreign_tags(self):
        """The same VLAN ids under another ethertype, or without a tag, are nobody's."""
        for port, tags in ((0, struct.pack("!HH", S, 100)), (0, b""), (2, struct.pack("!HH", C, 100)), (0, struct.pack("!HHHH", C, 100, C, 100))):
            before = self.nobodys(port)
            frame = wire.mac(self.macs[port]) + wire.mac(CUSTOMER) + tags + b"\x08\x00" + udp(SOURCE, TARGET)
            self.wires[port].send(frame)
            self.until(lambda p=port, b=before: self.nobodys(p) == b + 1, f"{tags.hex()} on port {port} counted")
        self.nothing_left()
        print("ok   a tag of another ethertype, and none, is nobody's", flush=True)

    def until(self, condition, what, seconds=5):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, what
            time.sleep(0.005)

    @contextlib.contextmanager
    def pushing(self, c):
        """The customer's device, on which the kernel puts his tags beside what is sent."""
        device = ("sh-a0", None, "sh-b0")[c.port]
        outer, inner = c.vlans if len(c.vlans) == 2 else (0, c.vlans[0])
        program = os.path.join(self.directory, f"tag-{c.number}.o")
        if not os.path.exists(program):
            subprocess.run(["clang", "-O2", "-g", "-target", "bpf", f"-I/usr/include/{os.uname().machine}-linux-gnu", f"-DOUTER={outer}", f"-DINNER={inner}",
                            f"-DOUTER_TPID={S if c.port == 2 else C}", "-c", TAGGER, "-o", program], check=True)
        subprocess.run(["tc", "qdisc", "add", "dev", device, "clsact"], check=True)
        try:
            subprocess.run(["tc", "filter", "add", "dev", device, "egress", "bpf", "da", "obj", program, "sec", "push"], check=True)
            yield device
        finally:
            subprocess.run(["tc", "qdisc", "del", "dev", device, "clsact"], check=True)

    def outside(self):
        """Tags that travel beside the frame, as of a VLAN device on the veth's other end; checksums left to the device."""
        for c in CUSTOMERS:
            with self.pushing(c) as device:
                ip("addr", "add", SOURCE + "/32", "dev", device)
                ip("route", "add", "10.9.0.0/16", "dev", device, "src", SOURCE)
                ip("neigh", "replace", TARGET, "lladdr", self.macs[c.port], "dev", device)
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                    for length in (1, 2, 999, 1400):
                        s.sendto(b"x" * length, (TARGET, 5000))
                        key, packet = self.tunnelled()
                        assert key == c.key, f"customer {c.number}: arrived at {key - KEY}"
                        pseudo = packet[12:20] + b"\0\x11" + packet[24:26]
                        assert len(packet) == 28 + length and checksum(pseudo + packet[20:]) == 0, f"UDP checksum of {length} bytes: {packet.hex()}"
                ip("addr", "del", SOURCE + "/32", "dev", device)
        self.nothing_left()
        print("ok   tags beside the frame are put back, checksums finished", flush=True)

    def segments(self):
        """A TCP packet whose sender leaves it to its device to cut it up becomes the segments of a wire, in its own tunnel."""
        data = bytes(i * 13 + (i >> 8) & 0xff for i in range(40001))
        # in the checksum's place the pseudo header's sum, as every sender leaves it
        pseudo = ~checksum(socket.inet_aton(SOURCE) + socket.inet_aton(TARGET) + struct.pack("!HH", 6, 20 + len(data))) & 0xffff
        head = struct.pack("!HHIIBBHHH", 4000, 5000, 7, 9, 5 << 4, 0x19, 1000, pseudo, 0)
        packet = ipv4(SOURCE, TARGET, 6, head + data)
        for c in CUSTOMERS:
            # NEEDS_CSUM, GSO_TCPV4, header length, segment, checksum's start and offset
            about = struct.pack("=BBHHHH", 1, 1, 54, 1400, 34, 16)
            with self.pushing(c) as device, socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
                s.setsockopt(263, 15, 1)  # SOL_PACKET, PACKET_VNET_HDR
                s.bind((device, 0x800))
                s.send(about + wire.mac(self.macs[c.port]) + wire.mac(CUSTOMER) + b"\x08\x00" + packet)
                stream = {}
                for n in range(29):
                    key, one = self.tunnelled()
                    assert key == c.key and len(one) == 40 + (1400 if n < 28 else 801), (key, len(one))
                    assert checksum(one[:20]) == 0 and checksum(one[12:20] + struct.pack("!HH", 6, len(one) - 20) + one[20:]) == 0
                    assert one[33] == (0x10 if n < 28 else 0x19), one[33]
                    stream[struct.unpack("!I", one[24:28])[0]] = one[40:]
                assert b"".join(stream[k] for k in sorted(stream)) == data
        self.nothing_left()
        print("ok   a packet of 40,041 bytes comes as its 29 segments", flush=True)

    def missed(self):
        """What the ring had no room for is counted, to the frame."""
        missed, arrived = self.unclassified(0)[1][MISSED], self.counters(ONE.uid)
        frame = ONE.frame(udp(SOURCE, TARGET), self.macs[0])
        self.process.send_signal(signal.SIGSTOP)
        try:
            self.until(self.stands_still, "all threads stopped")
            for _ in range(20000):
                self.wires[0].send(frame)
        finally:
            self.process.send_signal(signal.SIGCONT)
        self.until(lambda: self.counters(ONE.uid) - arrived + self.unclassified(0)[1][MISSED] - missed == 20000, "arrived and missed make 20,000")
        lost = self.unclassified(0)[1][MISSED] - missed
        assert 0 < lost < 20000, lost
        self.drain()
        print(f"ok   the worker stood still: {lost} of 20,000 frames missed, and counted", flush=True)

    def given_back(self):
        """What is sent to an interface, or an address, is the kernel's again when that is deleted."""
        if self.mode != "xdp":
            return
        kernel, c = Wire("sh-a1"), self.controller

        def left():
            return self.unclassified(0)[1][LEFT]

        def send(what):
            self.wires[0].send(wire.mac(self.macs[0]) + wire.mac(CUSTOMER) + struct.pack("!HH", C, 300) + b"\x08\x00" + udp(SOURCE, TARGET, what))

        def expect(what):
            frame = kernel.expect(lambda f: f[12:16] == struct.pack("!HH", C, 300), "the frame at the kernel", 3)
            assert frame[46:].startswith(what), frame.hex()

        def nobodys(what, number):
            send(what)
            expect(what)
            self.until(lambda: left() == number, "left to the kernel, and counted")

        before = left()
        nobodys(b"of nobody yet", before + 1)
        for turn in (0, 1):
            c.must(wire.INTERFACE_SET, wire.ethernet(9300 + turn, 930, 2, 0, (300,), owner=5))
            send(b"of the interface")
            self.until(lambda t=turn: self.counters(9300 + t) == 1, "the interface's frame")
            c.must(wire.INTERFACE_DELETE, wire.number(930))
            nobodys(b"of nobody %d" % turn, before + 2 + turn)
        self.drain()
        print("ok   the frames of an interface that is deleted are the kernel's again", flush=True)

        kernel = Wire("sh-c1")
        for port_has_it in (False, True, False):
            if port_has_it:
                c.must(wire.LOCAL_SET, wire.local(1, 10, "192.0.2.77"))
            packet = udp("192.0.2.2", "192.0.2.77", b"to the address, %d" % port_has_it)
            before = self.unclassified(1)[1][LEFT], self.counters(1001)
            self.wires[1].send(wire.mac(self.macs[1]) + wire.mac(CLOUD) + b"\x08\x00" + packet)
            wanted = before[0] + (not port_has_it), before[1] + port_has_it
            self.until(lambda w=wanted: (self.unclassified(1)[1][LEFT], self.counters(1001)) == w, f"LEFT and the core's rx {wanted}")
            if port_has_it:
                c.must(wire.LOCAL_DELETE, wire.local(1, 10, "192.0.2.77"))
            else:
                kernel.expect(lambda f, p=packet: f[14:].startswith(p), "the packet at the kernel", 3)
        print("ok   what is sent to an address that is ours no longer is the kernel's again", flush=True)

    def opener(self):
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as f:
            (child,) = f.read().split()
        return int(child)

    def rights(self):
        """No thread of the data plane has a capability, nor would a program that it executed; the opener has two and one socket."""
        def status(path):
            with open(f"{path}/status") as f:
                return dict(line.rstrip("\n").split(":\t") for line in f)

        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            of = status(f"/proc/{self.process.pid}/task/{task}")
            sets = {kind: int(of[kind], 16) for kind in ("CapEff", "CapPrm", "CapInh", "CapAmb")}
            assert not any(sets.values()) and of["NoNewPrivs"] == "1", (task, of["Name"], sets)
        opener = self.opener()
        of = status(f"/proc/{opener}")
        assert of["Name"] == "culvert-opener" and of["Threads"] == "1" and of["NoNewPrivs"] == "1", of
        wanted = NET_RAW | NET_ADMIN | (0 if self.mode == "packet" else IPC_LOCK | BPF)
        assert int(of["CapEff"], 16) == int(of["CapPrm"], 16) == wanted, of
        held = sorted(os.readlink(f"/proc/{opener}/fd/{fd}").split(":")[0] for fd in os.listdir(f"/proc/{opener}/fd"))
        assert held == ["/dev/null"] * 3 + ["net", "socket"], held
        print("ok   the data plane has no capability left, its opener what its ports take", flush=True)

    def stands_still(self):
        def state(task):
            with open(f"/proc/{self.process.pid}/task/{task}/stat") as f:
                return f.read().rsplit(")", 1)[1].split()[0]
        return all(state(task) == "T" for task in os.listdir(f"/proc/{self.process.pid}/task"))

    def again(self):
        """The device is deleted and made again: back within 2 s of being up, with the port's MTU."""
        self.make_again("1600")
        assert kernel_mtu("sh-a1") == 9004

    @contextlib.contextmanager
    def traffic(self, send):
        """All the time, by a thread."""
        ending = threading.Event()

        def go():
            while not ending.is_set():
                send()

        thread = threading.Thread(target=go)
        thread.start()
        try:
            yield
        finally:
            ending.set()
            thread.join()

    def make_again(self, mtu):
        """What was sent to the old device is not sent to the new one: down() takes nothing else."""
        def send():  # the large ones fill what there is of memory, the others fit into the new device
            for length in (8900, 100):
                self.from_cloud(ONE, udp(TARGET, SOURCE, bytes(length)))

        missed, place = [], self.booked_at(1 << 63, MISSED)

        def look():
            with open(self.stats, "rb", 0) as f:
                missed.append(os.pread(f.fileno(), 8, place))
            time.sleep(0.001)

        with self.traffic(look):
            with self.traffic(send):
                ip("link", "del", "sh-a1")
                self.until(lambda: self.link_state(0) == 0, "down")
            self.veth("a", mtu)
            up, packet = time.monotonic(), udp(SOURCE, TARGET, b"again")
            self.wires[0] = Wire("sh-a0")
            while True:
                self.send(ONE, packet)
                try:
                    self.wires[1].expect(lambda f: f[42:].startswith(hop(packet)), "through the new device", 0.02)
                    break
                except AssertionError:
                    assert time.monotonic() < up + 2, "the device made again carries nothing after 2 s"
        took = time.monotonic() - up
        missed = [struct.unpack("=Q", count)[0] for count in missed]
        assert missed == sorted(missed), f"what the old device missed was forgotten for a while: {list(dict.fromkeys(missed))}"
        self.down(ONE, udp(TARGET, SOURCE, b"and back"))
        self.drain()
        print(f"ok   deleted and made again: carries again after {took * 1000:.0f} ms", flush=True)

    def without_opener(self):
        """The opener is killed: traffic goes on, the port says so; packet sockets take up a device that is made again as that is."""
        os.kill(self.opener(), signal.SIGKILL)
        self.until(lambda: self.said_of(0)[1] == 1, "the port's fault")
        self.nothing_left()
        if self.mode == "packet":
            self.make_again("1600")
            assert kernel_mtu("sh-a1") == 1600
        assert self.said_of(0) == (1, 1)
        print("ok   the opener was killed, and nothing stood still", flush=True)

    def link_state(self, port):
        said = self.said_of(port)
        return said[0] if said else None

    def said_of(self, port):
        """(up, fault)"""
        c = self.controller
        c.socket.setblocking(False)
        try:
            while True:
                c.events.append(c.receive())
        except BlockingIOError:
            c.socket.settimeout(5)
        for kind, _, body, count in reversed(c.events):
            for i in range(count if kind == wire.PORT else 0):
                if struct.unpack_from("=I", body, 56 * i)[0] == port:
                    return body[56 * i + 10], body[56 * i + 17]
        return None

    def killed(self):
        """kill -9 under traffic: nothing is left on the device, and the next one carries all."""
        def send():
            for _ in range(20):
                self.send(TWO, udp(SOURCE, TARGET, b"all the time"))
            time.sleep(0.001)

        with self.traffic(send):
            self.until(lambda: self.counters(TWO.uid) > 100, "traffic")
            self.stop(signal.SIGKILL)
            self.until(lambda: not promiscuous("sh-a1"), "no longer promiscuous")
            self.until(lambda: not any(has_program(d) for d in ("sh-a1", "sh-b1", "sh-c1")), "no program is left")
            self.macs[0] = hardware("sh-a1")  # it was made again, and only a new data plane takes the new address
            self.start()
            before = self.forwarded(TWO)
            self.until(lambda: self.forwarded(TWO) > before + 100, "traffic after the restart")
        self.until(self.quiet, "quiet")
        self.drain()
        self.tags()
        print("ok   kill -9 under traffic", flush=True)

    def forwarded(self, customer):
        return self.segment()[customer.uid][0][4]

    def quiet(self):
        before = self.counters(TWO.uid)
        time.sleep(0.05)
        return self.counters(TWO.uid) == before

    # ---- all of it

    def veth(self, pair, mtu="1508"):
        number = "2" if pair == "b" else "1"  # what comes by c is one worker's, who hands over to the other what goes by a
        queues = ("numrxqueues", number, "numtxqueues", number)
        ip("link", "add", f"sh-{pair}0", "mtu", mtu, *queues, "type", "veth", "peer", "name", f"sh-{pair}1", "mtu", mtu, *queues)
        if pair == "b":  # frames come by both, and both workers have one
            subprocess.run(["ethtool", "-L", "sh-b1", "rx", "2", "tx", "2"], check=True)
        for end in "01":
            with open(f"/proc/sys/net/ipv6/conf/sh-{pair}{end}/disable_ipv6", "w") as f:
                f.write("1")
            ip("link", "set", f"sh-{pair}{end}", "up")

    def make_devices(self):
        """On top of the customers' ends."""

    def cases(self):
        for case in (self.refused, self.fragments, self.datagrams, self.large, self.flood, self.tags, self.foreign_tags, self.outside, self.segments, self.given_back, self.missed, self.rights, self.again, self.without_opener, self.killed):
            case()

    def run(self):
        ip("link", "set", "lo", "up")
        for pair in "acbd":
            self.veth(pair, self.mtu.get(pair, "1508"))
        self.make_devices()
        self.wires = [Wire("sh-a0"), Wire("sh-c0"), Wire("sh-b0")]
        self.macs = [hardware("sh-a1"), hardware("sh-c1"), hardware("sh-b1")]
        self.start()
        self.cases()
        self.laws()
        assert self.stop() == 0


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    in_namespace()
    run_in_directory(lambda directory: KernelPorts(sys.argv[1], sys.argv[2], directory))


if __name__ == "__main__":
    main()
