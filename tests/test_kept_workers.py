"""Worker processes that are kept between calls: used again only while the world is the same."""

import multiprocessing
import os
import random
import signal
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import psutil
import pytest
from conftest import ROOT, has_ended

from benchmarks.common import first_hour
from stormswarm import own_pool
from stormswarm.jobs import PackedJobs
from stormswarm.worker_process import is_installed_file
from stormswarm_utils import ConstantOpening, generate_swarm, simulate, stop_workers, worker

pytestmark = pytest.mark.slow

posix = pytest.mark.skipif(os.name != "posix", reason="does what only POSIX can")
SHORT = {"controller": ConstantOpening(0.5), "scenario": "theta", "network": first_hour}


def pids(processors=2):
    """Return the processes of so many workers; each runs a job that waits for the others."""

    def meet(folder):
        Path(folder, str(os.getpid())).touch()
        while len(os.listdir(folder)) < processors:
            time.sleep(0.002)
        return os.getpid()

    with tempfile.TemporaryDirectory() as folder:
        return set(generate_swarm(folder, meet, processors, processors))


def test_the_next_call_finds_the_workers_and_stop_workers_ends_them():
    first = pids()
    assert len(first) == 2
    assert pids() == first
    assert pids(1) < first
    assert pids(3) > first
    idle = [psutil.Process(pid) for pid in first]
    stop_workers()
    assert psutil.wait_procs(idle, timeout=5)[1] == []
    assert first.isdisjoint(pids())


@posix
@pytest.mark.parametrize("call", [stop_workers, pids])
def test_no_signal_goes_to_the_number_of_a_process_that_has_ended(call, monkeypatch):
    stop_workers()
    for pid in pids():
        os.kill(pid, signal.SIGKILL)
    while multiprocessing.active_children():  # this also frees their numbers for others
        time.sleep(0.01)
    signalled = []
    monkeypatch.setattr(os, "killpg", lambda group, number: signalled.append(group))
    call()
    assert signalled == []


def test_a_failed_job_does_not_cost_its_worker():
    first = pids()
    generate_swarm([1, 0], lambda number: 1 / number, 2, return_exceptions=True)
    assert pids() == first


@pytest.mark.parametrize("change", ["environment", "folder", "path"])
def test_in_another_world_there_are_other_workers(change, monkeypatch, tmp_path):
    first = pids()
    if change == "environment":
        monkeypatch.setenv("STORMSWARM_TEST", "today")
    elif change == "folder":
        monkeypatch.chdir(tmp_path)
    else:
        monkeypatch.syspath_prepend(str(tmp_path))

    def tell(_):
        return os.environ.get("STORMSWARM_TEST"), os.getcwd(), str(tmp_path) in sys.path

    here = tell(None)
    assert generate_swarm(None, tell, 2, 4) == [here] * 4
    assert first.isdisjoint(pids())


@posix
def test_a_new_folder_of_the_same_name_is_another_folder(tmp_path, monkeypatch):
    def write(name):
        Path(name).touch()

    for name in ("first", "second"):
        (tmp_path / "results").mkdir()
        monkeypatch.chdir(tmp_path / "results")
        generate_swarm([name], write, 1)
        (tmp_path / "results").rename(tmp_path / name)
    assert (tmp_path / "first" / "first").exists()
    assert (tmp_path / "second" / "second").exists()


