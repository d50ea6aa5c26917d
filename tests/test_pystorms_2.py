"""Versions and levels of pystorms 2, by a scenario of our own and by an installed release 2."""

import functools
import inspect
import json
import os
import time
from pathlib import Path

import numpy as np
import pystorms
import pytest
import yaml
from pystorms.config import load_config
from pystorms.networks import load_network

from benchmarks.common import end_at
from stormswarm.fingerprint import fingerprint
from stormswarm.run import is_release_2
from stormswarm_utils import ConstantOpening, generate_swarm, simulate, worker

VERSIONS, LEVELS = ("1", "2"), ("1", "2", "3")
PLAIN_LOOP = """
import json
import tests.test_pystorms_2 as here

print(json.dumps(here.plain_loop({make}, {version!r}, {level!r}, {seed})))
"""


class LevelledEnvironment(pystorms.environment):
    """An environment with the signatures of pystorms 2, which degrades what it is told and tells.

    As there, the level is that of its construction unless another is asked for.
    """

    def __init__(self, config, level):
        super().__init__(config)
        self.level = level
        self.bias = np.random.uniform(0.9, 1.1, len(config["states"]))

    def _state(self, level=None):
        true = np.array([self.methods[kind](name) for name, kind in self.config["states"]])
        if (level or self.level) == "1":
            return true
        return self.bias * true + np.random.normal(0, 0.1 * int(self.level), len(true))

    def step(self, actions=None, level=None):
        if (level or self.level) != "1" and np.random.rand() < 0.3:
            actions = None  # the valves are stuck
        return super().step(actions)


class Levelled(pystorms.scenarios.scenario):
    """A scenario with the signatures of pystorms 2, on a network that each construction writes."""

    def __init__(self, version="1", level="1"):
        with open(load_config("theta")) as file:
            self.config = yaml.load(file, yaml.FullLoader)
        network = end_at(Path(load_network("theta")).read_text(), "02/25/2018", "06:00:00")
        if version == "2":
            network = network.replace("FUNCTIONAL 1000", "FUNCTIONAL 500")
        path = Path(os.environ["PYSTORMS_CACHE"], "theta_v2.inp")
        path.parent.mkdir(exist_ok=True)
        with path.open("w") as file:  # slowly enough for another process to read half of it
            file.write(network[:2000])
            file.flush()
            time.sleep(0.05)
            file.write(network[2000:])
        self.config["swmm_input"] = str(path)
        self.env = LevelledEnvironment(self.config, level)
        self.data_log = {"performance_measure": [], "flow": {"8": []}, "simulation_time": []}

    def state(self, level=None):
        return self.env._state(level=level)

    def step(self, actions=None, log=True, level=None):
        done = self.env.step(actions, level=level)
        if log:
            self._logger()
        self.data_log["performance_measure"].append(self.env.methods["flow"]("8"))
        if done:
            self.env.terminate()
        return done


def make_theta(version, level):
    """Make theta as release 2 does: the level of its construction is that of each step.

    Before its release it had the level among the arguments of `state` and `step` only, and wrote
    its networks beside the installed ones. There, a few hours of version 1 and a day of version 2
    are enough.
    """
    module = inspect.getmodule(pystorms.scenarios.theta)
    if not hasattr(pystorms.networks, "cache_dir"):
        folder = Path(os.environ["PYSTORMS_CACHE"], str(os.getpid()))
        folder.mkdir(exist_ok=True)
        module.load_network = lambda name: str(folder / f"{name}.inp")
        network = end_at(Path(load_network("theta")).read_text(), "02/25/2018", "06:00:00")
        (folder / "theta.inp").write_text(network)
    scenario = pystorms.scenarios.theta(version=version, level=level)
    if inspect.signature(scenario.state).parameters["level"].default == "1":
        scenario.state = functools.partial(scenario.state, level=level)
        scenario.step = functools.partial(scenario.step, level=level)
    return scenario


class FollowTheReadings:
    """Controller whose answer depends on every digit that it is shown."""

    def __call__(self, state):
        return [float(abs(reading) % 1) for reading in state]


def plain_loop(make, version, level, seed):
    """Return the score and the first readings of pystorms' own loop."""
    np.random.seed(seed)
    scenario, controller = make(version, level), FollowTheReadings()
    done, shown = False, []
    while not done:
        state = scenario.state()
        shown.append(state.tolist())
        done = scenario.step(controller(state))
    return float(scenario.performance()), shown[:500]


@pytest.fixture(autouse=True)
def shared_cache(tmp_path, monkeypatch):
    """Return the folder that all processes share unless the helper gives them one."""
    folder = tmp_path / "shared"
    folder.mkdir()
    monkeypatch.setenv("PYSTORMS_CACHE", str(folder))
    return folder


