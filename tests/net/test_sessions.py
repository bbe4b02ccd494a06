# SPDX-License-Identifier: BSD-3-Clause
"""What a session's owner is told: which rule refuses a route, what the daemon threw away before any rule, why a session ended,
and why one does not come up."""

import json
import os
import signal
import time

import pytest
from bgp import REASON
from edge import host
from lab import wait_for

from test_live import reached

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bgp.py")


@pytest.fixture
def stranger(edge):
    """In place of acme's BIRD: announces what it is told."""
    c, started = edge.acme, []
    edge.birdc(c.bird, "disable", "edge")

    def announce(*routes):
        path = os.path.join(edge.dir, f"routes-{time.monotonic_ns()}")
        with open(path, "w") as f:
            json.dump([{"prefixes": p, "path": path_, "next_hop": hop} for p, path_, hop in routes], f)
        deadline = time.monotonic() + 20
        while True:  # our side may still be in its pause after the end of the session before
            speaker = c.router.start(f"stranger-{time.monotonic_ns()}", "/usr/bin/python3", "-B", SCRIPT, host(c.subnet, 1), host(c.subnet, 2), c.asn, path)
            started.append(speaker)
            wait_for(lambda s=speaker: "announced" in s.log() or not s.alive(), 15, "announced")
            if speaker.alive() or time.monotonic() > deadline:
                break
        assert speaker.alive(), speaker.log()
        return speaker

    yield announce
    for speaker in started:
        speaker.stop()
    edge.birdc(c.bird, "enable", "edge")
    edge.ctl("peering", "clear", f"{c.circuit}/private")
    wait_for(lambda: edge.session(c) == "established", 30, "acme's own session again")
    wait_for(lambda: reached(edge, c), 10, "acme's traffic")


SPECIAL = ["0.0.0.0/8", "0.1.0.0/16", "127.1.0.0/16", "169.254.99.0/24", "192.0.0.8/32", "224.0.0.0/4", "239.1.0.0/16", "240.0.0.0/4", "250.1.0.0/16", "224.0.0.0/3"]


def test_every_refusal_has_a_name(edge, stranger):
    c, hop = edge.acme, host(edge.acme.subnet, 1)
    speaker = stranger(
        (SPECIAL + ["10.74.0.0/16"], [c.asn], hop),
        (["10.71.0.0/16"], [c.asn, 64900], hop),
        (["10.72.0.0/16"], [c.asn], "10.99.9.9"),
        (["10.73.0.0/16"], [c.asn], host(c.subnet, 2)),
        (["10.75.0.0/16"], [65099], hop),
        (["10.76.0.0/16"], [c.asn], "10.99.9.9"),
        (["10.76.0.0/16"], [c.asn], hop),
    )
    wait_for(lambda: edge.installed(c, "10.74.0.0/16") and edge.installed(c, "10.76.0.0/16"), 10, "the good ones are in")
    wanted = {"10.71.0.0/16": "as-loop", "10.72.0.0/16": "bgp-invalid", "10.73.0.0/16": "bgp-invalid", "10.75.0.0/16": "bgp-invalid"} | dict.fromkeys(SPECIAL, "special-purpose")
    wait_for(lambda: edge.rejected_as(c, wanted), 10, f"{wanted}, not {edge.rejected(c)}")
    assert not [p for p in wanted if edge.installed(c, p)]
    rows = [r for r in edge.routes(c, "rejected") if {h["via"] for h in r["nexthops"]} == {hop}]
    assert sorted(r["prefix"] for r in rows) == sorted(wanted), rows
    wait_for(lambda: edge.own_peering(c)["rejected"] == len(wanted), 5, f"as many as are listed: {edge.own_peering(c)}")
    shown = edge.ctl("peering", "show", f"{c.circuit}/private").stdout
    assert "rejected: 10.72.0.0/16: Invalid NEXT_HOP attribute" in shown and "rejected: 10.75.0.0/16: Malformed AS_PATH" in shown, shown
    assert "10.76.0.0/16" not in shown and "10.76.0.0/16" not in edge.rejected(c), shown  # announced rightly since
    item = edge.json("peering", "show", f"{c.circuit}/private")["status"][0]
    assert item["messages"]["updates_in"] >= 1 and item["timers"]["hold"] == 90 and item["timers"]["keepalive"] == 30
    # Another session: what was rejected in the one before is not announced any more. The daemon's log knows seconds.
    last = int(time.time())
    wait_for(lambda: int(time.time()) > last, 3, "another second")
    speaker.stop()
    stranger((["10.74.0.0/16"], [c.asn], hop))
    wait_for(lambda: "rejected:" not in edge.ctl("peering", "show", f"{c.circuit}/private").stdout and edge.installed(c, "10.74.0.0/16"), 20, "his next session")
    assert edge.session(c) == "established" and not set(wanted) & set(edge.rejected(c))


