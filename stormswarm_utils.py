"""Run many pystorms simulations in parallel, with the scores of the plain loop.

Read this file from top to bottom: two controllers, one run, many runs. What stands behind it is in
the package `stormswarm`, one room for each question; a room imports only rooms listed below it:

- `timing`: how fast could it have been, on which machine, and how do I draw it?
- `swarm`: in which order do jobs start, and what becomes of their results?
- `checkpoint`: which results need not be computed again?
- `fingerprint`: when are two jobs the same?
- `pools`: where do jobs run, in processes of the helper's own or in an executor of the caller's?
- `own_pool`: who starts the worker processes, keeps them, and notices one that dies or is late?
- `worker_process`: what happens in a worker process between two jobs?
- `jobs`: what does a worker process do with a job?
- `run`: what belongs to one run, and what is kept of it?
- `speed`: what makes one run faster, at the same score?
- `engine`: how does a run get private files and one thread?
- `scenarios`: which storms, metrics and controllers are there, and what may a config say?
- `scratch`: which files does a swarm write, and who removes them?
- `failures`: why did my job fail?
"""

import os
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import numpy as np

from stormswarm.engine import private_engine
from stormswarm.own_pool import stop_workers
from stormswarm.pools import choose_pool
from stormswarm.run import Run, StormRun
from stormswarm.scenarios import METRICS, SCENARIOS, ConstantOpening, EqualFilling, check_config
from stormswarm.swarm import (
    Progress,
    Swarm,
    SwarmError,
    keep_result,
    list_jobs,
    longest_first,
    open_checkpoint,
    pack_jobs,
    run_jobs,
)
from stormswarm.timing import (
    COLORS,
    LINE_COLORS,
    describe_machine,
    makespan,
    makespan_bound,
    plot_hydrographs,
    plot_speedup,
    plot_timeline,
)

__all__ = [
    "COLORS",
    "LINE_COLORS",
    "METRICS",
    "SCENARIOS",
    "ConstantOpening",
    "EqualFilling",
    "Run",
    "Swarm",
    "SwarmError",
    "control_1",
    "control_2",
    "describe_machine",
    "generate_swarm",
    "makespan",
    "makespan_bound",
    "plot_hydrographs",
    "plot_speedup",
    "plot_timeline",
    "private_engine",
    "simulate",
    "stop_workers",
    "worker",
]


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
          to leave the valves. A controller with a method ``start(scenario)`` has it called once,
          before the first step. Each run gets a fresh copy of the controller.
        - ``scenario``: a name in `SCENARIOS` (default ``"gamma"``), or a class or function of your
          own that makes an object with the methods ``state``, ``step`` and ``performance``.
        - ``metric``: a name in `METRICS` (default ``"cumulative"``, as in pystorms).
        - ``network``: callable, text -> text, that edits the run's own copy of the network file.
        - ``seed``: integer that seeds Python's and numpy's global random generators, so that a run
          that draws random numbers from them repeats wherever it runs.
        - ``name``: a label for messages, tables and pictures.

    Returns
    -------
    Run
        Score, number of steps, seconds and hydrographs.

    Raises
    ------
    TypeError, ValueError
        The config, or an answer of the controller, is not allowed. For an answer, the message
        names the step, the valve and the value.
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

    The worker processes are kept for the next call, and end after an idle minute or by
    `stop_workers`. What a job changes in modules and classes stays in its process;
    ``max_tasks_per_child=1`` gives every job a process of its own.

    Parameters
    ----------
    config : list or object
        A list holds one config per job; anything else is a single config.
    worker : callable
        config -> result: `worker`, `simulate` or a function of your own, from a notebook too. A
        plain pystorms loop works unchanged, and gets private files and one engine thread.
    processors : int, optional
        Number of worker processes. Default: the cores that this process may use.
    jobs : int, optional
        Number of runs. Default: one per config. Configs are repeated in turn to make up the number.
    timeout : float, optional
        Seconds that one job may take before its worker process is stopped.
    return_exceptions : bool, optional
        If True, a failed job leaves its exception among the results, and nothing is raised.
    progress : bool, optional
        Show a progress bar.
    checkpoint : str or os.PathLike, optional
        File that keeps each job's result as soon as it ends. The same call with the same file
        runs only what is missing or has failed, also after the Python process was killed. A job
        runs again if its controller, scenario, metric, network edit or worker has changed, in
        code or data; a change in a file that these read is not noticed, and wants a new
        checkpoint (`stormswarm.fingerprint.fingerprint` says exactly what counts). Results must
        be what JSON can hold, and come back as JSON gives them (a tuple as a list).
    executor : concurrent.futures.Executor, optional
        Runs the jobs in place of the helper's own processes, on a cluster for example. It brings
        its own workers, so `processors` is not used, and `timeout` is refused.
    max_tasks_per_child : int, optional
        Number of jobs after which a worker process is replaced. Default: 2000.

    Returns
    -------
    Swarm
        A list of the results, with `seconds`, `timeline` and `failures`.

    Raises
    ------
    TypeError, ValueError
        An argument or a config is not allowed, or the checkpoint cannot be used; nothing was run.
        Or the first result is nothing that the checkpoint can hold.
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
        raise ValueError("a checkpoint cannot hold hydrographs: use worker in place of simulate")
    swarm = Progress(configs, own_worker, progress)
    packed = pack_jobs(worker, configs, swarm.records)
    with open_checkpoint(checkpoint, worker, configs, own_worker) as kept, swarm:
        for job, result in kept.results.items():
            results[job] = result
            bar.update()
        waiting = [record for record in records if record["job"] not in kept.results]
        waiting.sort(key=lambda record: _expected_seconds(record, kept), reverse=True)
        with closing(_run_jobs(waiting, payloads, processors, timeout, executor)) as ended:
            for record, result in ended:
                job = record["job"]
                results[job] = _keep(kept, record, result)
                if record["error"] is not None:
                    failures[job] = results[job]
                bar.update()
    timeline = _timeline(records, began)
    swarm = Swarm(results, time.perf_counter() - clock, timeline, sorted(failures.items()))
    if failures and not return_exceptions:
        raise SwarmError(swarm) from next(iter(swarm.failures.values()))
    return swarm


