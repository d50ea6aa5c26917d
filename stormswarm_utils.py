"""Run many pystorms simulations in parallel, with the scores of the plain loop.

Read this file from top to bottom: two controllers, one run, many runs. What stands behind it is in
the package `stormswarm`, one room for each question; a room imports only rooms listed below it:

- `moving_pictures` and `network_map`: how do I draw a storm that moves?
- `timing_pictures`: how do I draw where the seconds went?
- `pictures`: how do I draw a storm?
- `timing`: how fast could it have been, and where did the seconds go?
- `measuring`: how long do several calls take, and what difference can the machine show?
- `machine`: which machine is this, and how much can it do at once?
- `tables`: how do I show a table?
- `swarm`: in which order do jobs start, and what becomes of their results?
- `kept_results`: which results need not be computed again, and which can be kept?
- `checkpoint`: what is in the file that keeps them, and is it sound?
- `fingerprint` and `modules`: when are two jobs the same, and which code is the user's own?
- `pools`: where do jobs run, in the helper's own processes or in the caller's executor?
- `own_pool`: who gives jobs to the worker processes, and notices one that dies or is late?
- `kept_workers`: how do worker processes start, and when may they serve the next call?
- `worker_process`: what happens in a worker process between two jobs?
- `jobs`: what does a worker process do with a job?
- `run`: what belongs to one run, and what is kept of it?
- `speed`: what makes one run faster, at the same score?
- `copies`: how does an object reach a job and come back, and leave the notebook's classes alone?
- `engine`: who holds the one engine of a process, and what does it open?
- `private_files`: which files may a run touch, and what is changed in its copy of the network?
- `controllers`: which controllers are ready to use in every scenario?
- `scenarios`: which storms and metrics are there, and what may a config and a controller say?
- `scratch`: which files does a swarm write, and who removes them?
- `failures`: why did my job fail?
"""

import os
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import numpy as np

from stormswarm.controllers import ConstantOpening, EqualFilling
from stormswarm.engine import private_engine
from stormswarm.failures import NO_HYDROGRAPHS_IN_A_CHECKPOINT
from stormswarm.kept_results import keep_result, open_checkpoint
from stormswarm.kept_workers import stop_workers
from stormswarm.machine import describe_machine
from stormswarm.measuring import measure, measure_limit
from stormswarm.moving_pictures import animate_storm
from stormswarm.pictures import COLORS, LINE_COLORS, plot_hydrographs, plot_network
from stormswarm.pools import choose_pool
from stormswarm.run import Run, StormRun
from stormswarm.scenarios import METRICS, SCENARIOS, check_config
from stormswarm.swarm import Progress, Swarm, SwarmError, list_jobs, pack_jobs, run_jobs
from stormswarm.tables import Table
from stormswarm.timing import explain_seconds, makespan, makespan_bound, split_seconds
from stormswarm.timing_pictures import plot_seconds, plot_speedup, plot_speedup_table, plot_timeline

__all__ = ["METRICS", "SCENARIOS", "ConstantOpening", "EqualFilling", "control_1", "control_2"]
__all__ += ["Run", "private_engine", "simulate", "worker"]
__all__ += ["Swarm", "SwarmError", "generate_swarm", "stop_workers"]
__all__ += ["Table", "describe_machine", "measure", "measure_limit"]
__all__ += ["explain_seconds", "makespan", "makespan_bound", "split_seconds"]
__all__ += ["COLORS", "LINE_COLORS", "animate_storm", "plot_hydrographs", "plot_network"]
__all__ += ["plot_seconds", "plot_speedup", "plot_speedup_table", "plot_timeline"]


# Two controllers: state -> actions ----------------------------------------------------


def control_1(state: np.ndarray) -> np.ndarray:
    """Open gamma's eleven valves fully: an array of eleven ones."""
    return np.full(11, 1.0)


def control_2(state: np.ndarray) -> np.ndarray:
    """Close gamma's eleven valves: an array of eleven zeros."""
    return np.full(11, 0.0)


# One run ------------------------------------------------------------------------------


def simulate(config: dict) -> Run:
    """Run one scenario under one controller, and keep its hydrographs.

    Parameters
    ----------
    config : dict
        What to run. Only the controller is required:

        - ``controller``: callable, state (array of floats) -> actions. Actions are one number from
          0 (closed) to 1 (open) for all valves, or one per valve (list, tuple or array), or None
          to leave the valves as they are. If the controller has a method ``start(scenario)``, it
          is called once, before the first step. Each run gets a fresh copy of the controller.
        - ``scenario``: a name in `SCENARIOS` (default ``"gamma"``), or a callable without arguments
          that returns a scenario: a class or function of your own, or
          ``functools.partial(pystorms.scenarios.theta, version="2", level="2")`` with pystorms 2.
          A scenario has the methods ``state``, ``step`` and ``performance``.
        - ``metric``: a name in `METRICS` (default ``"cumulative"``, as in pystorms).
        - ``network``: callable, text -> text, that edits the run's own copy of the network file.
        - ``seed``: integer from 0 to 2**32 - 1 that seeds Python's and numpy's global random
          generators, so that a run that draws random numbers from them repeats wherever it runs. A
          generator that a controller brings with it is not seeded: its copies draw the same
          numbers in every run.
        - ``name``: a label for messages, tables and pictures.

    Returns
    -------
    Run
        Score, number of steps, seconds and hydrographs.

    Raises
    ------
    TypeError, ValueError
        The config, or an answer of the controller, is not allowed, or the score is not a number.
        For an answer, the message names the step, the valve and the value.
    RuntimeError
        Another simulation is open in this process; SWMM runs one at a time.
    """
    return _run(config, keep_hydrographs=True)


