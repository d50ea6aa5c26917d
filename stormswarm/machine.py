"""Which machine is this, and how much can bare processes do on it at once?"""

import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from stormswarm.jobs import read_versions
from stormswarm.pools import count_cores


def describe_machine() -> dict[str, Any]:
    """Return what a timing depends on, as a dict without host or user name.

    Processor, physical and logical cores, cores that this process may use, memory in GiB,
    operating system, and the versions of Python, the SWMM engine and the packages.
    """
    from importlib.metadata import version

    import psutil

    return {
        "processor": _read_processor() or platform.processor() or platform.machine(),
        "physical cores": psutil.cpu_count(logical=False),
        "logical cores": psutil.cpu_count(),
        "usable cores": count_cores(),
        "memory (GiB)": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        **read_versions(),
        "python": platform.python_version(),
        "cloudpickle": version("cloudpickle"),
    }


def _read_processor():
    """Return the processor's name where the system tells it, else an empty text."""
    with suppress(OSError, subprocess.SubprocessError):
        if platform.system() == "Linux":
            told = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
            named = re.search(r"(?m)^(?:model name|Model)\s*:\s*(.+)$", told)
            return named[1].strip() if named else ""
        if platform.system() == "Darwin":
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    return ""


COUNT = """
import sys, time
for line in sys.stdin:
    end, total, thousands = time.perf_counter() + float(line), 0, 0
    while not thousands or time.perf_counter() < end:
        for number in range(1000):
            total += number
        thousands += 1
    print(thousands, flush=True)
"""
SECONDS = 0.1  # for so long the bare processes add numbers at a time


@contextmanager
def count_numbers(processes: int) -> Iterator[Callable[[], float]]:
    """Start bare processes; yield a function that compares the work of all with that of one.

    All work for the same time, not for the same work: a core that is slower than another for a
    moment makes them do less, but none has to wait for the last one. The work of one is the mean of
    two of them, which may run on different cores, one before all and one after.
    """
    command = [sys.executable, "-I", "-c", COUNT]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with ExitStack() as stack:
        counters = [
            stack.enter_context(subprocess.Popen(command, **pipes)) for _ in range(processes)
        ]

        def count(counters):
            for counter in counters:
                print(SECONDS, file=counter.stdin, flush=True)
            return sum(int(counter.stdout.readline()) for counter in counters)

        def compare():
            first, together, last = count(counters[:1]), count(counters), count(counters[-1:])
            return 2 * together / (first + last)

        yield compare