def _scratch_prefix():
    """Begin the names of this process's scratch folders; its workers find the same."""
    import hashlib  # here, because worker processes start without it

    key = multiprocessing.current_process().authkey
    return f"stormswarm-{hashlib.sha256(key).hexdigest()[:8]}-"


def _leave_if_imported_by_a_worker():
    """End a worker process that has run into its caller's script; the caller says why."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        for folder in Path(tempfile.gettempdir()).glob(f"{_scratch_prefix()}*"):
            (folder / "unguarded").touch()
        os._exit(1)


def _run_jobs(records, payloads, processors, timeout, executor):
    """Run the jobs in worker processes; yield record and result, or exception, of each that ends.

    `records` is in the order in which the jobs start. A record's ``error`` is set if it failed.
    """
    left = {record["job"]: record for record in records}
    fruitless = 0
    while left:
        begun, waiting, broken, short = len(left), iter([*left.values()]), False, False
        running, ended = {}, queue.SimpleQueue()
        # The own pool gets few jobs ahead: what it still holds when it breaks is never heard of.
        ahead = 2 * processors if executor is None else _JOBS_AT_AN_EXECUTOR
        versions = None if executor is None else _versions()
        with (
            tempfile.TemporaryDirectory("", _scratch_prefix(), ignore_cleanup_errors=True) as root,
            (
                _own_pool(root, min(processors, len(left)), timeout)
                if executor is None
                else _callers_executor(executor)
            ) as (submit, alive),
        ):
            try:
                while True:
                    if short and ended.empty():
                        yield from _give_up(left.values(), MemoryError, _OUT_OF_MEMORY)
                        return
                    room = 0 if broken or short else ahead - len(running)
                    for record in itertools.islice(waiting, room):
                        # The root and the index in the record make each call unlike any other,
                        # for an executor that remembers equal calls.
                        future = submit(_run_job, root, record, payloads[record["job"]], versions)
                        running[future] = record
                        future.add_done_callback(ended.put)
                    if not running:
                        break
                    try:
                        future = ended.get(timeout=1)
                    except queue.Empty:
                        if alive(running, broken):
                            continue
                        break
                    record, error = running.pop(future), _error_of(future)
                    broken = broken or future.cancelled()
                    if executor is None and isinstance(error, BrokenProcessPool):
                        broken = True
                        continue
                    del left[record["job"]]
                    yield record, _end(record, future, root, timeout)
                    short = short or (error is None and _fills_memory(future.result()))
            finally:
                for future in running:
                    future.cancel()
            if left and executor is not None:
                yield from _give_up(left.values(), RuntimeError, _DROPPED)
                return
            if left and Path(root, "unguarded").exists():
                raise RuntimeError(_NO_GUARD)
        # All workers were killed at a moment when none had a job: go on with new ones.
        fruitless = fruitless + 1 if len(left) == begun else 0
        if fruitless == 5:
            yield from _give_up(left.values(), RuntimeError, _KILLED)
            return


def _error_of(future):
    return futures.CancelledError() if future.cancelled() else future.exception()


def _end(record, future, root, timeout):
    """Complete a job's record; return its result, or the exception that stands in its place."""
    error = _error_of(future)
    if error is None:
        result, failed, seen = _unpack(future.result(), record)
    else:
        result, failed = _explain(error, record, timeout), True
        seen = _last_seen(root, record["job"])
    with suppress(OSError):  # a folder with a million files is slow
        os.unlink(Path(root, f"{record['job']}.started"))
    record.update(seen)
    if failed:
        record["error"] = _describe(result)
    return result


