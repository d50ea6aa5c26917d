"""What a cluster costs, beside the local pool, and what it would bring; `make bench CLUSTER=1`.

Measured here with dask's scheduler and two workers as programs of their own on the loopback:
wall time of two job sets beside the local pool's, and the costs of a job that does nothing, of a
start, of a byte of result, and of a job's scratch files. `wall_time` makes from these costs the
wall time of any number of jobs on any number of cores. It is checked twice: `replay` follows every
job through scheduler and cores, with the durations recorded here; and real workers, more than
there are cores, run jobs that sleep.

Printed, and written to build/bench_cluster.md, is what docs/scaling-out.md has between its two
comments. build/bench_cluster.json holds all figures:

    {"machine": {...}, "swarms": {name: {side: spread of s}}, "costs": {what: s or bytes},
     "many": {what: s, with many workers}, "seconds": [s of each run of gamma6],
     "table": {cores: {jobs: [s, limit, s of the replay]}},
     "replay": largest deviation of the model, "sleep": [{...}]}

QUICK=1 takes two rounds in place of five, and fewer jobs.
"""

import heapq
import itertools
import json
import os
import platform
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.common import (
    PROCESSORS,
    helper_configs,
    in_words,
    plain_worker,
    spread,
    swarm_jobs,
    table,
)
from benchmarks.dask_cluster import dask_cluster

QUICK = bool(os.environ.get("QUICK"))
ROUNDS = 2 if QUICK else 5
EMPTY_JOBS = 1000 if QUICK else 5000
SLEEPERS = 16 if QUICK else 32
MEBIBYTE, HYDROGRAPHS = 2**20, 14  # MiB of the hydrographs of a run of gamma
CORES, JOBS = (1, 10, 100, 1000), (10**3, 10**4, 10**5, 10**6)


# The model


def wall_time(jobs, cores, seconds, costs, result=0):
    """Return the wall time in seconds, and what limits it: cores, scheduler or longest job.

    `seconds` are durations that the jobs have in turn. Each job takes `costs["worker"]` more on
    its core. Caller and scheduler send one job after the other, each in `costs["serial"]`, the
    wall time of an empty job, and as long as the bytes of a `result` take. Workers start in
    `costs["start"]`, once, all at the same time.
    """
    limits = {
        "cores": jobs * (statistics.fmean(seconds) + costs["worker"]) / min(cores, jobs),
        "scheduler": jobs * (costs["serial"] + result * costs["byte, dask"]),
        "longest job": max(seconds) + costs["worker"],
    }
    limit = max(limits, key=limits.get)
    return costs["start"] + limits[limit], limit


def replay(jobs, cores, seconds, costs):
    """Return the wall time in seconds of the same jobs, followed one by one, longest first."""
    durations = sorted(itertools.islice(itertools.cycle(seconds), jobs), reverse=True)
    free = [0.0] * min(cores, jobs)
    end = 0.0
    for number, duration in enumerate(durations, start=1):
        sent = number * costs["serial"]
        stop = max(sent, free[0]) + duration + costs["worker"]
        heapq.heapreplace(free, stop)
        end = max(end, stop)
    return costs["start"] + end


def jobs_per_second(costs, result=0):
    """Return how many jobs a second pass through the scheduler, whatever the number of cores."""
    jobs = 10**6
    wall, _ = wall_time(jobs, jobs, [0.0], costs | {"start": 0.0}, result)
    return jobs / wall


# What is measured


