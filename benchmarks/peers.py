"""Time the helper's swarm beside other pools; `make bench PEERS=1` measures this alone.

Usage: python -m benchmarks.peers
writes the table of docs/which-pool.md from build/bench.json.

Every side runs the helper's `worker` on the same configs and two worker processes, one job at a
time. *Cold* is the first call, with the start of the workers, in a fresh process that has imported
its libraries. *Warm* are later calls, on the workers of the first. One process keeps the workers of
all sides and calls the sides in turns, so that a slow moment of the machine hits all of them; the
ratios compare calls of the same turn. *Bare processes* have no pool: each of two processes gets its
share of the jobs in one message. Their warm figure is the limit of the machine, because they are
already running, and the shares follow from the seconds that each job took before.
"""

import itertools
import json
import multiprocessing
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path

from benchmarks.common import (
    PROCESSORS,
    ROOT,
    helper_configs,
    in_a_fresh_process,
    in_words,
    replace_between,
    spread,
    swarm_jobs,
    table,
)

# Job set -> its jobs, or how many that do nothing; calls that make one figure; least warm figures
SETS = {
    "gamma2": ("gamma2", 1, 6),
    "gamma6": ("gamma6", 1, 4),
    "theta200": ("theta200", 1, 2),
    "nothing2000": (2000, 1, 8),
    "generations": ("theta8", 20, 2),
}
NAP, NAPS = 0.05, 40  # seconds, and how many for each worker, so that the last one has some left


def give_back(number):
    """Return the argument: a job that does nothing."""
    return number


# The sides: each yields a function that runs jobs and returns their results


@contextmanager
def helper():
    """Run jobs in the helper's swarm."""
    from stormswarm_utils import generate_swarm

    yield lambda function, configs: generate_swarm(configs, function, PROCESSORS)


@contextmanager
def joblib():
    """Run jobs in joblib, whose workers stay for the next call."""
    from joblib import Parallel, delayed

    def run(function, configs):
        jobs = (delayed(function)(config) for config in configs)
        return Parallel(PROCESSORS, batch_size=1)(jobs)

    yield run


