"""Swarms: order, copies, failures, interrupts, and engines other than the helper's own pool."""

import functools
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pystorms
import pytest
from conftest import scratch_folders, workers_of

from benchmarks.common import first_hour, plain_worker
from stormswarm_utils import (
    ConstantOpening,
    Swarm,
    SwarmError,
    generate_swarm,
    private_engine,
    simulate,
    worker,
)

OPENINGS = [0.1, 0.3, 0.5, 0.7, 0.9, 1.0]
SHORT = [
    {"controller": ConstantOpening(opening), "scenario": "theta", "network": first_hour}
    for opening in OPENINGS
]


class Sized:
    """Lacks one method of a scenario."""

    def state(self):
        """Do nothing."""

    step = state


def square(number):
    return number**2


# What a swarm returns


def test_results_come_in_the_order_of_the_configs():
    swarm = generate_swarm([{"seconds": 0.3}, {"seconds": 0.0}, {"seconds": 0.1}], sleep, 3)
    assert swarm == [0.3, 0.0, 0.1]
    assert isinstance(swarm, list)
    assert repr(swarm) == "[0.3, 0.0, 0.1]"
    assert swarm.failures == {}
    assert swarm.seconds > 0.3


def sleep(config):
    time.sleep(config["seconds"])
    return config["seconds"]


def test_the_timeline_has_a_record_per_job():
    configs = [one | {"name": f"{one['controller'].opening}"} for one in SHORT]
    swarm = generate_swarm(configs, worker, 2)
    assert [record["job"] for record in swarm.timeline] == [0, 1, 2, 3, 4, 5]
    assert [record["name"] for record in swarm.timeline] == [str(opening) for opening in OPENINGS]
    assert {record["scenario"] for record in swarm.timeline} == {"theta"}
    assert {record["worker"] for record in swarm.timeline} <= {0, 1}
    for record in swarm.timeline:
        assert 0 <= record["start"] < record["stop"] <= swarm.seconds
        assert record["error"] is None
    by_worker = sorted(swarm.timeline, key=lambda record: (record["worker"], record["start"]))
    for one, after in pairwise(by_worker):
        assert one["worker"] != after["worker"] or one["stop"] <= after["start"]


@pytest.mark.parametrize(
    ("config", "jobs", "expected"),
    [
        ([1, 2], None, [1, 4]),
        ([1, 2], 2, [1, 4]),
        ([1, 2], 5, [1, 4, 1, 4, 1]),
        (3, None, [9]),
        (3, 4, [9, 9, 9, 9]),
        (3, 0, []),
        ([], None, []),
        ([], 0, []),
    ],
)
def test_jobs_means_jobs(config, jobs, expected):
    swarm = generate_swarm(config, square, 2, jobs)
    assert swarm == expected
    assert isinstance(swarm, Swarm)
    assert len(swarm.timeline) == len(expected)


def test_long_scenarios_start_first_and_results_keep_the_order_of_the_configs():
    scenarios = ["theta", "gamma", "alpha", "delta", "zeta", "theta", "delta"]
    configs = [SHORT[0] | {"scenario": scenario} for scenario in scenarios]
    swarm = generate_swarm(configs, worker, 1)
    assert swarm == [worker(config) for config in configs]
    started = sorted(swarm.timeline, key=lambda record: record["start"])
    assert [record["job"] for record in started] == [3, 6, 1, 4, 2, 0, 5]


def test_every_one_of_equal_jobs_is_run(tmp_path):
    def leave_a_mark(folder):
        Path(folder, str(time.perf_counter_ns())).touch()

    generate_swarm(str(tmp_path), leave_a_mark, 2, 7)
    assert len(list(tmp_path.iterdir())) == 7


def test_a_plain_loop_runs_job_after_job():
    serial = [worker({"controller": ConstantOpening(o), "scenario": "theta"}) for o in (0.2, 0.8)]
    swarm = generate_swarm([("theta", 0.2), ("theta", 0.8)], plain_worker, 2, 5)
    assert swarm == [*serial, *serial, serial[0]]


