"""Draw all timing records and the published figures: one picture and its tables, for the site.

Usage: python tools/draw_timings.py [RECORDS [FOLDER]]   (default: docs/records, build/timings)

Writes timings.svg, and what the site's pages include, timings.md, machines.md and today.md,
into FOLDER.
"""

import json
import re
import statistics
import sys
import textwrap
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.lines import Line2D

from stormswarm_utils import makespan_bound

# Job set -> number of runs, number of processes
JOB_SETS = {"2 on 2": (2, 2), "6 on 3": (6, 3), "6 on 6": (6, 6)}
# The page's means of seven repetitions, in seconds. Its swarms of six ran two jobs.
PUBLISHED = {"2 serial": 15.1, "2 on 2": 10.8, "6 serial": 44.1, "6 on 3": 10.8, "6 on 6": 11.1}
PUBLISHED_STEPS = (25432, 9361)
# Okabe and Ito's colours, which colour-blind readers can tell apart; the markers differ as well
LOOKS = {
    "published": ("#D55E00", "D"),
    "plain loop": ("#555555", "s"),
    "helper": ("#0072B2", "o"),
}
NO_BREAK = "\N{NO-BREAK SPACE}"
ALT = (
    "Three panels, one per job set: two runs on two processes, six runs on three, six runs on six. "
    "In each, a row for the published timing and two for every recorded machine, on a logarithmic "
    "axis of seconds: a hollow mark for the runs one after the other, a filled one for the runs in "
    "parallel, a black line for the bound. The published filled marks of both six-run job sets, "
    "at 10.8 and 11.1 seconds, lie at or left of their bounds, 15.1 and 11.0 seconds. {recorded}"
)


