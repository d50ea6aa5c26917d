"""Who gives jobs to the worker processes, and notices one that dies or is late?"""

import itertools
import pickle
import threading
import time
from collections import deque
from contextlib import suppress
from multiprocessing.connection import wait

from stormswarm import scratch
from stormswarm.failures import DIED, LATE, NEVER_STARTED, Loss, describe_exit
from stormswarm.kept_workers import (
    check_open_files,
    keep_workers,
    read_world,
    start_worker,
    take_kept,
)

IDLE_SECONDS = 60.0  # a worker process that hears nothing for so long ends
LOOK_EVERY = 1.0  # seconds; on Windows nothing else lets Ctrl-C through
PATIENCE = 50  # with processes that end before they are ready; see OwnPool._bury
QUICK = 0.005  # seconds of work that a worker process may be sent ahead of time
AHEAD = 16  # jobs, at most
SMALL = 4096  # bytes of jobs that are sent ahead; more might not fit into the pipe
WRAPPING = 200  # bytes of a job in a message at most, besides its label and its parts
_numbers = itertools.count(1)


class OwnPool:
    """Worker processes with a pipe to each, so that one that dies takes no other job with it.

    They are spawned, never forked, and kept for the next call while the environment variables,
    the working folder and `sys.path` are the same.
    """

    def __init__(self, processors, timeout, max_tasks_per_child):
        self.processors, self.timeout = processors, timeout
        self.tasks_per_child = max_tasks_per_child or float("inf")

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
        """Return how many more jobs the pool takes now: some for each worker wait here."""
        return 3 * AHEAD * self.processors - len(self.waiting)

    def start(self, call):
        """Hand one job to a worker, or let it wait for one."""
        self.waiting.append(call)
        if len(self.waiting) == 1:  # no worker is free if another job waits already
            self._hand_out()
        if self.waiting:
            self._add_worker()

    def ended(self):
        """Wait a moment; yield the numbers of jobs that have ended, with answer or loss."""
        for worker, speaks in self._wait():
            answer = self._receive(worker) if speaks else None
            if isinstance(answer, int):
                if answer == self.number:  # not of a call that ended before the worker was ready
                    worker.call_number, self.in_vain = answer, 0
                    self._hand_out()
            elif isinstance(answer, str):
                self.in_vain, self.cause = PATIENCE, answer
            elif answer is None:
                yield from self._bury(worker, died=True)
            else:
                call, worker.job = worker.job, None
                worker.ended, self.in_vain = worker.ended + 1, 0
                worker.seconds = answer.stop - answer.start
                if worker.late or not answer.reusable or worker.ended >= self.tasks_per_child:
                    yield from self._bury(worker, died=False)
                else:
                    if worker.ahead:
                        self._note_begin(worker, worker.ahead.popleft()[0])
                    self._feed(worker)
                yield call.job, answer
        if self.in_vain >= PATIENCE:
            while self.waiting:
                yield self.waiting.popleft().job, Loss(NEVER_STARTED, cause=self.cause)

    def _wait(self):
        """Return the workers that have something to say, and those that have died in silence."""
        ready = wait([worker.pipe for worker in self.workers], LOOK_EVERY)
        found = [(worker, True) for worker in self.workers if worker.pipe in ready]
        if time.monotonic() - self.last_look > LOOK_EVERY:
            # A process that a job has forked may keep the pipe of a dead worker open.
            self.last_look = time.monotonic()
            dead = [one for one in self.workers if not one.process.is_alive()]
            found += [(worker, False) for worker in dead if worker.pipe not in ready]
        return found

    def _receive(self, worker):
        """Return what a worker says, or None if it has died."""
        try:
            message = worker.pipe.recv_bytes()
        except (EOFError, OSError):
            return None
        with self.lock:  # from here on the job is not late any more
            worker.deadline = float("inf")
        return pickle.loads(message)

    def _hand_out(self):
        for worker in self.workers:
            self._feed(worker)

    def _feed(self, worker):
        """Give a worker a job if it has none, and some ahead of time if its jobs are quick."""
        if worker.call_number != self.number or worker.late:
            return
        if worker.job is None and self.waiting:
            self._send(worker, self.waiting.popleft())
        most = self._most_ahead(worker)
        if len(worker.ahead) <= most // 2:  # several at a time, in one message
            self._send_ahead(worker, most - len(worker.ahead))

    def _most_ahead(self, worker):
        """Return how many jobs a worker is to have got before its present one has ended.

        It then need not wait for the caller between two quick jobs. Should a job turn out long,
        those sent ahead wait for it, perhaps while other workers are idle. Therefore nothing is
        sent ahead after a long job, and less and less near the end of a swarm.
        """
        return min(
            AHEAD,
            int(QUICK / max(worker.seconds, 1e-6)),
            len(self.waiting) // (2 * self.processors),
            self.tasks_per_child - worker.ended - 1,
        )

    def _send_ahead(self, worker, most):
        """Send the next jobs, as many as fit into the pipe beside those that it has got."""
        jobs, sizes, room = [], [], SMALL - sum(size for _, size in worker.ahead)
        for call in itertools.islice(self.waiting, most):
            job, size = self._pack(worker, call)
            room -= size
            if room < 0:
                break
            worker.parts |= job[2]
            jobs.append(job)
            sizes.append(size)
        if not jobs:
            return
        with suppress(OSError):  # it has died, as `ended` will find out
            worker.pipe.send_bytes(pickle.dumps(("jobs", *jobs), protocol=5))
            worker.ahead.extend((self.waiting.popleft(), size) for size in sizes)

    def _send(self, worker, call):
        self._note_begin(worker, call)
        job, _ = self._pack(worker, call)
        worker.parts |= job[2]
        try:
            worker.pipe.send_bytes(pickle.dumps(("jobs", job), protocol=5))
        except OSError:  # it has died, as `ended` will find out
            worker.call_number = -1
            if not call.sent_again:  # but not for ever: the config may be what kills it
                call.sent_again, worker.job = True, None
                self.waiting.appendleft(call)

    def _note_begin(self, worker, call):
        worker.job, worker.began = call, time.time()
        if self.timeout is not None:
            worker.deadline = time.monotonic() + self.timeout

    def _pack(self, worker, call):
        """Return a call with the parts that the worker lacks and those to keep, and its bytes."""
        new = {n: self.packed.parts[n] for n in call.parts if n not in worker.parts}
        most = WRAPPING + 4 * len(call.label) + sum(map(len, new.values()))
        return (call, new, self.packed.shared & new.keys()), most

    def _add_worker(self):
        while len(self.workers) < self.processors and self.in_vain < PATIENCE:
            try:
                return self._begin(start_worker(self.world, self.root))
            except BrokenPipeError:  # it was killed before it had read what to do
                self.in_vain, self.cause = self.in_vain + 1, "each was killed as it started"

    def _begin(self, worker):
        worker.parts, worker.late, worker.seconds = set(), False, float("inf")
        self.workers.append(worker)
        with suppress(OSError):  # it has ended meanwhile, and `ended` will find out
            worker.pipe.send_bytes(pickle.dumps(("call", self.number, self.root, IDLE_SECONDS)))

    def _bury(self, worker, died):
        """End a worker, yield the job that it ran, and start another one if it is needed."""
        self.workers.remove(worker)
        if died and not worker.late:
            worker.process.join(1.0)  # let it end by itself, to learn how
        exitcode = worker.process.exitcode
        worker.stop()
        self.waiting.extendleft(call for call, _ in reversed(worker.ahead))  # they have not begun
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
        self._hand_out()  # those that it had not begun, to workers that are free
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