def test_a_plain_loop_may_run_twice_in_a_job_and_close_what_is_closed():
    def twice(opening):
        scores = []
        for _ in range(2):
            scenario = pystorms.scenarios.theta()
            while not scenario.step([opening, opening]):
                pass
            scenario.env.sim.close()
            scores.append(scenario.performance())
        return scores

    first, second = generate_swarm(0.4, twice, 1)[0]
    assert first == second == worker({"controller": ConstantOpening(0.4), "scenario": "theta"})


def test_a_loop_that_stops_early_does_not_block_the_next_job():
    def ten_steps(config):
        scenario = pystorms.scenarios.theta()
        for _ in range(10):
            scenario.step(None)
        return len(scenario.data_log["performance_measure"])

    assert generate_swarm(None, ten_steps, 1, 3) == [10, 10, 10]


def test_every_job_gets_a_fresh_controller():
    class Counter:
        def __init__(self):
            self.calls = 0

        def __call__(self, state):
            self.calls += 1
            return min(1.0, self.calls / 1000)

    counter = Counter()
    config = {"controller": counter, "scenario": "theta", "network": first_hour}
    serial = [worker(config), worker(config)]
    assert generate_swarm(config, worker, 1, 3) == [serial[0]] * 3
    assert serial[0] == serial[1]
    assert counter.calls == 0


def test_the_hydrographs_stay_in_the_worker_unless_asked_for():
    score, run = generate_swarm(SHORT[0], worker, 1)[0], generate_swarm(SHORT[0], simulate, 1)[0]
    assert type(score) is float
    assert run.performance == score
    assert len(run.hydrographs["states"]["depthN P1"]) == run.steps


def test_workers_have_one_thread_for_blas():
    def threads(config):
        from threadpoolctl import threadpool_info

        np.ones((2, 2)) @ np.ones((2, 2))
        return {library["num_threads"] for library in threadpool_info()}, os.environ[
            "OMP_NUM_THREADS"
        ]

    assert generate_swarm(None, threads, 1) == [({1}, "1")]


def test_the_callers_own_threads_are_left_alone(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)

    def told(name):
        return os.environ.get(name)

    assert generate_swarm(["OMP_NUM_THREADS", "MKL_NUM_THREADS"], told, 2) == ["1", "1"]
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert "MKL_NUM_THREADS" not in os.environ


def test_a_progress_bar_is_drawn(capsys):
    generate_swarm([1, 2, 3], square, 1, progress=True)
    assert "3/3" in capsys.readouterr().err
    generate_swarm([1, 2, 3], square, 1)
    assert capsys.readouterr() == ("", "")


def test_a_loop_of_ones_own_in_this_process_leaves_no_file_and_no_guard():
    expected = worker({"controller": ConstantOpening(0.4), "scenario": "theta"})
    for _ in range(2):
        with private_engine():
            scenario = pystorms.scenarios.theta()
            while not scenario.step([0.4, 0.4]):
                pass
        assert scenario.performance() == expected
    with private_engine(network=first_hour):
        scenario = pystorms.scenarios.theta()
        scenario.step([0.4, 0.4])  # left open: the block closes it
    with pytest.raises(ZeroDivisionError), private_engine():
        scenario = pystorms.scenarios.theta()
        1 / 0  # noqa: B018
    with private_engine(), pytest.raises(RuntimeError, match="still open"):
        pystorms.scenarios.theta()
        pystorms.scenarios.theta()


# What it refuses, before any process starts

