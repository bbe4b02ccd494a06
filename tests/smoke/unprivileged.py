#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""culvert-dataplane without privileges says which it lacks and by which command they are given; with those alone it gets on.

usage: unprivileged.py PROGRAM     (any user; root tries both, by giving up his own)
"""

import os
import subprocess
import sys
import tempfile


def error(program, directory, *privileges):
    command = [program, "--no-huge", "--no-shconf", "-m", "128", "--no-pci", "--file-prefix", f"culvert-unprivileged-{os.getpid()}", "--",
               "--socket", os.path.join(directory, "socket"), "--stats", "none", "--port", "a=lo"]
    if os.geteuid() == 0:
        command = ["setpriv", "--inh-caps=-all", "--bounding-set=" + ",".join(["-all", *privileges]), *command]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=20)
    (line,) = [line for line in done.stderr.split("\n") if line.startswith("error:")]
    assert done.returncode == 3, (done.returncode, done.stderr)
    return line


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory(prefix="culvert-unprivileged-") as directory:
        said = error(sys.argv[1], directory)
        for word in ("CAP_NET_RAW", "CAP_NET_ADMIN", "setcap cap_net_raw,cap_net_admin=ep ", "AmbientCapabilities=CAP_NET_RAW CAP_NET_ADMIN"):
            assert word in said, said
        print(f"ok   {said}")
        if os.geteuid() == 0:
            said = error(sys.argv[1], directory, "+net_raw", "+net_admin")
            assert "no Ethernet device" in said, said
            print("ok   with these two it opens the device")


if __name__ == "__main__":
    main()
