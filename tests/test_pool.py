"""Attacks on the helper's own pool: each costs the job that attacks, and no other."""

import ctypes
import functools
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections import Counter
from concurrent import futures
from pathlib import Path

import numpy as np
import psutil
import pytest
from conftest import ROOT, has_ended, scratch_folders, workers_of

from benchmarks.common import first_hour
from stormswarm_utils import (
    ConstantOpening,
    SwarmError,
    generate_swarm,
    private_engine,
    stop_workers,
    worker,
)

pytestmark = pytest.mark.slow

posix = pytest.mark.skipif(os.name != "posix", reason="does what only POSIX can")
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
SHORT = {"controller": ConstantOpening(0.5), "scenario": "theta", "network": first_hour}


def run_all_but(bad, job, **options):
    """Run five jobs of which one is `bad`; return its failure after a look at the others."""

    def run(config):
        return bad() if config == 1 else config

    swarm = generate_swarm([0, 1, 2, 3, 4], run, 2, return_exceptions=True, **options)
    assert list(swarm.failures) == [job]
    assert [one for one in swarm if isinstance(one, int)] == [0, 2, 3, 4]
    return swarm.failures[job]


# A process that ends, by every road


def exit_in_a_thread():
    threading.Timer(0.05, os._exit, [0]).start()
    time.sleep(60)


WAYS_TO_END = {
    "os._exit(0)": (lambda: os._exit(0), "exit code 0"),
    "os._exit(0) in a thread": (exit_in_a_thread, "exit code 0"),
    "exit(0) of C": (lambda: ctypes.CDLL(None).exit(0), "exit code 0"),
    "os._exit(7)": (lambda: os._exit(7), "exit code 7"),
}
if os.name == "posix":
    true = "/bin/true" if os.path.exists("/bin/true") else "/usr/bin/true"
    WAYS_TO_END |= {
        "another program": (lambda: os.execv(true, ["true"]), "exit code 0"),
        "SIGKILL": (lambda: os.kill(os.getpid(), signal.SIGKILL), "signal SIGKILL"),
        "SIGTERM": (lambda: os.kill(os.getpid(), signal.SIGTERM), "signal SIGTERM"),
        "a closed pipe": (lambda: os.closerange(3, 256), "its worker process died"),
    }


@pytest.mark.parametrize("way", WAYS_TO_END)
def test_a_process_that_ends_costs_its_job_alone(way):
    if way == "exit(0) of C" and os.name != "posix":
        pytest.skip("finds C's library as POSIX does")
    end, words = WAYS_TO_END[way]
    clock = time.perf_counter()
    failure = run_all_but(end, 1)
    assert time.perf_counter() - clock < 20
    assert str(failure).startswith("job 1: its worker process died")
    assert words in str(failure)


@posix
def test_a_job_that_forks_gives_one_answer():
    def fork(config):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of a process with threads
            os.fork()
        return config

    assert generate_swarm([1, 2, 3], fork, 1) == [1, 2, 3]


@linux
def test_the_death_of_a_worker_is_noticed_though_its_child_keeps_the_pipe():
    def leave_a_child():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            if os.fork() == 0:
                os.setsid()
                time.sleep(8)
                os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)

    clock = time.perf_counter()
    assert "signal SIGKILL" in str(run_all_but(leave_a_child, 1))
    assert time.perf_counter() - clock < 6


