"""How do I draw where the seconds went?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stormswarm.pictures import COLORS, LINE_COLORS
from stormswarm.swarm import Swarm
from stormswarm.timing import EVEN, SLOWER, START, UNEVEN, WAITING, check_swarm

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PART_COLORS = {
    EVEN: "#56B4E9",
    UNEVEN: "#E69F00",
    START: "#009E73",
    SLOWER: "#D55E00",
    WAITING: "#999999",
}


def plot_timeline(swarm: Swarm, ax: "Axes | None" = None, bound: float | None = None) -> "Axes":
    """Draw when each worker process ran which job: a bar per job, coloured by the job's name.

    Parameters
    ----------
    swarm : Swarm
    ax : matplotlib.axes.Axes, optional
        Default: a new figure.
    bound : float, optional
        Wall time in seconds to mark with a line: the `makespan_bound` of serial durations.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError
        This is not a swarm.
    """
    import matplotlib.pyplot as plt

    check_swarm(swarm)
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
    ax.set(xlabel="seconds since the swarm began", ylabel="worker process", yticks=range(workers))
    ax.set(xlim=(0, 1.02 * max(swarm.seconds, bound or 0.1)), ylim=(workers - 0.5, -0.5))
    if 0 < len(legend) <= len(COLORS):
        ax.figure.legend(legend.values(), legend.keys(), loc="outside right center")
    return ax


def plot_seconds(
    splits: dict[str, dict[str, float]], ax: "Axes | None" = None, shares: bool = False
) -> "Axes":
    """Draw the parts of wall times as stacked bars, each bar as long as its wall time.

    A part below zero, for jobs that took less time than alone, shortens the parts before it.

    Parameters
    ----------
    splits : dict
        Label of the bar -> parts in seconds, as `split_seconds` returns them.
    ax : matplotlib.axes.Axes, optional
        Default: a new figure.
    shares : bool, optional
        If True, all bars are equally long, and the parts are shares of the wall time.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        There is nothing to draw.
    """
    import matplotlib.pyplot as plt

    if not splits:
        raise ValueError("splits must hold at least one bar, got none")
    if ax is None:
        ax = plt.subplots(figsize=(8, 1.6 + 0.5 * len(splits)), layout="constrained")[1]
    ends = [sum(parts.values()) for parts in splits.values()]
    for part, color in reversed(PART_COLORS.items()):  # the bars of later parts lie below
        reach = [_reach(parts, part) for parts in splits.values()]
        if shares:
            reach = [100 * one / end for one, end in zip(reach, ends, strict=True)]
        ax.barh(list(splits), reach, color=color, edgecolor="black", height=0.6, label=part)
    for row, end in enumerate(ends):
        ax.text(100 if shares else end, row, f" {end:.2f} s", va="center")
    ax.set(xlabel="percent of the wall time" if shares else "seconds")
    ax.set(xlim=(0, 112 if shares else 1.12 * max(ends)), ylim=(len(splits) - 0.5, -0.5))
    handles, labels = ax.get_legend_handles_labels()
    columns = {"loc": "outside lower center", "ncols": 3}
    ax.figure.legend(handles[::-1], labels[::-1], **columns)
    return ax


def _reach(parts, last):
    """Return where a part ends, cut back to what is left if later parts are below zero."""
    names = list(PART_COLORS)
    ends = np.cumsum([parts.get(name, 0.0) for name in names])
    return max(0.0, min(ends[names.index(last) :]))


def plot_speedup_table(
    speed_ups: dict[str, float],
    ideals: dict[str, float],
    ax: "Axes",
    ranges: dict[str, tuple[float, float]] | None = None,
    hollow: Sequence[str] = (),
    limit: float | None = None,
) -> "Axes":
    """Draw a row per job set: the speed-up as a dot, and the ideal one as an upright line.

    Parameters
    ----------
    speed_ups, ideals : dict
        Label of the row -> how many times as fast it was, and how many times it could be at the
        bound.
    ax : matplotlib.axes.Axes
    ranges : dict, optional
        Label -> lowest and highest speed-up, drawn as a pale bar.
    hollow : sequence of str, optional
        Rows whose serial and parallel times belong to different work; their dots are hollow.
    limit : float, optional
        Speed-up of bare processes, from `measure_limit`, drawn as a dashed line.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        A row has no ideal speed-up or no range.
    """
    for what, values in (("ideals", ideals), ("ranges", speed_ups if ranges is None else ranges)):
        missing = [label for label in speed_ups if label not in values]
        if missing:
            raise ValueError(f"{what} must hold every row, nothing is there for {missing[0]!r}")
    ax.axvline(1, color="#999999", linewidth=1)
    if limit is not None:
        ax.axvline(limit, color="black", linestyle="--", linewidth=1, label="bare processes")
    for row, (label, speed_up) in enumerate(speed_ups.items()):
        if ranges is not None:
            ax.hlines(row, *ranges[label], color="#56B4E9", linewidth=8)
        face = "white" if label in hollow else LINE_COLORS[0]
        ax.plot(speed_up, row, "o", color=LINE_COLORS[0], markerfacecolor=face, markersize=8)
        ax.vlines(ideals[label], row - 0.3, row + 0.3, color="black", linewidth=2)
    rows = range(len(speed_ups))
    ax.set_yticks(list(rows), list(speed_ups))
    ax.set(xlabel="speed-up (serial time / parallel time)", ylim=(len(speed_ups) - 0.5, -0.6))
    return ax


def plot_speedup(
    processors: Sequence[int],
    seconds: Sequence[Sequence[float]],
    bounds: Sequence[float] | None = None,
    ax: "Axes | None" = None,
    limit: float | None = None,
    **line: Any,
) -> "Axes":
    """Draw how many times as fast a job set runs on more processors, with spread and bound.

    The base case is the median of the first entry of `seconds`.

    Parameters
    ----------
    processors : sequence of int
        Numbers of processors, of which the first is usually 1.
    seconds : sequence of sequence of float
        For each of them, the wall times in seconds of the repetitions.
    bounds : sequence of float, optional
        For each of them, the wall time in seconds that no schedule beats, from `makespan_bound`.
        The speed-up that it allows is drawn as a flat mark.
    ax : matplotlib.axes.Axes, optional
        Default: a new figure.
    limit : float, optional
        Speed-up of bare processes on the same machine, from `measure_limit`, to mark with a line.
    **line
        Passed on to the line, ``label`` or ``color`` for example.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        `processors` is empty, or `seconds` or `bounds` is not as long.
    """
    import matplotlib.pyplot as plt

    if len(processors) == 0:
        raise ValueError("processors must hold at least one number, got none")
    for what, values in (("seconds", seconds), ("bounds", bounds)):
        if values is not None and len(values) != len(processors):
            wanted = f"as long as processors, {len(processors)}"
            raise ValueError(f"{what} must be {wanted}, got {len(values)}")
    if ax is None:
        ax = plt.subplots(figsize=(6, 4), layout="constrained")[1]
    base = np.median(seconds[0])
    middle = np.array([base / np.median(times) for times in seconds])
    spread = np.abs([[base / max(times), base / min(times)] for times in seconds] - middle[:, None])
    line = {"color": LINE_COLORS[0], "label": "measured"} | line
    ax.errorbar(processors, middle, spread.T, fmt="o-", capsize=3, **line)
    if bounds is not None:
        most = [base / bound for bound in bounds]
        mark = {"color": line["color"], "markersize": 18, "markeredgewidth": 2}
        ax.plot(processors, most, "_", label=f"bound of {line['label']}", **mark)
    if limit is not None:
        ax.axhline(limit, color="black", linestyle="--", label="bare processes on all cores")
    ax.set(xlabel="processes", ylabel="speed-up", xticks=processors, ylim=(0, None))
    return ax
