"""Bounds, schedules, the machine and the pictures."""

import math
import socket

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.common import first_hour
from stormswarm import measuring
from stormswarm.measuring import NO_DIFFERENCE, Measurement
from stormswarm.timing import EVEN, SLOWER, START, UNEVEN, WAITING, break_even
from stormswarm_utils import (
    ConstantOpening,
    Run,
    Swarm,
    describe_machine,
    explain_seconds,
    generate_swarm,
    makespan,
    makespan_bound,
    measure,
    measure_limit,
    plot_hydrographs,
    plot_network,
    plot_seconds,
    plot_speedup,
    plot_speedup_table,
    plot_timeline,
    simulate,
    split_seconds,
)

RUN = Run(1.0, 1, 0.1, {"states": {}, "actions": {}, "targets": {"flow 8": [0.0]}})
durations = st.lists(st.floats(0, 1e6), max_size=40)
processors = st.integers(1, 50)


@pytest.mark.parametrize(
    ("seconds", "on", "bound", "in_this_order"),
    [
        ([], 2, 0, 0),
        ([11.04, 4.06], 2, 11.04, 11.04),
        ([3, 1, 3, 1, 3, 1], 1, 12, 12),
        ([3, 1, 3, 1, 3, 1], 2, 6, 7),
        ([3, 3, 3, 1, 1, 1], 2, 6, 6),
        ([3, 1, 3, 1, 3, 1], 3, 4, 5),
        ([3, 1, 3, 1, 3, 1], 6, 3, 3),
        ([3, 1, 3, 1, 3, 1], 100, 3, 3),
    ],
)
def test_small_schedules_by_hand(seconds, on, bound, in_this_order):
    assert makespan_bound(seconds, on) == bound
    assert makespan(seconds, on) == in_this_order


@given(durations, processors)
def test_a_schedule_lies_between_the_bound_and_twice_the_bound(seconds, on):
    bound, wall = makespan_bound(seconds, on), makespan(seconds, on)
    assert bound <= wall * (1 + 1e-9)
    assert wall <= (2 - 1 / on) * bound * (1 + 1e-9)  # Graham's guarantee


@given(durations)
def test_one_processor_takes_the_sum(seconds):
    assert math.isclose(makespan_bound(seconds, 1), math.fsum(seconds))
    assert math.isclose(makespan(seconds, 1), math.fsum(seconds))


@pytest.mark.parametrize("function", [makespan, makespan_bound])
def test_what_is_no_schedule(function):
    with pytest.raises(ValueError, match="processors must be an integer of at least 1, got 0"):
        function([1.0], 0)
    for wrong in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"job 1: .* is not a duration in seconds"):
            function([1.0, wrong], 2)
    with pytest.raises(TypeError, match="job 1: 'two' is not a duration in seconds; allowed is"):
        function([1.0, "two"], 2)


def test_the_machine_is_described_without_names():
    machine = describe_machine()
    assert machine["usable cores"] >= 1
    assert machine["SWMM engine"] == "5.2.4"
    assert machine["pystorms"] == "1.0.0"
    assert socket.gethostname() not in str(machine)


def record(job, worker, start, stop, name=None, error=None):
    return {
        "job": job,
        "name": name,
        "scenario": "theta",
        "worker": worker,
        "start": start,
        "stop": stop,
        "error": error,
    }


def test_a_timeline_has_a_bar_per_job_that_started():
    timeline = [
        record(0, 0, 0.2, 2.0, "open"),
        record(1, 1, 0.3, 0.9, "closed", "ValueError: no"),
        record(2, 1, 0.9, 0.91, "open"),
        record(3, None, None, None, "closed", "never started"),
    ]
    axes = plot_timeline(Swarm([1, None, 2, None], 2.1, timeline), bound=1.5)
    bars = axes.patches
    assert [(bar.get_x(), bar.get_y() + bar.get_height() / 2) for bar in bars] == [
        (0.2, 0),
        (0.3, 1),
        (0.9, 1),
    ]
    assert bars[0].get_facecolor() == bars[2].get_facecolor() != bars[1].get_facecolor()
    assert [bool(bar.get_hatch()) for bar in bars] == [False, True, False]
    assert [label.get_text() for label in axes.texts] == ["job 0", "job 1"]
    legend = axes.figure.legends[0]
    assert [label.get_text() for label in legend.get_texts()] == ["open", "closed", "bound: 1.5 s"]
    plt.close(axes.figure)


