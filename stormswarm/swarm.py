"""In which order do jobs start, and what becomes of their results?"""

import itertools
import operator
import platform
import sys
import textwrap
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from stormswarm.failures import Loss, describe, explain_executor, explain_loss, label_job
from stormswarm.jobs import Answer, PackedJobs, unpack_answer
from stormswarm.pools import check_integer
from stormswarm.scenarios import DEFAULT_SCENARIO, USUAL_SECONDS, name_scenario


class Swarm(list):
    """Results of a swarm in the order of the jobs; a failed job's place holds its exception.

    Attributes
    ----------
    seconds : float
        Wall time of the whole swarm in seconds.
    timeline : list of dict
        A record per job: ``job`` (index), ``name``, ``scenario``, ``host`` (name of the machine
        that ran it), ``worker`` (number of the worker process, from 0 in the order of their first
        start), ``start`` and ``stop`` (seconds since the swarm began, by the clock of that machine)
        and ``error`` (text, None if all went well). Host, worker and times are None for a job that
        never started, or whose result was in the checkpoint.
    failures : dict
        Index of a failed job -> its exception.
    """

    def __init__(
        self,
        results: Iterable = (),
        seconds: float = 0.0,
        timeline: Iterable[dict] = (),
        failures: dict[int, BaseException] | None = None,
    ):
        super().__init__(results)
        self.seconds = seconds
        self.timeline = list(timeline)
        self.failures = dict(failures or {})


class SwarmError(RuntimeError):
    """Some jobs of a swarm failed; all others have finished.

    Attributes
    ----------
    results : Swarm
        The results, with an exception in the place of each failed job; `results.failures` maps
        the numbers of these jobs to their exceptions.
    """

    def __init__(self, results: Swarm):
        super().__init__(results)
        self.results = results

    def __str__(self):
        failures, timeline = self.results.failures, self.results.timeline
        first = f"{len(failures)} of {len(self.results)} jobs failed; .results has the others"
        if len(failures) == len(self.results):
            first = f"all {len(failures)} jobs failed"
        shown = [timeline[job] for job in itertools.islice(failures, 10)]
        labels = [label_job(record) for record in shown]
        width = 1 + max(map(len, labels), default=0)
        lines = [first]
        for label, record in zip(labels, shown, strict=True):
            cause = record["error"]
            for said_already in (f"{label}, ", f"{label}: "):
                cause = cause.replace(said_already, "", 1)
            cause = textwrap.shorten(cause, 200, placeholder=" ...")
            lines.append(f"  {label + ':':{width}} {cause}")
        if len(failures) > len(shown):
            lines.append(f"  ... and {len(failures) - len(shown)} more in .results.failures")
        return "\n".join(lines)

    def __repr__(self):
        return f"{type(self).__name__}: {self}"

    def _render_traceback_(self):
        """Show a notebook the table alone: the stack of the caller says nothing of the jobs."""
        return [repr(self)]


class Progress:
    """A swarm that fills: the results that there are, a record per job, and a progress bar."""

    def __init__(self, configs: list, own_worker: bool, shown: bool):
        self.clock, self.began = time.perf_counter(), time.time()
        self.records = [begin_record(job, one, own_worker) for job, one in enumerate(configs)]
        self.results, self.failures, self.shown = [None] * len(configs), {}, shown

    def __enter__(self):
        self.bar = SimpleNamespace(update=lambda: None, close=lambda: None)
        if self.shown:
            from tqdm.auto import tqdm

            self.bar = tqdm(total=len(self.records), unit="job")
        return self

    def __exit__(self, *exception):
        self.bar.close()

    def keep(self, job: int, result: Any) -> None:
        """Put a result into its place, or the exception of a failed job."""
        self.results[job] = result
        if self.records[job]["error"] is not None:
            self.failures[job] = result
        self.bar.update()

    def longest_first(self, kept: Any) -> list[dict]:
        """Return the records of the jobs that are to run, the longest first, as far as is known."""

        def expect_seconds(record):
            seconds = kept.expected_seconds(record)
            return USUAL_SECONDS.get(record["scenario"], 0.0) if seconds is None else seconds

        waiting = [record for record in self.records if record["job"] not in kept.results]
        return sorted(waiting, key=expect_seconds, reverse=True)

    def make_swarm(self) -> Swarm:
        """Return the swarm, with times since it began and workers numbered by their first start."""
        workers = {}
        started = [record for record in self.records if record["start"] is not None]
        for record in sorted(started, key=operator.itemgetter("start")):
            record["host"] = record["worker"][0]
            record["worker"] = workers.setdefault(record["worker"], len(workers))
            record["start"] -= self.began
            record["stop"] -= self.began
        seconds, failures = time.perf_counter() - self.clock, dict(sorted(self.failures.items()))
        return Swarm(self.results, seconds, self.records, failures)


