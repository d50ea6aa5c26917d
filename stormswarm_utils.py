"""Run many pystorms simulations in parallel, with the scores of the plain loop.

The module reads from top to bottom: controllers, one run (`simulate`, `worker`),
many runs (`generate_swarm`), reading their timings, and the picture of them.
"""

import atexit
import functools
import heapq
import importlib
import itertools
import math
import multiprocessing
import numbers
import operator
import os
import platform
import queue
import re
import shutil
import signal
import tempfile
import threading
import time
import traceback
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from types import SimpleNamespace

import cloudpickle
import numpy as np
import pystorms
import pyswmm.simulation
from pebble import CONSTS, ProcessExpired, ProcessPool
from pystorms.networks import load_network
from pyswmm.toolkitapi import LinkResults, NodeResults, ObjectType
from swmm.toolkit import solver
from swmm.toolkit.shared_enum import NodeProperty

SCENARIOS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "theta")
METRICS = ("mean", "cumulative", "median", "maximum", "minimum", "recent")
CONFIG_KEYS = ("controller", "scenario", "metric", "network", "name")


# Controllers: state -> actions ------------------------------------------------------


def control_1(state):
    """Open gamma's eleven valves fully: an array of eleven ones."""
    return np.full(11, 1.0)


def control_2(state):
    """Close gamma's eleven valves: an array of eleven zeros."""
    return np.full(11, 0.0)


@dataclass(frozen=True)
class ConstantOpening:
    """Controller that keeps the valves where they are told to be, whatever the state.

    Parameters
    ----------
    opening : float or tuple of float
        Share of the full opening, 0 (closed) to 1 (open): one number for every valve,
        or one number per valve in the order of the scenario's action space.

    Raises
    ------
    ValueError
        An opening is not a number from 0 to 1.
    """

    opening: float | tuple[float, ...]

    def __post_init__(self):
        if self.opening is None:
            raise ValueError("ConstantOpening: an opening is a number from 0 to 1, got None")
        values = _openings(self.opening, range(np.size(self.opening)), "ConstantOpening")
        object.__setattr__(self, "opening", tuple(values) if np.ndim(self.opening) else values[0])

    def __call__(self, state):
        """Return the opening, whatever the state."""
        return self.opening


@dataclass(frozen=True)
class EqualFilling:
    """Controller that keeps all storages equally full: the fuller one lets out more.

    A valve belongs to the storage upstream of it: the nearest node whose depth is a state. With
    ``filling`` its depth as a share of the full depth, and ``mean`` the mean over all valves, the
    valve opens to ``release * sqrt(filling) / mean``, and fully when its storage is full. What
    flows through an opening grows with the square root of the depth, so each storage's outflow is
    its share of the water held back, and their sum stays about the same. A valve with no such
    storage upstream stays open.

    The rule is known as equal filling degree (S. Kroll, M. Weemaes, J. Van Impe, P. Willems, A
    Methodology for the Design of RTC Strategies for Combined Sewer Networks, Water 10(11), 1675,
    2018, doi:10.3390/w10111675).

    Parameters
    ----------
    release : float
        Opening, 0 to 1, of the valve of a storage that is as full as the mean and almost full.

    Raises
    ------
    ValueError
        `release` is not a number from 0 to 1; in a run: no valve has a storage upstream.
    """

    release: float = 0.1

    def __post_init__(self):
        if np.ndim(self.release) or self.release is None:
            raise ValueError(f"EqualFilling: release is a number from 0 to 1, got {self.release!r}")
        (release,) = _openings(self.release, ["release"], "EqualFilling")
        object.__setattr__(self, "release", release)

    def start(self, scenario):
        """Find each valve's storage in the open network: its place in the state, its full depth."""
        states, valves = scenario.config["states"], scenario.config["action_space"]
        observed = {
            solver.project_get_index(ObjectType.NODE.value, name): place
            for place, (name, attribute, *_) in reversed([*enumerate(states)])
            if attribute == "depthN"
        }
        into = defaultdict(list)
        for link in range(solver.project_get_count(ObjectType.LINK.value)):
            begin, end = solver.link_get_connections(link)
            into[end].append(begin)
        storages = [_nearest_upstream(valve, into, observed) for valve in valves]
        held = [number for number, node in enumerate(storages) if node is not None]
        if not held:
            raise ValueError("EqualFilling: the state has no depth of a storage above a valve")
        depths = [
            solver.node_get_parameter(storages[number], NodeProperty.FULL_DEPTH) for number in held
        ]
        plan = len(valves), held, [observed[storages[number]] for number in held], np.array(depths)
        object.__setattr__(self, "_plan", plan)

    def __call__(self, state):
        """Return an opening for each valve."""
        valves, held, places, full_depths = self._plan
        filling = np.maximum(state[places], 0) / full_depths
        openings = np.ones(valves)
        if mean := filling.mean():
            share = np.minimum(self.release * np.sqrt(filling) / mean, 1.0)
            openings[held] = np.where(filling < 1, share, 1.0)
        return openings


def _nearest_upstream(valve, into, wanted):
    """Follow the links against the flow, from a valve to the nearest of the wanted nodes."""
    link = solver.project_get_index(ObjectType.LINK.value, valve)
    nodes = [solver.link_get_connections(link)[0]]
    for node in nodes:  # grows while it is read: the nearer nodes come first
        if node in wanted:
            return node
        nodes += [one for one in into[node] if one not in nodes]
    return None


# One engine, private files ----------------------------------------------------------

_pystorms_environment = importlib.import_module("pystorms.environment")
_engine_lock = threading.RLock()  # SWMM is one engine for the whole process


@dataclass
class _Job:
    """What the engine needs to know of the job that runs now in this process."""

    folder: Path
    edit: Callable | None = None
    label: str = ""
    engines: int = 0


_job: _Job | None = None


def _engine_is_open():
    try:
        solver.simulation_get_unit(0)
    except Exception:  # the toolkit raises a bare Exception when no network is open
        return False
    return True


def _free_guard():
    """Free pyswmm's one-simulation guard where the engine behind it has been closed."""
    if _engine_is_open():
        raise RuntimeError(
            "a SWMM simulation is still open in this Python process, and the engine holds one at a "
            "time: a controller cannot run a simulation of its own, and one that was left open is "
            "closed by `scenario.env.sim.close()`, or by restarting the kernel. generate_swarm "
            "runs its jobs in processes of their own and is not affected."
        )
    pyswmm.simulation._sim_state_instance.sim_is_instantiated = False