def run_as_release_2(config):
    """Run a config in a process whose pystorms has release 2's folder for networks."""
    pystorms.networks.cache_dir = lambda: os.environ["PYSTORMS_CACHE"]
    return worker(config)


@pytest.fixture
def as_release_2(monkeypatch):
    """Give pystorms release 2's folder for networks in this process."""
    monkeypatch.setattr(pystorms.networks, "cache_dir", lambda: "", raising=False)


def make_config(make, version, level, seed=7):
    scenario = functools.partial(make, version, level)
    return {"controller": FollowTheReadings(), "scenario": scenario, "seed": seed}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("level", LEVELS)
def test_a_controller_sees_and_scores_what_the_plain_loop_does(
    version, level, run_python, as_release_2
):
    source = PLAIN_LOOP.format(make="here.Levelled", version=version, level=level, seed=7)
    score, shown = json.loads(run_python(source))
    run = simulate(make_config(Levelled, version, level))
    seen = np.column_stack([*run.hydrographs["states"].values()])
    assert seen[:500].tolist() == shown
    assert run.performance == worker(make_config(Levelled, version, level)) == score


def test_noisy_levels_repeat_with_a_seed_serial_and_parallel(as_release_2, shared_cache):
    """The networks are written at every construction, and none of them where others write."""
    configs = [make_config(Levelled, v, n, s) for v in VERSIONS for n in LEVELS for s in (1, 2)]
    serial = [worker(config) for config in configs]
    assert len({*serial}) == 10  # level 1 needs no seed
    assert generate_swarm(configs, run_as_release_2, 2) == serial
    assert [*shared_cache.iterdir()] == []
    assert os.environ["PYSTORMS_CACHE"] == str(shared_cache)


def test_without_a_seed_no_two_runs_see_the_same_noise():
    config = make_config(Levelled, "1", "3", None)
    assert len({*generate_swarm([config] * 4, run_as_release_2, 2)}) == 4


def test_a_controller_that_asks_for_the_true_readings_gets_them(as_release_2):
    class Compare:
        def start(self, scenario):
            self.scenario = scenario

        def __call__(self, state):
            assert not np.array_equal(state, self.scenario.state(level="1"))
            assert np.array_equal(self.scenario.state(level="1"), self.scenario.state(level="1"))

    config = {"controller": Compare(), "scenario": functools.partial(Levelled, level="2")}
    assert worker(config) > 0


def test_a_partial_has_a_readable_name(as_release_2):
    level_2 = functools.partial(Levelled, version="2", level="2")
    config = {"controller": ConstantOpening(0.5), "scenario": level_2}
    swarm = generate_swarm([config], run_as_release_2, 1)
    assert swarm.timeline[0]["scenario"] == "Levelled(version='2', level='2')"
    with pytest.raises(
        ValueError, match=r"^Levelled\('3'\), step 0, valve .*: 2\.0 is not an open"
    ):
        worker({"controller": lambda state: 2.0, "scenario": functools.partial(Levelled, "3")})


def test_a_partial_counts_by_what_it_fills_in(tmp_path, as_release_2):
    texts = {
        fingerprint(functools.partial(Levelled, version=version, level=level))
        for version in VERSIONS
        for level in LEVELS
        for _ in range(2)
    }
    assert len(texts) == 6
    configs = [make_config(Levelled, "1", level) for level in LEVELS]
    sweep = functools.partial(generate_swarm, worker=run_as_release_2, processors=1)
    first = sweep(configs, checkpoint=tmp_path / "sweep.jsonl")
    configs[1] = make_config(Levelled, "2", "2")
    second = sweep(configs, checkpoint=tmp_path / "sweep.jsonl")
    assert [new == old for new, old in zip(second, first, strict=True)] == [True, False, True]
    ran = [record["start"] is not None for record in second.timeline]
    assert ran == [False, True, False]


@pytest.mark.slow
@pytest.mark.skipif(not is_release_2(), reason="needs pystorms 2")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("level", LEVELS)
def test_theta_of_the_installed_release_2_scores_as_its_own_loop(version, level, run_python):
    source = PLAIN_LOOP.format(make="here.make_theta", version=version, level=level, seed=7)
    score, shown = json.loads(run_python(source))
    config = make_config(make_theta, version, level)
    run = simulate(config)
    seen = np.column_stack([*run.hydrographs["states"].values()])
    assert seen[:500].tolist() == shown
    assert generate_swarm([config] * 2, worker, 2) == [run.performance] * 2 == [score] * 2