SIX = "jobs for a list of 6 configs"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"processors": 0}, ValueError("processors must be an integer of at least 1, got 0")),
        ({"processors": 1.5}, TypeError("processors must be an integer of at least 1, got 1.5")),
        ({"processors": True}, TypeError("processors must be an integer of at least 1, got True")),
        ({"jobs": 1}, ValueError(f"{SIX} must be an integer of at least 6, got 1")),
        ({"jobs": "six"}, TypeError(f"{SIX} must be an integer of at least 6, got 'six'")),
        (
            {"jobs": 10**30},
            ValueError(f"jobs must be a number of jobs that a list can hold, got {10**30}"),
        ),
        ({"timeout": 0}, ValueError("timeout must be a number of seconds above 0, got 0")),
        ({"timeout": True}, TypeError("timeout must be a number of seconds, got True")),
        ({"timeout": "1"}, TypeError("timeout must be a number of seconds, got '1'")),
        (
            {"timeout": float("nan")},
            ValueError("timeout must be a number of seconds above 0, got nan"),
        ),
        (
            {"timeout": np.int64(-1)},
            ValueError(f"timeout must be a number of seconds above 0, got {np.int64(-1)!r}"),
        ),
        ({"executor": 3}, TypeError("executor must be a concurrent.futures.Executor, got 3")),
        (
            {"max_tasks_per_child": 0},
            ValueError("max_tasks_per_child must be an integer of at least 1, got 0"),
        ),
    ],
)
def test_bad_arguments(arguments, error):
    with pytest.raises(type(error)) as caught:
        generate_swarm(SHORT, worker, **arguments)
    assert str(caught.value) == str(error)


def test_more_processors_than_any_machine_has_are_as_many_as_jobs():
    assert generate_swarm([1, 2], square, 10**30) == [1, 4]


@pytest.mark.parametrize("worker", [None, "worker", 5, SHORT])
def test_a_worker_that_is_no_function_is_refused(worker):
    with pytest.raises(TypeError, match="worker must be a callable, config -> result, got"):
        generate_swarm(SHORT, worker)


@pytest.mark.skipif(os.name != "posix", reason="sets a limit that only POSIX has")
def test_more_processes_than_open_files_allow_are_refused(run_python):
    printed = run_python("""
import resource
from stormswarm_utils import generate_swarm
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
try:
    generate_swarm([1] * 100, abs, 100)
except ValueError as error:
    print(error)
print(generate_swarm([1] * 10, abs, 3))
""")
    first, second = printed.splitlines()
    assert first.startswith("processors must be at most 8 here, got 100: each worker process needs")
    assert second == str([1] * 10)


@pytest.mark.parametrize(
    "configs",
    [
        (one for one in SHORT),
        tuple(SHORT),
        range(3),
        {1, 2},
        np.eye(2),
        {1: 2}.values(),
        map(abs, [1]),
    ],
    ids=lambda configs: type(configs).__name__,
)
def test_what_can_be_iterated_over_and_is_no_list_is_refused(configs):
    with pytest.raises(TypeError, match=r"configs must be a list: put list\(...\) around"):
        generate_swarm(configs, square)


def test_a_table_of_pandas_is_refused_with_its_own_way_to_a_list():
    pandas = pytest.importorskip("pandas")
    with pytest.raises(TypeError, match=r'rows of a table become one with .to_dict\("records"\)'):
        generate_swarm(pandas.DataFrame({"opening": [0.1, 0.2]}), square)


@pytest.mark.parametrize("config", ["text", b"bytes", {"a": 1}, 5, None, Path("folder")])
def test_a_single_config_of_any_other_kind_is_one_job(config):
    assert generate_swarm(config, lambda config: [config], 1) == [[config]]


class Bare:
    """Theta behind the three methods that a scenario needs, without a list of valves."""

    score = None

    def __init__(self):
        self.theta = pystorms.scenarios.theta()

    def state(self):
        return self.theta.state()

    def step(self, actions):
        return self.theta.step(actions)

    def performance(self):
        return self.theta.performance() if self.score is None else self.score


class WithoutScore(Bare):
    score = float("nan")


class WithoutShortScore(Bare):
    score = np.float32("nan")