class _PrivateSimulation(pyswmm.simulation.Simulation):
    """pyswmm's Simulation on the running job's own copy of the network, one engine thread."""

    def __init__(self, inputfile, *args, **kwargs):
        _free_guard()
        _job.engines += 1
        stem = _job.folder / f"{Path(inputfile).stem}{_job.engines}"
        text = Path(inputfile).read_text(encoding="utf-8", errors="surrogateescape")
        text = _trim(text)
        if Path(inputfile) == Path(load_network("delta")):
            text = _repair_deficits(text)
        if _job.edit is not None:
            text = _job.edit(text)
        network = stem.with_suffix(".inp")
        network.write_text(text, encoding="utf-8", errors="surrogateescape")
        super().__init__(str(network), str(stem) + ".rpt", str(stem) + ".out")
        self._warn_context = False  # the job closes the engine, a `with` block is not needed

    def __exit__(self, *exception):
        if _engine_is_open():  # closing the engine twice ends the whole process
            super().__exit__(*exception)


def _trim(network):
    """Set one engine thread, and leave out the report and output that nobody reads.

    An engine that splits one small run over the cores mostly waits for itself, and for long
    when other runs want the same cores.
    """
    network = re.sub(r"(?mi)^[ \t]*THREADS[ \t].*\n?", "", network)
    network = re.sub(r"(?mi)^[ \t]*\[OPTIONS\].*$", r"\g<0>\nTHREADS 1", network, count=1)
    network = re.sub(r"(?mi)^(SUBCATCHMENTS|NODES|LINKS)[ \t]+ALL[ \t]*$", r"\1 NONE", network)
    return re.sub(r"(?mi)^(INPUT|CONTROLS)[ \t]+YES[ \t]*$", r"\1 NO", network)


def _repair_deficits(network):
    """Set delta's moisture deficits of 4 to 1, the most that engines from 5.2.1 on accept.

    The infiltration they belong to never limits the run: engine 5.1.14, which opens the
    network as shipped, gives the same score to the last digit with 4 and with 1.
    """

    def repair(section):
        return re.sub(r"(?m)^(\w+(?:[ \t]+\S+){2}[ \t]+)4[ \t]*$", r"\g<1>1", section.group())

    return re.sub(r"(?ms)^\[INFILTRATION\].*?^\[", repair, network)


def private_engine(network=None):
    """Run a pystorms loop of your own in a `with` block, as many times as you like.

    Every engine that pystorms opens in the block works in a folder of its own that is removed
    at the end, on one thread, and leaves no lock behind. A swarm does the same for its workers.

    Parameters
    ----------
    network : callable, optional
        text -> text, edits the private copy of the network.

    Raises
    ------
    RuntimeError
        Another simulation is open in this process.
    """
    return _private_engine(edit=network)


@contextmanager
def _private_engine(root=None, edit=None, label=None):
    global _job
    with _engine_lock:
        _free_guard()
        outer = _job, _pystorms_environment.Simulation
        if _job is not None:  # a run of `simulate` inside a swarm's job
            root, label = _job.folder, _job.label
        with tempfile.TemporaryDirectory(prefix="stormswarm-", dir=root) as folder:
            _job = _Job(Path(folder), edit, label)
            _pystorms_environment.Simulation = _PrivateSimulation
            failure = None
            try:
                yield _job
            except BaseException as error:
                failure = error
                raise
            finally:
                _job, _pystorms_environment.Simulation = outer
                _close_engine()
                if failure is not None:
                    _add_note(failure, _engine_errors(Path(folder)))


def _close_engine():
    """Close what an exception, or a loop that stopped early, has left open."""
    if _engine_is_open():
        with suppress(Exception):  # fails if the run never started
            solver.swmm_end()
        solver.swmm_close()
    _free_guard()


def _engine_errors(folder):
    """Return what the reports in a folder say of errors: their lines, and the network's lines."""
    found = []
    for report in sorted(folder.glob("*.rpt")):
        lines = report.read_text(encoding="utf-8", errors="replace").splitlines()
        for line, following in itertools.pairwise([*lines, ""]):
            if re.match(r"\s*ERROR \d+", line):
                found.append(" ".join(f"{line} {following}".split()))
    return f"SWMM's report: {'; '.join(found[:3])}" if found else ""


def _add_note(error, note):
    """Add to what an exception says of its cause, if it does not say that already."""
    with suppress(Exception):  # one that cannot even be printed
        if note and note not in str(error):
            error.add_note(note)


class _Indices(dict):
    """The engine's index of each node or link by name, looked up once."""

    def __init__(self, kind):
        self.kind = kind.value

    def __missing__(self, name):
        self[name] = index = solver.project_get_index(self.kind, name)
        return index


def _use_indices(environment):
    """Let pystorms' environment read and set the engine by index, without detours.

    pystorms reads every state and target by name, and for each single value pyswmm asks the
    engine for the index anew, which takes longer than the reading. The calls to the engine
    are the same; `_solver` holds them, `solver` wraps each in a Python function. Each call asks
    the wanted quantity for its `value`; a plain int, which has none, takes twice as long.
    """
    engine, original_step = solver._solver, environment.step
    nodes, links = _Indices(ObjectType.NODE), _Indices(ObjectType.LINK)
    quantities = {
        "depthN": (engine.node_get_result, nodes, NodeResults.newDepth),
        "volumeN": (engine.node_get_result, nodes, NodeResults.newVolume),
        "flooding": (engine.node_get_result, nodes, NodeResults.overflow),
        "inflow": (engine.node_get_result, nodes, NodeResults.totalinflow),
        "depthL": (engine.link_get_result, links, LinkResults.newDepth),
        "volumeL": (engine.link_get_result, links, LinkResults.newVolume),
        "flow": (engine.link_get_result, links, LinkResults.newFlow),
    }
    for name, (read, indices, quantity) in quantities.items():
        quantities[name] = read, indices, SimpleNamespace(value=quantity.value)

    def getter(read, indices, quantity):
        return lambda name: read(indices[name], quantity)

    def step(actions=None):
        if type(actions) is not list:
            return original_step(actions)
        for valve, opening in zip(environment.config["action_space"], actions, strict=False):
            engine.link_set_target_setting(links[valve], opening)
        return not engine.swmm_step() > 0

    environment.step = step
    environment.methods |= {name: getter(*quantity) for name, quantity in quantities.items()}
    states = environment.config["states"]
    if all(attribute in quantities for _, attribute, *_ in states):
        plan = [
            (read, indices[name], quantity)
            for name, attribute in states
            for read, indices, quantity in [quantities[attribute]]
        ]
        environment._state = lambda: np.array([read(i, quantity) for read, i, quantity in plan])


# The series of pystorms' log that a score reads back; no other scenario's score reads any
_SCORED_FROM_LOG = {
    "alpha": {"simulation_time"},
    "beta": {"simulation_time"},
    "zeta": {"simulation_time", "flow"},
}


def _shorten_log(scenario):
    """Take out of the log what the score does not read; return whether anything is left."""
    needed = _SCORED_FROM_LOG.get(scenario.config["name"], set())
    for series in scenario.data_log.keys() - needed - {"performance_measure"}:
        scenario.data_log[series] = {}
    return bool(needed)


# One run ----------------------------------------------------------------------------


