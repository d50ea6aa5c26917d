"""What the helper survives, tried as the table of docs/which-pool.md tries it."""

import pytest

from benchmarks import survival

pytestmark = pytest.mark.slow

PROMISED = {
    "kill": "the others finish",
    "exit": "the others finish",
    "hang": "the others finish",
    "second": "all runs finish",
    "nan": "raises `ValueError`",
    "caller": "workers end within 2 s",
}


def test_the_table_tries_what_is_promised():
    assert list(survival.EVENTS) == list(PROMISED)


@pytest.mark.parametrize("event", survival.EVENTS)
def test_the_helper_survives_every_event(event):
    assert survival.happened("this helper", event) == PROMISED[event]


def test_cells_tell_what_came_back():
    """Answers that are lost, late or wrong are told apart."""
    jobs = [{"job": job, "score": None} for job in range(survival.JOBS)]
    others = [note for note in jobs if note["job"] != survival.BAD]
    lost = [*jobs[:2], {"raised": "BrokenPool"}]
    tell = survival.in_a_cell
    assert tell("kill", others, True) == "the others finish"
    assert tell("kill", others, False) == "the others finish, then it waits for ever"
    assert tell("kill", jobs[:2], False) == "waits for ever"
    assert tell("kill", lost, True) == "all pending jobs are lost, raises `BrokenPool`"
    assert tell("nan", [{"job": 0, "score": 0.0}], True) == "accepted in silence, score 0"
    assert tell("second", [note | {"score": note["job"]} for note in jobs], True) == "wrong scores"
