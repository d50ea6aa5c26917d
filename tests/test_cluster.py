"""Swarms on a dask cluster of real programs: what workers need, and who may be killed."""

import _thread
import itertools
import json
import os
import random
import statistics
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
from conftest import blocks
from packages import built_wheel, install

import stormswarm_utils
from benchmarks.cluster import replay, wall_time
from benchmarks.common import sweep
from benchmarks.dask_cluster import dask_cluster
from stormswarm_utils import ConstantOpening, SwarmError, generate_swarm, makespan, worker

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("distributed") is None, reason="dask is not installed: the extra `cluster`"
    ),
]
ROOT = Path(__file__).parent.parent
JOBS = 60


@pytest.fixture(scope="module")
def serial_scores():
    scores = [worker(config) for config in sweep(JOBS)]
    assert len(set(scores)) == JOBS  # or a job that is there twice would not be seen
    return scores


@pytest.fixture
def cluster(tmp_path, request):
    with dask_cluster(tmp_path / "cluster", request.param) as cluster:
        yield cluster


def results_on_file(path):
    lines = path.read_bytes().splitlines()[1:] if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith(b"}")]


class Attack(threading.Thread):
    """Calls each function as soon as the checkpoint holds as many results as it waits for."""

    def __init__(self, path, plan):
        super().__init__(daemon=True)
        self.path, self.plan, self.done = path, plan, []
        self.start()

    def run(self):
        for results, strike in self.plan:
            while len(results_on_file(self.path)) < results:
                time.sleep(0.01)
            strike()
            self.done.append((time.monotonic(), len(results_on_file(self.path))))


# What a worker needs


def where():
    """Make a worker that tells where it runs; it travels by value, as from a notebook."""

    def tell(job):
        time.sleep(0.2)
        return os.getpid(), os.getcwd(), stormswarm_utils.__file__, sys.path

    return tell


def two_configs():
    """Make a config that needs nothing but the helper where it runs."""

    def network(text):
        return text.replace("02/28/2018", "02/26/2018")

    opening = {"controller": ConstantOpening(0.5), "scenario": "theta", "network": network}
    return [opening, opening | {"controller": lambda state: 0.25 * (state > 0.1)}]


def test_workers_get_the_helper_by_upload(tmp_path, monkeypatch):
    (upload,) = [
        block
        for block in blocks((ROOT / "docs" / "scaling-out.md").read_text("utf-8"), "python")
        if "upload_file" in block
    ]
    monkeypatch.chdir(tmp_path)  # where the guide's lines write their zip
    expected = [worker(config) for config in two_configs()]
    with dask_cluster(tmp_path / "cluster", 2, on_path=False) as cluster:
        executor = cluster.client.get_executor()
        with pytest.raises(SwarmError, match="cannot import stormswarm") as caught:
            generate_swarm(two_configs(), worker, executor=executor)
        assert "client.upload_file" in str(caught.value)

        exec(upload, {"client": cluster.client})
        swarm = generate_swarm(two_configs(), worker, executor=executor)
        assert swarm == expected
        told = generate_swarm([*range(8)], where(), executor=executor)
        assert len({pid for pid, *_ in told}) == 2
        assert os.getpid() not in {pid for pid, *_ in told}
        for _, folder, helper, path in told:
            assert folder == str(tmp_path / "cluster" / "empty")
            assert Path(helper).is_relative_to(tmp_path / "cluster" / "space")
            assert str(ROOT) not in path

        cluster.start_workers(1)  # one that comes later has it too
        told = generate_swarm([*range(12)], where(), executor=executor)
        assert len({pid for pid, *_ in told}) == 3
    assert [*(tmp_path / "cluster" / "empty").iterdir()] == []


def test_workers_have_the_helper_installed(tmp_path):
    places = {"on_path": False, "packages": [install(built_wheel(), tmp_path / "installed")]}
    with dask_cluster(tmp_path / "cluster", 1, **places) as cluster:
        executor = cluster.client.get_executor()
        swarm = generate_swarm(two_configs(), worker, executor=executor)
        assert swarm == [worker(config) for config in two_configs()]
        ((_, _, helper, path),) = generate_swarm([0], where(), executor=executor)
        assert helper == str(tmp_path / "installed" / "stormswarm_utils.py")
        assert str(ROOT) not in path


# Who may be killed


