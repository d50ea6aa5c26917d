"""Which results need not be computed again, and which can be kept?"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from stormswarm.failures import describe, label_job
from stormswarm.jobs import read_versions
from stormswarm.scenarios import DEFAULT_SCENARIO


class NoCheckpoint:
    """Stands in where no checkpoint is wanted."""

    def __init__(self):
        self.results = {}

    def expected_seconds(self, record: dict) -> None:
        """Return None: nothing is known of earlier runs."""
        return None


def open_checkpoint(
    path: str | os.PathLike | None, worker: Callable, configs: list, own_worker: bool
) -> AbstractContextManager:
    """Open the checkpoint at a path, or a stand-in that keeps nothing."""
    if path is None:
        return nullcontext(NoCheckpoint())
    from stormswarm.checkpoint import Checkpoint  # here, because workers start without it

    return Checkpoint(path, read_versions(), take_fingerprints(worker, configs, own_worker))


def take_fingerprints(worker: Callable, configs: list, own_worker: bool) -> list[str]:
    """Return a text per job that changes with what is run, not with the job's name."""
    from stormswarm.fingerprint import fingerprint  # here, because workers start without it

    def take(job, *values):
        try:
            return fingerprint(*values)
        except Exception as error:  # pickling calls code of the config's own classes
            raise ValueError(
                f"job {job}: a checkpoint cannot tell it from others: {describe(error)}"
            ) from error

    how, prints = take(0, worker), {}
    for job, config in enumerate(configs):
        if id(config) in prints:
            continue
        what = config
        if own_worker:
            what = {key: value for key, value in config.items() if key != "name"}
            what.setdefault("scenario", DEFAULT_SCENARIO)
        prints[id(config)] = take(job, how, what)
    return [prints[id(config)] for config in configs]


def keep_result(kept: Any, record: dict, result: Any) -> Any:
    """Write a job's end to the checkpoint; a result that it cannot hold fails the job."""
    if isinstance(kept, NoCheckpoint):
        return result
    if record["error"] is None and not is_json(result):
        failure = TypeError(
            f"{label_job(record)}: its result {_show(result)} cannot be kept in a checkpoint, "
            "which holds numbers, strings, None, lists of these, and dicts of these with strings "
            "as keys. .item() turns a NumPy scalar into a number, and .tolist() an array into a "
            "list"
        )
        if not kept.results:  # the first result: stop before more time is spent
            raise ValueError(str(failure))
        result, record["error"] = failure, describe(failure)
    return kept.add(record, result)


def is_json(value: Any) -> bool:
    """Return whether JSON gives the value back as it was, lists in place of tuples apart."""
    try:
        if isinstance(value, dict):
            return all(isinstance(key, str) and is_json(one) for key, one in value.items())
        if isinstance(value, list | tuple):
            return all(map(is_json, value))
        if isinstance(value, int):
            int.__repr__(value)
    except (RecursionError, ValueError):  # a list that holds itself, an integer of 5000 digits
        return False
    return value is None or isinstance(value, bool | int | float | str)


def _show(result):
    """Return the start of a result's repr or, where it has none, its type."""
    try:
        return f"{result!r:.60}"
    except Exception:  # code of the result's own class, or an integer of 5000 digits
        return f"of type {type(result).__name__}"
