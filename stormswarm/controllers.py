"""Which controllers are ready to use in every scenario?"""

import numbers
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from pyswmm.toolkitapi import ObjectType
from swmm.toolkit import solver
from swmm.toolkit.shared_enum import NodeProperty

from stormswarm.scenarios import check_actions


@dataclass(frozen=True)
class ConstantOpening:
    """Controller that keeps the valves at a constant opening, whatever the state.

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
        if isinstance(self.opening, str | None):
            got = f"got {self.opening!r:.80}"
            raise ValueError(f"ConstantOpening: an opening must be a number from 0 to 1, {got}")
        valves = [f"number {one}" for one in range(1, 1 + np.size(self.opening))]
        values = check_actions(self.opening, valves, lambda: "ConstantOpening")
        object.__setattr__(self, "opening", tuple(values) if np.ndim(self.opening) else values[0])

    def __call__(self, state: np.ndarray) -> float | tuple[float, ...]:
        """Return the opening, whatever the state."""
        return self.opening


@dataclass(frozen=True)
class EqualFilling:
    """Controller that keeps all storages equally full: a fuller storage lets out more.

    A valve belongs to the storage upstream of it, which is the nearest node whose depth is a
    state. Let ``filling`` be its depth as a share of the full depth, and ``mean`` the mean filling
    over all valves. The valve opens to ``release * sqrt(filling) / mean``, and fully when its
    storage is full. The flow through an opening grows with the square root of the depth, so each
    storage releases its share of the water held back, and the sum stays about the same. A valve
    without such a storage upstream stays open.

    The rule is known as equal filling degree (S. Kroll, M. Weemaes, J. Van Impe, P. Willems, A
    Methodology for the Design of RTC Strategies for Combined Sewer Networks, Water 10(11), 1675,
    2018, doi:10.3390/w10111675).

    Parameters
    ----------
    release : float
        Opening, 0 to 1, of a valve when its storage is almost full and so are all others.

    Raises
    ------
    ValueError
        `release` is not a number from 0 to 1; in a run: no valve has a storage upstream.
    """

    release: float = 0.1

    def __post_init__(self):
        if not isinstance(self.release, numbers.Real) or not 0 <= self.release <= 1:
            got = f"got {self.release!r:.80}"
            raise ValueError(f"EqualFilling: release must be a number from 0 to 1, {got}")
        object.__setattr__(self, "release", float(self.release))

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