@pytest.mark.parametrize("cluster", [3], indirect=True)
def test_killed_workers_lose_no_job(cluster, tmp_path, serial_scores):
    """Of three workers one is killed and comes back, another is killed with its nanny."""
    path, luck = tmp_path / "sweep.jsonl", random.Random()

    def kill_a_worker():
        luck.choice(cluster.worker_processes()).kill()

    def kill_a_program():
        nanny = luck.choice(cluster.nannies)
        family = [*psutil.Process(nanny.pid).children(recursive=True), psutil.Process(nanny.pid)]
        for process in reversed(family):
            process.kill()

    moments = luck.randint(5, 20), luck.randint(25, 40)
    attack = Attack(path, zip(moments, (kill_a_worker, kill_a_program), strict=True))
    swarm = generate_swarm(
        sweep(JOBS), worker, checkpoint=path, executor=cluster.client.get_executor()
    )
    assert swarm == serial_scores, moments
    assert sorted(one["job"] for one in results_on_file(path)) == [*range(JOBS)]
    assert len(attack.done) == 2
    assert attack.done[-1][1] < JOBS
    assert all(record["error"] is None for record in swarm.timeline)
    workers = {record["worker"] for record in swarm.timeline}
    assert len(workers) >= 3  # the one that came back is another process


@pytest.mark.parametrize("cluster", [2], indirect=True)
def test_a_killed_scheduler_is_an_error_soon_and_the_local_pool_finishes(
    cluster, tmp_path, serial_scores
):
    path = tmp_path / "sweep.jsonl"
    attack = Attack(path, [(random.randint(5, 40), cluster.scheduler.kill)])
    with pytest.raises(SwarmError, match="the executor dropped it") as caught:
        generate_swarm(sweep(JOBS), worker, checkpoint=path, executor=cluster.client.get_executor())
    ((killed, _),) = attack.done
    assert time.monotonic() - killed < 30
    results = caught.value.results
    kept = {one["job"]: one["result"] for one in results_on_file(path) if "result" in one}
    finished = {job: score for job, score in enumerate(results) if job not in results.failures}
    assert 0 < len(kept) < JOBS
    assert kept == finished

    swarm = generate_swarm(sweep(JOBS), worker, 2, checkpoint=path)
    assert swarm == serial_scores
    ran = {record["job"] for record in swarm.timeline if record["start"] is not None}
    assert ran == set(range(JOBS)) - set(kept)


def test_a_job_that_kills_its_workers_fails_alone(tmp_path):
    """Dask blames every job that a dead worker held, so it must hold one at a time."""

    def work(job):
        if job == 1:
            os._exit(7)
        return job

    settings = {
        "DASK_DISTRIBUTED__SCHEDULER__WORKER_SATURATION": "1.0",
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
    }
    with dask_cluster(tmp_path / "cluster", 1, **settings) as cluster:
        executor = cluster.client.get_executor()
        swarm = generate_swarm([*range(6)], work, executor=executor, return_exceptions=True)
    assert list(swarm.failures) == [1]
    assert type(swarm[1]).__name__ == "KilledWorker"
    assert [swarm[0], *swarm[2:]] == [0, 2, 3, 4, 5]
    assert "died while running it" in swarm.timeline[1]["error"]


def test_ctrl_c_leaves_the_cluster_to_the_next_swarm(tmp_path, ctrl_c_is_heard):
    with dask_cluster(tmp_path / "cluster", 2) as cluster:
        executor = cluster.client.get_executor()
        timer = threading.Timer(1.5, _thread.interrupt_main)
        timer.start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            generate_swarm([0.5] * 200, time.sleep, executor=executor)
        assert time.monotonic() - began < 15  # the jobs take 50
        assert generate_swarm([1, -2, 3], abs, executor=executor) == [1, 2, 3]


# The model of the wall time


@pytest.mark.parametrize(
    ("jobs", "cores", "seconds", "result", "expected"),
    [
        (1000, 10, [1.0], 0, (2 + 100.1, "cores")),
        (1000, 1000, [1.0], 0, (2 + 3.0, "scheduler")),
        (1000, 1000, [1.0], 10**6, (2 + 13.0, "scheduler")),
        (100, 1000, [1.0, 5.0], 0, (2 + 5.001, "longest job")),
    ],
)
def test_the_model_names_what_limits(jobs, cores, seconds, result, expected):
    costs = {"serial": 0.003, "worker": 0.001, "start": 2.0, "byte, dask": 1e-8}
    wall, limit = wall_time(jobs, cores, seconds, costs, result)
    assert (pytest.approx(wall), limit) == expected


def test_the_replay_is_a_schedule_that_the_model_bounds():
    free = {"serial": 0.0, "worker": 0.0, "start": 0.0, "byte, dask": 0.0}
    seconds = [1.0, 2.0, 3.0, 0.5]
    in_order = sorted(seconds * 5, reverse=True)
    assert replay(20, 3, seconds, free) == pytest.approx(makespan(in_order, 3))
    for serial, cores in itertools.product((0.0, 0.001, 0.5), (1, 7, 100)):
        costs = free | {"serial": serial, "worker": 0.01}
        followed = replay(200, cores, seconds, costs)
        bound, _ = wall_time(200, cores, seconds, costs)
        shared = 200 * (statistics.fmean(seconds) + 0.01) / min(cores, 200)
        assert bound <= followed + 1e-9
        assert followed <= shared + 200 * serial + max(seconds) + 0.01  # Graham's bound
