"""A storm that moves: what its picture holds, and that it says what the runs say."""

import json
import re

import numpy as np
import pytest
from build_site import stored_storm

from stormswarm.moving_pictures import SCRIPT, STYLE
from stormswarm_utils import ConstantOpening, animate_storm, simulate


@pytest.fixture(scope="module")
def runs():
    return {
        f"{opening:.0%} <open>": simulate(
            {"scenario": "theta", "controller": ConstantOpening(opening)}
        )
        for opening in (1.0, 0.05)
    }


@pytest.fixture(scope="module")
def picture(runs):
    return animate_storm(runs, "theta", "Two ways & one storm", 0.5)


def frames_of(picture):
    return json.loads(re.search(r"frames = (\[\[.*?\]\])", picture.html)[1])


def test_the_picture_is_small_and_complete_and_needs_no_network(picture):
    html = picture._repr_html_()
    assert len(html) < 300_000
    assert "http" not in html
    assert html.count("<button") == html.count('type="range"') == 1
    assert html.count('role="img" aria-label="Map of theta, ') == 2
    assert "100% &lt;open&gt;" in html
    assert "Two ways &amp; one storm" in html


def test_the_same_runs_give_the_same_picture_with_a_short_repr(runs, picture):
    again = animate_storm(runs, "theta", "Two ways & one storm", 0.5)
    assert again == picture
    assert len(repr(picture)) < 800


def test_each_moving_part_has_a_value_in_each_frame(picture):
    frames = frames_of(picture)
    assert {len(frame) for frame in frames} == {picture.html.count("data-part=")}


def test_basins_are_as_full_as_in_the_hydrographs(runs, picture):
    frames = np.array(frames_of(picture), dtype=object)
    heights = [column for column in frames.T if isinstance(column[0], int)]  # P1, P2, two valves
    for number, run in enumerate(runs.values()):
        for place, basin in enumerate(("P1", "P2")):
            deepest = run.hydrographs["states"][f"depthN {basin}"].max()
            assert abs(max(heights[4 * number + place]) - 24 * deepest / 2) <= 1
        openings = run.hydrographs["actions"].values()
        for place, opening in enumerate(openings):
            assert set(heights[4 * number + 2 + place]) == {round(24 * opening[0])}


def test_the_words_follow_the_runs(picture):
    first, second = picture.description.split(" Map of ")
    above = [int(re.search(r"(\d+) of 5 pipes", told)[1]) for told in (first, second)]
    assert above[0] > above[1] == 0
    assert picture.description.count("flood in the hours shown: none.") == 2


def test_what_cannot_be_drawn_is_refused(runs):
    with pytest.raises(ValueError, match="at least one run"):
        animate_storm({}, "theta", "none", 1)
    with pytest.raises(ValueError, match="no depth of the basins 1, 2, 3"):
        animate_storm(runs, "gamma", "another network", 1)
    for hours in ((1000, 2000), (5, 2), (-1, 5)):
        with pytest.raises(
            ValueError, match=r"hours must be a part of the \d+ h of the runs, got "
        ):
            animate_storm(runs, "theta", "another time", 1, hours=hours)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"runs": []}, TypeError("runs must be a dict, label -> Run, as simulate returns it")),
        ({"scenario": "theat"}, ValueError("scenario must be one of alpha, .*, got 'theat'")),
        ({"scenario": None}, TypeError("scenario must be one of alpha, .*, got None")),
        ({"title": 5}, TypeError("title must be a text, got 5")),
        ({"limit": "high"}, TypeError("limit must be a flow above 0, got 'high'")),
        ({"limit": 0}, ValueError("limit must be a flow above 0, got 0")),
        ({"limit": float("nan")}, ValueError("limit must be a flow above 0, got nan")),
    ],
)
def test_a_wrong_argument_is_named(change, error, runs):
    arguments = {"runs": runs, "scenario": "theta", "title": "none", "limit": 1} | change
    with pytest.raises(type(error), match=str(error)):
        animate_storm(**arguments)


def test_the_storm_of_the_front_page_has_the_look_of_today():
    html = stored_storm()
    assert STYLE in html
    assert SCRIPT.partition("FRAMES")[2].partition("HOURS")[2] in html
