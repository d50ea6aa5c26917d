"""Which code is the user's own, and which modules does it import? See `read_modules`."""

import dis
import functools
import re
import sys
import sysconfig
from importlib.machinery import PathFinder
from importlib.util import resolve_name
from itertools import accumulate
from pathlib import Path
from types import CodeType

READS_A_GLOBAL = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
IMPORTERS = {"import_module", "__import__", "run_module", "resolve_name"}
MODULE_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*").fullmatch
THIS_PACKAGE = ("stormswarm", "stormswarm_utils")


@functools.cache
def read_code(code):
    """Return the globals that code reads, the modules that it imports, and all its words."""
    names, imports, words = set(), set(), set(code.co_names)
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
        elif isinstance(constant, CodeType):
            for known, more in zip((names, imports, words), read_code(constant), strict=True):
                known |= more
    return names, imports, words


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
    """Return the content of the user's own modules, by name.

    These are the modules among the names, all that they import, and the submodules of their
    packages that the code mentions: its names and texts are the words. The content is code or,
    for a compiled extension, bytes.
    """
    contents, packages, read = {}, {}, set()
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
            return contents
        read |= waiting
        for name in waiting:
            file, folders = find_own(name)
            if folders:
                packages[name] = folders
            if file is not None:
                contents[name] = compile_source(Path(file).read_bytes())
                if isinstance(contents[name], CodeType):
                    _, imports, more = read_code(contents[name])
                    names |= resolve_names(imports, name if folders else name.rpartition(".")[0])
                    words |= more


@functools.lru_cache(maxsize=1000)
def compile_source(source):
    """Return the code of a module's text or, if it is no text, the bytes as they are."""
    try:
        return compile(source, "", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return source


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
    if name.partition(".")[0] in THIS_PACKAGE or any(map(_is_installed_file, [file, *folders])):
        return None, []
    return file, folders


def find_places(module):
    """Return the file of a module and the folders of a package."""
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
    """Return whether a module that is loaded is installed code."""
    module, top = sys.modules.get(name), name.partition(".")[0]
    if module is None or top in ("__main__", *THIS_PACKAGE):
        return module is not None and top != "__main__"
    file, folders = find_places(module)
    if file or folders:
        return any(map(_is_installed_file, [file, *folders]))
    return getattr(module, "__spec__", None) is not None or (
        name != top and is_installed_module(top)
    )


@functools.cache
def _is_installed_file(file):
    path = Path(file or "")
    libraries = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib")]
    return bool({"site-packages", "dist-packages"} & set(path.parts)) or any(
        map(path.is_relative_to, libraries)
    )
