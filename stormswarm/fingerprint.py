"""When are two jobs the same? Data counts by value, and a user's own code by its content."""

import copyreg
import functools
import hashlib
import random
import re
import sys
import types

import numpy as np

from stormswarm.modules import (
    IMPORTERS,
    find_own,
    find_places,
    is_installed,
    is_installed_module,
    read_code,
    read_modules,
    resolve_names,
)

PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...))
PARTS = {
    property: ("fget", "fset", "fdel", "__doc__"),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    functools.cached_property: ("func",),
    functools.singledispatchmethod: ("dispatcher", "func"),
    types.MethodType: ("__func__", "__self__"),
    types.GetSetDescriptorType: ("__name__",),
}
# Those of random.uniform and numpy.random.uniform, which every process seeds anew
GLOBAL_GENERATORS = random.random.__self__, np.random.random.__self__
BY_PYTHON = re.compile(
    "__(dict|weakref|module|qualname|slotnames|annotations_cache|firstlineno|static_attributes)__"
    "|_abc_.*"
).fullmatch


def fingerprint(*values):
    """Return a text that is equal for values that compute the same, in any Python process.

    Data counts by value. A function of the user's own counts by its instructions, constants,
    defaults and closure, and by the globals that it reads; a class counts by its members, bases and
    metaclass. A module of the user's own counts by its code, together with all of the user's
    modules that it imports, even if the import is inside a function, or is a call of
    `importlib.import_module` with the name written out. File names, line numbers and comments do
    not count. What is installed (Python, its packages and this one) counts by name.

    Some changes cannot be seen:

    - the content of files and of environment variables that the code reads;
    - functions, modules and attributes whose names are computed at run time or come from
      data, and the text that is given to `exec` and `eval`;
    - installed code that was changed in place or patched, compiled extensions that were rebuilt,
      and libraries that are loaded through `ctypes`;
    - edits to a module after its import, as far as functions and classes are concerned that the
      caller imported from it by name: these count as they were imported;
    - the order of the members of a class;
    - a variable of a module that the caller has set after the import. It does not reach the worker
      processes either, because they load the module from its file.

    Parameters
    ----------
    *values : object
        A worker function and its configs, for example.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    TypeError
        Something among the values, a lock or an open file, has no content that can be read.
    """
    walk = Walk()
    walk.add(values)
    for name, content in sorted(read_modules(walk.modules, walk.words).items()):
        walk.add((name, content))
    return walk.hash.hexdigest()


