# SPDX-License-Identifier: BSD-3-Clause
"""What is kept: a backup that makes the edge again on an empty machine, a store that was changed behind its back, the
audit, and what deleted objects counted last."""

import json
import os
import shutil
import sqlite3
import stat

import pytest
from edge import EdgeLab
from lab import run, wait_for

from conftest import running_lab
from test_guard import held, restart_daemon


class Keeping(EdgeLab):
    """Somebody who may look, and nothing else."""

    def node_file(self):
        return super().node_file().replace("roles:\n", 'socket-mode: "0666"\nkeep-revisions: 20\nroles:\n  - {user: daemon, role: viewer}\n')


@pytest.fixture(scope="module")
def lab(request, build):
    with running_lab(request, build, "netns", Keeping) as lab:
        yield lab


def store(lab, name=""):
    return os.path.join(lab.dir, "culvert.db" + name)


def audit(lab, *words):
    return lab.json("audit", "list", *words)["items"]


def whole(lab):
    wait_for(lab.synced, 10, "synced")
    for c in lab.customers:
        wait_for(lambda c=c: lab.session(c) == "established", 60, f"session of {c.name}")
        wait_for(lambda c=c: lab.whose_vnet(c) == c.vnet, 15, f"{c.name} reaches his own vNet")


# ---- the audit

# The user is given up when all that is needed is open: another may not be let through the directories above.
AS_DAEMON = """
import json, os, socket, sys
os.chdir(os.path.dirname(sys.argv[1]))
os.setgroups([]); os.setgid(1); os.setuid(1)
s = socket.socket(socket.AF_UNIX); s.connect(os.path.basename(sys.argv[1]))
s.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": sys.argv[2], "params": json.loads(sys.argv[3])}).encode() + b"\\n")
said = b""
while b'"id":1' not in said.replace(b" ", b""):
    more = s.recv(65536)
    if not more: break
    said += more
print(said.decode())
"""


def as_daemon(lab, method, params):
    """What a user without any rights but to look is answered."""
    os.chmod(lab.dir, 0o755)
    return run("/usr/bin/python3", "-c", AS_DAEMON, lab.socket, method, json.dumps(params)).stdout


def test_the_audit_tells_old_and_new_who_and_what_was_denied(lab):
    c = lab.acme
    lab.ctl("circuit", "set", c.circuit, "--burst", "31ms")
    lab.ctl("circuit", "set", c.circuit, "--burst", "32ms")
    newest = audit(lab, "--object", f"circuit {c.circuit}")[0]
    [field] = newest["changes"][0]["fields"]
    assert (field["field"], field["from"], field["to"]) == ("burst", "31ms", "32ms")
    assert newest["actor"] == "uid:0/root" and "31ms -> 32ms" in newest["text"]
    # what is no change of the model
    lab.ctl("peering", "clear", f"{c.circuit}/private")
    wait_for(lambda: [a for a in audit(lab) if (a["verb"], a["object"], a["result"]) == ("peering.clear", f"peering {c.circuit}/private", "ok")], 5, "the clear")
    # what was denied; a thousand times is not a thousand lines
    for _ in range(20):
        assert '"denied"' in as_daemon(lab, "circuit.set", {"name": c.circuit, "fields": {"burst": "99ms"}})
    denied = wait_for(lambda: [a for a in audit(lab, "--actor", "daemon") if a["verb"] == "circuit.set"], 5, "the denials")
    assert denied[0]["object"] == f"circuit {c.circuit}" and "needs the role operator, has viewer" in denied[0]["result"]
    assert denied[0]["actor"] == "uid:1/daemon" and denied[0]["changes"] is None
    # which of them
    assert audit(lab, "--actor", "daemon", "--since", "1h") and not audit(lab, "--actor", "daemon", "--object", lab.globex.circuit)
    assert not audit(lab, "--since", "2100-01-01")
    assert all(a["actor"] == "uid:0/root" for a in audit(lab, "--actor", "root"))
    wait_for(lambda: lab.session(c) == "established", 20, "his session after the clear")


def test_history_is_bounded(lab):
    for i in range(30):
        lab.ctl("circuit", "set", lab.acme.circuit, "--burst", f"{20 + i}ms")
    assert len(lab.json("config", "history", "--limit", "500")["items"]) == 20


# ---- what was counted last

def test_the_last_counters_of_what_is_deleted(lab):
    """They are on disk before their place in the data plane is given to another, also when nobody was there to read them."""
    c = lab.globex
    wait_for(lambda: lab.reaches_vnet(c), 20, "reaches his vNet")
    lab.ping(c, count=20)
    link = f"{c.circuit}/primary"
    before = next(x for x in lab.json("circuit", "stats", c.circuit)["links"] if x["link"] == "primary")
    lab.daemon.stop()
    restart_daemon(lab)
    wait_for(lab.synced, 10, "synced")
    lab.ctl("link", "delete", link)

    def last():
        return {f["object"]: f["counters"] for f in lab.json("counters", "deleted", "--object", link)["items"]}

    kept = wait_for(lambda: last() if len(last()) >= 2 else None, 10, "both limiters of the link")
    for direction in ("in", "out"):
        assert kept[f"{link}/{direction}"]["bytes"] >= before[direction]["bytes"] > 0
    # and after another life of both processes
    lab.daemon.kill()
    lab.dataplane.kill()
    lab.start_dataplane()
    restart_daemon(lab)
    assert last() == kept
    tags = f"{c.vlans[0]}.{c.vlans[1]}".split(".")
    lab.ctl("link", "create", link, "--edge", "ams1-edge1", "--port", c.port, "--outer-tag", tags[0], "--inner-tag", tags[1])
    wait_for(lambda: lab.session(c) == "established", 60, "his session")
    whole(lab)


