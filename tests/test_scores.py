"""The score of a run is that of the plain pystorms loop, to the last digit."""

import math
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pystorms
import pytest

from benchmarks.common import end_at, first_hour
from stormswarm_utils import (
    METRICS,
    SCENARIOS,
    ConstantOpening,
    control_1,
    control_2,
    generate_swarm,
    simulate,
    worker,
)

PLAIN_LOOP = """
from benchmarks.common import plain_loop

scenario = plain_loop("{scenario}", {controller})
print(repr([scenario.performance(metric) for metric in {metrics}]))
"""


def leave_the_valves(state):
    return None


@pytest.fixture(scope="session")
def known_scores():
    return {}


@pytest.fixture
def plain_scores(run_python, known_scores):
    """Return a function that scores a scenario by the loop of pystorms itself.

    It runs in a fresh process, once in a session for each scenario and opening.
    """

    def score(folder, scenario, opening):
        if (job := (folder, scenario, opening)) not in known_scores:
            controller = "lambda state: None" if opening is None else opening
            source = PLAIN_LOOP.format(scenario=scenario, controller=controller, metrics=METRICS)
            printed = eval(run_python(source, folder, OMP_THREAD_LIMIT="1"), {"np": np})
            known_scores[job] = dict(zip(METRICS, printed, strict=True))
        return known_scores[job]

    return score


def six_hours_of_beta(network):
    """Cut beta, whose whole storm is one day, to the hours in which it begins to flood."""
    return end_at(network, "10/08/2016", "06:00:00")


def five_days_of_epsilon(network):
    """Cut epsilon, which has fifteen days, soon after its score leaves zero."""
    return end_at(network, "01/06/2017", "00:00:00")


SHORT = {"beta": six_hours_of_beta, "epsilon": five_days_of_epsilon}


@pytest.fixture(scope="session")
def short_pystorms(original_pystorms, tmp_path_factory):
    """Return a folder with a copy of pystorms in which the two longest storms are cut short."""
    folder = tmp_path_factory.mktemp("short")
    shutil.copytree(original_pystorms, folder, dirs_exist_ok=True)
    for scenario, cut in SHORT.items():
        path = folder / "pystorms" / "networks" / f"{scenario}.inp"
        path.write_text(cut(path.read_text("utf-8")), encoding="utf-8")
    return folder


each_opening = pytest.mark.parametrize("opening", [None, 0.4], ids=["no action", "opening 0.4"])


@pytest.mark.slow
@each_opening
@pytest.mark.parametrize("scenario", SHORT)
def test_six_hours_of_beta_and_five_days_of_epsilon_score_as_the_plain_loop(
    scenario, opening, plain_scores, short_pystorms
):
    """Whole, the two take minutes and are compared once a week, by the next test."""
    controller = leave_the_valves if opening is None else ConstantOpening(opening)
    config = {"controller": controller, "scenario": scenario, "network": SHORT[scenario]}
    with ThreadPoolExecutor(1) as beside:
        plain = beside.submit(plain_scores, short_pystorms, scenario, opening)
        score = worker(config)
    assert score == plain.result()["cumulative"]
    assert score > 0


MARKS = {"beta": pytest.mark.weekly, "epsilon": pytest.mark.weekly}
MARKS |= dict.fromkeys(["gamma", "delta", "zeta"], pytest.mark.slow)


