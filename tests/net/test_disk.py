# SPDX-License-Identifier: BSD-3-Clause
"""The store's disk: told before it is full; when it is full what runs goes on, culvertd starts on it too, and changes are
refused with what to do. Its files: told when somebody takes them away under culvertd."""

import json
import os
import shutil

import pytest
from edge import EdgeLab
from lab import run, wait_for

from conftest import running_lab
from test_guard import restart_daemon

MIB = 1 << 20


class SmallDisk(EdgeLab):
    """The store lies on a file system of its own, of 110 MiB."""

    def start_edge(self, in_force=True):
        self.disk = os.path.join(self.dir, "disk")
        os.mkdir(self.disk)
        run("mount", "-t", "tmpfs", "-o", "size=110m", "culvert-test", self.disk)
        self.on_close(lambda: run("umount", self.disk, check=False))
        super().start_edge(in_force)

    def node_file(self):
        return super().node_file().replace(f"{self.dir}/culvert.db", f"{self.disk}/culvert.db")

    def leave(self, left):
        """Fills the disk until so many bytes are free."""
        path = os.path.join(self.disk, "filler")
        there = os.path.getsize(path) if os.path.exists(path) else 0
        room = os.statvfs(self.disk)
        with open(path, "ab") as f:
            os.posix_fallocate(f.fileno(), 0, there + room.f_bavail * room.f_frsize - left)
        assert os.statvfs(self.disk).f_bavail * room.f_frsize == left

    def make_room(self):
        os.unlink(os.path.join(self.disk, "filler"))


@pytest.fixture(scope="module")
def lab(request, build):
    with running_lab(request, build, "netns", SmallDisk) as lab:
        yield lab


def problem(lab, name):
    return next((p for p in lab.status()["problems"] if p["object"] == f"store/{name}"), None)


def cleared(lab):
    lines = json.loads(lab.ctl("--json", "audit", "list", "--limit", "1000").stdout)["items"]
    return [line for line in lines if line["verb"] == "peering.clear"]


def all_well(lab):
    for c in lab.customers:
        wait_for(lambda c=c: lab.session(c) == "established", 60, f"session of {c.name}")
        wait_for(lambda c=c: lab.whose_vnet(c) == c.vnet, 15, f"{c.name} reaches his own vNet")


def test_a_disk_that_becomes_full(lab):
    wait_for(lambda: lab.status()["time"] - lab.status()["started"] > 1 and not problem(lab, "disk"), 10, "nothing to tell")
    lab.leave(50 * MIB)
    low = wait_for(lambda: problem(lab, "disk"), 15, "told before it is full")
    assert low["level"] == "warning" and "50 MiB are left" in low["message"] and f"df -h {lab.disk}" in low["hint"]
    assert next(i for i in json.loads(lab.ctl("--json", "doctor", check=False).stdout)["items"] if i["check"] == "store")["state"] == "warning"
    lab.ctl("circuit", "set", lab.acme.circuit, "--burst", "31ms")
    lab.leave(0)
    refused = lab.ctl("config", "apply", lab.model_path, check=False)
    assert refused.returncode == 1 and "file system is full" in refused.stderr and "make room" in refused.stderr, refused.stderr
    revision = lab.status()["revision"]
    for end in ("kill", "stop", "kill"):
        getattr(lab.daemon, end)()
        restart_daemon(lab)
        wait_for(lab.synced, 20, "synced")
        all_well(lab)
        full = wait_for(lambda: problem(lab, "disk"), 10, "told that it is full")
        assert (full["level"], full["message"][:5]) == ("error", "full:") and "changes are refused" in full["message"], full
        refused = lab.ctl("customer", "create", "no-room", check=False)
        assert refused.returncode == 1 and "cannot write the store" in refused.stderr and "make room" in refused.stderr
        assert lab.status()["revision"] == revision
    before = len(cleared(lab))
    for _ in range(20):
        lab.ctl("peering", "clear", f"{lab.acme.circuit}/private", "--soft")
    assert len(cleared(lab)) < before + 20 and "not in the audit until there is room" in lab.daemon.log()
    lab.make_room()
    wait_for(lambda: not problem(lab, "disk"), 15, "there is room again")
    assert len(cleared(lab)) == before + 20  # what was done without a line has one now
    lab.ctl("customer", "create", "room-again")
    assert lab.status()["revision"] == revision + 1
    lab.daemon.kill()
    restart_daemon(lab)
    lab.ctl("customer", "show", "room-again")
    assert not problem(lab, "disk") and not [p for p in lab.status()["problems"] if p["object"].startswith("edge/")]


