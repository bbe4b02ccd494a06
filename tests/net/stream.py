# SPDX-License-Identifier: BSD-3-Clause
"""UDP with known counts, lengths and DSCP, for test_rate.py:

    stream.py send FROM TO COUNT LENGTH BITS_PER_SECOND TOS...   prints how many it sent
    stream.py receive ADDRESS                                   after SIGTERM, when no more come, prints {TOS: packets} and
                                                                "late": how many came after one that was sent later

LENGTH is of the IP packet. The sender never makes up for time in which it did not run, so that what it sends conforms
to its rate (0 = as fast as it can) whatever else this machine does. Several TOS take turns."""

import json
import signal
import socket
import struct
import sys
import time

PORT = 7777
TICK = 0.001


def send(source, target, count, length, rate, tos):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    s.bind((source, 0))
    payload, sent, credit, last = bytearray(length - 28), 0, 0.0, time.monotonic()
    while sent < count:
        if rate:
            now = time.monotonic()
            credit = min(credit + (now - last) * rate / 8, rate / 8 * 5 * TICK + length)
            last = now
            if credit < length:
                time.sleep(TICK)
                continue
            credit -= length
        if len(tos) > 1 or sent == 0:
            s.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos[sent % len(tos)])
        struct.pack_into("!Q", payload, 0, sent)
        s.sendto(payload, (target, PORT))
        sent += 1
    print(sent)


def receive(address):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
    s.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
    s.bind((address, PORT))
    s.settimeout(0.3)
    seen, ending, newest, late = {}, [], -1, 0
    signal.signal(signal.SIGTERM, lambda number, frame: ending.append(number))
    print("listening", flush=True)
    while True:
        try:
            payload, ancillary, _, _ = s.recvmsg(9000, 64)
        except TimeoutError:
            if ending:
                break
            continue
        tos = ancillary[0][2][0]
        seen[tos] = seen.get(tos, 0) + 1
        number = struct.unpack_from("!Q", payload)[0]
        late += number < newest
        newest = max(newest, number)
    print(json.dumps({**seen, "late": late}))


if sys.argv[1] == "send":
    send(sys.argv[2], sys.argv[3], *(int(w) for w in sys.argv[4:7]), [int(w) for w in sys.argv[7:]])
else:
    receive(sys.argv[2])