@each_opening
@pytest.mark.parametrize(
    "scenario", [pytest.param(name, marks=MARKS.get(name, ())) for name in SCENARIOS]
)
def test_every_scenario_scores_as_the_plain_loop(
    scenario, opening, plain_scores, original_pystorms
):
    controller = leave_the_valves if opening is None else ConstantOpening(opening)
    config = {"controller": controller, "scenario": scenario}
    with ThreadPoolExecutor(1) as beside:  # the plain loop is in a process of its own
        plain = beside.submit(plain_scores, original_pystorms, scenario, opening)
        score = worker(config)
    scores = plain.result()
    assert score == scores["cumulative"]
    if scenario not in ("beta", "epsilon"):  # the long ones need no second look
        full = simulate(config | {"metric": "mean"})
        assert full.performance == scores["mean"]
        assert generate_swarm(config, worker, 1) == [scores["cumulative"]]
    if scenario == "delta" and opening is None:  # what engine 5.1.14 gives as shipped
        assert math.isclose(scores["cumulative"], 88559072738.15538, rel_tol=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_is_that_of_pystorms(metric, plain_scores, original_pystorms):
    scores = plain_scores(original_pystorms, "theta", 0.4)
    config = {"controller": ConstantOpening(0.4), "scenario": "theta", "metric": metric}
    assert worker(config) == scores[metric]


def test_a_controller_that_reacts_scores_as_in_the_plain_loop(run_python, original_pystorms):
    source = """
from benchmarks.common import plain_worker

print(repr(plain_worker(("theta", lambda state: [1.0 if d > 0.5 else 0.3 for d in state]))))
"""

    def react(state):
        return [1.0 if depth > 0.5 else 0.3 for depth in state]

    plain = float(run_python(source, original_pystorms))
    assert worker({"controller": react, "scenario": "theta"}) == plain


def test_the_two_results_of_the_page():
    config = [{"controller": control_1}, {"controller": control_2}]
    swarm = generate_swarm(config, worker, 2, 2)
    assert np.allclose(swarm, [400221923.1344594, 2656700000.0], rtol=1e-12, atol=0)
    if sys.version_info < (3, 12):  # later versions of sum() round less
        assert swarm == [400221923.1344594, 2656700000.0]
    means = generate_swarm([one | {"metric": "mean"} for one in config], worker, 2, 2)
    steps = [25433, 9361]
    assert np.allclose(means, np.divide(swarm, steps), rtol=1e-12, atol=0)
    assert [f"{mean:.10f}"[:13] for mean in means] == ["15736.3237972", "283805.149022"]


def test_hydrographs_have_a_row_per_step_and_the_units_of_the_network():
    seen = []

    class Recorder:
        def start(self, scenario):
            self.valves = scenario.config["action_space"]
            assert scenario.state().shape == (2,)

        def __call__(self, state):
            seen.append(1)  # on a copy: the caller's list stays empty
            return None if state[0] == 0 else [0.25, 1]

    run = simulate({"controller": Recorder(), "scenario": "theta", "network": first_hour})
    assert seen == []
    assert run.steps == len(run.hydrographs["time"]) == 121
    assert list(run.hydrographs) == ["time", "states", "actions", "targets"]
    assert list(run.hydrographs["states"]) == ["depthN P1", "depthN P2"]
    assert list(run.hydrographs["actions"]) == ["1", "2"]
    assert list(run.hydrographs["targets"]) == ["flow 8", "flooding P1", "flooding P2"]
    assert all(
        len(series) == run.steps
        for part in list(run.hydrographs)[1:]
        for series in run.hydrographs[part].values()
    )
    assert run.hydrographs["time"][0] == np.datetime64("2018-02-25T00:00:00")
    assert np.all(np.diff(run.hydrographs["time"]) > np.timedelta64(0, "us"))
    valve = run.hydrographs["actions"]["1"]
    dry = run.hydrographs["states"]["depthN P1"] == 0
    assert np.isnan(valve[dry]).all()
    assert (valve[~dry] == 0.25).all()
    assert "log" not in repr(run)


def test_a_log_row_holds_what_pystorms_measured_after_the_step():
    run = simulate({"controller": ConstantOpening(0.4), "scenario": "alpha"})
    assert len(run.hydrographs["states"]) == 26  # two of the 28 states are listed twice
    assert len(run.hydrographs["targets"]) == 31
    volumes = sum(np.maximum(run.hydrographs["targets"][f"flow W{i}"], 0) for i in range(1, 6))
    assert volumes.max() > 0


def test_a_scenario_class_and_a_network_edit_of_ones_own():
    class Halved(pystorms.scenarios.theta):
        def performance(self, metric="cumulative"):
            return super().performance(metric) / 2

    edited = {"controller": control_1_of_two, "network": first_hour}
    whole = worker(edited | {"scenario": "theta"})
    assert worker(edited | {"scenario": Halved}) == whole / 2
    assert generate_swarm(edited | {"scenario": Halved}, worker, 1) == [whole / 2]
    assert worker({"controller": control_1_of_two, "scenario": "theta"}) != whole


def control_1_of_two(state):
    return [1.0, 0.0]


def test_the_engine_gets_one_thread_unless_the_edit_says_more():
    texts = []

    class Alpha(pystorms.scenarios.alpha):
        def __init__(self):
            super().__init__()
            with open(self.env.sim._model.inpfile) as network:
                texts.append(network.read())

    def first_minute(network):  # threads that wait for a core are slow
        return re.sub(r"(?m)^END_TIME .*$", "END_TIME 00:01:00", first_hour(network))

    def first_minute_with_two(network):
        return first_minute(network).replace("THREADS 1", "THREADS 2")

    for edit in (first_minute, first_minute_with_two):
        worker({"controller": leave_the_valves, "scenario": Alpha, "network": edit})
    assert [text.count("THREADS") for text in texts] == [1, 1]
    assert "THREADS 1" in texts[0]
    assert "THREADS 2" in texts[1]