@pytest.mark.parametrize("answer", [[0.5, float("nan")], np.full(2, np.nan), float("nan")])
def test_nan_is_refused_in_a_scenario_without_a_list_of_valves(answer):
    config = {"scenario": Bare, "controller": lambda state: answer}
    with pytest.raises(ValueError, match=r"Bare, step 0: .* is not an action: NaN is no"):
        worker(config)


@pytest.mark.parametrize("answer", [[0.5, 0.5], None])
def test_other_actions_reach_a_scenario_without_a_list_of_valves(answer):
    rule = {"controller": lambda state: answer}
    assert worker(rule | {"scenario": Bare}) == worker(rule | {"scenario": "theta"})


@pytest.mark.parametrize("scenario", [WithoutScore, WithoutShortScore])
def test_a_score_of_nan_is_a_failure(scenario):
    config = {"scenario": scenario, "controller": lambda state: None}
    (result,) = generate_swarm(config, worker, 1, return_exceptions=True)
    assert "step 12576: performance() is NaN (not a number), which is not a score" in str(result)


def test_cached_functions_of_a_script_are_sent(run_python):
    printed = run_python("""
import functools
from stormswarm_utils import generate_swarm


@functools.cache
def load():
    return 5


@functools.lru_cache(maxsize=3)
def fibonacci(number):
    return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)


class Model:
    @functools.cache
    def run(self, config):
        return config * load()


print(generate_swarm([5, 6], lambda config: load() + fibonacci(config) + Model().run(config), 2))
print(generate_swarm([5, 6], fibonacci, 2))
""")
    assert printed.splitlines() == ["[35, 43]", "[5, 8]"]


def test_a_cached_function_inside_a_function_is_sent():
    @functools.lru_cache(maxsize=7)
    def cached(number):
        return cached.cache_parameters(), number**2

    assert generate_swarm([2], cached, 1) == [({"maxsize": 7, "typed": False}, 4)]


def test_jobs_without_configs():
    with pytest.raises(ValueError, match="jobs=3 needs at least one config"):
        generate_swarm([], worker, jobs=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"controler": 1}, "job 1: unknown config key 'controler'; allowed are controller, "),
        (
            {"controller": 0.5},
            "job 1: controller must be a callable from state to actions, got 0.5",
        ),
        (
            {"controller": ConstantOpening},
            "job 1: controller must be an object, and ConstantOpening is its class; "
            "ConstantOpening(...) makes one",
        ),
        ({"scenario": "gama"}, "job 1: unknown scenario 'gama'; allowed are alpha, beta, gamma"),
        ({"scenario": 7}, "job 1: scenario must be a name, or a class or function that makes"),
        ({"scenario": dict}, "job 1: scenario must be a name, or a class or function that makes"),
        (
            {"scenario": Sized},
            "job 1: scenario must be a name, or a class or function that makes an object with the "
            f"methods state, step and performance, got {Sized!r} without performance",
        ),
        ({"metric": "worst"}, "job 1: unknown metric 'worst'; allowed are mean, cumulative"),
        ({"metric": []}, "job 1: metric must be a name, got []"),
        ({"network": "net.inp"}, "job 1: network must be a callable from text to text, got 'net"),
        ({"seed": 1.5}, "job 1: seed must be an integer, got 1.5"),
        ({"seed": -1}, "job 1: seed must be from 0 to 2**32 - 1, got -1"),
    ],
)
@pytest.mark.parametrize("run", [worker, simulate])
def test_a_bad_config_is_named_before_anything_runs(change, message, run, tmp_path):
    def mark(state):
        Path(tmp_path, "ran").touch()

    configs = [SHORT[0] | {"controller": mark}, SHORT[1] | change]
    error = TypeError if " must be a" in message else ValueError
    with pytest.raises(error) as caught:
        generate_swarm(configs, run, 2)
    assert message in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(error) as caught:
        run(configs[1])
    assert str(caught.value).startswith(message.removeprefix("job 1: "))