def test_a_connection_counts_on_over_its_sessions(lab, tmp_path):
    """Between two sessions nothing leaves by it, and it is the same connection."""
    c, model = lab.globex, tmp_path / "model"
    connection = f"{c.circuit}/{c.name}-prod"
    wait_for(lambda: lab.reaches_vnet(c), 20, "reaches his vNet")
    lab.ping(c, count=20)
    since = lab.session_since(c)
    lab.ctl("peering", "clear", f"{c.circuit}/private")
    wait_for(lambda: lab.session(c) == "established" and lab.session_since(c) != since, 30, "another session")
    wait_for(lambda: lab.reaches_vnet(c), 20, "reaches his vNet again")
    lab.ping(c, count=5)
    model.write_text(lab.ctl("config", "show").stdout)
    lab.ctl("connection", "delete", connection)

    def last():
        return {f["object"]: f["counters"]["packets"] for f in lab.json("counters", "deleted", "--object", connection)["items"] if f["counters"]}

    kept = wait_for(lambda: last() if len(last()) == 2 else None, 10, "both directions of the connection")
    assert kept[f"{connection}/in"] >= 25 and kept[f"{connection}/out"] >= 25, kept
    lab.ctl("config", "apply", str(model))
    wait_for(lambda: lab.reaches_vnet(c), 20, "as before")
    whole(lab)


# ---- backup and restore

def test_a_backup_makes_the_edge_again(lab, tmp_path):
    os.environ["PATH"] = os.path.join(lab.build, "control") + ":" + os.environ["PATH"]
    file, ctl = str(tmp_path / "backup"), lab.program("tools/culvertctl/culvertctl")
    lab.ctl("peering", "set", f"{lab.acme.circuit}/private", "--hold", "91s")
    before = lab.ctl("config", "show").stdout
    done = lab.ctl("backup", file)
    assert "holds the key and all passwords" in done.stdout and os.stat(file).st_mode & 0o777 == 0o600
    assert '"denied"' in as_daemon(lab, "store.backup", {})
    lab.ctl("peering", "set", f"{lab.acme.circuit}/private", "--hold", "92s")
    words = [ctl, "restore", "--config", lab.node_path, file]
    refused = run(*words, check=False)
    assert refused.returncode == 7 and "is in use" in refused.stderr and f"kill {lab.daemon.pid}\n" in refused.stderr, refused.stderr
    lab.daemon.stop()
    refused = run(*words, check=False)
    assert refused.returncode == 1 and "there is a store already" in refused.stderr
    os.rename(store(lab), store(lab, ".gone"))  # the disk is new, nothing is there
    os.rename(store(lab, ".key"), store(lab, ".key.gone"))
    with open(file, "rb") as f:
        good = f.read()
    for name, bad, says in (("cut", good[:-1000], "damaged"), ("bit", good[:9000] + bytes([good[9000] ^ 1]) + good[9001:], "damaged"),
                            ("foreign", good.replace(b"culvert-backup 1", b"culvert-backup 9", 1), "another version"), ("other", b"PK\3\4" * 99, "not a backup")):
        path = tmp_path / name
        path.write_bytes(bad)
        refused = run(ctl, "restore", "--config", lab.node_path, str(path), check=False)
        assert refused.returncode in (1, 6) and says in refused.stderr and "hint:" in refused.stderr, refused.stderr
        assert not os.path.exists(store(lab)) and not os.path.exists(store(lab, ".key"))
    done = run(*words)
    assert "revision" in done.stdout and "start culvertd" in done.stdout
    restart_daemon(lab)
    # the data plane knows a later revision of this store, and asks before it goes back
    wait_for(lambda: lab.status()["dataplane"]["state"] == "refused", 10, "asked")
    lab.ctl("edge", "adopt")
    whole(lab)
    assert lab.ctl("config", "show").stdout == before


def test_a_backup_replaces_nothing_but_a_file(lab, tmp_path):
    old, link, fifo, device = (str(tmp_path / name) for name in ("old", "link", "fifo", "device"))
    lab.ctl("backup", old)
    with open(old, "rb") as f:
        before = f.read()
    os.symlink(old, link)
    os.mkfifo(fifo)
    os.mknod(device, stat.S_IFCHR | 0o600, os.makedev(1, 7))  # as /dev/full is
    for path, what in ((link, "a symbolic link"), (fifo, "a FIFO"), (device, "a device"), (str(tmp_path), "a directory")):
        there = os.lstat(path)
        done = lab.ctl("backup", path, check=False)
        assert done.returncode == 1 and f"{path} is {what}, not a regular file" in done.stderr and "hint:" in done.stderr, f"{what}: {done}"
        assert os.path.samestat(there, os.lstat(path)) and not os.path.exists(path + ".new")
    with open(old, "rb") as f:
        assert f.read() == before
    for path in (store(lab), store(lab) + ".key", lab.node_path):
        there = os.stat(path)
        done = lab.ctl("backup", path, check=False)
        assert done.returncode == 1 and f"{path} is there and no backup" in done.stderr, done
        assert os.path.samestat(there, os.stat(path))
    lab.ctl("backup", old)  # the one before is replaced


