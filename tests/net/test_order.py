# SPDX-License-Identifier: BSD-3-Clause
"""The commands of docs/operations.md, "An order", on an edge whose store is empty: from the catalog to traffic, and back."""

import json
import os
import socket
import sys
import time

import pytest
from lab import wait_for

from test_first_day import commands, empty_edge


def with_provider(node):
    return node.replace("roles:\n", "socket-mode: \"0666\"\nroles:\n  - {uid: \"65533\", role: operator, provider: ixnet}\n")


@pytest.fixture(scope="module")
def lab(build):
    with empty_edge(build, vlans=(101,), node=with_provider) as lab:  # the tag that the system gives
        os.chmod(lab.dir, 0o711)
        yield lab


def as_provider(lab, *calls):
    """The answers to (method, params) for user 65533."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.chdir(lab.dir)  # the way to it may be root's alone
            os.setgroups([])
            os.setgid(65533)
            os.setuid(65533)
            with socket.socket(socket.AF_UNIX) as s, os.fdopen(into, "w") as answers:
                s.connect(os.path.basename(lab.socket))
                lines = s.makefile("rw")
                for method, params in calls:
                    lines.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}) + "\n")
                    lines.flush()
                    answers.write(lines.readline())
        except OSError as e:
            print(e, file=sys.stderr)
        finally:
            os._exit(0)
    os.close(into)
    with os.fdopen(out) as answers:
        told = [json.loads(line) for line in answers]
    os.waitpid(child, 0)
    assert len(told) == len(calls)
    return told


@pytest.mark.parametrize("model", ["exchange/l2", "ethernet/l2", "ethernet/l3", "ipvpn/l3"])
def test_from_order_to_ping_and_back(lab, model):
    """The same in all models and hand-offs; by whom BGP is spoken says who has to act."""
    circuit, key = lab.acme.circuit, None
    words = commands("An order")
    kind, handoff = model.split("/")
    for w in words:
        if w[:2] == ["provider", "create"]:
            w[w.index("exchange/l2")] = model
        if w[:2] == ["circuit", "create"] and handoff != "l2":
            w += ["--handoff", handoff]
    began = time.monotonic()
    end = next(i for i, w in enumerate(words) if w[:2] == ["connection", "delete"])
    said = {}
    for w in words[:end]:
        done = lab.ctl(*w, check=False)
        said[" ".join(w[:2])] = done.stdout
        if w[:2] == ["circuit", "wait"]:
            party = "provider" if handoff == "l3" else "customer"
            assert f"1. {party}: it has no peering" in lab.ctl("circuit", "check", circuit, check=False).stdout
        assert done.returncode == (1 if w[1] == "check" else 0), f"culvertctl {' '.join(w)}: {done.stdout}{done.stderr}"
        if w[:2] == ["circuit", "create"]:
            key = lab.json("circuit", "show", circuit)["object"]["service-key"]
        if w[:2] == ["circuit", "check"]:
            assert "1. provider: it is not-provisioned at ixnet, who needs the key" in done.stdout
            assert f"culvertctl cross-connection provision {key}" in done.stdout
            assert "disabled" in done.stdout.splitlines()[0] and "no peering" not in done.stdout
            # Nobody gets ahead of the provider.
            early = lab.ctl("peering", "create", f"{circuit}/private", "--primary-subnet", "169.254.10.0/30", "--secondary-subnet",
                "169.254.10.4/30", "--peer-asn", "65010", "--local-asn", "64900", check=False)
            assert early.returncode == 1 and "not-provisioned at provider \"ixnet\"" in early.stderr
            assert f"hint: give ixnet the key {key}; culvertctl circuit wait {circuit} --state provisioned" in early.stderr
            late = lab.ctl("--timeout", "1", "circuit", "wait", circuit, check=False)
            assert late.returncode == 8 and "it is not-provisioned" in late.stderr
    order = said["circuit create"].splitlines()[-1]
    assert order == f"service key {key}; primary ams1/wan0 tag 101; secondary ams2/wan0 tag 101; waits for ixnet"
    assert "ams   europe  public  west-europe  ams1, ams2  ixnet" in said["location list"] and model in said["location list"]
    shown = lab.ctl("provider", "show", "ixnet").stdout
    assert f"\ndevice pe1  1 link\n  {key} primary\n" in shown and f"\ndevice pe2  1 link\n  {key} secondary\n" in shown
    # Both on one device: no availability is promised, and who looks is told.
    lab.ctl("cross-connection", "provision", key, "--device", "secondary=pe1")
    assert lab.json("provider", "show", "ixnet")["devices"] == {"pe1": [f"{key} primary", f"{key} secondary"]}
    assert "note     provider: both links are handed over on device pe1" in lab.ctl("circuit", "check", circuit, check=False).stdout
    lab.ctl("cross-connection", "provision", key, "--device", "secondary=pe2")
    assert "note" not in lab.ctl("circuit", "check", circuit, check=False).stdout
    for by in ["--provider", "ixnet", "--location", "ams"], ["--provider", "ixnet"], []:
        assert [i["circuit"] for i in lab.json("circuit", "list", *by)["items"]] == [circuit]
    lab.ctl("provider", "create", "telco", "--models", "ipvpn/l3", "--bandwidths", "50mbps", "--locations", "ams")
    assert lab.json("circuit", "list", "--provider", "telco", "--location", "ams")["items"] == []
    assert lab.json("cross-connection", "list", "--provider", "telco")["items"] == []
    lab.ctl("provider", "delete", "telco")
    assert lab.ctl("circuit", "list", "--provider", "nobody", check=False).returncode == 3
    # His side alone, whatever he asks.
    methods = [m["name"] for m in as_provider(lab, ("rpc.describe", {}))[0]["result"]["methods"]]
    params = {"key": key, "name": circuit, "circuit": circuit, "peering": f"{circuit}/private"}
    his = {"hello", "rpc.describe", "edge.peers", "cross-connection.list", "cross-connection.show"}
    answers = as_provider(lab, *[(m, {"key": key} if m.endswith("connection.show") else {} if m in his else params) for m in methods
        if not m.startswith("cross-connection.") or m in his])
    asked = [m for m in methods if not m.startswith("cross-connection.") or m in his]
    for method, answer in zip(asked, answers):
        text = json.dumps(answer.get("result", answer.get("error")))
        if method in his:
            assert "result" in answer, (method, answer)
        else:
            assert answer["error"]["data"]["code"] in ("denied", "usage"), (method, answer)
        assert method == "rpc.describe" or circuit not in text and "acme" not in text, (method, text)
    crosses = said["cross-connection list"]
    assert key in crosses and "ams1/wan0 101" in crosses and "ams2/wan0 101" in crosses and "not-provisioned" in crosses
    shown = lab.json("cross-connection", "show", key)
    assert "acme" not in str(shown).replace(key, "") and shown["object"]["primary"]["device"] == "pe1"
    wait_for(lambda: lab.reaches_vnet(lab.acme), 30, "traffic to the vNet and back")
    print(f"from an empty store to the first ping: {end} commands, {time.monotonic() - began:.1f} s")
    wait_for(lambda: json.loads(lab.ctl("--json", "circuit", "check", circuit, check=False).stdout)["missing"] == [], 10, "nothing is missing")

    # Out again: what is provisioned stays, by verb and by file.
    again = as_provider(lab, ("cross-connection.provision", {"key": key, "begin": True}), ("cross-connection.provision", {"key": key}),
        ("cross-connection.deprovision", {"key": circuit}),
        ("cross-connection.provision", {"key": "00000000-0000-4000-8000-000000000000"}))
    assert again[0]["error"]["message"] == f"cross-connection {key} is provisioned, that cannot be done now"
    assert not again[1]["result"]["changed"]
    # What he settles is his own, and tells nothing of others, whatever he asks for with it.
    asks = {"key": key, "device": ["primary=pe7"], "confirm": "10s", "expand": True}
    made, over, back, none = as_provider(lab, ("cross-connection.provision", asks), ("cross-connection.provision", {**asks, "confirm": "2m"}),
        ("config.rollback", {"expand": True}), ("config.rollback", {"expand": True, "revision": 2}))
    assert made["result"]["pending"] and not {"changes", "yaml"} & set(made["result"]), made
    assert over["error"]["data"]["code"] == "denied" and "cannot keep others waiting for 2m" in over["error"]["message"]
    assert back["result"]["changed"] and set(back["result"]) <= {"revision", "changed", "diff", "digest"} and not back["result"]["diff"], back
    assert none["error"]["data"]["code"] == "denied", none
    assert lab.json("cross-connection", "show", key)["object"]["primary"]["device"] == "pe1"
    assert [a["error"]["data"]["code"] for a in again if "error" in a] == ["refused", "not-found", "not-found"]
    for w in words[end:]:
        if w[:2] == ["cross-connection", "deprovision"]:
            refused = lab.ctl("circuit", "delete", circuit, check=False)
            assert refused.returncode == 1 and f"circuit \"{circuit}\" is provisioned at provider \"ixnet\"" in refused.stderr
            assert f"culvertctl cross-connection deprovision {key}" in refused.stderr
            model = lab.ctl("config", "show").stdout
            at, rest = model.split(f"- name: {circuit}\n", 1)
            path = os.path.join(lab.dir, "without.yaml")
            with open(path, "w") as f:
                f.write(at + "vnets:" + rest.split("vnets:", 1)[1].split("end:")[0])
            text = open(path).read().replace("circuits:\n", "")
            with open(path, "w") as f:
                f.write("\n".join(line for line in text.splitlines() if not line.startswith("objects:")) + "\n")
            refused = lab.ctl("config", "apply", path, "--delete", check=False)
            assert refused.returncode in (1, 6) and "is provisioned at provider" in refused.stderr, refused.stderr
        if w[:2] == ["circuit", "delete"]:
            # The line is gone, so is what came by it; the peering stays as configured.
            wait_for(lambda: not lab.reaches_vnet(lab.acme), 10, "no traffic")
            assert f"{circuit}/private" in lab.ctl("peering", "list").stdout
        done = lab.ctl(*w, check=False)
        assert done.returncode == 0, f"culvertctl {' '.join(w)}: {done.stdout}{done.stderr}"
    assert lab.json("circuit", "list")["items"] == []
    for w in (["vnet", "delete", lab.acme.vnet], ["customer", "delete", "acme"], ["port", "delete", "ams2/wan0"], ["port", "set", "ams1/wan0", "--unset", "provider"],
            ["provider", "delete", "ixnet"], ["location", "delete", "ams"], ["edge", "delete", "ams2"], ["region", "delete", "west-europe"],
            ["area", "delete", "europe"], ["realm", "delete", "public"]):
        lab.ctl(*w)
