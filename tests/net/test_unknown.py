# SPDX-License-Identifier: BSD-3-Clause
"""What clients see while nobody forwards: values that only a data plane knows are not made up."""

import json

import pytest
from lab import wait_for

from conftest import start_lab


@pytest.fixture(scope="module")
def lab(build):
    lab = start_lab(build, "netns")
    yield lab
    lab.close()


def commands(lab):
    peering = f"{lab.acme.circuit}/private"
    return [
        ("drops",),
        ("circuit", "stats", lab.acme.circuit),
        ("port", "list"),
        ("port", "show", f"{lab.status()['edge']}/wan0"),
        ("route", "get", "10.1.0.1", "--peering", peering),
        ("route", "summary"),
        ("neighbor", "list"),
    ]


def test_nothing_is_made_up_without_a_data_plane(lab):
    for words in commands(lab):
        done = lab.ctl(*words, check=False)
        assert done.returncode == 0 and "warning" not in done.stderr, f"{words}: {done.stderr}"
    lab.dataplane.kill()
    wait_for(lambda: lab.status()["dataplane"]["state"] == "down", 10, "culvertd has noticed")
    for words in commands(lab):
        done = lab.ctl(*words, check=False)
        assert done.returncode == 4, f"{words}: {done.returncode} {done.stdout}"
        assert "data plane is not connected" in done.stderr and "hint:" in done.stderr, f"{words}: {done.stderr}"
        answer = json.loads(lab.ctl(*words, "--json", check=False).stdout)
        assert "not connected" in answer["unknown"]["message"], words
    assert lab.ctl("drops", check=False).stdout.splitlines()[-1] == "- packets dropped"
    assert lab.ctl("status", check=False).returncode == 1  # still answers
    shown = lab.ctl("circuit", "show", lab.acme.circuit, check=False)
    assert shown.returncode == 0 and "- bit/s, - packets" in shown.stdout
    lab.start_dataplane()
    wait_for(lab.synced, 20, "all is told again")
    for words in commands(lab):
        assert lab.ctl(*words, check=False).returncode == 0, words
