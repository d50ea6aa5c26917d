"""What makes one run faster, at the same score?"""

import inspect
from types import SimpleNamespace

import numpy as np
import pystorms
from pyswmm.toolkitapi import LinkResults, NodeResults, ObjectType
from swmm.toolkit import solver

from stormswarm.scenarios import SCORED_FROM_LOG


class _Indices(dict):
    """The engine's index of each node or link by name, looked up once."""

    def __init__(self, kind):
        self.kind = kind.value

    def __missing__(self, name):
        self[name] = index = solver.project_get_index(self.kind, name)
        return index


def read_by_index(environment: pystorms.environment) -> None:
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

    environment.methods |= {name: getter(*quantity) for name, quantity in quantities.items()}
    if "level" in inspect.signature(original_step).parameters:
        return  # pystorms 2: the noise and the faults of its levels are in step and _state

    def step(actions=None):
        if type(actions) is not list:
            return original_step(actions)
        for valve, opening in zip(environment.config["action_space"], actions, strict=False):
            engine.link_set_target_setting(links[valve], opening)
        return not engine.swmm_step() > 0

    environment.step = step
    states = environment.config["states"]
    if all(attribute in quantities for _, attribute, *_ in states):
        plan = [
            (read, indices[name], quantity)
            for name, attribute in states
            for read, indices, quantity in [quantities[attribute]]
        ]
        environment._state = lambda: np.array([read(i, quantity) for read, i, quantity in plan])


def shorten_log(scenario: pystorms.scenarios.scenario) -> bool:
    """Take out of pystorms' log what the score does not read; return whether anything is left."""
    needed = SCORED_FROM_LOG.get(scenario.config["name"], set())
    for series in scenario.data_log.keys() - needed - {"performance_measure"}:
        scenario.data_log[series] = {}
    return bool(needed)
