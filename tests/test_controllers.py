"""What a search needs: equal filling, chance that repeats, networks and scenarios of one's own."""

import os
from pathlib import Path

import numpy as np
import pystorms
import pytest
from pystorms.networks import load_network

from benchmarks.common import first_hour, one_day
from stormswarm_utils import (
    SCENARIOS,
    EqualFilling,
    generate_swarm,
    private_engine,
    simulate,
    worker,
)

# What the valves of each scenario drain, read off the networks' links by hand
STORAGES = {
    "alpha": ["R1", "R2", "R3", "R4", "R5"],
    "beta": ["ST2", None, None],
    "gamma": [str(basin) for basin in range(1, 12)],
    "zeta": ["T2", "T3", "T4", "T6"],
    "theta": ["P1", "P2"],
}


def openings_of(scenario, release=0.1):
    config = {"controller": EqualFilling(release), "scenario": scenario, "network": first_hour}
    return simulate(config).hydrographs


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_equal_filling_runs_in_every_scenario(scenario):
    actions = np.array(list(openings_of(scenario)["actions"].values()))
    assert len(actions) > 1
    assert ((actions >= 0) & (actions <= 1)).all()


def formula(release, depths, full_depths):
    """The docstring's formula, spelled out for one row of depths."""
    filling = [depth / full for depth, full in zip(depths, full_depths, strict=True)]
    mean = sum(filling) / len(filling)
    if mean == 0:
        return [1.0] * len(filling)
    return [1.0 if one >= 1 else min(1.0, release * one**0.5 / mean) for one in filling]


@pytest.mark.parametrize("release", [0.04, 0.4])
def test_equal_filling_keeps_to_its_formula(release):
    config = {"controller": EqualFilling(release), "scenario": "theta"}
    hydrographs = simulate(config).hydrographs
    depths = np.array(list(hydrographs["states"].values())).T
    expected = [formula(release, row, [2, 2]) for row in depths]
    assert np.allclose(np.array(list(hydrographs["actions"].values())).T, expected, rtol=1e-9)
    assert len(np.unique(expected)) > 100


@pytest.mark.parametrize("scenario", STORAGES)
def test_equal_filling_finds_the_storage_of_each_valve(scenario):
    with private_engine():
        environment = getattr(pystorms.scenarios, scenario)()
        controller = EqualFilling()
        controller.start(environment)
        names = [name for name, *_ in environment.config["states"]]
        valves, held, places, _ = controller._plan
        environment.env.sim.close()
    found = [None] * valves
    for valve, place in zip(held, places, strict=True):
        found[valve] = names[place]
    assert found == STORAGES[scenario]


def test_equal_filling_opens_a_valve_without_a_storage_and_a_full_storage():
    hydrographs = openings_of("beta")
    assert (hydrographs["actions"]["P0"] == 1).all()
    controller = EqualFilling(0.1)
    object.__setattr__(controller, "_plan", (3, [0, 2], [1, 0], np.array([2.0, 4.0])))
    assert controller(np.array([1.0, 2.5])).tolist() == pytest.approx([1, 1, 0.1 * 0.5 / 0.75])


def test_equal_filling_is_a_value():
    assert EqualFilling() == EqualFilling(0.1) != EqualFilling(0.2)
    assert repr(EqualFilling(1)) == "EqualFilling(release=1.0)"
    for release in (-0.1, 1.1, float("nan"), None, "half", [0.1]):
        with pytest.raises(ValueError, match="release must be a number from 0 to 1, got "):
            EqualFilling(release)


def test_equal_filling_says_when_there_is_nothing_to_fill():
    class FlowsOnly(pystorms.scenarios.theta):
        def __init__(self):
            super().__init__()
            self.config["states"] = [("8", "flow")]

    with pytest.raises(ValueError, match="no depth of a storage above a valve"):
        worker({"controller": EqualFilling(), "scenario": FlowsOnly})


def test_the_published_rule_for_theta():
    """pystorms' tutorial RuleBasedControl prints 1125.8, and 1630.3 without control."""
    config = {"controller": lambda depths: 0.5 * (depths > 0.5), "scenario": "theta"}
    assert f"{worker(config):.2f}" == "1125.82"


class RandomOpenings:
    def __init__(self, seed):
        self.seed = seed

    def start(self, scenario):
        self.chance = np.random.default_rng(self.seed)

    def __call__(self, state):
        return self.chance.random(2)


def test_a_seeded_controller_gives_the_same_in_serial_and_parallel():
    configs = [
        {"controller": RandomOpenings(seed), "scenario": "theta", "network": one_day}
        for seed in range(6)
    ]
    serial = [worker(config) for config in configs]
    assert len(set(serial)) == 6
    assert generate_swarm(configs, worker, 2) == serial
    assert [worker(config) for config in configs] == serial


class LargestFlow:
    """A scenario from nothing but pystorms' environment, on a network of its own."""

    path = ""

    def __init__(self):
        self.config = {
            "swmm_input": self.path,
            "states": [("P1", "depthN"), ("P2", "depthN")],
            "action_space": ["1", "2"],
        }
        self.env = pystorms.environment(self.config)
        self.largest = 0.0

    def state(self):
        return self.env._state()

    def step(self, actions=None):
        done = self.env.step(actions)
        self.largest = max(self.largest, self.env.methods["flow"]("8"))
        if done:
            self.env.terminate()
        return done

    def performance(self):
        return self.largest


def test_a_network_and_a_scenario_of_ones_own(tmp_path):
    shipped = one_day(Path(load_network("theta")).read_text("utf-8"))
    largest = []
    for area in ("1000", "3000"):
        path = tmp_path / f"basins of {area}.inp"
        path.write_text(shipped.replace("FUNCTIONAL 1000", f"FUNCTIONAL {area}"), "utf-8")
        scenario = type("Mine", (LargestFlow,), {"path": str(path)})
        with private_engine():
            plain, done = scenario(), False
            while not done:
                plain.state()
                done = plain.step(np.array([0.3, 0.3]))
        config = {"controller": lambda depths: 0.3, "scenario": scenario}
        assert worker(config) == plain.performance()
        assert generate_swarm(config, worker, 1) == [plain.performance()]
        run = simulate(config)
        assert list(run.hydrographs["states"]) == ["depthN P1", "depthN P2"]
        assert run.hydrographs["targets"] == {}
        largest.append(plain.performance())
    assert 0 < largest[1] < largest[0]
    assert sorted(os.listdir(tmp_path)) == ["basins of 1000.inp", "basins of 3000.inp"]


def test_a_metric_that_a_scenario_does_not_take_is_refused_before_the_run():
    states = []
    scenario = type("Mine", (LargestFlow,), {"path": load_network("theta")})
    config = {"controller": states.append, "scenario": scenario, "metric": "mean"}
    message = r"Mine: the scenario's method performance\(\) takes no metric, got 'mean'"
    with pytest.raises(TypeError, match=message):
        simulate(config)
    assert states == []


def test_a_network_file_in_place_of_a_scenarios_own(tmp_path):
    path = tmp_path / "mine.inp"
    path.write_text(first_hour(Path(load_network("theta")).read_text("utf-8")), "utf-8")
    config = {
        "controller": lambda depths: None,
        "scenario": "theta",
        "network": lambda shipped: path.read_text("utf-8"),
    }
    assert generate_swarm([config], simulate, 1)[0].steps == 121