def test_restore_on_an_empty_machine(lab, tmp_path):
    """Another root directory, in which nothing is, not even the directories."""
    file = str(tmp_path / "backup")
    lab.ctl("backup", file)
    node = tmp_path / "node.yaml"
    with open(lab.node_path) as f:
        text = f.read()
    node.write_text(text.replace(store(lab), str(tmp_path / "var/lib/culvert/store.db")).replace(lab.socket, str(tmp_path / "run/sock"))
                    .replace(f"{lab.dir}/run", str(tmp_path / "run")).replace(f"{lab.dir}/dataplane.sock", str(tmp_path / "run/dp.sock"))
                    .replace(f"kernel-prefix: {lab.kernel_prefix}", f"kernel-prefix: {lab.kernel_prefix}z"))
    run(lab.program("control/culvertd"), "--config", str(node), "--restore", file)
    daemon = lab.core.start("elsewhere", lab.program("control/culvertd"), "--config", str(node))
    try:
        def there(*words):
            return run(lab.program("tools/culvertctl/culvertctl"), "-s", f"{tmp_path}/run/sock", *words, check=False)

        wait_for(lambda: there("version").returncode == 0 or not daemon.alive(), 10, "it answers")
        assert there("config", "show").stdout == lab.ctl("config", "show").stdout
    finally:
        daemon.stop()
        for name in run("ip", "netns", "list").stdout.split():
            if name.startswith(lab.kernel_prefix + "z-"):
                speaker = os.path.join(str(tmp_path), "run", "bird", name[len(lab.kernel_prefix) + 2:])
                run(os.path.join(os.path.dirname(__file__), "..", "..", "tools", "culvert-speaker"), "stop", speaker, "-", check=False)
                run("ip", "netns", "del", name, check=False)


# ---- a store that is not what it was left as

def edit(lab, sql):
    db = sqlite3.connect(store(lab))
    db.execute(sql)
    db.commit()
    db.close()


def test_a_store_that_somebody_edits_is_named_and_not_acted_on(lab):
    c = lab.acme
    whole(lab)
    revision = lab.status()["revision"]
    lab.daemon.stop()
    # acme's tunnel with globex's key
    edit(lab, f"UPDATE objects SET json = replace(json, '{c.key}', '7999') WHERE noun = 'vnet' AND name = '{c.vnet}'")
    restart_daemon(lab)
    told = held(lab, "was changed by something else than culvertd")
    assert "edge adopt" in told["hint"] and "restore" in told["hint"] and f"revision {revision}" in told["message"]
    assert "was changed by something else than culvertd" in lab.daemon.log()
    assert lab.ctl("status", check=False).returncode == 1
    for customer in lab.customers:  # what ran goes on
        assert lab.whose_vnet(customer) == customer.vnet
    # a change does not make it good, saying so does
    lab.ctl("customer", "create", "made-meanwhile")
    lab.daemon.stop()
    edit(lab, f"UPDATE objects SET json = replace(json, '7999', '{c.key}') WHERE noun = 'vnet' AND name = '{c.vnet}'")
    restart_daemon(lab)
    held(lab, "was changed by something else than culvertd")
    before = audit(lab)[0]["id"]
    lab.ctl("edge", "adopt", "--check")  # does nothing and leaves no line
    lab.ctl("edge", "adopt")
    whole(lab)
    assert [a["verb"] for a in audit(lab) if a["id"] > before] == ["edge.adopt"]
    lab.daemon.stop()
    restart_daemon(lab)
    whole(lab)
    assert not [p for p in lab.status()["problems"] if p["object"].startswith("edge/")]


def test_a_copy_of_a_running_store_is_told_apart(lab):
    """Revision 20 was in the log of changes, which is another file."""
    whole(lab)
    for name in ("", ".key"):
        shutil.copy2(store(lab, name), store(lab, name) + ".copy")
    lab.ctl("customer", "create", "not-in-the-copy")
    lab.daemon.stop()
    for name in ("", ".key"):
        os.rename(store(lab, name), store(lab, name) + ".kept")
        os.rename(store(lab, name) + ".copy", store(lab, name))
    restart_daemon(lab)
    told = held(lab, "lacks its log of changes")
    assert "copied from a running culvertd" in told["message"]
    for customer in lab.customers:
        assert lab.whose_vnet(customer) == customer.vnet
    lab.daemon.stop()
    for name in ("", ".key"):
        os.replace(store(lab, name) + ".kept", store(lab, name))
    restart_daemon(lab)
    whole(lab)
