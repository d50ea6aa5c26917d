"""Execute notebooks from top to bottom and store their outputs, the last step of every change.

Usage: python tools/store_outputs.py [notebooks/NAME.ipynb ...]   (default: all of them)

The second figure of notebook 02, the speed-up, also becomes docs/speed_up.png for the README.
Let nothing else run on the machine meanwhile: timings are stored.
"""

import base64
import sys
from pathlib import Path

import nbformat
from run_notebook import execute

ROOT = Path(__file__).resolve().parent.parent
README_FIGURE = ("02_serial_versus_parallel.ipynb", 1, ROOT / "docs" / "speed_up.png")


def figures(notebook):
    """Return the stored pictures of a notebook as PNG bytes, in order."""
    return [
        base64.b64decode(output.data["image/png"])
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]


def main(paths):
    """Execute and store each notebook."""
    for path in map(Path, paths or sorted((ROOT / "notebooks").glob("*.ipynb"))):
        notebook = nbformat.read(path, as_version=4)
        execute(notebook, path.parent)
        nbformat.write(notebook, path)
        name, index, picture = README_FIGURE
        if path.name == name:
            picture.parent.mkdir(exist_ok=True)
            picture.write_bytes(figures(notebook)[index])


if __name__ == "__main__":
    main(sys.argv[1:])