@dataclass
class Simulation:
    """One finished run.

    Attributes
    ----------
    performance : float
        The scenario's score, lower is better, in pystorms' units for the scenario.
    steps : int
        Routing steps that the engine took.
    seconds : float
        Wall time of the run in seconds, opening and closing of the engine included.
    log : dict
        The hydrographs, a row per step: ``time``, an array of datetime64, and ``states``,
        ``actions`` and ``targets``, each a dict from name (``"depthN P1"``, the valve's name,
        ``"flow 8"``) to an array of floats in the network's units. ``time`` and ``states``
        are what the controller saw before the step, ``actions`` what it answered (NaN where
        it left the valves), ``targets`` what pystorms measured after the step.
    """

    performance: float
    steps: int
    seconds: float
    log: dict = field(repr=False, compare=False, default_factory=dict)


def simulate(config):
    """Run one scenario under one controller and keep its hydrographs.

    Parameters
    ----------
    config : dict
        What to run, by key:

        - ``controller``: callable, state (array of floats) -> actions: a number from 0 (closed)
          to 1 (open) for every valve, a list, tuple or array of one number per valve, or None to
          leave the valves. A method ``start(scenario)``, if it has one, is called once before
          the first step. Each run gets a fresh copy.
        - ``scenario``: a name in `SCENARIOS` (default ``"gamma"``), or a class with the methods
          ``state``, ``step`` and ``performance`` of a pystorms scenario.
        - ``metric``: a name in `METRICS` (default: pystorms' own, ``"cumulative"``).
        - ``network``: callable, text -> text, edits the run's private copy of the network.
        - ``name``: label for messages and tables.

    Returns
    -------
    Simulation

    Raises
    ------
    ValueError
        The config has an unknown key or value, or the controller answers with something that
        is not an opening for every valve; the message names step, valve and value.
    RuntimeError
        Another simulation is open in this process.
    """
    return _simulate(config, keep_log=True)


def worker(config):
    """Run one scenario under one controller and return its score, a float.

    The config and the errors are those of `simulate`; the hydrographs are not kept.
    """
    return _simulate(config, keep_log=False).performance


def _simulate(config, keep_log):
    _check(config)
    began = time.perf_counter()
    scenario_class = config.get("scenario", "gamma")
    name = config.get("name", getattr(scenario_class, "__name__", scenario_class))
    if isinstance(scenario_class, str):
        scenario_class = getattr(pystorms.scenarios, scenario_class)
    controller = _fresh_copy(config["controller"], name)
    with _private_engine(edit=config.get("network")) as job:
        scenario = scenario_class()
        if config.get("network") is not None and job.engines == 0:
            raise ValueError(f"{name}: its scenario opens no network that could be edited")
        if isinstance(getattr(scenario, "env", None), pystorms.environment):
            _use_indices(scenario.env)
        logged = keep_log or not isinstance(config.get("scenario", ""), str)
        if hasattr(controller, "start"):  # it may read the scenario's log
            controller.start(scenario)
            logged = True
        logged = logged or _shorten_log(scenario)
        step = scenario.step if logged else functools.partial(scenario.step, log=False)
        valves = getattr(scenario, "config", {}).get("action_space")
        log = _Log(scenario, valves) if keep_log else None
        done, steps = False, 0
        try:
            while not done:
                state = scenario.state()
                if log is not None:
                    log.before(state)
                actions = controller(state)
                if valves is not None:
                    actions = _openings(actions, valves, f"{job.label or name}, step {steps}")
                if log is not None:
                    log.after(actions)
                done = step(actions)
                steps += 1
        except BaseException as error:
            _add_note(error, f"step {steps}")
            raise
        metric = (config["metric"],) if "metric" in config else ()
        performance = scenario.performance(*metric)
        hydrographs = log.columns() if log is not None else {}
    return Simulation(performance, steps, time.perf_counter() - began, hydrographs)


def _check(config, label=""):
    """Raise a ValueError that begins with `label` if `simulate` could not run `config`."""

    def refuse(sentence):
        raise ValueError(f"{label}{': ' if label else ''}{sentence}")

    if not isinstance(config, dict):
        refuse(f"a config is a dict with a controller, got {config!r:.80}")
    for key in config:
        if key not in CONFIG_KEYS:
            refuse(f"unknown config key {key!r}; allowed are {', '.join(CONFIG_KEYS)}")
    if not callable(config.get("controller")):
        got = f"got {config['controller']!r:.80}" if "controller" in config else "it has none"
        refuse(f"a config needs a controller, a callable from state to actions; {got}")
    scenario = config.get("scenario", "gamma")
    methods = ("state", "step", "performance")
    if isinstance(scenario, str):
        if scenario not in SCENARIOS:
            refuse(f"unknown scenario {scenario!r}; allowed are {', '.join(SCENARIOS)}, or a class")
    elif not callable(scenario) or not all(hasattr(scenario, method) for method in methods):
        refuse(f"scenario {scenario!r:.80} is neither a name nor a class with {', '.join(methods)}")
    metric = config.get("metric", METRICS[0])
    if not isinstance(metric, str) or metric not in METRICS:
        refuse(f"unknown metric {metric!r:.80}; allowed are {', '.join(METRICS)}")
    if config.get("network") is not None and not callable(config["network"]):
        refuse(f"network is a callable from text to text, got {config['network']!r:.80}")


def _fresh_copy(controller, name):
    """Copy a controller as a worker process would, so that serial and parallel runs agree."""
    try:
        return cloudpickle.loads(cloudpickle.dumps(controller))
    except Exception as error:
        raise ValueError(f"{name}: controller {controller!r:.80} cannot be copied") from error


def _openings(answer, valves, where):
    """Turn a controller's answer into one opening per valve; None leaves the valves."""
    if answer is None:
        return None
    values = answer
    if type(answer) is float:
        values = [answer] * len(valves)
    elif type(answer) is np.ndarray:
        values = answer.tolist()
    if type(values) is list and len(values) == len(valves):  # the usual answers, quickly
        for opening in values:
            if type(opening) is not float or not 0 <= opening <= 1:
                break
        else:
            return values.copy()
    try:
        values = np.asarray(answer)
    except ValueError:  # a list of lists of unequal length
        values = np.asarray(None)
    if values.dtype.kind not in "biuf":
        raise ValueError(
            f"{where}: {answer!r:.80} is not an action; allowed are one number for every valve, "
            f"{len(valves)} numbers (list, tuple or array), or None to leave the valves"
        )
    if values.ndim == 0:
        values = np.full(len(valves), values)
    if values.shape != (len(valves),):
        raise ValueError(
            f"{where}: actions of shape {values.shape} for {len(valves)} valves "
            f"({', '.join(map(str, valves))}); one number per valve is allowed, or a single one"
        )
    inside = (values >= -1e-9) & (values <= 1 + 1e-9)  # False for NaN too
    if not inside.all():
        first = int(np.argmin(inside))
        raise ValueError(
            f"{where}, valve {valves[first]}: {values[first]} is not an opening; "
            "allowed is 0 (closed) to 1 (open)"
        )
    return values.astype(float).tolist()


