"""What does a worker process do with a job?"""

import functools
import io
import os
import pickle
import platform
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import cloudpickle

from stormswarm.copies import LARGE, JobPickler, JobUnpickler, KnownClasses, know_classes
from stormswarm.engine import Engine, hold_engine
from stormswarm.failures import ANOTHER_IS_OPEN, Place, add_note, describe
from stormswarm.private_files import PrivateFiles

# Packing ------------------------------------------------------------------------------


@dataclass
class Call:
    """What one job needs: the numbers of its pickled parts.

    The first holds the worker function and the second the config; if they are equal, it holds both.
    """

    job: int
    label: str
    parts: list[int]
    sent_again: bool = False


class PackedJobs:
    """The jobs of a swarm as bytes; what several jobs share is one part, pickled once.

    Attributes
    ----------
    parts : list of bytes
    shared : set of int
        Numbers of the parts that more than one job needs, worth keeping in a worker process.
    calls : list of Call
        One per job.
    """

    def __init__(self, worker: Callable, configs: list, labels: list[str]):
        self.parts, self.calls = [], []
        self._numbers, self._held = {}, []
        try:
            function, of_worker = self._pack(worker)
        except Exception as error:
            raise ValueError(
                f"worker {worker!r:.80} cannot be sent to a process: {describe(error)}"
            ) from error
        packed = {}
        for job, (config, label) in enumerate(zip(configs, labels, strict=True)):
            if id(config) not in packed:
                try:
                    packed[id(config)] = self._pack_config(config, worker, function, of_worker)
                except Exception as error:
                    raise ValueError(
                        f"job {job}: {self._blame(config)} cannot be sent: {describe(error)}"
                    ) from error
            self.calls.append(Call(job, label, packed[id(config)]))
        uses = Counter(number for call in self.calls for number in set(call.parts))
        self.shared = {number for number, count in uses.items() if count > 1}

    def _blame(self, config):
        """Name the value of a config that cannot be pickled, or the config."""
        for key, value in config.items() if isinstance(config, dict) else ():
            try:
                self._pack(value)
            except Exception:
                return f"{key!r} in its config"
        return "its config"

    def _pack_config(self, config, worker, function, of_worker):
        """Add the parts of a config; return the numbers of all parts that its job needs."""
        (number, *inner), of_config = self._pack(config)
        if of_worker.isdisjoint(of_config) or len(self.parts[function[0]]) > LARGE:
            return [function[0], number, *function[1:], *inner]
        self.parts.pop()  # functions of one script share its variables only if sent together
        (number, *inner), _ = self._pack((worker, config))
        return [number, number, *inner]

    def _pack(self, value):
        """Add a part for `value` and for the large objects in it.

        Return their numbers, and those of the scripts whose variables its functions read.
        """
        buffer, inner = io.BytesIO(), []
        pickler = JobPickler(buffer)
        pickler.take_out = lambda large: self._take_out(large, inner)
        pickler.dump(value)
        self.parts.append(buffer.getvalue())
        return [len(self.parts) - 1, *inner], pickler.globals_ref.keys()

    def _take_out(self, large, inner):
        if id(large) not in self._numbers:
            self._held.append(large)  # or another object might get its id
            self._numbers[id(large)] = len(self.parts)
            self.parts.append(pickle.dumps(large, protocol=5))
        number = self._numbers[id(large)]
        inner.append(number)
        return number


def unpack_job(call: Call, parts: dict[int, bytes]) -> list:
    """Return the worker function and the config of a job."""
    values, loaded, made = [], {}, {}
    for number in dict.fromkeys(call.parts[:2]):
        unpickler = JobUnpickler(parts[number], made)
        unpickler.parts, unpickler.loaded = parts, loaded
        values.append(unpickler.load())
    know_classes(made)
    return values if len(values) == 2 else [*values[0]]


# Running ------------------------------------------------------------------------------


