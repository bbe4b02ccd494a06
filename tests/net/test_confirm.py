# SPDX-License-Identifier: BSD-3-Clause
"""A change that takes itself back unless it is confirmed: through kill -9 of culvertd, at its deadline, with forwarding as
the model says at each step."""

import contextlib
import random
import re
import time

import pytest
from lab import LabError, wait_for

from conftest import running_lab

SPAN = 6  # s; what is shorter than 5 is refused


@pytest.fixture(scope="module")
def lab(request, build):
    with running_lab(request, build, "netns") as lab:
        yield lab


@pytest.fixture(autouse=True)
def nothing_waits(lab):
    """Whatever became of the test before."""
    yield
    with contextlib.suppress(LabError):
        if pending(lab):
            lab.ctl("config", "rollback")


def answers(lab):
    wait_for(lambda: lab.ctl("version", check=False).returncode == 0, 15, "culvertd answers")


def kill_and_start(lab):
    lab.daemon.kill()
    lab.start_daemon()
    answers(lab)


def show(lab):
    return lab.ctl("config", "show").stdout


def without_connection(lab, c):
    """The model's file, in which c is not connected to its vNet."""
    path = lab.model_path + ".cut"
    with open(path, "w") as f:
        text = show(lab)
        at = text.index(f"- name: {c.circuit}\n")
        cut, count = re.subn(r"  connections:\n(  - .*\n(    .*\n)*)", "", text[at:], count=1)
        assert count == 1, text
        f.write(re.sub(r"^(objects|end): (\d+)$", lambda m: f"{m[1]}: {int(m[2]) - 1}", text[:at] + cut, flags=re.M))
    return path


def history(lab):
    return lab.json("config", "history")["items"]


def pending(lab):
    return lab.status()["pending"]


def is_cut(lab, c):
    return not lab.reaches_vnet(c)


def test_killed_it_goes_back_at_its_time(lab):
    """config apply m.yaml --confirm; kill -9 culvertd; start it: reverted at its time, other writes meanwhile exit with 7."""
    c, other = lab.acme, lab.globex
    before, since = show(lab), lab.session_since(c)
    events = lab.edge.start("monitor", lab.program("tools/culvertctl/culvertctl"), "-s", lab.socket, "monitor", "--topic", "pending", "--since", "0", "--json")
    asked = time.time()
    answer = lab.json("config", "apply", without_connection(lab, c), "--confirm", f"{SPAN}s", "--delete")
    waits, told = answer["pending"], time.time()
    assert waits["revision"] == answer["revision"] == waits["before"] + 1 and waits["actor"] == "uid:0/root"
    assert asked + SPAN - 1 <= waits["until"] <= told + SPAN + 1  # of a second cut off
    wait_for(lambda: '"pending"' in events.log(), 3, "the event")
    wait_for(lambda: is_cut(lab, c), 3, f"{c.name} is cut off")
    kill_and_start(lab)
    assert pending(lab) == waits and history(lab)[0]["pending"] == waits["until"]
    assert is_cut(lab, c) and lab.reaches_vnet(other)
    refused = lab.ctl("circuit", "set", other.circuit, "--burst", "31ms", check=False)
    clock = time.strftime("%H:%M:%S", time.localtime(waits["until"]))
    assert refused.returncode == 7 and f"pending confirm by root (uid:0) until {clock} of revision {waits['revision']}" in refused.stderr
    assert "culvertctl config confirm" in refused.stderr and "culvertctl config rollback" in refused.stderr
    assert lab.ctl("circuit", "set", other.circuit, "--burst", "31ms", "--check", check=False).returncode == 7
    assert "goes back to revision" in lab.ctl("status", check=False).stdout

    wait_for(lambda: pending(lab) is None, waits["until"] - time.time() + 3, "it goes back")
    assert abs(time.time() - waits["until"]) < 2  # asked for every tenth of a second or so, of a second cut off
    newest = history(lab)[0]
    assert (newest["verb"], newest["actor"], newest["again"]) == ("config.revert", "culvertd", waits["before"])
    assert abs(newest["time"] - waits["until"]) <= 1
    wait_for(lambda: lab.reaches_vnet(c), 5, f"{c.name} is back")
    assert show(lab) == before
    assert lab.session_since(c) == since  # his session saw nothing of it
    assert lab.ctl("config", "confirm", check=False).returncode == 3
    lab.ctl("circuit", "set", other.circuit, "--burst", "31ms")
    events.stop()


def test_down_at_its_time(lab):
    """Taken back before the first word to anybody."""
    c = lab.acme
    before = show(lab)
    waits = lab.json("config", "apply", without_connection(lab, c), "--confirm", "5s", "--delete")["pending"]
    wait_for(lambda: is_cut(lab, c), 3, f"{c.name} is cut off")
    lab.daemon.kill()
    wait_for(lambda: time.time() > waits["until"] + 1, 10, "its time is over")
    lab.start_daemon()
    answers(lab)
    assert pending(lab) is None and show(lab) == before
    wait_for(lambda: lab.reaches_vnet(c), 5, f"{c.name} is back")
    assert history(lab)[0]["verb"] == "config.revert"


