"""Checkpoints: what is kept, what runs again, and what is refused."""

import abc
import copy
import functools
import importlib
import inspect
import json
import math
import os
import pickle
import re
import shutil
import signal
import sys
import textwrap
import threading
import time
import types
from concurrent import futures
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
from code_roads import NOT_NOTICED, NOTICED

import stormswarm.checkpoint
import stormswarm.kept_results
import stormswarm_utils
from benchmarks.common import first_hour
from stormswarm.checkpoint import Checkpoint
from stormswarm.fingerprint import fingerprint
from stormswarm.jobs import read_versions
from stormswarm.kept_results import take_fingerprints
from stormswarm_utils import ConstantOpening, SwarmError, generate_swarm, simulate, worker

SHORT = [
    {"controller": ConstantOpening(opening), "scenario": "theta", "network": first_hour}
    for opening in (0.1, 0.3, 0.5, 0.7)
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sweep.jsonl"


def counting(folder, then=lambda config: config):
    """Make a worker that leaves a mark in the folder each time it runs."""

    def run(config):
        marks = len(list(folder.glob(f"{config}.*")))
        (folder / f"{config}.{marks}").touch()
        return then(config)

    return run


def marks(folder):
    return sorted(mark.stem for mark in folder.iterdir() if mark.suffix != ".jsonl")


# What is kept


def test_a_second_call_runs_nothing_and_gives_the_same(path):
    first = generate_swarm(SHORT, worker, 2, checkpoint=path)
    second = generate_swarm(SHORT, worker, 2, checkpoint=path)
    assert first == second == [worker(one) for one in SHORT]
    assert all(record["start"] is None for record in second.timeline)
    assert second.failures == {}


def test_each_line_says_what_was_run(path):
    generate_swarm([SHORT[0] | {"name": "tenth"}], worker, 1, checkpoint=path)
    header, line = map(json.loads, path.read_text().splitlines())
    assert header["versions"]["SWMM engine"].startswith("5.")
    assert set(header["versions"]) == {
        *("python", "SWMM engine", "pystorms", "pyswmm", "swmm-toolkit", "numpy")
    }
    assert (line["job"], line["name"], line["scenario"]) == (0, "tenth", "theta")
    assert line["result"] == worker(SHORT[0])
    assert line["seconds"] > 0
    assert re.fullmatch("[0-9a-f]{64}", line["fingerprint"])


def test_only_what_is_missing_runs(path, tmp_path):
    run = counting(tmp_path)
    assert generate_swarm([1, 2], run, 1, checkpoint=path) == [1, 2]
    assert generate_swarm([0, 1, 2, 3], run, 1, checkpoint=path) == [0, 1, 2, 3]
    assert generate_swarm([3, 1], run, 1, checkpoint=path) == [3, 1]
    assert marks(tmp_path) == ["0", "1", "2", "3"]


def test_equal_jobs_are_each_run_once(path, tmp_path):
    run = counting(tmp_path, lambda config: len(list(tmp_path.glob("7.*"))))
    first = generate_swarm([7], run, 1, jobs=2, checkpoint=path)
    assert sorted(first) == [1, 2]
    more = generate_swarm([7], run, 1, jobs=5, checkpoint=path)
    assert more[:2] == first
    assert sorted(more[2:]) == [3, 4, 5]


def test_a_change_in_what_is_run_runs_again_and_a_new_name_does_not(path):
    base = SHORT[1]
    generate_swarm([base], worker, 1, checkpoint=path)

    def ran(config, run=worker):
        swarm = generate_swarm([config], run, 1, checkpoint=path)
        assert swarm == [run(config)]
        return swarm.timeline[0]["start"] is not None

    assert not ran(base | {"name": "another label"})
    assert ran(base | {"controller": ConstantOpening(0.31)})
    assert ran(base | {"metric": "mean"})
    assert ran(base | {"network": lambda text: first_hour(text)})
    assert ran(base | {"scenario": "gamma"})
    assert ran(base, lambda config: worker(config))
    assert not ran(base)


def test_failures_are_written_down_and_tried_again(path, tmp_path):
    def then(config):
        if config == 1 and not (tmp_path / "mended").exists():
            raise KeyError("not yet")
        return config

    with pytest.raises(SwarmError, match="1 of 3 jobs failed"):
        generate_swarm([0, 1, 2], counting(tmp_path, then), 1, checkpoint=path)
    failed = [json.loads(line) for line in path.read_text().splitlines() if "error" in line]
    assert [(one["job"], one["error"]) for one in failed] == [(1, "KeyError: 'not yet'")]
    (tmp_path / "mended").touch()
    assert generate_swarm([0, 1, 2], counting(tmp_path, then), 1, checkpoint=path) == [0, 1, 2]
    assert marks(tmp_path) == ["0", "1", "1", "2", "mended"]


def test_durations_on_file_put_the_longest_first(path):
    def wait(config):
        return config["name"]

    names = [{"name": "short"}, {"name": "long"}]
    with Checkpoint(path, read_versions(), ["x", "y"]) as kept:
        for job, (name, seconds) in enumerate([("short", 0.1), ("long", 9.0)]):
            record = {"job": job, "name": name, "scenario": None, "error": None}
            kept.add(record | {"start": 0.0, "stop": seconds}, None)
    swarm = generate_swarm(names, wait, 1, checkpoint=path)
    assert swarm == ["short", "long"]
    assert swarm.timeline[1]["start"] < swarm.timeline[0]["start"]


@pytest.mark.parametrize(
    "result", [None, True, -1.5, 10**30, math.inf, "ö\udc80", [1, [2.5]], {"a": {"b": None}}]
)
def test_results_come_back_as_they_were(result, path):
    for _ in range(2):
        assert generate_swarm([0], lambda config: result, 1, checkpoint=path) == [result]


def test_nan_and_tuples_come_back_as_json_gives_them(path):
    for _ in range(2):
        swarm = generate_swarm([0], lambda config: (math.nan, np.float64(0.1)), 1, checkpoint=path)
        assert [type(one) for one in swarm[0]] == [float, float]
        assert math.isnan(swarm[0][0])
        assert swarm[0][1] == 0.1


# What is refused


@pytest.mark.parametrize("result", [np.zeros(2), {1: 2}, b"", object, np.int64(3)])
def test_a_result_that_json_cannot_hold_stops_the_sweep_at_once(result, path, tmp_path):
    run = counting(tmp_path, lambda config: result)
    with pytest.raises(ValueError, match=r"job 0: its result .* cannot be kept in a checkpoint"):
        generate_swarm([*range(500)], run, 1, checkpoint=path)
    assert len(marks(tmp_path)) < 100


def test_a_later_result_that_json_cannot_hold_fails_its_job_alone(path):
    with pytest.raises(SwarmError, match="job 1: TypeError: its result") as caught:
        generate_swarm([1, {2}, 3], lambda config: config, 1, checkpoint=path)
    assert caught.value.results[0] == 1
    assert caught.value.results[2] == 3


class Unspeakable:
    def __repr__(self):
        raise KeyError("no text")


@pytest.mark.parametrize(
    "result",
    [10**5000, [{"a": -(10**5000)}], {1: 10**5000}, Unspeakable(), [Unspeakable()]],
    ids=["integer", "nested integer", "key", "object", "nested object"],
)
def test_a_result_without_a_text_fails_its_job_alone(result, path):
    with pytest.raises(SwarmError, match="job 1: TypeError: its result of type") as caught:
        generate_swarm(
            [1, 2, 3], lambda config: result if config == 2 else config, 1, checkpoint=path
        )
    assert caught.value.results[0] == 1
    assert caught.value.results[2] == 3
    assert set(caught.value.results.failures) == {1}


def test_hydrographs_are_refused(path):
    with pytest.raises(ValueError, match="a checkpoint holds only what JSON can hold"):
        generate_swarm(SHORT, simulate, 1, checkpoint=path)
    assert not path.exists()


def test_what_cannot_be_told_apart_is_refused(path):
    import _thread

    class Awkward:
        def __reduce__(self):
            return _thread.allocate_lock, ()

        def __reduce_ex__(self, protocol):
            if protocol == 4:
                raise TypeError("no content to be read")
            return super().__reduce_ex__(protocol)

    with pytest.raises(ValueError, match=r"job 1: a checkpoint cannot tell .* no content"):
        generate_swarm([0, Awkward()], type, 1, checkpoint=path)


@pytest.mark.parametrize("bad", [5, b"x", True])
def test_the_checkpoint_is_a_path(bad):
    with pytest.raises(TypeError, match="checkpoint must be the path of a file"):
        generate_swarm(SHORT, worker, 1, checkpoint=bad)


def test_a_folder_that_is_not_there_is_said_before_anything_runs(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"the folder of the checkpoint does not exist: .*no'$"
    ):
        generate_swarm([1], counting(tmp_path), 1, checkpoint=tmp_path / "no" / "sweep.jsonl")
    assert marks(tmp_path) == []


@pytest.mark.parametrize("content", ["a diary\n", "no line end", "{}\n", '{"a": 1}'])
def test_any_other_file_is_refused_and_left_alone(content, path):
    path.write_text(content)
    with pytest.raises(ValueError, match="this file is no checkpoint of a swarm"):
        generate_swarm(SHORT, worker, 1, checkpoint=path)
    assert path.read_text() == content


def test_other_versions_are_refused_with_a_way_to_go_on(path, monkeypatch):
    generate_swarm([1], abs, 1, checkpoint=path)
    versions = read_versions() | {"pystorms": "9.9"}
    monkeypatch.setattr(stormswarm.kept_results, "read_versions", lambda: versions)
    with pytest.raises(ValueError, match=r"written with pystorms \S+, here 9\.9\..*a new file"):
        generate_swarm([1], abs, 1, checkpoint=path)


def test_two_sweeps_on_one_file_are_refused(path):
    with (
        Checkpoint(path, read_versions(), []),
        pytest.raises(ValueError, match="another sweep is writing to it"),
    ):
        generate_swarm([1], abs, 1, checkpoint=path)
    assert generate_swarm([1], abs, 1, checkpoint=path) == [1]


# The place of the file


windows_keeps_open_files = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows moves no file that is open"
)


