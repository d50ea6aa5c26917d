"""How do I draw a storm?"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stormswarm.run import Run
from stormswarm.scenarios import SCENARIOS

if TYPE_CHECKING:  # matplotlib is imported where it is used, so that workers start fast
    from matplotlib.axes import Axes

# Okabe and Ito's palette, which colour-blind readers can tell apart: areas light, lines dark
LINE_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
COLORS = ("#56B4E9", "#E69F00", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2", "#999999")


def plot_hydrographs(
    runs: dict[str, Run], series: Sequence[str], axes: "Sequence[Axes] | None" = None
) -> "Sequence[Axes]":
    """Draw time series of one or more runs: a panel per series, a line per run.

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
    TypeError
        `runs` is not a dict of runs, or `series` is a single text.
    ValueError
        There is no run or no series, or a run has no series of this name.
    """
    import matplotlib.pyplot as plt

    check_runs(runs)
    if isinstance(series, str):
        raise TypeError(f"series must be a list of names, got the text {series!r:.80}")
    if len(series) == 0:
        raise ValueError("series must hold at least one name, got none")
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


def check_runs(runs: dict[str, Run]) -> None:
    """Raise a TypeError unless this is a dict of runs, and a ValueError if it is empty."""
    if not isinstance(runs, dict) or not all(isinstance(run, Run) for run in runs.values()):
        expected = "a dict, label -> Run, as simulate returns it"
        raise TypeError(f"runs must be {expected}, got {runs!r:.80}")
    if not runs:
        raise ValueError("runs must hold at least one run, got none")


def _find_series(run, name):
    for kind in ("states", "actions", "targets"):
        if name in run.hydrographs[kind]:
            return run.hydrographs[kind][name]
    there = sorted(
        {one for kind in ("states", "actions", "targets") for one in run.hydrographs[kind]}
    )
    raise ValueError(f"no series {name!r}; there are {', '.join(there)}")


def plot_network(scenario: str, ax: "Axes | None" = None) -> "Axes":
    """Draw a scenario's network as a map: basins, valves, pipes and outfall.

    A valve, that is, anything that a controller may move, is a line with a mark at each end.

    Parameters
    ----------
    scenario : str
        A name in `SCENARIOS`.
    ax : matplotlib.axes.Axes, optional
        Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        This is not the name of a scenario.
    """
    import matplotlib.pyplot as plt
    from pystorms.config import load_config

    network = read_network(scenario)
    if ax is None:
        ax = plt.subplots(figsize=(5, 4), layout="constrained")[1]
    places = {node: (float(x), float(y)) for node, x, y in read_section(network, "COORDINATES")}
    config = Path(load_config(scenario)).read_text(encoding="utf-8")
    valves = re.findall(r'- "?(\w+)', re.search(r"action_space:((?:\s*- .*)+)", config)[1])
    looks = {
        "pipe": {"color": "#999999", "linewidth": 2},
        "valve": {"color": "#D55E00", "linewidth": 4, "marker": "D", "zorder": 3},
    }
    for label, look in looks.items():
        lines = [line for line in read_links(network) if (line[0] in valves) == (label == "valve")]
        for number, (_, start, end) in enumerate(lines):
            once = label if number == 0 else None  # one entry in the legend
            ax.plot(*np.transpose([places[start], places[end]]), label=once, **look)
    basins = [basin for basin, *_ in read_section(network, "STORAGE")]
    outfalls = [outfall for outfall, *_ in read_section(network, "OUTFALLS")]
    for label, nodes, marker, color, zorder in (
        ("basin", basins, "s", "#0072B2", 2),
        ("outfall", outfalls, "v", "black", 4),  # above the valve that may end there
    ):
        points = np.reshape([places[node] for node in nodes], (-1, 2))
        ax.plot(*points.T, marker, color=color, markersize=11, label=label, zorder=zorder)
    for basin in basins:
        ax.annotate(basin, places[basin], (0, 9), textcoords="offset points", ha="center")
    ax.set_title(f"{scenario}: {len(basins)} basins, {len(valves)} valves", loc="left")
    ax.margins(0.15)
    ax.axis("off")
    return ax


def read_network(scenario: str) -> str:
    """Return the text of a scenario's network as shipped; raise an error for anything else."""
    from pystorms.networks import load_network

    if scenario not in SCENARIOS:
        error = ValueError if isinstance(scenario, str) else TypeError
        raise error(f"scenario must be one of {', '.join(SCENARIOS)}, got {scenario!r:.80}")
    return Path(load_network(scenario)).read_text(encoding="utf-8", errors="replace")


def read_section(network, title):
    """Return the lines of one section of a network file, as lists of words; none if it has none."""
    if f"[{title}]" not in network:
        return []
    lines = network.split(f"[{title}]")[1].split("\n[")[0].splitlines()
    return [line.split() for line in lines if line.strip() and not line.startswith(";")]


def read_links(network):
    """Return name, start and end of all pipes, valves, weirs and pumps of a network file."""
    kinds = ("CONDUITS", "ORIFICES", "WEIRS", "PUMPS")
    return [line[:3] for kind in kinds for line in read_section(network, kind)]
