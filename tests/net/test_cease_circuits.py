# SPDX-License-Identifier: BSD-3-Clause
"""As test_cease.py, with the other way in a circuit of its own."""

import os
import time

import pytest
from lab import wait_for

from test_cease import Stream, TwoWays, both_up, hung, own_sessions, start, takes_away
from test_live import apply


class TwoCircuits(TwoWays):
    circuits = 2


@pytest.fixture(scope="module", params=["netns", "table"])
def circuits(request, build):
    yield from start(request, build, TwoCircuits)


def test_a_circuit_is_deleted(circuits):
    takes_away(circuits, ["circuit", "delete", "acme-ams-01"], "peering acme-ams-01/private was removed")
    apply(circuits, circuits.model())
    both_up(circuits)


def test_a_peering_is_disabled(circuits):
    takes_away(circuits, ["peering", "set", "acme-ams-01/private", "--enabled", "false"], "peering acme-ams-01/private was disabled")
    circuits.ctl("peering", "set", "acme-ams-01/private", "--enabled", "true")
    both_up(circuits)


def test_a_connection_is_deleted(circuits):
    """No session ends, but the vNet is withdrawn before it is out of reach."""
    stream = Stream(circuits)
    circuits.ctl("connection", "delete", "acme-ams-01/acme-prod")
    assert stream.lost() == [0, 0]
    assert own_sessions(circuits) == {"edge": "Established", "edge2": "Established"}
    apply(circuits, circuits.model())
    both_up(circuits)


def test_a_link_goes_to_another_edge(circuits):
    """As by a typing error: here the attachment goes."""
    stream = Stream(circuits)
    apply(circuits, circuits.model().replace("edge: ams1-edge1, port: wan0, outer-tag: 100}", "edge: ams1-edge2, port: wan1, outer-tag: 777}", 1))
    wait_for(lambda: own_sessions(circuits)["edge"] != "Established", 2, "he is told at once")
    assert stream.lost() == [0, 0]
    apply(circuits, circuits.model())
    both_up(circuits)


def test_a_peering_has_other_subnets(circuits):
    takes_away(circuits, ["peering", "set", "acme-ams-01/private", "--primary-subnet", "169.254.30.0/30"], "link acme-ams-01/primary has other addresses")
    apply(circuits, circuits.model())
    both_up(circuits)


def given_away(lab, name, change):
    """acme's first circuit goes, and from the same change on a circuit of globex's has what `change` leaves of it: he is told
    first, as with any that goes, whichever of the two comes first by its name. Ends with the model as it was."""
    text = lab.model()
    at = text.index("  - name: acme-ams-01\n")
    end = text.index("  - name: acme-ams-02\n")
    theirs = text[at:end].replace("acme-ams-01", name).replace("customer: acme", "customer: globex").replace("vnet: acme-prod", "vnet: globex-prod")
    stream, log = Stream(lab), len(lab.acme.bird.log())
    try:
        apply(lab, text[:at] + change(theirs) + text[end:])
        said = lab.acme.bird.log()[log:]
        assert "Received: Administrative shutdown" in said and "peering acme-ams-01/private was removed" in said, said
        wait_for(lab.synced, 5, "the data plane has it")
        assert stream.lost() == [0, 0]
    finally:
        apply(lab, text)
    both_up(lab)


def test_the_place_is_taken_by_another(circuits):
    """Port, tag and addresses; with another AS, or acme's router, which is still on the cable, would take globex's vNet for his."""
    given_away(circuits, "globex-two", lambda theirs: theirs.replace("peer-asn: 65010", "peer-asn: 65020"))


def test_the_tag_is_taken_by_another(circuits):
    given_away(circuits, "a-globex", lambda theirs: theirs.replace("169.254.10.0/30", "169.254.40.0/30").replace("169.254.10.4/30", "169.254.40.4/30"))


def test_the_addresses_are_taken_by_another(circuits):
    given_away(circuits, "globex-two", lambda theirs: theirs.replace("outer-tag: 100}", "outer-tag: 110}"))


def test_the_place_is_taken_by_one_that_is_there(circuits):
    """A link of globex's comes to acme's tag by `link set`, in one batch with the end of acme's circuit."""
    text = circuits.model()
    stream, log = Stream(circuits), len(circuits.acme.bird.log())
    path = os.path.join(circuits.dir, "batch")
    with open(path, "w") as f:
        f.write("circuit delete acme-ams-01\nlink set globex-ams-01/primary --port wan0 --outer-tag 100 --unset inner-tag\n")
    try:
        circuits.ctl("batch", path)
        assert "peering acme-ams-01/private was removed" in circuits.acme.bird.log()[log:]
        wait_for(circuits.synced, 5, "the data plane has it")
        assert stream.lost() == [0, 0]
        assert circuits.circuit_status(circuits.globex)["links"][0]["vlan"] == "100"
    finally:
        apply(circuits, text)
    both_up(circuits)


def test_a_daemon_that_hangs_keeps_no_place(circuits):
    """It has its 3 s, then the place is the other's."""
    text = circuits.model()
    with hung(circuits):
        done = circuits.ctl("link", "set", "acme-ams-01/primary", "--port", "wan2", "--outer-tag", "301", "--admin", "down")
        assert "not told" in done.stderr, done.stderr
        began = time.monotonic()
        circuits.ctl("link", "set", "globex-ams-01/primary", "--port", "wan0", "--outer-tag", "100", "--unset", "inner-tag")
        assert time.monotonic() - began < 5
    apply(circuits, text)
    both_up(circuits)