class _Log:
    """Collects a run's hydrographs, a row per step."""

    def __init__(self, scenario, valves):
        self.scenario, self.valves = scenario, valves or []
        environment = getattr(scenario, "env", None)
        self.clock = getattr(environment, "methods", {}).get("simulation_time")
        self.times, self.states, self.actions = [], [], []

    def before(self, state):
        if self.clock is not None:
            self.times.append(self.clock())
        self.states.append(np.array(state, dtype=float))

    def after(self, actions):
        self.actions.append([math.nan] * len(self.valves) if actions is None else actions)

    def columns(self):
        states = getattr(self.scenario, "config", {}).get("states", ())
        names = [" ".join((attribute, name, *rest)) for name, attribute, *rest in states]
        return {
            "time": np.array(self.times, dtype="datetime64[us]"),
            "states": _columns(names, self.states),
            "actions": _columns(self.valves, self.actions),
            "targets": {
                f"{attribute} {name}": np.array(series, dtype=float)
                for attribute, by_name in getattr(self.scenario, "data_log", {}).items()
                if isinstance(by_name, dict)
                for name, series in by_name.items()
            },
        }


def _columns(names, rows):
    table = np.array(rows, dtype=float).reshape(len(rows), -1)
    return {name: column.copy() for name, column in zip(names, table.T, strict=False)}


_OWN_WORKERS = (simulate, worker)

# Many runs --------------------------------------------------------------------------


class Swarm(list):
    """Results of a swarm in the order of the jobs; a failed job's place holds its exception.

    Attributes
    ----------
    seconds : float
        Wall time of the whole swarm in seconds.
    timeline : list of dict
        A record per job: ``job`` (index), ``name``, ``scenario``, ``host`` (name of the machine
        that ran it), ``worker`` (counted from 0 in the order of their first start), ``start`` and
        ``stop`` (seconds since the swarm began, by the clock of that machine) and ``error`` (text,
        None if all went well). Host, worker and times are None for a job that never started, or
        whose result was on the checkpoint.
    failures : dict
        Index of a failed job -> its exception.
    """

    def __init__(self, results=(), seconds=0.0, timeline=(), failures=()):
        super().__init__(results)
        self.seconds = seconds
        self.timeline = list(timeline)
        self.failures = dict(failures)


class SwarmError(RuntimeError):
    """Some jobs of a swarm failed; all others have finished.

    Attributes
    ----------
    results : Swarm
        All results there are; `results.failures` holds the exceptions by job.
    """

    def __init__(self, results):
        super().__init__(results)
        self.results = results

    def __str__(self):
        failures, timeline = self.results.failures, self.results.timeline
        first = f"{len(failures)} of {len(self.results)} jobs failed; .results has the others"
        if len(failures) == len(self.results):
            first = f"all {len(failures)} jobs failed"
        shown = list(itertools.islice(failures.items(), 10))
        labels = [_label(timeline[job]) for job, _ in shown]
        width = 1 + max(map(len, labels), default=0)
        lines = []
        for label, (_, error) in zip(labels, shown, strict=True):
            cause = re.sub(rf"{re.escape(label)}(, |: )", "", _describe(error))  # said already
            lines.append(f"  {label + ':':{width}} {cause:.200}")
        if len(failures) > len(shown):
            lines.append(f"  ... and {len(failures) - len(shown)} more in .results.failures")
        return "\n".join([first, *lines])

    def __repr__(self):
        return f"{type(self).__name__}: {self}"

    def _render_traceback_(self):
        """Show a notebook the table alone: the stack of the caller says nothing of the jobs."""
        return [repr(self)]


def generate_swarm(
    config,
    worker,
    processors=None,
    jobs=None,
    *,
    timeout=None,
    return_exceptions=False,
    progress=False,
    checkpoint=None,
    executor=None,
):
    """Run `worker` on every config, in parallel processes, and return the results in order.

    Parameters
    ----------
    config : list or object
        A list holds one config per job; anything else is a single config.
    worker : callable
        config -> result: the helper's `worker` or `simulate`, or a function of your own. A loop
        written for plain pystorms runs unchanged, with private files and one engine thread.
        Functions, configs and results travel by cloudpickle, so notebook functions do too.
    processors : int, optional
        Number of worker processes; default: the cores that this process may use. Not used
        with `executor`, which has workers of its own.
    jobs : int, optional
        Number of runs; default: one per config. A list is repeated in turn until there are as
        many, a single config is repeated.
    timeout : float, optional
        Seconds that one job may take before its worker process is stopped.
    return_exceptions : bool, optional
        If True, failed jobs leave their exceptions among the results, and nothing is raised.
    progress : bool, optional
        Show a progress bar.
    checkpoint : str or os.PathLike, optional
        File that keeps each job's result as soon as it ends. The same call with the same file
        runs only what is missing or has failed, also after the Python process was killed. A job
        runs again if its controller, scenario, metric, network edit or worker has changed, in
        code or data; a change in a file that these read is not noticed, and wants a new
        checkpoint (`stormswarm_checkpoint.fingerprint` says exactly what counts). Results must
        be what JSON can hold, and come back as JSON gives them (a tuple as a list).
    executor : concurrent.futures.Executor, optional
        Runs the jobs in place of the call's own pool. Its processes must not be forked, can
        import this module, and have the caller's versions of all that a score depends on.

    Returns
    -------
    Swarm

    Raises
    ------
    ValueError
        An argument or a config is not allowed, or the checkpoint is in use, damaged or of other
        versions; nothing has been run. The first result is nothing that JSON can hold.
    SwarmError
        Some jobs failed, all others have finished.
    RuntimeError
        A script starts a swarm without `if __name__ == "__main__":`.
    OSError
        The checkpoint cannot be written any more, on a full disk for example.
    """
    _leave_if_imported_by_a_worker()
    clock, began = time.perf_counter(), time.time()
    configs = _repeat(config, jobs)
    processors = _whole(_cores() if processors is None else processors, "processors", least=1)
    _check_engine(timeout, executor)
    if worker in _OWN_WORKERS:
        for job, one in enumerate(configs):
            _check(one, f"job {job}")
    if worker is simulate:
        _check_hydrographs(configs, checkpoint)
    payloads = _pack_jobs(worker, configs)
    if not configs:
        return Swarm()
    records = [_record(job, one, worker) for job, one in enumerate(configs)]
    results, failures = [None] * len(configs), {}
    with (
        _open_checkpoint(checkpoint, worker, configs) as kept,
        _progress_bar(len(configs), progress) as bar,
    ):
        for job, result in kept.results.items():
            results[job] = result
            bar.update()
        waiting = [record for record in records if record["job"] not in kept.results]
        waiting.sort(key=lambda record: _expected_seconds(record, kept), reverse=True)
        with closing(_run_jobs(waiting, payloads, processors, timeout, executor)) as ended:
            for record, result in ended:
                job = record["job"]
                results[job] = _keep(kept, record, result)
                if record["error"] is not None:
                    failures[job] = results[job]
                bar.update()
    timeline = _timeline(records, began)
    swarm = Swarm(results, time.perf_counter() - clock, timeline, sorted(failures.items()))
    if failures and not return_exceptions:
        raise SwarmError(swarm) from next(iter(swarm.failures.values()))
    return swarm


