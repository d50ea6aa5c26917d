"""What is in the file of a checkpoint, and is it sound? It has a JSON line for each ended job.

`generate_swarm(..., checkpoint=path)` writes this file, and finds in it which jobs need not run
again. The first line has the versions on which the results depend; every other line is the record
of a job::

    {"job": 3, "name": "half open", "scenario": "gamma", "fingerprint": "5f2c...",
     "seconds": 1.27, "result": 400221923.1344594, "crc32": "0f62c1aa"}

If the job failed, the line has ``error``, a text, in place of ``result``.
"""

import errno
import json
import os
import re
import statistics
import zlib
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import portalocker

from stormswarm.failures import add_note

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
        Job -> result, of the jobs that need not run again. A result in the file serves one job
        with the same fingerprint: the one with the same index or else, if jobs have been added or
        removed since, the next that has no result.

    Raises
    ------
    TypeError
        The path is neither a string nor an `os.PathLike`.
    ValueError
        The file is in use, is not a checkpoint, was written with other versions, or is damaged.
        It is left as it is, except that an incomplete last line is removed.
    OSError
        The file cannot be opened or written.
    """

    def __init__(self, path, versions, fingerprints):
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"checkpoint must be the path of a file, got {path!r:.80}")
        self.path, self.fingerprints = Path(path), fingerprints
        self._place = self.path.absolute()  # holds if a job changes the working folder
        if self.path.exists() and not self.path.is_file():
            raise ValueError(f"checkpoint {self.path}: a folder or device, not a regular file")
        if not self.path.parent.exists():
            folder = "the folder of the checkpoint does not exist"
            raise FileNotFoundError(errno.ENOENT, folder, str(self.path.parent))
        self._file = open(self.path, "a+b", buffering=0)  # noqa: SIM115, closed by __exit__
        try:
            self._lock()
            records = self._read({TITLE: FORMAT, "versions": versions})
        except BaseException:
            self._file.close()
            raise
        ended = [record for record in records if "result" in record]
        self.results = _match_results(ended, fingerprints)
        seconds = {}
        for record in ended:
            for key in (record["scenario"], (record["scenario"], record["name"])):
                seconds.setdefault(key, []).append(record["seconds"])
        self._seconds = {key: statistics.fmean(values) for key, values in seconds.items()}

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self._file.close()
        if isinstance(error, KeyboardInterrupt):
            add_note(error, f"{self.path} holds the results so far; the same call runs the others.")

    def expected_seconds(self, record):
        """Return how long jobs of this name and scenario took, else of this scenario, or None."""
        scenario = record["scenario"]
        return self._seconds.get((scenario, record["name"]), self._seconds.get(scenario))

    def add(self, record, result):
        """Write a job's end to the disk; return the result as a later call will read it.

        Raises
        ------
        OSError
            The disk is full, or the file is no longer in its place. What the file has of other
            jobs stays.
        """
        job, start, stop = record["job"], record["start"], record["stop"]
        written = {key: record[key] for key in ("job", "name", "scenario")}
        written["fingerprint"] = self.fingerprints[job]
        written["seconds"] = None if start is None else stop - start
        written |= {"result": result} if record["error"] is None else {"error": record["error"]}
        line = _format_line(written)
        self._check_place(job)
        try:
            self._write(line)
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(self._size)
            raise OSError(
                error.errno,
                f"{os.strerror(error.errno)}: job {job} cannot be written to the checkpoint; "
                "the results of other jobs stay in it, and the same call goes on from there",
                str(self.path),
            ) from error
        if record["error"] is not None:
            return result
        self.results[job] = _parse_line(line)["result"]
        return self.results[job]

    def _check_place(self, job):
        """Raise OSError unless the file of that name is the open one, as it was left."""
        opened, found = os.fstat(self._file.fileno()), None
        with suppress(OSError):
            found = os.stat(self._place)
        if found is None or not os.path.samestat(opened, found) or found.st_size != self._size:
            raise OSError(
                errno.ESTALE,
                f"job {job} cannot be written to the checkpoint, because the file was moved, "
                "replaced, removed or changed while the sweep ran; where the file with the "
                "earlier results is back in its place, the same call goes on from there",
                str(self.path),
            )

    def _lock(self):
        try:
            portalocker.lock(self._file, portalocker.LOCK_EX | portalocker.LOCK_NB)
        except portalocker.LockException as error:
            raise ValueError(
                f"checkpoint {self.path}: another sweep is writing to it; wait until that one has "
                "ended, or give this one a file of its own"
            ) from error

    def _read(self, header):
        self._file.seek(0)
        content = self._file.read()
        whole, newline, tail = content.rpartition(b"\n")
        if not newline:  # new, or torn off in its first line
            if not _format_line(header).startswith(content):
                raise ValueError(f"checkpoint {self.path}: this file is no checkpoint of a swarm")
            self._file.truncate(0)
            self._write(_format_line(header))
            return []
        first, *lines = whole.split(b"\n")
        self._compare(_parse_line(first), header)
        records = []
        for number, line in enumerate(lines, start=2):
            record = _parse_line(line)
            if not _is_record(record):
                raise ValueError(
                    f"checkpoint {self.path}, line {number}: damaged, {line[:60]!r}; without the "
                    "line, its job is run again"
                )
            records.append(record)
        last = _parse_line(tail)
        if _is_record(last):
            records.append(last)
            self._write(b"\n")
        elif tail:
            self._file.truncate(len(content) - len(tail))
        self._size = self._file.seek(0, os.SEEK_END)
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
        self._size = self._file.seek(0, os.SEEK_END)


def _match_results(records, fingerprints):
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


def _format_line(record):
    body = json.dumps(record)
    return f'{body[:-1]}, "crc32": "{zlib.crc32(body.encode()):08x}"}}\n'.encode()


def _parse_line(line):
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
