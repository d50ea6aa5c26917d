"""What a script or notebook defines stays its own: jobs get copies, and send back copies."""

import pytest

pytestmark = pytest.mark.slow

START = """
import enum
from concurrent.futures import ThreadPoolExecutor

import pystorms
from stormswarm_utils import *

WAYS = None, ThreadPoolExecutor(1)
"""


def printed(run_python, source):
    return run_python(START + source).splitlines()


def test_a_class_reads_the_globals_of_today(run_python):
    source = """
def rule(depth):
    return 0.2

class Controller:
    def __call__(self, state):
        return rule(state[0])

def run():
    config = {"controller": Controller(), "scenario": "theta"}
    return worker(config), *(generate_swarm([config], worker, executor=one)[0] for one in WAYS)

yesterday = run()

def rule(depth):
    return 0.9

today = run()
print(len(set(yesterday)), len(set(today)), yesterday[0] != today[0])
print(Controller()([0.0]), Controller.__call__.__globals__ is globals())
"""
    assert printed(run_python, source) == ["1 1 True", "0.9 True"]


def test_what_comes_back_leaves_its_class_alone(run_python):
    source = """
FACTOR = 1

class Result:
    made = 0

    def __init__(self, number):
        self.number = number
        Result.made += 1

    def scaled(self):
        return FACTOR * self.number

class Refused(Exception):
    code = 0

def make(number):
    if number < 0:
        Refused.code = 99
        raise Refused
    return Result(number)

for one in WAYS:
    FACTOR = 1
    result, failure = generate_swarm([2, -1], make, executor=one, return_exceptions=True)
    FACTOR = 10
    print(Result.made, isinstance(result, Result), result.scaled())
    print(Refused.code, isinstance(failure, Refused), failure.code)

def refuse(state):
    raise Refused

try:
    worker({"controller": refuse, "scenario": "theta"})
except Refused:
    print("caught")
"""
    assert printed(run_python, source) == ["0 True 20", "0 True 0"] * 2 + ["caught"]


def test_the_worker_function_and_the_config_share_globals_and_classes(run_python):
    source = """
SEEN = []

class Rule:
    def __call__(self, state):
        SEEN.append(state[0])
        return [1.0, 1.0]

def run(config):
    scenario, done = pystorms.scenarios.theta(), False
    while len(SEEN) < 5:
        scenario.step(config["controller"](scenario.state()))
    return len(SEEN), isinstance(config["controller"], Rule)

for one in WAYS:
    print(generate_swarm([{"controller": Rule()}] * 2, run, executor=one), SEEN)
"""
    assert printed(run_python, source) == ["[(5, True), (5, True)] []"] * 2


def test_controller_scenario_and_cached_functions_share_classes(run_python):
    source = """
import functools

class Mode(enum.Enum):
    HALF = 0.5

class Steps:
    count = 0

    def state(self):
        return [0.0]

    def step(self, actions):
        self.count += 1
        self.score = actions
        return self.count == 3

    def performance(self):
        return self.score

@functools.cache
def mode():
    return Mode.HALF

class Controller:
    def start(self, scenario):
        self.known = isinstance(scenario, Steps)

    def __call__(self, state):
        return 0.5 if self.known and mode() is Mode.HALF else 1.0

config = {"controller": Controller(), "scenario": Steps}
print(worker(config), *(generate_swarm([config], worker, executor=one)[0] for one in WAYS))
print(Steps.count, mode.cache_info().currsize)
"""
    assert printed(run_python, source) == ["0.5 0.5 0.5", "0 0"]


def test_a_global_is_one_object_for_the_worker_function_and_the_config(run_python):
    source = """
UNSET = object()

def read():
    return UNSET

def compare(config, value=UNSET):
    return value is UNSET is config["read"]()

configs = [{"read": read}, {"read": read, "large": "x" * 100_000}]
print(*(generate_swarm(configs, compare, executor=one) for one in WAYS))
"""
    assert printed(run_python, source) == ["[True, True] [True, True]"]


def test_an_attribute_that_was_deleted_is_gone_for_kept_workers(run_python):
    source = """
class Model:
    bonus = 5

def look(model):
    return getattr(model, "bonus", 0)

print(generate_swarm([Model()], look, 1))
del Model.bonus
print(generate_swarm([Model()], look, 1))
"""
    assert printed(run_python, source) == ["[5]", "[0]"]


def test_members_of_an_enum_and_swarms_in_a_swarm_keep_their_classes(run_python):
    source = """
class Mode(enum.Enum):
    OPEN = 1
    CLOSED = 2

class Box:
    pass

def answer(mode):
    return mode is Mode.OPEN, Mode.CLOSED

def inside(_):
    (box,) = generate_swarm([1], lambda _: Box(), 1)
    return isinstance(box, Box), box

((opened, closed),) = generate_swarm([Mode.OPEN], answer, 1)
print(opened, closed is Mode.CLOSED)
((same, box),) = generate_swarm([1], inside, 1)
print(same, isinstance(box, Box))
"""
    assert printed(run_python, source) == ["True True", "True True"]


def test_an_exception_carries_the_members_of_an_enum_out_of_every_run(run_python):
    source = """
class Reason(enum.Enum):
    FLOOD = 1

class Refused(Exception):
    pass

class Controller:
    reason = Reason.FLOOD

    def __call__(self, state):
        raise Refused(self.reason)

config = {"controller": Controller(), "scenario": "theta"}
try:
    worker(config)
except Refused as error:
    print(error.args[0] is Reason.FLOOD)
(failure,) = generate_swarm([config], worker, 1, return_exceptions=True)
print(failure.args[0] is Reason.FLOOD)
"""
    assert printed(run_python, source) == ["True", "True"]