def test_a_timeline_of_any_swarm_can_be_drawn():
    for swarm in (Swarm(), generate_swarm(list(range(12)), abs, 2)):
        _, axes = plt.subplots()
        assert plot_timeline(swarm, ax=axes) is axes
        axes.figure.canvas.draw()
        plt.close(axes.figure)


def test_hydrographs_have_a_panel_per_series_and_a_line_per_run():
    runs = {
        str(opening): simulate(
            {"controller": ConstantOpening(opening), "scenario": "theta", "network": first_hour}
        )
        for opening in (0.2, 0.8)
    }
    axes = plot_hydrographs(runs, ["depthN P1", "1", "flow 8"])
    assert [ax.get_ylabel() for ax in axes] == ["depthN P1", "1", "flow 8"]
    for ax, kind in zip(axes, ("states", "actions", "targets"), strict=True):
        for line, run in zip(ax.lines, runs.values(), strict=True):
            hours, values = line.get_data()
            assert list(values) == list(run.hydrographs[kind][ax.get_ylabel()])
            assert hours[0] == 0
            assert 0.9 < hours[-1] <= 1
    with pytest.raises(ValueError, match=r"no series 'flow 9'; there are 1, 2, depthN P1"):
        plot_hydrographs(runs, ["flow 9"])
    plt.close("all")


@pytest.mark.parametrize(
    ("draw", "error"),
    [
        (
            lambda: plot_timeline([1, 2]),
            TypeError("swarm must be what generate_swarm has returned"),
        ),
        (lambda: split_seconds([1], [1]), TypeError("swarm must be what generate_swarm has")),
        (lambda: plot_hydrographs([1], ["flow 8"]), TypeError("runs must be a dict, label -> Run")),
        (lambda: plot_hydrographs({"a": 1}, ["flow 8"]), TypeError("runs must be a dict")),
        (lambda: plot_hydrographs({}, ["flow 8"]), ValueError("at least one run, got none")),
        (lambda: plot_hydrographs({"a": RUN}, "flow 8"), TypeError("got the text 'flow 8'")),
        (lambda: plot_hydrographs({"a": RUN}, []), ValueError("at least one name, got none")),
        (lambda: plot_network("theat"), ValueError("scenario must be one of alpha, .* 'theat'")),
        (lambda: plot_network(print), TypeError("scenario must be one of alpha, .*, got <built")),
    ],
)
def test_what_cannot_be_drawn_is_named_before_a_figure_is_made(draw, error):
    plt.close("all")
    with pytest.raises(type(error), match=str(error)):
        draw()
    assert plt.get_fignums() == []


def test_a_speed_up_is_drawn_with_its_spread_and_bound():
    axes = plot_speedup([1, 2], [[2.0, 2.0, 4.0], [1.0, 0.5, 2.0]], bounds=[2.0, 0.8])
    measured, bound = axes.lines[0], axes.lines[-1]
    assert list(measured.get_ydata()) == [1.0, 2.0]
    assert list(bound.get_ydata()) == [1.0, 2.5]
    (bars,) = axes.collections
    ends = [segment[:, 1] for segment in bars.get_segments()]
    assert np.allclose(ends, [[0.5, 1.0], [1.0, 4.0]])
    plt.close(axes.figure)


# Where the seconds went ---------------------------------------------------------------

PAIR = [record(0, 0, 0.25, 2.25), record(1, 1, 0.5, 1.0), record(2, 1, 1.25, 1.5)]


def test_the_parts_of_a_swarm_by_hand():
    parts = split_seconds(Swarm([1, 2, 3], 2.5, PAIR), [1.5, 0.25, [0.1, 0.25, 9.0]])
    assert parts == {EVEN: 1.0, UNEVEN: 0.5, START: 0.25, SLOWER: 0.5, WAITING: 0.25}
    faster = split_seconds(Swarm([1, 2, 3], 2.5, PAIR), [3.0, 0.5, 0.5])
    assert faster[SLOWER] == -1.0
    assert sum(faster.values()) == 2.5