def headline(edge, c):
    """What `status` says of the circuit."""
    return next((p["message"] for p in edge.status()["problems"] if p["object"] == f"circuit/{c.circuit}"), "")


def hint(edge, c):
    return next((p["hint"] for p in edge.status()["problems"] if p["object"] == f"circuit/{c.circuit}"), "")


def test_why_a_session_ended(edge, stranger):
    c = edge.acme
    speaker = stranger((["10.74.0.0/16"], [c.asn], host(c.subnet, 1)))
    wait_for(lambda: edge.session(c) == "established", 10, "his session")
    began = time.time()
    speaker.popen.send_signal(signal.SIGUSR1)
    wait_for(lambda: REASON in ((edge.own_peering(c)["last_reset"] or {}).get("reason", "")), 10, "his words, RFC 9003")
    reset = edge.own_peering(c)["last_reset"]
    assert "Administrative shutdown" in reset["reason"] and abs(reset["time"] - began) < 5, reset
    assert REASON in edge.ctl("circuit", "show", c.circuit).stdout
    # Nobody is at the end of that cable's session now, which is met with every few seconds; his words stay in front.
    wait_for(lambda: "since then: " in edge.own_peering(c)["detail"], 20, "what the next tries met with")
    assert edge.own_peering(c)["detail"].startswith("Received: Administrative shutdown") and REASON in edge.own_peering(c)["detail"]
    assert REASON in headline(edge, c)
    assert REASON in edge.ctl("circuit", "list").stdout.split("\n")[-2]


def test_a_hold_time_that_runs_out(edge):
    """His routes go with it, also when his router would have them kept (RFC 9494): we do not take part."""
    c, own = edge.acme, edge.acme.bird_config()
    bird = c.bird.pid
    edge.ctl("peering", "set", f"{c.circuit}/private", "--hold", "9s", "--keepalive", "3s")
    edge.bird_configure(c.bird, own.replace("graceful restart on;", "graceful restart on;\n\tlong lived graceful restart on;\n\tlong lived stale time 3600;"))
    wait_for(lambda: edge.session(c) == "established" and (edge.own_peering(c)["timers"] or {}).get("hold") == 9, 30, "the new hold time")
    wait_for(lambda: edge.installed(c, "10.1.0.0/16"), 10, "his network")
    said = edge.birdc(c.bird, "show", "protocols", "all", "edge")
    ours = said[said.index("Neighbor capabilities"):said.index("Session:")]
    assert "Long-lived" in said[:said.index("Neighbor capabilities")] and "Graceful restart" in ours and "Long-lived" not in ours, said
    os.kill(bird, signal.SIGSTOP)
    began = time.monotonic()
    try:
        wait_for(lambda: not edge.installed(c, "10.1.0.0/16"), 15, "they are gone")
        assert time.monotonic() - began > 4  # it was the hold time
        # the kernel says at once that they go, the daemon is asked once a second
        wait_for(lambda: "Hold timer expired" in edge.own_peering(c)["last_reset"]["reason"], 3, "and told why")
    finally:
        os.kill(bird, signal.SIGCONT)
        edge.ctl("peering", "set", f"{c.circuit}/private", "--unset", "hold", "--unset", "keepalive")
        edge.bird_configure(c.bird, own)
    wait_for(lambda: edge.session(c) == "established" and reached(edge, c), 40, "his session again")


def test_more_prefixes_than_the_daemon_takes(edge, stranger):
    """The hint names the number and the way back."""
    c = edge.acme
    many = [f"10.{128 + i // 65536}.{i // 256 % 256}.{i % 256}/32" for i in range(20001)]
    speaker = stranger((many, [c.asn], host(c.subnet, 1)))
    wait_for(lambda: "peering clear" in edge.own_peering(c)["detail"] and "20000" in edge.own_peering(c)["detail"], 20, "the session is shut, and says so")
    wait_for(lambda: "closed" in speaker.log(), 10, "he is told")
    assert "notification [6, 1]" in speaker.log()