_NO_GUARD = (
    "in a script, the lines that start a swarm belong under `if __name__ == '__main__':`, because "
    "each worker process imports the script, and would start a swarm of its own."
)
_KILLED = "five times, all worker processes ended before they could start a job"
_DROPPED = "the executor dropped it: it was shut down, or has lost its scheduler"
_OUT_OF_MEMORY = (
    "the machine is running out of memory, so this job was given up. Return from a worker of "
    "your own only what you need of each run, or run fewer jobs in one call."
)


def _give_up(records, error_type, sentence):
    for record in records:
        error = error_type(f"{_label(record)}: {sentence}")
        record["error"] = _describe(error)
        yield record, error


def _repeat(config, jobs):
    if isinstance(config, Iterator):
        raise ValueError(f"configs are a list: put list(...) around {config!r:.80}")
    configs = config if isinstance(config, list) else [config]
    if jobs is None:
        return configs
    jobs = _whole(jobs, "jobs", least=len(config) if isinstance(config, list) else 0)
    if jobs and not configs:
        raise ValueError(f"jobs={jobs} needs at least one config, the list has none")
    return list(itertools.islice(itertools.cycle(configs), jobs))


def _whole(value, what, least):
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or number < least:
        raise ValueError(f"{what} is a whole number of at least {least}, got {value!r:.80}")
    return number


def _cores():
    from loky import cpu_count  # respects affinity and a container's quota

    return cpu_count()


def _check_engine(timeout, executor):
    if timeout is not None and not (isinstance(timeout, numbers.Real) and timeout > 0):
        raise ValueError(f"timeout is a number of seconds above 0, got {timeout!r:.80}")
    if executor is None:
        return
    if not isinstance(executor, futures.Executor):
        raise ValueError(f"executor is a concurrent.futures.Executor, got {executor!r:.80}")
    if timeout is not None:
        raise ValueError(
            "timeout needs the call's own pool: no executor can stop a running job. What engines "
            "offer in its place: dask has client.restart_workers, and workers that may start "
            "processes (--no-nanny) can run a job that calls generate_swarm([config], worker, 1, "
            "timeout=...) itself; MPI and batch systems have a time limit for all jobs together"
        )
    context = getattr(executor, "_mp_context", None)
    if context is not None and context.get_start_method() == "fork":
        raise ValueError(
            "this executor forks its processes, and a forked engine can wait for ever: "
            "make it with mp_context=multiprocessing.get_context('spawn')"
        )


# About how many MiB the hydrographs of a run of a whole scenario take
_HYDROGRAPHS = {
    "alpha": 2,
    "beta": 13,
    "gamma": 14,
    "delta": 14,
    "epsilon": 38,
    "zeta": 3,
    "theta": 1,
}