def cpu_seconds(processes):
    """Return the processor time in seconds that processes have used."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def from_first_start(swarm):
    """Return the wall time in seconds of a swarm without the start of its workers."""
    return swarm.seconds - min(record["start"] for record in swarm.timeline)


def nothing(job):
    """Do nothing."""
    return None


def give_bytes(number):
    """Return as many random bytes."""
    return os.urandom(number)  # nothing that could be compressed


def measure_swarms(cluster):
    """Time job sets in the local pool and on the cluster, in turns."""
    from stormswarm_utils import generate_swarm, worker

    took, durations = {}, {}
    for _, name in itertools.product(range(ROUNDS), ("gamma6", "theta200")):
        configs = helper_configs(swarm_jobs(name))
        sides = {"local pool": None, "dask": cluster.client.get_executor()}
        scores = []
        for side, executor in sides.items():
            swarm = generate_swarm(configs, worker, PROCESSORS, executor=executor)
            took.setdefault(name, {}).setdefault(side, []).append(swarm.seconds)
            scores.append(list(swarm))
            durations[name] = [record["stop"] - record["start"] for record in swarm.timeline]
        assert scores[0] == scores[1]
    swarms = {
        name: {side: spread(seconds) for side, seconds in sides.items()}
        for name, sides in took.items()
    }
    return swarms, durations


def measure_empty_jobs(cluster):
    """Return what an empty job takes, in seconds of wall and of processor time."""
    from stormswarm_utils import generate_swarm

    executor = cluster.client.get_executor()
    watched = {
        "caller": [psutil.Process()],
        "scheduler": [psutil.Process(cluster.scheduler.pid)],
        "worker": cluster.worker_processes(),
    }
    before = {who: cpu_seconds(processes) for who, processes in watched.items()}
    memory = watched["scheduler"][0].memory_info().rss
    swarm = generate_swarm([*range(EMPTY_JOBS)], nothing, executor=executor)
    costs = {
        who: (cpu_seconds(processes) - before[who]) / EMPTY_JOBS
        for who, processes in watched.items()
    }
    costs["memory"] = max(0, watched["scheduler"][0].memory_info().rss - memory) / EMPTY_JOBS
    return costs | {"serial": swarm.seconds / EMPTY_JOBS}


def measure_costs(cluster):
    """Return what a job, a start and a byte cost beside the simulation, in seconds."""
    from stormswarm_utils import generate_swarm

    executor = cluster.client.get_executor()
    costs = measure_empty_jobs(cluster)
    alone = generate_swarm([*range(EMPTY_JOBS)], nothing, PROCESSORS)
    costs["start of the local pool"] = min(record["start"] for record in alone.timeline)
    costs["empty job, local pool"] = from_first_start(alone) / EMPTY_JOBS
    for what, used in (("byte, dask", executor), ("byte, local pool", None)):
        sizes = [MEBIBYTE] * (50 if QUICK else 200), [0] * (50 if QUICK else 200)
        heavy, light = (
            from_first_start(generate_swarm(size, give_bytes, PROCESSORS, executor=used))
            for size in sizes
        )
        costs[what] = max(0.0, heavy - light) / sum(sizes[0])
    return costs


def measure_files():
    """Return how many files and bytes a run of gamma has in its scratch folder, and their time.

    The time is that of writing and removing as many and as large files in the temporary folder.
    """
    from stormswarm.engine import Engine, private_engine

    with private_engine():
        plain_worker(("gamma", 1.0))
        sizes = [path.stat().st_size for path in Engine.files.folder.iterdir()]
    began = time.perf_counter()
    for _ in range(100):
        with tempfile.TemporaryDirectory() as folder:
            for number, size in enumerate(sizes):
                Path(folder, str(number)).write_bytes(bytes(size))
    took = (time.perf_counter() - began) / 100
    return {"files": len(sizes), "bytes of files": sum(sizes), "time of files": took}


def measure_sleep(cluster, costs):
    """Run sleeping jobs on many workers of this machine, beside the model's wall time for them."""
    from stormswarm_utils import generate_swarm

    executor, rows = cluster.client.get_executor(), []
    for seconds, jobs in ((2.0, 8 * SLEEPERS), (0.5, 20 * SLEEPERS), (0.02, 60 * SLEEPERS)):
        swarm = generate_swarm([seconds] * jobs, time.sleep, executor=executor)
        expected, limit = wall_time(jobs, SLEEPERS, [seconds], costs)
        row = {"seconds": seconds, "jobs": jobs, "workers": SLEEPERS, "limit": limit}
        rows.append(row | {"measured": swarm.seconds, "model": expected})
    return rows


def import_the_helper():
    """Import the helper in a worker, and return its name."""
    import stormswarm_utils

    return stormswarm_utils.__name__


def main():
    """Measure, write both files and print the report."""
    from stormswarm_utils import describe_machine

    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        with dask_cluster(Path(folder, "two"), PROCESSORS) as cluster:
            cluster.client.run(import_the_helper)
            started = time.perf_counter() - began
            print("two workers: job sets")
            swarms, durations = measure_swarms(cluster)
            print("two workers: empty jobs")
            costs = measure_costs(cluster) | measure_files() | {"start": started}
        print(f"{SLEEPERS} workers: sleeping jobs")
        with dask_cluster(Path(folder, "many"), 0) as cluster:
            cluster.nannies.append(
                cluster.start("worker", "--nworkers", str(SLEEPERS), "--nthreads", "1")
            )
            cluster.client.wait_for_workers(SLEEPERS, timeout=300)
            cluster.client.run(import_the_helper)
            many = measure_empty_jobs(cluster)
            sleep = measure_sleep(cluster, costs | many | {"start": 0.0})
    result = {"machine": describe_machine(), "swarms": swarms, "costs": costs, "sleep": sleep}
    result["many"] = many
    result |= {"seconds": durations["gamma6"], "table": {}, "replay": 0.0}
    for cores, jobs in itertools.product(CORES, JOBS):
        seconds, limit = wall_time(jobs, cores, durations["gamma6"], costs)
        followed = replay(jobs, cores, durations["gamma6"], costs)
        result["table"].setdefault(str(cores), {})[str(jobs)] = [seconds, limit, followed]
        result["replay"] = max(result["replay"], abs(followed / seconds - 1))
    Path("build").mkdir(exist_ok=True)
    Path("build", "bench_cluster.json").write_text(json.dumps(result, indent=2), encoding="utf-8")
    Path("build", "bench_cluster.md").write_text(report(result), encoding="utf-8")
    print(f"\n{report(result)}\nAll figures: build/bench_cluster.json, and this: bench_cluster.md")


