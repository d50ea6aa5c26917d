"""Which machine is this, and how much can bare processes do on it at once?"""

import platform
import re
import subprocess
import sys
import time
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
import sys
for line in sys.stdin:
    total = 0
    for number in range(int(line)):
        total += number
    print(total, flush=True)
"""
NUMBERS = 1_000_000  # about a twentieth of a second
AT_ONCE = 6  # one process does the work of so many at most, or it would take too long


@contextmanager
def count_numbers(processes: int) -> Iterator[Callable[[], float]]:
    """Start bare processes; yield a function that compares the speed of all with that of one."""
    command = [sys.executable, "-I", "-c", COUNT]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with ExitStack() as stack:
        counters = [
            stack.enter_context(subprocess.Popen(command, **pipes)) for _ in range(processes)
        ]

        def count(counters, numbers):
            clock = time.perf_counter()
            for counter in counters:
                print(numbers, file=counter.stdin, flush=True)
            for counter in counters:
                counter.stdout.readline()
            return time.perf_counter() - clock

        work = NUMBERS * min(processes, AT_ONCE)
        yield lambda: count(counters[:1], work) / count(counters, work // processes)
