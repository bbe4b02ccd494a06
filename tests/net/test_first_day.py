# SPDX-License-Identifier: BSD-3-Clause
"""The commands of docs/operations.md, "The first day", on an edge whose store is empty: then the customer has traffic."""

import contextlib
import os
import shlex
import sys

import pytest
from edge import EdgeLab, ROOT
from lab import leftovers, run, wait_for

from conftest import PREFIX
from test_kills import speaker_pids


def commands(title):
    with open(os.path.join(ROOT, "docs", "operations.md")) as f:
        section = f.read().split(f"## {title}\n")[1].split("\n## ")[0]
    return [shlex.split(line)[1:] for line in section.split("\n") if line.startswith("    culvertctl ")]


@contextlib.contextmanager
def empty_edge(build, vlans=None, node=lambda text: text):
    """Both processes, the first customer's routers, and nothing in the store of edge ams1."""
    for name in leftovers(PREFIX):
        run("ip", "netns", "del", name, check=False)
    lab = EdgeLab(PREFIX, build)
    lab.acme.vlans = vlans or lab.acme.vlans
    try:
        lab.make_network()
        lab.start_routers()
        lab.node_path = os.path.join(lab.dir, "node.yaml")
        with open(lab.node_path, "w") as f:
            f.write(node(lab.node_file().replace("edge: ams1-edge1", "edge: ams1")))
        lab.on_close(lab.stop_edge)
        lab.start_dataplane()
        lab.start_daemon()
        wait_for(lambda: lab.ctl("version", check=False).returncode == 0, 10, "culvertd answers")
        yield lab
    except BaseException:
        lab.print_logs(sys.stderr)
        raise
    finally:
        lab.close()


@pytest.fixture(scope="module")
def lab(build):
    with empty_edge(build) as lab:
        yield lab


def test_the_first_day(lab):
    words = commands("The first day")
    makes = [w for w in words if w[1] in ("create", "set")]
    assert len(makes) >= 7 and len(words) > len(makes)
    assert lab.status()["dataplane"]["state"] == "held"
    for w in makes:
        done = lab.ctl(*w, check=False)
        assert done.returncode == 0, f"culvertctl {' '.join(w)}: {done.stderr}"
        assert "held" not in done.stderr, f"culvertctl {' '.join(w)}: {done.stderr}"
    wait_for(lab.synced, 20, "all is told")
    wait_for(lambda: [s["session"] for s in lab.json("peering", "status")["items"]] == ["established"], 20, "the customer's session")
    wait_for(lambda: lab.reaches_vnet(lab.acme), 10, "traffic to the vNet and back")
    for w in words:
        if w not in makes:
            done = lab.ctl(*w, check=False)
            assert done.returncode == 0 and done.stdout, f"culvertctl {' '.join(w)}: {done.stderr}"
    assert "degraded: no secondary" in lab.ctl("circuit", "show", lab.acme.circuit).stdout


def ours(lab):
    listed = [line.split()[0] for line in run("ip", "netns", "list").stdout.splitlines()]
    return [n for n in listed if n.startswith(lab.kernel_prefix + "-")] + speaker_pids(lab)


def test_and_the_last_day(lab):
    words = commands("Stop everything, and out of service")
    assert len(words) >= 7 and len(ours(lab)) >= 3
    for w in words:
        done = lab.ctl(*w, check=False)
        assert done.returncode == 0, f"culvertctl {' '.join(w)}: {done.stderr}"
    assert "ams1" not in lab.ctl("config", "show").stdout
    wait_for(lambda: not ours(lab), 20, "nothing of the edge is left in this host")