def test_a_slow_core_adds_to_the_slow_down_alone():
    jobs = [record(0, 0, 0.0, 4.0), *(record(1 + n, 1, n, n + 1.0) for n in range(3))]
    swarm = Swarm([0] * 4, 4.0, jobs)
    parts = split_seconds(swarm, [1.0] * 4)
    assert parts == {EVEN: 2.0, UNEVEN: 0.0, START: 0.0, SLOWER: 2.0, WAITING: 0.0}
    assert "difference: slower side by side, 2.00 s" in explain_seconds(swarm, [1.0] * 4)


gaps = st.lists(st.tuples(st.integers(0, 3), st.floats(0, 10), st.floats(0, 10)), min_size=1)


@given(gaps, st.data())
def test_the_parts_add_up_to_the_wall_time(jobs, data):
    timeline, free = [], [0.0] * 4
    for job, (worker, gap, length) in enumerate(jobs):
        start = free[worker] + gap
        free[worker] = start + length
        timeline.append(record(job, worker, start, free[worker]))
    alone = data.draw(st.lists(st.floats(0, 10), min_size=len(jobs), max_size=len(jobs)))
    swarm = Swarm(range(len(jobs)), max(free) + 0.5, timeline)
    parts = split_seconds(swarm, alone)
    assert math.isclose(math.fsum(parts.values()), swarm.seconds)
    assert parts[UNEVEN] >= -1e-9 * parts[EVEN]
    assert parts[START] >= 0


def test_what_cannot_be_split():
    with pytest.raises(ValueError, match="3 jobs need as many durations, got 2"):
        split_seconds(Swarm([1, 2, 3], 2.5, PAIR), [1.0, 1.0])
    with pytest.raises(ValueError, match="job 0 has not run"):
        split_seconds(Swarm([1], 1.0, [record(0, None, None, None)]), [1.0])
    with pytest.raises(ValueError, match="no jobs"):
        split_seconds(Swarm(), [])


@pytest.mark.parametrize(
    ("alone", "said", "not_said"),
    [
        ([2.0, 0.5, 0.25], ["part of the difference: longer than", "From about 2 runs"], "Side by"),
        ([1.0, 0.5, 0.5], ["Side by side the jobs took 1.38x"], "changed its speed"),
        ([4.0, 1.0, 1.0], ["which is less.\nThe machine", "measured: run it again"], "From about"),
        ([[2.0, 4.0, 6.0], 1.0, 1.0], ["(spread 50 %): run it again"], "largest part"),
        ([[1.2, 2.0, 2.8], 0.5, 0.25], ["(spread 40 %): run it again", "From"], "which is less"),
        ([[2.0, 2.0, 2.0, 2.1, 9.0], 0.5, 0.25], ["From"], "changed its speed"),  # one slow moment
        ([0.5, 0.25, 0.25], ["two processes do not pay"], "From about"),
    ],
)
def test_a_verdict_is_made_from_the_numbers(alone, said, not_said):
    verdict = explain_seconds(Swarm([1, 2, 3], 2.5, PAIR), alone)
    for sentence in said:
        assert sentence in verdict
    assert not_said not in verdict


def test_durations_may_be_arrays_but_not_all_zero():
    swarm = Swarm([1, 2, 3], 2.5, PAIR)
    repeated = [[2.0, 2.1, 2.2], [0.5, 0.6, 0.5], [0.25, 0.25, 0.3]]
    assert explain_seconds(swarm, np.array(repeated)) == explain_seconds(swarm, repeated)
    with pytest.raises(ValueError, match="alone must have a duration above 0 s"):
        explain_seconds(swarm, [0.0, 0.0, 0.0])


def test_the_number_of_jobs_from_which_processes_pay():
    for job, start, processors, slowdown in [(1, 4, 2, 1), (1, 0.3, 2, 1.25), (0.1, 2, 4, 1.5)]:
        jobs = break_even(job, start, processors, slowdown)

        def swarm(n, job=job, start=start, on=processors, slow=slowdown):
            return start + makespan([slow * job] * n, on)

        assert swarm(jobs) < jobs * job
        assert all(swarm(fewer) >= fewer * job for fewer in range(1, jobs))
    assert break_even(1, 0, 2, 2.0) is None
    assert break_even(0.02, 0.5, 1, 1 - 1e-9) > 2e10  # at once


