"""Execute notebooks and compare every output with the stored one, to the letter.

Usage: python tools/check_notebooks.py [notebooks/NAME.ipynb ...]   (default: all of them)

What is timed runs once; WEEKLY=1 in the environment repeats it as often as the notebook says.
"""

import os
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NBVAL = [
    *("--nbval", "--nbval-current-env"),
    *("--nbval-sanitize-with", str(ROOT / "tests" / "nbval_sanitize.cfg")),
]
ONCE = "seconds=0, rounds=1, warm_up=False, calls="  # for `measure`, whatever the cell says


def pytest_itemcollected(item):
    """Let a `%%timeit` cell run once, and `measure` each call once, before nbval runs the cell."""
    # Their seconds are masked, so repetitions would check nothing. The numbers are replaced in the
    # source and, where the number of runs stands there, in the stored text that nbval compares;
    # every other character is compared as it is stored. All this is in memory: no file is changed.
    cell = getattr(item, "cell", None)
    if not cell or os.environ.get("WEEKLY"):
        return
    if re.search(r"\bmeasure\(", cell.source):
        cell.source = re.sub(r"\s*\b(seconds|rounds)=\d+,?", "", cell.source)
        cell.source = re.sub(r"\bmeasure\(", f"measure({ONCE}", cell.source)
    if re.search(r"\btime_in_turn\(", cell.source):
        cell.source = re.sub(r"\brounds=\d+", "rounds=1", cell.source)
    timed = re.match(r"%%timeit\b.* -r (\d+)\b", cell.source)
    if timed:
        cell.source = cell.source[: timed.start(1)] + "1" + cell.source[timed.end(1) :]
        for output in cell.outputs:
            for texts, kind in ((output, "text"), (output.get("data", {}), "text/plain")):
                if kind in texts:
                    texts[kind] = re.sub(rf"\bof {timed[1]} runs?,", "of 1 run,", texts[kind])


def main(arguments):
    """Check the notebooks that are named, or all; options are pytest's. Return the exit code."""
    if all(argument.startswith("-") for argument in arguments):
        arguments = [*arguments, str(ROOT / "notebooks")]
    return pytest.main([*NBVAL, *arguments], plugins=[sys.modules[__name__]])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
