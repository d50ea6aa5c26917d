"""Try what becomes of the other jobs when something goes wrong, for each of several pools.

Usage: python -m benchmarks.survival

Every cell of the table is what happened: a fresh process gives a pool of two worker processes some
jobs and notes each answer as it comes. It has a limit of 20 s, after which it is ended and the cell
says that it waits for ever. A pool that offers a time limit for a job is given one of 2 s. The
table is printed and written into docs/which-pool.md.
"""

import json
import multiprocessing
import os
import sys
import tempfile
import time
from concurrent import futures
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks.common import (
    PROCESSORS,
    ROOT,
    copy_pystorms,
    one_day,
    plain_worker,
    replace_between,
    start_fresh,
    table,
)

JOBS, BAD = 8, 2  # so many jobs, of which this one goes wrong
LIMIT, TIME_LIMIT = 20.0, 2.0  # seconds: of a cell, and of a job

# Event -> how the table calls it
EVENTS = {
    "kill": "a worker is killed",
    "exit": "a job calls `os._exit(0)`",
    "hang": "a job hangs",
    "second": "a second simulation in one process",
    "nan": "a controller returns NaN",
    "caller": "the caller is killed",
}


# The jobs


def not_a_number(state):
    """Return no openings at all."""
    return [float("nan")] * 2


def do(job):
    """Do a job of an event, and return its number and its score, if it has one."""
    event, number, folder = job
    score = None
    if event == "second":  # the loop of pystorms' page, as it stands
        score = plain_worker(("theta", 1.0))
    elif event == "nan":
        score = plain_worker(("theta", not_a_number))
    elif event == "caller":
        Path(folder, f"worker-{os.getpid()}").touch()
        time.sleep(60)
    elif number == BAD:
        {"kill": psutil.Process().kill, "exit": lambda: os._exit(0), "hang": sleep_long}[event]()
    else:
        time.sleep(0.3)
    return number, score


def sleep_long():
    """Sleep for longer than any limit."""
    time.sleep(600)


# The pools: each yields results as they come, and errors that concern one job alone


def helper(jobs, limit):
    """Run jobs in the helper's swarm, those of `nan` by its own worker."""
    from stormswarm_utils import generate_swarm, worker

    options = {"timeout": limit, "return_exceptions": True}
    if jobs[0][0] == "nan":
        config = {"scenario": "theta", "controller": not_a_number}
        for answer in generate_swarm(config, worker, PROCESSORS, **options):
            yield answer if isinstance(answer, Exception) else (0, answer)
    else:
        yield from generate_swarm(jobs, do, PROCESSORS, **options)


def joblib(jobs, limit):
    """Run jobs in joblib."""
    from joblib import Parallel, delayed

    options = {"batch_size": 1, "timeout": limit, "return_as": "generator_unordered"}
    yield from Parallel(PROCESSORS, **options)(delayed(do)(job) for job in jobs)


def executor(jobs, limit):
    """Run jobs in the standard library's executor, which has no time limit for a job."""
    with futures.ProcessPoolExecutor(PROCESSORS, multiprocessing.get_context("spawn")) as pool:
        for future in futures.as_completed([pool.submit(do, job) for job in jobs]):
            yield future.exception() or future.result()


def pool(jobs, limit):
    """Run jobs in the standard library's older pool, which has no time limit for a job."""
    with multiprocessing.get_context("spawn").Pool(PROCESSORS) as workers:
        answers = workers.imap_unordered(do, jobs)
        for _ in jobs:
            try:
                yield next(answers)
            except Exception as error:
                yield error


def mpire(jobs, limit):
    """Run jobs in mpire."""
    from mpire import WorkerPool

    with WorkerPool(PROCESSORS, start_method="spawn") as workers:
        options = {"chunk_size": 1, "task_timeout": limit}
        yield from workers.imap_unordered(do, [(job,) for job in jobs], **options)


