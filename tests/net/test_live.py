# SPDX-License-Identifier: BSD-3-Clause
"""Changes of a running edge: what is taken out of the model goes from the data plane, the kernel and the BGP
daemons, what is put in works, and those whom it does not concern lose nothing."""

import os

import pytest
from demo import PingTrain
from edge import VNET
from lab import run, wait_for

from test_kills import kernel_state, speaker_pids


@pytest.fixture
def undisturbed(edge):
    """globex has traffic all the time, and loses none of it, whatever is done to acme."""
    train = PingTrain(edge, edge.globex, 0.005, 120)
    train.run_on(20)
    yield
    lost, sent = train.lost()
    assert lost == 0, f"globex lost {lost} of {sent}"


def apply(lab, text):
    path = os.path.join(lab.dir, "live.yaml")
    with open(path, "w") as f:
        f.write(text)
    lab.ctl("config", "apply", path, "--delete")


def model_of(lab, names):
    """The lab's model with only these customers; one may stand in for acme, with all that acme has, under his name."""
    everyone, lab.customers = lab.customers, [c for c in lab.customers if c.name in names or (c is lab.acme and len(names) == 2)]
    text = lab.model()
    for c in everyone:
        if c not in lab.customers:
            text = text.replace(f"  - name: {c.name}\n", "")
    lab.customers = everyone
    stranger = [n for n in names if n not in [c.name for c in everyone]]
    return text.replace("acme", stranger[0]) if stranger else text


def reached(lab, c):
    return lab.whose_vnet(c) == c.vnet


def gone(lab, c):
    return not lab.reaches_vnet(c)


def test_a_customer_goes_and_another_takes_his_place(edge, undisturbed):
    acme = edge.acme
    assert edge.ping(acme, 200, 0.002) == 200
    kernel, speakers, packets = kernel_state(edge), len(speaker_pids(edge)), edge.circuit_packets(acme)
    assert packets >= 400
    apply(edge, model_of(edge, ["globex"]))
    wait_for(lambda: gone(edge, acme), 5, "traffic of a deleted customer ends")
    if edge.host_domain == "netns":
        wait_for(lambda: len(speaker_pids(edge)) == speakers - 1, 15, "his BIRD ends")
    wait_for(lambda: kernel_state(edge) != kernel, 5, "his devices go")
    assert "acme" not in "".join(kernel_state(edge))
    wait_for(edge.synced, 5, "the data plane has it")
    assert edge.ctl("route", "list", "--circuit", acme.circuit, check=False).returncode == 3
    installed = edge.status()["dataplane"]["installed"]
    assert installed["tunnels"] == 1 and installed["limiters"] == 2, installed
    # the same port, VLAN, peering subnet, tunnel end points and key, of somebody else
    apply(edge, model_of(edge, ["initech", "globex"]))
    wait_for(lambda: reached(edge, acme), 15, "initech's traffic flows")
    stats = edge.json("circuit", "stats", "initech-ams-01")
    carried = sum(link["in"]["packets"] + link["out"]["packets"] for link in stats["links"] if link["edge"] == "ams1-edge1")
    assert carried < 200, "initech's counters began with acme's"
    apply(edge, edge.model())
    wait_for(lambda: reached(edge, acme), 15, "acme again")
    wait_for(lambda: len(speaker_pids(edge)) == speakers, 15, "as many BIRDs as before")
    wait_for(lambda: kernel_state(edge).keys() == kernel.keys(), 10, "namespaces as before")


def test_deleted_and_made_again_at_once(edge, undisturbed):
    """The new one has the names of the old, whose BIRD is still ending."""
    speakers, kernel = len(speaker_pids(edge)), kernel_state(edge)
    for _ in range(4):
        apply(edge, model_of(edge, ["globex"]))
        apply(edge, edge.model())
    wait_for(lambda: reached(edge, edge.acme), 15, "acme's traffic flows")
    wait_for(lambda: len(speaker_pids(edge)) == speakers, 15, f"{speakers} BIRDs")
    wait_for(lambda: kernel_state(edge).keys() == kernel.keys(), 10, "namespaces as before")
    wait_for(edge.synced, 5, "synced")


def test_the_tunnel_is_changed(edge, undisturbed):
    c = edge.acme
    for old, new in ((f"key: {c.key}}}", "key: 7099}"), (f"gateway: {c.gateway}, local: 192.0.2.1", "gateway: 198.51.100.77, local: 192.0.2.1")):
        before = edge.drops("tunnel-unknown")
        apply(edge, edge.model().replace(old, new, 1))
        wait_for(lambda: gone(edge, c), 5, "the old tunnel is not used")
        edge.forge(c.gateway, c.key, 10)
        wait_for(lambda b=before: edge.drops("tunnel-unknown") >= b + 10, 5, "nor let in from")
        apply(edge, edge.model())
        wait_for(lambda: reached(edge, c), 15, "the first tunnel again")


def tunnel_of(lab, c):
    """What the circuit says of the tunnel to its vNet."""
    return next(t for t in lab.circuit_status(c)["tunnels"] if t["vnet"] == c.vnet)


