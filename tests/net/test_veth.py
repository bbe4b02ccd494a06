# SPDX-License-Identifier: BSD-3-Clause
"""docs/veth.md as it stands, in one shell: the customer has traffic, and nothing is left afterwards."""

import glob
import os
import re

import pytest
from edge import ROOT
from lab import run

from conftest import PREFIX

NAME = PREFIX + "v"


def take_away():
    """What a run that failed left standing."""
    for line in run("ip", "netns", "list").stdout.splitlines():
        name = line.split()[0]
        if name.startswith((f"{NAME}-", f"{NAME}d-")):
            run("sh", "-c", f"kill -9 $(ip netns pids {name})", check=False)
            run("ip", "netns", "del", name, check=False)
    run("sh", "-c", f"rm -rf /run/{NAME} /dev/shm/{NAME}-stats*")


@pytest.fixture(autouse=True)
def nothing_left():
    take_away()
    yield
    take_away()


def test_the_page_as_it_stands(build):
    with open(os.path.join(ROOT, "docs", "veth.md")) as f:
        pieces = re.findall(r"```sh\n(.*?)```", f.read(), re.S)
    assert len(pieces) == 6
    script = "\n".join(pieces).replace("p=try ", f"p={NAME} ", 1)
    done = run("env", f"CULVERT_BUILD={build}", "timeout", "60", "bash", "-e", "-c", f"cd {ROOT}\n{script}", check=False, timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 1 received" in done.stdout and "degraded: no secondary" in done.stdout, done.stdout
    assert "ok, would make 9 objects, change 0, take away 0" in done.stdout, done.stdout
    listed = run("ip", "netns", "list").stdout
    assert f"{NAME}-" not in listed and f"{NAME}d-" not in listed, listed
    assert not os.path.exists(f"/run/{NAME}") and not glob.glob(f"/dev/shm/{NAME}-stats*")