def _scratch_prefix():
    """Begin the names of this process's scratch folders; its workers find the same."""
    import hashlib  # here, because worker processes start without it

    key = multiprocessing.current_process().authkey
    return f"stormswarm-{hashlib.sha256(key).hexdigest()[:8]}-"


def _leave_if_imported_by_a_worker():
    """End a worker process that has run into its caller's script; the caller says why."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        for folder in Path(tempfile.gettempdir()).glob(f"{_scratch_prefix()}*"):
            (folder / "unguarded").touch()
        os._exit(1)


def _run_jobs(records, payloads, processors, timeout, executor):
    """Run the jobs in worker processes; yield record and result, or exception, of each that ends.

    `records` is in the order in which the jobs start. A record's ``error`` is set if it failed.
    """
    left = {record["job"]: record for record in records}
    fruitless = 0
    while left:
        begun, waiting, broken, short = len(left), iter([*left.values()]), False, False
        running, ended = {}, queue.SimpleQueue()
        # The own pool gets few jobs ahead: what it still holds when it breaks is never heard of.
        ahead = 2 * processors if executor is None else _JOBS_AT_AN_EXECUTOR
        versions = None if executor is None else _versions()
        with (
            tempfile.TemporaryDirectory("", _scratch_prefix(), ignore_cleanup_errors=True) as root,
            (
                _own_pool(root, min(processors, len(left)), timeout)
                if executor is None
                else _callers_executor(executor)
            ) as (submit, alive),
        ):
            try:
                while True:
                    if short and ended.empty():
                        yield from _give_up(left.values(), MemoryError, _OUT_OF_MEMORY)
                        return
                    room = 0 if broken or short else ahead - len(running)
                    for record in itertools.islice(waiting, room):
                        # The root and the index in the record make each call unlike any other,
                        # for an executor that remembers equal calls.
                        future = submit(_run_job, root, record, payloads[record["job"]], versions)
                        running[future] = record
                        future.add_done_callback(ended.put)
                    if not running:
                        break
                    try:
                        future = ended.get(timeout=1)
                    except queue.Empty:
                        if alive(running, broken):
                            continue
                        break
                    record, error = running.pop(future), _error_of(future)
                    broken = broken or future.cancelled()
                    if executor is None and isinstance(error, BrokenProcessPool):
                        broken = True
                        continue
                    del left[record["job"]]
                    yield record, _end(record, future, root, timeout)
                    short = short or (error is None and _fills_memory(future.result()))
            finally:
                for future in running:
                    future.cancel()
            if left and executor is not None:
                yield from _give_up(left.values(), RuntimeError, _DROPPED)
                return
            if left and Path(root, "unguarded").exists():
                raise RuntimeError(_NO_GUARD)
        # All workers were killed at a moment when none had a job: go on with new ones.
        fruitless = fruitless + 1 if len(left) == begun else 0
        if fruitless == 5:
            yield from _give_up(left.values(), RuntimeError, _KILLED)
            return


def _error_of(future):
    return futures.CancelledError() if future.cancelled() else future.exception()


def _end(record, future, root, timeout):
    """Complete a job's record; return its result, or the exception that stands in its place."""
    error = _error_of(future)
    if error is None:
        result, failed, seen = _unpack(future.result(), record)
    else:
        result, failed = _explain(error, record, timeout), True
        seen = _last_seen(root, record["job"])
    with suppress(OSError):  # a folder with a million files is slow
        os.unlink(Path(root, f"{record['job']}.started"))
    record.update(seen)
    if failed:
        record["error"] = _describe(result)
    return result


_NO_GUARD = (
    "in a script, the lines that start a swarm belong under `if __name__ == '__main__':`, because "
    "each worker process imports the script, and would start a swarm of its own."
)
_KILLED = "five times, all worker processes ended before they could start a job"
_DROPPED = "the executor dropped it: it was shut down, or has lost its scheduler"
_OUT_OF_MEMORY = (
    "the machine is running out of memory, so this job was given up. Return from a worker of "
    "your own only what you need of each run, or run fewer jobs in one call."
)


def _give_up(records, error_type, sentence):
    for record in records:
        error = error_type(f"{_label(record)}: {sentence}")
        record["error"] = _describe(error)
        yield record, error


def _repeat(config, jobs):
    if isinstance(config, Iterator):
        raise ValueError(f"configs are a list: put list(...) around {config!r:.80}")
    configs = config if isinstance(config, list) else [config]
    if jobs is None:
        return configs
    jobs = _whole(jobs, "jobs", least=len(config) if isinstance(config, list) else 0)
    if jobs and not configs:
        raise ValueError(f"jobs={jobs} needs at least one config, the list has none")
    return list(itertools.islice(itertools.cycle(configs), jobs))


def _whole(value, what, least):
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or number < least:
        raise ValueError(f"{what} is a whole number of at least {least}, got {value!r:.80}")
    return number


def _cores():
    from loky import cpu_count  # respects affinity and a container's quota

    return cpu_count()


def _check_engine(timeout, executor):
    if timeout is not None and not (isinstance(timeout, numbers.Real) and timeout > 0):
        raise ValueError(f"timeout is a number of seconds above 0, got {timeout!r:.80}")
    if executor is None:
        return
    if not isinstance(executor, futures.Executor):
        raise ValueError(f"executor is a concurrent.futures.Executor, got {executor!r:.80}")
    if timeout is not None:
        raise ValueError(
            "timeout needs the call's own pool: no executor can stop a running job. What engines "
            "offer in its place: dask has client.restart_workers, and workers that may start "
            "processes (--no-nanny) can run a job that calls generate_swarm([config], worker, 1, "
            "timeout=...) itself; MPI and batch systems have a time limit for all jobs together"
        )
    context = getattr(executor, "_mp_context", None)
    if context is not None and context.get_start_method() == "fork":
        raise ValueError(
            "this executor forks its processes, and a forked engine can wait for ever: "
            "make it with mp_context=multiprocessing.get_context('spawn')"
        )


# About how many MiB the hydrographs of a run of a whole scenario take
_HYDROGRAPHS = {
    "alpha": 2,
    "beta": 13,
    "gamma": 14,
    "delta": 14,
    "epsilon": 38,
    "zeta": 3,
    "theta": 1,
}


def _check_hydrographs(configs, checkpoint):
    """Keep hydrographs off a checkpoint, and say how large they will be if that is a lot."""
    if checkpoint is not None:
        raise ValueError(
            "a checkpoint holds only what JSON can hold, which leaves out hydrographs: use worker, "
            "or a worker of your own that returns the numbers that you need"
        )
    expected = sum(_HYDROGRAPHS.get(config.get("scenario", "gamma"), 0) for config in configs)
    available = _available_memory()
    if expected > available / 4:
        warnings.warn(
            f"the hydrographs of {len(configs)} runs of whole storms take about "
            f"{expected / 1024:.1f} GiB, and {available / 1024:.1f} GiB of memory are available; "
            "a worker of your own can return less of each run",
            stacklevel=3,
        )


