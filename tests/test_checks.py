"""The tools that check: lanes side by side, and notebooks whose timings run once."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import check_notebooks
import nbformat
import pytest
import run_checks
from conftest import ROOT, has_ended

TWO_LANES = """
import sys
import run_checks

run_checks.LANES = {{
    "code": [sys.executable, "-u", "-c", {code!r}],
    "notebooks": [sys.executable, "-u", "-c", {notebooks!r}],
}}
sys.exit(run_checks.main())
"""


def start_lanes(**lanes):
    return subprocess.Popen(
        [sys.executable, "-c", TWO_LANES.format(**lanes)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "tools")},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(("code", "notebooks"), [(0, 0), (1, 0), (0, 2), (3, 1)])
def test_both_lanes_are_shown_and_one_that_fails_is_a_failure(code, notebooks):
    source = "import sys; print('first'); print('the end of {}'); sys.exit({})"
    program = start_lanes(
        code=source.format("code", code), notebooks=source.format("notebooks", notebooks)
    )
    printed = program.communicate(timeout=60)[0].splitlines()
    assert program.returncode == (1 if code or notebooks else 0)
    ends = ["     code | the end of code", "notebooks | the end of notebooks"]
    assert printed[-2:] == ends
    for line in (*ends, "     code | first", "notebooks | first"):
        assert line in printed[:-3]


@pytest.mark.parametrize("color", ["", "\x1b[31m"])
def test_what_failed_is_repeated_at_the_end(color):
    failed = f"{color}FAILED tests/test_swarm.py::test_the_order[2] - assert 1 == 2"
    program = start_lanes(
        code=f"print({failed!r}); print('1 failed, 2 passed'); raise SystemExit(1)",
        notebooks="import time; time.sleep(1); print('FAILED is a word'); print('3 passed')",
    )
    printed = program.communicate(timeout=60)[0].splitlines()
    assert printed[-4:] == [
        "",
        f"     code | {failed}",
        "     code | 1 failed, 2 passed",
        "notebooks | 3 passed",
    ]


@pytest.mark.skipif(os.name != "posix", reason="elsewhere the console interrupts the lanes")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_both_lanes(number, ctrl_c_is_heard):
    source = "import os, time\nprint(os.getpid())\ntry: time.sleep(300)\nfinally: print('tidied')"
    program = start_lanes(code=source, notebooks=source)
    lanes = [int(program.stdout.readline().split("|")[1]) for _ in range(2)]
    program.send_signal(number)
    printed = program.communicate(timeout=30)[0]
    assert program.returncode == 130
    assert printed.count("| tidied") >= 2
    assert all(map(has_ended, lanes))


@pytest.mark.skipif(os.name != "posix", reason="elsewhere the console interrupts the lanes")
def test_ctrl_c_while_the_lanes_start_ends_those_that_run(ctrl_c_is_heard, monkeypatch):
    started = []

    def start_one_only(command):
        if started:
            raise KeyboardInterrupt
        started.append(start([sys.executable, "-c", "import time; time.sleep(300)"]))
        return started[0]

    start = run_checks.start
    monkeypatch.setattr(run_checks, "start", start_one_only)
    monkeypatch.setattr(run_checks.signal, "signal", lambda *arguments: None)
    assert run_checks.main() == 130
    assert has_ended(started[0].pid)


@pytest.mark.skipif(os.name != "posix", reason="elsewhere the console interrupts the lanes")
def test_a_lane_that_ignores_ctrl_c_is_ended(ctrl_c_is_heard):
    deaf = (
        "import os, signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "print(os.getpid())\ntime.sleep(300)"
    )
    program = start_lanes(code=deaf, notebooks=deaf)
    lanes = [int(program.stdout.readline().split("|")[1]) for _ in range(2)]
    program.send_signal(signal.SIGINT)
    time.sleep(1)
    program.send_signal(signal.SIGINT)
    program.communicate(timeout=30)
    assert all(map(has_ended, lanes))


@pytest.fixture
def check(tmp_path):
    """Check a notebook that times a cell and counts its runs, against these outputs."""

    def run(timed, count, weekly=""):
        said = "10 ms ± 1 ms per loop (mean ± std. dev. of {}, 1 loop each)\n".format
        cells = [
            nbformat.v4.new_code_cell("runs = []"),
            nbformat.v4.new_code_cell(
                "%%timeit -n 1 -r 5\nruns.append(1)",
                outputs=[nbformat.v4.new_output("stream", name="stdout", text=said(timed))],
            ),
            nbformat.v4.new_code_cell(
                "print(len(runs))",
                outputs=[nbformat.v4.new_output("stream", name="stdout", text=f"{count}\n")],
            ),
        ]
        for number, cell in enumerate(cells, start=1):
            cell.execution_count = number
        path = tmp_path / "timed.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
        before = path.read_bytes()
        done = subprocess.run(
            [sys.executable, ROOT / "tools" / "check_notebooks.py", path, "-p", "no:cacheprovider"],
            env=os.environ | {"WEEKLY": weekly},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert path.read_bytes() == before
        return done

    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("timed", "count", "weekly", "failed"),
    [
        ("5 runs", 1, "", 0),
        ("5 runs", 5, "1", 0),
        ("5 runs", 5, "", 1),  # what other cells print is compared as it is stored
        ("4 runs", 1, "", 1),  # not what the cell says
    ],
)
def test_a_timing_runs_once_and_everything_else_is_compared(timed, count, weekly, failed, check):
    done = check(timed, count, weekly)
    passed = f"{3 - failed} passed"
    assert (f"{failed} failed, {passed}" if failed else passed) in done.stdout, done.stdout
    assert done.returncode == (1 if failed else 0)


@pytest.mark.parametrize(
    ("written", "once"),
    [
        ("measure(calls)", "measure({}calls)"),
        ("measure({'a': abs}, seconds=45,\n    rounds=5,\n)", "measure({}{{'a': abs}},\n)"),
        ("measure(calls, seconds=9, bare_processes=2)", "measure({}calls, bare_processes=2)"),
        ("time_in_turn(calls, rounds=5)", "time_in_turn(calls, rounds=1)"),
        ("measured.show()\nplot(rounds=5)", "measured.show()\nplot(rounds=5)"),
    ],
)
def test_what_is_measured_runs_once_except_weekly(written, once, monkeypatch):
    for weekly, expected in [("", once.format(check_notebooks.ONCE)), ("1", written)]:
        monkeypatch.setenv("WEEKLY", weekly)
        item = SimpleNamespace(cell=nbformat.v4.new_code_cell(written))
        check_notebooks.pytest_itemcollected(item)
        assert item.cell.source == expected
        compile(item.cell.source, "cell", "exec")
