"""Which worker processes are there, how do they start, and when may they serve again?"""

import atexit
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import types
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from stormswarm.failures import Place

ONE_THREAD = {
    f"{library}_NUM_THREADS": "1"
    for library in ("OMP", "OPENBLAS", "MKL", "BLIS", "VECLIB_MAXIMUM", "NUMEXPR")
}


@dataclass(eq=False)
class Worker:
    """A worker process, the pipe to it, and what the caller knows of it."""

    process: multiprocessing.process.BaseProcess
    pipe: Connection
    world: tuple
    call_number: int = 0  # of the call that it has said it is ready for
    job: Any = None  # the call that it runs
    ahead: deque = field(default_factory=deque)  # calls that it runs next, and their bytes
    seconds: float = float("inf")  # what its last job took
    began: float = 0.0
    deadline: float = float("inf")
    late: bool = False
    ended: int = 0  # jobs
    parts: set = field(default_factory=set)  # numbers of the parts that it has

    def stop(self) -> None:
        """End the process at once, with those that its jobs have started."""
        if os.name == "posix":
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)  # each worker has a group of its own
        self.process.kill()
        self.process.join()
        self.pipe.close()


def start_worker(world: tuple, root: str) -> Worker:
    """Start a worker process for the call that has this scratch folder."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=run_worker, args=(there, root), name="stormswarm worker")
    try:
        with _hidden_script():
            process.start()
    finally:
        there.close()
    return Worker(process, here, world)


def run_worker(pipe: Connection, root: str) -> None:
    """Set one thread for all libraries, before they are imported, and serve the caller."""
    os.environ.update(ONE_THREAD)
    Place.job = "the start of a worker process"
    try:
        from stormswarm.worker_process import end_group, serve
    except BaseException as error:
        pipe.send_bytes(pickle.dumps(f"{type(error).__name__}: {error}"))
        return
    Place.job = ""
    serve(pipe, root)
    stop_workers()  # those that a job has started
    end_group()


_script_lock = threading.Lock()


@contextmanager
def _hidden_script():
    """Let a new process not import the caller's script: functions travel by value."""
    with _script_lock:
        script, stand_in = sys.modules["__main__"], types.ModuleType("__main__")
        vars(stand_in).update(vars(script), __spec__=None)  # other threads may look there
        vars(stand_in).pop("__file__", None)
        sys.modules["__main__"] = stand_in
        try:
            yield
        finally:
            sys.modules["__main__"] = script


_kept, _kept_lock = [], threading.Lock()


def read_world() -> tuple:
    """Return what must be the same for a worker process to be used again."""
    try:
        folder = os.getcwd()
        place = os.stat(folder)  # another folder may have got the name
    except FileNotFoundError:
        raise FileNotFoundError(
            "the working folder has been removed, and worker processes start in it: change to "
            "another one with os.chdir"
        ) from None
    there = folder, place.st_dev, place.st_ino
    return there, tuple(sys.path), tuple(sorted(os.environ.items()))


def take_kept(most: int, world: tuple, tasks_per_child: int) -> list[Worker]:
    """Return at most so many idle workers that fit, and end those that never will."""
    with _kept_lock:
        workers, _kept[:] = [*_kept], []
    taken, left = [], []
    for worker in workers:
        if worker.world != world or not worker.process.is_alive():
            _end(worker)
        elif len(taken) < most and worker.ended < tasks_per_child:
            taken.append(worker)
        else:
            left.append(worker)
    keep_workers(left)
    return taken


def keep_workers(workers: list[Worker]) -> None:
    """Keep idle workers for the next call."""
    with _kept_lock:
        _kept.extend(workers)


@atexit.register
def stop_workers() -> None:
    """End the worker processes that are kept for the next call of `generate_swarm`.

    Without this call they end after an idle minute, or when the Python process that started them
    ends.
    """
    with _kept_lock:
        workers, _kept[:] = [*_kept], []
    for worker in workers:
        _end(worker)


def _end(worker):
    """End an idle worker. One that has ended is only forgotten: its number may have a new owner."""
    if worker.process.is_alive():
        worker.stop()
    else:
        worker.pipe.close()


def _forget_kept():
    """In a forked process, which neither uses nor ends the workers of the one that forked it."""
    global _kept_lock, _script_lock
    _kept_lock, _script_lock = threading.Lock(), threading.Lock()
    for worker in _kept:
        worker.pipe.close()
    _kept.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_kept)


def check_open_files(processors: int) -> None:
    """Refuse more worker processes than the system gives open files to."""
    if os.name != "posix":
        return
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = (limit - 40) // 3  # a pipe and a sentinel each, some more while one starts
    if limit != resource.RLIM_INFINITY and processors > max(most, 2):
        raise ValueError(
            f"processors must be at most {max(most, 2)} here, got {processors}: each worker "
            f"process needs open files, and the system allows {limit} (ulimit -n)"
        )
