"""Who starts the worker processes, keeps them, and notices one that dies or is late?"""

import atexit
import itertools
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import types
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

from stormswarm import scratch
from stormswarm.failures import DIED, LATE, NEVER_STARTED, Loss, describe_exit

TASKS_PER_CHILD = 2000  # the engine loses 1.35 kB of memory in every run
IDLE_SECONDS = 60.0  # a worker process that hears nothing for so long ends
LOOK_EVERY = 1.0  # seconds; on Windows nothing else lets Ctrl-C through
PATIENCE = 50  # with processes that end before they are ready; see OwnPool._bury
ONE_THREAD = {
    f"{library}_NUM_THREADS": "1"
    for library in ("OMP", "OPENBLAS", "MKL", "BLIS", "VECLIB_MAXIMUM", "NUMEXPR")
}


@dataclass(eq=False)
class _Worker:
    process: multiprocessing.process.BaseProcess
    pipe: Connection
    world: tuple
    call_number: int = 0  # of the call that it has said it is ready for
    job: Any = None  # the call that it runs
    began: float = 0.0
    deadline: float = float("inf")
    late: bool = False
    ended: int = 0  # jobs
    parts: set = field(default_factory=set)  # numbers of the parts that it has

    def stop(self):
        """End the process at once, with those that its jobs have started."""
        if os.name == "posix":
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)  # each worker has a group of its own
        self.process.kill()
        self.process.join()
        self.pipe.close()


class OwnPool:
    """Worker processes with a pipe to each, so that one that dies takes no other job with it.

    They are spawned, never forked, and kept for the next call while the environment variables,
    the working folder and `sys.path` are the same.
    """

    def __init__(self, processors, timeout, max_tasks_per_child):
        self.processors, self.timeout = processors, timeout
        self.tasks_per_child = max_tasks_per_child or TASKS_PER_CHILD

    def open(self, packed, jobs):
        """Prepare to run `jobs` of the packed jobs; return the pool."""
        self.packed, self.processors = packed, min(self.processors, jobs)
        check_open_files(self.processors)
        self.number, self.world = next(_numbers), read_world()
        return self

    def __enter__(self):
        self.workers, self.waiting = [], deque()
        self.in_vain, self.cause, self.last_look = 0, "", time.monotonic()
        self.lock, self.closed = threading.Lock(), threading.Event()
        self.root = scratch.make_root()
        for worker in take_kept(self.processors, self.world, self.tasks_per_child):
            self._begin(worker)
        if self.timeout is not None:
            threading.Thread(target=self._stop_late_jobs, daemon=True).start()
        return self

    def __exit__(self, kind, error, trace):
        scratch.finish(self._close, kind is None)

    def _close(self, keep):
        self.closed.set()
        idle = []
        for worker in self.workers:
            usable = worker.job is None and not worker.late
            if keep and usable and worker.ended < self.tasks_per_child:
                idle.append(worker)
            else:
                worker.stop()
        keep_workers(idle)
        scratch.remove_root(self.root)

    def room(self):
        """Return how many more jobs the pool takes now, one ahead for each worker."""
        busy = sum(worker.job is not None for worker in self.workers)
        return 2 * self.processors - busy - len(self.waiting)

    def start(self, call):
        """Hand one job to a worker, or let it wait for one."""
        self.waiting.append(call)
        self._hand_out()
        if self.waiting:
            self._add_worker()

    def ended(self):
        """Wait a moment; yield the numbers of jobs that have ended, with answer or loss."""
        for worker in self._wait():
            answer = self._receive(worker)
            if isinstance(answer, int):
                if answer == self.number:  # not of a call that ended before the worker was ready
                    worker.call_number, self.in_vain = answer, 0
                    self._hand_out()
            elif isinstance(answer, str):
                self.in_vain, self.cause = PATIENCE, answer
            elif answer is None:
                yield from self._bury(worker)
            else:
                call, worker.job = worker.job, None
                worker.ended, self.in_vain = worker.ended + 1, 0
                if worker.late or not answer.reusable or worker.ended >= self.tasks_per_child:
                    yield from self._bury(worker)
                self._hand_out()
                yield call.job, answer
        if self.in_vain >= PATIENCE:
            while self.waiting:
                yield self.waiting.popleft().job, Loss(NEVER_STARTED, cause=self.cause)

    def _wait(self):
        """Return the workers that have something to say, and those that have died."""
        ready = wait([worker.pipe for worker in self.workers], LOOK_EVERY)
        found = [worker for worker in self.workers if worker.pipe in ready]
        if time.monotonic() - self.last_look > LOOK_EVERY:
            # A process that a job has forked may keep the pipe of a dead worker open.
            self.last_look = time.monotonic()
            dead = [one for one in self.workers if not one.process.is_alive()]
            found += [worker for worker in dead if worker not in found]
        return found

    def _receive(self, worker):
        """Return what a worker says, or None if it has died."""
        try:
            if not worker.pipe.poll():
                return None
            message = worker.pipe.recv_bytes()
        except (EOFError, OSError):
            return None
        with self.lock:  # from here on the job is not late any more
            worker.deadline = float("inf")
        return pickle.loads(message)

    def _hand_out(self):
        for worker in self.workers:
            if not self.waiting:
                return
            if worker.job is None and worker.call_number == self.number and not worker.late:
                call = self.waiting.popleft()
                new = [number for number in call.parts if number not in worker.parts]
                new = {number: self.packed.parts[number] for number in new}
                shared = self.packed.shared & new.keys()
                message = pickle.dumps(("job", call, new, shared), protocol=5)
                worker.job, worker.began = call, time.time()
                if self.timeout is not None:
                    worker.deadline = time.monotonic() + self.timeout
                worker.parts |= shared
                try:
                    worker.pipe.send_bytes(message)
                except OSError:  # it has died, as `ended` will find out
                    worker.call_number = -1
                    if not call.sent_again:  # but not for ever: the config may be what kills it
                        call.sent_again, worker.job = True, None
                        self.waiting.appendleft(call)

    def _add_worker(self):
        if len(self.workers) >= self.processors or self.in_vain >= PATIENCE:
            return
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(
            target=run_worker, args=(there, self.root), name="stormswarm worker"
        )
        try:
            with _hidden_script():
                process.start()
        finally:
            there.close()
        self._begin(_Worker(process, here, self.world))

    def _begin(self, worker):
        worker.parts, worker.late = set(), False
        self.workers.append(worker)
        with suppress(OSError):  # it has ended meanwhile, and `ended` will find out
            worker.pipe.send_bytes(pickle.dumps(("call", self.number, self.root, IDLE_SECONDS)))

    def _bury(self, worker):
        """End a worker, yield the job that it ran, and start another one if it is needed."""
        self.workers.remove(worker)
        if not worker.late:
            worker.process.join(1.0)  # let it end by itself, to learn how
        exitcode = worker.process.exitcode
        worker.stop()
        if worker.job is not None:
            reason = LATE if worker.late else DIED
            yield worker.job.job, Loss(reason, exitcode, worker.process.pid, worker.began)
        elif worker.call_number == 0 and exitcode is not None:
            # One that was killed may have been killed by chance; one that ended by itself was not.
            self.in_vain += 1 if exitcode < 0 else PATIENCE // 5
            self.cause = (
                "one process after the other ended before it was ready, the last one with "
                f"{describe_exit(exitcode)}"
            )
        if self.waiting:
            self._add_worker()

    def _stop_late_jobs(self):
        """End each worker whose job is late, though the caller's thread may be at its pipe."""
        while not self.closed.wait(min(0.05, self.timeout / 4)):
            with self.lock:
                for worker in [*self.workers]:
                    if worker.deadline < time.monotonic() and not worker.late:
                        worker.late = True
                        worker.process.kill()