def _available_memory():
    import psutil

    return psutil.virtual_memory().available / 2**20


def _fills_memory(answer):
    """Return whether a large result leaves less than half a GiB to the machine."""
    return len(answer[0]) > 2**20 and _available_memory() < 512


def _pack_jobs(worker, configs):
    """Pickle every job up front, equal configs once, so that a bad one is known at once."""
    try:
        function = cloudpickle.dumps(worker)
    except Exception as error:
        raise ValueError(f"worker {worker!r:.80} cannot be sent to a process: {error}") from error
    packed = {}
    for job, config in enumerate(configs):
        if id(config) not in packed:
            try:
                packed[id(config)] = function, cloudpickle.dumps(config)
            except Exception as error:
                raise ValueError(f"job {job}: its config cannot be sent: {error}") from error
    return [packed[id(config)] for config in configs]


class _NoCheckpoint:
    """Stands in where no checkpoint is wanted."""

    def __init__(self):
        self.results = {}

    def expected_seconds(self, record):
        return None

    def add(self, record, result):
        return result


def _open_checkpoint(path, worker, configs):
    if path is None:
        return nullcontext(_NoCheckpoint())
    from stormswarm_checkpoint import Checkpoint

    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"checkpoint is the path of a file, got {path!r:.80}")
    return Checkpoint(path, _versions(), _fingerprints(worker, configs))


def _fingerprints(worker, configs):
    """Return a text per job that changes with what is run, not with the job's name."""
    how, prints = _fingerprint(0, worker), {}
    for job, config in enumerate(configs):
        if id(config) in prints:
            continue
        what = config
        if worker in _OWN_WORKERS:
            what = [config.get(key) for key in ("controller", "metric", "network")]
            what.append(config.get("scenario", "gamma"))
        prints[id(config)] = _fingerprint(job, how, what)
    return [prints[id(config)] for config in configs]


def _fingerprint(job, *values):
    from stormswarm_checkpoint import fingerprint

    try:
        return fingerprint(*values)
    except Exception as error:  # pickling calls code of the config's own classes
        raise ValueError(
            f"job {job}: a checkpoint cannot tell it from others: {_describe(error)}"
        ) from error


def _keep(kept, record, result):
    """Write a job's end to the checkpoint; a result that it cannot hold fails the job."""
    try:
        return kept.add(record, result)
    except TypeError as error:
        failure = TypeError(f"{_label(record)}: {error}")
        if not kept.results:  # the first result: stop before more time is spent
            raise ValueError(str(failure)) from error
        record["error"] = _describe(failure)
        return kept.add(record, failure)


def _record(job, config, worker):
    """Begin a job's record in the timeline with what is known before it runs."""
    settings = config if isinstance(config, dict) else {}
    controller, name = settings.get("controller"), settings.get("name")
    if name is None and controller is not None:
        name = getattr(controller, "__name__", type(controller).__name__)
    scenario = settings.get("scenario", "gamma" if worker in _OWN_WORKERS else None)
    if not isinstance(scenario, str):
        scenario = getattr(scenario, "__name__", None)
    return {
        "job": job,
        "name": None if name is None else str(name),
        "scenario": scenario,
        "host": None,
        "worker": None,
        "start": None,
        "stop": None,
        "error": None,
    }


# About how many seconds a run of a whole scenario takes: the order matters, not the seconds.
_SIZES = {
    "beta": 14.0,
    "epsilon": 11.0,
    "delta": 2.5,
    "gamma": 1.3,
    "zeta": 0.6,
    "alpha": 0.25,
    "theta": 0.17,
}


def _expected_seconds(record, kept):
    seconds = kept.expected_seconds(record)
    return _SIZES.get(record["scenario"], 0.0) if seconds is None else seconds


def _label(record):
    return f"job {record['job']}" + (f" ({record['name']})" if record["name"] else "")


def _describe(error):
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # an exception that cannot even be printed
        text = type(error).__name__
    notes = [one for one in getattr(error, "__notes__", ()) if not one.startswith(_TRACE)]
    return " ".join((text + "".join(f" ({note})" for note in notes)).split())


_TRACE = "In the worker process:"


# The engine loses 1.35 kB at every run, so a worker process is replaced once in a while.
_JOBS_PER_PROCESS = 2000
# Seconds between pebble's looks at dead workers, time limits and its own end (its default: 0.1).
_LOOK_EVERY = 0.01
# Jobs that a caller's executor holds at a time: enough for thousands of workers, and more would
# only fill its memory.
_JOBS_AT_AN_EXECUTOR = 10_000


_ONE_THREAD = {
    f"{library}_NUM_THREADS": "1"
    for library in ("OMP", "OPENBLAS", "MKL", "BLIS", "VECLIB_MAXIMUM", "NUMEXPR")
}
_environment_lock = threading.Lock()


class _WorkerProcess(SpawnProcess):
    """Process that finds one thread for its libraries in the environment it is started with.

    Told later, OpenBLAS would already have a thread per core, which keep each other busy while
    the worker processes start. Being of this class, a process imports this module as it starts:
    all workers at once, before they queue for jobs.
    """

    def start(self):
        with _environment_lock:
            before = {name: os.environ[name] for name in _ONE_THREAD if name in os.environ}
            os.environ.update(_ONE_THREAD)
            try:
                super().start()
            finally:
                for name in _ONE_THREAD:
                    del os.environ[name]
                os.environ.update(before)


@contextmanager
def _own_pool(root, processors, timeout):
    """Yield a function that hands a call to a worker process, and one that tells if they live."""
    CONSTS.sleep_unit = _LOOK_EVERY
    spawn, processes = SpawnContext(), []

    def process(*args, **kwargs):
        processes.append(_WorkerProcess(*args, **kwargs))
        return processes[-1]

    spawn.Process = process
    pool = ProcessPool(processors, _JOBS_PER_PROCESS, _start_worker, (root,), context=spawn)

    def submit(*call):
        try:
            return pool.schedule(_run_for_parent, args=(root, *call), timeout=timeout)
        except RuntimeError as error:  # the pool broke a moment ago
            return _failed(BrokenProcessPool(str(error)))

    try:
        yield submit, lambda running, broken: pool.active
    finally:
        pool.stop()  # at once, also on Ctrl-C: pebble's own `with` block waits for every job
        for one in processes:  # a worker that is still starting would complain of the end
            if one.is_alive():
                one.terminate()
        pool.join()