def _check_hydrographs(configs, checkpoint):
    """Keep hydrographs off a checkpoint, and say how large they will be if that is a lot."""
    if checkpoint is not None:
        raise ValueError(
            "a checkpoint holds only what JSON can hold, which leaves out hydrographs: use worker, "
            "or a worker of your own that returns the numbers that you need"
        )
    expected = sum(_HYDROGRAPHS.get(config.get("scenario", "gamma"), 0) for config in configs)
    available = _available_memory()
    if expected > available / 4:
        warnings.warn(
            f"the hydrographs of {len(configs)} runs of whole storms take about "
            f"{expected / 1024:.1f} GiB, and {available / 1024:.1f} GiB of memory are available; "
            "a worker of your own can return less of each run",
            stacklevel=3,
        )


def _available_memory():
    import psutil

    return psutil.virtual_memory().available / 2**20


def _fills_memory(answer):
    """Return whether a large result leaves less than half a GiB to the machine."""
    return len(answer[0]) > 2**20 and _available_memory() < 512


def _pack_jobs(worker, configs):
    """Pickle every job up front, equal configs once, so that a bad one is known at once."""
    try:
        function = cloudpickle.dumps(worker)
    except Exception as error:
        raise ValueError(f"worker {worker!r:.80} cannot be sent to a process: {error}") from error
    packed = {}
    for job, config in enumerate(configs):
        if id(config) not in packed:
            try:
                packed[id(config)] = function, cloudpickle.dumps(config)
            except Exception as error:
                raise ValueError(f"job {job}: its config cannot be sent: {error}") from error
    return [packed[id(config)] for config in configs]


class _NoCheckpoint:
    """Stands in where no checkpoint is wanted."""

    def __init__(self):
        self.results = {}

    def expected_seconds(self, record):
        return None

    def add(self, record, result):
        return result


def _open_checkpoint(path, worker, configs):
    if path is None:
        return nullcontext(_NoCheckpoint())
    from stormswarm.checkpoint import Checkpoint

    return Checkpoint(path, _versions(), _fingerprints(worker, configs))


def _fingerprints(worker, configs):
    """Return a text per job that changes with what is run, not with the job's name."""
    how, prints = _fingerprint(0, worker), {}
    for job, config in enumerate(configs):
        if id(config) in prints:
            continue
        what = config
        if worker in _OWN_WORKERS:
            what = [config.get(key) for key in ("controller", "metric", "network")]
            what.append(config.get("scenario", "gamma"))
        prints[id(config)] = _fingerprint(job, how, what)
    return [prints[id(config)] for config in configs]


def _fingerprint(job, *values):
    from stormswarm.fingerprint import fingerprint

    try:
        return fingerprint(*values)
    except Exception as error:  # pickling calls code of the config's own classes
        raise ValueError(
            f"job {job}: a checkpoint cannot tell it from others: {_describe(error)}"
        ) from error


def _keep(kept, record, result):
    """Write a job's end to the checkpoint; a result that it cannot hold fails the job."""
    try:
        return kept.add(record, result)
    except TypeError as error:
        failure = TypeError(f"{_label(record)}: {error}")
        if not kept.results:  # the first result: stop before more time is spent
            raise ValueError(str(failure)) from error
        record["error"] = _describe(failure)
        return kept.add(record, failure)


def _record(job, config, worker):
    """Begin a job's record in the timeline with what is known before it runs."""
    settings = config if isinstance(config, dict) else {}
    controller, name = settings.get("controller"), settings.get("name")
    if name is None and controller is not None:
        name = getattr(controller, "__name__", type(controller).__name__)
    scenario = settings.get("scenario", "gamma" if worker in _OWN_WORKERS else None)
    if not isinstance(scenario, str):
        scenario = getattr(scenario, "__name__", None)
    return {
        "job": job,
        "name": None if name is None else str(name),
        "scenario": scenario,
        "host": None,
        "worker": None,
        "start": None,
        "stop": None,
        "error": None,
    }


# About how many seconds a run of a whole scenario takes: the order matters, not the seconds.
_SIZES = {
    "beta": 14.0,
    "epsilon": 11.0,
    "delta": 2.5,
    "gamma": 1.3,
    "zeta": 0.6,
    "alpha": 0.25,
    "theta": 0.17,
}


def _expected_seconds(record, kept):
    seconds = kept.expected_seconds(record)
    return _SIZES.get(record["scenario"], 0.0) if seconds is None else seconds


