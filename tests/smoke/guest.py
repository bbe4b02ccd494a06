#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs a command in a QEMU guest with Debian's own kernel, which has what the kernel of a container's host may lack (VLAN devices).

usage: guest.py COMMAND...     (its files are this machine's: the guest has / read-only by 9p, with a layer in memory on it)

The kernel is the newest that Debian has for this release, downloaded and unpacked, never installed. Exit status: the command's; 77 without
qemu or kernel.
"""

import glob
import lzma
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

MODULES = ("virtio_pci", "9p", "9pnet_virtio", "overlay", "veth", "8021q", "tun", "sch_ingress", "cls_bpf", "act_bpf")
INIT = """#!/bin/busybox sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
bb=/bin/busybox
$bb mount -t proc proc /proc; $bb mount -t sysfs sys /sys; $bb mount -t devtmpfs dev /dev
for m in $($bb cat /modules/order); do $bb insmod /modules/$m || $bb echo "no $m"; done
$bb mount -t tmpfs memory /memory; $bb mkdir /memory/upper /memory/work
$bb mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose host /host &&
$bb mount -t overlay -o lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work root /root || $bb poweroff -f
for d in proc sys dev; do $bb mount --bind /$d /root/$d; done
$bb mkdir -p /root/dev/shm; for d in run tmp dev/shm; do $bb mount -t tmpfs $d /root/$d; done
$bb chroot /root /bin/sh -c {command}
$bb echo "guest: exit status $?"
$bb poweroff -f
"""


def kernel(directory):
    """(vmlinuz, directory of its modules)"""
    depends = subprocess.run(["apt-cache", "depends", "linux-image-amd64"], capture_output=True, text=True).stdout
    names = re.findall(r"Depends: (linux-image-\S+)", depends)
    if not names or subprocess.run(["apt-get", "download", "-qq", names[0]], cwd=directory).returncode:
        print("guest: no kernel package can be had")
        sys.exit(77)
    root = os.path.join(directory, "kernel")
    subprocess.run(["dpkg", "-x", *glob.glob(os.path.join(directory, "*.deb")), root], check=True)
    if not os.path.exists(os.path.join(root, "lib")):  # Debian 13's packages
        os.symlink("usr/lib", os.path.join(root, "lib"))
    (image,) = glob.glob(os.path.join(root, "boot", "vmlinuz-*"))
    (modules,) = glob.glob(os.path.join(root, "lib", "modules", "*"))
    return image, modules


def with_what_they_need(modules):
    """Files of MODULES in the order in which they are to be loaded; what is built in has none."""
    release = os.path.basename(modules)
    base = modules.split("/lib/modules/")[0]
    subprocess.run(["depmod", "-b", base, release], check=True)
    files = []
    for name in MODULES:
        shown = subprocess.run(["modprobe", "-S", release, "-d", base, "--show-depends", name], capture_output=True, text=True).stdout
        for line in shown.splitlines():
            if line.startswith("insmod ") and line.split()[1] not in files:
                files.append(line.split()[1])
    return files


def initial(directory, modules, command):
    root = os.path.join(directory, "initrd")
    for name in ("bin", "proc", "sys", "dev", "host", "memory", "root", "modules"):
        os.makedirs(os.path.join(root, name))
    shutil.copy(shutil.which("busybox"), os.path.join(root, "bin", "busybox"))
    order = []
    for path in with_what_they_need(modules):
        name = os.path.basename(path).removesuffix(".xz")
        with (lzma.open(path) if path.endswith(".xz") else open(path, "rb")) as f, open(os.path.join(root, "modules", name), "wb") as out:
            shutil.copyfileobj(f, out)
        order.append(name)
    with open(os.path.join(root, "modules", "order"), "w") as f:
        f.write(" ".join(order))
    with open(os.path.join(root, "init"), "w") as f:
        f.write(INIT.replace("{command}", shlex.quote(f"cd {shlex.quote(os.getcwd())} && {shlex.join(command)}")))
    os.chmod(os.path.join(root, "init"), 0o755)
    image = os.path.join(directory, "initrd.img")
    with open(image, "wb") as out:
        files = subprocess.run(["find", "."], cwd=root, check=True, capture_output=True).stdout
        subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, input=files, stdout=out, check=True)
    return image


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    if not all(shutil.which(p) for p in ("qemu-system-x86_64", "busybox", "cpio", "depmod")):
        print("guest: needs qemu-system-x86, busybox-static, cpio and kmod")
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix="culvert-guest-") as directory:
        image, modules = kernel(directory)
        # The emulated TSC is even, and has to be said to be: the data plane starts on no other.
        start = ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-cpu", "max,+invtsc,x-force-features=on", "-smp", "2", "-m", "1536", "-nodefaults", "-no-user-config",
                 "-display", "none", "-no-reboot", "-serial", "stdio", "-kernel", image, "-initrd", initial(directory, modules, sys.argv[1:]),
                 "-append", "console=ttyS0 quiet panic=-1", "-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"]
        process = subprocess.Popen(start, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace")
        status = 1
        for line in process.stdout:
            print(line, end="", flush=True)
            if found := re.match(r"guest: exit status (\d+)", line):
                status = int(found[1])
        process.wait()
        sys.exit(status)


if __name__ == "__main__":
    main()