def replace_by_a_folder(path):
    path.rename(path.with_name("old"))
    path.mkdir()


def replace_by_a_copy(path):
    shutil.copy(path, path.with_name("copy"))
    path.with_name("copy").replace(path)


def cut_the_last_line(path):
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)


@windows_keeps_open_files
@pytest.mark.parametrize(
    "happens",
    [
        lambda path: path.unlink(),
        lambda path: path.rename(path.with_name("old")),
        lambda path: path.parent.rename(path.parent.with_name("elsewhere")),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes() + b"more\n"),
        replace_by_a_folder,
        replace_by_a_copy,
        cut_the_last_line,
    ],
)
def test_a_file_that_is_lost_during_the_sweep_is_an_error_at_the_next_line(happens, tmp_path):
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "sweep.jsonl"
    record = {"name": None, "scenario": None, "start": 0.0, "stop": 1.0, "error": None}
    with Checkpoint(path, {}, ["x"] * 3) as kept:
        kept.add(record | {"job": 0}, 1.5)
        happens(path)
        for job in (1, 2):
            message = f"job {job} cannot be written .* moved, replaced, removed or changed"
            with pytest.raises(OSError, match=message) as caught:
                kept.add(record | {"job": job}, 2.5)
            assert caught.value.filename == str(path)