def test_a_config_without_controller_or_that_is_no_dict():
    for config in ({"scenario": "theta"}, "theta", None):
        with pytest.raises((TypeError, ValueError), match="controller"):
            generate_swarm(config, worker)


def test_other_workers_get_their_configs_as_they_are():
    odd = {"scenario": [1, 2], "controller": 3, "name": {4: 5}}
    configs = [{"controler": 1}, "text", (1, 2), None, odd]
    swarm = generate_swarm(configs, lambda config: config, 2)
    assert swarm == configs
    assert swarm.timeline[4]["name"] == "{4: 5}"


def test_what_cannot_be_sent_is_named_at_once():
    lock = threading.Lock()
    with pytest.raises(ValueError, match="job 1: its config cannot be sent"):
        generate_swarm([1, lock], square)
    with pytest.raises(ValueError, match=r"job 0: 'model' in its config cannot be sent: .*lock"):
        generate_swarm({"seed": 1, "model": [lock]}, square)
    with pytest.raises(ValueError, match=r"worker .* cannot be sent to a process"):
        generate_swarm(1, lambda config: lock)
    with pytest.raises(ValueError, match=r"theta: controller .* cannot be copied"):
        worker(SHORT[0] | {"controller": lambda state: lock})


# What a controller may answer


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (float("nan"), "valve 1: nan is not an opening; allowed is 0 (closed) to 1 (open)"),
        ([0.5, float("nan")], "valve 2: nan is not an opening"),
        ([9, 0], "valve 1: 9 is not an opening"),
        ([0.5, -3], "valve 2: -3.0 is not an opening"),
        (float("inf"), "valve 1: inf is not an opening"),
        ([1.0], "actions of shape (1,) for 2 valves (1, 2); one number per valve is allowed"),
        (np.ones(3), "actions of shape (3,) for 2 valves (1, 2)"),
        (np.ones((1, 2)), "actions of shape (1, 2) for 2 valves"),
        ({"1": 1.0, "2": 1.0}, "{'1': 1.0, '2': 1.0} is not an action; allowed are one number"),
        ("open", "'open' is not an action"),
        ([None, 1.0], "[None, 1.0] is not an action"),
        ([[1.0], [1.0, 0.0]], "[[1.0], [1.0, 0.0]] is not an action"),
        (0.5 + 0j, "(0.5+0j) is not an action"),
    ],
)
def test_what_is_no_opening_names_step_valve_and_value(answer, message):
    class FromStepThree:
        step = 0

        def __call__(self, state):
            self.step += 1
            return answer if self.step > 3 else 1.0

    config = SHORT[0] | {"controller": FromStepThree(), "name": "mine"}
    with pytest.raises(ValueError) as caught:
        worker(config)
    assert str(caught.value).startswith("mine, step 3")
    assert message in str(caught.value)
    swarm = generate_swarm([SHORT[0], config], worker, 1, return_exceptions=True)
    assert str(swarm[1]).startswith("job 1 (mine), step 3")
    assert type(swarm[1]) is ValueError
    assert worker(SHORT[0]) == swarm[0]


@pytest.mark.parametrize(
    "answer",
    [1, True, np.int64(1), np.float32(1), [1, 1], (1, 1), (True, 1.0), np.ones(2, int), 1 + 1e-12],
)
def test_numbers_of_every_kind_are_openings(answer):
    expected = worker(SHORT[0] | {"controller": ConstantOpening(1.0)})
    score = worker(SHORT[0] | {"controller": lambda state: answer})
    assert score == pytest.approx(expected, rel=1e-9)