def dask(jobs, limit):
    """Run jobs on dask's cluster of local processes, which has no time limit for a job."""
    from distributed import Client, LocalCluster, as_completed

    options = {"n_workers": PROCESSORS, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        for future in as_completed(client.map(do, jobs, pure=False)):
            yield future.exception() or future.result()


POOLS = {
    "this helper": helper,
    "joblib": joblib,
    "ProcessPoolExecutor": executor,
    "multiprocessing.Pool": pool,
    "mpire": mpire,
    "dask": dask,
}


# What happened


def run_jobs(name, event, folder):
    """Run the jobs of an event in a pool, and note line by line what comes back."""
    number = {"nan": 1}.get(event, JOBS)
    jobs = [(event, job, folder) for job in range(number)]
    limit = TIME_LIMIT if event == "hang" else None
    with open(Path(folder, "notes"), "w", encoding="utf-8") as notes:

        def note(**what):
            print(json.dumps(what), file=notes, flush=True)

        try:
            for answer in POOLS[name](jobs, limit):
                if isinstance(answer, BaseException):
                    note(error=type(answer).__name__)
                else:
                    note(job=answer[0], score=answer[1])
        except Exception as error:
            note(raised=type(error).__name__)


def watch(process, until):
    """Follow a process until it ends, its time is up or `until()` holds; return all below it."""
    below, deadline = set(), time.monotonic() + LIMIT
    while process.poll() is None and time.monotonic() < deadline and not until():
        with suppress(psutil.NoSuchProcess):
            below |= set(psutil.Process(process.pid).children(recursive=True))
        time.sleep(0.1)
    return below


def end(processes):
    """Kill processes, those that have ended apart."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=5)


def happened(name, event):
    """Try an event in a pool, and say in the words of a cell what happened."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        copy_pystorms(folder, theta=one_day)
        answer, places = Path(folder, "answer.json"), {"TMPDIR": folder, "TEMP": folder}
        process = start_fresh(answer, run_jobs, name, event, folder, pystorms_copy=folder, **places)
        marks = Path(folder).glob if event == "caller" else lambda pattern: ()
        below = watch(process, lambda: len([*marks("worker-*")]) == PROCESSORS)
        ended = process.poll() is not None
        if process.poll():
            raise RuntimeError(answer.with_suffix(".log").read_text(encoding="utf-8"))
        process.kill()
        process.wait()
        if event == "caller":
            _, alive = psutil.wait_procs(below, timeout=2)
            alive = [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]
            pids = {int(path.name.removeprefix("worker-")) for path in marks("worker-*")}
            cell = in_the_cell_of_the_caller(pids, {one.pid for one in alive})
        else:
            cell = in_a_cell(event, read_notes(folder), ended)
        end(below)
    return cell


def read_notes(folder):
    """Return what a process noted before it ended."""
    with suppress(FileNotFoundError):
        lines = Path(folder, "notes").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]
    return []


def in_the_cell_of_the_caller(workers, alive):
    """Say whether the workers are alive after their caller was killed."""
    if len(workers) < PROCESSORS:
        return "did not start"
    return "workers are still there after 2 s" if workers & alive else "workers end within 2 s"


def in_a_cell(event, notes, ended):
    """Say what happened, from the answers that came back."""
    scores = {note["job"]: note["score"] for note in notes if "job" in note}
    errors = [note.get("error") or note.get("raised") for note in notes if "job" not in note]
    if event == "nan" and scores:
        return f"accepted in silence, score {scores[0]:g}"
    if event == "second" and len(scores) == JOBS:
        return "all runs finish" if len(set(scores.values())) == 1 else "wrong scores"
    if len(scores.keys() - {BAD}) == JOBS - 1:
        if not ended:
            return "the others finish, then it waits for ever"
        raised = [f", then raises `{note['raised']}`" for note in notes if "raised" in note]
        return "the others finish" + "".join(raised)
    if not ended:
        return "waits for ever"
    if event in ("nan", "second"):
        return f"raises `{errors[0]}`"
    return f"all pending jobs are lost, raises `{errors[-1]}`"


def row(name):
    """Return what happened to a pool in every event."""
    cells = []
    for event in EVENTS:
        print(f"{name}: {event}", file=sys.stderr, flush=True)
        cells.append(happened(name, event))
    return cells


def main():
    """Try everything, print the table and write it into the page."""
    rows = [(name, *row(name)) for name in POOLS]
    lines = table(("", *EVENTS.values()), *rows)
    print("\n".join(lines))
    replace_between(ROOT / "docs" / "which-pool.md", "survival", lines)


if __name__ == "__main__":
    main()
