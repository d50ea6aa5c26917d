"""The numbers that are stored in the notebooks do not contradict the text, or each other."""

import nbformat
import pytest
import store_outputs
from check_outputs import contradictions
from lint_notebooks import NOTEBOOKS

from stormswarm_utils import Table

TWO_ORDERS = """                      median   quartiles
order of the list     2.{0} s   2.44 s to 2.55 s
longest first         2.46 s   2.{1} s to 2.73 s
"""
APART = "pair   1.50 s   1.40 s to 1.60 s\nswarm   1.00 s   0.90 s to 1.10 s\n"
NO_DIFFERENCE = "pair and swarm: no difference that this machine can show in"
LIMIT = "bare processes on 2 cores: 1.60 times as fast as one\n"
TIMEIT = " per loop (mean ± std. dev. of 3 runs, 1 loop each)\n"


def table(columns, *rows):
    """Return a table of these rows, its headings and values apart by commas."""
    values = zip(*(row.split(", ") for row in rows), strict=True)
    return Table(dict(zip(columns.split(", "), values, strict=True)))


def schedules(*rows):
    columns = "schedule, wall time, compared with the bound"
    return table(columns, "bound, 2.00 s, 1.00x", "order of the list, 2.40 s, 1.20x", *rows)


def ratios(what, *rows):
    return table(f"{what}, seconds, speed-up over the first row", *rows)


def pair(row):
    return table("job set, serial, parallel, speed-up, ideal, published", row)


def steps(row):
    return table("version, median, compared with the row above", "plain loop, 2.00 s, ", row)


def work(row):
    columns = "processes, wall time, work done per time compared with one process"
    return table(columns, row)


def threads(row):
    return table("time, one thread each, four threads each, four compared with one", row)


