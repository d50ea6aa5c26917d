"""When are two jobs the same? Data counts by value, and a user's own code by what it says."""

import copyreg
import dis
import functools
import hashlib
import re
import sys
import sysconfig
import types
from importlib.machinery import PathFinder
from importlib.util import resolve_name
from itertools import accumulate
from pathlib import Path

PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...))
READS_A_GLOBAL = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
IMPORTERS = {"import_module", "__import__", "run_module", "resolve_name"}
MODULE_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*").fullmatch
BY_PYTHON = re.compile(
    "__(dict|weakref|module|qualname|slotnames|annotations_cache|firstlineno|static_attributes)__"
    "|_abc_.*"
).fullmatch
THIS_PACKAGE = ("stormswarm", "stormswarm_utils")


def fingerprint(*values):
    """Return a text that is the same for what computes the same, in any Python process.

    Data counts by value. A function of the user's own counts by its instructions, constants,
    defaults and closure, and by the globals that it reads; a class by its members, bases and
    metaclass. A module of the user's own counts by its code, with every own module that it
    imports: also if the import stands inside a function, or is `importlib.import_module` with the
    name written out. File names, line numbers and comments do not count. What is installed
    (Python, its packages and this one) counts by name.

    Some changes cannot be seen:

    - the content of files and of environment variables that the code reads;
    - functions, modules and attributes whose names are computed at run time, and what `exec` and
      `eval` are given as text;
    - installed code that was changed in place or patched, and compiled libraries that are loaded
      through `ctypes`;
    - a module that was edited after its import, for functions and classes that the caller took
      from it by name: these count as they were imported;
    - the order of the members of a class.

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
    for name, code in sorted(read_modules(walk.modules, walk.words).items()):
        walk.put("module", name, code)
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
        for text in texts:
            data = text if isinstance(text, bytes) else str(text).encode("utf-8", "surrogatepass")
            self.hash.update(b"%d:" % len(data))
            self.hash.update(data)

    def add(self, value):
        kind = type(value)
        if kind in PLAIN:
            plain = value if kind is bytes else hex(value) if kind is int else repr(value)
            self.put(kind.__name__, plain)
        elif kind is tuple:
            self.put("tuple", len(value))
            for one in value:
                self.add(one)
        elif kind is types.CodeType:
            self.put("code", read_code(value)[0])
        elif not isinstance(value, types.ModuleType) and is_installed(value):
            self.put("name", value.__module__, value.__qualname__)
            self.words.add(value.__qualname__)
        elif id(value) in self.met:
            self.put("again", self.met[id(value)][0])
        else:
            self.number += 1
            self.met[id(value)] = self.number, value
            self.add_parts(value)
            if kind.__hash__ not in (None, object.__hash__):  # equal ones are one and the same
                del self.met[id(value)]

    def add_parts(self, value):
        kind = type(value)
        self.put("object")
        self.add(kind)
        if kind in (list, dict, types.MappingProxyType):
            self.add(tuple(value if kind is list else value.items()))
        elif isinstance(value, set | frozenset):
            self.put(*sorted(map(self.hash_alone, value)))
            self.add(object.__getstate__(value))
        elif isinstance(value, types.ModuleType):
            self.add_module(value)
        elif isinstance(value, types.FunctionType):
            self.add_function(value)
        elif isinstance(value, type):
            members = [(key, one) for key, one in vars(value).items() if not is_by_python(key, one)]
            self.add(
                (value.__qualname__, value.__bases__, *sorted(members, key=lambda one: one[0]))
            )
        elif kind is types.MethodType:
            self.add((value.__func__, value.__self__))
        elif kind in (staticmethod, classmethod):
            self.add(value.__func__)
        elif kind is property:
            self.add((value.fget, value.fset, value.fdel, value.__doc__))
        elif kind is functools.cached_property:
            self.add(value.func)
        elif kind is types.GetSetDescriptorType:
            self.put(value.__name__)
        else:
            self.add_reduced(value)

    def hash_alone(self, value):
        """Return the digest of one element of a set, whatever stands before it."""
        before, met, number = self.hash, len(self.met), self.number
        self.hash = hashlib.sha256()
        self.add(value)
        digest, self.hash, self.number = self.hash.hexdigest(), before, number
        while len(self.met) > met:
            self.met.popitem()
        return digest

    def add_module(self, module):
        self.put(module.__name__)
        self.modules.add(module.__name__)
        if module.__name__ != "__main__" and not (
            vars(module).get("__spec__") or any(find_places(module))
        ):  # made by hand
            self.add({key: one for key, one in vars(module).items() if not key.startswith("__")})

    def add_function(self, function):
        _, names, imports, words = read_code(function.__code__)
        known, attributes = function.__globals__, vars(function)
        package = known.get("__package__") or ""
        self.modules |= resolve_names(imports, package)
        self.words |= words
        if words & IMPORTERS and package:
            self.modules.add(package)
        if known is vars(functools):  # made by singledispatch, with a cache in its closure
            attributes = {key: attributes.get(key) for key in ("__wrapped__", "registry")}
            names, cells = (), ()
        else:
            cells = tuple(map(read_cell, function.__closure__ or ()))
        self.add((function.__name__, function.__doc__, function.__code__, attributes))
        self.add((function.__defaults__, function.__kwdefaults__, read_annotations(function)))
        self.add((cells, tuple((name, known[name]) for name in sorted(names) if name in known)))

    def add_reduced(self, value):
        reduce = copyreg.dispatch_table.get(type(value))
        parts = value.__reduce_ex__(4) if reduce is None else reduce(value)
        if isinstance(parts, str):  # the name of a global, which says nothing of its content
            module, state = str(getattr(value, "__module__", None)), object.__getstate__(value)
            if state is None and is_installed(type(value)) and not any(find_own(module)):
                raise TypeError(f"{value!r:.60} has no content that can be read")
            if state is None:
                self.modules.add(module)
            elif isinstance(state, dict):
                state = {key: one for key, one in state.items() if key != "__module__"}
            self.add((parts, state))
        else:
            self.add(tuple(tuple(part) if hasattr(part, "__next__") else part for part in parts))


def is_by_python(name, member):
    """Return whether Python adds a member to a class, perhaps when it is first asked for."""
    if name == "__annotations__":
        return not member
    return isinstance(member, types.MemberDescriptorType) or BY_PYTHON(name)


def read_cell(cell):
    try:
        return cell.cell_contents
    except ValueError:
        return "a variable without a value yet"


def read_annotations(function):
    try:
        return function.__annotations__
    except Exception:  # from Python 3.14 they are computed here, and may name what is not there
        return None


@functools.cache
def read_code(code):
    """Return a code's digest, the globals it reads, the modules it imports, and all its words."""
    walk, names, imports, words = Walk(), set(), set(), set(code.co_names)
    instructions = [one for one in dis.get_instructions(code) if one.opname != "EXTENDED_ARG"]
    for number, one in enumerate(instructions):
        if one.opname in READS_A_GLOBAL:
            names.add(one.argval)
        elif one.opname == "IMPORT_NAME":  # two instructions before, the level is loaded
            imports.add("." * instructions[number - 2].argval + one.argval)
    constants = list(code.co_consts)
    for constant in constants:
        if isinstance(constant, tuple | frozenset):
            constants.extend(constant)
        elif isinstance(constant, str):
            words.add(constant)
        elif isinstance(constant, types.CodeType):
            _, inner_names, inner_imports, inner_words = read_code(constant)
            names |= inner_names
            imports |= inner_imports
            words |= inner_words
    walk.put(code.co_code, code.co_exceptiontable, code.co_flags, code.co_argcount)
    walk.put(code.co_posonlyargcount, code.co_kwonlyargcount)
    walk.add((code.co_names, code.co_varnames, code.co_cellvars, code.co_freevars, code.co_consts))
    return walk.hash.hexdigest(), names, imports, words


