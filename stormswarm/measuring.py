"""How long do several calls take, and what difference between them can this machine show?"""

import functools
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from stormswarm.machine import count_numbers
from stormswarm.pools import check_integer, check_number
from stormswarm.tables import Table

CONFIDENCE = 0.95  # that the median lies in its interval
ROUNDS_FOR_AN_INTERVAL = 6  # the fewest values whose range holds the median so often
FEW = 40  # values in two series together, for which the exact test is quick
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
    ratios : list
        How many times the work of one bare process all of them did, before each counted call.
    """

    values: dict[str, list[float]]
    ended_by: str
    ratios: list[float] = field(default_factory=list)

    @property
    def limit(self) -> float | None:
        """How many times the work of one bare process all of them did: the median, or None."""
        return statistics.median(self.ratios) if self.ratios else None

    @property
    def medians(self) -> dict[str, float]:
        """Label -> median in seconds."""
        return {label: statistics.median(values) for label, values in self.values.items()}

    @property
    def quartiles(self) -> dict[str, tuple[float, float]]:
        """Label -> the seconds below which a quarter and three quarters of the rounds lie."""
        found = {}
        for label, values in self.values.items():
            some = values if len(values) > 1 else values * 2  # a single value has no spread
            quarters = statistics.quantiles(some, n=4, method="inclusive")
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
            plural = "s" if rounds > 1 else ""
            return f"{first} and {second}: {NO_DIFFERENCE} in {rounds} round{plural}"
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
    bare_processes: int = 0,
    warm_up: bool = True,
) -> Measurement:
    """Time several calls in rounds, so that a slow moment of the machine hits all of them.

    Every round makes each call once, and every second round makes them in reverse order. The first
    round is a warm-up and is not counted. Before each call, the speed-up of bare processes may be
    measured, so that it can be compared with that of the calls.

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
        show a difference, and a single one has no spread.
    bare_processes : int, optional
        Number of bare processes; 0 for none. See `measure_limit`.
    warm_up : bool, optional
        If False, the first round counts too, which saves a round where a call takes minutes.

    Returns
    -------
    Measurement
        A table of medians and quartiles, which can also compare two of the calls.

    Raises
    ------
    TypeError
        `calls` is not a dict of callables, or another argument is not a number.
    ValueError
        There is nothing to call, `rounds` is below 1, or another argument is below 0.
    """
    least = check_integer(rounds, "rounds", least=1)
    check_integer(bare_processes, "bare_processes", least=0)
    check_number(seconds, "seconds", least=0)
    check_number(precision, "precision", least=0)
    if not isinstance(calls, dict):
        raise TypeError(f"calls must be a dict, label -> callable, got {calls!r:.80}")
    if not calls:
        raise ValueError("there is nothing to measure: calls is empty")
    for label, call in calls.items():
        if not callable(call):
            raise TypeError(f"calls: {label!r} must be a callable, got {call!r:.80}")
    values, ratios, counted = {label: [] for label in calls}, [], -1 if warm_up else 0
    began = time.perf_counter()
    with count_numbers(bare_processes) as compare:
        while True:
            round_began = time.perf_counter()
            for label in list(calls)[:: 1 if counted % 2 else -1]:
                ratio = [compare()] if bare_processes else []
                clock = time.perf_counter()
                calls[label]()
                if counted >= 0:
                    values[label].append(time.perf_counter() - clock)
                    ratios += ratio
            counted += 1
            now = time.perf_counter()
            enough = counted >= max(least, ROUNDS_FOR_AN_INTERVAL)
            if enough and _narrow(values.values(), precision):
                return Measurement(values, "precision", ratios)
            if counted >= least and now - began + (now - round_began) > seconds:
                return Measurement(values, "time", ratios)


def _narrow(series, precision):
    for some in series:
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
    if len(one) + len(other) > FEW:  # the normal approximation is close
        deviation = math.sqrt(pairs * (len(one) + len(other) + 1) / 12)
        return min(1.0, 2 * statistics.NormalDist(pairs / 2, deviation).cdf(least + 0.5))
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


def measure_limit(processes: int = 2, seconds: float = 8.0) -> float:
    """Return how many times the work of one bare process several of them do in the same time.

    The work is a loop in plain Python that adds numbers, in independent Python processes that have
    been started before. If cores did not affect each other, the processes would do as many times
    the work of one as there are cores for them. Cores that share caches, memory, a clock or a
    physical core achieve less, and so do cores that are also used by other programs. In each turn
    one process works for a tenth of a second, then all, then another one; the answer is the median
    over the turns. `measure` does the same between the calls that it times, if it is given a number
    of `bare_processes`.

    Parameters
    ----------
    processes : int, optional
        Number of processes.
    seconds : float, optional
        Time to measure, if the median is not known to two percent before. At least fifteen turns
        are taken, which last about five seconds.

    Returns
    -------
    float
        The factor, which is about `processes` at most.

    Raises
    ------
    TypeError, ValueError
        `processes` is not an integer of at least 1, or `seconds` not a number of at least 0.
    """
    processes = check_integer(processes, "processes", least=1)
    check_number(seconds, "seconds", least=0)
    end, ratios = time.perf_counter() + seconds, []
    with count_numbers(processes) as compare:
        compare()  # a warm-up
        while len(ratios) < 15 or (time.perf_counter() < end and not _narrow([ratios], 0.02)):
            ratios.append(compare())
    return statistics.median(ratios)
