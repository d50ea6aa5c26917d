"""How fast could it have been, on which machine, and how do I draw it?"""

import heapq
import math
import platform
import re
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stormswarm.jobs import read_versions
from stormswarm.pools import check_integer, count_cores
from stormswarm.run import Run
from stormswarm.swarm import Swarm

if TYPE_CHECKING:  # matplotlib is imported where it is used, so that workers start fast
    from matplotlib.axes import Axes


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
        `processors` is no integer or below 1, or a duration is negative or not finite.
    """
    seconds, processors = check_durations(seconds), check_integer(processors, "processors", least=1)
    return max(max(seconds, default=0.0), math.fsum(seconds) / processors)


def makespan(seconds: Sequence[float], processors: int) -> float:
    """Return the wall time in seconds of the jobs in this order.

    Each job goes to the processor that is free first. Parameters and errors are those of
    `makespan_bound`.
    """
    seconds, processors = check_durations(seconds), check_integer(processors, "processors", least=1)
    busy_until = [0.0] * processors
    for duration in seconds:
        heapq.heapreplace(busy_until, busy_until[0] + duration)
    return max(busy_until)


def check_durations(seconds: Sequence[float]) -> list[float]:
    """Return durations as floats; raise a ValueError that names a negative or infinite one."""
    seconds = [float(duration) for duration in seconds]
    for job, duration in enumerate(seconds):
        if not 0 <= duration < math.inf:
            raise ValueError(f"job {job}: {duration} is not a duration in seconds")
    return seconds


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


# Pictures -----------------------------------------------------------------------------

# Okabe and Ito's palette, which colour-blind readers can tell apart: areas light, lines dark
LINE_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
COLORS = ("#56B4E9", "#E69F00", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2", "#999999")


def plot_timeline(swarm: Swarm, ax: "Axes | None" = None, bound: float | None = None) -> "Axes":
    """Draw when each worker ran which job: a bar per job, coloured by the job's name.

    Parameters
    ----------
    swarm : Swarm
    ax : matplotlib.axes.Axes, optional
        Default: a new figure.
    bound : float, optional
        Wall time in seconds to mark with a line, from `makespan_bound` of serial durations.

    Returns
    -------
    matplotlib.axes.Axes
    """
    import matplotlib.pyplot as plt

    started = [record for record in swarm.timeline if record["start"] is not None]
    workers = 1 + max((record["worker"] for record in started), default=0)
    if ax is None:
        ax = plt.subplots(figsize=(8, 1.4 + 0.4 * workers), layout="constrained")[1]
    colors, legend = {}, {}
    for record in started:
        name, length = record["name"] or record["scenario"], record["stop"] - record["start"]
        bars = ax.barh(
            record["worker"],
            length,
            left=record["start"],
            color=colors.setdefault(name, COLORS[len(colors) % len(COLORS)]),
            edgecolor="black",
            hatch="" if record["error"] is None else "xx",
        )
        legend.setdefault(name or "job", bars)
        if length > 0.08 * swarm.seconds:  # wide enough for a number
            place = {"x": record["start"] + length / 2, "y": record["worker"]}
            box = {"facecolor": bars[0].get_facecolor(), "edgecolor": "none", "pad": 1}
            ax.text(**place, s=f"job {record['job']}", ha="center", va="center", bbox=box)
    if bound is not None:
        legend[f"bound: {bound:.1f} s"] = ax.axvline(bound, color="black", linestyle="--")
    ax.set(xlabel="seconds since the swarm began", ylabel="worker", yticks=range(workers))
    ax.set(xlim=(0, 1.02 * max(swarm.seconds, bound or 0.1)), ylim=(workers - 0.5, -0.5))
    if 0 < len(legend) <= len(COLORS):
        ax.figure.legend(legend.values(), legend.keys(), loc="outside right center")
    return ax


def plot_hydrographs(
    runs: dict[str, Run], series: Sequence[str], axes: "Sequence[Axes] | None" = None
) -> "Sequence[Axes]":
    """Draw series of one run or more: a panel per series, a line per run.

    Parameters
    ----------
    runs : dict
        Label -> `Run`, as `simulate` returns it.
    series : list of str
        Names of states (``"depthN P1"``), actions (the valve's name) or targets (``"flow 8"``).
    axes : sequence of matplotlib.axes.Axes, optional
        One per series; default: a new figure.

    Returns
    -------
    sequence of matplotlib.axes.Axes

    Raises
    ------
    ValueError
        A run has no series of this name.
    """
    import matplotlib.pyplot as plt

    if axes is None:
        size = {"figsize": (8, 0.6 + 1.7 * len(series)), "sharex": True, "squeeze": False}
        axes = plt.subplots(len(series), 1, layout="constrained", **size)[1][:, 0]
    for ax, name in zip(axes, series, strict=True):
        for number, (label, run) in enumerate(runs.items()):
            values = _find_series(run, name)
            hours = (run.hydrographs["time"] - run.hydrographs["time"][0]) / np.timedelta64(1, "h")
            color = LINE_COLORS[number % len(LINE_COLORS)]
            ax.plot(hours, values, color=color, linestyle=("-", "--", ":")[number % 3], label=label)
        ax.set_ylabel(name)
    if len(runs) > 1:
        axes[0].legend()
    axes[-1].set_xlabel("hours since the storm began")
    return axes


def _find_series(run, name):
    for kind in ("states", "actions", "targets"):
        if name in run.hydrographs[kind]:
            return run.hydrographs[kind][name]
    there = sorted(
        {one for kind in ("states", "actions", "targets") for one in run.hydrographs[kind]}
    )
    raise ValueError(f"no series {name!r}; there are {', '.join(there)}")


def plot_speedup(
    processors: Sequence[int],
    seconds: Sequence[Sequence[float]],
    bounds: Sequence[float] | None = None,
    ax: "Axes | None" = None,
    **line: Any,
) -> "Axes":
    """Draw how many times as fast a job set runs on more processors, with spread and bound.

    The base case is the median of the first entry of `seconds`.

    Parameters
    ----------
    processors : sequence of int
        Numbers of processors, the first is usually 1.
    seconds : sequence of sequence of float
        For each of them, the wall times in seconds of the repetitions.
    bounds : sequence of float, optional
        For each of them, the wall time in seconds that no schedule beats, from `makespan_bound`.
    ax : matplotlib.axes.Axes, optional
        Default: a new figure.
    **line
        Passed on to the line, ``label`` or ``color`` for example.

    Returns
    -------
    matplotlib.axes.Axes
    """
    import matplotlib.pyplot as plt

    if ax is None:
        ax = plt.subplots(figsize=(6, 4), layout="constrained")[1]
    base = np.median(seconds[0])
    middle = np.array([base / np.median(times) for times in seconds])
    spread = np.abs([[base / max(times), base / min(times)] for times in seconds] - middle[:, None])
    line = {"color": LINE_COLORS[0], "label": "measured"} | line
    ax.errorbar(processors, middle, spread.T, fmt="o-", capsize=3, **line)
    if bounds is not None:
        most = [base / bound for bound in bounds]
        ax.plot(processors, most, "_", color=line["color"], markersize=18, markeredgewidth=2)
    ax.set(xlabel="processors", ylabel="speed-up", xticks=processors)
    return ax
