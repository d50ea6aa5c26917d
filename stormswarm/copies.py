"""How does an object reach a job and come back, without a change in the classes of the notebook?

cloudpickle sends a class of a script or notebook by value, under a number. Where a class of this
number exists already, cloudpickle would write the members that were sent into it. From then on its
methods would not see any more what the user changes in the notebook.
"""

import functools
import io
import pickle
import weakref
from contextlib import suppress
from enum import Enum
from typing import Any

import cloudpickle
import numpy as np
from cloudpickle import cloudpickle as _by_value

_NUMBERS = _by_value._DYNAMIC_CLASS_TRACKER_BY_CLASS  # class -> number
_CLASSES = _by_value._DYNAMIC_CLASS_TRACKER_BY_ID  # number -> class
_of_jobs = weakref.WeakSet()
LARGE = 2**16  # bytes: an object of this size is pickled on its own, once for all its jobs

# Classes ------------------------------------------------------------------------------


class NewClasses(pickle.Unpickler):
    """Makes the classes that were sent by value anew, for one job or one run."""

    def __init__(self, content: bytes, made: dict):
        super().__init__(io.BytesIO(content))
        self.made = made  # number -> class

    def find_class(self, module: str, name: str) -> Any:
        """Find what is to be called; classes are made here."""
        found = super().find_class(module, name)
        return functools.partial(self._make, found) if _makes_a_class(found) else found

    def _make(self, make, *arguments):
        *what, number, extra = arguments
        if number not in self.made:
            self.made[number] = make(*what, None, extra)
            _NUMBERS[self.made[number]] = number  # so that instances can be sent back
        return self.made[number]


def know_classes(made: dict) -> None:
    """Let what a job gets back from a swarm of its own have the classes of this job."""
    for number, one in made.items():
        known = _CLASSES.get(number)
        if known is None or known in _of_jobs:
            _CLASSES[number] = one
        _of_jobs.add(one)


def _makes_a_class(found):
    return found is _by_value._make_skeleton_class or found is _by_value._make_skeleton_enum


class KnownClasses(pickle.Unpickler):
    """Leaves the classes that exist in this process as they are."""

    def __init__(self, content: bytes):
        super().__init__(io.BytesIO(content))
        self.known = set()

    def find_class(self, module: str, name: str) -> Any:
        """Find what is to be called; classes are found or made here."""
        found = super().find_class(module, name)
        if _makes_a_class(found):
            return functools.partial(self._find, found)
        return self._set_state if found is _by_value._class_setstate else found

    def _find(self, make, *arguments):
        found = _CLASSES.get(arguments[-2])
        if found is None:
            return make(*arguments)
        self.known.add(id(found))
        return found

    def _set_state(self, one, state):
        return one if id(one) in self.known else _by_value._class_setstate(one, state)


# Pickling -----------------------------------------------------------------------------


class _Pickler(cloudpickle.Pickler):
    """Sends a cached function of a script or notebook by value, as other functions are."""

    def reducer_override(self, value):
        if type(value) is _Cached:
            local = "<locals>" in getattr(value, "__qualname__", "")
            if local or value.__module__ == "__main__":
                return _cache, (value.__wrapped__, value.cache_parameters())
        return super().reducer_override(value)


_Cached = type(functools.cache(len))


def _cache(function, parameters):
    return functools.lru_cache(**parameters)(function)


class JobPickler(_Pickler):
    """Takes large arrays and texts out."""

    def persistent_id(self, value: Any) -> int | None:
        """Return the number of a large object, None for anything else."""
        kind = type(value)
        if kind is np.ndarray:
            if value.nbytes >= LARGE and not value.dtype.hasobject:
                return self.take_out(value)
        elif (kind is bytes or kind is str) and len(value) >= LARGE:
            return self.take_out(value)
        return None


class JobUnpickler(NewClasses):
    """Puts large objects back, a fresh copy for each job."""

    def persistent_load(self, number: int) -> Any:
        """Return the large object of a number."""
        if number not in self.loaded:
            self.loaded[number] = pickle.loads(self.parts[number])
        return self.loaded[number]


class _ClassFinder(_Pickler):
    def reducer_override(self, value):
        if isinstance(value, type):
            self.found.add(id(value))
        return super().reducer_override(value)


class _CopyPickler(_Pickler):
    def reducer_override(self, value):
        if isinstance(value, type) and (
            id(value) in self.shared or issubclass(value, BaseException | Enum)
        ):
            self.kept.append(value)
            return _take_kept, (len(self.kept) - 1,)
        return super().reducer_override(value)


def _take_kept(number):
    """Stand for `_CopyUnpickler.kept` in what is pickled."""


class _CopyUnpickler(NewClasses):
    def find_class(self, module, name):
        found = super().find_class(module, name)
        return self.kept.__getitem__ if found is _take_kept else found


def copy_afresh(value: Any, *beside: Any) -> Any:
    """Copy an object as a worker process would, so that serial and parallel runs agree.

    The classes that it shares with the objects `beside` are not copied, because these are not.
    Exceptions keep their classes, so that the caller can catch them. Enums are not copied either,
    so that the caller can compare their members with `is`.
    """
    finder, shared = _ClassFinder(io.BytesIO()), set()
    finder.found = shared
    with suppress(Exception):  # what cannot be pickled shares what was found so far
        finder.dump(beside)
    buffer, kept = io.BytesIO(), []
    pickler = _CopyPickler(buffer)
    pickler.kept, pickler.shared = kept, shared
    pickler.dump(value)
    unpickler = _CopyUnpickler(buffer.getvalue(), {})
    unpickler.kept = kept
    return unpickler.load()
