# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of the net suite: real processes, real BIRD, in network namespaces of the suite's own."""

import contextlib
import os
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools", "lab"))
sys.dont_write_bytecode = True

from edge import EdgeLab  # noqa: E402
from lab import leftovers, run, wait_for  # noqa: E402

PREFIX = os.environ.get("CULVERT_LAB", "cvt")  # two runs on one machine need two


@pytest.fixture(scope="session")
def build():
    path = os.environ.get("CULVERT_BUILD", os.path.join(ROOT, "build"))
    assert os.path.exists(os.path.join(path, "control/culvertd")), f"no build in {path}"
    return path


def start_lab(build, host_domain, kind=EdgeLab):
    for name in leftovers(PREFIX):
        run("ip", "netns", "del", name, check=False)
    lab = kind(PREFIX, build, host_domain=host_domain)
    try:
        lab.make_network()
        lab.start_routers()
        lab.start_edge()
        for c in lab.customers:
            wait_for(lambda c=c: lab.session(c) == "established", 20, f"BGP session of {c.name}")
            wait_for(lambda c=c: lab.reaches_vnet(c), 10, f"{c.name} reaches its vNet")
    except BaseException:
        lab.print_logs(sys.stderr)
        lab.close()
        raise
    return lab


@contextlib.contextmanager
def running_lab(request, build, host_domain, kind=EdgeLab):
    """For a fixture: a lab that is up, its logs when a test has failed, its end."""
    lab = start_lab(build, host_domain, kind)
    try:
        yield lab
    finally:
        if request.session.testsfailed:
            lab.print_logs(sys.stderr)
        lab.close()


@pytest.fixture(scope="module", params=["netns", "table"])
def edge(request, build):
    with running_lab(request, build, request.param) as lab:
        yield lab
