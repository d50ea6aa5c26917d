"""The numbers that are stored in the notebooks do not contradict the text, or each other."""

import nbformat
import pytest
import store_outputs
from check_outputs import contradictions
from lint_notebooks import NOTEBOOKS

TWO_ORDERS = """                      median   quartiles
order of the list     2.{0} s   2.44 s to 2.55 s
longest first         2.46 s   2.{1} s to 2.73 s
"""
ORDERS = "bound   2.00 s   1.00x the bound\norder of the list   2.40 s   1.20x the bound\n"
WAYS = "  published way   20.00 s   1.00x as fast as the published way\n"
STEPS = "plain loop   2.00 s\n"
APART = "pair   1.50 s   1.40 s to 1.60 s\nswarm   1.00 s   0.90 s to 1.10 s\n"
NO_DIFFERENCE = "pair and swarm: no difference that this machine can show in"
LIMIT = "bare processes on 2 cores: 1.60 times as fast as one\n"
TIMEIT = " per loop (mean ± std. dev. of 3 runs, 1 loop each)\n"


def notebook_that_printed(*texts):
    cells = []
    for text in texts:
        cells.append(nbformat.v4.new_code_cell())
        cells[-1].outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]
    return nbformat.v4.new_notebook(cells=cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_stored_number_contradicts_the_text(path):
    assert contradictions(nbformat.read(path, as_version=4)) == []


@pytest.mark.parametrize(
    ("good", "bad", "rule"),
    [
        (["1.5 s ± 150 ms" + TIMEIT], ["1.5 s ± 151 ms" + TIMEIT], "a tenth of the mean"),
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
            [ORDERS + "longest first   2.40 s   1.20x the bound"],
            [ORDERS + "longest first   2.42 s   1.21x the bound"],
            "longest first takes longer",
        ),
        (
            [ORDERS + "worst order   2.51 s   1.25x the bound"],
            [ORDERS + "worst order   2.51 s   1.24x the bound"],
            "2.51 / 2.00 is not 1.24",
        ),
        (
            ["2 runs on 2   1.47 s serial   1.02 s parallel   1.45x, ideal   1.42x, published"],
            ["2 runs on 2   1.47 s serial   1.02 s parallel   1.47x, ideal   1.42x, published"],
            "1.47 / 1.02 is not 1.47",
        ),
        (
            ["2 runs on 2   1.50 s serial   1.00 s parallel   1.50x, ideal   1.43x, published"],
            ["2 runs on 2   1.50 s serial   1.00 s parallel   1.50x, ideal   1.42x, published"],
            "above the ideal 1.42x",
        ),
        (
            [LIMIT, "6 runs   1.60 s serial   1.00 s parallel   1.60x, ideal   2.00x, published"],
            [LIMIT, "6 runs   1.80 s serial   1.00 s parallel   1.80x, ideal   2.00x, published"],
            "or the limit 1.6x",
        ),
        (
            [LIMIT, "  one by one   1.60 s\n  swarm   1.00 s   1.60x as fast as one by one\n"],
            [LIMIT, "  one by one   1.80 s\n  swarm   1.00 s   1.80x as fast as one by one\n"],
            "above the limit",
        ),
        (
            [WAYS + "  swarm   3.00 s   6.67x as fast as the published way"],
            [WAYS + "  swarm   3.00 s   6.76x as fast as the published way"],
            "20.00 / 3.00 is not 6.76",
        ),
        (
            [STEPS + "the helper   2.01 s   0.99x (0.95x to 1.00x)"],
            [STEPS + "the helper   2.02 s   0.99x (0.95x to 0.99x)"],
            "the helper: slower than the step before",
        ),
        (
            [STEPS + "the helper   1.00 s   1.90x (1.80x to 2.00x)"],
            [STEPS + "the helper   1.00 s   1.80x (1.70x to 1.90x)"],
            "2.00 / 1.00 is not in 1.70 to 1.90",
        ),
        (
            ["  one   1.00 s\n  four   1.10 s\n  four take 1.12x as long (1.05x to 1.20x)"],
            ["  one   1.00 s\n  four   1.10 s\n  four take 1.22x as long (1.15x to 1.25x)"],
            "1.10 / 1.00 is not in 1.15 to 1.25",
        ),
        (
            ["local pool 0.240 ms a job\ndask       3.418 ms a job\nratio: 14.2x"],
            ["local pool 0.240 ms a job\ndask       3.418 ms a job\nratio: 14.4x"],
            "3.418 / 0.240 is not 14.4",
        ),
        (
            ["        2      0.81 s      1.99x"],
            ["        2      0.81 s      2.49x"],
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

    def execute(notebook, folder):
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
