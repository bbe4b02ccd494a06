# SPDX-License-Identifier: BSD-3-Clause
"""The rows of the forwarding table: traffic and tables, who runs them, and what is asked of the result."""

ENCAP_1K = "1k flows, 1k routes, 64 B"


class Row:
    """words: of forward-load. judge: (what, reference, must, aims); see verdict()."""

    def __init__(self, name, title, words, judge=None, ovs=False, full=False, workers=1):
        self.name, self.title, self.words, self.judge, self.ovs, self.full, self.workers = name, title, words.split(), judge, ovs, full, workers

    def number(self, option, default):
        return int(self.words[self.words.index(option) + 1]) if option in self.words else default

    def frames(self):
        """Words that decide what is in the pcap: rows with equal ones share it."""
        return [w for w in self.words if w != "--check"]

    def tables(self):
        return [w for w in self.words if w not in ("--zipf", "--imix")]


# judge: "ovs": cycles above I/O as a part of OVS's in the same run; "above", "total": of another row's cycles above I/O, or in
# all; "speed": times the throughput of one worker in the same rounds.
ROWS = [
    Row("1k", ENCAP_1K, "--flows 1024 --routes 1000", ("ovs", None, 0.20, 0.15), ovs=True),
    Row("1k-check", "the same, source check on", "--flows 1024 --routes 1000 --check", ("ovs", None, 0.25, 0.18), ovs=True),
    Row("64k", "64k flows, 1k routes, 64 B", "--flows 65536 --routes 1000", ("ovs", None, 0.12, 0.10), ovs=True),
    Row("500k", "64k flows, 500k routes, 64 B", "--flows 65536 --routes 500000", ("above", "1k", 2.0, 1.5)),
    Row("imix", "IMIX 1k flows, 1k routes", "--flows 1024 --routes 1000 --imix", ("ovs", None, 0.20, 0.14), ovs=True),
    Row("1000c", "1,000 circuits x 1,000 routes, uniform", "--flows 65536 --routes 1000 --circuits 1000", ("total", "1k", 1.8, 1.5)),
    Row("10000c", "10,000 circuits x 4,000 routes, uniform", "--flows 131072 --routes 4000 --circuits 10000 --internal", ("total", "1k", 3.0, 2.2), full=True),
    Row("10000c-zipf", "10,000 circuits x 4,000 routes, Zipf", "--flows 131072 --routes 4000 --circuits 10000 --internal --zipf", ("total", "1k", 2.0, 1.5), full=True),
    Row("decap", "decapsulation: 1k flows, 1k routes, 64 B", "--flows 1024 --routes 1000 --decap", ("above", "1k", 1.15, None)),
    Row("decap-check", "decapsulation, source check on", "--flows 1024 --routes 1000 --decap --check", ("above", "1k-check", 1.15, None)),
    Row("decap-64k", "decapsulation: 64k flows, 1k routes", "--flows 65536 --routes 1000 --decap", ("above", "64k", 1.15, None)),
    Row("decap-imix", "decapsulation: IMIX", "--flows 1024 --routes 1000 --imix --decap", ("above", "imix", 1.15, None)),
    Row("decap-1000c", "decapsulation: 1,000 circuits, uniform", "--flows 65536 --routes 1000 --circuits 1000 --decap", ("above", "1000c", 1.15, None)),
    Row("two", "two workers, a circuit's two attachments, 1k flows each", "--flows 1024 --routes 1000", ("speed", None, 1.9, None), workers=2),
]


def groups(rows):
    """Rows that share a pcap and a number of workers, in order: they run in the same rounds."""
    found = {}
    for row in rows:
        found.setdefault((tuple(row.frames()), row.workers), []).append(row)
    return list(found.values())


def ratio(row, medians):
    """medians: {row name: {"io":, "ovs":, "culvert":}}. None when what it is compared with did not run."""
    kind, reference, _, _ = row.judge
    own = medians[row.name]
    if kind == "ovs":
        return (own["culvert"] - own["io"]) / (own["ovs"] - own["io"]) if "ovs" in own else None
    if kind == "speed":
        return row.workers * own["one"] / own["culvert"]
    if reference not in medians:
        return None
    other = medians[reference]
    if kind == "above":
        return (own["culvert"] - own["io"]) / (other["culvert"] - other["io"])
    return own["culvert"] / other["culvert"]


def verdict(row, medians):
    """(ratio as text, what is asked, how it came out)."""
    kind, reference, must, aims = row.judge
    value = ratio(row, medians)
    better = (lambda v, limit: v >= limit) if kind == "speed" else (lambda v, limit: v <= limit)
    sign = ">=" if kind == "speed" else "<="
    of = {"ovs": "of OVS", "above": f"x {reference}, above I/O", "total": f"x {reference}, total", "speed": "x one"}[kind]
    asked = f"{sign} {must:g} {of}" + (f"; {aims:g}" if aims else "")
    if value is None:
        return "-", asked, "not compared"
    if aims and better(value, aims):
        came = "aim met"
    else:
        came = "met" if better(value, must) else "MISSED"
    return f"{value:.2f}", asked, came