def test_full_when_a_revision_should_go_back(lab):
    """It waits, also over a kill -9, and goes back as soon as there is room."""
    before = lab.ctl("config", "show").stdout
    waits = lab.json("circuit", "set", lab.acme.circuit, "--burst", "35ms", "--confirm", "5s")["pending"]
    lab.leave(0)
    wait_for(lambda: "cannot be taken back yet" in lab.daemon.log(), 15, "told that it cannot")
    assert lab.status()["pending"] == waits and lab.status()["revision"] == waits["revision"]
    lab.daemon.kill()
    restart_daemon(lab)
    assert lab.status()["pending"] == waits
    refused = lab.ctl("config", "confirm", check=False)
    assert refused.returncode == 7 and "is over" in refused.stderr
    lab.make_room()
    wait_for(lambda: lab.status()["pending"] is None, 15, "it goes back")
    assert lab.ctl("config", "show").stdout == before
    assert lab.json("config", "history")["items"][0]["again"] == waits["before"]


@pytest.mark.parametrize("what, burst", [("", "41ms"), ("-wal", "42ms"), (".key", "43ms")])
def test_files_that_are_taken_away(lab, what, burst, tmp_path):
    path, aside = os.path.join(lab.disk, "culvert.db" + what), os.path.join(lab.disk, "aside")
    shutil.copy2(path, tmp_path / "copy")
    revision = lab.status()["revision"]
    os.rename(path, aside)
    refused = lab.ctl("circuit", "set", lab.acme.circuit, "--burst", "33ms", check=False)  # before anybody has looked
    assert refused.returncode == 1 and f"{path}, was removed" in refused.stderr and "hint: culvertctl backup FILE" in refused.stderr, refused
    gone = wait_for(lambda: problem(lab, "files"), 15, "told that it is gone")
    assert gone["level"] == "error" and path in gone["message"] and "culvertctl restore" in gone["hint"]
    shutil.copy2(tmp_path / "copy", path)  # the same bytes, and not the file that is open
    wait_for(lambda: lab.status()["time"] > os.stat(path).st_ctime + 6, 15, "the next look")
    assert problem(lab, "files") == gone
    assert lab.ctl("customer", "create", "nowhere", check=False).returncode == 1 and lab.status()["revision"] == revision
    lab.ctl("backup", str(tmp_path / "backup"))
    os.rename(aside, path)
    wait_for(lambda: not problem(lab, "files"), 15, "all is as it was")
    lab.ctl("circuit", "set", lab.acme.circuit, "--burst", burst)
    assert lab.status()["revision"] == revision + 1


def test_a_backup_in_the_stores_place(lab, tmp_path):
    """Whoever copies it there instead of restoring it is told the command that makes good of it."""
    file, path = str(tmp_path / "backup"), os.path.join(lab.disk, "culvert.db")
    lab.ctl("backup", file)
    lab.daemon.stop()
    for name in os.listdir(lab.disk):
        os.unlink(os.path.join(lab.disk, name))
    shutil.copy2(file, path)
    refused = run(lab.program("control/culvertd"), "--config", lab.node_path, check=False)
    assert refused.returncode == 1 and f"{path} is a backup" in refused.stderr, refused.stderr
    [hint] = [line for line in refused.stderr.split("\n") if "hint:" in line]
    command = hint.split("hint: ")[1].split()
    os.environ["PATH"] = os.path.join(lab.build, "control") + ":" + os.environ["PATH"]
    run(lab.program("tools/culvertctl/culvertctl"), *command[1:], "--config", lab.node_path)
    restart_daemon(lab)
    wait_for(lab.synced, 20, "synced")
    all_well(lab)
