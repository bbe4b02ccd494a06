# SPDX-License-Identifier: BSD-3-Clause
"""Sends keyed GRE packets with a chosen outer source: forge.py SOURCE DESTINATION KEY INNER_SOURCE INNER_DESTINATION COUNT

The payload is an ICMP echo request. Written with the socket module alone, so that it shares nothing with what
it tests. Run it in the namespace it should come from.
"""

import socket
import struct
import sys


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ipv4(source, destination, protocol, payload, ttl=64):
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0, ttl, protocol, 0, socket.inet_aton(source), socket.inet_aton(destination))
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def icmp_echo(source, destination, number):
    body = struct.pack(">BBHHH", 8, 0, 0, 0x6375, number) + b"culvert!"
    return ipv4(source, destination, 1, body[:2] + struct.pack(">H", checksum(body)) + body[4:])


def main():
    source, destination, key, inner_source, inner_destination, count = sys.argv[1:]
    sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    for number in range(int(count)):
        inner = icmp_echo(inner_source, inner_destination, number)
        gre = struct.pack(">HHI", 0x2000, 0x0800, int(key)) + inner
        sender.sendto(ipv4(source, destination, 47, gre), (destination, 0))


if __name__ == "__main__":
    main()
