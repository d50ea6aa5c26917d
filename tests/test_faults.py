"""Sweeps under attack: killed workers, killed parents, full disks, garbage for input."""

import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import time
from concurrent import futures

import numpy as np
import psutil
import pytest
from conftest import ROOT, scratch_folders, workers_of
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from benchmarks.common import first_hour, sweep
from stormswarm.scenarios import CONFIG_KEYS
from stormswarm_utils import (
    METRICS,
    SCENARIOS,
    ConstantOpening,
    SwarmError,
    generate_swarm,
    worker,
)

pytestmark = pytest.mark.slow

posix = pytest.mark.skipif(os.name != "posix", reason="sends signals and sets limits")


SWEEP = """
import json, os, sys, threading, time
from stormswarm_utils import SwarmError, generate_swarm, worker
from benchmarks.common import sweep

def fill_the_disk(path):
    import resource
    while not path.exists() or len(path.read_bytes().splitlines()) < 40:
        time.sleep(0.01)
    size = path.stat().st_size + 700  # in the middle of a line
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

if __name__ == "__main__":
    if "full" in sys.argv:
        from pathlib import Path
        threading.Thread(target=fill_the_disk, args=[Path(sys.argv[1])], daemon=True).start()
    try:
        swarm = generate_swarm(sweep(60), worker, 2, checkpoint=sys.argv[1])
        print(json.dumps(swarm))
    except (SwarmError, OSError) as error:
        print(error)
        sys.exit(3)
"""