def resolve_names(imports, package):
    """Return the full names of modules and of the packages that they are in."""
    names = set()
    for name in imports:
        try:
            parts = resolve_name(name, package).split(".")
        except ImportError:  # beyond the top of the package: Python will say so
            continue
        names.update(accumulate(parts, "{}.{}".format))
    return names


def read_modules(names, words):
    """Return name -> digest of the user's own modules among the names and of all they import."""
    digests, packages, read = {}, {}, set()
    names, words = set(names), set(words)
    while True:
        if words & IMPORTERS:
            words |= {word.lstrip(".") for word in words}
            names |= resolve_names(filter(MODULE_NAME, words), "")
        for name, folders in packages.items():
            entries = {path.name for folder in folders for path in Path(folder).glob("*")}
            inside = {entry.partition(".")[0] for entry in entries}
            names |= {f"{name}.{word}" for word in words & inside}
        waiting = names - read
        if not waiting:
            return digests
        read |= waiting
        for name in waiting:
            file, folders = find_own(name)
            if folders:
                packages[name] = folders
            if file is not None:
                digests[name], _, imports, more = read_source(Path(file).read_bytes())
                names |= resolve_names(imports, name if folders else name.rpartition(".")[0])
                words |= more


@functools.lru_cache(maxsize=1000)
def read_source(source):
    try:
        return read_code(compile(source, "", "exec", dont_inherit=True))
    except (SyntaxError, ValueError):  # a compiled extension
        return hashlib.sha256(source).hexdigest(), set(), set(), set()


def find_own(name):
    """Return the file and the folders of a module of the user's own, without importing it."""
    module = sys.modules.get(name)
    if module is not None:
        file, folders = find_places(module)
    else:
        parent, _, last = name.rpartition(".")
        within = find_own(parent)[1] if parent else None
        spec = None if within == [] else PathFinder.find_spec(last, within)
        if spec is None:
            return None, []
        file = spec.origin if spec.has_location else None
        folders = list(spec.submodule_search_locations or ())
    if name.partition(".")[0] in THIS_PACKAGE or any(map(is_installed_file, [file, *folders])):
        return None, []
    return file, folders


def find_places(module):
    known = getattr(module, "__dict__", {})  # not by getattr, which may call code of the module's
    return known.get("__file__"), list(known.get("__path__") or ())


def is_installed(value):
    """Return whether a value can be imported by name from installed code."""
    if not isinstance(value, type) and hasattr(type(value), "__getattr__"):
        return False
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if isinstance(value, type) and module == "builtins":  # not all of them have names there
        return True
    if not isinstance(module, str) or not isinstance(name, str) or not is_installed_module(module):
        return False
    found = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is value


def is_installed_module(name):
    module, top = sys.modules.get(name), name.partition(".")[0]
    if module is None or top in ("__main__", *THIS_PACKAGE):
        return module is not None and top != "__main__"
    file, folders = find_places(module)
    if file or folders:
        return any(map(is_installed_file, [file, *folders]))
    return getattr(module, "__spec__", None) is not None or name != top and is_installed_module(top)


@functools.cache
def is_installed_file(file):
    path = Path(file or "")
    libraries = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib")]
    return bool({"site-packages", "dist-packages"} & set(path.parts)) or any(
        map(path.is_relative_to, libraries)
    )
