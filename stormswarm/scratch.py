"""Which files does a swarm write, and who removes them?

Everything is written below one folder for each call, which the caller makes and removes. The
caller holds a lock on a file in it for as long as it lives, so that a later swarm can tell what
was left behind when everything was killed at once.
"""

import atexit
import functools
import os
import shutil
import signal
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

PREFIX = "stormswarm-"
_LOCK = "caller.lock"
_roots = {}  # folder -> the open lock file


def make_root() -> str:
    """Make the folder of one call and lock it; return its path."""
    import portalocker  # here, because worker processes start without it

    _remove_orphans()
    root = tempfile.mkdtemp(prefix=PREFIX)
    lock = open(os.path.join(root, _LOCK), "wb")  # noqa: SIM115, closed by remove_root
    _roots[root] = lock
    portalocker.lock(lock, portalocker.LOCK_EX | portalocker.LOCK_NB)
    lock.write(b"locked")  # an empty file may be about to be locked, and is left alone
    lock.flush()
    return root


def remove_root(root: str) -> None:
    """Remove the folder of a call with all that is in it."""
    lock = _roots.get(root)
    if lock is not None:
        lock.close()
    shutil.rmtree(root, ignore_errors=True)
    _roots.pop(root, None)  # last, so that the exit handler completes what was interrupted


@atexit.register
def _remove_roots():
    if _roots:
        with suppress(ValueError):  # another thread than the main one cannot set it
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # or the next Ctrl-C would leave them
    for root in [*_roots]:
        remove_root(root)


@functools.cache
def _remove_orphans():
    """Remove, once in a process, folders whose caller was killed together with its workers."""
    import portalocker

    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError, portalocker.LockException):
            if (folder / _LOCK).stat().st_size:
                with open(folder / _LOCK, "rb+") as lock:
                    portalocker.lock(lock, portalocker.LOCK_EX | portalocker.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)


def finish(cleanup, *arguments) -> None:
    """Call `cleanup` so that it ends although Ctrl-C is pressed again meanwhile."""
    thread = threading.Thread(target=cleanup, args=arguments)
    thread.start()
    thread.join()


if hasattr(os, "register_at_fork"):  # a forked process neither owns nor removes the folders
    os.register_at_fork(after_in_child=_roots.clear)
