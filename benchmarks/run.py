"""Measure the helper against the published way and against the bare engine; `make bench`.

*Published* is a plain pystorms loop on the networks as shipped, in a `multiprocessing.Pool` made
to run by the smallest change: one job per process, chunks of one. *Engine* is SWMM alone on the
same network, one thread, no Python in the loop. *Helper* is `worker` and `generate_swarm`.

Every figure is taken in a fresh process; the sides take turns in each of five rounds. The tables
are printed, and build/bench.json holds median, minimum and maximum of every figure, in seconds:

    {"machine": {...}, "date": day, "rounds": n,
     "runs": {scenario: {"published": s, "helper": s, "engine": s, "same_score": bool}},
     "swarms": {name: {"jobs": n, "processors": p, "published": s, "helper": s,
                       "bound": s, "replay": s}},
     "peers": {name: {"warm" | "cold": {side: s}}},
     "ratios": {name: {side: helper's seconds over its, with quartiles in place of the extremes}},
     "start": {processors: {"warm" | "cold": s}},
     "long": {...}}

`bound` is `makespan_bound` of the helper's own serial seconds, `replay` the `makespan` of those
in the order in which the helper started the jobs. peers.py says what the other sides are. QUICK=1
leaves out the three long scenarios, PEERS=1 measures the peers alone, and LONG=1 adds 10,000 short
jobs with the memory they take. ROUNDS=n takes n rounds. CLUSTER=1 measures a dask cluster instead,
see cluster.py.

Published loops write beside their networks, so they are given a copy of pystorms. In the copy,
delta's moisture deficits are 1 in place of 4, which no current engine opens.
"""

import datetime
import json
import multiprocessing
import os
import re
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.common import (
    PROCESSORS,
    copy_pystorms,
    helper_configs,
    in_a_fresh_process,
    in_words,
    plain_worker,
    spread,
    swarm_jobs,
    ten_minutes,
)

ROUNDS = int(os.environ.get("ROUNDS") or 5)
LONG_SCENARIOS = ("beta", "delta", "epsilon")
JOBS = 10_000


# What one fresh process measures


def published_run(scenario):
    """Time one plain loop."""
    clock = time.perf_counter()
    score = plain_worker((scenario, 1.0))
    return {"seconds": time.perf_counter() - clock, "score": score}


def helper_run(scenario):
    """Time one run of the helper's worker."""
    from stormswarm_utils import worker

    (config,) = helper_configs([(scenario, 1.0)])
    clock = time.perf_counter()
    score = worker(config)
    return {"seconds": time.perf_counter() - clock, "score": score}


def engine_run(scenario):
    """Time SWMM alone."""
    from pystorms.networks import load_network
    from swmm.toolkit import solver

    with tempfile.TemporaryDirectory() as folder:
        network = Path(load_network(scenario)).read_text()
        network = re.sub(r"(?m)^THREADS.*$", "THREADS 1", network)
        path = Path(folder, "network.inp")
        path.write_text(network)
        clock = time.perf_counter()
        solver.swmm_run(str(path), f"{folder}/report.rpt", f"{folder}/output.out")
        return {"seconds": time.perf_counter() - clock}


def published_swarm(name):
    """Time a job set of plain loops in a pool."""
    jobs = swarm_jobs(name)
    clock = time.perf_counter()
    with multiprocessing.Pool(PROCESSORS, maxtasksperchild=1) as pool:
        pool.map(plain_worker, jobs, chunksize=1)
    return {"seconds": time.perf_counter() - clock}


def helper_swarm(name):
    """Time a job set in the helper's swarm, beside its bound and its replay."""
    from stormswarm_utils import generate_swarm, makespan, makespan_bound, worker

    configs = helper_configs(swarm_jobs(name))
    swarm = generate_swarm(configs, worker, PROCESSORS)
    alone = generate_swarm(configs, worker, 1)
    seconds = [record["stop"] - record["start"] for record in alone.timeline]
    order = sorted(swarm.timeline, key=lambda record: record["start"])
    return {
        "seconds": swarm.seconds,
        "bound": makespan_bound(seconds, PROCESSORS),
        "replay": makespan([seconds[record["job"]] for record in order], PROCESSORS),
    }