def test_a_password_that_differs(edge):
    c = edge.acme
    secret = os.path.join(edge.dir, "secret")
    own = c.bird_config()
    with open(secret, "w") as f:
        f.write("swordfish")
    edge.ctl("peering", "set", f"{c.circuit}/private", "--password", secret)
    wait_for(lambda: "without the MD5 password" in edge.own_peering(c)["detail"], 30, f"missing: {edge.own_peering(c)}")
    wait_for(lambda: "without the MD5 password" in headline(edge, c), 5, "status says so")
    assert hint(edge, c) == f"culvertctl peering set {c.circuit}/private --password FILE"
    assert f"hint: culvertctl peering set {c.circuit}/private --password FILE" in edge.ctl("peering", "show", f"{c.circuit}/private").stdout
    edge.bird_configure(c.bird, own.replace(" as 64900;", ' as 64900;\n\tpassword "open-sesame";'))
    wait_for(lambda: "another MD5 password" in edge.own_peering(c)["detail"], 60, "wrong")
    edge.ctl("peering", "set", f"{c.circuit}/private", "--unset", "password")
    wait_for(lambda: "none is set here" in edge.own_peering(c)["detail"], 60, "not expected")
    edge.bird_configure(c.bird, own)
    wait_for(lambda: edge.session(c) == "established" and edge.own_peering(c)["detail"] == "", 40, "without again")
    wait_for(lambda: reached(edge, c), 10, "acme's traffic")


def test_nothing_that_we_send_arrives(edge):
    """Nothing is acknowledged: the session is up here for its hold time, and is said not to work."""
    c = edge.acme
    ours = host(c.subnet, 2)
    c.router.ip("neigh", "replace", ours, "lladdr", "02:00:00:00:00:99", "nud", "permanent", "dev", "eth0")  # what he says goes elsewhere
    try:
        edge.ctl("peering", "clear", "--soft", f"{c.circuit}/private")
        wait_for(lambda: "what we send is not acknowledged" in headline(edge, c), 40, "status names it")
        assert f"culvertctl peering set {c.circuit}/private --ttl-security true" in hint(edge, c)
    finally:
        c.router.ip("neigh", "del", ours, "dev", "eth0")
    wait_for(lambda: "not acknowledged" not in headline(edge, c), 60, "it works again")
    wait_for(lambda: edge.session(c) == "established", 30, "his session")


def test_ttl_security(edge):
    """RFC 5082: with it on both sides the session comes up, with it on one side it does not, and that it may be this is said."""
    c = edge.acme
    own = c.bird_config()
    edge.ctl("peering", "set", f"{c.circuit}/private", "--ttl-security", "true")
    wait_for(lambda: edge.session(c) != "established", 15, "his packets have a small TTL")
    wait_for(lambda: "TTL security is set here, and not on his router" in headline(edge, c), 30, "status names it")
    assert f"culvertctl peering set {c.circuit}/private --ttl-security false" in hint(edge, c)
    shown = edge.ctl("peering", "show", f"{c.circuit}/private").stdout
    assert "packets come with a TTL below 255" in shown and "--ttl-security false" in shown, shown
    edge.bird_configure(c.bird, own.replace(" as 64900;", " as 64900;\n\tttl security on;"))
    # A connection from before, half open since his packets are dropped, would stand in the way for its hold time.
    edge.ctl("peering", "clear", f"{c.circuit}/private")
    wait_for(lambda: edge.session(c) == "established", 30, "both have it")
    wait_for(lambda: reached(edge, c), 10, "acme's traffic")
    edge.ctl("peering", "set", f"{c.circuit}/private", "--unset", "ttl-security")
    # On his side alone: his router drops what we send, without a word.
    wait_for(lambda: "TTL security that is set on his router alone" in headline(edge, c), 40, "status names it")
    assert hint(edge, c).endswith(f"culvertctl peering set {c.circuit}/private --ttl-security true")
    edge.bird_configure(c.bird, own)
    edge.ctl("peering", "clear", f"{c.circuit}/private")
    wait_for(lambda: edge.session(c) == "established", 30, "without again")