class Walk:
    """Feeds the content of nested values to a hash, and collects the modules that they use."""

    def __init__(self):
        self.hash = hashlib.sha256()
        self.met = {}  # id of an object -> its number and the object, which thus stays alive
        self.number = 0
        self.modules = set()
        self.words = set()

    def put(self, *texts):
        """Feed texts and bytes, each with its length, so that no two lists of them are alike."""
        for text in texts:
            data = text if isinstance(text, bytes) else str(text).encode("utf-8", "surrogatepass")
            self.hash.update(b"%d:" % len(data))
            self.hash.update(data)

    def add(self, value):
        """Feed a value; one that was met before counts as the same one, not as another alike."""
        kind = type(value)
        if kind in PLAIN:
            plain = value if kind is bytes else hex(value) if kind is int else repr(value)
            self.put(kind.__name__, plain)
        elif kind is tuple:
            self.put("tuple", len(value))
            for one in value:
                self.add(one)
        elif kind is types.CodeType:
            self.put("code", hash_code(value))
        elif not isinstance(value, types.ModuleType) and is_installed(value):
            self.put("name", value.__module__, value.__qualname__)
            self.words.add(value.__qualname__)
        elif any(value is one for one in GLOBAL_GENERATORS):
            self.put("global generator", kind.__name__)
        elif id(value) in self.met:
            self.put("again", self.met[id(value)][0])
        else:
            self.number += 1
            self.met[id(value)] = self.number, value
            self._add_parts(value)
            if kind.__hash__ not in (None, object.__hash__):  # equal ones are one and the same
                del self.met[id(value)]

    def _add_parts(self, value):
        kind = type(value)
        self.put("object", kind.__name__)
        if kind in (list, dict, types.MappingProxyType):
            self.add(tuple(value if kind is list else value.items()))
            return
        self.add(kind)
        if isinstance(value, set | frozenset):
            self.put(*sorted(map(self._hash_alone, value)))
            self.add(object.__getstate__(value))
        elif isinstance(value, types.ModuleType):
            self._add_module(value)
        elif isinstance(value, types.FunctionType):
            self._add_function(value)
        elif isinstance(value, type):
            members = [
                (key, one) for key, one in vars(value).items() if not _is_by_python(key, one)
            ]
            self.add(
                (value.__qualname__, value.__bases__, *sorted(members, key=lambda one: one[0]))
            )
        elif kind in PARTS:
            self.add(tuple(getattr(value, name) for name in PARTS[kind]))
        else:
            self._add_reduced(value)

    def _hash_alone(self, value):
        """Return the digest of one element of a set, whatever stands before it."""
        before, met, number = self.hash, len(self.met), self.number
        self.hash = hashlib.sha256()
        self.add(value)
        digest, self.hash, self.number = self.hash.hexdigest(), before, number
        while len(self.met) > met:
            self.met.popitem()
        return digest

    def _add_module(self, module):
        self.put(module.__name__)
        self.modules.add(module.__name__)
        if module.__name__ != "__main__" and not (
            vars(module).get("__spec__") or any(find_places(module))
        ):  # made by hand
            self.add({key: one for key, one in vars(module).items() if not key.startswith("__")})

    def _add_function(self, function):
        names, imports, words = read_code(function.__code__)
        known, attributes = function.__globals__, vars(function)
        package = known.get("__package__") or ""
        if is_installed_module(str(known.get("__name__"))):  # a decorator's wrapper, for example
            names, imports, words = set(), set(), set()
        self.modules |= resolve_names(imports, package)
        self.words |= words
        if words & IMPORTERS and package:
            self.modules.add(package)
        if known is vars(functools):  # made by singledispatch, with a cache in its closure
            attributes = {key: attributes.get(key) for key in ("__wrapped__", "registry")}
            cells = ()
        else:
            cells = tuple(map(_read_cell, function.__closure__ or ()))
        self.add((function.__name__, function.__doc__, function.__code__, attributes))
        self.add((function.__defaults__, function.__kwdefaults__, _read_annotations(function)))
        self.add((cells, tuple((name, known[name]) for name in sorted(names) if name in known)))

    def _add_reduced(self, value):
        reduce = copyreg.dispatch_table.get(type(value))
        parts = value.__reduce_ex__(4) if reduce is None else reduce(value)
        if isinstance(parts, str):  # the name of a global, which says nothing of its content
            module, state = str(getattr(value, "__module__", None)), object.__getstate__(value)
            found = getattr(sys.modules.get(module), parts, None)
            if found is value and is_installed_module(module):  # a sentinel of Python 3.15
                self.add((module, parts))
                return
            if state is None and is_installed(type(value)) and not any(find_own(module)):
                raise TypeError(f"{value!r:.60} has no content that can be read")
            if state is None:
                self.modules.add(module)
            elif isinstance(state, dict):
                state = {key: one for key, one in state.items() if key != "__module__"}
            self.add((parts, state))
        else:
            for part in parts:  # a state, and iterators of items and pairs, belong to the object
                state = part.items() if type(part) is dict else part
                self.add(tuple(state) if part is not state or hasattr(part, "__next__") else part)


def _is_by_python(name, member):
    """Return whether Python adds a member to a class, perhaps when it is first asked for."""
    if name in ("__annotations__", "__annotate_func__"):  # the latter from Python 3.14
        return not member
    return isinstance(member, types.MemberDescriptorType) or BY_PYTHON(name)


def _read_cell(cell):
    try:
        return cell.cell_contents
    except ValueError:
        return "a variable without a value yet"


def _read_annotations(function):
    try:
        return function.__annotations__
    except Exception:  # from Python 3.14 they are computed here, and may name what is not there
        return None


@functools.cache
def hash_code(code):
    """Return the digest of a function's or a module's code, wherever it stands."""
    walk = Walk()
    walk.put(code.co_code, code.co_exceptiontable, code.co_flags, code.co_argcount)
    walk.put(code.co_posonlyargcount, code.co_kwonlyargcount)
    walk.add((code.co_names, code.co_varnames, code.co_cellvars, code.co_freevars, code.co_consts))
    return walk.hash.hexdigest()