def test_parts_are_drawn_as_one_bar_of_the_wall_time():
    names = (EVEN, UNEVEN, START, SLOWER, WAITING)
    splits = {"here": dict(zip(names, (3, 1, 1, 2, 0.5), strict=True))}
    splits["page"] = dict(zip(names, (7.5, 3.5, 0, -0.5, 0), strict=True))
    axes = plot_seconds(splits)
    lengths = [[bar.get_width() for bar in container] for container in axes.containers]
    assert lengths[::-1] == [[3, 7.5], [4, 10.5], [5, 10.5], [7, 10.5], [7.5, 10.5]]
    axes = plot_seconds(splits, shares=True)
    lengths = [[bar.get_width() for bar in container] for container in axes.containers]
    assert np.allclose(lengths[0], [100, 100])
    assert np.allclose(lengths[-1], [300 / 7.5, 750 / 10.5])
    assert [text.get_text() for text in axes.texts] == [" 7.50 s", " 10.50 s"]
    plt.close("all")


# Measuring ----------------------------------------------------------------------------


def test_calls_are_measured_in_rounds_and_the_first_is_not_counted():
    order = []
    measured = measure({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 0)
    assert "".join(order) == "abbaab"
    assert measured.ended_by == "time"
    assert [len(values) for values in measured.values.values()] == [2, 2]
    more = measure({"a": lambda: None}, 0, rounds=5)
    assert len(more.values["a"]) == 5
    with pytest.raises(ValueError, match="nothing to measure"):
        measure({})
    with pytest.raises(TypeError, match=r"calls must be a dict, label -> callable, got \[1\]"):
        measure([1])
    with pytest.raises(TypeError, match="calls: 'b' must be a callable, got None"):
        measure({"a": lambda: pytest.fail("it was called"), "b": None})
    with pytest.raises(ValueError, match="rounds must be an integer of at least 1, got 0"):
        measure({"a": lambda: None}, rounds=0)
    never = {"a": lambda: pytest.fail("it was called")}
    with pytest.raises(TypeError, match="seconds must be a number of at least 0, got '30'"):
        measure(never, "30")
    with pytest.raises(ValueError, match="seconds must be a number of at least 0, got -1"):
        measure(never, -1)
    with pytest.raises(ValueError, match="precision must be a number of at least 0, got nan"):
        measure(never, precision=math.nan)
    with pytest.raises(ValueError, match=r"seconds must be a number of at least 0, got -0\.5"):
        measure_limit(seconds=-0.5)


def test_a_single_round_without_a_warm_up_makes_each_call_once():
    order = []
    calls = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    measured = measure(calls, 0, rounds=1, warm_up=False)
    assert sorted(order) == ["a", "b"]
    for label, (value,) in measured.values.items():
        assert measured.medians[label] == value
        assert measured.quartiles[label] == measured.intervals[label] == (value, value)
    assert measured.compare("a", "b").endswith(f"{NO_DIFFERENCE} in 1 round")
    assert "quartiles" in str(measured)
    measure(calls, 0, rounds=2, warm_up=False)
    assert len(order) == 6


def test_measuring_ends_when_the_intervals_are_narrow(monkeypatch):
    clock = iter(range(10_000))
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: next(clock))
    measured = measure({"a": lambda: None}, seconds=1e9)
    assert measured.ended_by == "precision"
    assert measured.values == {"a": [1] * 6}


