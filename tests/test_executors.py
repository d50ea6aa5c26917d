"""One class of tests for every engine that can run a swarm, and the engines that are refused."""

import math
import multiprocessing
import os
import platform
import shutil
import subprocess
import sys
import time
import uuid
from concurrent import futures
from contextlib import contextmanager, nullcontext
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import loky
import nbformat
import psutil
import pytest
from conftest import ROOT, workers_of

from benchmarks.common import first_hour, plain_worker
from stormswarm import jobs, pools
from stormswarm_utils import (
    ConstantOpening,
    SwarmError,
    generate_swarm,
    simulate,
    stop_workers,
    worker,
)

pytestmark = pytest.mark.slow

OPENINGS = [0.1, 0.3, 0.5, 0.7, 0.9, 1.0]
SHORT = [
    {"scenario": "alpha", "network": first_hour, "controller": ConstantOpening(opening)}
    for opening in OPENINGS
]
WORKERS = 2
UNDER_MPI = "UNDER_MPI"  # set where mpiexec runs this file
# The first three have processes of their own, which more tests ask for.
POOLS = ["mpi"] if UNDER_MPI in os.environ else ["own pool", "processes", "dask", "loky", "threads"]


def spawning_pool():
    return futures.ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn"))


@pytest.fixture(scope="module")
def engine(request, tmp_path_factory):
    """Yield an engine's name and its executor, whose workers have started."""
    children = workers_of(psutil.Process())
    with start_engine(request.param, tmp_path_factory) as executor:
        if executor is not None:
            naps = [executor.submit(time.sleep, 0.5 + nap / 1e6) for nap in range(WORKERS)]
            assert [nap.result() for nap in naps] == [None] * WORKERS
        yield request.param, executor
    left = [child for child in workers_of(psutil.Process()) if child not in children]
    assert psutil.wait_procs(left, timeout=10)[1] == []


def start_engine(name, tmp_path_factory):
    @contextmanager
    def dask():
        pytest.importorskip("distributed", reason="dask is not installed: the extra `cluster`")
        from benchmarks.dask_cluster import dask_cluster

        with (
            dask_cluster(tmp_path_factory.mktemp("dask") / "cluster", WORKERS) as cluster,
            cluster.client.get_executor() as executor,
        ):
            yield executor

    def mpi():
        from mpi4py.futures import MPIPoolExecutor

        return MPIPoolExecutor()

    engines = {
        "own pool": nullcontext,
        "processes": spawning_pool,
        "loky": partial(loky.ProcessPoolExecutor, WORKERS),
        "threads": partial(futures.ThreadPoolExecutor, WORKERS),
        "dask": dask,
        "mpi": mpi,
    }
    return engines[name]()


@pytest.fixture(scope="module")
def serial_scores():
    scores = [worker(one) for one in SHORT]
    assert len(set(scores)) == len(SHORT)  # or a wrong order would not be seen
    return scores


def throw(error):
    def controller(state):
        raise error

    return controller


class NeedsTwo(Exception):  # noqa: N818, one that cannot be unpickled
    def __init__(self, one, two):
        super().__init__(one)


class Counter:
    """A controller with a memory, which a job that is run after another must not see."""

    def __init__(self):
        self.calls = 0

    def __call__(self, state):
        self.calls += 1
        return 1.0 if self.calls < 100 else 0.0


def run_swarm(engine, config, function, *arguments, **options):
    """Run a swarm on two workers of the engine, whichever it is."""
    return generate_swarm(config, function, WORKERS, *arguments, executor=engine[1], **options)