def worker(config: dict) -> float:
    """Run one scenario under one controller, and return its score: lower is better.

    It takes the same configs and raises the same errors as `simulate`. It does not keep the
    hydrographs, which is faster.
    """
    return _run(config, keep_hydrographs=False).performance


def _run(config, keep_hydrographs):
    """Run the loop that every pystorms program has, with files and an engine of its own."""
    check_config(config)
    with StormRun(config, keep_hydrographs) as run:
        scenario, controller = run.scenario, run.controller
        done = False
        while not done:
            state = scenario.state()
            run.note_state(state)
            actions = run.check_actions(controller(state))
            done = scenario.step(actions)
            run.steps += 1
        run.performance = scenario.performance(*run.metric)
    return run.result()


# Many runs ----------------------------------------------------------------------------

_OWN_WORKERS = (simulate, worker)  # the configs of any other worker are handed on unchecked


def generate_swarm(
    config: Any,
    worker: Callable[[Any], Any],
    processors: int | None = None,
    jobs: int | None = None,
    *,
    timeout: float | None = None,
    return_exceptions: bool = False,
    progress: bool = False,
    checkpoint: str | os.PathLike | None = None,
    executor: Executor | None = None,
    max_tasks_per_child: int | None = None,
) -> Swarm:
    """Run `worker` on every config in parallel processes, and return the results in order.

    The worker processes are kept for the next call. They end after an idle minute, or when
    `stop_workers` is called. They are replaced if the working folder, an environment variable,
    `sys.path` or a module of your own that they have loaded has changed. What a job changes in
    modules stays in its process; ``max_tasks_per_child=1`` gives every job a process of its own.

    Parameters
    ----------
    config : list or object
        A list holds one config per job. A dict, text, number or other object is a single config.
        A tuple, an array and the like are refused, because they could mean either.
    worker : callable
        config -> result: `worker`, `simulate` or a function of your own, which may be defined in a
        notebook. A plain pystorms loop works unchanged, with private files and one engine thread.
    processors : int, optional
        Number of worker processes. Default: the cores that this process may use.
    jobs : int, optional
        Number of runs, at least one per config, which is the default. Configs are repeated in turn
        to make up the number.
    timeout : float, optional
        Seconds that one job may take before its worker process is stopped.
    return_exceptions : bool, optional
        If True, a failed job leaves its exception among the results, and nothing is raised.
    progress : bool, optional
        Show a progress bar.
    checkpoint : path, optional
        File that keeps each result as soon as its job ends. The same call with the same file runs
        only what is missing, has failed, or has changed in code or config. A change in a file that
        a job reads goes unnoticed; `stormswarm.fingerprint.fingerprint` says what counts. JSON must
        be able to hold the results.
    executor : concurrent.futures.Executor, optional
        Runs the jobs in place of the helper's own processes, on a cluster for example. It brings
        its own workers: `processors` is not used; `timeout` and `max_tasks_per_child` are refused.
    max_tasks_per_child : int, optional
        Number of jobs after which a worker process is replaced. By default it is replaced after
        2000 simulations, whatever the number of jobs.

    Returns
    -------
    Swarm
        A list of the results, with `seconds`, `timeline` and `failures`.

    Raises
    ------
    TypeError, ValueError
        An argument or a config is not allowed, or the checkpoint cannot be used; nothing was run.
        Or the checkpoint cannot hold the first result.
    SwarmError
        Some jobs failed. All others have finished, and `SwarmError.results` has them.
    OSError
        The checkpoint can no longer be written, because the disk is full for example.
    """
    if not callable(worker):
        raise TypeError(f"worker must be a callable, config -> result, got {worker!r:.80}")
    configs, own_worker = list_jobs(config, jobs), worker in _OWN_WORKERS
    pool = choose_pool(processors, timeout, executor, max_tasks_per_child)
    for job, one in enumerate(configs if own_worker else ()):
        check_config(one, job)
    if worker is simulate and checkpoint is not None:
        raise ValueError(NO_HYDROGRAPHS_IN_A_CHECKPOINT)
    swarm = Progress(configs, own_worker, progress)
    packed = pack_jobs(worker, configs, swarm.records)
    with open_checkpoint(checkpoint, worker, configs, own_worker) as kept, swarm:
        for job, result in kept.results.items():
            swarm.keep(job, result)
        waiting = swarm.longest_first(kept)
        with pool.open(packed, len(waiting)):
            for record, result in run_jobs(waiting, packed, pool):
                swarm.keep(record["job"], keep_result(kept, record, result))
    results = swarm.make_swarm()
    if results.failures and not return_exceptions:
        raise SwarmError(results) from next(iter(results.failures.values()))
    return results
