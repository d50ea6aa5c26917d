"""Execute notebooks from top to bottom and store their outputs, the last step of every change.

Usage: python tools/store_outputs.py [notebooks/NAME.ipynb ...]   (default: all of them)

Let nothing else run on the machine meanwhile: timings are stored.
"""

import sys
from pathlib import Path

import nbformat
from run_notebook import execute

ROOT = Path(__file__).resolve().parent.parent


def main(paths):
    """Execute and store each notebook."""
    for path in map(Path, paths or sorted((ROOT / "notebooks").glob("*.ipynb"))):
        notebook = nbformat.read(path, as_version=4)
        execute(notebook, path.parent)
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main(sys.argv[1:])