@pytest.mark.parametrize("engine", POOLS, indirect=True, scope="module")
class TestEveryPool:
    def test_scores_in_the_order_of_the_jobs(self, engine, serial_scores):
        swarm = run_swarm(engine, SHORT, worker, 9)
        assert swarm == (serial_scores * 2)[:9]
        assert swarm.failures == {}

    def test_the_timeline_names_host_and_worker(self, engine):
        swarm = run_swarm(engine, SHORT, worker, 24)
        assert [record["job"] for record in swarm.timeline] == [*range(24)]
        assert {record["host"] for record in swarm.timeline} == {platform.node()}
        workers = {record["worker"] for record in swarm.timeline}
        assert workers == set(range(len(workers)))
        assert len(workers) <= WORKERS
        for record in swarm.timeline:
            assert 0 <= record["start"] < record["stop"] <= swarm.seconds
            assert record["error"] is None

    def test_one_simulation_at_a_time_in_a_process(self, engine):
        swarm = run_swarm(engine, [0.02] * 10, time.sleep)
        name, _ = engine
        by_process = sorted(
            swarm.timeline,
            key=lambda one: (name != "threads" and one["worker"], one["start"]),
        )
        for one, after in pairwise(by_process):
            if name == "threads" or one["worker"] == after["worker"]:
                assert one["stop"] <= after["start"] + 0.002  # clocks tick

    def test_every_one_of_equal_jobs_is_run(self, engine, tmp_path):
        def leave_a_mark(folder):
            Path(folder, uuid.uuid4().hex).touch()
            return len(folder)

        for swarms in (1, 2):
            swarm = run_swarm(engine, str(tmp_path), leave_a_mark, 8)
            assert swarm == [len(str(tmp_path))] * 8
            assert len([*tmp_path.iterdir()]) == 8 * swarms

    def test_what_a_job_raises_concerns_that_job(self, engine, serial_scores):
        def needs_two(state):
            raise NeedsTwo("one", "two")

        throwing = [throw(SystemExit(1)), throw(KeyboardInterrupt()), needs_two]
        controllers = [*throwing, ConstantOpening(0.5), lambda state: math.nan]
        broken = [SHORT[0] | {"controller": controller} for controller in controllers]
        with pytest.raises(SwarmError, match="4 of 11 jobs failed") as caught:
            run_swarm(engine, [*broken, *SHORT], worker)
        results = caught.value.results
        assert results[5:] == serial_scores
        assert results[3] == serial_scores[2]
        kinds = [type(error) for error in results.failures.values()]
        # Where dask is loaded, it has made exceptions travel that otherwise cannot.
        assert kinds[2] in (RuntimeError, NeedsTwo)
        assert [*kinds[:2], kinds[3]] == [SystemExit, KeyboardInterrupt, ValueError]
        assert "NeedsTwo: one" in results.timeline[2]["error"]
        assert "step 0" in results.timeline[4]["error"]
        assert run_swarm(engine, SHORT, worker) == serial_scores