def start_sweep(tmp_path, *arguments):
    script = tmp_path / "sweep.py"
    script.write_text(SWEEP, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", script, tmp_path / "sweep.jsonl", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def lines(path):
    """Return the whole lines of a checkpoint, without its first."""
    return path.read_bytes().split(b"\n")[1:-1] if path.exists() else []


def results_on_file(path):
    return [one for one in map(json.loads, lines(path)) if "result" in one]


@pytest.fixture(scope="module")
def serial_scores():
    return [worker(config) for config in sweep(60)]


@posix
def test_killed_workers_and_killed_parents_lose_no_job(tmp_path, serial_scores):
    """60 real runs: a worker killed every half second, the parent twice; the third call ends.

    Where a worker takes longer than that to start, the next one is killed after the next result.
    """
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    path, before, luck = tmp_path / "sweep.jsonl", scratch_folders(), random.Random(seed)
    killed = 0
    for parent_dies_at in (20, 40):
        process = start_sweep(tmp_path)
        seen, next_kill = lines(path), time.monotonic() + 0.5
        at_last_kill = -1
        while process.poll() is None and len(results_on_file(path)) < parent_dies_at:
            time.sleep(0.02)
            if time.monotonic() > next_kill and len(results_on_file(path)) > at_last_kill:
                workers = workers_of(psutil.Process(process.pid))
                if workers:
                    luck.choice(workers).kill()
                    killed += 1
                at_last_kill, next_kill = len(results_on_file(path)), time.monotonic() + 0.5
        workers = workers_of(psutil.Process(process.pid))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert psutil.wait_procs(workers, timeout=10)[1] == []
        deadline = time.monotonic() + 10  # a worker may have been starting
        while scratch_folders() != before and time.monotonic() < deadline:
            time.sleep(0.05)
        assert scratch_folders() == before
        assert lines(path)[: len(seen)] == seen
    seen = lines(path)
    printed, errors = start_sweep(tmp_path).communicate(timeout=120)
    assert errors == ""
    assert json.loads(printed) == serial_scores
    assert lines(path)[: len(seen)] == seen
    assert sorted(one["job"] for one in results_on_file(path)) == [*range(60)]
    assert killed > 0


@posix
def test_a_full_disk_stops_the_sweep_and_a_second_call_completes_it(tmp_path, serial_scores):
    path = tmp_path / "sweep.jsonl"
    stopped = start_sweep(tmp_path, "full")
    printed, errors = stopped.communicate(timeout=120)
    assert (stopped.returncode, errors) == (3, "")
    assert "cannot be written to the checkpoint" in printed
    assert str(path) in printed
    kept = results_on_file(path)
    assert 40 <= len(kept) < 60
    assert path.read_bytes().endswith(b"\n")
    again = start_sweep(tmp_path)
    printed, errors = again.communicate(timeout=120)
    assert json.loads(printed) == serial_scores
    assert sorted(one["job"] for one in results_on_file(path)) == [*range(60)]
    assert results_on_file(path)[: len(kept)] == kept


@posix
def test_workers_that_are_all_killed_at_once_are_replaced(tmp_path):
    """Workers that die while no job runs are replaced."""
    first = tmp_path / "first"

    def leave_a_mark(config):
        first.touch()
        time.sleep(0.05)
        return config

    killer = f"""
import pathlib, time
import psutil

while not pathlib.Path({str(first)!r}).exists():
    time.sleep(0.005)
for _ in range(3):
    for child in psutil.Process({os.getpid()}).children():
        if "spawn_main" in " ".join(child.cmdline()):
            child.kill()
    time.sleep(0.4)
"""
    watcher = subprocess.Popen([sys.executable, "-c", killer])
    swarm = generate_swarm([*range(60)], leave_a_mark, 2, return_exceptions=True)
    watcher.wait()
    assert [one for one in swarm if isinstance(one, int)] == [
        job for job in range(60) if job not in swarm.failures
    ]
    assert len(swarm.failures) <= 2 * 3
    assert all("its worker process died" in str(error) for error in swarm.failures.values())


# What a failure says


def test_the_engines_own_words_are_told():
    def misspelt(network):
        return first_hour(network).replace("P2 ", "P9 ", 1)

    bad = {"controller": ConstantOpening(1.0), "scenario": "theta", "network": misspelt}
    with pytest.raises(Exception, match="ERROR 200") as caught:
        worker(bad)
    (note,) = caught.value.__notes__
    assert re.match(r"SWMM's report: ERROR 2\d\d: .* at line \d+", note)
    swarm = generate_swarm([bad], worker, 1, return_exceptions=True)
    assert note in swarm.timeline[0]["error"]
    assert note in str(SwarmError(swarm))


def test_a_failure_names_the_step_that_it_reached():
    class Careless:
        def __init__(self):
            self.steps = 0

        def __call__(self, state):
            self.steps += 1
            return 1.0 if self.steps < 8 else 1 / 0

    config = {"controller": Careless(), "scenario": "theta", "network": first_hour}
    with pytest.raises(ZeroDivisionError) as caught:
        worker(config)
    assert caught.value.__notes__ == ["step 7"]
    with pytest.raises(
        SwarmError, match=r"ZeroDivisionError: division by zero \(step 7\)"
    ) as caught:
        generate_swarm([config], worker, 1)
    assert caught.value.results.timeline[0]["error"].endswith("(step 7)")


def test_a_notebook_shows_a_table_in_place_of_stacks():
    def fail(config):
        raise ValueError("bad\nluck" * 100)

    with pytest.raises(SwarmError) as caught:
        generate_swarm([{"name": "one"}, {"name": "another"}], fail, 1)
    (shown,) = caught.value._render_traceback_()
    first, *rows = shown.splitlines()
    assert first == "SwarmError: all 2 jobs failed"
    assert [row[:34] for row in rows] == [
        "  job 0 (one):     ValueError: bad",
        "  job 1 (another): ValueError: bad",
    ]
    assert max(map(len, rows)) < 230
    assert all(row.endswith(" ...") for row in rows)


WITHOUT_GUARD = """
from stormswarm_utils import generate_swarm
print("before")
def square(number):
    return number**2
print(generate_swarm([1, 2, 3], square, 2))
"""


def test_a_script_needs_no_guard(run_python):
    assert run_python(WITHOUT_GUARD).splitlines() == ["before", "[1, 4, 9]"]


# Garbage

numbers = st.one_of(
    st.floats(), st.floats(-0.5, 1.5), st.integers(-3, 3), st.booleans(), st.complex_numbers()
)
leaves = st.one_of(numbers, st.none(), st.text(max_size=5), st.binary(max_size=5))
garbage = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.lists(numbers, max_size=3).map(lambda one: np.array(one, dtype=object))
    ),
    max_leaves=8,
)
many = settings(
    max_examples=250,
    derandomize=True,  # the same cases in every run of the checks
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def thread():
    with futures.ThreadPoolExecutor(1) as executor:
        yield executor


def allowed_opening(value):
    return isinstance(value, bool | int | float) and -1e-9 <= value <= 1 + 1e-9


@many
@given(answer=st.one_of(garbage, st.lists(numbers, min_size=2, max_size=2)))
@example(answer=[math.nan, 0.5])
@example(answer=-math.inf)
@example(answer=10**400)
def test_any_action_gives_a_score_or_says_why_not(answer, thread):
    config = {"controller": lambda state: answer, "scenario": "theta", "network": first_hour}
    swarm = generate_swarm([config], worker, executor=thread, return_exceptions=True)
    values = answer.tolist() if isinstance(answer, np.ndarray) else answer
    if allowed_opening(values):
        values = [values, values]
    plain = isinstance(values, list | tuple) and len(values) == 2
    if plain and all(map(allowed_opening, values)):
        pair = tuple(min(1.0, max(0.0, float(value))) for value in values)
        if not isinstance(answer, np.ndarray) or type(swarm[0]) is not ValueError:
            expected = worker(config | {"controller": ConstantOpening(pair)})
            assert math.isclose(swarm[0], expected, rel_tol=1e-6)
    elif answer is None:
        assert isinstance(swarm[0], float)
    else:
        assert type(swarm[0]) is ValueError
        assert "job 0" in str(swarm[0])


names = st.sampled_from([*CONFIG_KEYS, "controler", "", 3])
values = st.one_of(
    garbage,
    st.sampled_from([*SCENARIOS[-1:], *METRICS, "omega", "Mean"]),
    st.sampled_from([control := ConstantOpening(0.5), first_hour, len, dict, math.nan]),
)


@many
@given(config=st.one_of(garbage, st.dictionaries(names, values, max_size=5)))
@example(config={"controller": control, "scenario": "theta", "network": first_hour})
@example(config={"controller": control, "scenario": dict, "network": len})
def test_any_config_gives_a_score_or_says_why_not(config, thread):
    one = config | {"network": config.get("network", first_hour)} if is_dict(config) else config
    refusal = None
    try:
        (score,) = generate_swarm([one], worker, executor=thread)
    except (TypeError, ValueError, SwarmError) as error:
        refusal = str(error)
    if refusal is None:
        assert math.isfinite(score)
        assert set(one) <= set(CONFIG_KEYS)
    else:
        assert "job 0" in refusal


def is_dict(config):
    return isinstance(config, dict)


@pytest.fixture(scope="module")
def written(tmp_path_factory, thread):
    """Return jobs, what they give, and the checkpoint that they left."""
    configs = sweep(5, first_hour)
    path = tmp_path_factory.mktemp("checkpoint") / "sweep.jsonl"
    swarm = generate_swarm(configs, worker, executor=thread, checkpoint=path)
    return configs, list(swarm), path.read_bytes()


edits = st.lists(
    st.tuples(
        st.floats(0, 1), st.sampled_from(["flip", "cut", "put", "end"]), st.binary(max_size=9)
    ),
    max_size=3,
)


@many
@given(edits=edits, wild=st.one_of(st.none(), st.binary(max_size=300)))
def test_any_checkpoint_gives_the_right_scores_or_is_refused(
    edits, wild, written, thread, tmp_path
):
    configs, expected, content = written
    content = content if wild is None else wild
    for place, kind, new in edits:
        at = int(place * len(content))
        if kind == "flip" and at < len(content):
            content = content[:at] + bytes([content[at] ^ 1 << len(new) % 8]) + content[at + 1 :]
        elif kind == "cut":
            content = content[:at] + content[at + len(new) + 1 :]
        elif kind == "put":
            content = content[:at] + new + content[at:]
        elif kind == "end":
            content = content[:at]
    path = tmp_path / "sweep.jsonl"
    path.write_bytes(content)
    refusal = None
    try:
        swarm = generate_swarm(configs, worker, executor=thread, checkpoint=path)
    except ValueError as error:
        refusal = str(error)
    if refusal is None:
        assert swarm == expected
    else:
        assert "checkpoint" in refusal
        assert path.read_bytes() == content


MORE_WORKERS_THAN_WORK = """
from stormswarm_utils import generate_swarm

if __name__ == "__main__":
    for _ in range(3):
        assert generate_swarm([1] * 12, abs, 12) == [1] * 12
"""


def test_workers_that_still_start_when_the_last_job_ends_do_not_complain(run_python):
    done = run_python(MORE_WORKERS_THAN_WORK, check=False)
    assert (done.returncode, done.stderr) == (0, "")
