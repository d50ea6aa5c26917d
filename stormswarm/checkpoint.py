"""The checkpoint of a swarm: a file with a JSON line per job that has ended.

`generate_swarm(..., checkpoint=path)` writes it, and finds in it what need not run again. The
first line tells the versions that the results belong to, every other line is a job's record::

    {"job": 3, "name": "half open", "scenario": "gamma", "fingerprint": "5f2c...",
     "seconds": 1.27, "result": 400221923.1344594, "crc32": "0f62c1aa"}

with ``error``, a text, in place of ``result`` if the job failed.
"""

import copyreg
import dis
import functools
import hashlib
import json
import os
import re
import statistics
import sys
import sysconfig
import types
import zlib
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import portalocker

TITLE, FORMAT = "stormswarm checkpoint", 1


class Checkpoint:
    """An open checkpoint file that no other sweep can open meanwhile.

    Parameters
    ----------
    path : str or os.PathLike
        Made if it is not there.
    versions : dict
        Name -> version of all that a score depends on.
    fingerprints : list of str
        One per job of the swarm.

    Attributes
    ----------
    results : dict
        Job -> result, of the jobs that need not run again. A result on file serves one job of
        the same fingerprint: the one of the same index or else, where jobs were put in or taken
        out since, the next that has none.

    Raises
    ------
    ValueError
        The file is in use, is no checkpoint, was written with other versions, or is damaged.
        It is left as it is, but for a last line that was torn off, which is removed.
    OSError
        The file cannot be opened or written.
    """

    def __init__(self, path, versions, fingerprints):
        self.path, self.fingerprints = Path(path), fingerprints
        self._file = open(self.path, "a+b", buffering=0)  # noqa: SIM115, closed by __exit__
        try:
            self._lock()
            records = self._read({TITLE: FORMAT, "versions": versions})
        except BaseException:
            self._file.close()
            raise
        ended = [record for record in records if "result" in record]
        self.results = _match(ended, fingerprints)
        self._seconds = {}
        for record in ended:
            for key in (record["scenario"], (record["scenario"], record["name"])):
                self._seconds.setdefault(key, []).append(record["seconds"])

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._file.close()

    def expected_seconds(self, record):
        """Return how long jobs of this name and scenario took, else of this scenario, or None."""
        scenario = record["scenario"]
        seconds = self._seconds.get((scenario, record["name"]), self._seconds.get(scenario))
        return None if seconds is None else statistics.fmean(seconds)

    def add(self, record, result):
        """Write a job's end to the disk; return the result as a later call will read it.

        Raises
        ------
        TypeError
            JSON cannot hold the result. Nothing is written.
        OSError
            The disk is full, or gone. What the file has of other jobs stays.
        """
        if record["error"] is None and not is_json(result):
            raise TypeError(
                f"its result {result!r:.60} cannot be kept in a checkpoint, which holds numbers, "
                "texts, None, and lists and dicts of these: float(...) makes a number of a NumPy "
                "scalar, .tolist() a list of an array"
            )
        job, start, stop = record["job"], record["start"], record["stop"]
        written = {key: record[key] for key in ("job", "name", "scenario")}
        written["fingerprint"] = self.fingerprints[job]
        written["seconds"] = None if start is None else stop - start
        written |= {"result": result} if record["error"] is None else {"error": record["error"]}
        line = _line(written)
        end = self._file.seek(0, os.SEEK_END)
        try:
            self._write(line)
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(end)
            raise OSError(
                error.errno,
                f"{os.strerror(error.errno)}: job {job} cannot be written to the checkpoint; "
                "what it has of other jobs stays, and the same call goes on from there",
                str(self.path),
            ) from error
        if record["error"] is not None:
            return result
        self.results[job] = _parse(line)["result"]
        return self.results[job]

    def _lock(self):
        try:
            portalocker.lock(self._file, portalocker.LOCK_EX | portalocker.LOCK_NB)
        except portalocker.LockException as error:
            raise ValueError(
                f"checkpoint {self.path}: another sweep is writing to it; wait for that one's "
                "end, or give this one a file of its own"
            ) from error

    def _read(self, header):
        self._file.seek(0)
        content = self._file.read()
        whole, newline, tail = content.rpartition(b"\n")
        if not newline:  # new, or torn off in its first line
            if not _line(header).startswith(content):
                raise ValueError(f"checkpoint {self.path}: this file is no checkpoint of a swarm")
            self._file.truncate(0)
            self._write(_line(header))
            return []
        first, *lines = whole.split(b"\n")
        self._compare(_parse(first), header)
        records = []
        for number, line in enumerate(lines, start=2):
            record = _parse(line)
            if not _is_record(record):
                raise ValueError(
                    f"checkpoint {self.path}, line {number}: damaged, {line[:60]!r}; without the "
                    "line, its job is run again"
                )
            records.append(record)
        last = _parse(tail)
        if _is_record(last):
            records.append(last)
            self._write(b"\n")
        elif tail:
            self._file.truncate(len(content) - len(tail))
        return records

    def _compare(self, found, wanted):
        if not isinstance(found, dict) or found.keys() != wanted.keys():
            raise ValueError(f"checkpoint {self.path}: this file is no checkpoint of a swarm")
        if found == wanted:
            return
        old, new = [one["versions"] | {"format": one[TITLE]} for one in (found, wanted)]
        changes = [
            f"{name} {old.get(name, 'unknown')}, here {new.get(name, 'unknown')}"
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        ]
        raise ValueError(
            f"checkpoint {self.path}: written with {'; '.join(changes)}. Scores may differ, so "
            "results of both are not mixed: go on with those versions, or begin a new file"
        )

    def _write(self, line):
        rest = memoryview(line)
        while rest:
            rest = rest[self._file.write(rest) :]
        os.fsync(self._file.fileno())


