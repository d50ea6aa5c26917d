"""Bounds, schedules, the machine and the pictures."""

import math
import socket

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.common import first_hour
from stormswarm_utils import (
    ConstantOpening,
    Swarm,
    describe_machine,
    generate_swarm,
    makespan,
    makespan_bound,
    plot_hydrographs,
    plot_speedup,
    plot_timeline,
    simulate,
)

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


def test_a_speed_up_is_drawn_with_its_spread_and_bound():
    axes = plot_speedup([1, 2], [[2.0, 2.0, 4.0], [1.0, 0.5, 2.0]], bounds=[2.0, 0.8])
    measured, bound = axes.lines[0], axes.lines[-1]
    assert list(measured.get_ydata()) == [1.0, 2.0]
    assert list(bound.get_ydata()) == [1.0, 2.5]
    (bars,) = axes.collections
    ends = [segment[:, 1] for segment in bars.get_segments()]
    assert np.allclose(ends, [[0.5, 1.0], [1.0, 4.0]])
    plt.close(axes.figure)
