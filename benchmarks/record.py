"""Time the page's job sets on this machine and write them as one record; `make record`.

Usage: python -m benchmarks.record [FOLDER]   (default: docs/records)

The runs are those of pystorms' page *Multi-processing*: gamma with all valves open and with all
valves closed, in turn. They run in two ways. *plain loop* is the page's worker in a
`multiprocessing.Pool`, with a process for every run, which today's releases need. *helper* is
`worker` and `generate_swarm`. Every figure is taken in a fresh process; the ways take turns in
each of five rounds. docs/records/schema.json says what a record holds.

It refuses to begin, and stops, while other programs keep the machine busy. FORCE=1 records all
the same, and the record says so. QUICK=1 tries the tool: one round of an hour's rain, written
to build/records, which is not a record.
"""

import datetime
import getpass
import json
import math
import multiprocessing
import os
import re
import socket
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.common import copy_pystorms, first_hour, in_a_fresh_process, plain_loop

ROUNDS = 5
WAYS = ("plain loop", "helper")
# Job set -> number of runs, number of processes (None: one run after the other)
JOB_SETS = {
    "2 serial": (2, None),
    "2 on 2": (2, 2),
    "6 serial": (6, None),
    "6 on 3": (6, 3),
    "6 on 6": (6, 6),
}
MACHINE = ("processor", "physical cores", "logical cores", "usable cores", "memory (GiB)", "system")
QUIET = 0.1  # of the machine's cores


# What one fresh process measures


def control_1(state):
    """Open all valves."""
    import numpy as np

    return np.ones(11)


def control_2(state):
    """Close all valves."""
    import numpy as np

    return np.zeros(11)


def plain_run(controller):
    """Run gamma as a program without the helper does; return score and seconds."""
    clock = time.perf_counter()
    scenario = plain_loop("gamma", controller)
    return scenario.performance(), time.perf_counter() - clock