def run_worker(pipe: Connection, root: str) -> None:
    """Set one thread for all libraries, before they are imported, and serve the caller."""
    os.environ.update(ONE_THREAD)
    try:
        from stormswarm.worker_process import end_group, serve
    except BaseException as error:
        pipe.send_bytes(pickle.dumps(f"{type(error).__name__}: {error}"))
        return
    serve(pipe, root)
    stop_workers()  # those that a job has started
    end_group()


_script_lock = threading.Lock()


@contextmanager
def _hidden_script():
    """Let a new process not import the caller's script: functions travel by value."""
    with _script_lock:
        script, sys.modules["__main__"] = sys.modules["__main__"], types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = script


# Workers that are kept between calls --------------------------------------------------

_numbers = itertools.count(1)
_kept, _kept_lock = [], threading.Lock()


def read_world() -> tuple:
    """Return what must be the same for a worker process to be used again."""
    try:
        folder = os.getcwd()
    except FileNotFoundError:
        raise FileNotFoundError(
            "the working folder has been removed, and worker processes start in it: change to "
            "another one with os.chdir"
        ) from None
    return folder, tuple(sys.path), tuple(sorted(os.environ.items()))


def take_kept(most: int, world: tuple, tasks_per_child: int) -> list[_Worker]:
    """Return at most so many idle workers that fit, and end those that never will."""
    with _kept_lock:
        workers, _kept[:] = [*_kept], []
    taken, left = [], []
    for worker in workers:
        if worker.world != world or not worker.process.is_alive():
            worker.stop()
        elif len(taken) < most and worker.ended < tasks_per_child:
            taken.append(worker)
        else:
            left.append(worker)
    keep_workers(left)
    return taken


def keep_workers(workers: list[_Worker]) -> None:
    """Keep idle workers for the next call."""
    with _kept_lock:
        _kept.extend(workers)


@atexit.register
def stop_workers() -> None:
    """End the worker processes that are kept for the next call of `generate_swarm`.

    They end by themselves after an idle minute, and with the Python process that started them.
    """
    with _kept_lock:
        workers, _kept[:] = [*_kept], []
    for worker in workers:
        worker.stop()


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
