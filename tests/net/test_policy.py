# SPDX-License-Identifier: BSD-3-Clause
"""The evaluator of policies against the filters that BIRD is given (policy-random.c)."""

import os
import random
import subprocess
import tempfile

import pytest

from lab import run

PREFIX = os.environ.get("CULVERT_LAB", "br") + "-policy"
BATCHES = 40 if os.environ.get("CULVERT_LONG") else 4  # 4,800 pairs of policy and route each


# 2957468942: a filter that takes a MED away twice, which BIRD does not survive.
@pytest.mark.parametrize("seed", ["", "2957468942"])
def test_random_policies(build, seed):
    seed = seed or os.environ.get("CULVERT_SEED", str(random.SystemRandom().randrange(1 << 32)))
    run("ip", "netns", "del", PREFIX, check=False)
    run("ip", "netns", "add", PREFIX)
    try:
        run("ip", "-n", PREFIX, "link", "set", "lo", "up")
        with tempfile.TemporaryDirectory(prefix="culvert-policy-") as directory:
            done = subprocess.run(["ip", "netns", "exec", PREFIX, os.path.join(build, "tests/net/policy-random"), directory, seed, str(BATCHES)],
                capture_output=True, text=True, timeout=120 * BATCHES)
        print(done.stdout)
        assert done.returncode == 0, f"CULVERT_SEED={seed}\n{done.stdout[-2000:]}{done.stderr[-500:]}"
        compared, accepted, changed = [int(w) for w in done.stdout.split("\n")[-2].replace(",", "").split(" ") if w.isdigit()][:3]
        assert compared >= 10000 and accepted > compared // 10 and changed > compared // 20  # it met both answers, and changes
    finally:
        run("ip", "netns", "del", PREFIX, check=False)