def published_rows():
    """Return the page's figures, one row per job set, with the bound for equal work."""
    for job_set, (jobs, processors) in JOB_SETS.items():
        share = PUBLISHED["2 serial"] / sum(PUBLISHED_STEPS)
        pair = [steps * share for steps in PUBLISHED_STEPS]
        yield row(
            "published",
            "published",
            job_set,
            [PUBLISHED[f"{jobs} serial"]],
            [PUBLISHED[job_set]],
            [[seconds] for seconds in pair] * (jobs // 2),
            processors,
            "" if jobs == 2 else "\\*",
        )


def recorded_rows(record):
    """Return a record's figures, one row per way of running and job set."""
    machine = record["machine"]
    for way, seconds in record["seconds"].items():
        for job_set, (jobs, processors) in JOB_SETS.items():
            yield row(
                f"{short(machine['processor'])}, {machine['usable cores']} cores",
                way,
                job_set,
                seconds[f"{jobs} serial"],
                seconds[job_set],
                [seconds["open"], seconds["closed"]] * (jobs // 2),
                min(processors, machine["usable cores"]),
                "†" if record["forced"] else "",
            )


def short(processor):
    """Return a processor's name without what every name has."""
    return " ".join(re.sub(r"\((R|TM)\)|\bCPU\b|\bProcessor\b|@.*", "", processor).split())


def row(who, way, job_set, serial, parallel, durations, processors, mark):
    """Return what the picture and the table say of one job set.

    The bound in seconds is that of each job's fastest repetition, the possible speed-up that of
    the medians, as the measured one is.
    """
    middles = [statistics.median(seconds) for seconds in durations]
    serial, middle = statistics.median(serial), statistics.median(parallel)
    return {
        "who": who,
        "way": way,
        "set": job_set,
        "serial": serial,
        "parallel": middle,
        "range": (min(parallel), max(parallel)),
        "bound": makespan_bound(map(min, durations), processors),
        "speed-up": serial / middle,
        "possible": sum(middles) / makespan_bound(middles, processors),
        "mark": mark,
    }


def name_of(job_set):
    """Return a job set's name in words."""
    return "{} runs on {} processes".format(*JOB_SETS[job_set])


def draw(rows, path):
    """Draw a panel per job set and a line per row: serial, parallel and bound in seconds."""
    labels = list(dict.fromkeys((one["who"], one["way"]) for one in rows))
    size = (9, 1.7 + len(JOB_SETS) * (0.45 + 0.48 * len(labels)))
    figure, panels = plt.subplots(len(JOB_SETS), figsize=size, sharex=True, layout="constrained")
    for ax, job_set in zip(panels, JOB_SETS, strict=True):
        ax.set_title(name_of(job_set), loc="left", fontweight="bold")
        for one in (one for one in rows if one["set"] == job_set):
            draw_row(ax, labels.index((one["who"], one["way"])), one)
        names = [who if who == way else f"{textwrap.fill(who, 26)}\n{way}" for who, way in labels]
        ax.set(xscale="log", ylim=(len(labels) - 0.4, -0.6))
        ax.set_yticks(range(len(labels)), names)
        ax.grid(axis="x", color="#DDDDDD")
        ax.set_axisbelow(True)
    low = min(min(one["range"][0], one["bound"]) for one in rows)
    high = max(max(one["range"][1], one["serial"]) for one in rows)
    panels[-1].set_xlim(low * 0.8, high * 1.25)
    ticks = [s for s in (0.5, 1, 2, 5, 10, 20, 50, 100, 200) if low * 0.8 <= s <= high * 1.25]
    panels[-1].set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    panels[-1].minorticks_off()
    panels[-1].set_xlabel("seconds (logarithmic), median, with the range of the repetitions")
    mark = {"color": "#555555", "linestyle": "none", "markersize": 8, "marker": "o"}
    line = {"color": "black", "marker": "|", "markersize": 14, "markeredgewidth": 2.5}
    legend = [
        Line2D([], [], markerfacecolor="white", label="one after the other", **mark),
        Line2D([], [], label="in parallel", **mark),
        Line2D([], [], linestyle="none", label="bound: no schedule is faster", **line),
    ]
    title = "The nearer to the black line, the better; left of it, the work was not the same"
    place = {"loc": "outside upper center", "ncols": 3, "frameon": False}
    figure.legend(handles=legend, title=title, title_fontsize="large", **place)
    figure.savefig(path, facecolor="white")
    plt.close(figure)


def draw_row(ax, place, one):
    """Draw one line of a panel."""
    color, marker = LOOKS[one["way"]]
    ax.plot([one["parallel"], one["serial"]], [place, place], color=color, linewidth=1)
    ax.hlines(place, *one["range"], color=color, linewidth=8, alpha=0.3)
    ax.plot(one["serial"], place, marker, color=color, markerfacecolor="white", markersize=8)
    ax.plot(one["parallel"], place, marker, color=color, markersize=8)
    ax.vlines(one["bound"], place - 0.36, place + 0.36, color="black", linewidth=2.5)
    text = f"{one['speed-up']:.1f}x, possible {one['possible']:.1f}x {one['mark'].strip(chr(92))}"
    ax.annotate(text, (1.01, place), xycoords=("axes fraction", "data"), va="center")


def table(rows):
    """Return the rows as a Markdown table."""
    lines = [
        "| machine | way | runs | one after the other | in parallel | range | bound | speed-up "
        "| possible |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for one in rows:
        way = "" if one["way"] == one["who"] else one["way"]
        spread = "{:.2f} to {:.2f} s".format(*one["range"]) if way else ""
        digits = 2 if way else 1
        seconds = [f"{one[what]:.{digits}f} s" for what in ("serial", "parallel")]
        cells = [
            one["who"],
            way.replace(" ", NO_BREAK),
            one["set"].replace(" ", NO_BREAK),
            seconds[0],
            f"{seconds[1]} {one['mark']}",
            spread,
            f"{one['bound']:.{digits}f} s",
            f"{one['speed-up']:.1f}x",
            f"{one['possible']:.1f}x",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def today(records):
    """Return the page's five timings beside those of the newest record, a Markdown table."""
    if not records:
        return "No machine has been recorded yet.\n"
    record, ways = records[-1], list(records[-1]["seconds"])
    machine, versions = record["machine"], record["versions"]
    lines = [
        f"{short(machine['processor'])}, {machine['usable cores']} cores, {record['date']}, "
        f"pystorms {versions['pystorms']}, SWMM {versions['SWMM engine']}, Python "
        f"{versions['python']}; medians:\n",
        f"| cell | published | {' | '.join(ways)} |",
        f"|---|---:|{'---:|' * len(ways)}",
    ]
    for job_set, published in PUBLISHED.items():
        jobs, _, processes = job_set.partition(" on ")
        cell = f"{jobs[0]} runs, one after the other"
        if processes:
            cell = f"`generate_swarm(config, worker, {processes}, {jobs})`"
        mark = "\\*" if jobs == "6" else ""
        seconds = [f"{statistics.median(record['seconds'][way][job_set]):.2f} s" for way in ways]
        lines.append(f"| {cell} | {published} s {mark} | {' | '.join(seconds)} |")
    return "\n".join(lines) + "\n\n\\* two runs\n"


def machines(records):
    """Return what the records say of their machines, a Markdown list."""
    if not records:
        return "No machine has been recorded yet.\n"
    lines = []
    for record in records:
        machine, versions = record["machine"], record["versions"]
        about = "; ".join(f"{what} {value}" for what, value in machine.items())
        with_ = ", ".join(f"{what} {value}" for what, value in versions.items())
        forced = " † Recorded although the machine was busy." if record["forced"] else ""
        lines.append(f"- **{record['date']}**: {about}. With {with_}.{forced}")
    return "\n".join(lines) + "\n"


def read_records(folder):
    """Return the records of a folder, the oldest first."""
    records = [json.loads(path.read_text("utf-8")) for path in sorted(Path(folder).glob("2*.json"))]
    return sorted(records, key=lambda record: record["date"])


def draw_timings(records, folder):
    """Write picture and tables of all records into `folder`."""
    mpl.use("Agg")
    records, folder = read_records(records), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = [*published_rows(), *(one for record in records for one in recorded_rows(record))]
    draw(rows, folder / "timings.svg")
    recorded = (
        "No recorded mark lies left of its line."
        if all(one["parallel"] >= one["bound"] for one in rows if one["way"] != "published")
        else "Every number stands in the table below."
    )
    text = f"![{ALT.format(recorded=recorded)}](generated/timings.svg)\n\n{table(rows)}\n"
    (folder / "timings.md").write_text(text, encoding="utf-8")
    (folder / "machines.md").write_text(machines(records), encoding="utf-8")
    (folder / "today.md").write_text(today(records), encoding="utf-8")


if __name__ == "__main__":
    given = sys.argv[1:]
    draw_timings(*given, *("docs/records", "build/timings")[len(given) :])