def _match(records, fingerprints):
    by_index = {(record["job"], record["fingerprint"]): record["result"] for record in records}
    results, spare = {}, defaultdict(list)
    for job in enumerate(fingerprints):
        if job in by_index:
            results[job[0]] = by_index.pop(job)
    for (_, fingerprint), result in sorted(by_index.items(), key=lambda item: item[0]):
        spare[fingerprint].append(result)
    for job, fingerprint in enumerate(fingerprints):
        if job not in results and spare[fingerprint]:
            results[job] = spare[fingerprint].pop(0)
    return results


def _line(record):
    body = json.dumps(record)
    return f'{body[:-1]}, "crc32": "{zlib.crc32(body.encode()):08x}"}}\n'.encode()


def _parse(line):
    """Return what a line holds, or None if it is not, byte for byte, what was written."""
    match = re.fullmatch(rb'(\{.*), "crc32": "([0-9a-f]{8})"\}\n?', line)
    if match is None or zlib.crc32(match[1] + b"}") != int(match[2], 16):
        return None
    with suppress(ValueError, RecursionError):
        return json.loads(match[1] + b"}")
    return None


def _is_record(record):
    keys = {"job", "name", "scenario", "fingerprint", "seconds"}
    return isinstance(record, dict) and record.keys() in (keys | {"result"}, keys | {"error"})


def is_json(value):
    """Return whether JSON gives the value back as it was, lists in place of tuples apart."""
    try:
        if isinstance(value, dict):
            return all(isinstance(key, str) and is_json(one) for key, one in value.items())
        if isinstance(value, list | tuple):
            return all(map(is_json, value))
    except RecursionError:  # a list that holds itself
        return False
    return value is None or isinstance(value, bool | int | float | str)


# What was run ------------------------------------------------------------------------


def fingerprint(*values):
    """Return a text that is the same for what computes the same, in any Python process.

    Data counts by value. A function of one's own counts by its instructions, constants,
    defaults and closure, and by the globals that it reads; a class of one's own by its members.
    File names, line numbers and comments do not count. A module of one's own that is used as
    ``module.name`` counts by the text of its file. What was installed counts by name. Not seen
    are files that are read, and modules that only other modules use.

    Raises
    ------
    TypeError
        Something among the values, a lock or an open file, has no content that can be read.
    """
    walk = _Walk()
    walk.add(values)
    return walk.hash.hexdigest()