def list_jobs(config: Any, jobs: int | None) -> list:
    """Return one config per job: a list is repeated in turn until there are `jobs` of them."""
    if isinstance(config, Iterable) and not isinstance(config, list | str | bytes | Mapping):
        what = f"put list(...) around {config!r:.80}, or [...] if it is a single config"
        if hasattr(config, "columns"):  # list(...) would give their names
            what = 'the rows of a table become one with .to_dict("records"), or put [...] around it'
        raise TypeError(f"configs must be a list: {what}")
    configs = config if isinstance(config, list) else [config]
    if jobs is None:
        return [*configs]
    if isinstance(config, list):
        jobs = check_integer(jobs, f"jobs for a list of {len(config)} configs", least=len(config))
    else:
        jobs = check_integer(jobs, "jobs", least=0)
    if jobs > sys.maxsize // 8:
        raise ValueError(f"jobs must be a number of jobs that a list can hold, got {jobs}")
    if jobs and not configs:
        raise ValueError(f"jobs={jobs} needs at least one config, the list has none")
    return list(itertools.islice(itertools.cycle(configs), jobs))


def begin_record(job: int, config: Any, own_worker: bool) -> dict:
    """Return a job's record in the timeline with what is known before it runs."""
    settings = config if isinstance(config, dict) else {}
    controller, name = settings.get("controller"), settings.get("name")
    if name is None and controller is not None:
        name = getattr(controller, "__name__", type(controller).__name__)
    scenario = settings.get("scenario", DEFAULT_SCENARIO if own_worker else None)
    return {
        "job": job,
        "name": None if name is None else str(name),
        "scenario": name_scenario(scenario),
        "host": None,
        "worker": None,
        "start": None,
        "stop": None,
        "error": None,
    }


def pack_jobs(worker: Callable, configs: list, records: list[dict]) -> PackedJobs:
    """Pickle every job up front, so that one that cannot be sent is known at once."""
    return PackedJobs(worker, configs, [label_job(record) for record in records])


def run_jobs(records: list[dict], packed: PackedJobs, pool: Any) -> Iterator[tuple[dict, Any]]:
    """Run jobs in this order; yield each one's record, completed, and its result or exception."""
    waiting, running = deque(records), {}
    while waiting or running:
        while waiting and pool.room() > 0:
            record = waiting.popleft()
            running[record["job"]] = record
            pool.start(packed.calls[record["job"]])
        for job, outcome in pool.ended():
            record = running.pop(job)
            yield record, finish_record(record, outcome, pool.timeout)


def finish_record(record: dict, outcome: Answer | Loss | BaseException, timeout: float) -> Any:
    """Complete the record of a job that has ended; return its result or exception."""
    if isinstance(outcome, Answer):
        result, record["error"] = unpack_answer(outcome, label_job(record))
        seen = outcome.worker, outcome.start, outcome.stop
    elif isinstance(outcome, Loss):
        result, seen = explain_loss(record, outcome, timeout), (None, None, None)
        record["error"] = describe(result)
        if outcome.began is not None:
            seen = (platform.node(), outcome.pid, 0), outcome.began, time.time()
    else:
        result, seen = explain_executor(record, outcome), (None, None, None)
        record["error"] = describe(result)
    record.update(zip(("worker", "start", "stop"), seen, strict=True))
    return result