def notebook_that_printed(*outputs):
    cells = []
    for output in outputs:
        cells.append(nbformat.v4.new_code_cell())
        if isinstance(output, Table):
            data = {"text/html": output._repr_html_(), "text/plain": repr(output)}
            cells[-1].outputs = [nbformat.v4.new_output("display_data", data)]
        else:
            cells[-1].outputs = [nbformat.v4.new_output("stream", name="stdout", text=output)]
    return nbformat.v4.new_notebook(cells=cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_stored_number_contradicts_the_text(path):
    assert contradictions(nbformat.read(path, as_version=4)) == []


@pytest.mark.parametrize(
    ("good", "bad", "rule"),
    [
        (["1.5 s ± 150 ms" + TIMEIT], ["1.5 s ± 151 ms" + TIMEIT], "a tenth of the mean"),
        (
            ["bare processes on all cores: 1.90x as fast as one\n", "2   99 %   78 %\n"],
            ["bare processes on all cores: 1.06x as fast as one\n", "2   97 %   50 %\n"],
            "97 % of 2 processes is above the limit 1.06x",
        ),
        (
            ["An even share of the work is 8.40 s; the swarm took 8.00 s."],
            ["An even share of the work is 8.41 s; the swarm took 8.00 s."],
            "8.00 s, less than an even share",
        ),
        (["(spread 20 %)"], ["The machine changed its speed: run it again."], "run it again"),
        (["1min 5s ± 6 s" + TIMEIT], ["2.1 ms ± 245 µs" + TIMEIT], "a tenth of the mean"),
        (
            [TWO_ORDERS.format(50, 45)],
            [TWO_ORDERS.format(50, 58)],
            "longest first is slower than the order of the list: 2.58 s against 2.55 s",
        ),
        (
            [APART, f"{NO_DIFFERENCE} 5 rounds"],
            [APART, f"{NO_DIFFERENCE} 4 rounds"],
            "quartiles lie apart, 4 rounds show no difference",
        ),
        (
            [TWO_ORDERS.format(50, 40), "longest first is 1.02x as fast as order of the list"],
            [TWO_ORDERS.format(60, 40), "longest first is 1.02x as fast as order of the list"],
            "2.60 / 2.46 is not 1.02",
        ),
        (
            [schedules("longest first, 2.40 s, 1.20x")],
            [schedules("longest first, 2.42 s, 1.21x")],
            "longest first takes longer",
        ),
        (
            [schedules("worst order, 2.51 s, 1.25x")],
            [schedules("worst order, 2.51 s, 1.24x")],
            "2.51 / 2.00 is not 1.24",
        ),
        (
            [pair("2 runs on 2, 1.47 s, 1.02 s, 1.45x, 1.42x, 1.4")],
            [pair("2 runs on 2, 1.47 s, 1.02 s, 1.47x, 1.42x, 1.4")],
            "1.47 / 1.02 is not 1.47",
        ),
        (
            [pair("2 runs on 2, 1.50 s, 1.00 s, 1.50x, 1.43x, 1.4")],
            [pair("2 runs on 2, 1.50 s, 1.00 s, 1.50x, 1.42x, 1.4")],
            "above the ideal 1.42x",
        ),
        (
            [LIMIT, pair("6 runs, 1.60 s, 1.00 s, 1.60x, 2.00x, 1.4")],
            [LIMIT, pair("6 runs, 1.80 s, 1.00 s, 1.80x, 2.00x, 1.4")],
            "or the limit 1.6x",
        ),
        (
            [LIMIT, ratios("two dozen runs", "helper, 1.60 s, 1.00x", "swarm, 1.00 s, 1.60x")],
            [LIMIT, ratios("two dozen runs", "helper, 1.80 s, 1.00x", "swarm, 1.00 s, 1.80x")],
            "above the limit",
        ),
        (
            [ratios("six runs", "published way, 20.00 s, 1.00x", "swarm, 3.00 s, 6.67x")],
            [ratios("six runs", "published way, 20.00 s, 1.00x", "swarm, 3.00 s, 6.76x")],
            "20.00 / 3.00 is not 6.76",
        ),
        (
            [steps("the helper, 2.01 s, 0.99x (0.95x to 1.00x)")],
            [steps("the helper, 2.02 s, 0.99x (0.95x to 0.99x)")],
            "the helper: slower than the step before",
        ),
        (
            [steps("the helper, 1.00 s, 1.90x (1.80x to 2.00x)")],
            [steps("the helper, 1.00 s, 1.80x (1.70x to 1.90x)")],
            "2.00 / 1.00 is not in 1.70 to 1.90",
        ),
        (
            [threads("alone, 1.00 s, 1.10 s, 1.12x (1.05x to 1.20x)")],
            [threads("alone, 1.00 s, 1.10 s, 1.22x (1.15x to 1.25x)")],
            "1.10 / 1.00 is not in 1.15 to 1.25",
        ),
        (
            ["local pool   0.240 ms\ndask         3.418 ms\nratio: 14.2x"],
            ["local pool   0.240 ms\ndask         3.418 ms\nratio: 14.4x"],
            "3.418 / 0.240 is not 14.4",
        ),
        (
            [
                "two programs: 1.90x as fast as one\n",
                "swarm is 1.95x as fast as one after the other",
            ],
            [
                "two programs: 1.90x as fast as one\n",
                "swarm is 2.10x as fast as one after the other",
            ],
            "swarm: 2.10x is above the limit 1.9x",
        ),
        (
            [work("2, 0.81 s, 1.99x")],
            [work("2, 0.81 s, 2.49x")],
            "2 processes did 2.49 times the work of one",
        ),
    ],
)
def test_a_contradiction_is_found(good, bad, rule):
    assert contradictions(notebook_that_printed(*good)) == []
    (found,) = contradictions(notebook_that_printed(*bad))
    assert rule in found
    assert f"cell {len(bad) - 1} (" in found


@pytest.mark.parametrize(("good_attempt", "attempts"), [(1, 1), (2, 2), (3, 2)])
def test_a_notebook_that_contradicts_itself_twice_is_not_stored(
    good_attempt, attempts, tmp_path, monkeypatch, capsys
):
    path, executed = tmp_path / "small.ipynb", []

    def execute(notebook, folder, client):
        executed.append(folder)
        deviation = "10 ms" if len(executed) == good_attempt else "900 ms"
        notebook.cells = notebook_that_printed(f"1.5 s ± {deviation}{TIMEIT}").cells

    nbformat.write(notebook_that_printed(), path)
    before = path.read_bytes()
    monkeypatch.setattr(store_outputs, "execute", execute)
    refused = good_attempt > attempts
    assert store_outputs.main([path]) == refused
    assert len(executed) == attempts
    assert (path.read_bytes() == before) == refused
    said = capsys.readouterr().err
    assert ("quieter machine" in said and "1.5 s ± 900 ms" in said) == refused


@pytest.mark.parametrize("good_repeat", [0, 3, 4])
def test_an_unsteady_timing_is_repeated_at_once(good_repeat, tmp_path):
    timing = f"""
repeats += 1
print(f"1 s ± {{10 if repeats == {good_repeat} else 900}} ms per loop (mean ± std. dev. of 3 runs)")
"""
    sources = ["repeats = -1", timing, "repeats"]
    notebook = nbformat.v4.new_notebook(cells=[*map(nbformat.v4.new_code_cell, sources)])
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell("text"))
    store_outputs.execute(notebook, tmp_path, store_outputs.PatientClient)
    setup, _, timed, last = notebook.cells
    assert [cell.execution_count for cell in (setup, timed, last)] == [1, 2, 3]
    assert last.outputs[0].execution_count == 3
    assert last.outputs[0].data["text/plain"] == str(min(good_repeat, 3))
    assert len(contradictions(notebook)) == (good_repeat > 3)