@posix
def test_what_a_job_has_started_ends_with_its_worker(tmp_path):
    def start_and_wait():
        program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        (tmp_path / "pid").write_text(str(program.pid))
        time.sleep(600)

    assert isinstance(run_all_but(start_and_wait, 1, timeout=3), TimeoutError)
    deadline = time.monotonic() + 5
    while not has_ended(int((tmp_path / "pid").read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@linux
def test_a_worker_that_is_killed_while_it_sends_stops_nobody():
    def die_while_sending():
        main = threading.get_native_id()

        def kill():
            while True:
                fields = Path(f"/proc/self/task/{main}/stat").read_text().rsplit(")", 1)[1].split()
                where = Path(f"/proc/self/task/{main}/wchan").read_text()
                if fields[0] == "S" and ("unix" in where or "sock" in where or where == "0"):
                    os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(0.001)

        threading.Thread(target=kill, daemon=True).start()
        return b"x" * (300 << 20)

    clock = time.perf_counter()
    assert "signal SIGKILL" in str(run_all_but(die_while_sending, 1))
    assert time.perf_counter() - clock < 30


@posix
def test_a_worker_that_is_killed_while_it_receives_stops_nobody():
    def measure(config):
        if isinstance(config, float):
            time.sleep(config)
            return config
        return config.nbytes if hasattr(config, "nbytes") else config

    def kill():
        while not stop.wait(0.001):
            for child in workers_of(psutil.Process()):
                try:
                    if child.memory_info().rss > 260 * 2**20:
                        child.kill()
                        killed.append(child)
                        return
                except psutil.Error:
                    pass

    stop, killed = threading.Event(), []
    killer = threading.Thread(target=kill)
    killer.start()
    clock = time.perf_counter()
    big = np.ones(40_000_000)
    swarm = generate_swarm([2.0, big, *range(20)], measure, 2, return_exceptions=True)
    stop.set()
    killer.join()
    assert time.perf_counter() - clock < 30
    assert [swarm[0], *swarm[2:]] == [2.0, *range(20)]
    assert list(swarm.failures) in ([], [1])
    assert killed


@posix
def test_a_hundred_kills_cost_a_job_each_at_most():
    """Workers are killed at random while they start, receive, run, send and wait."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    luck, stop, killed = random.Random(seed), threading.Event(), []

    stop_workers()
    start = generate_swarm([None] * 3, worker=str, processors=3).seconds
    pause = max(0.12, start / 4)  # or hardly a process would live long enough to be ready

    def kill():
        while len(killed) < 100 and not stop.wait(luck.expovariate(1 / pause)):
            if workers := workers_of(psutil.Process()):
                try:
                    one = luck.choice(workers)
                    one.kill()
                    killed.append(one.pid)
                except psutil.Error:
                    pass

    def work(config):
        number, table = config
        time.sleep(0.002 * (number % 5))
        return number, table * 2

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        while len(killed) < 100:
            before = len(killed)
            configs = [(job, np.full(20_000 * (job % 4), job)) for job in range(300)]
            swarm = generate_swarm(configs, work, 3, return_exceptions=True)
            for job, result in enumerate(swarm):
                if job in swarm.failures:
                    assert str(result) == f"job {job}: its worker process died (signal SIGKILL)"
                else:
                    assert result[0] == job
                    assert np.array_equal(result[1], configs[job][1] * 2)
            assert len(swarm.failures) <= len(killed) - before + 1
    finally:
        stop.set()
        killer.join()


# What a job leaves in its process


def test_what_a_job_changes_is_put_back():
    def read(config):
        return (
            *(os.getcwd(), dict(os.environ), [*sys.path], sys.getrecursionlimit()),
            *(np.geterr(), [str(one) for one in warnings.filters]),
            [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)],
        )

    def change(folder):
        os.chdir(folder)
        os.environ["STORMSWARM_TEST"] = "1"
        os.environ.pop("PATH", None)
        sys.path.insert(0, "/nowhere")
        sys.setrecursionlimit(5000)
        np.seterr(all="raise")
        warnings.simplefilter("error")
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0.2)

    def run(config):
        return config if isinstance(config, int) and time.sleep(config) else read_or_change(config)

    def read_or_change(config):
        return change(config) if isinstance(config, str) else read(config)

    folder = os.path.dirname(os.path.abspath(os.sep))
    before, changed, after, later = generate_swarm([0, folder, 0, 1], run, 1)
    assert changed is None
    assert before == after == later
    assert "STORMSWARM_TEST" not in after[1]


def test_a_folder_that_a_job_has_removed_costs_the_process_and_no_job(tmp_path, monkeypatch):
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def remove(config):
        if config == 1:
            os.chdir(tmp_path)
            folder.rmdir()
            folder.with_name("moved").mkdir()
        return config

    swarm = generate_swarm([0, 1], remove, 1)
    assert swarm == [0, 1]
    with pytest.raises(FileNotFoundError, match="the working folder has been removed"):
        generate_swarm([0, 1], remove, 1)


def test_a_process_per_job_keeps_patches_away():
    def rude(state):
        sys.modules["pystorms.scenarios.theta"].threshold = lambda value, target, scaling: 0.0
        return 0.5

    expected = worker(SHORT | {"network": None})
    configs = [SHORT, SHORT | {"controller": rude}, SHORT, SHORT]
    configs = [config | {"network": None} for config in configs]
    swarm = generate_swarm(configs, worker, 1, max_tasks_per_child=1)
    assert [swarm[0], swarm[2], swarm[3]] == [expected] * 3
    assert swarm[1] != expected
    assert len({record["worker"] for record in swarm.timeline}) == 4


# Simulations inside simulations


def test_threads_inside_a_simulation_are_refused_a_simulation():
    with (
        private_engine(),
        futures.ThreadPoolExecutor(1) as threads,
        pytest.raises(SwarmError, match="a SWMM simulation is still open"),
    ):
        generate_swarm([SHORT], worker, executor=threads)

    def nested(config):
        with futures.ThreadPoolExecutor(1) as threads:
            return generate_swarm([config], worker, executor=threads)

    with pytest.raises(SwarmError, match="a SWMM simulation is still open"):
        generate_swarm([SHORT], nested, 1)


# Strange exceptions


class HasStrangeNotesError(ValueError):
    __notes__ = None


class BecomesTextError(Exception):
    def __reduce__(self):
        return str, ("text",)


class EndsWhoeverAddsANoteError(Exception):
    def add_note(self, note):
        raise SystemExit(0)


class EndsWhoeverPrintsItError(Exception):
    def __str__(self):
        raise SystemExit(0)


class EndsWhoeverUnpicklesItError(Exception):
    def __reduce__(self):
        return sys.exit, (0,)


def raise_with_numbers_as_notes():
    error = ValueError("x")
    error.__notes__ = [1]
    raise error


def throw(error_type):
    def raise_it():
        raise error_type("x")

    return raise_it


STRANGE = [
    HasStrangeNotesError,
    BecomesTextError,
    EndsWhoeverAddsANoteError,
    EndsWhoeverPrintsItError,
    EndsWhoeverUnpicklesItError,
]


@pytest.mark.parametrize("bad", [raise_with_numbers_as_notes, *map(throw, STRANGE)])
def test_a_strange_exception_fails_its_job_alone(bad):
    failure = run_all_but(bad, 1)
    assert isinstance(failure, BaseException)
    with pytest.raises(SwarmError, match="1 of 2 jobs failed") as caught:
        generate_swarm([0, 1], lambda config: bad() if config else config, 1)
    assert isinstance(caught.value.__cause__, BaseException)
    assert "job 1: " in str(caught.value)


def test_a_network_edit_that_returns_nothing_is_named():
    config = SHORT | {"network": lambda text: None}
    with pytest.raises(TypeError, match="network must return the edited text, it returned None"):
        worker(config)


# Signals to everybody


SIGNALLED = """
import time
from pathlib import Path
from stormswarm_utils import generate_swarm, worker
from benchmarks.common import first_hour

def wait(config):
    worker({"controller": lambda state: 0.5, "scenario": "theta", "network": first_hour})
    Path(MARK + str(config)).touch()
    time.sleep(600)

generate_swarm([0, 1, 2, 3], wait, 2)
"""


def start_and_signal(tmp_path, strike):
    """Start a swarm in a session of its own, strike, and return what it printed on stderr."""
    script = tmp_path / "script.py"
    script.write_text(f"MARK = {str(tmp_path / 'mark')!r}\n{SIGNALLED}", encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, script],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while len(list(tmp_path.glob("mark*"))) < 2:
        assert process.poll() is None
        time.sleep(0.02)
    workers = workers_of(psutil.Process(process.pid))
    strike(process)
    process.communicate(timeout=20)
    assert psutil.wait_procs(workers, timeout=10)[1] == []
    return process


@posix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGKILL"])
def test_a_signal_to_the_group_leaves_nothing(name, tmp_path):
    before = scratch_folders()
    number = getattr(signal, name)
    process = start_and_signal(tmp_path, lambda process: os.killpg(process.pid, number))
    assert process.returncode == -number
    assert scratch_folders() == before


@posix
def test_ctrl_c_pressed_again_and_again_leaves_nothing(tmp_path, ctrl_c_is_heard):
    before, luck = scratch_folders(), random.Random()

    def press(process):
        for _ in range(luck.randint(2, 6)):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
            time.sleep(luck.uniform(0, 0.08))

    for _ in range(5):
        for mark in tmp_path.glob("mark*"):
            mark.unlink()
        start_and_signal(tmp_path, press)
        assert scratch_folders() == before


KILLED_WITH_ALL = """
import os, signal
from stormswarm import scratch
print(scratch.make_root(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@posix
def test_what_a_kill_of_everything_leaves_is_removed_by_the_next_swarm(run_python):
    (root,) = run_python(KILLED_WITH_ALL, check=False).stdout.split()
    assert os.path.isdir(root)
    living = "from stormswarm import scratch; print(scratch.make_root()); input()"
    other = subprocess.Popen(
        [sys.executable, "-c", living],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    kept = other.stdout.readline().strip()
    run_python("from stormswarm_utils import generate_swarm; generate_swarm([1], abs, 1)")
    assert not os.path.isdir(root)
    assert os.path.isdir(kept)
    other.communicate("\n")
    assert not os.path.isdir(kept)


# Scripts


def run_script(source, **options):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-"],
        input=textwrap.dedent(source),
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


def test_a_script_may_come_from_the_standard_input():
    done = run_script("""
        from stormswarm_utils import generate_swarm
        print(generate_swarm([1, 2], lambda number: number**2, 2))
    """)
    assert (done.stdout, done.stderr) == ("[1, 4]\n", "")


def test_a_script_that_makes_a_folder_is_not_run_again(run_python):
    source = """
import os
from stormswarm_utils import generate_swarm
os.mkdir("results")
def square(number):
    return number**2
print(generate_swarm([1, 2], square, 2))
"""
    assert run_python(source) == "[1, 4]\n"


def test_a_process_that_cannot_start_says_why(monkeypatch):
    monkeypatch.setenv("PYTHONSTARTUP", "x")  # a world of its own, so no worker is there already
    monkeypatch.setattr("stormswarm.kept_workers.run_worker", functools.partial(fail_to_start))
    swarm = generate_swarm([1, 2, 3], abs, 2, return_exceptions=True)
    assert len(swarm.failures) == 3
    for job, error in swarm.failures.items():
        assert str(error).startswith(f"job {job}: no worker process could be started: ")
        assert "ImportError: no such thing" in str(error)
    stop_workers()


def fail_to_start(pipe, root):
    import pickle

    pipe.send_bytes(pickle.dumps("ImportError: no such thing"))


def spoil_the_process(folder):
    os.mkdir(folder)
    os.chdir(folder)
    os.rmdir(folder)
    os.environ["STORMSWARM_SPOILED"] = "1"
    sys.path = None  # cannot be put back


@posix
@pytest.mark.parametrize("end", ["exit", "spoil", "timeout"])
def test_quick_jobs_behind_one_that_ends_its_process_run_elsewhere(tmp_path, end):
    """After quick jobs a worker process gets the next ones ahead of time; none runs twice."""

    def work(job):
        with open(tmp_path / "ran", "a") as file:
            file.write(f"{job} ")
        if job == 20:
            if end == "exit":
                os._exit(0)
            if end == "timeout":
                time.sleep(60)
            spoil_the_process(str(tmp_path / "gone"))
        return job, os.environ.get("STORMSWARM_SPOILED", "") if job > 20 else ""

    swarm = generate_swarm([*range(40)], work, 1, timeout=5, return_exceptions=True)
    assert [*swarm.failures] == ([] if end == "spoil" else [20])
    others = [result for job, result in enumerate(swarm) if job not in swarm.failures]
    assert others == [(job, "") for job in range(40) if job not in swarm.failures]
    assert [*map(int, (tmp_path / "ran").read_text().split())] == [*range(40)]


def test_a_worker_process_ends_after_exactly_so_many_quick_jobs():
    swarm = generate_swarm([None] * 40, lambda _: os.getpid(), 2, max_tasks_per_child=5)
    counts = sorted(Counter(swarm).values())
    assert counts[-1] == 5
    assert {*counts[2:]} == {5}  # the last two may have had fewer


def test_long_jobs_behind_many_quick_ones_are_shared_among_the_workers():
    def work(seconds):
        time.sleep(seconds)
        return os.getpid()

    pids = generate_swarm([0] * 200 + [0.5] * 4, work, 2)
    assert len({*pids[200:]}) == 2


def test_quick_jobs_with_much_to_send_and_much_to_answer_do_not_fill_the_pipe():
    jobs = [bytes([number]) * 50_000 for number in range(60)]
    assert generate_swarm(jobs, lambda job: job * 10, 2) == [job * 10 for job in jobs]


def test_no_job_waits_behind_a_long_one():
    """The two jobs before it take too long for anything to be sent ahead."""
    swarm = generate_swarm([0.02, 0.02, 2.0] + [0.02] * 9, time.sleep, 2)
    stops = [record["stop"] for record in swarm.timeline]
    assert max(stops) == stops[2]