@dataclass
class Answer:
    """What comes back of a job: its pickled result or exception, and where and when it ran."""

    content: bytes
    text: str | None  # the exception in one line, None if the job did not fail
    trace: str
    worker: tuple[str, int, int]  # host, process, thread
    start: float
    stop: float
    reusable: bool = True  # whether the worker process can take another job


def run_job(
    call: Call,
    parts: dict[int, bytes],
    root: str | None,
    versions: dict[str, str] | None = None,
    held_by: int | None = None,
) -> Answer:
    """Run one job in a worker process; whatever it does comes back in the answer.

    `root` is the folder for private files. `versions` are those of the caller, to be compared,
    and `held_by` is the caller's process if the thread that called holds the engine there.
    """
    root = root if root is not None and os.access(root, os.W_OK) else None  # another machine
    worker = platform.node(), os.getpid(), threading.get_ident()
    text, trace = None, ""
    if held_by == os.getpid():  # waiting for that thread would never end
        start = time.time()
        content, text = _pack_error(RuntimeError(f"{call.label}: {ANOTHER_IS_OPEN}"))
        return Answer(content, text, "", worker, start, start)
    with Engine.lock:  # threads take turns, and their waiting is no part of a job
        start, clock = time.time(), time.perf_counter()
        Place.job = call.label
        try:
            compare_versions(versions)
            function, config = unpack_job(call, parts)
            with hold_engine(PrivateFiles(root)):
                result = function(config)
            content = _pack_result(result)
        except BaseException as error:  # SystemExit and KeyboardInterrupt concern this job alone
            content, text = _pack_error(error)
            with suppress(Exception, SystemExit, GeneratorExit):
                trace = traceback.format_exc()
        finally:
            Place.job = ""
        stop = start + time.perf_counter() - clock
    return Answer(content, text, trace, worker, start, stop)


def _pack_result(result):
    try:
        return cloudpickle.dumps(result)
    except Exception as error:
        add_note(error, "the job has run, but its result cannot be sent back")
        raise


def _pack_error(error):
    """Return an exception as bytes that can be unpickled anywhere, and as one line of text."""
    try:
        content = cloudpickle.dumps(error)
        if isinstance(KnownClasses(content).load(), BaseException):
            return content, describe(error)
    except BaseException:  # a class that wants two arguments, or worse
        pass
    error = RuntimeError(describe(error))
    return cloudpickle.dumps(error), describe(error)


def unpack_answer(answer: Answer, label: str) -> tuple[Any, str | None]:
    """Return a job's result and None, or its exception and the text of that."""
    try:
        result, text = KnownClasses(answer.content).load(), answer.text
    except (Exception, SystemExit, GeneratorExit) as error:
        result = RuntimeError(f"{label}: its result cannot be unpickled here: {describe(error)}")
        text = describe(result)
    if answer.trace:
        with suppress(Exception):
            BaseException.add_note(result, f"In the worker process:\n{answer.trace}")
    return result, text


# The versions that scores depend on ---------------------------------------------------


@functools.cache
def read_versions() -> dict[str, str]:
    """Return the versions of all that the last digits of a score depend on."""
    from importlib.metadata import version  # here, because worker processes start without it

    from swmm.toolkit import solver

    engine = solver.swmm_get_version()  # 52004 is version 5.2.4
    packages = ("pystorms", "pyswmm", "swmm-toolkit", "numpy")
    return {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "SWMM engine": f"{engine // 10000}.{engine // 1000 % 10}.{engine % 1000}",
        **{package: version(package) for package in packages},
    }


def compare_versions(wanted: dict[str, str] | None) -> None:
    """Refuse a job whose score may differ from the caller's in the last digits."""
    if wanted is None or wanted == read_versions():
        return
    here = read_versions().items()
    changes = [f"{name} {one}, not {wanted[name]}" for name, one in here if one != wanted[name]]
    raise RuntimeError(
        f"this worker process has {', '.join(changes)}, and scores may differ: install the "
        "caller's versions where the executor's workers run"
    )
