"""How fast could it have been, and where did the seconds go?"""

import heapq
import math
import numbers
import statistics
from collections.abc import Sequence

import numpy as np

from stormswarm.pools import check_integer, count_cores
from stormswarm.swarm import Swarm

EVEN, UNEVEN, START = "even share of the work", "longer than an even share", "start"
SLOWER, WAITING = "slower side by side", "waiting"


def makespan_bound(seconds: Sequence[float], processors: int) -> float:
    """Return the wall time in seconds that no schedule of these jobs can beat.

    It is the longest job, or the total shared evenly among the processors if that is longer
    (R. L. Graham, Bounds on Multiprocessing Timing Anomalies, SIAM J. Appl. Math. 17, 1969).

    Parameters
    ----------
    seconds : sequence of float
        Durations of the jobs in seconds.
    processors : int
        Number of processors, at least 1.

    Raises
    ------
    TypeError, ValueError
        `processors` is not an integer or is below 1, or a duration is negative or not finite.
    """
    seconds, processors = check_durations(seconds), check_integer(processors, "processors", least=1)
    return max(max(seconds, default=0.0), math.fsum(seconds) / processors)


def makespan(seconds: Sequence[float], processors: int) -> float:
    """Return the wall time in seconds if the jobs start in this order.

    Each job goes to the processor that is free first. Parameters and errors are those of
    `makespan_bound`.
    """
    seconds, processors = check_durations(seconds), check_integer(processors, "processors", least=1)
    busy_until = [0.0] * processors
    for duration in seconds:
        heapq.heapreplace(busy_until, busy_until[0] + duration)
    return max(busy_until)


def check_durations(seconds: Sequence[float]) -> list[float]:
    """Return durations as floats; raise an error that names one that is negative or no number."""
    durations = []
    for job, duration in enumerate(seconds):
        rule = "is not a duration in seconds; allowed is a finite number of at least 0"
        if not isinstance(duration, numbers.Real):
            raise TypeError(f"job {job}: {duration!r:.80} {rule}")
        if not 0 <= duration < math.inf:
            raise ValueError(f"job {job}: {duration} {rule}")
        durations.append(float(duration))
    return durations


def check_swarm(swarm: Swarm) -> None:
    """Raise a TypeError unless this is a swarm."""
    if not isinstance(swarm, Swarm):
        raise TypeError(f"swarm must be what generate_swarm has returned, got {swarm!r:.80}")


def split_seconds(swarm: Swarm, alone: Sequence) -> dict[str, float]:
    """Split the wall time of a swarm into work, start, slow-down and waiting.

    The first two parts are the `makespan` of these jobs, in the order in which they began, if each
    takes as long as alone: an *even share* of all work, and the excess over it, which arises
    because jobs cannot be divided. The other parts are those of the worker process that ended last,
    because the swarm waited for it. *Start* is the time before its first job. *Slower side by side*
    is how much longer than the makespan its jobs took; it is below zero if they took less time.
    *Waiting* is the rest: between two jobs, and until the results arrived.

    Parameters
    ----------
    swarm : Swarm
        A swarm whose jobs have all run.
    alone : sequence
        For each job, its duration in seconds when it ran alone, or the durations of several
        repetitions, of which the median is taken.

    Returns
    -------
    dict
        Name of the part -> seconds, in the order above. They add up to the wall time.

    Raises
    ------
    TypeError
        This is not a swarm.
    ValueError
        `alone` does not have a duration for each job, or a job has not run.
    """
    check_swarm(swarm)
    alone, workers = _medians(swarm, alone), _jobs_by_worker(swarm)
    last = max(workers.values(), key=lambda records: max(r["stop"] for r in records))
    begun = sorted(swarm.timeline, key=lambda record: record["start"])
    work = makespan([alone[record["job"]] for record in begun], len(workers))
    measured = math.fsum(record["stop"] - record["start"] for record in last)
    even, start = math.fsum(alone) / len(workers), min(record["start"] for record in last)
    return {
        EVEN: even,
        UNEVEN: work - even,
        START: start,
        SLOWER: measured - work,
        WAITING: swarm.seconds - start - measured,
    }