def clock(seconds):
    """Write a time in the unit that suits it."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def report(result):
    """Write all figures as docs/scaling-out.md shows them."""
    costs, sleep, machine = result["costs"], result["sleep"], result["machine"]

    lines = [
        f"{machine['processor']}, {machine['usable cores']} cores, {platform.system()}, "
        f"Python {machine['python']}, dask {version('distributed')}.",
        "",
        f"Wall time of whole swarms on {PROCESSORS} workers, median (minimum to maximum) of "
        f"{ROUNDS}; the pool starts its workers in this time, dask's have been started before.",
        "",
    ]
    rows = []
    for name, sides in result["swarms"].items():
        ratio = sides["dask"]["median"] / sides["local pool"]["median"]
        rows.append((name, in_words(sides["local pool"]), in_words(sides["dask"]), f"{ratio:.2f}"))
    lines += table(("job set", "local pool, s", "dask, s", "ratio"), *rows)
    files = f"{costs['files']} files, {costs['bytes of files'] / 1024:.0f} KiB"

    def milliseconds(*times):
        return [f"{seconds * 1e3:.2f} ms" for seconds in times]

    rows = [
        (label, *milliseconds(costs[who], result["many"][who]))
        for label, who in (
            ("an empty job, wall time", "serial"),
            ("processor time in it: caller", "caller"),
            ("scheduler", "scheduler"),
            ("all workers", "worker"),
        )
    ]
    rows[0] = (rows[0][0], *milliseconds(costs["empty job, local pool"]), *rows[0][1:])
    rows[1:] = [(label, "", *times) for label, *times in rows[1:]]
    starts = [f"{costs[what]:.2f} s" for what in ("start of the local pool", "start")]
    bytes_ = milliseconds(*(costs[f"byte, {side}"] * MEBIBYTE for side in ("local pool", "dask")))
    lines += table(
        (
            "cost",
            "local pool, 2 workers",
            "dask, 2 workers",
            f"dask, {sleep[0]['workers']} workers",
        ),
        *rows,
        ("a job's place in the scheduler's memory", "", f"{costs['memory'] / 1024:.1f} KiB", ""),
        ("start", *starts, ""),
        ("a MiB of result", *bytes_, ""),
        (f"{files}, of a run of gamma", *milliseconds(*[costs["time of files"]] * 2), ""),
    )
    seconds = result["seconds"]
    lines += [
        f"The model, for jobs of {statistics.fmean(seconds):.2f} s on average, the longest of "
        f"{max(seconds):.2f} s:",
        "",
    ]
    marks = {"cores": "", "scheduler": " (scheduler)", "longest job": " (longest job)"}
    rows = [
        (f"{int(cores):,}", *(clock(wall) + marks[limit] for wall, limit, _ in row.values()))
        for cores, row in result["table"].items()
    ]
    lines += table(("cores", *(f"{jobs:,} jobs" for jobs in JOBS)), *rows)
    busy = [f"{cores:,} cores with jobs of {cores * costs['serial']:.2f} s" for cores in CORES[1:]]
    alone = max(costs["caller"], costs["scheduler"])
    lines += [
        f"The replay of every job differs from the model by at most {result['replay']:.1%}. "
        f"{jobs_per_second(costs):.0f} empty jobs a second pass through the scheduler here. That "
        f"is enough for {', '.join(busy)} or longer. With a core for itself, the slower of "
        f"scheduler and caller could do up to {1 / alone:.0f} a second.",
        "",
        f"Runs of gamma that return their hydrographs, {HYDROGRAPHS} MiB each, come back at "
        f"{jobs_per_second(costs, HYDROGRAPHS * MEBIBYTE):.1f} a second at most, whatever the "
        "number of cores. A file system that took the files of one job after the other, in the "
        f"time above, would serve {1 / costs['time of files']:.0f} jobs a second.",
        "",
        f"Jobs that sleep, on {sleep[0]['workers']} workers of this machine, and the model with "
        "their cost of an empty job:",
        "",
    ]
    rows = [
        (
            row["jobs"],
            f"{row['seconds']} s",
            f"{row['model']:.1f} s",
            f"{row['measured']:.1f} s",
            row["limit"],
        )
        for row in sleep
    ]
    return "\n".join(lines + table(("jobs", "sleep", "model", "measured", "limit"), *rows))


if __name__ == "__main__":
    main()
