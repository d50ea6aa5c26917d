"""Which storms, metrics and controllers are there, and what may a config say?"""

import numbers
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from pyswmm.toolkitapi import ObjectType
from swmm.toolkit import solver
from swmm.toolkit.shared_enum import NodeProperty

SCENARIOS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "theta")
METRICS = ("mean", "cumulative", "median", "maximum", "minimum", "recent")
CONFIG_KEYS = ("controller", "scenario", "metric", "network", "seed", "name")
DEFAULT_SCENARIO = "gamma"

# About how many seconds a run takes: only the order matters, for the longest start first.
USUAL_SECONDS = {
    "beta": 14.0,
    "epsilon": 11.0,
    "delta": 2.5,
    "gamma": 1.3,
    "zeta": 0.6,
    "alpha": 0.25,
    "theta": 0.17,
}

# The series of pystorms' log that a score reads back; the other scenarios' scores read none.
SCORED_FROM_LOG = {
    "alpha": {"simulation_time"},
    "beta": {"simulation_time"},
    "zeta": {"simulation_time", "flow"},
}


def check_config(config: Any, job: int | None = None) -> None:
    """Check that `simulate` can run a config, before any time is spent.

    Raises
    ------
    TypeError, ValueError
        A key or value is not allowed. The message begins with the job, if one is given.
    """

    def refuse(error_type, sentence):
        raise error_type(sentence if job is None else f"job {job}: {sentence}")

    if not isinstance(config, dict):
        refuse(TypeError, f"a config must be a dict with a controller, got {config!r:.80}")
    for key in config:
        if key not in CONFIG_KEYS:
            allowed = ", ".join(CONFIG_KEYS)
            refuse(ValueError, f"unknown config key {key!r:.80}; allowed are {allowed}")
    if "controller" not in config:
        refuse(ValueError, "a config needs a controller, a callable from state to actions")
    if not callable(config["controller"]):
        got = f"got {config['controller']!r:.80}"
        refuse(TypeError, f"controller must be a callable from state to actions, {got}")
    scenario = config.get("scenario", DEFAULT_SCENARIO)
    if isinstance(scenario, str):
        if scenario not in SCENARIOS:
            allowed = ", ".join(SCENARIOS)
            refuse(ValueError, f"unknown scenario {scenario!r:.80}; allowed are {allowed}")
    elif not callable(scenario) or (isinstance(scenario, type) and find_missing(scenario)):
        refuse(TypeError, _explain_scenario(scenario))
    metric = config.get("metric", METRICS[0])
    if not isinstance(metric, str):
        refuse(TypeError, f"metric must be a name, got {metric!r:.80}")
    if metric not in METRICS:
        refuse(ValueError, f"unknown metric {metric!r:.80}; allowed are {', '.join(METRICS)}")
    if config.get("network") is not None and not callable(config["network"]):
        got = f"got {config['network']!r:.80}"
        refuse(TypeError, f"network must be a callable from text to text, {got}")
    seed = config.get("seed")
    if seed is not None:
        if isinstance(seed, bool) or not isinstance(seed, numbers.Integral):
            refuse(TypeError, f"seed must be an integer, got {seed!r:.80}")
        if not 0 <= seed < 2**32:
            refuse(ValueError, f"seed must be from 0 to 2**32 - 1, got {seed!r:.80}")


def find_missing(scenario: Any) -> list[str]:
    """Return which of the methods of a pystorms scenario something lacks."""
    return [name for name in ("state", "step", "performance") if not hasattr(scenario, name)]


def _explain_scenario(scenario):
    return (
        "scenario must be a name, or a class or function that makes an object with the methods "
        f"state, step and performance, got {scenario!r:.80}"
    )


def make_scenario(scenario: Any) -> Any:
    """Build the scenario that a config names or makes; `check_config` has seen the config."""
    if isinstance(scenario, str):
        import pystorms

        return getattr(pystorms.scenarios, scenario)()
    made = scenario()
    if find_missing(made):
        raise TypeError(f"{_explain_scenario(scenario)}, which makes {made!r:.80}")
    return made


def check_actions(answer: Any, valves: list, where: str) -> list[float] | None:
    """Turn a controller's answer into one opening per valve; None leaves the valves.

    Raises
    ------
    ValueError
        The answer is no opening for every valve. The message begins with `where`.
    """
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
            raise ValueError("ConstantOpening: an opening must be a number from 0 to 1, got None")
        values = check_actions(self.opening, range(np.size(self.opening)), "ConstantOpening")
        object.__setattr__(self, "opening", tuple(values) if np.ndim(self.opening) else values[0])

    def __call__(self, state: np.ndarray) -> float | tuple[float, ...]:
        """Return the opening, whatever the state."""
        return self.opening


@dataclass(frozen=True)
class EqualFilling:
    """Controller that keeps all storages equally full: the fuller one lets out more.

    A valve belongs to the storage upstream of it, which is the nearest node whose depth is a
    state. Let ``filling`` be its depth as a share of the full depth, and ``mean`` the mean over
    all valves. The valve opens to ``release * sqrt(filling) / mean``, and fully when its storage
    is full. The flow through an opening grows with the square root of the depth, so each storage
    releases its share of the water held back, and the sum stays about the same. A valve without
    such a storage upstream stays open.

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
            got = f"got {self.release!r:.80}"
            raise ValueError(f"EqualFilling: release must be a number from 0 to 1, {got}")
        (release,) = check_actions(self.release, ["release"], "EqualFilling")
        object.__setattr__(self, "release", release)

    def start(self, scenario: Any) -> None:
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
        storages = [_find_upstream(valve, into, observed) for valve in valves]
        held = [number for number, node in enumerate(storages) if node is not None]
        if not held:
            raise ValueError("EqualFilling: the state has no depth of a storage above a valve")
        depths = [
            solver.node_get_parameter(storages[number], NodeProperty.FULL_DEPTH) for number in held
        ]
        plan = len(valves), held, [observed[storages[number]] for number in held], np.array(depths)
        object.__setattr__(self, "_plan", plan)

    def __call__(self, state: np.ndarray) -> np.ndarray:
        """Return an opening for each valve."""
        valves, held, places, full_depths = self._plan
        filling = np.maximum(state[places], 0) / full_depths
        openings = np.ones(valves)
        if mean := filling.mean():
            share = np.minimum(self.release * np.sqrt(filling) / mean, 1.0)
            openings[held] = np.where(filling < 1, share, 1.0)
        return openings


def _find_upstream(valve, into, wanted):
    """Follow the links against the flow, from a valve to the nearest of the wanted nodes."""
    link = solver.project_get_index(ObjectType.LINK.value, valve)
    nodes = [solver.link_get_connections(link)[0]]
    for node in nodes:  # grows while it is read: the nearer nodes come first
        if node in wanted:
            return node
        nodes += [one for one in into[node] if one not in nodes]
    return None