def test_a_module_that_was_loaded_before_the_first_job_is_seen_too(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    module = tmp_path / "sitecustomize.py"  # Python imports it when it starts

    def read(_):
        return sys.modules["sitecustomize"].VALUE

    for value in (1, 22):
        module.write_text(f"VALUE = {value}\n", encoding="utf-8")
        time.sleep(0.2)  # longer than a file may be written before it counts as being written
        assert generate_swarm([None], read, 1) == [value]


def test_a_file_beside_the_copied_helper_is_the_users_own():
    for name in ("stormswarm_rules.py", "stormswarm2/rules.py", "stormswarm_utils_2.py"):
        assert not is_installed_file(str(ROOT / name))
    for name in ("stormswarm_utils.py", "stormswarm/jobs.py"):
        assert is_installed_file(str(ROOT / name))


@pytest.mark.parametrize("how", ["by name", "inside", "submodule"])
def test_an_edited_module_is_seen_by_the_next_call(how, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / f"edited_{how.replace(' ', '_')}"
    package.mkdir()
    (package / "__init__.py").touch()
    module = package / "rules.py"

    def write(value):
        body = f"    time.sleep(0.1)  # so that each worker has a job\n    return {value}\n"
        module.write_text(f"import time\n\ndef rule(config):\n{body}", encoding="utf-8")

    name = f"{package.name}.rules"

    def inside(config):
        import importlib

        return importlib.import_module(name).rule(config)

    write(1)
    if how == "by name":
        inside(None)
        function = sys.modules[name].rule  # travels by name
    elif how == "inside":
        function = inside
    else:

        def function(config):
            __import__(name)
            return sys.modules[name].rule(config)

    assert generate_swarm([0] * 4, function, 2) == [1] * 4
    write(22)
    assert generate_swarm([0] * 4, function, 2) == [22] * 4
    before = pids()
    assert generate_swarm([0] * 4, function, 2) == [22] * 4
    time.sleep(0.3)
    module.touch()
    os.utime(module, (1e9, 1e9))  # a file from an archive may well be older than the one before
    assert generate_swarm([0] * 4, function, 2) == [22] * 4
    assert before.isdisjoint(pids())


@posix
def test_a_worker_whose_job_died_or_was_late_is_replaced_and_the_other_kept():
    first = pids()

    def die(config):
        if config == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.3)

    generate_swarm([0, 1], die, 2, return_exceptions=True)
    second = pids()
    assert len(first & second) == 1
    swarm = generate_swarm([30, 0.1], time.sleep, 2, timeout=1, return_exceptions=True)
    assert list(swarm.failures) == [0]
    assert len(second & pids()) == 1


@posix
def test_after_ctrl_c_no_worker_is_kept(ctrl_c_is_heard):
    first = pids()
    threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        generate_swarm([60, 60], time.sleep, 2)
    assert all(map(has_ended, first))
    assert first.isdisjoint(pids())


def test_after_an_error_of_the_call_its_worker_is_not_kept(tmp_path):
    first = pids()
    path = tmp_path / "sweep.jsonl"
    with pytest.raises(ValueError, match="job 0"):
        generate_swarm([1], lambda config: {1, 2}, 2, checkpoint=path)
    assert len(first & pids()) == 1  # the one that was not needed


def test_idle_workers_end_by_themselves(monkeypatch):
    monkeypatch.setattr(own_pool, "IDLE_SECONDS", 1.5)
    first = pids()
    assert not any(map(has_ended, first))
    deadline = time.monotonic() + 10
    while not all(map(has_ended, first)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert first.isdisjoint(pids())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_idle_workers_hold_nothing_of_an_earlier_call(tmp_path):
    def look(folder):
        simulate(SHORT)
        (Path(folder) / "mark").touch()
        return os.getpid()

    held = []
    for pid in set(generate_swarm(str(tmp_path), look, 2, 4)):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            held.append(os.readlink(link))
        assert "stormswarm-" not in Path(f"/proc/{pid}/maps").read_text()
    assert not [path for path in held if "stormswarm-" in path or str(tmp_path) in path]


CALLER = """
import os, sys, time
from stormswarm_utils import generate_swarm

def tell(nap):
    time.sleep(nap)
    return os.getpid()

print(*set(generate_swarm([0.1] * 4, tell, 2)), flush=True)
{end}
"""


@posix
@pytest.mark.parametrize("end", ["sys.exit()", "os.kill(os.getpid(), 9)", "os._exit(0)"])
def test_idle_workers_end_with_the_caller(end, run_python):
    done = run_python(CALLER.format(end=end), check=False)
    ended = time.monotonic()
    assert len(done.stdout.split()) == 2
    while not all(has_ended(int(pid)) for pid in done.stdout.split()):
        assert time.monotonic() - ended < 2
        time.sleep(0.02)


FORKED = """
import os, time
from stormswarm_utils import generate_swarm

def tell(nap):
    time.sleep(nap)
    return os.getpid()

first = set(generate_swarm([0.1] * 4, tell, 2))
child = os.fork()
second = set(generate_swarm([0.1] * 4, tell, 2))
assert first.isdisjoint(second) if child == 0 else first == second
if child:
    assert os.waitpid(child, 0)[1] == 0
    assert set(generate_swarm([0.1] * 4, tell, 2)) == first
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_process_neither_uses_nor_ends_the_workers(run_python):
    run_python(FORKED)


def test_two_threads_get_workers_of_their_own():
    def tell(nap):
        time.sleep(nap)
        return os.getpid()

    seen = {}

    def call(number):
        seen[number] = set(generate_swarm([0.1] * 6, tell, 2))

    for _ in range(2):
        threads = [threading.Thread(target=call, args=[number]) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(map(len, seen.values())) == len(set.union(*seen.values()))


def test_swarms_in_a_swarm_keep_workers_too():
    def outer(config):
        calls = [generate_swarm([config], lambda one: (one, os.getpid()), 1)[0] for _ in range(2)]
        stop_workers()
        return calls

    for number, calls in enumerate(generate_swarm([0, 1, 2], outer, 2)):
        assert [one for one, _ in calls] == [number] * 2
        assert len({pid for _, pid in calls}) == 1


MODULE = """
from stormswarm_utils import generate_swarm

def double(number):
    return 2 * number

print(generate_swarm([1, 2], double, 2, return_exceptions=True))
"""


@pytest.mark.parametrize("where", ["by name", "in a job"])
def test_a_module_that_starts_a_swarm_is_refused_in_a_worker(where, run_python, tmp_path):
    module = MODULE
    if where == "in a job":
        module = MODULE.replace("2], double", '2], lambda _: __import__("models").double')
    (tmp_path / "models.py").write_text(module, encoding="utf-8")
    printed = run_python("import models\n", path=tmp_path)
    assert printed.count("a worker process imports a module that starts a swarm") == 2
    assert printed.count("\n") == 1


# Random numbers


def draw(config):
    return random.random(), np.random.random()  # noqa: NPY002, the global generator is the point


def test_no_two_jobs_draw_the_same_numbers():
    def seed_and_draw(config):
        drawn = draw(config)
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        return drawn

    swarm = generate_swarm([0] * 6, seed_and_draw, 2) + generate_swarm([0] * 6, seed_and_draw, 2)
    assert len({number for drawn in swarm for number in drawn}) == 24


class Noisy:
    """A controller that draws from the global generators."""

    def __call__(self, state):
        return [random.random()] * 4 + [np.random.random()]  # noqa: NPY002


def test_a_seed_repeats_a_noisy_run_wherever_it_runs():
    noisy = SHORT | {"controller": Noisy(), "scenario": "alpha"}
    seeded = noisy | {"seed": 7}
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    expected = worker(seeded)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002
    assert worker(seeded) == expected == simulate(seeded).performance
    swarm = generate_swarm([seeded, noisy, seeded, noisy, seeded | {"seed": 8}], worker, 2)
    assert [swarm[0], swarm[2]] == [expected] * 2
    assert len({expected, swarm[1], swarm[3], swarm[4]}) == 4
    assert generate_swarm([seeded], worker, 1) == [expected]


# What travels


def test_prints_of_jobs_arrive_and_their_streams_are_put_back(run_python, monkeypatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    source = """
import sys, time
from stormswarm_utils import generate_swarm

def job(what):
    print("job", what)
    if what == "closes":
        sys.stdout.close()
    elif what == "replaces":
        sys.stdout = open("/dev/null", "w")
    elif what == "sleeps":
        time.sleep(60)

jobs = ["first", "closes", "second", "replaces", "third", "sleeps", "last"]
swarm = generate_swarm(jobs, job, 1, timeout=2, return_exceptions=True)
print(*swarm.failures)
"""
    printed = run_python(source).splitlines()
    expected = ["first", "closes", "second", "replaces", "third", "sleeps", "last"]
    assert printed == [*(f"job {what}" for what in expected), "5"]


def test_a_large_table_is_sent_once_and_every_job_has_its_own():
    table = np.zeros(1_000_000)
    configs = [{"table": table, "number": number} for number in range(20)]

    def spoil(config):
        config["table"][config["number"]] += 1
        return config["table"].sum()

    assert generate_swarm(configs, spoil, 2) == [1.0] * 20
    packed = PackedJobs(spoil, configs, ["job"] * 20)
    assert table.nbytes < sum(map(len, packed.parts)) < table.nbytes + 50_000
    assert len(packed.shared) == 2  # the worker function and the table
    alone = PackedJobs(spoil, [{"table": np.zeros(10_000)} for _ in range(20)], ["job"] * 20)
    assert len(alone.shared) == 1


def test_what_a_worker_process_does_not_import():
    heavy = {"matplotlib", "tqdm", "psutil", "loky", "portalocker", "asyncio", "pandas"}
    heavy |= {"stormswarm.checkpoint", "stormswarm.fingerprint", "stormswarm.modules"}

    def look(config):
        if config:
            worker(config)
        return sorted(heavy & set(sys.modules))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert generate_swarm([None, SHORT], look, 1) == [[], []]
