#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""culvert-dataplane's ports: MTU set and believed, buffers computed, refusals that say what to change.

usage: ports.py PROGRAM     (root; makes one network namespace of its own)
"""

import fcntl
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import wire  # noqa: E402
from dataplane import STORE, Smoke, in_namespace, ip  # noqa: E402


def kernel_mtu(device):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        return struct.unpack_from("=i", fcntl.ioctl(s, 0x8921, struct.pack("16s24x", device.encode())), 16)[0]  # SIOCGIFMTU


class Ports:
    def __init__(self, program, directory):
        self.program, self.directory = program, directory

    def command(self, vdevs, *options, memory="256"):
        line = [self.program, "--no-huge", "--no-shconf", "-m", memory, "--no-pci", "--file-prefix", f"culvert-ports-{os.getpid()}"]
        for vdev in vdevs:
            line += ["--vdev", vdev]
        return [*line, "--", "--socket", os.path.join(self.directory, "ports"), "--stats", "none", *options]

    def starts(self, vdevs, *options, **more):
        """Its log up to `ready`."""
        process = subprocess.Popen(self.command(vdevs, *options, **more), stderr=subprocess.PIPE, text=True)
        log = []
        for line in process.stderr:
            log.append(line)
            if 'msg="ready"' in line:
                break
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
        assert process.wait(10) == 0, "".join(log)
        return "".join(log)

    def refused(self, code, vdevs, *options, **more):
        done = subprocess.run(self.command(vdevs, *options, **more), stderr=subprocess.PIPE, text=True, timeout=20)
        lines = done.stderr.split("\n")
        errors = [line for line in lines if line.startswith("error:")]
        assert done.returncode == code and len(errors) == 1, (done.returncode, done.stderr)
        # Who writes a node file knows no options: each that is spoken of comes with its field's name.
        hints = " ".join(line for line in lines if line.startswith("hint:"))
        for option, field in (("-m", "memory"), ("--buffers", "buffers"), ("--descriptors", "descriptors"), ("--workers", "workers"), ("--vdev", "device")):
            assert f" {option} " not in errors[0] or f"{option} is " in hints and field in hints, done.stderr
        return errors[0]

    def buffers(self):
        two = ["net_null0", "net_null1"]
        names = ["--port", "a=net_null0", "--port", "b=net_null1"]
        log = self.starts(two, "--workers", "8", *names)
        count = int(re.search(r"packet buffers\" count=(\d+)", log)[1])
        assert count > 2 * 8 * 2048, log
        said = self.refused(4, two, "--workers", "8", "--buffers", "16384", *names)
        least = int(re.search(r"give (\d+) or more", said)[1])
        assert "--workers" in said and "--descriptors" in said, said
        self.starts(two, "--workers", "8", "--buffers", str(least), *names)
        said = self.refused(4, two, "--workers", "8", "--buffers", "500000", *names)
        assert "raise -m" in said and "--buffers" in said, said
        print(f"ok   eight workers on two ports: {count} buffers, at least {least}")
        # net_tap fills its receive queues when it is set up, as devices do.
        taps = [f"net_tap{i},iface=sh-t{i}" for i in range(5)]
        ports = [word for i in range(5) for word in ("--port", f"t{i}=net_tap{i}")]
        assert "ready" in self.starts(taps, "--workers", "4", *ports)
        print("ok   20 queues that hold 1,024 buffers each")

    def scale(self):
        """40,000 interfaces and limiters: it starts, and the segment is as large as the documents say."""
        path = os.path.join(self.directory_of_ours(), "stats")
        command = self.command(["net_null0"], "--port", "a=net_null0", "--interfaces", "40000", "--limiters", "40000")
        command[command.index("none")] = path
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            while 'msg="ready"' not in process.stderr.readline():
                assert process.poll() is None
            size = os.stat(path).st_blocks * 512 >> 20
            assert 90 <= size <= 98, size
        finally:
            process.terminate()
            process.communicate()
            os.unlink(path)
            os.rmdir(os.path.dirname(path))
        print(f"ok   40,000 interfaces and limiters, {size} MiB of counters with one worker")

    def directory_of_ours(self):
        return f"/dev/shm/culvert-ports-{os.getpid()}"

    def sizes(self):
        port = ["--port", "a=net_af_packet0,mtu=9000"]
        said = self.refused(3, ["net_af_packet0,iface=sh-a1"], *port)
        assert "framesz=16384" in said, said
        said = self.refused(3, ["net_af_packet0,iface=sh-a1,framesz=16384,blocksz=65536"], *port, "--buffer-size", "9728")
        assert "--buffer-size 16384" in said, said
        said = self.refused(3, [], "--port", "a=sh-a1,mtu=9000", "--buffer-size", "2048")
        assert "--buffer-size 9216" in said, said
        said = self.refused(3, [], "--port", "a=sh-no-such")
        assert "--vdev" in said and "No such device" in said, said
        assert "no Ethernet device" in self.refused(3, [], "--port", "a=lo")
        assert "no such PCI device: `lspci -D`" in self.refused(3, [], "--port", "a=ff:1f.7")
        said = self.refused(3, ["net_null0"], "--port", "a=net_null0,mtu=9000", "--buffer-size", "2048")
        assert "--buffer-size 9216" in said, said
        log = self.starts(["net_null0"], "--port", "a=net_null0,mtu=9000,tpid=88a8")
        assert "mtu=9000" in log and "size=9216" in log, log
        for value in ("mtu=100", "mtu=9601", "mtu=", "mtu=1500x", "colour=red", "tpid=8100,mtu=0"):
            assert "--port" in self.refused(2, ["net_null0"], "--port", f"a=net_null0,{value}")
        print("ok   an mtu that ring or buffers do not hold is refused with what to change")

    def namespace(self, customer, cloud):
        """Devices in another network namespace: traffic, deleted and made again there, by packet sockets and by AF_XDP."""
        name = f"sh-ports-{os.getpid()}"
        ip("netns", "add", name)
        try:
            for mode in ("packet", "xdp", "xdp-whole"):
                self.traffic_there(name, mode, customer, cloud)
                self.made_again_there(name, mode)
            assert f"network namespace {name} has it (No such device)" in self.refused(3, [], "--port", f"a=sh-a1,netns={name}")
        finally:
            ip("netns", "del", name)
        said = self.refused(3, [], "--port", f"a=sh-n1,netns={name}")
        assert f"network namespace {name} cannot be used (No such file or directory)" in said, said
        assert "one is the EAL's" in self.refused(3, ["net_null0"], "--port", "a=net_null0,netns=x")
        for value in ("netns=", "netns=..", "netns=a/b", "netns=" + 64 * "a", "netns=" + 99 * "a"):
            assert "--port" in self.refused(2, [], "--port", f"a=sh-n1,{value}")
        print("ok   ports in another network namespace")

    def traffic_there(self, name, mode, customer, cloud):
        for device in ("sh-a1", "sh-c1"):
            ip("link", "set", device, "netns", name)
            ip("-n", name, "link", "set", device, "up")
        smoke = Smoke(self.program, "1", self.directory)
        smoke.port, (smoke.port_mac, smoke.core_mac) = f",netns={name},mode={mode}", self.macs
        try:
            smoke.start()
            smoke.configure()
            smoke.traffic(customer, cloud, mode.encode())
            assert smoke.stop() == 0
        finally:
            smoke.clean()
            for device in ("sh-a1", "sh-c1"):
                ip("-n", name, "link", "set", device, "netns", str(os.getpid()))
                ip("link", "set", device, "up")

    def made_again_there(self, name, mode):
        def veth():
            ip("link", "add", "sh-n0", "type", "veth", "peer", "name", "sh-n1", "netns", name)
            ip("link", "set", "sh-n0", "up")
            ip("-n", name, "link", "set", "sh-n1", "up")

        veth()
        process = subprocess.Popen(self.command([], "--port", f"a=sh-n1,netns={name},mtu=1400,mode={mode}"), stderr=subprocess.PIPE, text=True)
        try:
            def until(words):
                assert any(words in line for line in process.stderr), f"no {words}"

            until(f"kind={mode} rx_queues=1 mtu=1400 link=up")
            until('msg="ready"')
            ip("link", "del", "sh-n0")
            until("link=down")
            veth()
            until("mtu=1400 link=up")
        finally:
            process.terminate()
            process.communicate()
            ip("link", "del", "sh-n0")

    def other_queues(self):
        """An AF_XDP port whose device has a queue that no worker polls, made again or as it stands, is not used; with those of before it is."""
        def veth(queues):
            ip("link", "add", "sh-q0", "numtxqueues", "2", "type", "veth", "peer", "name", "sh-q1", "numrxqueues", "2")
            set_queues(queues)
            for end in ("sh-q0", "sh-q1"):
                ip("link", "set", end, "up")

        def set_queues(queues):
            subprocess.run(["ethtool", "-L", "sh-q0", "tx", "1"], check=False, stderr=subprocess.DEVNULL)  # never more than the other end receives on
            subprocess.run(["ethtool", "-L", "sh-q1", "rx", queues], check=True)
            subprocess.run(["ethtool", "-L", "sh-q0", "tx", queues], check=False, stderr=subprocess.DEVNULL)

        veth("1")
        subprocess.run(["ethtool", "-L", "sh-q0", "tx", "2"], check=True)
        said = self.refused(3, [], "--port", "a=sh-q1,mode=xdp")
        assert "ethtool -L sh-q1 rx" in said and "56" not in said, said
        set_queues("1")
        process = subprocess.Popen(self.command([], "--port", "a=sh-q1,mode=xdp"), stderr=subprocess.PIPE, text=True)
        try:
            def next_of(*words):
                return next(word for line in process.stderr for word in words if word in line)

            assert next_of("rx_queues=1") and next_of('msg="ready"')
            ip("link", "del", "sh-q0")
            next_of("link=down")
            ip("link", "add", "sh-q0", "numtxqueues", "2", "type", "veth", "peer", "name", "sh-q1", "numrxqueues", "1")
            assert next_of("fewer receive queues", "cannot be used") == "fewer receive queues"
            ip("link", "del", "sh-q0")
            veth("2")
            assert next_of("other queues", "link=up") == "other queues"
            ip("link", "del", "sh-q0")
            veth("1")
            next_of("link=up")
            set_queues("2")
            assert {next_of("link=down", "other queues") for _ in range(2)} == {"link=down", "other queues"}
            set_queues("1")
            next_of("link=up")
        finally:
            process.terminate()
            process.communicate()
            ip("link", "del", "sh-q0")
        print("ok   a device with more queues than there were is refused")

    def second(self):
        """One too many learns it before it touches a device: the device of this one does not even exist."""
        command = self.command(["net_null0"], "--port", "a=net_null0")
        first = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            while 'msg="ready"' not in first.stderr.readline():
                assert first.poll() is None
            said = self.refused(5, ["net_af_packet0,iface=no-such"], "--port", "a=net_af_packet0")
            assert "another data plane listens there" in said, said
        finally:
            first.terminate()
            first.communicate()
        print("ok   a second data plane is refused before the EAL starts")

    def expect_port(self, controller, index, mtu):
        end = time.monotonic() + 5
        while True:
            for kind, _, body, count in controller.events:
                for i in range(count if kind == wire.PORT else 0):
                    number, _, has = struct.unpack_from("=IIH", body, 56 * i)
                    if number == index and has == mtu:
                        return
            controller.events.clear()
            assert time.monotonic() < end, f"no PORT with mtu {mtu}"
            try:
                controller.events.append(controller.receive())
            except TimeoutError:
                pass

    def kernel(self, customer):
        """A kernel device's MTU is believed as far as the buffers go, and followed."""
        ip("link", "set", "sh-a0", "mtu", "9000")
        ip("link", "set", "sh-a1", "mtu", "9000")
        smoke = Smoke(self.program, "1", self.directory)
        try:
            smoke.start()
            self.expect_port(smoke.controller, 0, 2048 - 26)
            ip("link", "set", "sh-a1", "mtu", "1400")
            self.expect_port(smoke.controller, 0, 1400)
            smoke.stop()
        finally:
            smoke.clean()
        print("ok   the kernel device's MTU is followed, never beyond the buffers")

    def jumbo(self, customer, cloud):
        for end in ("sh-a0", "sh-c0"):
            ip("link", "set", end, "mtu", "9000")
        smoke = Smoke(self.program, "1", self.directory)
        smoke.port = ",mtu=9000"
        smoke.options, (smoke.port_mac, smoke.core_mac) = ("--buffers", "8192"), self.macs
        try:
            smoke.start()
            assert kernel_mtu("sh-a1") == kernel_mtu("sh-c1") == 9000
            smoke.configure(mtu=9000)
            smoke.traffic(customer, cloud, b"j" * (8972 - 28))
            smoke.stop()
        finally:
            smoke.clean()
        print("ok   mtu=9000 is set on the device and 8,972 bytes go through the tunnel in one piece")

    def run(self):
        smoke = Smoke(self.program, "1", self.directory)
        customer, cloud = smoke.veths()
        self.macs = smoke.port_mac, smoke.core_mac
        self.buffers()
        self.scale()
        self.sizes()
        self.namespace(customer, cloud)
        self.other_queues()
        self.second()
        self.jumbo(customer, cloud)
        self.kernel(customer)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    in_namespace()
    with tempfile.TemporaryDirectory(prefix="culvert-ports-") as directory:
        Ports(sys.argv[1], directory).run()


if __name__ == "__main__":
    main()
