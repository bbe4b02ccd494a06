# SPDX-License-Identifier: BSD-3-Clause
"""A controller of culvert-dataplane in Python: records of dataplane/wire/types.h, one message per call."""

import array
import socket
import struct

MAGIC, MAJOR = 0x31565543, 2
HEADER = struct.Struct("=IHHHHIQ")

HELLO, ACK, BEGIN, END, DUMP, DUMP_END = 1, 2, 3, 4, 5, 6
VRF_SET, VRF_DELETE, INTERFACE_SET, INTERFACE_DELETE, LIMITER_SET, LIMITER_DELETE = 16, 17, 18, 19, 20, 21
LOCAL_SET, LOCAL_DELETE, NEIGHBOR_SET, NEIGHBOR_DELETE, PATH_SET, PATH_DELETE = 22, 23, 24, 25, 26, 27
GROUP_SET, GROUP_DELETE, ROUTE_SET, ROUTE_DELETE, HOST_SET, HOST_DELETE, COUNTERS_RELEASE = 28, 29, 30, 31, 32, 33, 34
PORT, NEIGHBOR_NEEDED, LIMITER_EPISODE = 48, 49, 50

CONFIGURATION, ROUTES, NEXTHOPS = 1, 2, 3
ETHERNET, GRE = 1, 2
UP, SOURCE_CHECK, CORE, KEY = 1, 2, 4, 8


def address(text):
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text).ljust(16, b"\0")


def family(text):
    return 6 if ":" in text else 4


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def vrf(number, routes=0, name=""):
    return struct.pack("=IIQ32s", number, routes, 0, name.encode())


def ethernet(uid, number, vrf, port, vlans=(), flags=UP, owner=0, limiters=(0, 0), mtu=1500):
    tags = list(vlans) + [0, 0]
    return struct.pack("=QIIIIIIHBB2HIII16s16s6sBB4x", uid, number, vrf, owner, flags, *limiters, mtu, ETHERNET, len(vlans), *tags[:2], port, 0, 0,
                       b"", b"", b"", 0, 0)


def gre(uid, number, vrf, local, remote, key, underlay, owner=0, limiters=(0, 0), mtu=1400):
    return struct.pack("=QIIIIIIHBB2HIII16s16s6sBB4x", uid, number, vrf, owner, UP | KEY, *limiters, mtu, GRE, 0, 0, 0, 0, key, underlay,
                       address(local), address(remote), b"", family(local), 64)


def local(vrf, interface, addr):
    return struct.pack("=II16sB7x", vrf, interface, address(addr), family(addr))


def neighbor(number, interface, addr, hardware):
    return struct.pack("=II16s6sBB", number, interface, address(addr), mac(hardware) if hardware else bytes(6), family(addr), 1 if hardware else 0)


def path(number, interface, neighbor=0, up=1, account=0):
    return struct.pack("=IIIB3xQ", number, interface, neighbor, up, account)


def group(number, *paths):
    return struct.pack("=II16I16H", number, len(paths), *(list(paths) + [0] * (16 - len(paths))), *([1] * len(paths) + [0] * (16 - len(paths))))


def route(vrf, prefix, group, origin=0):
    addr, length = prefix.split("/")
    return struct.pack("=II16sBBB5x", vrf, group, address(addr), family(addr), int(length), origin)


def number(n):
    return struct.pack("=II", n, 0)


class Controller:
    def __init__(self, path, timeout=5):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        self.seq = 0
        self.events = []

    def close(self):
        self.socket.close()

    def send(self, kind, records=(), fds=()):
        self.seq += 1
        body = b"".join(records)
        data = HEADER.pack(MAGIC, MAJOR, 0, kind, len(records), HEADER.size + len(body), self.seq) + body
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([data], ancillary)
        return self.seq

    def receive(self):
        """(type, seq, records as one byte string, count)"""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the data plane hung up")
        magic, major, _, kind, count, length, seq = HEADER.unpack_from(data)
        assert magic == MAGIC and major == MAJOR and length == len(data)
        return kind, seq, data[HEADER.size:], count

    def wait(self, seq, *kinds):
        """Messages of these kinds with this seq until its ACK; other ones go to self.events."""
        found = []
        while True:
            message = self.receive()
            if message[1] == seq and message[0] == ACK:
                return found, list(struct.iter_unpack("=Ii", message[2]))
            if message[1] == seq and message[0] in kinds:
                found.append(message)
            else:
                self.events.append(message)

    def call(self, kind, *records, fds=()):
        """Sends and returns the failures [(index, -errno)]."""
        return self.wait(self.send(kind, records, fds))[1]

    def must(self, kind, *records, fds=()):
        failures = self.call(kind, *records, fds=fds)
        assert not failures, f"message type {kind} refused: {failures}"

    def hello(self, store=bytes(16), revision=0):
        """Returns a dictionary of the data plane's HELLO."""
        self.send(HELLO, [struct.pack("=16sQQQQII32s256s", store, revision, 0, 0, 0, 0, 0, b"smoke", b"")])
        while True:
            kind, _, body, _ = self.receive()
            if kind == HELLO:
                names = ("store", "revision", "instance", "written", "unchanged", "workers", "ports", "version", "stats")
                return dict(zip(names, struct.unpack("=16sQQQQII32s256s", body)))
            self.events.append((kind, 0, body, 0))

    def dump(self, kind, size, vrf=0):
        found, failures = self.wait(self.send(DUMP, [struct.pack("=II", kind, vrf)]), kind, DUMP_END)
        assert not failures, failures
        records = [m[2][i * size:(i + 1) * size] for m in found if m[0] == kind for i in range(m[3])]
        assert struct.unpack("=Q", found[-1][2])[0] == len(records)
        return records