@pytest.mark.skipif(UNDER_MPI in os.environ, reason="what holds there is in the class above")
@pytest.mark.parametrize("engine", POOLS[:3], indirect=True, scope="module")
class TestProcesses:
    def test_simulations_come_back_with_their_hydrographs(self, engine):
        (run,) = run_swarm(engine, SHORT[:1], simulate)
        assert run.steps == simulate(SHORT[0]).steps
        assert {len(series) for series in run.hydrographs["states"].values()} == {run.steps}

    def test_functions_and_classes_of_a_notebook_travel(self, engine):
        class Local:
            def __init__(self, value):
                self.value = value

        factor = 3
        swarm = run_swarm(engine, [Local(1), Local(2)], lambda one: Local(factor * one.value))
        assert [one.value for one in swarm] == [3, 6]

    def test_a_plain_loop_is_a_worker(self, engine, original_pystorms):
        assert (
            run_swarm(engine, [("theta", 1.0)] * 3, plain_worker)
            == [worker({"scenario": "theta", "controller": ConstantOpening(1.0)})] * 3
        )

    def test_a_controller_starts_every_job_afresh(self, engine):
        counter = Counter()
        config = SHORT[0] | {"controller": counter}
        assert len(set(run_swarm(engine, config, worker, 4))) == 1
        assert counter.calls == 0

    def test_a_checkpoint_runs_only_what_is_missing(self, engine, tmp_path, serial_scores):
        path = tmp_path / "sweep.jsonl"
        broken = [*SHORT[:3], SHORT[3] | {"controller": throw(OSError("no"))}, *SHORT[4:]]
        run_swarm(engine, broken, worker, checkpoint=path, return_exceptions=True)
        swarm = run_swarm(engine, SHORT, worker, checkpoint=path)
        assert swarm == serial_scores
        ran = [record["job"] for record in swarm.timeline if record["start"] is not None]
        assert ran == [3]
        assert swarm.timeline[0]["host"] is None

    def test_a_time_limit_is_kept_or_refused_at_the_call(self, engine, tmp_path):
        def mark_and_sleep(seconds):
            (tmp_path / "ran").touch()
            time.sleep(seconds)

        if engine[0] == "own pool":
            swarm = run_swarm(engine, 60, mark_and_sleep, 1, timeout=2, return_exceptions=True)
            assert type(swarm[0]) is TimeoutError
            return
        with pytest.raises(ValueError, match="Executors offer other means"):
            run_swarm(engine, 60, mark_and_sleep, 1, timeout=2)
        assert not (tmp_path / "ran").exists()

    def test_a_job_with_a_pool_of_its_own_keeps_the_time_limit(self, engine):
        def limited(config):
            (result,) = generate_swarm([config], time.sleep, 1, timeout=3, return_exceptions=True)
            stop_workers()  # those of this process, which would stay for a minute
            return str(result)

        assert run_swarm(engine, [0.1, 600], limited) == [
            "None",
            "job 0: stopped at its time limit of 3 s",
        ]

    def test_workers_of_other_versions_are_refused(self, engine, monkeypatch):
        versions = jobs.read_versions() | {"pystorms": "0.9"}
        monkeypatch.setattr(jobs, "read_versions", lambda: versions)
        swarm = run_swarm(engine, SHORT[:2], worker, return_exceptions=True)
        if engine[0] == "own pool":  # its processes are started with what the caller has
            assert swarm.failures == {}
        else:
            here = version("pystorms")
            sentence = f"this worker process has pystorms {here}, not 0.9"
            assert all(str(error).startswith(sentence) for error in swarm)

    def test_a_batch_of_jobs_per_task(self, engine, serial_scores):
        def batch(configs):
            return [worker(config) for config in configs]

        batches = [SHORT[start : start + 4] for start in range(0, len(SHORT), 4)]
        scores = [score for scores in run_swarm(engine, batches, batch) for score in scores]
        assert scores == serial_scores


