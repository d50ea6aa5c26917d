"""Execute notebooks and compare every output with the stored one, to the letter.

Usage: python tools/check_notebooks.py [notebooks/NAME.ipynb ...]   (default: all of them)

Timings are repeated once; WEEKLY=1 in the environment repeats them as often as the notebook says.
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


def pytest_itemcollected(item):
    """Let a `%%timeit` cell run once, before nbval executes it."""
    # Its seconds are masked, so repetitions would check nothing. The number of runs is replaced in
    # the source and, if it stands there, in the stored text that nbval compares; every other
    # character is compared as it is stored. All this is in memory: no file is changed.
    cell = getattr(item, "cell", None)
    timed = cell and re.match(r"%%timeit\b.* -r (\d+)\b", cell.source)
    if not timed or os.environ.get("WEEKLY"):
        return
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