@windows_keeps_open_files
def test_a_sweep_goes_on_where_the_file_is_back_in_its_place(path, tmp_path):
    record = {"name": None, "scenario": None, "start": 0.0, "stop": 1.0, "error": None}
    with Checkpoint(path, {}, ["x", "y"]) as kept:
        away = path.rename(tmp_path / "away")
        with pytest.raises(OSError, match="job 0"):
            kept.add(record | {"job": 0}, 1.5)
        away.rename(path)
        kept.add(record | {"job": 1}, 2.5)
    with Checkpoint(path, {}, ["x", "y"]) as kept:
        assert kept.results == {1: 2.5}


@windows_keeps_open_files
def test_a_lost_file_ends_the_sweep(path):
    def then(config):
        if config == 2:
            path.unlink()
        return config

    with (
        futures.ThreadPoolExecutor(1) as thread,
        pytest.raises(OSError, match="cannot be written to the checkpoint"),
    ):
        generate_swarm([*range(10)], then, executor=thread, checkpoint=path)


def test_a_job_may_change_the_working_folder(tmp_path, monkeypatch):
    record = {"name": None, "scenario": None, "start": 0.0, "stop": 1.0, "error": None}
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    with Checkpoint("sweep.jsonl", {}, ["x"]) as kept:
        monkeypatch.chdir(tmp_path / "other")
        assert kept.add(record | {"job": 0}, 1.5) == 1.5
    assert b"1.5" in (tmp_path / "sweep.jsonl").read_bytes()