@contextmanager
def _callers_executor(executor):
    """Yield a function that hands a call to the executor, and one that tells if it still works."""
    probe = futures.Future()
    probe.set_result(0)

    def submit(*call):
        try:
            return executor.submit(*call)
        except Exception as error:  # it broke, or was shut down
            return _failed(error)

    def works(running, broken):
        """Tell whether there is something to wait for, though no job has ended for a second."""
        nonlocal probe
        if any(future.running() for future in running):
            return True
        if probe.done() and _error_of(probe) is None:  # ask again: it lets a new job wait
            probe = submit(abs, time.perf_counter())
            return not broken
        return not broken and not probe.done()

    try:
        yield submit, works
    finally:
        probe.cancel()


def _failed(error):
    future = futures.Future()
    future.set_exception(error)
    return future


def _start_worker(root):
    """Prepare a worker process: register its end, and start the thread that watches the parent."""
    atexit.register(_end_if_orphaned, root)
    threading.Thread(target=_end_with_parent, args=(root,), daemon=True).start()


def _run_for_parent(root, function, *arguments):
    _end_if_orphaned(root)
    answer = function(*arguments)
    _end_if_orphaned(root)
    return answer


def _end_with_parent(root):
    multiprocessing.parent_process().join()
    _end_if_orphaned(root)


def _end_if_orphaned(root):
    """When the parent has been killed, remove its scratch folder and end."""
    if not multiprocessing.parent_process().is_alive():
        while os.path.isdir(root):  # again, if another worker still writes there
            shutil.rmtree(root, ignore_errors=True)
        os._exit(1)


def _progress_bar(total, shown):
    if not shown:
        return nullcontext(SimpleNamespace(update=lambda: None))
    from tqdm.auto import tqdm

    return tqdm(total=total, unit="job")


def _run_job(root, record, payload, versions):
    """Run one job in a worker process; whatever it does comes back as bytes and text."""
    if versions is not None and not _is_callers_process(root):  # in a caller's executor
        _use_one_thread()
    root = Path(root) if os.access(root, os.W_OK) else None  # None on another machine
    worker = f"{platform.node()} {os.getpid()} {threading.get_ident()}"
    failed, trace = False, ""
    with _engine_lock:  # threads take turns, and their waiting is no part of a job
        start, clock = time.time(), time.perf_counter()
        if root is not None:
            (root / f"{record['job']}.started").write_text(f"{start}\n{worker}", encoding="utf-8")
        try:
            _compare_versions(versions)
            function, config = map(cloudpickle.loads, payload)
            with _private_engine(root, label=_label(record)):
                result = function(config)
            content = cloudpickle.dumps(result)
        except BaseException as error:  # SystemExit and KeyboardInterrupt concern this job alone
            failed, trace = True, traceback.format_exc()
            content = _pickle_error(error)
        seen = {"worker": worker, "start": start, "stop": start + time.perf_counter() - clock}
    return content, failed, trace, seen


def _is_callers_process(root):
    """Return whether a job runs in a thread of the process that started the swarm."""
    own = Path(root).name.startswith(_scratch_prefix())
    return own and multiprocessing.parent_process() is None


def _compare_versions(wanted):
    """Refuse a job whose score may differ from the caller's in the last digits."""
    if wanted is None or wanted == _versions():
        return
    here = _versions().items()
    changes = [f"{name} {one}, not {wanted[name]}" for name, one in here if one != wanted[name]]
    raise RuntimeError(
        f"this worker process has {', '.join(changes)}, and scores may differ: install the "
        "caller's versions where the executor's workers run"
    )


def _pickle_error(error):
    try:
        content = cloudpickle.dumps(error)
        cloudpickle.loads(content)  # a class that wants two arguments fails only here
        return content
    except Exception:
        return cloudpickle.dumps(RuntimeError(_describe(error)))


def _unpack(answer, record):
    """Return a job's result or exception, whether it failed, and its worker and times."""
    content, failed, trace, seen = answer
    try:
        result = cloudpickle.loads(content)
    except Exception as error:
        message = f"{_label(record)}: its result cannot be unpickled here: {_describe(error)}"
        result, failed = RuntimeError(message), True
    if trace:
        with suppress(Exception):
            result.add_note(f"{_TRACE}\n{trace}")
    return result, failed, seen


def _explain(error, record, timeout):
    """Say in words why a job never came back."""
    label = _label(record)
    if isinstance(error, BrokenProcessPool):  # of an executor of the caller's
        return RuntimeError(
            f"{label}: the executor's processes ended. If none could start: {_NO_GUARD}"
        )
    if isinstance(error, futures.CancelledError):
        return RuntimeError(f"{label}: {_DROPPED}")
    for cause in (error, error.__cause__):
        if isinstance(cause, ModuleNotFoundError) and cause.name == __name__:
            return ModuleNotFoundError(
                f"{label}: the executor's workers cannot import {__name__}: install the project "
                "where they run, or send them this file (dask: client.upload_file)"
            )
    if isinstance(error, ProcessExpired):
        how = f"exit code {error.exitcode}"
        if error.exitcode < 0:
            how = f"signal {signal.Signals(-error.exitcode).name}"
        return ProcessExpired(f"{label}: its worker process died ({how})", error.exitcode)
    if isinstance(error, TimeoutError):
        return TimeoutError(f"{label}: stopped at its time limit of {timeout} s")
    return error


def _last_seen(root, job):
    """Read when and where a job began whose worker did not live to tell."""
    try:
        start, worker = Path(root, f"{job}.started").read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError):
        return {}
    return {"worker": worker, "start": float(start), "stop": time.time()}


def _timeline(records, began):
    """Count times from the swarm's begin, and workers in the order in which they started."""
    workers = {}
    started = [record for record in records if record["start"] is not None]
    for record in sorted(started, key=operator.itemgetter("start")):
        record["host"] = record["worker"].rsplit(" ", 2)[0]
        record["worker"] = workers.setdefault(record["worker"], len(workers))
        record["start"] -= began
        record["stop"] -= began
    return records


@functools.cache
def _use_one_thread():
    """Keep BLAS and OpenMP to one thread in a worker process that others have started."""
    from threadpoolctl import threadpool_limits

    os.environ.update(_ONE_THREAD)  # for libraries that are loaded later
    threadpool_limits(1)  # for those that are here


# Reading the timings ----------------------------------------------------------------


def makespan_bound(seconds, processors):
    """Return the wall time in seconds that no schedule of these jobs can beat.

    It is the longest job, or the total shared evenly among the processors if that is longer
    (R. L. Graham, Bounds on Multiprocessing Timing Anomalies, SIAM J. Appl. Math. 17, 1969).

    Parameters
    ----------
    seconds : sequence of float
        Durations of the jobs in seconds.
    processors : int
        Number of processors, at least 1.

    Raises
    ------
    ValueError
        `processors` is below 1, or a duration is negative or not finite.
    """
    seconds, processors = _durations(seconds), _whole(processors, "processors", least=1)
    return max(max(seconds, default=0.0), math.fsum(seconds) / processors)


