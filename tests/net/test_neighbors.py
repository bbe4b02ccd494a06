# SPDX-License-Identifier: BSD-3-Clause
"""The kernel's neighbor table, which all customers and the host itself share: nobody takes the others' room in it."""

import contextlib
import os
import sys
import time

import pytest
from edge import host
from lab import run, wait_for

from conftest import running_lab

ASK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ask.py")
RATE, A_SECOND, AT_ONCE = 1500, 10, 21  # asked; what gets as far as the kernel


@pytest.fixture(scope="module")
def lab(request, build):
    with running_lab(request, build, "netns") as lab:
        yield lab


def neighbors(lab, c):
    return [line for line in run("ip", "-n", lab.domain_netns(c), "neigh").stdout.split("\n") if line]


@contextlib.contextmanager
def asking(c, target):
    asker = c.router.start(f"ask-{target}", sys.executable, "-B", ASK, "eth0", target, RATE)
    try:
        yield asker
        assert asker.alive(), asker.log()
    finally:
        asker.kill()


def test_next_hops_take_no_place(lab):
    """Neither counted nor thrown out by the kernel when its table is full."""
    for c in lab.customers:
        assert [w for w in neighbors(lab, c) if w.startswith(f"{host(c.subnet, 1)} ") and "managed extern_learn" in w]


@pytest.mark.parametrize("family", [4, 6])
def test_one_who_asks_as_many(lab, family):
    """acme asks 1,500 times a second, each time as somebody else: few get into the table, globex's session comes up
    anew meanwhile as ever, and what was not handed to the kernel is counted."""
    acme, globex = lab.acme, lab.globex
    if family == 6:
        acme.subnet = "fd00:77::/126"
        lab.ctl("vnet", "set", acme.vnet, "--add-prefixes", "fd00:9::/64")
        lab.ctl("peering", "set", f"{acme.circuit}/private", "--primary-subnet", acme.subnet, "--secondary-subnet", "fd00:77::4/126")
        wait_for(lambda: f"inet6 {host(acme.subnet, 2)}/" in run("ip", "-n", lab.domain_netns(acme), "addr").stdout, 10, "the IPv6 address")
    before = lab.drops("host-limited")
    with asking(acme, host(acme.subnet, 2)) as asker:
        since = time.monotonic()
        wait_for(asker.log, 10, "a second of questions")
        seen, seconds = len(neighbors(lab, acme)), time.monotonic() - since
        assert seen < AT_ONCE + A_SECOND * (seconds + 1), f"{seen} neighbors of acme's after {seconds:.1f} s"
        globex.router.ip("link", "set", "eth0", "down")
        wait_for(lambda: lab.session(globex) != "established", 20, "globex's session ends")
        globex.router.ip("link", "set", "eth0", "up")
        wait_for(lambda: lab.session(globex) == "established", 10, "globex's session is up again")
    assert lab.drops("host-limited") > before + RATE / 2