def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    places = [tmp_path]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "fifo")
        (tmp_path / "link").symlink_to("/dev/zero")
        places += [tmp_path / "fifo", tmp_path / "link", "/dev/full", "/dev/null"]
    for place in places:
        with pytest.raises(ValueError, match="not a regular file"):
            generate_swarm([1], counting(tmp_path), 1, checkpoint=place)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_a_link_to_a_file_is_followed(path, tmp_path):
    path.symlink_to(tmp_path / "elsewhere.jsonl")
    for _ in range(2):
        assert generate_swarm([1], abs, 1, checkpoint=path) == [1]
    assert (tmp_path / "elsewhere.jsonl").exists()


# A damaged file


def test_wherever_the_file_is_torn_the_next_call_completes_it(path, tmp_path):
    """Cut the file at every place: what is whole is not run again, the rest is."""
    expected = generate_swarm([1, 2, 3], abs, 1, checkpoint=path)
    content = path.read_bytes()
    torn = tmp_path / "torn.jsonl"
    versions = read_versions()
    prints = take_fingerprints(abs, [1, 2, 3], own_worker=False)
    for end in range(len(content)):
        torn.write_bytes(content[:end])
        with Checkpoint(torn, versions, prints) as kept:
            whole = content[: end + 1].count(b"}\n", len(content.split(b"\n")[0]) + 1)
            assert len(kept.results) >= max(0, whole - 1)
        after = torn.read_bytes()
        assert content.startswith(after) or after.startswith(content.split(b"\n")[0])
        assert after.endswith(b"\n")
    torn.write_bytes(content[: len(content) - 20])
    assert generate_swarm([1, 2, 3], abs, 1, checkpoint=torn) == expected


def test_a_damaged_line_in_the_middle_is_named(path):
    generate_swarm([1, 2], abs, 1, checkpoint=path)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + lines[1].replace('"result": 1', '"result": 7') + lines[2])
    with pytest.raises(ValueError, match=r"line 2: damaged, .* without the line, its job is run"):
        generate_swarm([1, 2], abs, 1, checkpoint=path)
    path.write_text(lines[0] + lines[2])
    assert generate_swarm([1, 2], abs, 1, checkpoint=path) == [1, 2]


# Fingerprints


def make(source, name="f", module="__main__", **namespace):
    namespace["__name__"] = module
    exec(compile(textwrap.dedent(source), f"cell {id(source)}", "exec"), namespace)
    return namespace[name]


BASE = """
    def f(state, gain=2):
        return [max(0, min(1, gain * one)) for one in state if one not in {"a", "b"}]
    """


def test_the_global_generators_count_by_name(run_python):
    source = """
import random
from random import uniform
from numpy.random import normal
from stormswarm.fingerprint import fingerprint

def draw(config):
    return uniform(0, 1) + normal()

print(fingerprint(draw))
random.seed()
normal()
print(fingerprint(draw))
"""
    assert len({*run_python(source).split(), *run_python(source).split()}) == 1


def test_comments_lines_and_files_do_not_count():
    same = """


    # a comment
    def f(state, gain=2):
        # another one
        return [max(0, min(1, gain * one)) for one in state if one not in {"a", "b"}]
    """
    assert fingerprint(make(BASE)) == fingerprint(make(same))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("gain=2", "gain=3"),
        ("max(0", "max(1"),
        ("min", "sum"),
        ("gain *", "gain +"),
        ('"a"', '"c"'),
    ],
)
def test_instructions_constants_and_defaults_count(old, new):
    assert fingerprint(make(BASE)) != fingerprint(make(BASE.replace(old, new)))


def test_closures_and_globals_count():
    def closure(value):
        return lambda state: state + value

    assert fingerprint(closure(1)) == fingerprint(closure(1))
    assert fingerprint(closure(1)) != fingerprint(closure(1.0))
    source = "def f(state):\n    return limit * helper(state)"
    helper, other = make("def h(x):\n    return x", "h"), make("def h(x):\n    return -x", "h")
    first = make(source, limit=1, helper=helper)
    assert fingerprint(first) == fingerprint(make(source, limit=1, helper=helper, unused=5))
    assert fingerprint(first) != fingerprint(make(source, limit=2, helper=helper))
    assert fingerprint(first) != fingerprint(make(source, limit=1, helper=other))


