# SPDX-License-Identifier: BSD-3-Clause
"""The machine the forwarding benchmark runs on: what it is, who else uses it, and the hugepages lent for the while."""

import os
import time

NR_PAGES = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"


class Failed(Exception):
    pass


def wait_for(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failed(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def cpu_model():
    text = {}
    with open("/proc/cpuinfo") as f:
        for line in f:
            name, _, value = line.partition(":")
            text.setdefault(name.strip(), value.strip())
    return f"{text.get('model name', '?')}, family {text.get('cpu family', '?')} model {text.get('model', '?')}, {os.cpu_count()} CPUs"


def cpu_times(pid):
    """ns of CPU time of each thread of a process."""
    times = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/schedstat") as f:
                times[task] = int(f.read().split()[0])
        except (FileNotFoundError, ProcessLookupError):  # ended meanwhile; none that forwards does
            pass
    return times


def busy_time():
    """s of CPU time that the whole machine has spent on anything."""
    with open("/proc/stat") as f:
        user, nice, system, _idle, _wait, irq, softirq, *_ = (int(x) for x in f.readline().split()[1:])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


class Hugepages:
    """2 MiB pages, if they can be had; gives back what it took."""

    def __init__(self, pages):
        self.before = None
        try:
            with open(NR_PAGES) as f:
                before = int(f.read())
            if before < pages:
                with open(NR_PAGES, "w") as f:
                    f.write(str(pages))
                self.before = before
            with open(NR_PAGES) as f:
                self.enough = int(f.read()) >= pages // 2
        except OSError:
            self.enough = False

    def close(self):
        if self.before is not None:
            with open(NR_PAGES, "w") as f:
                f.write(str(self.before))