def _label(record):
    return f"job {record['job']}" + (f" ({record['name']})" if record["name"] else "")


def _describe(error):
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # an exception that cannot even be printed
        text = type(error).__name__
    notes = [one for one in getattr(error, "__notes__", ()) if not one.startswith(_TRACE)]
    return " ".join((text + "".join(f" ({note})" for note in notes)).split())


_TRACE = "In the worker process:"


# The engine loses 1.35 kB at every run, so a worker process is replaced once in a while.
_JOBS_PER_PROCESS = 2000
# Seconds between pebble's looks at dead workers, time limits and its own end (its default: 0.1).
_LOOK_EVERY = 0.01
# Jobs that a caller's executor holds at a time: enough for thousands of workers, and more would
# only fill its memory.
_JOBS_AT_AN_EXECUTOR = 10_000


_ONE_THREAD = {
    f"{library}_NUM_THREADS": "1"
    for library in ("OMP", "OPENBLAS", "MKL", "BLIS", "VECLIB_MAXIMUM", "NUMEXPR")
}
_environment_lock = threading.Lock()


class _WorkerProcess(SpawnProcess):
    """Process that finds one thread for its libraries in the environment it is started with.

    Told later, OpenBLAS would already have a thread per core, which keep each other busy while
    the worker processes start. Being of this class, a process imports this module as it starts:
    all workers at once, before they queue for jobs.
    """

    def start(self):
        with _environment_lock:
            before = {name: os.environ[name] for name in _ONE_THREAD if name in os.environ}
            os.environ.update(_ONE_THREAD)
            try:
                super().start()
            finally:
                for name in _ONE_THREAD:
                    del os.environ[name]
                os.environ.update(before)


@contextmanager
def _own_pool(root, processors, timeout):
    """Yield a function that hands a call to a worker process, and one that tells if they live."""
    CONSTS.sleep_unit = _LOOK_EVERY
    spawn, processes = SpawnContext(), []

    def process(*args, **kwargs):
        processes.append(_WorkerProcess(*args, **kwargs))
        return processes[-1]

    spawn.Process = process
    pool = ProcessPool(processors, _JOBS_PER_PROCESS, _start_worker, (root,), context=spawn)

    def submit(*call):
        try:
            return pool.schedule(_run_for_parent, args=(root, *call), timeout=timeout)
        except RuntimeError as error:  # the pool broke a moment ago
            return _failed(BrokenProcessPool(str(error)))

    try:
        yield submit, lambda running, broken: pool.active
    finally:
        pool.stop()  # at once, also on Ctrl-C: pebble's own `with` block waits for every job
        for one in processes:  # a worker that is still starting would complain of the end
            if one.is_alive():
                one.terminate()
        pool.join()


@contextmanager
def _callers_executor(executor):
    """Yield a function that hands a call to the executor, and one that tells if it still works."""
    probe = futures.Future()
    probe.set_result(0)

    def submit(*call):
        try:
            return executor.submit(*call)
        except Exception as error:  # it broke, or was shut down
            return _failed(error)

    def works(running, broken):
        """Tell whether there is something to wait for, though no job has ended for a second."""
        nonlocal probe
        if any(future.running() for future in running):
            return True
        if probe.done() and _error_of(probe) is None:  # ask again: it lets a new job wait
            probe = submit(abs, time.perf_counter())
            return not broken
        return not broken and not probe.done()

    try:
        yield submit, works
    finally:
        probe.cancel()


def _failed(error):
    future = futures.Future()
    future.set_exception(error)
    return future


def _start_worker(root):
    """Prepare a worker process: register its end, and start the thread that watches the parent."""
    atexit.register(_end_if_orphaned, root)
    threading.Thread(target=_end_with_parent, args=(root,), daemon=True).start()


def _run_for_parent(root, function, *arguments):
    _end_if_orphaned(root)
    answer = function(*arguments)
    _end_if_orphaned(root)
    return answer


def _end_with_parent(root):
    multiprocessing.parent_process().join()
    _end_if_orphaned(root)


def _end_if_orphaned(root):
    """When the parent has been killed, remove its scratch folder and end."""
    if not multiprocessing.parent_process().is_alive():
        while os.path.isdir(root):  # again, if another worker still writes there
            shutil.rmtree(root, ignore_errors=True)
        os._exit(1)


