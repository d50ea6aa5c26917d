"""What belongs to one run, and what is kept of it?"""

import functools
import inspect
import math
import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pystorms

from stormswarm.copies import copy_afresh
from stormswarm.engine import hold_engine
from stormswarm.failures import Place, add_note
from stormswarm.private_files import PrivateFiles
from stormswarm.scenarios import (
    DEFAULT_SCENARIO,
    check_actions,
    make_scenario,
    name_scenario,
    refuse_nan,
)
from stormswarm.speed import read_by_index, shorten_log


@dataclass
class Run:
    """One finished run.

    Attributes
    ----------
    performance : float
        The scenario's score, lower is better, in pystorms' units for the scenario.
    steps : int
        Routing steps that the engine took.
    seconds : float
        Wall time of the run in seconds, including the opening and closing of the engine.
    hydrographs : dict
        Time series with a row per step: ``time``, an array of datetime64, and ``states``,
        ``actions`` and ``targets``, each a dict from name (``"depthN P1"``, the valve's name,
        ``"flow 8"``) to an array of floats in the network's units. ``time`` and ``states``
        are what the controller saw before the step, ``actions`` what it answered (NaN where
        it left the valves as they were), ``targets`` what pystorms measured after the step.
    """

    performance: float
    steps: int
    seconds: float
    hydrographs: dict[str, Any] = field(repr=False, compare=False, default_factory=dict)


class StormRun:
    """An open scenario and a fresh controller for one run, in a `with` block.

    Attributes
    ----------
    scenario, controller
        What the loop needs. The scenario's engine has private files and is closed at the end.
    metric : tuple
        The arguments of the scenario's `performance`.
    steps : int
        Steps done so far, counted by the loop.
    performance : float
        The score, set by the loop.
    """

    def __init__(self, config: dict, keep_hydrographs: bool):
        self.config, self.keep_hydrographs = config, keep_hydrographs
        scenario = config.get("scenario", DEFAULT_SCENARIO)
        name = config.get("name")
        self.name = (name_scenario(scenario) or scenario) if name is None else name
        self.metric = (config["metric"],) if "metric" in config else ()
        self.steps, self.performance = 0, math.nan
        self.rows = _Rows()

    def __enter__(self) -> "StormRun":
        self.began = time.perf_counter()
        with ExitStack() as opened:
            opened.enter_context(seeded(self.config.get("seed")))
            self.controller = self._copy_controller()
            files = PrivateFiles(edit=self.config.get("network"))
            opened.enter_context(hold_engine(files))
            self.scenario = make_scenario(self.config.get("scenario", DEFAULT_SCENARIO))
            if self.metric:
                self._check_metric()
            if self.config.get("network") is not None and files.engines == 0:
                raise ValueError(f"{self.name}: its scenario opens no network that could be edited")
            self._prepare()
            self._opened = opened.pop_all()
        return self

    def _copy_controller(self):
        controller = self.config["controller"]
        try:
            return copy_afresh(controller, self.config.get("scenario"), self.config.get("network"))
        except Exception as error:
            what = f"controller {controller!r:.80} cannot be copied"
            raise ValueError(f"{self.name}: {what}") from error

    def _check_metric(self):
        """Refuse a metric that the scenario's method `performance` does not take."""
        with suppress(ValueError):  # a method that is written in C need not have a signature
            takes = inspect.signature(self.scenario.performance)
            try:
                takes.bind(*self.metric)
            except TypeError as error:
                got = f"the scenario's method performance{takes} takes no metric"
                raise TypeError(f"{self.name}: {got}, got {self.metric[0]!r}") from error

    def __exit__(self, kind, error, trace):
        if error is not None:
            add_note(error, f"step {self.steps}")
        self._opened.__exit__(kind, error, trace)

    def _prepare(self):
        scenario, own = self.scenario, isinstance(self.config.get("scenario", ""), str)
        self.valves = getattr(scenario, "config", {}).get("action_space")
        environment = getattr(scenario, "env", None)
        if isinstance(environment, pystorms.environment):
            read_by_index(environment)
            self.rows.clock = environment.methods["simulation_time"]
        keep_log = self.keep_hydrographs or not own or is_release_2()
        if hasattr(self.controller, "start"):  # it may read the scenario's log
            self.controller.start(scenario)
            keep_log = True
        if not keep_log and not shorten_log(scenario):
            scenario.step = functools.partial(scenario.step, log=False)

    def note_state(self, state: Any) -> None:
        """Keep the time and the state that the controller sees, if hydrographs are wanted."""
        if self.keep_hydrographs:
            self.rows.add_state(state)

    def say_where(self) -> str:
        """Return the beginning of a sentence about the present step."""
        return f"{Place.job or self.name}, step {self.steps}"

    def check_actions(self, answer: Any) -> Any:
        """Turn the controller's answer into actions, or raise a ValueError that says what is wrong.

        A scenario without pystorms' list of valves gets the answer as it is, unless it has a NaN.
        """
        if self.valves is None:
            refuse_nan(answer, self.say_where)
        else:
            answer = check_actions(answer, self.valves, self.say_where)
        if self.keep_hydrographs:
            self.rows.add_actions(answer, len(self.valves or ()))
        return answer

    def result(self) -> Run:
        """Return the finished run; a score of NaN is a ValueError."""
        if isinstance(self.performance, float | np.floating) and math.isnan(self.performance):
            where = self.say_where()
            raise ValueError(f"{where}: performance() is NaN (not a number), which is not a score")
        hydrographs = self.rows.make_series(self) if self.keep_hydrographs else {}
        seconds = time.perf_counter() - self.began
        return Run(self.performance, self.steps, seconds, hydrographs)


class _Rows:
    """The rows of the hydrographs, as they grow step by step."""

    def __init__(self):
        self.clock, self.times, self.states, self.actions = None, [], [], []

    def add_state(self, state):
        if self.clock is not None:
            self.times.append(self.clock())
        self.states.append(np.array(state, dtype=float))

    def add_actions(self, actions, valves):
        self.actions.append([math.nan] * valves if actions is None else actions)

    def make_series(self, run):
        states = getattr(run.scenario, "config", {}).get("states", ())
        names = [" ".join((attribute, name, *rest)) for name, attribute, *rest in states]
        return {
            "time": np.array(self.times, dtype="datetime64[us]"),
            "states": _split_columns(names, self.states),
            "actions": _split_columns(run.valves or [], self.actions if run.valves else []),
            "targets": {
                f"{attribute} {name}": np.array(series, dtype=float)
                for attribute, by_name in getattr(run.scenario, "data_log", {}).items()
                if isinstance(by_name, dict)
                for name, series in by_name.items()
            },
        }


def _split_columns(names, rows):
    table = np.array(rows, dtype=float).reshape(len(rows), -1)
    return {name: column.copy() for name, column in zip(names, table.T, strict=False)}


@functools.cache
def is_release_2() -> bool:
    """Return whether pystorms has versions and levels, and a log that scores read differently."""
    return "level" in inspect.signature(pystorms.environment.step).parameters


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Seed Python's and numpy's global generators for a `with` block, and put them back after."""
    if seed is None:
        yield
        return
    before = random.getstate(), np.random.get_state()
    random.seed(int(seed))
    np.random.seed(int(seed))
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])


def seed_from_system() -> None:
    """Seed the global generators from the operating system, so that no two jobs share a stream."""
    random.seed(os.urandom(32))  # without an argument it reads 2,500 bytes, for each job
    if "numpy.random" in sys.modules:  # it seeds itself when it is first imported
        np.random.seed()
