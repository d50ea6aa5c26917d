"""Which storms and metrics are there, and what may a config and a controller say?"""

import functools
import numbers
from collections.abc import Callable
from typing import Any

import numpy as np

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
    if isinstance(config["controller"], type) and "__call__" in dir(config["controller"]):
        name = config["controller"].__name__
        refuse(
            TypeError,
            f"controller must be an object, and {name} is its class; {name}(...) makes one",
        )
    scenario = config.get("scenario", DEFAULT_SCENARIO)
    if isinstance(scenario, str):
        if scenario not in SCENARIOS:
            allowed = ", ".join(SCENARIOS)
            refuse(ValueError, f"unknown scenario {scenario!r:.80}; allowed are {allowed}")
    elif not callable(scenario) or (isinstance(scenario, type) and find_missing(scenario)):
        refuse(TypeError, f"{_SCENARIO_MUST_BE}, got {scenario!r:.80}{_say_missing(scenario)}")
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


_SCENARIO_MUST_BE = (
    "scenario must be a name, or a class or function that makes an object with the methods "
    "state, step and performance"
)


def _say_missing(scenario):
    missing = find_missing(scenario)
    return f" without {' and '.join(missing)}" if len(missing) < 3 else ""


def name_scenario(scenario: Any) -> str | None:
    """Return what messages and tables call a scenario, or None if it has no name.

    A `functools.partial` is called as it would be written: ``theta(version='2', level='2')``.
    """
    if isinstance(scenario, str):
        return scenario
    if isinstance(scenario, functools.partial):
        filled = [f"{one!r:.80}" for one in scenario.args]
        filled += [f"{key}={one!r:.80}" for key, one in scenario.keywords.items()]
        return f"{name_scenario(scenario.func)}({', '.join(filled)})"
    return getattr(scenario, "__name__", None)


def make_scenario(scenario: Any) -> Any:
    """Build the scenario that a config names or makes; `check_config` has seen the config."""
    if isinstance(scenario, str):
        import pystorms

        return getattr(pystorms.scenarios, scenario)()
    made = scenario()
    if find_missing(made):
        got = f"got {scenario!r:.80}, which makes {made!r:.80}{_say_missing(made)}"
        raise TypeError(f"{_SCENARIO_MUST_BE}, {got}")
    return made


def refuse_nan(answer: Any, where: Callable[[], str]) -> None:
    """Raise a ValueError if an answer for a scenario without a list of valves has a NaN."""
    try:
        values = np.asarray(0.0 if answer is None else answer, dtype=float)
    except (TypeError, ValueError):  # what else it may be is the scenario's own affair
        return
    if np.isnan(values).any():
        raise ValueError(f"{where()}: {answer!r:.80} is not an action: NaN is not a number")


def check_actions(answer: Any, valves: list, where: Callable[[], str]) -> list[float] | None:
    """Turn a controller's answer into one opening per valve; None leaves the valves.

    Raises
    ------
    ValueError
        The answer is no opening for every valve. The message begins with what `where` returns.
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
            f"{where()}: {answer!r:.80} is not an action; allowed are one number for every valve, "
            f"{len(valves)} numbers (list, tuple or array), or None to leave the valves"
        )
    if values.ndim == 0:
        values = np.full(len(valves), values)
    if values.shape != (len(valves),):
        raise ValueError(
            f"{where()}: actions of shape {values.shape} for {len(valves)} valves "
            f"({', '.join(map(str, valves))}); one number per valve is allowed, or a single one"
        )
    inside = (values >= -1e-9) & (values <= 1 + 1e-9)  # False for NaN too
    if not inside.all():
        first = int(np.argmin(inside))
        raise ValueError(
            f"{where()}, valve {valves[first]}: {values[first]} is not an opening; "
            "allowed is 0 (closed) to 1 (open)"
        )
    return values.astype(float).tolist()