def test_confirmed(lab):
    c = lab.acme
    lab.ctl("circuit", "set", c.circuit, "--burst", "33ms", "--confirm", "5s")
    assert "is final" in lab.ctl("config", "confirm").stdout
    kill_and_start(lab)
    assert pending(lab) is None and lab.json("circuit", "show", c.circuit)["object"]["burst"] == "33ms"
    assert [a["object"] for a in lab.json("audit", "list")["items"] if a["verb"] == "config.confirm"]


def test_a_raise_is_no_one_way_door(lab):
    """A typing mistake of bandwidth: in force at once, and taken back at once, which no set can do."""
    c = lab.globex
    was = lab.json("circuit", "show", c.circuit)["object"]["bandwidth"]
    lab.ctl("circuit", "set", c.circuit, "--bandwidth", "10gbps", "--confirm", "10m")
    wait_for(lambda: lab.bandwidth(c) == 10_000_000_000, 5, "raised")
    assert lab.ctl("circuit", "set", c.circuit, "--bandwidth", was, check=False).returncode == 7
    assert f"bandwidth 10gbps -> {was}" in lab.ctl("config", "rollback", "--check").stdout
    lab.ctl("config", "rollback")
    wait_for(lambda: lab.bandwidth(c) == 100_000_000, 5, "lowered")
    assert lab.json("circuit", "show", c.circuit)["object"]["bandwidth"] == was
    # once it is final it cannot be lowered, by rollback neither; what it would be is shown
    lab.ctl("circuit", "set", c.circuit, "--bandwidth", "200mbps")
    refused = lab.ctl("config", "rollback", check=False)
    assert refused.returncode == 1 and "cannot be lowered from 200mbps" in refused.stderr
    shown = lab.ctl("config", "diff", "--revision", str(history(lab)[1]["revision"]), check=False)
    assert shown.returncode == 1 and f"bandwidth 200mbps -> {was}" in shown.stdout and "cannot be lowered" in shown.stderr


def test_back_to_a_revision(lab, tmp_path):
    """With a password of that time, and an object that comes back as itself."""
    c = lab.acme
    (tmp_path / "password").write_text("wont-match\n")
    at = history(lab)[0]["revision"]
    before, uid = show(lab), lab.json("circuit", "show", c.circuit)["object"]["service-key"]
    netns = lab.domain_netns(c)
    lab.ctl("peering", "set", f"{lab.globex.circuit}/private", "--password", str(tmp_path / "password"))
    with_password = show(lab)
    lab.ctl("circuit", "delete", c.circuit)
    wait_for(lambda: is_cut(lab, c), 5, f"{c.name} is cut off")
    lab.ctl("peering", "set", f"{lab.globex.circuit}/private", "--unset", "password")
    lab.ctl("config", "rollback", str(at + 1))
    assert show(lab) == with_password
    lab.ctl("config", "rollback", str(at), "--delete")
    assert show(lab) == before and lab.json("circuit", "show", c.circuit)["object"]["service-key"] == uid
    for each in lab.customers:
        wait_for(lambda each=each: lab.session(each) == "established", 30, f"session of {each.name}")
        wait_for(lambda each=each: lab.reaches_vnet(each), 10, f"{each.name} is back")
    assert lab.domain_netns(c) == netns
    assert history(lab)[0]["again"] == at
    assert lab.ctl("config", "rollback", "100000", check=False).returncode == 3
    assert lab.ctl("config", "rollback", "x", check=False).returncode == 2


def test_killed_at_any_moment(lab):
    """Whatever is in force after a kill -9 that was not in force before waits for confirmation: never the one without the other."""
    seed = int(time.time())
    print("seed", seed)
    draw = random.Random(seed)
    ctl = lab.program("tools/culvertctl/culvertctl")
    seen = set()
    for number in range(8):
        before, revision = show(lab), history(lab)[0]["revision"]
        change = lab.edge.start(f"change-{number}", ctl, "-s", lab.socket, "circuit", "set", lab.acme.circuit, "--burst", f"{40 + number}ms", "--confirm", "24h")
        time.sleep(draw.uniform(0, 0.03))  # the moment itself
        kill_and_start(lab)
        change.stop()
        waits = pending(lab)
        seen.add(waits is not None)
        assert (history(lab)[0]["revision"], waits is not None) in ((revision, False), (revision + 1, True)), seed
        if waits is None:
            assert show(lab) == before, seed
        else:
            lab.ctl("config", "rollback")
            assert show(lab) == before, seed
    wait_for(lab.synced, 10, "synced")
    assert lab.reaches_vnet(lab.acme)