def test_classes_of_ones_own_count_by_their_members():
    source = """
    from dataclasses import dataclass, field

    @dataclass(frozen=True)
    class f:
        gain: float = 1.0
        table: dict = field(default_factory=dict)

        def __call__(self, state):
            return self.gain * state
    """
    one, same, other = make(source), make(source), make(source.replace("self.gain *", "1 +"))
    assert fingerprint(one(2.0)) == fingerprint(same(2.0))
    assert fingerprint(one(2.0)) != fingerprint(one(3.0))
    assert fingerprint(one(2.0)) != fingerprint(other(2.0))
    assert fingerprint(one(2.0).__call__) == fingerprint(same(2.0).__call__)


def test_data_counts_by_value():
    seen = {}
    for value in (
        *(1, 1.0, True, "1", b"1", None, (1,), [1], {1}, frozenset({1}), {1: 1}, ...),
        *(np.zeros(3), np.zeros((3, 1)), np.float64(1), np.random.default_rng(1)),
        *(functools.partial(max, 1), functools.partial(max, 2), re.compile("a"), np.full, len),
        *(ConstantOpening(0.1), ConstantOpening(0.2), math, worker, types.SimpleNamespace(a=1)),
    ):
        seen.setdefault(fingerprint(value), []).append(value)
    assert [same for same in seen.values() if len(same) > 1] == []


def test_what_refers_to_itself_ends():
    one, other = [1], [1]
    one.append(one)
    other.append(other)
    assert fingerprint(one) == fingerprint(other)
    source = "def f(n):\n    return f(n - 1) if n else 0"
    assert fingerprint(make(source)) == fingerprint(make(source))