def test_a_constant_opening_is_checked_when_it_is_made():
    assert repr(ConstantOpening(0.5)) == "ConstantOpening(opening=0.5)"
    assert ConstantOpening([1, 0]) == ConstantOpening((1.0, 0.0))
    assert pickle.loads(pickle.dumps(ConstantOpening(0.5))) == ConstantOpening(0.5)
    assert len({ConstantOpening(0.5), ConstantOpening(0.5)}) == 1
    for wrong in (2, -1, float("nan"), "half", [0.5, 2], None):
        with pytest.raises(ValueError, match="ConstantOpening"):
            ConstantOpening(wrong)
    with pytest.raises(ValueError, match="an opening must be a number from 0 to 1, got 'half'"):
        ConstantOpening("half")
    with pytest.raises(ValueError, match=r"valve number 2: 2\.0 is not an opening"):
        ConstantOpening((0.5, 2))


# One engine per process


def test_a_simulation_inside_a_simulation_gets_a_sentence():
    inner = SHORT[1]
    with pytest.raises(RuntimeError, match="a SWMM simulation is still open"):
        worker(SHORT[0] | {"controller": lambda state: worker(inner)})
    assert worker(inner) == generate_swarm(inner, worker, 1)[0]


def test_a_simulation_left_open_gets_a_sentence_and_does_not_hinder_a_swarm(
    run_python, original_pystorms
):
    source = """
import pystorms
from benchmarks.common import first_hour
from stormswarm_utils import ConstantOpening, generate_swarm, worker

if __name__ == "__main__":
    config = {"controller": ConstantOpening(1.0), "scenario": "theta", "network": first_hour}
    expected = worker(config)
    scenario = pystorms.scenarios.theta()
    scenario.step(None)
    try:
        worker(config)
    except RuntimeError as error:
        print(error)
    print(generate_swarm(config, worker, 1) == [expected])
    scenario.env.sim.close()
    print(worker(config) == expected)
    finished = pystorms.scenarios.theta()  # the plain loop leaves pyswmm's guard set
    while not finished.step(None):
        pass
    print(worker(config) == expected)
"""
    printed = run_python(source, original_pystorms)  # plain loops write beside the networks
    first, *others = printed.splitlines()
    assert first.startswith("a SWMM simulation is still open in this Python process")
    assert others == ["True", "True", "True"]


# Whatever a job does concerns that job


class TwoArgumentsError(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} {two}")


class UnpicklableError(Exception):
    def __init__(self):
        super().__init__("holds a lock")
        self.lock = threading.Lock()