class _Walk:
    """Feeds the content of nested values to a hash, the same in every process."""

    def __init__(self):
        self.hash = hashlib.sha256()
        self.named = {}  # id of a function or class -> its number and itself
        self.path = []  # ids of the containers that the walk is in

    def put(self, *texts):
        for text in texts:
            data = text if isinstance(text, bytes) else str(text).encode("utf-8", "surrogatepass")
            self.hash.update(b"%d:" % len(data) + data)

    def add(self, value):
        if isinstance(value, bytes):
            self.put("bytes", value)
        elif value is None or type(value) in (bool, int, float, complex, str, type(...)):
            self.put(type(value).__name__, repr(value))
        elif isinstance(value, types.ModuleType):
            self.put("module", value.__name__)
            file = getattr(value, "__file__", None)
            if file and value.__name__ in sys.modules and not _is_package(value.__name__):
                self.put(Path(file).read_bytes())
        elif _is_installed(value):
            self.put("name", value.__module__, value.__qualname__)
        elif isinstance(value, types.FunctionType | type):
            self.add_named(value)
        elif id(value) in self.path:
            self.put("back", len(self.path) - self.path.index(id(value)))
        else:
            self.path.append(id(value))
            self.add_container(value)
            self.path.pop()

    def add_named(self, value):
        if id(value) in self.named:
            self.put("again", self.named[id(value)][0])
            return
        self.named[id(value)] = len(self.named), value
        if isinstance(value, type):
            members = {key: one for key, one in vars(value).items() if not _BY_PYTHON(key)}
            self.put("class", value.__qualname__)
            self.add([*value.__bases__, *sorted(members.items())])
            return
        cells = [_content(cell) for cell in value.__closure__ or ()]
        names = _global_names(value.__code__)
        used = {name: value.__globals__[name] for name in names if name in value.__globals__}
        self.put("function")
        self.add([value.__code__, value.__defaults__, value.__kwdefaults__, cells, used])
        self.add(vars(value))

    def add_container(self, value):
        kind = type(value)
        self.put(kind.__name__)
        if kind in (list, tuple):
            self.put(len(value))
            for one in value:
                self.add(one)
        elif kind in (set, frozenset):
            self.put(*sorted(fingerprint(one) for one in value))
        elif kind is dict:
            self.add([*value.items()])
        elif kind is types.CodeType:
            self.put(value.co_code, value.co_exceptiontable, value.co_flags)
            self.put(value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount)
            self.add([value.co_names, value.co_varnames, value.co_freevars, value.co_consts])
        elif kind in (staticmethod, classmethod):
            self.add(value.__func__)
        elif kind is property:
            self.add([value.fget, value.fset, value.fdel])
        elif kind in (types.MemberDescriptorType, types.GetSetDescriptorType):
            self.put(value.__name__)
        else:
            self.add_reduced(value)

    def add_reduced(self, value):
        reduce = copyreg.dispatch_table.get(type(value))
        parts = value.__reduce_ex__(4) if reduce is None else reduce(value)
        if isinstance(parts, str):
            self.put("global", parts)
            return
        function, arguments, state, items, pairs, *_ = (*parts, None, None, None, None)
        self.add([function, arguments, state, [*(items or ())], [*(pairs or ())]])


def _content(cell):
    try:
        return cell.cell_contents
    except ValueError:
        return "a variable without a value yet"


# Members that Python and dataclasses add to a class, which say nothing new
_BY_PYTHON = re.compile(
    "__(dict|weakref|module|doc|annotations|annotate_func|annotations_cache|firstlineno"
    "|static_attributes|dataclass_.*|match_args|qualname)__|_abc_.*"
).fullmatch


@functools.cache
def _global_names(code):
    names = {
        instruction.argval
        for instruction in dis.get_instructions(code)
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    inner = (one for one in code.co_consts if isinstance(one, types.CodeType))
    return sorted(names.union(*map(_global_names, inner)))


def _is_installed(value):
    """Return whether a value can be imported by name from a package, not from one's own code."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if isinstance(value, type) and module == "builtins":  # not all of them have names there
        return True
    if not isinstance(module, str) or not isinstance(name, str) or module not in sys.modules:
        return False
    if not _is_package(module):
        return False
    found = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is value


@functools.cache
def _is_package(module):
    if module in ("stormswarm_utils", "stormswarm_checkpoint", __name__) or module.startswith(
        "stormswarm."
    ):
        return True
    if module == "__main__":
        return False
    file = getattr(sys.modules[module], "__file__", None)
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return file is None or any(Path(file).is_relative_to(path) for path in paths)
