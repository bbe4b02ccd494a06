# SPDX-License-Identifier: BSD-3-Clause
"""A BGP speaker that announces whatever it is told, also what no daemon would:

    bgp.py LOCAL REMOTE AS ROUTES     ROUTES is a file: a JSON list of {"prefixes", "path", "next_hop"}

It prints "established" and "announced". SIGUSR1: it sends Cease, administrative shutdown, with a reason, and ends."""

import ipaddress
import json
import signal
import socket
import struct
import sys
import threading

REASON = "Wartung bis mittags, für alle"


def message(kind, body):
    return b"\xff" * 16 + struct.pack("!HB", 19 + len(body), kind) + body


def attribute(flags, kind, value):
    return struct.pack("!BBB", flags, kind, len(value)) + value


def nlri(prefix):
    network = ipaddress.ip_network(prefix)
    return bytes([network.prefixlen]) + network.network_address.packed[:(network.prefixlen + 7) // 8]


def update(route):
    path = struct.pack(f"!BB{len(route['path'])}I", 2, len(route["path"]), *route["path"])
    attributes = attribute(0x40, 1, b"\0") + attribute(0x40, 2, path) + attribute(0x40, 3, socket.inet_aton(route["next_hop"]))
    found, out = b"", b""
    for prefix in route["prefixes"]:
        found += nlri(prefix)
        if len(found) > 3900:
            out, found = out + message(2, struct.pack("!HH", 0, len(attributes)) + attributes + found), b""
    return out + (message(2, struct.pack("!HH", 0, len(attributes)) + attributes + found) if found else b"")


def main(local, remote, asn, routes):
    s = socket.create_connection((remote, 179), 10, (local, 0))
    capabilities = bytes([65, 4]) + struct.pack("!I", asn) + bytes([1, 4, 0, 1, 0, 1])
    s.sendall(message(1, struct.pack("!BHH", 4, min(asn, 23456) if asn > 65535 else asn, 90) + socket.inet_aton(local)
                      + bytes([2 + len(capabilities), 2, len(capabilities)]) + capabilities))
    s.settimeout(None)
    stream = s.makefile("rb")
    up = threading.Event()

    def read():
        while len(head := stream.read(19)) == 19:
            length, kind = struct.unpack("!HB", head[16:])
            body = stream.read(length - 19)
            if kind == 1:
                s.sendall(message(4, b""))
            elif kind == 4:
                up.set()
            elif kind == 3:
                print("notification", list(body[:2]), body[3:].decode(errors="replace"), flush=True)
        print("closed", flush=True)

    threading.Thread(target=read, daemon=True).start()
    if not up.wait(10):
        sys.exit("no session")
    print("established", flush=True)
    for route in routes:
        s.sendall(update(route))
    print("announced", flush=True)
    while signal.sigwait([signal.SIGUSR1, signal.SIGTERM]) == signal.SIGUSR1:
        text = REASON.encode()
        s.sendall(message(3, bytes([6, 2, len(text)]) + text))
        s.shutdown(socket.SHUT_WR)
        break


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGTERM])
    with open(sys.argv[4]) as file:
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]), json.load(file))