def explain_seconds(swarm: Swarm, alone: Sequence) -> str:
    """Say in words why a swarm took longer than an even share of the work.

    Parameters and errors are those of `split_seconds`; one duration at least must be above 0. Give
    several repetitions of each duration if you can: how far their quartiles lie apart tells whether
    the machine held its speed. If the jobs took clearly less time in the swarm than alone, it did
    not, and no conclusion is drawn.
    """
    parts, repeated = split_seconds(swarm, alone), [_repetitions(one) for one in alone]
    alone, workers = _medians(swarm, alone), len(_jobs_by_worker(swarm))
    if not any(alone):
        raise ValueError("alone must have a duration above 0 s, and all of them are 0 s")
    said = []
    lost = {part: parts[part] for part in (UNEVEN, START, SLOWER, WAITING)}
    most = max(lost, key=lost.get)
    said.append(
        f"An even share of the work is {parts[EVEN]:.2f} s; the swarm took {swarm.seconds:.2f} s."
    )
    together = math.fsum(record["stop"] - record["start"] for record in swarm.timeline)
    ratio = together / math.fsum(alone)
    spread = max(map(_spread, repeated))
    shown = f" (spread {100 * spread:.0f} %)" if spread > 0.25 else ""
    changed = f"The machine changed its speed while you measured{shown}: run it again."
    if ratio < 0.9:  # then the parts say nothing
        said.append(f"In the swarm the jobs took {ratio:.2f}x as long as alone, which is less.")
        return "\n".join([*said, changed])
    if swarm.seconds > parts[EVEN]:
        said.append(f"The largest part of the difference: {most}, {lost[most]:.2f} s.")
    if ratio > 1.1:
        said.append(f"Side by side the jobs took {ratio:.2f}x as long as alone: ")
        cores = count_cores()
        said[-1] += (
            f"{workers} processes took turns on the cores of this machine ({cores})."
            if workers > cores
            else "the cores of this machine share something, or other programs use them too."
        )
    if shown:
        said.append(changed)
    number = "two" if workers == 2 else str(workers)
    before = parts[START] + parts[WAITING]
    if workers == 1:
        said.append("One process runs one job after the other, so there is nothing to gain.")
    elif (runs := break_even(statistics.fmean(alone), before, workers, ratio)) is None:
        said.append(f"At this slow-down {number} processes do not pay, however many the runs.")
    else:
        said.append(
            f"From about {runs} runs of this length on, {number} processes pay here. This includes "
            f"{before:.2f} s for start and waiting."
        )
    return "\n".join(said)


def break_even(job: float, start: float, processors: int, slowdown: float = 1.0) -> int | None:
    """Return the smallest number of equal jobs that parallel processes finish sooner than one does.

    A few more jobs may not pay: a last round that is not full takes as long as a full one.

    Parameters
    ----------
    job : float
        Seconds of one job alone.
    start : float
        Seconds that the swarm takes beyond its jobs.
    processors : int
        Number of processes.
    slowdown : float, optional
        How many times as long a job takes side by side with others.

    Returns
    -------
    int or None
        None if parallel processes never take less.
    """
    if processors <= slowdown or job <= 0:
        return None
    jobs = max(2, processors * int(start / job / (processors - slowdown)))  # fewer never pay
    while start + slowdown * job * math.ceil(jobs / processors) >= job * jobs:
        jobs += 1
    return jobs


def _repetitions(durations):
    return check_durations(durations if np.ndim(durations) else [durations])


def _spread(durations):
    """Return the range between the quartiles as a share of the median."""
    low, median, high = np.percentile(durations, (25, 50, 75))
    return (high - low) / median


def _medians(swarm, alone):
    if len(alone) != len(swarm.timeline):
        raise ValueError(f"{len(swarm.timeline)} jobs need as many durations, got {len(alone)}")
    return [statistics.median(_repetitions(durations)) for durations in alone]


def _jobs_by_worker(swarm):
    workers = {}
    for record in swarm.timeline:
        if record["start"] is None:
            raise ValueError(f"job {record['job']} has not run, so its seconds are not known")
        workers.setdefault(record["worker"], []).append(record)
    if not workers:
        raise ValueError("the swarm has no jobs")
    return workers
