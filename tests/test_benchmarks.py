"""The benchmarks measure what they say: sides apart, jobs shared, tables written."""

import json

import pytest

from benchmarks import common, peers

pytestmark = pytest.mark.slow


def test_the_published_way_does_not_load_the_helper(run_python):
    source = """
import sys
import benchmarks.run

print(sorted({"stormswarm_utils", "stormswarm"} & set(sys.modules)))
"""
    assert run_python(source) == "[]\n"


def test_the_files_of_a_run_are_counted():
    pytest.importorskip("distributed", reason="not installed: the extra `cluster`")
    from benchmarks import cluster

    found = cluster.measure_files()
    assert found["files"] == 3  # network, report and results
    assert found["bytes of files"] > 10_000
    assert found["time of files"] > 0


def need(*sides):
    for side in sides:
        pytest.importorskip(
            peers.SIDES[side][1], reason="not installed: the extra `bench` or `cluster`"
        )


@pytest.mark.parametrize("side", peers.SIDES)
def test_every_side_runs_all_jobs_in_order(side):
    need(side)
    figure = common.in_a_fresh_process(peers.time_cold, side, "nothing2000")
    assert figure["results"] == [*range(2000)]
    assert figure["seconds"] > 0


def test_all_sides_take_turns_on_their_own_running_workers(run_python):
    need(*peers.SIDES)
    source = """
import json
from benchmarks import peers

if __name__ == "__main__":
    peers.SETS["nothing2000"] = 100, 1, 3  # jobs, calls, least figures
    print(json.dumps(peers.time_warm("nothing2000", 1)))
"""
    figure = json.loads(run_python(source).splitlines()[-1])
    assert figure["results"] == {side: [*range(100)] for side in peers.SIDES}
    counts = {side: len(seconds) for side, seconds in figure["seconds"].items()}
    assert counts == dict.fromkeys(peers.SIDES, 3)


def test_ratios_compare_calls_of_the_same_turn():
    ratios = peers.compare({"helper": [1.0, 4.0, 9.0], "slower": [2.0, 8.0, 18.0]})
    assert ratios == {"slower": {"median": 0.5, "min": 0.5, "max": 0.5}}


def test_tables_of_peers_have_a_row_for_each_set_and_state():
    figures = peers.spreads({side: [1.0, 2.0, 4.0] for side in peers.SIDES})
    lines = peers.peers_table({"gamma2": {"warm": figures, "cold": figures}})
    assert lines[2] == "| gamma2 | warm |" + " 2.00 (1.00 to 4.00) |" * len(peers.SIDES)
    assert lines[3].startswith("| gamma2 | cold |")


def test_a_table_is_replaced_between_its_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- begin x -->\nold\n<!-- end x -->\nafter\n", encoding="utf-8")
    for _ in range(2):
        common.replace_between(page, "x", ["new", ""])
    expected = "before\n<!-- begin x -->\n\nnew\n\n<!-- end x -->\nafter\n"
    assert page.read_text(encoding="utf-8") == expected