def plain_loops(jobs, processes):
    """Run the page's worker, in a process of its own for every run."""
    import pystorms  # noqa: F401  so that forked processes find it loaded, as on the page

    controllers = [control_1, control_2] * (jobs // 2)
    clock = time.perf_counter()
    with multiprocessing.Pool(processes or 1, maxtasksperchild=1) as pool:
        runs = pool.map(plain_run, controllers, chunksize=1)
    return runs, time.perf_counter() - clock


def helper(jobs, processes):
    """Run the helper's worker."""
    from stormswarm_utils import generate_swarm, worker

    configs = [{"controller": control_1}, {"controller": control_2}]
    if processes is None:
        runs = []
        for config in configs * (jobs // 2):
            clock = time.perf_counter()
            runs.append((worker(config), time.perf_counter() - clock))
        return runs, None
    clock = time.perf_counter()
    scores = generate_swarm(configs, worker, processes, jobs)
    return [(score, None) for score in scores], time.perf_counter() - clock


def measure(way, job_set):
    """Return the scores, the seconds of the job set, and those of each run if it ran alone."""
    jobs, processes = JOB_SETS[job_set]
    runs, seconds = {"plain loop": plain_loops, "helper": helper}[way](jobs, processes)
    scores, durations = zip(*runs, strict=True)
    if processes is None:  # without the start of a process, which the page's cell had not either
        return {"scores": scores, "seconds": math.fsum(durations), "alone": durations}
    return {"scores": scores, "seconds": seconds, "alone": []}


# The record


def busy_cores(seconds=2.0):
    """Return how many cores are busy now, and with what."""
    import psutil

    programs = []
    for program in psutil.process_iter(["name"]):
        try:
            program.cpu_percent()
            programs.append(program)
        except psutil.Error:
            continue
    cores = sum(psutil.cpu_percent(interval=seconds, percpu=True)) / 100
    shares = []
    for program in programs:
        try:
            shares.append((program.cpu_percent(), program.info["name"]))
        except psutil.Error:
            continue
    top = [
        f"{name} ({share:.0f} %)" for share, name in sorted(shares, reverse=True)[:3] if share > 2
    ]
    return cores, ", ".join(top)


def wait_until_quiet(patience, forced):
    """Return how many cores others keep busy, once that is little; end the program if it stays."""
    import psutil

    allowed = QUIET * psutil.cpu_count()
    give_up = time.monotonic() + patience
    while True:
        cores, programs = busy_cores()
        if cores <= allowed or forced:
            return round(cores, 2)
        if time.monotonic() > give_up:
            sys.exit(
                f"Not recorded: other programs keep {cores:.1f} of {psutil.cpu_count()} cores busy "
                f"({programs or 'many small ones'}); at most {allowed:.1f} may be. Close them and "
                "try again. FORCE=1 records all the same, and the record says so."
            )


def describe():
    """Return machine and versions; end the program if they tell a name of host or user."""
    from stormswarm_utils import describe_machine

    about = describe_machine()
    for name in {socket.gethostname(), getpass.getuser()}:
        if re.search(rf"\b{re.escape(name)}\b", json.dumps(about)):
            sys.exit(
                f"Not recorded: the description of the machine holds the name {name!r}: {about}"
            )
    machine = {what: about.pop(what) for what in MACHINE}
    return machine, about


def take(way, job_set, pystorms_copy):
    """Take one figure in a fresh process that finds the copy of pystorms; None if it fails."""
    try:
        return in_a_fresh_process(measure, way, job_set, pystorms_copy=pystorms_copy)
    except RuntimeError as error:
        print(error, file=sys.stderr)
    if way == "helper":
        sys.exit(f"Not recorded: {job_set} failed.")
    print(f"{way}, {job_set} failed: this way is left out of the record.", file=sys.stderr)
    return None


def record(rounds, quick, forced):
    """Measure everything and return the record."""
    machine, versions = describe()
    kinds = ("open", "closed", *JOB_SETS)
    took = {way: {kind: [] for kind in kinds} for way in WAYS}
    busy, scores = [], set()
    with tempfile.TemporaryDirectory(prefix="stormswarm-record-") as folder:
        copy_pystorms(folder, **({"gamma": first_hour} if quick else {}))
        for turn in range(rounds):
            busy.append(wait_until_quiet(60 if turn else 10, forced))
            for job_set in JOB_SETS:
                for way in list(took):
                    print(f"round {turn + 1} of {rounds}: {job_set}, {way}", flush=True)
                    figure = take(way, job_set, folder)
                    if figure is None:  # the plain loop's runs share files, which Windows forbids
                        del took[way]
                        continue
                    took[way][job_set].append(round(figure["seconds"], 4))
                    took[way]["open"] += [round(s, 4) for s in figure["alone"][0::2]]
                    took[way]["closed"] += [round(s, 4) for s in figure["alone"][1::2]]
                    rounded = [float(f"{score:.12g}") for score in figure["scores"]]
                    scores |= set(zip(rounded[0::2], rounded[1::2], strict=True))
    if len(scores) != 1:
        sys.exit(f"Not recorded: the runs gave different scores: {sorted(scores)}")
    ((opened, closed),) = scores
    return {
        "format": 1,
        "date": datetime.date.today().isoformat(),
        "machine": machine,
        "versions": versions,
        "start method": multiprocessing.get_start_method(),
        "forced": forced,
        "busy": busy,
        "scores": {"open": opened, "closed": closed},
        "seconds": took,
    }


def free_path(folder, record):
    """Return the path of a record, which names its date, processor and cores."""
    processor = re.sub(r"[^a-z0-9]+", "-", record["machine"]["processor"].lower()).strip("-")
    stem = f"{record['date']}-{processor}-{record['machine']['usable cores']}-cores"
    names = [f"{stem}.json", *(f"{stem}-{number}.json" for number in range(2, 1000))]
    return next(folder / name for name in names if not (folder / name).exists())


def as_text(record):
    """Return the record as JSON, a list of numbers on one line."""
    text = json.dumps(record, indent=1, ensure_ascii=False)
    return re.sub(r"\[\s+([^\]]*?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text) + "\n"


def main(folder=None):
    """Measure, write the record and say where it is."""
    quick, forced = bool(os.environ.get("QUICK")), bool(os.environ.get("FORCE"))
    folder = Path(folder or ("build/records" if quick else "docs/records"))
    made = record(1 if quick else ROUNDS, quick, forced)
    if quick:
        made["quick"] = True
    folder.mkdir(parents=True, exist_ok=True)
    path = free_path(folder, made)
    path.write_text(as_text(made), encoding="utf-8")
    use = "This was a trial" if quick else "make docs draws it; CONTRIBUTING.md says how to send it"
    print(f"\n{path}\n{use}.")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
