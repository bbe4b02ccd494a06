# SPDX-License-Identifier: BSD-3-Clause
"""Several clients ask for the same at once: it is made once, and none of them is told that it failed."""

from concurrent.futures import ThreadPoolExecutor

CLIENTS = 8


def at_once(edge, words):
    """Exit codes of clients that start together, each with its own words."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        return sorted(done.returncode for done in pool.map(lambda w: edge.ctl(*w, check=False), words))


def revision(edge):
    return edge.status()["revision"]


def test_ensured_by_many(edge):
    for noun, name, fields in (
        ("customer", "initech", ["--description", "by many"]),
        ("vnet", "initech-prod", ["--customer", "initech", "--prefixes", "10.77.0.0/16"]),
        ("circuit", "initech-ams-01", ["--customer", "initech", "--bandwidth", "50mbps"]),
    ):
        before = revision(edge)
        assert at_once(edge, [[noun, "ensure", name, *fields]] * CLIENTS) == [0] * CLIENTS
        assert revision(edge) == before + 1, f"{noun} was made more than once"
    key = edge.json("circuit", "show", "initech-ams-01")["object"]["service-key"]
    assert at_once(edge, [["circuit", "ensure", "initech-ams-01", "--bandwidth", "50mbps"]] * CLIENTS) == [0] * CLIENTS
    assert edge.json("circuit", "show", "initech-ams-01")["object"]["service-key"] == key


def test_renamed_by_many(edge):
    """One is first; the others find nobody of that name."""
    edge.ctl("customer", "ensure", "hooli")
    before = revision(edge)
    codes = at_once(edge, [["rename", "customer", "hooli", f"hooli-{n}"] for n in range(CLIENTS)])
    assert codes == [0] + [3] * (CLIENTS - 1), codes
    assert revision(edge) == before + 1
    named = [c["full_name"] for c in edge.json("customer", "list")["items"] if c["full_name"].startswith("hooli")]
    assert len(named) == 1 and named[0] != "hooli"