def _progress_bar(total, shown):
    if not shown:
        return nullcontext(SimpleNamespace(update=lambda: None))
    from tqdm.auto import tqdm

    return tqdm(total=total, unit="job")


def _run_job(root, record, payload, versions):
    """Run one job in a worker process; whatever it does comes back as bytes and text."""
    if versions is not None and not _is_callers_process(root):  # in a caller's executor
        _use_one_thread()
    root = Path(root) if os.access(root, os.W_OK) else None  # None on another machine
    worker = f"{platform.node()} {os.getpid()} {threading.get_ident()}"
    failed, trace = False, ""
    with _engine_lock:  # threads take turns, and their waiting is no part of a job
        start, clock = time.time(), time.perf_counter()
        if root is not None:
            (root / f"{record['job']}.started").write_text(f"{start}\n{worker}", encoding="utf-8")
        try:
            _compare_versions(versions)
            function, config = map(cloudpickle.loads, payload)
            with _private_engine(root, label=_label(record)):
                result = function(config)
            content = cloudpickle.dumps(result)
        except BaseException as error:  # SystemExit and KeyboardInterrupt concern this job alone
            failed, trace = True, traceback.format_exc()
            content = _pickle_error(error)
        seen = {"worker": worker, "start": start, "stop": start + time.perf_counter() - clock}
    return content, failed, trace, seen


def _is_callers_process(root):
    """Return whether a job runs in a thread of the process that started the swarm."""
    own = Path(root).name.startswith(_scratch_prefix())
    return own and multiprocessing.parent_process() is None


def _compare_versions(wanted):
    """Refuse a job whose score may differ from the caller's in the last digits."""
    if wanted is None or wanted == _versions():
        return
    here = _versions().items()
    changes = [f"{name} {one}, not {wanted[name]}" for name, one in here if one != wanted[name]]
    raise RuntimeError(
        f"this worker process has {', '.join(changes)}, and scores may differ: install the "
        "caller's versions where the executor's workers run"
    )


def _pickle_error(error):
    try:
        content = cloudpickle.dumps(error)
        cloudpickle.loads(content)  # a class that wants two arguments fails only here
        return content
    except Exception:
        return cloudpickle.dumps(RuntimeError(_describe(error)))


def _unpack(answer, record):
    """Return a job's result or exception, whether it failed, and its worker and times."""
    content, failed, trace, seen = answer
    try:
        result = cloudpickle.loads(content)
    except Exception as error:
        message = f"{_label(record)}: its result cannot be unpickled here: {_describe(error)}"
        result, failed = RuntimeError(message), True
    if trace:
        with suppress(Exception):
            result.add_note(f"{_TRACE}\n{trace}")
    return result, failed, seen


def _explain(error, record, timeout):
    """Say in words why a job never came back."""
    label = _label(record)
    if isinstance(error, BrokenProcessPool):  # of an executor of the caller's
        return RuntimeError(
            f"{label}: the executor's processes ended. If none could start: {_NO_GUARD}"
        )
    if isinstance(error, futures.CancelledError):
        return RuntimeError(f"{label}: {_DROPPED}")
    for cause in (error, error.__cause__):
        if isinstance(cause, ModuleNotFoundError) and cause.name == __name__:
            return ModuleNotFoundError(
                f"{label}: the executor's workers cannot import {__name__}: install the project "
                "where they run, or send them this file (dask: client.upload_file)"
            )
    if isinstance(error, ProcessExpired):
        how = f"exit code {error.exitcode}"
        if error.exitcode < 0:
            how = f"signal {signal.Signals(-error.exitcode).name}"
        return ProcessExpired(f"{label}: its worker process died ({how})", error.exitcode)
    if isinstance(error, TimeoutError):
        return TimeoutError(f"{label}: stopped at its time limit of {timeout} s")
    return error


def _last_seen(root, job):
    """Read when and where a job began whose worker did not live to tell."""
    try:
        start, worker = Path(root, f"{job}.started").read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError):
        return {}
    return {"worker": worker, "start": float(start), "stop": time.time()}