@pytest.mark.skipif(UNDER_MPI in os.environ, reason="runs this file under MPI")
def test_the_same_under_mpi(tmp_path):
    mpiexec = shutil.which(
        "mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    )
    if mpiexec is None or find_spec("mpi4py") is None:
        pytest.skip("no MPI here: `pip install mpi4py mpich`, or mpi4py and the system's MPI")
    done = subprocess.run(
        [
            *(mpiexec, "-n", str(1 + WORKERS), sys.executable, "-m", "mpi4py.futures"),
            *("-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", tmp_path / "mpi"),
            *("-k", "TestEveryPool", __file__),
        ],
        env=os.environ
        | {
            UNDER_MPI: "1",
            "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "tests", ROOT))),
            "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",  # Open MPI 5
            "OMPI_MCA_rmaps_base_oversubscribe": "1",  # Open MPI 4
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    tests = [name for name in vars(TestEveryPool) if name.startswith("test_")]
    assert f"{len(tests)} passed" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0


# What is refused, and what breaks


def test_an_executor_that_forks_is_refused():
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system cannot fork")
    context = multiprocessing.get_context("fork")
    with (
        futures.ProcessPoolExecutor(1, mp_context=context) as executor,
        pytest.raises(ValueError, match="this executor forks its processes"),
    ):
        generate_swarm(SHORT, worker, executor=executor)


def test_what_is_no_executor_is_refused():
    class Client:  # dask's has a method submit too, and is no executor
        submit = None

    with pytest.raises(TypeError, match="executor must be a concurrent"):
        generate_swarm(SHORT, worker, executor=Client())
    Client.get_executor = None
    with pytest.raises(TypeError, match=r"a dask client makes one: client\.get_executor\(\)"):
        generate_swarm(SHORT, worker, executor=Client())


def test_jobs_that_an_executor_cancels_are_failures():
    def stop(config):
        time.sleep(0.2)
        executor.shutdown(wait=False, cancel_futures=True)
        return config

    class Threads(futures.ThreadPoolExecutor):
        def __reduce__(self):  # the job gets this very executor, though it is pickled
            return current_executor, ()

    with Threads(1) as executor:
        executors.append(executor)
        swarm = generate_swarm([1, 2, 3], stop, executor=executor, return_exceptions=True)
    assert swarm[0] == 1
    assert [str(error) for error in swarm[1:]] == [
        f"job {job}: the executor dropped it: it was shut down, or has lost its scheduler"
        for job in (1, 2)
    ]


executors = []


def current_executor():
    return executors[-1]


def test_an_executor_that_was_shut_down_fails_every_job():
    executor = futures.ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(SwarmError, match="all 6 jobs failed") as caught:
        generate_swarm(SHORT, worker, executor=executor)
    assert "cannot schedule new futures after shutdown" in str(caught.value)


class Forgetful(futures.Executor):
    """Runs some jobs, then answers to none that it has, as an engine without its scheduler."""

    def __init__(self, runs, then):
        self.runs, self.then, self.submitted = runs, then, 0

    def submit(self, function, *arguments):
        future = futures.Future()
        self.submitted += 1
        if self.submitted <= self.runs:
            future.set_result(function(*arguments))
        elif self.submitted > len(SHORT) or self.submitted == self.runs + 1:
            self.then(future)
        return future


def refuse(future):
    raise RuntimeError("the engine is closed")


def cancel(future):
    future.cancel()
    future.set_running_or_notify_cancel()


@pytest.mark.parametrize("then", [refuse, cancel])
def test_an_executor_that_forgets_its_jobs_is_not_waited_for(then, serial_scores, tmp_path):
    path = tmp_path / "sweep.jsonl"
    with pytest.raises(SwarmError, match="4 of 6 jobs failed") as caught:
        generate_swarm(SHORT, worker, executor=Forgetful(2, then), checkpoint=path)
    assert caught.value.results[:2] == serial_scores[:2]
    assert "the executor dropped it" in str(caught.value)
    again = generate_swarm(SHORT, worker, 2, checkpoint=path)
    assert again == serial_scores
    assert [record["start"] is None for record in again.timeline] == [True] * 2 + [False] * 4


def test_on_another_machine_the_callers_scratch_folder_is_not_there(serial_scores):
    class Elsewhere(futures.ThreadPoolExecutor):
        def submit(self, function, call, parts, root, *arguments):
            return super().submit(function, call, parts, root + "-not-here", *arguments)

    with Elsewhere(1) as executor:
        assert generate_swarm(SHORT, worker, executor=executor) == serial_scores


def test_a_long_job_of_a_living_executor_is_waited_for():
    with futures.ThreadPoolExecutor(1) as executor:
        assert generate_swarm([2.5, 0], time.sleep, executor=executor) == [None, None]


def test_an_executor_holds_only_so_many_jobs_at_a_time(monkeypatch):
    monkeypatch.setattr(pools, "AT_AN_EXECUTOR", 3)
    most = []

    class Watched(futures.ThreadPoolExecutor):
        def submit(self, *call):
            most.append(self._work_queue.qsize())
            return super().submit(*call)

    with Watched(1) as executor:
        assert generate_swarm([*range(30)], abs, executor=executor) == [*range(30)]
    assert max(most) <= 3


def test_notebook_08_says_how_to_install_dask(run_python):
    path = ROOT / "notebooks" / "08_beyond_one_machine.ipynb"
    imports = next(
        cell.source
        for cell in nbformat.read(path, as_version=4).cells
        if "from distributed" in cell.source and cell.cell_type == "code"
    )
    done = run_python(f"import sys\nsys.modules['distributed'] = None\n{imports}", check=False)
    assert done.returncode == 1
    assert "pip install '.[cluster]'" in done.stderr
    assert "During handling" not in done.stderr
