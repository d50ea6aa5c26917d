"""Where do jobs run: in the helper's own worker processes, or in the caller's executor?

A pool is a context manager with a `timeout` (seconds, or None) and four methods. `open(packed,
jobs)` hands it the packed jobs and says how many of them it will be given, `room()` says how many
more it takes now, `start(call)` gives it one, and `ended()` waits, and yields the number of each
job that has ended with its answer or with how it was lost. To add a pool, write a class with these.
`jobs.py` says what `packed` and a call are; in a worker process, `run_job` runs one and answers.
"""

import numbers
import operator
import os
import queue
import sys
import threading
from concurrent import futures
from typing import Any

from stormswarm import jobs, scratch
from stormswarm.engine import Engine
from stormswarm.failures import DROPPED, NO_TIME_LIMIT, STARTED_BY_AN_IMPORT, Loss, Place
from stormswarm.own_pool import LOOK_EVERY, OwnPool

AT_AN_EXECUTOR = 10_000  # jobs at a time: enough for thousands of workers, little memory


def count_cores() -> int:
    """Return how many cores this process may use, by its affinity and its container's quota."""
    from loky import cpu_count

    return cpu_count()


class CallersExecutor:
    """An executor of the caller's, whose workers are neither started nor stopped here."""

    timeout = None

    def __init__(self, executor):
        self.executor = executor

    def open(self, packed, jobs):
        """Prepare to run the packed jobs; return the pool."""
        self.packed, self.running, self.done = packed, {}, queue.SimpleQueue()
        self.broken = False
        return self

    def __enter__(self):
        self.root = scratch.make_root()
        held_by = os.getpid() if Engine.holder == threading.get_ident() else None
        self.arguments = self.root, jobs.read_versions(), held_by
        return self

    def __exit__(self, *exception):
        scratch.finish(self._close)

    def _close(self):
        for future in [*self.running]:
            future.cancel()
        scratch.remove_root(self.root)

    def room(self):
        """Return how many more jobs the pool takes now."""
        return AT_AN_EXECUTOR - len(self.running)

    def start(self, call):
        """Hand one job to the executor."""
        parts = {number: self.packed.parts[number] for number in call.parts}
        try:
            future = self.executor.submit(jobs.run_job, call, parts, *self.arguments)
        except Exception as error:  # it broke, or was shut down
            self.broken, future = True, futures.Future()
            future.set_exception(error)
        self.running[future] = call.job
        future.add_done_callback(self.done.put)

    def ended(self):
        """Wait a moment; yield the number of a job that has ended, and its answer or loss."""
        try:
            future = self.done.get(timeout=LOOK_EVERY)
        except queue.Empty:
            if self.broken and not any(future.running() for future in self.running):
                for future in [*self.running]:  # it will never answer to these
                    yield self.running.pop(future), Loss(DROPPED)
            return
        job = self.running.pop(future, None)
        if job is None:
            return
        error = futures.CancelledError() if future.cancelled() else future.exception()
        if isinstance(error, futures.CancelledError):
            self.broken = True
            yield job, Loss(DROPPED)
        else:
            yield job, future.result() if error is None else error


def choose_pool(
    processors: int | None,
    timeout: float | None,
    executor: futures.Executor | None,
    max_tasks_per_child: int | None = None,
) -> OwnPool | CallersExecutor:
    """Check the arguments of `generate_swarm` that say where jobs run; return the pool."""
    if Place.job and _is_importing():
        raise RuntimeError(STARTED_BY_AN_IMPORT)
    if processors is not None:
        processors = check_integer(processors, "processors", least=1)
    if max_tasks_per_child is not None:
        max_tasks_per_child = check_integer(max_tasks_per_child, "max_tasks_per_child", least=1)
    if timeout is not None:
        if isinstance(timeout, bool) or not isinstance(timeout, numbers.Real):
            raise TypeError(f"timeout must be a number of seconds, got {timeout!r:.80}")
        if not timeout > 0:
            raise ValueError(f"timeout must be a number of seconds above 0, got {timeout!r:.80}")
    if executor is None:
        return OwnPool(processors or count_cores(), timeout, max_tasks_per_child)
    if not isinstance(executor, futures.Executor):
        got = f"got {executor!r:.80}"
        if hasattr(executor, "get_executor"):
            got += "; a dask client makes one: client.get_executor()"
        raise TypeError(f"executor must be a concurrent.futures.Executor, {got}")
    if timeout is not None:
        raise ValueError(NO_TIME_LIMIT)
    if max_tasks_per_child is not None:
        raise ValueError("max_tasks_per_child needs the helper's own worker processes")
    if type(executor).__name__ == "InterpreterPoolExecutor":
        raise ValueError(
            "this executor runs jobs in subinterpreters, where numpy and the SWMM engine cannot be "
            "loaded: leave executor out, and jobs run in processes"
        )
    context = getattr(executor, "_mp_context", None)
    if context is not None and context.get_start_method() == "fork":
        raise ValueError(
            "this executor forks its processes, and a forked engine can wait for ever: "
            "make it with mp_context=multiprocessing.get_context('spawn')"
        )
    return CallersExecutor(executor)


def _is_importing():
    """Return whether the present call comes from the top level of a module that is imported."""
    frame = sys._getframe()
    while frame is not None and frame.f_code.co_filename != "<frozen importlib._bootstrap>":
        frame = frame.f_back
    return frame is not None


def check_integer(value: Any, what: str, least: int) -> int:
    """Return the integer; raise a TypeError or ValueError that names it if it is none or small."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    got = f"{what} must be an integer of at least {least}, got {value!r:.80}"
    if number is None or isinstance(value, bool):
        raise TypeError(got)
    if number < least:
        raise ValueError(got)
    return number


def check_number(value: Any, what: str, least: float) -> None:
    """Raise a TypeError or ValueError that names the value if it is no number or too small."""
    got = f"{what} must be a number of at least {least}, got {value!r:.80}"
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(got)
    if not value >= least:
        raise ValueError(got)