def long_swarm():
    """Run many short jobs and look at the memory that they take."""
    import psutil

    from stormswarm_utils import ConstantOpening, generate_swarm, worker

    process, samples, stop = psutil.Process(), [], threading.Event()

    def watch():
        while not stop.wait(0.25):
            children = [c.memory_info().rss for c in process.children() if c.is_running()]
            samples.append((time.time(), process.memory_info().rss, max(children, default=0)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    config = {"scenario": "theta", "controller": ConstantOpening(0.5), "network": ten_minutes}
    began = time.time()
    swarm = generate_swarm(config, worker, PROCESSORS, JOBS)
    stop.set()
    watcher.join()
    busy = sum(record["stop"] - record["start"] for record in swarm.timeline)
    stops = sorted(record["stop"] for record in swarm.timeline)

    def memory(seconds):
        near = [sample for sample in samples if abs(sample[0] - began - seconds) < 1]
        _, parent, worker_ = (max(values) for values in zip(*near, strict=True))
        return {"parent": parent / 2**20, "worker": worker_ / 2**20}  # one may have just started

    return {
        "jobs": JOBS,
        "processors": PROCESSORS,
        "seconds": swarm.seconds,
        "overhead per job (ms)": (swarm.seconds * PROCESSORS - busy) / JOBS * 1000,
        "job (ms)": busy / JOBS * 1000,
        "MiB after 500 jobs": memory(stops[500]),
        "MiB at the end": memory(stops[-1]),
        "MiB at most": {
            "parent": max(sample[1] for sample in samples) / 2**20,
            "worker": max(sample[2] for sample in samples) / 2**20,
        },
    }


# The whole benchmark

RUNS = {"published": published_run, "helper": helper_run, "engine": engine_run}
SWARMS = {"published": published_swarm, "helper": helper_swarm}


def main():
    """Measure, write build/bench.json and print the tables."""
    from benchmarks import peers
    from stormswarm_utils import describe_machine

    today = datetime.date.today().isoformat()
    result = {"machine": describe_machine(), "date": today, "rounds": ROUNDS}
    if not os.environ.get("PEERS"):
        result |= measure_all(bool(os.environ.get("QUICK")))
    if os.environ.get("LONG"):
        print("10,000 short jobs")
        result["long"] = in_a_fresh_process(long_swarm)
    Path("build").mkdir(exist_ok=True)
    for rounds, tables in enumerate(peers.measure_peers(ROUNDS), start=1):
        result |= tables | {"rounds": rounds}  # so that nothing is lost if it is interrupted
        Path("build", "bench.json").write_text(json.dumps(result, indent=2), encoding="utf-8")
    print(f"\nSeconds, median (minimum to maximum) of {ROUNDS}")
    if "runs" in result:
        show_runs(result)
    peers.show(result)
    for what, value in result.get("long", {}).items():
        if isinstance(value, dict):
            value = ", ".join(f"{who} {size:.1f}" for who, size in value.items())
        print(f"{what:24} {value}")
    print("\nAll figures: build/bench.json")


def measure_all(quick):
    """Time runs and swarms of all sides in turns; return the tables `runs` and `swarms`."""
    from stormswarm_utils import SCENARIOS

    scenarios = [name for name in SCENARIOS if not (quick and name in LONG_SCENARIOS)]
    swarms = ["gamma6", "alpha6", "theta200", "mixed"]
    took = {}
    with tempfile.TemporaryDirectory() as folder:
        copy_pystorms(folder)
        figures = [(side, "run", name) for name in scenarios for side in RUNS]
        figures += [(side, "swarm", name) for name in swarms for side in SWARMS]
        for turn in range(ROUNDS):
            for side, kind, name in figures:
                progress = f"\rround {turn + 1} of {ROUNDS}: {name}, {side}"
                print(f"{progress:60}", end="", flush=True)
                function = (RUNS if kind == "run" else SWARMS)[side]
                installed = None if side == "helper" else folder
                figure = in_a_fresh_process(function, name, pystorms_copy=installed)
                took.setdefault((side, kind, name), []).append(figure)
    print()
    result = {"runs": {}, "swarms": {}}
    for name in scenarios:
        run = {side: seconds_of(took[side, "run", name]) for side in RUNS}
        scores = {f["score"] for side in ("published", "helper") for f in took[side, "run", name]}
        result["runs"][name] = run | {"same_score": len(scores) == 1}
    for name in swarms:
        helper = took["helper", "swarm", name]
        swarm = {side: seconds_of(took[side, "swarm", name]) for side in SWARMS}
        swarm |= {what: spread([figure[what] for figure in helper]) for what in ("bound", "replay")}
        jobs = len(swarm_jobs(name))
        result["swarms"][name] = {"jobs": jobs, "processors": PROCESSORS, **swarm}
    return result


def seconds_of(figures):
    """Return the spread of the seconds of several figures."""
    return spread([figure["seconds"] for figure in figures])


def show_runs(result):
    """Print the figures of runs and swarms."""

    def row(name, figures, sides, last):
        cells = "".join(f"{in_words(figures[side]):>24}" for side in sides)
        ratio = figures["published"]["median"] / figures["helper"]["median"]
        print(f"{name:10}{cells}{ratio:>10.1f}x  {last}")

    print(f"\n{'one run':10}{'published':>24}{'helper':>24}{'engine':>24}{'ratio':>11}  same score")
    for name, run in result["runs"].items():
        row(name, run, ("published", "helper", "engine"), run["same_score"])
    print(f"\n{'swarm':10}{'published':>24}{'helper':>24}{'replay':>24}{'ratio':>11}  bound")
    for name, swarm in result["swarms"].items():
        row(name, swarm, ("published", "helper", "replay"), in_words(swarm["bound"]))


if __name__ == "__main__":
    if os.environ.get("CLUSTER"):
        from benchmarks import cluster

        cluster.main()
    else:
        main()