def _timeline(records, began):
    """Count times from the swarm's begin, and workers in the order in which they started."""
    workers = {}
    started = [record for record in records if record["start"] is not None]
    for record in sorted(started, key=operator.itemgetter("start")):
        record["host"] = record["worker"].rsplit(" ", 2)[0]
        record["worker"] = workers.setdefault(record["worker"], len(workers))
        record["start"] -= began
        record["stop"] -= began
    return records


@functools.cache
def _use_one_thread():
    """Keep BLAS and OpenMP to one thread in a worker process that others have started."""
    from threadpoolctl import threadpool_limits

    os.environ.update(_ONE_THREAD)  # for libraries that are loaded later
    threadpool_limits(1)  # for those that are here


# Reading the timings ----------------------------------------------------------------


def makespan_bound(seconds, processors):
    """Return the wall time in seconds that no schedule of these jobs can beat.

    It is the longest job, or the total shared evenly among the processors if that is longer
    (R. L. Graham, Bounds on Multiprocessing Timing Anomalies, SIAM J. Appl. Math. 17, 1969).

    Parameters
    ----------
    seconds : sequence of float
        Durations of the jobs in seconds.
    processors : int
        Number of processors, at least 1.

    Raises
    ------
    ValueError
        `processors` is below 1, or a duration is negative or not finite.
    """
    seconds, processors = _durations(seconds), _whole(processors, "processors", least=1)
    return max(max(seconds, default=0.0), math.fsum(seconds) / processors)


def makespan(seconds, processors):
    """Return the wall time in seconds of the jobs in this order.

    Each job goes to the processor that is free first. Parameters and errors are those of
    `makespan_bound`.
    """
    seconds, processors = _durations(seconds), _whole(processors, "processors", least=1)
    busy_until = [0.0] * processors
    for duration in seconds:
        heapq.heapreplace(busy_until, busy_until[0] + duration)
    return max(busy_until)


def _durations(seconds):
    seconds = [float(duration) for duration in seconds]
    for job, duration in enumerate(seconds):
        if not 0 <= duration < math.inf:
            raise ValueError(f"job {job}: {duration} is not a duration in seconds")
    return seconds


def describe_machine():
    """Return what a timing depends on, as a dict without host or user name.

    Processor, physical and logical cores, cores that this process may use, memory in GiB,
    operating system, and the versions of Python, the SWMM engine and the packages.
    """
    import cpuinfo
    import psutil

    return {
        "processor": cpuinfo.get_cpu_info().get("brand_raw", platform.machine()),
        "physical cores": psutil.cpu_count(logical=False),
        "logical cores": psutil.cpu_count(),
        "usable cores": _cores(),
        "memory (GiB)": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        **_versions(),
        "python": platform.python_version(),
        **{package: version(package) for package in ("pebble", "cloudpickle")},
    }


@functools.cache
def _versions():
    """Return the versions of all that the last digits of a score depend on."""
    engine = solver.swmm_get_version()  # 52004 is version 5.2.4
    packages = ("pystorms", "pyswmm", "swmm-toolkit", "numpy")
    return {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "SWMM engine": f"{engine // 10000}.{engine // 1000 % 10}.{engine % 1000}",
        **{package: version(package) for package in packages},
    }


# Pictures ---------------------------------------------------------------------------

