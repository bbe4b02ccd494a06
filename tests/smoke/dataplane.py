#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""culvert-dataplane by itself: ports on veth, this program is the controller, the customer and the cloud.

usage: dataplane.py PROGRAM [WORKERS]     (root; makes one network namespace of its own)
"""

import ctypes
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import wire  # noqa: E402

CLONE_NEWNET = 0x40000000
STORE = bytes(range(16))
CUSTOMER, CLOUD = "02:00:00:00:01:01", "02:00:00:00:02:02"


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data[:len(data) & ~1])) + (data[-1] << 8 if len(data) & 1 else 0)
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ipv4(source, target, protocol, payload, ttl=64):
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0, ttl, protocol, 0, socket.inet_aton(source), socket.inet_aton(target))
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + payload


def udp(source, target, payload=b"culvert smoke", **more):
    return ipv4(source, target, 17, struct.pack("!HHHH", 4000, 5000, 8 + len(payload), 0) + payload, **more)


def gre(source, target, key, packet):
    return ipv4(source, target, 47, struct.pack("!HHI", 0x2000, 0x0800, key) + packet)


def ethernet(target, source, kind, payload, *vlans):
    tags = b"".join(struct.pack("!HH", 0x8100, v) for v in vlans)
    return wire.mac(target) + wire.mac(source) + tags + struct.pack("!H", kind) + payload


class Wire:
    """The far end of a port. Received frames have their tag put back, which veth takes out."""

    def __init__(self, device):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA
        self.socket.bind((device, 0))

    def send(self, frame):
        self.socket.send(frame.ljust(60, b"\0"))

    def expect(self, matches, what, seconds=5):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.socket.settimeout(max(0.001, end - time.monotonic()))
            try:
                frame, ancillary, _, sender = self.socket.recvmsg(16384, 64)
            except TimeoutError:
                break
            if sender[2] == 4:  # PACKET_OUTGOING
                continue
            for level, kind, data in ancillary:
                status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", data[:20])
                if level == 263 and kind == 8 and status & 0x10:
                    frame = frame[:12] + struct.pack("!HH", tpid, tci) + frame[12:]
            if matches(frame):
                return frame
        raise AssertionError(f"not seen: {what}")


def tap(name, kind=0x0002):
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", name.encode(), kind | 0x1000))  # TUNSETIFF, IFF_NO_PI
    return fd


def hardware(device):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        return fcntl.ioctl(s, 0x8927, struct.pack("16s24x", device.encode()))[18:24].hex(":")  # SIOCGIFHWADDR


class Smoke:
    port, options = "", ()  # more arguments of --port, and of the program

    def __init__(self, program, workers, directory):
        self.program, self.workers, self.directory = program, workers, directory
        self.path, self.stats = os.path.join(directory, "socket"), f"/dev/shm/culvert-smoke-{os.getpid()}"
        self.process = self.controller = self.log = None

    def start(self):
        self.process = subprocess.Popen([
            self.program, "--no-huge", "--no-shconf", "-m", "256", "--no-pci", "--file-prefix", f"culvert-smoke-{os.getpid()}",
            "--",
            "--socket", self.path, "--stats", self.stats, "--workers", self.workers, *self.options,
            "--port", "wan0=sh-a1" + self.port, "--port", "core0=sh-c1" + self.port], stderr=self.log)
        end = time.monotonic() + 10
        while True:
            try:
                self.controller = wire.Controller(self.path)
                return self.controller.hello(STORE, 1)
            except (FileNotFoundError, ConnectionRefusedError):
                assert time.monotonic() < end and self.process.poll() is None, "culvert-dataplane does not start"
                time.sleep(0.01)

    def stop(self, number=signal.SIGTERM):
        self.controller.close()
        self.process.send_signal(number)
        return self.process.wait(10)

    def configure(self, mtu=1500):
        c = self.controller
        begin = lambda scope, vrf=0: c.must(wire.BEGIN, struct.pack("=16sQIIII", STORE, 1, scope, vrf, 0, 0))
        finish = lambda scope, count, vrf=0: c.must(wire.END, struct.pack("=QII", count, scope, vrf))
        begin(wire.CONFIGURATION)
        c.must(wire.VRF_SET, wire.vrf(1, name="underlay"), wire.vrf(2, 4000, "acme"), wire.vrf(3, 4000, "acme-vnet"))
        c.must(wire.INTERFACE_SET, wire.ethernet(1001, 10, 1, 1, flags=wire.UP | wire.CORE, mtu=mtu),
               wire.ethernet(1002, 11, 2, 0, vlans=(100,), owner=5, mtu=mtu))
        c.must(wire.LOCAL_SET, wire.local(1, 10, "192.0.2.1"), wire.local(2, 11, "169.254.10.2"))
        begin(wire.NEXTHOPS)
        c.must(wire.NEIGHBOR_SET, wire.neighbor(21, 10, "192.0.2.2", CLOUD), wire.neighbor(22, 11, "169.254.10.1", CUSTOMER))
        c.must(wire.PATH_SET, wire.path(31, 10, 21), wire.path(33, 11, 22))
        c.must(wire.GROUP_SET, wire.group(41, 31), wire.group(43, 33))
        c.must(wire.INTERFACE_SET, wire.gre(1003, 12, 3, "192.0.2.1", "192.0.2.2", 0xcafe, 41, owner=6, mtu=mtu - 28))
        c.must(wire.PATH_SET, wire.path(32, 12))
        c.must(wire.GROUP_SET, wire.group(42, 32))
        for vrf, routes in ((1, [("192.0.2.2/32", 41)]), (2, [("10.9.0.0/16", 42), ("169.254.10.1/32", 43), ("10.1.0.0/16", 43)]),
                            (3, [("10.1.0.0/16", 43), ("10.9.0.0/16", 42)])):
            begin(wire.ROUTES, vrf)
            c.must(wire.ROUTE_SET, *(wire.route(vrf, prefix, group) for prefix, group in routes))
            finish(wire.ROUTES, len(routes), vrf)
        finish(wire.NEXTHOPS, 8)
        finish(wire.CONFIGURATION, 3 + 3 + 2)

    def attach_tap(self, device="sh-tap", first=False):
        fd = tap(device, 0x0002 | 0x0100)  # TAP, multi-queue
        if first:  # one queue keeps the device there and takes no part: the kernel would deal frames to it, too
            self.anchor = tap(device, 0x0002 | 0x0100)
            fcntl.ioctl(self.anchor, 0x400454d9, struct.pack("16sH22x", b"", 0x0400))  # TUNSETQUEUE, IFF_DETACH_QUEUE
            ip("link", "set", device, "address", self.port_mac, "up")
            ip("addr", "add", "169.254.10.2/30", "dev", device)
        self.controller.must(wire.HOST_SET, struct.pack("=II", 11, 0), fds=[fd])
        os.close(fd)  # the data plane has its own

    def traffic(self, customer, cloud, payload=b"culvert smoke"):
        inner = udp("10.1.0.5", "10.9.0.7", payload)
        customer.send(ethernet(self.port_mac, CUSTOMER, 0x0800, inner, 100))
        frame = cloud.expect(lambda f: f[12:14] == b"\x08\x00" and f[23] == 47, "GRE on the core wire")
        assert frame[34:42] == struct.pack("!HHI", 0x2000, 0x0800, 0xcafe), frame[34:42].hex()
        assert frame[:6] == wire.mac(CLOUD)
        assert frame[42 + 12:42 + 20] == inner[12:20] and frame[42 + 8] == 63
        cloud.send(ethernet(self.core_mac, CLOUD, 0x0800, gre("192.0.2.2", "192.0.2.1", 0xcafe, udp("10.9.0.7", "10.1.0.5", payload))))
        frame = customer.expect(lambda f: f[12:18] == b"\x81\x00\x00\x64\x08\x00" and f[18 + 9] == 17, "the answer with its tag")
        assert frame[:6] == wire.mac(CUSTOMER) and frame[18 + 12:18 + 16] == socket.inet_aton("10.9.0.7")

    def host(self, customer):
        arp = struct.pack("!HHBBH6s4s6s4s", 1, 0x800, 6, 4, 1, wire.mac(CUSTOMER), socket.inet_aton("169.254.10.1"), bytes(6), socket.inet_aton("169.254.10.2"))
        customer.send(ethernet("ff:ff:ff:ff:ff:ff", CUSTOMER, 0x0806, arp, 100))
        customer.expect(lambda f: f[12:18] == b"\x81\x00\x00\x64\x08\x06" and f[24:26] == b"\0\2", "the kernel's ARP answer")
        ip("neigh", "replace", "169.254.10.1", "lladdr", CUSTOMER, "dev", "sh-tap")
        echo = struct.pack("!BBHHH", 8, 0, 0, 7, 1) + b"ping"
        echo = echo[:2] + struct.pack("!H", checksum(echo)) + echo[4:]
        customer.send(ethernet(self.port_mac, CUSTOMER, 0x0800, ipv4("169.254.10.1", "169.254.10.2", 1, echo), 100))
        customer.expect(lambda f: f[12:18] == b"\x81\x00\x00\x64\x08\x00" and f[27] == 1 and f[38] == 0, "the kernel's echo reply")

    def errors(self, customer):
        customer.send(ethernet(self.port_mac, CUSTOMER, 0x0800, udp("10.1.0.5", "10.9.0.7", ttl=1), 100))
        frame = customer.expect(lambda f: f[12:18] == b"\x81\x00\x00\x64\x08\x00" and f[27] == 1 and f[38] == 11, "time exceeded")
        assert frame[18 + 12:18 + 16] == socket.inet_aton("169.254.10.2")
        assert checksum(frame[38:18 + struct.unpack("!H", frame[20:22])[0]]) == 0
        customer.send(ethernet(self.port_mac, CUSTOMER, 0x0800, udp("10.1.0.5", "172.16.0.1"), 100))
        customer.expect(lambda f: f[12:18] == b"\x81\x00\x00\x64\x08\x00" and f[27] == 1 and f[38:40] == b"\3\0", "net unreachable")

    def layout(self, data):
        """From the file's head, as wire/stats.h lays it out: (writers' bases, offset of the sparse blocks, uid -> slot)."""
        workers, slots = struct.unpack_from("=2I", data, 60)
        entries, _, _, _, writers, stride, _, _, sparse = struct.unpack_from("=9Q", data, 80)
        found = (struct.unpack_from("=QII", data, entries + 16 * slot) for slot in range(slots))
        return [writers + w * stride for w in [*range(workers), 16, 17]], sparse, {uid: slot for slot, (uid, _, state) in enumerate(found) if state}

    def segment(self):
        """uid -> (hot line, sparse block), summed over writers."""
        with open(self.stats, "rb") as f:
            data = f.read()
        bases, sparse, slots = self.layout(data)
        add = lambda size, offset: [sum(c) for c in zip(*(struct.unpack_from(f"={size}Q", data, b + offset) for b in bases))]
        return {uid: (add(8, 64 * slot), add(64, sparse + 512 * slot)) for uid, slot in slots.items()}

    def booked_at(self, uid, place):
        """Where in the file the main thread counts a place of a sparse block."""
        with open(self.stats, "rb") as f:
            bases, sparse, slots = self.layout(f.read())
        return bases[-1] + sparse + 512 * slots[uid] + 8 * place

    def counters(self, uid):
        return self.segment()[uid][0][0]

    def laws(self):
        """Both counting laws, as soon as nothing is in flight."""
        end = time.monotonic() + 5
        while True:
            wrong, handed, sent = [], 0, 0
            for uid, (hot, sparse) in self.segment().items():
                rx, _, tx, _, forwarded, to_host, decapsulated, from_host = hot
                generated, reassembled, consumed, extra = sparse[52:56]
                if rx + generated + reassembled != forwarded + to_host + decapsulated + consumed + sum(sparse[:48]):
                    wrong.append((uid, hot, sparse))
                handed += forwarded + from_host + extra
                sent += tx + sum(sparse[48:52])
            if not wrong and handed == sent:
                return
            assert time.monotonic() < end, f"counting laws: handed {handed}, sent {sent}, {wrong}"
            time.sleep(0.01)

    def veths(self):
        ip("link", "set", "lo", "up")
        for pair in ("a", "c"):
            ip("link", "add", f"sh-{pair}0", "type", "veth", "peer", "name", f"sh-{pair}1")
            for end in "01":
                with open(f"/proc/sys/net/ipv6/conf/sh-{pair}{end}/disable_ipv6", "w") as f:
                    f.write("1")
                ip("link", "set", f"sh-{pair}{end}", "up")
        self.port_mac, self.core_mac = hardware("sh-a1"), hardware("sh-c1")
        return Wire("sh-a0"), Wire("sh-c0")

    def clean(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if os.path.exists(self.stats):
            os.unlink(self.stats)

    def run(self):
        customer, cloud = self.veths()
        first = self.start()
        self.configure()
        self.attach_tap(first=True)
        self.traffic(customer, cloud)
        print("ok   customer -> GRE and back")
        self.host(customer)
        print("ok   ARP and ping to us through the TAP")
        self.errors(customer)
        print("ok   time exceeded, net unreachable")
        assert len(self.controller.dump(wire.ROUTE_SET, 32)) == 6 and len(self.controller.dump(wire.ROUTE_SET, 32, 2)) == 3
        assert self.controller.call(wire.INTERFACE_DELETE, wire.number(11)) == [(0, -16)]
        print("ok   read-back, refusal of a delete in use")
        self.laws()
        print("ok   counting laws")

        self.controller.close()
        self.controller = wire.Controller(self.path)
        again = self.controller.hello(STORE, 1)
        self.configure()
        self.traffic(customer, cloud)
        self.controller.close()
        self.controller = wire.Controller(self.path)
        last = self.controller.hello(STORE, 1)
        print(f"     replay: written {again['written']} -> {last['written']}, unchanged {again['unchanged']} -> {last['unchanged']}")
        assert last["unchanged"] >= again["unchanged"] + 20 and last["written"] <= again["written"] + 2
        print("ok   a controller's successor, replay writes nothing new")

        before = self.counters(1002)
        frame = ethernet(self.port_mac, CUSTOMER, 0x0800, udp("10.1.0.5", "10.9.0.7"), 100)
        for _ in range(1000):  # some are in flight when it dies
            customer.send(frame)
        self.stop(signal.SIGKILL)
        second = self.start()
        assert second["instance"] != first["instance"]
        self.configure()
        self.attach_tap()
        self.traffic(customer, cloud)
        self.host(customer)
        assert self.counters(1002) > before > 0
        self.laws()
        print(f"ok   kill -9 and start: traffic, TAP and counters ({before} -> {self.counters(1002)}) go on")

        ip("link", "set", "sh-a0", "down")
        end = time.monotonic() + 5
        while not any(m[0] == wire.PORT and struct.unpack_from("=IIHB", m[2])[::3] == (0, 0) for m in self.controller.events):
            assert time.monotonic() < end, "no link-down event"
            try:
                self.controller.events.append(self.controller.receive())
            except TimeoutError:
                pass
        print("ok   the device's link going down is reported")
        os.close(self.anchor)
        assert self.stop() == 0
        print("ok   SIGTERM: exit code 0")


def in_namespace():
    if os.geteuid() != 0:
        print("needs root")
        sys.exit(77)
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        sys.exit("cannot make a network namespace")


def run_in_directory(make):
    """make(directory) is run in a directory of its own, and cleans up."""
    with tempfile.TemporaryDirectory(prefix="culvert-smoke-") as directory:
        smoke = make(directory)
        try:
            smoke.run()
        finally:
            smoke.clean()


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    in_namespace()
    run_in_directory(lambda directory: Smoke(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "1", directory))


if __name__ == "__main__":
    main()