def makespan(seconds, processors):
    """Return the wall time in seconds of the jobs in this order.

    Each job goes to the processor that is free first. Parameters and errors are those of
    `makespan_bound`.
    """
    seconds, processors = _durations(seconds), _whole(processors, "processors", least=1)
    busy_until = [0.0] * processors
    for duration in seconds:
        heapq.heapreplace(busy_until, busy_until[0] + duration)
    return max(busy_until)


def _durations(seconds):
    seconds = [float(duration) for duration in seconds]
    for job, duration in enumerate(seconds):
        if not 0 <= duration < math.inf:
            raise ValueError(f"job {job}: {duration} is not a duration in seconds")
    return seconds


def describe_machine():
    """Return what a timing depends on, as a dict without host or user name.

    Processor, physical and logical cores, cores that this process may use, memory in GiB,
    operating system, and the versions of Python, the SWMM engine and the packages.
    """
    import cpuinfo
    import psutil

    return {
        "processor": cpuinfo.get_cpu_info().get("brand_raw", platform.machine()),
        "physical cores": psutil.cpu_count(logical=False),
        "logical cores": psutil.cpu_count(),
        "usable cores": _cores(),
        "memory (GiB)": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        **_versions(),
        "python": platform.python_version(),
        **{package: version(package) for package in ("pebble", "cloudpickle")},
    }


@functools.cache
def _versions():
    """Return the versions of all that the last digits of a score depend on."""
    engine = solver.swmm_get_version()  # 52004 is version 5.2.4
    packages = ("pystorms", "pyswmm", "swmm-toolkit", "numpy")
    return {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "SWMM engine": f"{engine // 10000}.{engine // 1000 % 10}.{engine % 1000}",
        **{package: version(package) for package in packages},
    }


# Pictures ---------------------------------------------------------------------------

# Okabe and Ito's palette, which colour-blind readers can tell apart: areas light, lines dark
LINE_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
COLORS = ("#56B4E9", "#E69F00", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2", "#999999")


def plot_timeline(swarm, ax=None, bound=None):
    """Draw when each worker ran which job: a bar per job, coloured by the job's name.

    Parameters
    ----------
    swarm : Swarm
    ax : matplotlib.axes.Axes, optional
        Default: a new figure.
    bound : float, optional
        Wall time in seconds to mark with a line, from `makespan_bound` of serial durations.

    Returns
    -------
    matplotlib.axes.Axes
    """
    import matplotlib.pyplot as plt

    started = [record for record in swarm.timeline if record["start"] is not None]
    workers = 1 + max((record["worker"] for record in started), default=0)
    if ax is None:
        ax = plt.subplots(figsize=(8, 1.4 + 0.4 * workers), layout="constrained")[1]
    colors, legend = {}, {}
    for record in started:
        name, length = record["name"] or record["scenario"], record["stop"] - record["start"]
        bars = ax.barh(
            record["worker"],
            length,
            left=record["start"],
            color=colors.setdefault(name, COLORS[len(colors) % len(COLORS)]),
            edgecolor="black",
            hatch="" if record["error"] is None else "xx",
        )
        legend.setdefault(name or "job", bars)
        if length > 0.08 * swarm.seconds:  # wide enough for a number
            place = {"x": record["start"] + length / 2, "y": record["worker"]}
            box = {"facecolor": bars[0].get_facecolor(), "edgecolor": "none", "pad": 1}
            ax.text(**place, s=f"job {record['job']}", ha="center", va="center", bbox=box)
    if bound is not None:
        legend[f"bound: {bound:.1f} s"] = ax.axvline(bound, color="black", linestyle="--")
    ax.set(xlabel="seconds since the swarm began", ylabel="worker", yticks=range(workers))
    ax.set(xlim=(0, 1.02 * max(swarm.seconds, bound or 0.1)), ylim=(workers - 0.5, -0.5))
    if 0 < len(legend) <= len(COLORS):
        ax.figure.legend(legend.values(), legend.keys(), loc="outside right center")
    return ax


def plot_hydrographs(runs, series, axes=None):
    """Draw series of one run or more: a panel per series, a line per run.

    Parameters
    ----------
    runs : dict
        Label -> `Simulation`, as `simulate` returns it.
    series : list of str
        Names of states (``"depthN P1"``), actions (the valve's name) or targets (``"flow 8"``).
    axes : sequence of matplotlib.axes.Axes, optional
        One per series; default: a new figure.

    Returns
    -------
    sequence of matplotlib.axes.Axes

    Raises
    ------
    ValueError
        A run has no series of this name.
    """
    import matplotlib.pyplot as plt

    if axes is None:
        size = {"figsize": (8, 0.6 + 1.7 * len(series)), "sharex": True, "squeeze": False}
        axes = plt.subplots(len(series), 1, layout="constrained", **size)[1][:, 0]
    for ax, name in zip(axes, series, strict=True):
        for number, (label, run) in enumerate(runs.items()):
            values = _series(run, name)
            hours = (run.log["time"] - run.log["time"][0]) / np.timedelta64(1, "h")
            color = LINE_COLORS[number % len(LINE_COLORS)]
            ax.plot(hours, values, color=color, linestyle=("-", "--", ":")[number % 3], label=label)
        ax.set_ylabel(name)
    if len(runs) > 1:
        axes[0].legend()
    axes[-1].set_xlabel("hours since the storm began")
    return axes


def _series(run, name):
    for kind in ("states", "actions", "targets"):
        if name in run.log[kind]:
            return run.log[kind][name]
    there = sorted({one for kind in ("states", "actions", "targets") for one in run.log[kind]})
    raise ValueError(f"no series {name!r}; there are {', '.join(there)}")


def plot_speedup(processors, seconds, bounds=None, ax=None, **line):
    """Draw how many times as fast a job set runs on more processors, with spread and bound.

    The base case is the median of the first entry of `seconds`.

    Parameters
    ----------
    processors : sequence of int
        Numbers of processors, the first is usually 1.
    seconds : sequence of sequence of float
        For each of them, the wall times in seconds of the repetitions.
    bounds : sequence of float, optional
        For each of them, the wall time in seconds that no schedule beats, from `makespan_bound`.
    ax : matplotlib.axes.Axes, optional
        Default: a new figure.
    **line
        Passed on to the line, ``label`` or ``color`` for example.

    Returns
    -------
    matplotlib.axes.Axes
    """
    import matplotlib.pyplot as plt

    if ax is None:
        ax = plt.subplots(figsize=(6, 4), layout="constrained")[1]
    base = np.median(seconds[0])
    middle = np.array([base / np.median(times) for times in seconds])
    spread = np.abs([[base / max(times), base / min(times)] for times in seconds] - middle[:, None])
    line = {"color": LINE_COLORS[0], "label": "measured"} | line
    ax.errorbar(processors, middle, spread.T, fmt="o-", capsize=3, **line)
    if bounds is not None:
        most = [base / bound for bound in bounds]
        ax.plot(processors, most, "_", color=line["color"], markersize=18, markeredgewidth=2)
    ax.set(xlabel="processors", ylabel="speed-up", xticks=processors)
    return ax