def hint_of(lab, c):
    return next((p["hint"] for p in lab.status()["problems"] if p["object"] == f"tunnel/{c.vnet}"), "")


def test_a_tunnel_says_what_it_lacks(edge, undisturbed):
    """No route, a next hop that does not answer: each by its name, with what to do next."""
    c = edge.acme
    route = f"      - {{prefix: {c.gateway}/32, via: 192.0.2.2}}\n"
    assert route in edge.model()
    lacks = [
        ("", [f"no route to {c.gateway}"], f"edge set ams1-edge1 --add-routes prefix={c.gateway}/32,via="),
        (route.replace("192.0.2.2", "192.0.2.77"), ["192.0.2.77", "does not answer", "core0", c.gateway], "neighbor list"),
    ]
    for instead, words, hint in lacks:
        apply(edge, edge.model().replace(route, instead, 1))
        try:
            wait_for(lambda: all(w in tunnel_of(edge, c)["reason"] for w in words), 10, f"{words}, not {tunnel_of(edge, c)}")
            assert tunnel_of(edge, c)["state"] == "down"
            assert hint in hint_of(edge, c), edge.status()["problems"]
        finally:
            apply(edge, edge.model())
        wait_for(lambda: tunnel_of(edge, c) == {"vnet": c.vnet, "state": "up", "reason": ""}, 15, "up again")
    wait_for(lambda: reached(edge, c), 15, "acme's traffic flows")


def test_a_connection_is_dropped_and_made_again(edge, undisturbed):
    c = edge.acme
    edge.ctl("connection", "delete", f"{c.circuit}/{c.vnet}")
    wait_for(lambda: VNET not in edge.birdc(c.bird, "show", "route"), 10, "the vNet is withdrawn from the customer")
    assert gone(edge, c)
    assert edge.session(c) == "established"
    edge.ctl("connection", "create", f"{c.circuit}/{c.vnet}")
    wait_for(lambda: reached(edge, c), 15, "connected again")


def test_a_peering_is_disabled(edge, undisturbed):
    c = edge.acme
    edge.ctl("peering", "set", f"{c.circuit}/private", "--enabled", "false")
    wait_for(lambda: not edge.installed(c, "10.1.0.0/16"), 10, "routes out")
    wait_for(lambda: "Established" not in edge.birdc(c.bird, "show", "protocols"), 10, "session down")
    wait_for(lambda: gone(edge, c), 5, "no traffic")
    wait_for(lambda: edge.circuit_status(c)["state"] == "disabled", 5, "the circuit says why")
    for how in ([], ["--soft"]):
        done = edge.ctl("peering", "clear", f"{c.circuit}/private", *how, check=False)
        assert done.returncode == 1 and "is disabled, its sessions stay down" in done.stderr, done.stdout + done.stderr
        assert f"culvertctl peering set {c.circuit}/private --enabled true" in done.stderr
    edge.ctl("peering", "set", f"{c.circuit}/private", "--enabled", "true")
    wait_for(lambda: reached(edge, c), 20, "enabled again")


def test_the_password_is_changed(edge, undisturbed):
    c = edge.acme
    secret = os.path.join(edge.dir, "secret")
    config = c.bird_config()
    for word in ("swordfish", "open-sesame"):
        with open(secret, "w") as f:
            f.write(word)
        edge.ctl("peering", "set", f"{c.circuit}/private", "--password", secret)
        wait_for(lambda: edge.session(c) != "established", 15, "the session ends: the customer has another word")
        edge.bird_configure(c.bird, config.replace(" as 64900;", f' as 64900;\n\tpassword "{word}";'))
        wait_for(lambda: edge.session(c) == "established", 20, "both have it")
    edge.ctl("peering", "set", f"{c.circuit}/private", "--unset", "password")
    edge.bird_configure(c.bird, config)
    wait_for(lambda: reached(edge, c), 20, "without again")


# A program that gives up its user once all it needs is open: another user may not be let through the directories
# above the libraries or the socket.
AS_NOBODY = """
import os, socket, sys
os.chdir(os.path.dirname(sys.argv[1]))
os.setgroups([]); os.setgid(1234); os.setuid(1234)
def connect():
    s = socket.socket(socket.AF_UNIX); s.connect(os.path.basename(sys.argv[1]))
    return s
"""
ASK = AS_NOBODY + """
s = connect() # he is told before he has asked
print(s.recv(4096).decode())
"""
FLOOD = AS_NOBODY + """
for i in range(3000):
    try: connect().send(b'{' * 70000)
    except OSError: pass
"""


def test_another_user_is_denied(edge, undisturbed):
    os.chmod(edge.dir, 0o755)
    os.chmod(edge.socket, 0o666)
    said = run("/usr/bin/python3", "-c", ASK, edge.socket).stdout
    assert '"denied"' in said and "uid 1234" in said
    # and however often he tries, and whatever he says, the others are served
    process = edge.start("flood", "/usr/bin/python3", "-c", FLOOD, edge.socket)
    while process.alive():
        assert edge.ctl("status", check=False).returncode in (0, 1)
    assert reached(edge, edge.acme)
