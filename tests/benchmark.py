"""Measure the helper against the published way and against the bare engine; `make bench`.

*Published* is a plain pystorms loop on the networks as shipped, in a `multiprocessing.Pool` made
to run by the smallest change: one job per process, chunks of one. *Engine* is SWMM alone on the
same network, one thread, no Python in the loop. *Helper* is `worker` and `generate_swarm`.

Every figure is taken in a fresh process; the sides take turns in each of five rounds. A table is
printed, and build/bench.json holds median, minimum and maximum of every figure:

    {"machine": {...},
     "runs": {scenario: {"published": s, "helper": s, "engine": s, "same_score": bool}},
     "swarms": {name: {"jobs": n, "processors": p, "published": s, "helper": s,
                       "bound": s, "replay": s}},
     "long": {...}}

`bound` is `makespan_bound` of the helper's own serial seconds, `replay` the `makespan` of those
in the order in which the helper started the jobs. All in seconds. QUICK=1 leaves out the three
long scenarios, LONG=1 adds 10,000 short jobs with the memory they take. CLUSTER=1 measures a dask
cluster instead, see benchmark_cluster.py.

Published loops write beside their networks, so they are given a copy of pystorms. In the copy,
delta's moisture deficits are 1 in place of 4, which no current engine opens.
"""

import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from importlib.util import find_spec
from pathlib import Path

ROUNDS = 5
PROCESSORS = 2
LONG_SCENARIOS = ("beta", "delta", "epsilon")
JOBS = 10_000


def plain_worker(job):
    """Run a scenario with fixed openings as a program without the helper does."""
    import pystorms

    scenario_name, opening = job
    scenario = getattr(pystorms.scenarios, scenario_name)()
    openings = [opening] * len(scenario.config["action_space"])
    done = False
    while not done:
        scenario.state()
        done = scenario.step(openings)
    return scenario.performance()


def swarm_jobs(name):
    """Return the (scenario, opening) pairs of a job set."""
    mixed = [s for s in ("alpha", "gamma", "delta", "zeta", "theta") for _ in range(3)]
    return {
        "gamma6": [("gamma", 1.0), ("gamma", 0.0)] * 3,
        "alpha6": [("alpha", opening) for opening in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)],
        "theta200": [("theta", (job + 1) / 200) for job in range(200)],
        "mixed": [(s, opening) for s, opening in zip(mixed, (0.3, 0.6, 1.0) * 5, strict=True)],
    }[name]


def helper_configs(jobs):
    from stormswarm_utils import ConstantOpening

    return [{"scenario": name, "controller": ConstantOpening(opening)} for name, opening in jobs]


# What one fresh process measures


def published_run(scenario):
    clock = time.perf_counter()
    score = plain_worker((scenario, 1.0))
    return {"seconds": time.perf_counter() - clock, "score": score}


def helper_run(scenario):
    from stormswarm_utils import worker

    (config,) = helper_configs([(scenario, 1.0)])
    clock = time.perf_counter()
    score = worker(config)
    return {"seconds": time.perf_counter() - clock, "score": score}


def engine_run(scenario):
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
    jobs = swarm_jobs(name)
    clock = time.perf_counter()
    with multiprocessing.Pool(PROCESSORS, maxtasksperchild=1) as pool:
        pool.map(plain_worker, jobs, chunksize=1)
    return {"seconds": time.perf_counter() - clock}


def helper_swarm(name):
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


def ten_minutes(network):
    """Cut theta short, so that the jobs are small and the engine is real."""
    network = re.sub(r"(?m)^END_DATE .*$", "END_DATE 02/25/2018", network)
    return re.sub(r"(?m)^END_TIME .*$", "END_TIME 00:10:00", network)


def long_swarm(_):
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