# Okabe and Ito's palette, which colour-blind readers can tell apart: areas light, lines dark
LINE_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
COLORS = ("#56B4E9", "#E69F00", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2", "#999999")


def plot_timeline(swarm, ax=None, bound=None):
    """Draw when each worker ran which job: a bar per job, coloured by the job's name.

    Parameters
    ----------
    swarm : Swarm
    ax : matplotlib.axes.Axes, optional
        Default: a new figure.
    bound : float, optional
        Wall time in seconds to mark with a line, from `makespan_bound` of serial durations.

    Returns
    -------
    matplotlib.axes.Axes
    """
    import matplotlib.pyplot as plt

    started = [record for record in swarm.timeline if record["start"] is not None]
    workers = 1 + max((record["worker"] for record in started), default=0)
    if ax is None:
        ax = plt.subplots(figsize=(8, 1.4 + 0.4 * workers), layout="constrained")[1]
    colors, legend = {}, {}
    for record in started:
        name, length = record["name"] or record["scenario"], record["stop"] - record["start"]
        bars = ax.barh(
            record["worker"],
            length,
            left=record["start"],
            color=colors.setdefault(name, COLORS[len(colors) % len(COLORS)]),
            edgecolor="black",
            hatch="" if record["error"] is None else "xx",
        )
        legend.setdefault(name or "job", bars)
        if length > 0.08 * swarm.seconds:  # wide enough for a number
            place = {"x": record["start"] + length / 2, "y": record["worker"]}
            box = {"facecolor": bars[0].get_facecolor(), "edgecolor": "none", "pad": 1}
            ax.text(**place, s=f"job {record['job']}", ha="center", va="center", bbox=box)
    if bound is not None:
        legend[f"bound: {bound:.1f} s"] = ax.axvline(bound, color="black", linestyle="--")
    ax.set(xlabel="seconds since the swarm began", ylabel="worker", yticks=range(workers))
    ax.set(xlim=(0, 1.02 * max(swarm.seconds, bound or 0.1)), ylim=(workers - 0.5, -0.5))
    if 0 < len(legend) <= len(COLORS):
        ax.figure.legend(legend.values(), legend.keys(), loc="outside right center")
    return ax


def plot_hydrographs(runs, series, axes=None):
    """Draw series of one run or more: a panel per series, a line per run.

    Parameters
    ----------
    runs : dict
        Label -> `Simulation`, as `simulate` returns it.
    series : list of str
        Names of states (``"depthN P1"``), actions (the valve's name) or targets (``"flow 8"``).
    axes : sequence of matplotlib.axes.Axes, optional
        One per series; default: a new figure.

    Returns
    -------
    sequence of matplotlib.axes.Axes

    Raises
    ------
    ValueError
        A run has no series of this name.
    """
    import matplotlib.pyplot as plt

    if axes is None:
        size = {"figsize": (8, 0.6 + 1.7 * len(series)), "sharex": True, "squeeze": False}
        axes = plt.subplots(len(series), 1, layout="constrained", **size)[1][:, 0]
    for ax, name in zip(axes, series, strict=True):
        for number, (label, run) in enumerate(runs.items()):
            values = _series(run, name)
            hours = (run.log["time"] - run.log["time"][0]) / np.timedelta64(1, "h")
            color = LINE_COLORS[number % len(LINE_COLORS)]
            ax.plot(hours, values, color=color, linestyle=("-", "--", ":")[number % 3], label=label)
        ax.set_ylabel(name)
    if len(runs) > 1:
        axes[0].legend()
    axes[-1].set_xlabel("hours since the storm began")
    return axes


def _series(run, name):
    for kind in ("states", "actions", "targets"):
        if name in run.log[kind]:
            return run.log[kind][name]
    there = sorted({one for kind in ("states", "actions", "targets") for one in run.log[kind]})
    raise ValueError(f"no series {name!r}; there are {', '.join(there)}")


def plot_speedup(processors, seconds, bounds=None, ax=None, **line):
    """Draw how many times as fast a job set runs on more processors, with spread and bound.

    The base case is the median of the first entry of `seconds`.

    Parameters
    ----------
    processors : sequence of int
        Numbers of processors, the first is usually 1.
    seconds : sequence of sequence of float
        For each of them, the wall times in seconds of the repetitions.
    bounds : sequence of float, optional
        For each of them, the wall time in seconds that no schedule beats, from `makespan_bound`.
    ax : matplotlib.axes.Axes, optional
        Default: a new figure.
    **line
        Passed on to the line, ``label`` or ``color`` for example.

    Returns
    -------
    matplotlib.axes.Axes
    """
    import matplotlib.pyplot as plt

    if ax is None:
        ax = plt.subplots(figsize=(6, 4), layout="constrained")[1]
    base = np.median(seconds[0])
    middle = np.array([base / np.median(times) for times in seconds])
    spread = np.abs([[base / max(times), base / min(times)] for times in seconds] - middle[:, None])
    line = {"color": LINE_COLORS[0], "label": "measured"} | line
    ax.errorbar(processors, middle, spread.T, fmt="o-", capsize=3, **line)
    if bounds is not None:
        most = [base / bound for bound in bounds]
        ax.plot(processors, most, "_", color=line["color"], markersize=18, markeredgewidth=2)
    ax.set(xlabel="processors", ylabel="speed-up", xticks=processors)
    return ax
