"""Which machine is this, how much can it do at once, and what difference can it show?"""

import functools
import math
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stormswarm.jobs import read_versions
from stormswarm.pools import check_integer, count_cores
from stormswarm.tables import Table


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


# Measuring ----------------------------------------------------------------------------

CONFIDENCE = 0.95  # that the median lies in its interval
ROUNDS_FOR_AN_INTERVAL = 6  # the fewest values whose range holds the median so often
NO_DIFFERENCE = "no difference that this machine can show"


@dataclass(repr=False)
class Measurement:
    """What `measure` has found, shown as a table of medians and quartiles.

    Attributes
    ----------
    values : dict
        Label -> the seconds of every counted round.
    ended_by : str
        ``"precision"`` if the intervals were narrow enough, ``"time"`` if the time was up.
    """

    values: dict[str, list[float]]
    ended_by: str

    @property
    def medians(self) -> dict[str, float]:
        """Label -> median in seconds."""
        return {label: statistics.median(values) for label, values in self.values.items()}

    @property
    def quartiles(self) -> dict[str, tuple[float, float]]:
        """Label -> the seconds below which a quarter and three quarters of the rounds lie."""
        found = {}
        for label, values in self.values.items():
            quarters = statistics.quantiles(values, n=4, method="inclusive")
            found[label] = quarters[0], quarters[2]
        return found

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """Label -> two values between which the true median lies with 95 % confidence.

        Fewer than six rounds cannot reach this confidence; then it is their whole range.
        """
        return {label: _interval(values) for label, values in self.values.items()}

    def compare(self, first: str, second: str) -> str:
        """Say in words which of two takes less time, if the machine can show a difference.

        There is one if the rank sum test of Mann and Whitney (1947) would find such a clear order
        of the seconds in at most one of twenty comparisons of equal calls.
        """
        one, other = self.values[first], self.values[second]
        if _chance_of_order(one, other) > 1 - CONFIDENCE:
            rounds = min(len(one), len(other))
            return f"{first} and {second}: {NO_DIFFERENCE} in {rounds} rounds"
        faster, slower = sorted((first, second), key=self.medians.get)
        ratio = self.medians[slower] / self.medians[faster]
        return f"{faster} is {ratio:.2f}x as fast as {slower}"

    def _table(self):
        ranges = [f"{low:.2f} s to {high:.2f} s" for low, high in self.quartiles.values()]
        medians = [f"{median:.2f} s" for median in self.medians.values()]
        return Table({"": self.values, "median": medians, "quartiles": ranges})

    def __repr__(self):
        return repr(self._table())

    def _repr_html_(self):
        return self._table()._repr_html_()


def measure(
    calls: dict[str, Callable[[], Any]],
    seconds: float = 30.0,
    precision: float = 0.1,
    rounds: int = 2,
) -> Measurement:
    """Time several calls in rounds, so that a slow moment of the machine hits all of them.

    Every round makes each call once, and every second round makes them in reverse order. The first
    round is a warm-up and is not counted.

    Parameters
    ----------
    calls : dict
        Label -> a callable without arguments.
    seconds : float, optional
        No round begins that would end later than this, judging by the last one.
    precision : float, optional
        Measuring ends when the interval of every median is narrower than this share of the median.
    rounds : int, optional
        The smallest number of rounds to count, even if the time is up. Fewer than four rounds never
        show a difference.

    Returns
    -------
    Measurement

    Raises
    ------
    ValueError
        There is nothing to call, or `rounds` is below 2.
    """
    least = check_integer(rounds, "rounds", least=2)
    if not calls:
        raise ValueError("there is nothing to measure: calls is empty")
    values, counted = {label: [] for label in calls}, -1  # the first round warms up
    began = time.perf_counter()
    while True:
        round_began = time.perf_counter()
        for label in list(calls)[:: 1 if counted % 2 else -1]:
            clock = time.perf_counter()
            calls[label]()
            if counted >= 0:
                values[label].append(time.perf_counter() - clock)
        counted += 1
        now = time.perf_counter()
        if counted >= max(least, ROUNDS_FOR_AN_INTERVAL) and _narrow(values, precision):
            return Measurement(values, "precision")
        if counted >= least and now - began + (now - round_began) > seconds:
            return Measurement(values, "time")


def _narrow(values, precision):
    for some in values.values():
        low, high = _interval(some)
        if high - low > precision * statistics.median(some):
            return False
    return True


def _chance_of_order(one, other):
    """Return how often chance alone would order the seconds of two equal calls so clearly."""

    @functools.cache
    def orders(of_one, of_other, leads):
        if leads < 0 or of_one < 0 or of_other < 0:
            return 0
        if of_one == 0 or of_other == 0:
            return int(leads == 0)
        return orders(of_one - 1, of_other, leads - of_other) + orders(of_one, of_other - 1, leads)

    pairs = len(one) * len(other)
    leads = sum((a < b) + 0.5 * (a == b) for a in one for b in other)
    least = math.ceil(min(leads, pairs - leads))
    found = sum(orders(len(one), len(other), fewer) for fewer in range(least + 1))
    return min(1.0, 2 * found / math.comb(len(one) + len(other), len(one)))


def _interval(values):
    """Return the two values, as many from either end, that enclose the median often enough."""
    values, n, cut, outside = sorted(values), len(values), 0, 0.0
    while cut < n // 2:
        outside += 2 * math.comb(n, cut) / 2**n  # the median lies beyond the value at `cut`
        if outside > 1 - CONFIDENCE:
            break
        cut += 1
    cut = max(cut - 1, 0)
    return values[cut], values[n - 1 - cut]


COUNT = """
import sys
for line in sys.stdin:
    total = 0
    for number in range(int(line)):
        total += number
    print(total, flush=True)
"""
NUMBERS = 1_000_000  # about a twentieth of a second


def measure_limit(processes: int = 2, seconds: float = 8.0) -> float:
    """Return how many times as fast bare processes do the same work as one of them.

    The work is a loop in plain Python that adds numbers, in independent Python processes that have
    been started before. If cores did not affect each other, the processes would be as many times as
    fast as there are cores for them. Cores that share caches, memory, a clock or a physical core
    achieve less, and so do cores that are also used by other programs. One process and all of them
    work in turns; the answer is the median over the rounds.

    Parameters
    ----------
    processes : int, optional
        Number of processes.
    seconds : float, optional
        Time to measure; see `measure`.
    """
    processes = check_integer(processes, "processes", least=1)
    with ExitStack() as stack:
        command = [sys.executable, "-I", "-c", COUNT]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        counters = [
            stack.enter_context(subprocess.Popen(command, **pipes)) for _ in range(processes)
        ]

        def count(counters, numbers):
            for counter in counters:
                print(numbers, file=counter.stdin, flush=True)
            for counter in counters:
                counter.stdout.readline()

        rounds = measure(
            {
                "one": lambda: count(counters[:1], NUMBERS * processes),
                "all": lambda: count(counters, NUMBERS),
            },
            seconds,
            precision=0.02,
            rounds=15,
        ).values
    return statistics.median(one / all for one, all in zip(*rounds.values(), strict=True))