def measure(side, name, pystorms_copy):
    """Take one figure in a fresh process."""
    environment = dict(os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # or every process compiles what it imports
    if side.startswith("published") or side == "engine_run":
        environment["PYTHONPATH"] = str(pystorms_copy)
    answer = Path(pystorms_copy, "answer.json")  # the engine alone prints to the standard output
    command = [sys.executable, "-W", "ignore", __file__, side, name, answer]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{side} {name} failed:\n{done.stderr}")
    return json.loads(answer.read_text(encoding="utf-8"))


def spread(values):
    import statistics  # here, because every worker process imports the top of this file

    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def copy_pystorms(folder, deficit):
    """Copy pystorms as installed, for loops that write beside their networks.

    The only change is in delta, which no current engine opens: its seven deficits of 4.
    """
    source = Path(find_spec("pystorms").origin).parent
    shutil.copytree(source, folder / "pystorms", ignore=shutil.ignore_patterns("__pycache__"))
    network = folder / "pystorms" / "networks" / "delta.inp"
    repaired = rf"\g<1>{deficit}"
    text, repairs = re.subn(r"(?m)^(sc_\w+ +3 +0\.5 +)4 *$", repaired, network.read_text())
    assert repairs == 7
    network.write_text(text)


def main():
    from stormswarm_utils import SCENARIOS, describe_machine

    quick, long = os.environ.get("QUICK"), os.environ.get("LONG")
    scenarios = [name for name in SCENARIOS if not (quick and name in LONG_SCENARIOS)]
    swarms = ["gamma6", "alpha6", "theta200", "mixed"]
    took = {}
    with tempfile.TemporaryDirectory() as folder:
        copy_pystorms(Path(folder), deficit=1)
        for turn in range(ROUNDS):
            for kind, names in [("run", scenarios), ("swarm", swarms)]:
                sides = ["published", "helper"] + ["engine"] * (kind == "run")
                for name in names:
                    for side in sides:
                        print(f"\rround {turn + 1} of {ROUNDS}: {name}, {side}", end=" " * 20)
                        sys.stdout.flush()
                        figure = measure(f"{side}_{kind}", name, folder)
                        took.setdefault((name, side), []).append(figure)
        print()
        result = {"machine": describe_machine(), "runs": {}, "swarms": {}}
        for name in scenarios:
            sides = {side: took[name, side] for side in ("published", "helper", "engine")}
            result["runs"][name] = {
                side: spread([figure["seconds"] for figure in figures])
                for side, figures in sides.items()
            }
            scores = {f["score"] for side in ("published", "helper") for f in sides[side]}
            result["runs"][name]["same_score"] = len(scores) == 1
        for name in swarms:
            helper = took[name, "helper"]
            result["swarms"][name] = {
                "jobs": len(swarm_jobs(name)),
                "processors": PROCESSORS,
                "published": spread([figure["seconds"] for figure in took[name, "published"]]),
                "helper": spread([figure["seconds"] for figure in helper]),
                "bound": spread([figure["bound"] for figure in helper]),
                "replay": spread([figure["replay"] for figure in helper]),
            }
        if long:
            print("10,000 short jobs")
            result["long"] = measure("long_swarm", "theta", folder)
    Path("build").mkdir(exist_ok=True)
    Path("build", "bench.json").write_text(json.dumps(result, indent=2), encoding="utf-8")
    show(result)


def show(result):
    def text(figure):
        return f"{figure['median']:.2f} ({figure['min']:.2f} to {figure['max']:.2f})"

    def row(name, figures, sides, last):
        cells = "".join(f"{text(figures[side]):>24}" for side in sides)
        ratio = figures["published"]["median"] / figures["helper"]["median"]
        print(f"{name:10}{cells}{ratio:>10.1f}x  {last}")

    print("\nSeconds, median (minimum to maximum) of five\n")
    print(f"{'one run':10}{'published':>24}{'helper':>24}{'engine':>24}{'ratio':>11}  same score")
    for name, run in result["runs"].items():
        row(name, run, ("published", "helper", "engine"), run["same_score"])
    print(f"\n{'swarm':10}{'published':>24}{'helper':>24}{'replay':>24}{'ratio':>11}  bound")
    for name, swarm in result["swarms"].items():
        row(name, swarm, ("published", "helper", "replay"), text(swarm["bound"]))
    for what, value in result.get("long", {}).items():
        if isinstance(value, dict):
            value = ", ".join(f"{who} {size:.1f}" for who, size in value.items())
        print(f"{what:24} {value}")
    print("\nAll figures: build/bench.json")


if __name__ == "__main__":
    if len(sys.argv) == 4:
        figure = globals()[sys.argv[1]](sys.argv[2])
        Path(sys.argv[3]).write_text(json.dumps(figure), encoding="utf-8")
    elif os.environ.get("CLUSTER"):
        import benchmark_cluster

        benchmark_cluster.main()
    else:
        main()