def test_a_difference_is_said_only_if_it_can_be_seen():
    quick, slow = [1.0, 1.1, 1.1, 1.2], [2.0, 2.2, 2.2, 2.4]
    wide = [0.9, 1.6, 1.6, 3.0]
    measured = Measurement({"quick": quick, "slow": slow, "wide": wide}, "time")
    assert measured.compare("slow", "quick") == "quick is 2.00x as fast as slow"
    assert NO_DIFFERENCE in measured.compare("quick", "wide")
    assert measured.medians == {"quick": 1.1, "slow": 2.2, "wide": 1.6}
    assert measured.quartiles["slow"] == pytest.approx((2.15, 2.25))
    assert "1.10 s   1.08 s to 1.12 s" in str(measured)
    few = Measurement({"quick": quick[:3], "slow": slow[:3]}, "time")
    assert f"{NO_DIFFERENCE} in 3 rounds" in few.compare("quick", "slow")
    one_bad_round = {"quick": [1.0, 1.1, 1.1, 1.2, 2.1], "slow": [2.0, 2.2, 2.2, 2.4, 2.5]}
    assert "quick is 2.00x" in Measurement(one_bad_round, "time").compare("quick", "slow")


@pytest.mark.parametrize("sizes", [(2, 3), (4, 4), (5, 5), (5, 6)])
def test_the_chance_of_an_order_is_that_of_the_rank_sum_test(sizes):
    scipy_stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(7)
    for _ in range(20):
        one, other = (random.normal(0.5 * i, 1, size) for i, size in enumerate(sizes))
        expected = scipy_stats.mannwhitneyu(one, other, method="exact").pvalue
        assert measuring._chance_of_order([*one], [*other]) == pytest.approx(expected)


@pytest.mark.parametrize("rounds", [21, 600])
def test_many_rounds_are_compared_by_the_normal_approximation(rounds):
    scipy_stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(7)
    for shift in (0.0, 0.1, 0.3):
        one, other = random.normal(0, 1, rounds), random.normal(shift, 1, rounds)
        expected = scipy_stats.mannwhitneyu(one, other, method="asymptotic").pvalue
        assert measuring._chance_of_order([*one], [*other]) == pytest.approx(expected)


@pytest.mark.parametrize(("number", "cut"), [(2, 0), (5, 0), (6, 0), (8, 0), (9, 1), (20, 5)])
def test_the_interval_of_a_median_has_95_percent(number, cut):
    measured = Measurement({"a": list(range(number))}, "time")
    assert measured.intervals["a"] == (cut, number - 1 - cut)  # binomial table


@pytest.mark.slow
def test_the_limit_is_a_number_of_times_the_work_of_one_process():
    assert 0 < measure_limit(1, seconds=0.1) < 3
    assert 0.2 < measure_limit(2, seconds=0.1) < 6


def test_bare_processes_are_measured_before_every_call():
    measured = measure({"a": lambda: None, "b": lambda: None}, 0, bare_processes=2)
    assert len(measured.ratios) == 4  # two calls in two rounds
    assert min(measured.ratios) <= measured.limit <= max(measured.ratios)
    assert measure({"a": lambda: None}, 0).limit is None
    with pytest.raises(ValueError, match="bare_processes must be an integer of at least 0, got -1"):
        measure({"a": lambda: None}, bare_processes=-1)


def test_networks_and_speed_ups_can_be_drawn():
    axes = plot_network("theta")
    assert {"P1", "P2"} <= {text.get_text() for text in axes.texts}
    _, ax = plt.subplots()
    plot_speedup_table({"a": 1.5, "b": 4.1}, {"a": 2, "b": 3}, ax, hollow=["b"], limit=1.9)
    faces = [line.get_markerfacecolor() for line in ax.lines if line.get_marker() == "o"]
    assert (faces[0] == "white", faces[1] == "white") == (False, True)
    plt.close("all")


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="splits must hold at least one bar, got none"):
        plot_seconds({})
    with pytest.raises(ValueError, match="seconds must be as long as processors, 2, got 1"):
        plot_speedup([1, 2], [[1.0]])
    with pytest.raises(ValueError, match="bounds must be as long as processors, 1, got 2"):
        plot_speedup([1], [[1.0]], [1.0, 2.0])
    with pytest.raises(ValueError, match="processors must hold at least one number, got none"):
        plot_speedup([], [])
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match="ideals must hold every row, nothing is there for 'b'"):
        plot_speedup_table({"a": 1, "b": 2}, {"a": 1}, ax)
    with pytest.raises(ValueError, match="ranges must hold every row, nothing is there for 'a'"):
        plot_speedup_table({"a": 1}, {"a": 1}, ax, ranges={})
    assert not ax.lines
    plt.close("all")
