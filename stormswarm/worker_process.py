"""What happens in a worker process between two jobs, and when its caller is gone?"""

import _signal
import importlib
import multiprocessing
import os
import pickle
import shutil
import signal
import sys
import threading
import time
import warnings
from contextlib import suppress
from multiprocessing.connection import Connection

import numpy as np

from stormswarm.engine import Engine
from stormswarm.jobs import run_job
from stormswarm.run import seed_from_system

_LOOK_EVERY = 0.25  # seconds between looks at the caller
_RUNS = 2000  # simulations; the engine loses 1.35 kB of memory in each


def serve(pipe: Connection, root: str) -> None:
    """Run the jobs that come through the pipe, until it is closed or silent for a long time.

    A call of `generate_swarm` begins with its number, its scratch folder, and how many seconds
    of silence are a long time. The worker process answers with that number if it can serve the
    call; it ends if a module of the user's own that it has loaded has changed on disk since. Then
    come jobs, each with those of its pickled parts that this process does not have yet. One message
    may bring several, and more may wait in the pipe; each is answered before the next one begins.
    """
    Caller.root = root  # of the call that has started this process
    end_with_caller()
    with suppress(AttributeError, OSError):  # without a console there is no such stream
        sys.stdout.reconfigure(line_buffering=True)  # so that a killed job's prints are not lost
    state, modules, parts, idle_seconds = ProcessState(), OwnModules(), {}, None
    try:
        while pipe.poll(idle_seconds):
            kind, *message = pickle.loads(pipe.recv_bytes())
            if kind == "call":
                if modules.have_changed():
                    return
                (number, Caller.root, idle_seconds), parts = message, {}
                importlib.invalidate_caches()  # a module may have been written since
                pipe.send_bytes(pickle.dumps(number))
                continue
            for call, new, shared in message:
                own = os.getpid()
                seed_from_system()
                answer = run_job(call, parts | new, Caller.root)
                if os.getpid() != own:  # a job has forked, and the copy came back here
                    os._exit(0)
                parts |= {number: new[number] for number in shared}
                modules.note_new()
                answer.reusable = state.put_back() and Engine.runs < _RUNS
                pipe.send_bytes(pickle.dumps(answer))
                if not answer.reusable:  # another process runs the jobs that came with this one
                    return
    except (EOFError, OSError):  # the caller is gone, or has no use for this process any more
        time.sleep(4 * _LOOK_EVERY)  # if it is gone, the watching thread cleans up


class ProcessState:
    """What a job may change in its process and is put back after it.

    These are the working folder, environment variables, `sys.path`, the standard streams, numpy's
    error state, warnings filters, the recursion limit, signal handlers and timers. What a job
    changes in modules stays, and so do its threads.
    """

    def __init__(self):
        self.streams = sys.stdin, sys.stdout, sys.stderr
        self.folder, self.environment, self.path = os.getcwd(), dict(os.environ), [*sys.path]
        self.encoded = dict(_ENCODED_ENVIRONMENT)
        self.errors, self.filters = np.geterr(), [*warnings.filters]
        self.depth = sys.getrecursionlimit()
        known = {number for number in signal.valid_signals() if number < 32}  # not real-time ones
        self.handlers = {number: _signal.getsignal(number) for number in known}

    def put_back(self) -> bool:
        """Put everything back; return False if that fails, and the process is to be replaced."""
        try:
            sys.stdin, sys.stdout, sys.stderr = self.streams
            for stream in filter(None, self.streams[1:]):
                if stream.closed:
                    return False
                with suppress(OSError):  # nobody reads it any more
                    stream.flush()
            for timer in _TIMERS:
                if signal.getitimer(timer)[0]:
                    signal.setitimer(timer, 0)
            for number, handler in self.handlers.items():
                if _signal.getsignal(number) != handler:
                    signal.signal(number, handler)
            if self.encoded != _ENCODED_ENVIRONMENT:
                os.environ.clear()
                os.environ.update(self.environment)
            if sys.path != self.path:
                sys.path[:] = self.path
            if os.getcwd() != self.folder:
                os.chdir(self.folder)
            if warnings.filters != self.filters:
                warnings.resetwarnings()
                warnings.filters[:] = self.filters
            np.seterr(**self.errors)
            sys.setrecursionlimit(self.depth)
        except Exception:
            return False
        return True


# Comparing the variables as text would decode each of them after each job, and `signal.getsignal`
# would look for each handler among the members of an enum; `_signal` is the module behind it.
_ENCODED_ENVIRONMENT = getattr(os.environ, "_data", os.environ)
_TIMERS = [
    getattr(signal, name)
    for name in ("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF")
    if hasattr(signal, name)
]


class OwnModules:
    """The modules of the user's own that are loaded in this process, and their files' states."""

    def __init__(self):
        self.known, self.states, self.since = set(), {}, time.time_ns()

    def note_new(self) -> None:
        """Note the modules that have been loaded since the last call, and their files' states."""
        if len(sys.modules) != len(self.known):
            for name in sys.modules.keys() - self.known:
                file = getattr(sys.modules[name], "__file__", None)
                if isinstance(file, str) and not is_installed_file(file):
                    state = _read_state(file)
                    if state is None or state[0] >= self.since - 10**8:
                        state = "changed while it was being loaded, perhaps"
                    self.states[file] = state
            self.known = set(sys.modules)
        self.since = time.time_ns()

    def have_changed(self) -> bool:
        """Return whether one of the files has changed since its module was loaded."""
        return any(_read_state(file) != state for file, state in self.states.items())


def _read_state(file):
    with suppress(OSError):
        stat = os.stat(file)
        return stat.st_mtime_ns, stat.st_size
    return None


_PACKAGE = os.path.dirname(os.path.abspath(__file__))
_FACE = os.path.join(os.path.dirname(_PACKAGE), "stormswarm_utils.py")
_FOLDERS = os.path.dirname(os.__file__) + os.sep, _PACKAGE + os.sep


def is_installed_file(file: str) -> bool:
    """Return whether a module's file belongs to Python, to an installed package or to this one."""
    installed = {"site-packages", "dist-packages"}
    return (
        file == _FACE or file.startswith(_FOLDERS) or not installed.isdisjoint(file.split(os.sep))
    )


# The end ------------------------------------------------------------------------------


class Caller:
    """What a worker process knows of the call that it serves."""

    root: str | None = None


def end_with_caller() -> None:
    """See to it that this process ends with its caller, and removes what the caller cannot.

    Ctrl-C is the caller's alone. So that a signal to the caller's group, or its kill, leaves
    somebody to clean up, the process is in a group of its own and outlives such signals for a
    moment.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.name == "posix":
        os.setpgid(0, 0)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _end_after_caller)
    threading.Thread(target=_watch_caller, daemon=True).start()


def _end_after_caller(number, frame):
    time.sleep(3 * _LOOK_EVERY)  # if the caller has ended too, the watching thread cleans up
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _watch_caller():
    caller = multiprocessing.parent_process()
    if os.name == "posix":
        while os.getppid() == caller.pid:
            time.sleep(_LOOK_EVERY)
    else:
        caller.join()
    while Caller.root is not None and os.path.isdir(Caller.root):
        shutil.rmtree(Caller.root, ignore_errors=True)  # again, if another worker writes there
    end_group()


def end_group() -> None:
    """End this process, with those that its jobs have started."""
    with suppress(AttributeError, OSError, ValueError):  # there is none, or it is closed
        sys.stdout.flush()
    if os.name == "posix":
        os.killpg(0, signal.SIGKILL)
    os._exit(0)