class UnprintableError(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def die(state):
    os.kill(os.getpid(), signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)


def leave(state):
    os._exit(7)


def hang(state):
    while True:
        pass


def throw(error):
    def controller(state):
        raise error() if isinstance(error, type) else error

    return controller


FAILURES = {
    "ValueError": (throw(ValueError("bad luck")), ValueError, "bad luck"),
    "SystemExit": (throw(SystemExit(3)), SystemExit, "3"),
    "KeyboardInterrupt": (throw(KeyboardInterrupt()), KeyboardInterrupt, ""),
    "GeneratorExit": (throw(GeneratorExit()), GeneratorExit, ""),
    "two arguments": (lambda state: throw(TwoArgumentsError("a", "b"))(state), None, "a b"),
    "unpicklable": (throw(UnpicklableError), RuntimeError, "UnpicklableError: holds a lock"),
    "unprintable": (throw(UnprintableError), UnprintableError, None),
    "exit code": (leave, None, "its worker process died (exit code 7)"),
}
if os.name == "posix":
    FAILURES["killed"] = (die, None, "its worker process died (signal SIGKILL)")


@pytest.mark.parametrize("kind", FAILURES)
def test_one_failure_in_ten_leaves_nine_results(kind):
    controller, error_type, message = FAILURES[kind]
    configs = (
        [SHORT[0]] * 4 + [SHORT[0] | {"controller": controller, "name": kind}] + [SHORT[0]] * 5
    )
    expected = worker(SHORT[0])
    with pytest.raises(SwarmError) as caught:
        generate_swarm(configs, worker, 2)
    results = caught.value.results
    assert [one for one in results if one == expected] == [expected] * 9
    assert list(results.failures) == [4]
    failure = results.failures[4]
    assert failure is results[4]
    assert caught.value.__cause__ is failure
    assert error_type is None or type(failure) is error_type
    assert "1 of 10 jobs failed" in str(caught.value)
    assert f"job 4 ({kind}): {type(failure).__name__}" in str(caught.value)
    if message is not None:
        assert message in str(failure)
        assert message in results.timeline[4]["error"]
    assert results.timeline[4]["start"] is not None
    assert results.timeline[4]["stop"] is not None
    assert len(pickle.dumps(caught.value)) > 0


def test_a_result_that_cannot_be_sent_back_is_called_the_result():
    with pytest.raises(SwarmError, match=r"job 1: TypeError: cannot pickle .*its result cannot be"):
        generate_swarm([1, 2], lambda number: number if number == 1 else threading.Lock(), 2)


def test_a_failure_shows_where_it_happened_in_the_worker():
    swarm = generate_swarm(
        [SHORT[0] | {"controller": throw(KeyError("depth"))}], worker, 1, return_exceptions=True
    )
    assert type(swarm[0]) is KeyError
    assert "raise error() if isinstance(error, type) else error" in swarm[0].__notes__[-1]


def test_a_result_that_cannot_be_sent_back_fails_its_job_alone():
    def awkward(config):
        return threading.Lock() if config == 1 else lambda: config

    swarm = generate_swarm([0, 1, 2], awkward, 2, return_exceptions=True)
    assert [swarm[0](), swarm[2]()] == [0, 2]
    assert list(swarm.failures) == [1]


def test_a_result_may_be_an_exception_and_is_no_failure():
    swarm = generate_swarm([1], lambda config: ValueError(config), 1)
    assert swarm.failures == {}
    assert type(swarm[0]) is ValueError


def test_a_job_over_its_time_is_stopped():
    configs = [SHORT[0], SHORT[0] | {"controller": hang}, SHORT[1], SHORT[2]]
    clock = time.perf_counter()
    with pytest.raises(SwarmError) as caught:
        generate_swarm(configs, worker, 2, timeout=2)
    assert time.perf_counter() - clock < 2 + 4 + 2  # limit, leeway, start
    results = caught.value.results
    assert list(results.failures) == [1]
    assert type(results[1]) is TimeoutError
    assert str(results[1]) == "job 1 (hang): stopped at its time limit of 2 s"
    assert [results[0], *results[2:]] == [worker(one) for one in (SHORT[0], SHORT[1], SHORT[2])]


def test_many_failures_are_told_in_a_few_lines():
    with pytest.raises(SwarmError) as caught:
        generate_swarm(1, throw(ValueError("no")), 2, 30)
    assert len(str(caught.value).splitlines()) == 12
    assert "... and 20 more" in str(caught.value)


SCRIPT = """
import sys, time
from pathlib import Path
from stormswarm_utils import generate_swarm

def wait(config):
    Path({mark!r} + str(config)).touch()
    time.sleep(600)

if __name__ == "__main__":
    try:
        generate_swarm([0, 1, 2, 3], wait, 2)
    except KeyboardInterrupt:
        print("interrupted")
"""


@pytest.mark.skipif(os.name != "posix", reason="a console's Ctrl-C cannot be sent on Windows")
def test_ctrl_c_in_a_script_stops_at_once_and_leaves_nothing(tmp_path, ctrl_c_is_heard):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(mark=str(tmp_path / "mark")))
    before = scratch_folders()
    process = subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while len(list(tmp_path.glob("mark*"))) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    workers = workers_of(psutil.Process(process.pid))
    assert len(workers) == 2
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to the workers as well
    printed, errors = process.communicate(timeout=10)
    assert printed == "interrupted\n"
    assert errors == ""
    assert psutil.wait_procs(workers, timeout=5)[1] == []
    assert scratch_folders() == before