def test_a_module_of_ones_own_counts_by_its_text(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    prints = set()
    for text in ("def rule(state): return 0.5", "def rule(state): return 0.6"):
        (tmp_path / "my_rules.py").write_text(text)
        sys.modules.pop("my_rules", None)
        rules = importlib.import_module("my_rules")
        prints.add(fingerprint(lambda state, rules=rules: rules.rule(state)))
        prints.add(fingerprint(make("def f(state): return rules.rule(state)", rules=rules)))
    assert len(prints) == 4


def test_two_lists_are_not_one_list_twice():
    one = []
    assert fingerprint([one, one]) != fingerprint([one, []])
    assert fingerprint([one, []]) == fingerprint([[], one])
    assert fingerprint([one, [one], []]) != fingerprint([one, [one], one])
    assert fingerprint([(1, 2), (1, 2)]) == fingerprint([(1, 2), tuple(json.loads("[1, 2]"))])
    assert fingerprint([ConstantOpening(0.5)] * 2) == fingerprint(
        [ConstantOpening(0.5), ConstantOpening(0.5)]
    )


def test_what_python_adds_to_a_class_does_not_count():
    class Model:
        def __init__(self):
            self.gain = 1

    before = fingerprint(Model), fingerprint(Model())
    copy.copy(Model())
    inspect.get_annotations(Model)
    isinstance(1, Model)
    assert (fingerprint(Model), fingerprint(Model())) == before


def test_what_a_cache_holds_does_not_count():
    @functools.cache
    def rule(x):
        return x

    @functools.singledispatch
    def other(x):
        return x

    class Both:
        @functools.singledispatchmethod
        def method(self, x):
            return x

    other.register(abc.ABC, abs)
    before = fingerprint(rule, other, Both)
    rule(1), other(2), Both().method(3)
    assert fingerprint(rule, other, Both) == before


def test_what_has_no_content_is_a_type_error(tmp_path):
    ufunc = np.frompyfunc(lambda x: x, 1, 1)
    with open(tmp_path / "file", "w") as file:
        for value in (threading.Lock(), file, (one for one in [1]), ufunc):
            with pytest.raises(TypeError):
                fingerprint([value])


@pytest.mark.parametrize(
    "value",
    [stormswarm_utils, worker, Checkpoint, fingerprint, Checkpoint.add, stormswarm.checkpoint],
)
def test_the_helper_is_installed_code(value, tmp_path, monkeypatch):
    source = "def f(x): return value"
    before = fingerprint(make(source, value=value))
    monkeypatch.setattr(Path, "read_bytes", lambda file: pytest.fail(f"{file} was read"))
    assert fingerprint(make(source, value=value)) == before


def test_a_function_that_was_sent_to_another_process_is_the_same():
    source = """
    from dataclasses import dataclass, field
    from enum import Enum

    names = {"a", "b", "c"}

    class Mood(Enum):
        GOOD = 1

    @dataclass
    class Rule:
        "A rule."
        gain: float = 1.0
        table: dict = field(default_factory=dict, metadata={"unit": "m"})

        @property
        def mood(self) -> Mood:
            return Mood.GOOD

    def f(state, rule: Rule = Rule(2.0), *, names=names):
        import json
        return lambda: (rule.mood, [json, names])
    """
    function = make(source)
    sent = pickle.loads(cloudpickle.dumps(function))
    assert sent is not function
    assert fingerprint(sent) == fingerprint(function)


def test_what_installed_decorators_use_does_not_count():
    """Their wrappers carry the name of the user's function, and may use locks."""

    def decorated(gain):
        def rule(state):
            return gain

        source = "def deco(f): return lambda state: f(state) if lock else 0"
        return make(source, "deco", module="contextlib", lock=threading.Lock())(rule)

    assert fingerprint(decorated(1)) == fingerprint(decorated(1)) != fingerprint(decorated(2))


def test_an_object_that_answers_to_any_name_is_read():
    class Box:
        def __init__(self, **content):
            self.__dict__["content"] = content

        def __getattr__(self, name):
            return self.__dict__["content"][name]

    assert fingerprint(Box(gain=1)) == fingerprint(Box(gain=1)) != fingerprint(Box(gain=2))


def test_another_process_gives_the_same_fingerprint(run_python, path):
    source = (
        "from stormswarm.fingerprint import fingerprint\n"
        "from stormswarm_utils import ConstantOpening, worker\n"
        "{comment}gain = 0.5\n"
        "class Rule:\n"
        "    def __init__(self): self.names = {{'a', 'b', 'c'}}\n"
        "    def __call__(self, state): return gain if state[0] in {{'x', 'y', 'z'}} else 0.0\n"
        "print(fingerprint(worker, Rule(), lambda text: text.replace('a', 'b'),"
        " ConstantOpening(0.5)))\n"
    )
    prints = {
        run_python(source.format(comment=comment), PYTHONHASHSEED=seed)
        for comment, seed in [("", "1"), ("# more\n\n", "2"), ("", "3")]
    }
    assert len(prints) == 1


@pytest.fixture
def print_of(tmp_path, run_python):
    """Return the fingerprint of a job of code_roads.py in a fresh process."""

    def run(road, value, **environment):
        _, *parts = re.split(r"^# (\S+)\n", textwrap.dedent(road), flags=re.MULTILINE)
        files = dict(zip(parts[::2], parts[1::2], strict=True))
        for name, text in files.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.replace("VALUE", str(value)))
        source = "import functools, importlib\n" + (tmp_path / "script.py").read_text()
        source += "\nfrom stormswarm.fingerprint import fingerprint\nprint(fingerprint(job))"
        return run_python(source, PYTHONDONTWRITEBYTECODE="1", **environment)

    return run


@pytest.mark.parametrize("road", NOTICED)
def test_a_change_is_noticed(road, print_of):
    first = print_of(NOTICED[road], 1, PYTHONHASHSEED="1")
    assert print_of(NOTICED[road], 1, PYTHONHASHSEED="2") == first
    assert print_of(NOTICED[road], 2) != first


@pytest.mark.parametrize("road", NOT_NOTICED)
def test_what_cannot_be_seen_is_known(road, print_of):
    assert print_of(NOT_NOTICED[road], 1) == print_of(NOT_NOTICED[road], 2)


def interrupt(config):
    os.kill(os.getppid(), signal.SIGINT)
    time.sleep(60)


@pytest.mark.skipif(os.name != "posix", reason="a console's Ctrl-C cannot be sent on Windows")
def test_ctrl_c_says_where_the_results_are(path, ctrl_c_is_heard):
    with pytest.raises(KeyboardInterrupt) as caught:
        generate_swarm([1, 2], interrupt, 1, checkpoint=path)
    said = f"{path} holds the results so far; the same call runs the others."
    assert caught.value.__notes__ == [said]


def test_the_file_can_be_moved(path, tmp_path):
    generate_swarm([1, 2], abs, 1, checkpoint=path)
    moved = shutil.move(path, tmp_path / "elsewhere.jsonl")
    swarm = generate_swarm([1, 2], abs, 1, checkpoint=str(moved))
    assert all(record["start"] is None for record in swarm.timeline)
