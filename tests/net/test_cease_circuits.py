# SPDX-License-Identifier: BSD-3-Clause
"""As test_cease.py, with the other way in a circuit of its own."""

from lab import wait_for

import pytest

from test_cease import Stream, TwoWays, both_up, own_sessions, start, takes_away
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


def test_the_place_is_taken_by_another(circuits):
    """Its tag belongs to another customer's circuit from the same change on: nothing waits."""
    text = circuits.model()
    at = text.index("  - name: acme-ams-01\n")
    end = text.index("  - name: acme-ams-02\n")
    mine, before = text[at:end], circuits.daemon.log().count("taken away")
    theirs = mine.replace("acme-ams-01", "globex-two").replace("customer: acme", "customer: globex").replace("vnet: acme-prod", "vnet: globex-prod")
    apply(circuits, text[:at] + theirs + text[end:])
    wait_for(circuits.synced, 5, "the data plane has it")
    assert circuits.daemon.log().count("taken away") == before or "place is another's" in circuits.daemon.log()
    assert circuits.drops("vlan-unknown") >= 0
    apply(circuits, text)
    both_up(circuits)