@contextmanager
def executor():
    """Run jobs in the standard library's executor, kept open between the calls."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSORS, spawn) as pool:
        yield lambda function, configs: list(pool.map(function, configs))


@contextmanager
def mpire():
    """Run jobs in mpire, told to keep its workers."""
    from mpire import WorkerPool

    with WorkerPool(PROCESSORS, start_method="spawn", keep_alive=True) as pool:
        # A config by itself would be taken for keyword arguments.
        yield lambda function, configs: pool.map(function, [(c,) for c in configs], chunk_size=1)


@contextmanager
def dask():
    """Run jobs on dask's cluster of local processes, one thread each."""
    from distributed import Client, LocalCluster

    options = {"n_workers": PROCESSORS, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        yield lambda function, configs: client.gather(client.map(function, configs, pure=False))


def work_through(pipe):
    """Be a bare process: take a share of jobs, send results and seconds back, until told to end."""
    while (share := pipe.recv()) is not None:
        answers = []
        for job, function, config in share:
            began = time.perf_counter()
            answers.append((job, function(config), time.perf_counter() - began))
        pipe.send(answers)


@contextmanager
def bare():
    """Run jobs in two processes that have nothing else to do."""
    spawn = multiprocessing.get_context("spawn")
    pipes, processes, seconds = [], [], {}
    for _ in range(PROCESSORS):
        ours, theirs = spawn.Pipe()
        processes.append(spawn.Process(target=work_through, args=[theirs]))
        processes[-1].start()
        pipes.append(ours)

    def run(function, configs):
        shares, loads = [[] for _ in pipes], [0.0] * len(pipes)
        for job in sorted(range(len(configs)), key=lambda job: -seconds.get(job, 1)):
            least = loads.index(min(loads))
            shares[least].append((job, function, configs[job]))
            loads[least] += seconds.get(job, 1)
        for pipe, share in zip(pipes, shares, strict=True):
            pipe.send(share)
        answers = sorted(answer for pipe in pipes for answer in pipe.recv())
        seconds.update((job, took) for job, _, took in answers)
        return [result for _, result, _ in answers]

    yield run
    for pipe in pipes:
        pipe.send(None)
    for process in processes:
        process.join()


# Side -> how it runs, and what it imports before the clock starts
SIDES = {
    "helper": (helper, "stormswarm_utils"),
    "joblib": (joblib, "joblib"),
    "ProcessPoolExecutor": (executor, "concurrent.futures.process"),
    "mpire": (mpire, "mpire"),
    "dask": (dask, "distributed"),
    "bare processes": (bare, "multiprocessing.connection"),
}


# What one fresh process measures


def read_set(job_set):
    """Return a job set's worker function, configs, calls and least number of warm figures."""
    from stormswarm_utils import worker

    jobs, calls, least = SETS[job_set]
    if isinstance(jobs, int):
        return give_back, list(range(jobs)), calls, least
    return worker, helper_configs(swarm_jobs(jobs)), calls, least


def time_cold(side, job_set):
    """Time a job set once, with the start of the workers."""
    pool, library = SIDES[side]
    import_module(library)
    function, configs, calls, _ = read_set(job_set)
    clock = time.perf_counter()
    with pool() as run:
        for _ in range(calls):
            results = run(function, configs)
        return {"seconds": time.perf_counter() - clock, "results": list(results)}


def time_warm(job_set, rounds):
    """Time a job set on the running workers of all sides, side after side."""
    from stormswarm_utils import measure

    function, configs, calls, least = read_set(job_set)
    results = {}

    def repeat(side, run):
        for _ in range(calls):
            results[side] = list(run(function, configs))

    with ExitStack() as stack:
        sides = {side: stack.enter_context(pool()) for side, (pool, _) in SIDES.items()}
        turns = {side: partial(repeat, side, run) for side, run in sides.items()}
        seconds = measure(turns, seconds=0, rounds=max(rounds, least)).values
    return {"seconds": seconds, "results": results}


def time_start(processors):
    """Return how long after the call the last worker's first job starts, cold and warm."""
    from stormswarm_utils import generate_swarm

    figures = {}
    for state in ("cold", "warm"):
        swarm = generate_swarm([NAP] * NAPS * processors, time.sleep, processors)
        first = {}
        for record in swarm.timeline:
            first[record["worker"]] = min(first.get(record["worker"], 60.0), record["start"])
        assert len(first) == processors, f"only {len(first)} workers had a job"
        figures[state] = max(first.values())
    return figures


# The tables


def measure_peers(rounds):
    """Time all sides; yield the tables `peers`, `ratios` and `start` after every cold round."""

    def ask(progress, function, *arguments):
        print(f"\r{progress}: {', '.join(map(str, arguments)):40}", end="", flush=True)
        return in_a_fresh_process(function, *arguments)

    warm = {job_set: ask("warm", time_warm, job_set, rounds) for job_set in SETS}
    took = {
        job_set: {"warm": figures["seconds"], "cold": {side: [] for side in SIDES}}
        for job_set, figures in warm.items()
    }
    starts = {}
    for turn in range(rounds):
        for job_set, side in itertools.product(SETS, SIDES):
            figure = ask(f"cold, round {turn + 1} of {rounds}", time_cold, side, job_set)
            took[job_set]["cold"][side].append(figure["seconds"])
            results = warm[job_set]["results"]
            for found in (figure["results"], results[side]):
                assert found == results["helper"], f"{side}: other results"
        for processors in (2, 6):
            figure = in_a_fresh_process(time_start, processors)
            for state, seconds in figure.items():
                starts.setdefault(str(processors), {}).setdefault(state, []).append(seconds)
        yield {
            "peers": {
                job_set: {state: spreads(sides) for state, sides in states.items()}
                for job_set, states in took.items()
            },
            "ratios": {job_set: compare(states["warm"]) for job_set, states in took.items()},
            "start": {processors: spreads(states) for processors, states in starts.items()},
        }
    print()


def compare(warm):
    """Return median and quartiles of the helper's seconds over those of each other side."""
    found = {}
    for side in list(warm)[1:]:
        ratios = [ours / theirs for ours, theirs in zip(warm["helper"], warm[side], strict=True)]
        low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
        found[side] = {"median": median, "min": low, "max": high}
    return found


def spreads(figures):
    """Return the spread of each list in a dictionary."""
    return {what: spread(values) for what, values in figures.items()}


def peers_table(peers):
    """Return the lines of a Markdown table of all sides."""
    rows = [
        (job_set, state, *(in_words(sides[side]) for side in SIDES))
        for job_set, states in peers.items()
        for state, sides in states.items()
    ]
    return table(("job set", "workers", *SIDES), *rows)


def ratios_table(ratios):
    """Return the lines of a Markdown table of the helper's seconds over those of the others."""
    others = list(SIDES)[1:]
    rows = [
        (job_set, *(in_words(sides[side]) for side in others)) for job_set, sides in ratios.items()
    ]
    return table(("job set", *(f"helper / {side}" for side in others)), *rows)


def show(result):
    """Print the tables."""
    print(f"\nSeconds on {PROCESSORS} processes, median (minimum to maximum)\n")
    print("\n".join(peers_table(result["peers"])))
    print("Warm seconds of the helper over those of the others, turn by turn: median (quartiles)\n")
    print("\n".join(ratios_table(result["ratios"])))
    print("Seconds from the call until the last worker's first job starts, helper\n")
    rows = [
        (processors, *(f"{states[state]['median']:.3f}" for state in ("warm", "cold")))
        for processors, states in result["start"].items()
    ]
    print("\n".join(table(("workers", "warm", "cold"), *rows)))


def main():
    """Write the table of docs/which-pool.md from build/bench.json."""
    result = json.loads((ROOT / "build" / "bench.json").read_text(encoding="utf-8"))
    machine, rounds = result["machine"], result["rounds"]
    least, *_, most = sorted(max(rounds, least) for _, _, least in SETS.values())
    head = (
        f"{machine['processor']}, {machine['usable cores']} cores, Python {machine['python']}, "
        f"{result['date']}. Seconds on {PROCESSORS} processes, median (minimum to maximum); cold "
        f"figures: {rounds}, warm figures: {least} to {most}:"
    )
    turns = (
        "Warm seconds of the helper over those of the others in the same turn, median (quartiles):"
    )
    lines = [head, "", *peers_table(result["peers"]), turns, "", *ratios_table(result["ratios"])]
    replace_between(Path(ROOT, "docs", "which-pool.md"), "peers", lines)


if __name__ == "__main__":
    sys.exit(main())
