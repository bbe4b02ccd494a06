#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Asks for an address by ARP or neighbor discovery, each time as somebody else, until it is ended. Says so after a second.

usage: ask.py DEVICE TARGET RATE     (root)
"""

import ipaddress
import socket
import struct
import sys
import time


def arp(mac, target, n):
    sender = struct.pack("!I", 0x0a4d0000 + n % 60000)  # 10.77.0.0/16
    return b"\xff" * 6 + mac + b"\x08\x06" + struct.pack("!HHBBH", 1, 0x800, 6, 4, 1) + mac + sender + b"\0" * 6 + target


def solicitation(mac, target, n):
    source, group = b"\xfe\x80" + b"\0" * 10 + struct.pack("!I", n + 1), b"\xff\x02" + b"\0" * 9 + b"\x01\xff" + target[13:]
    body = struct.pack("!BBHI", 135, 0, 0, 0) + target + b"\x01\x01" + mac
    total = sum(struct.unpack(f"!{(40 + len(body)) // 2}H", source + group + struct.pack("!II", len(body), 58) + body))
    total = (total & 0xffff) + (total >> 16)
    body = body[:2] + struct.pack("!H", ~(total + (total >> 16)) & 0xffff) + body[4:]
    return b"\x33\x33\xff" + target[13:] + mac + b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + source + group + body


def main():
    device, target, rate = sys.argv[1], ipaddress.ip_address(sys.argv[2]), float(sys.argv[3])
    frame = arp if target.version == 4 else solicitation
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
        s.bind((device, 0))
        mac, start, n = s.getsockname()[4], time.monotonic(), 0
        while True:
            while n < (time.monotonic() - start) * rate:
                s.send(frame(mac, target.packed, n))
                n += 1
                if n == rate:
                    print("asked", n, flush=True)
            time.sleep(0.001)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main()
