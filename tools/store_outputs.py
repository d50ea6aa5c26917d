"""Execute notebooks from top to bottom and store their outputs, the last step of every change.

Usage: python tools/store_outputs.py [notebooks/NAME.ipynb ...]   (default: all of them)

Let nothing else run on the machine meanwhile: timings are stored. A `%%timeit` whose repetitions
differ too much is run again at once, three times at most. A notebook whose numbers contradict its
text is executed once more, and not stored if they still do.
"""

import sys
from pathlib import Path

import nbformat
from check_outputs import contradictions, read_text, unsteady_timings
from nbclient import NotebookClient
from run_notebook import execute

ROOT = Path(__file__).resolve().parent.parent
ATTEMPTS = 2
REPEATS = 3  # of an unsteady timing


class PatientClient(NotebookClient):
    """Executes a cell again if its timing is unsteady, before it goes on to the next one."""

    async def async_execute_cell(self, cell, cell_index, execution_count=None, store_history=True):
        """Execute one cell; those that are executed again have the number of the first time."""
        before = self.code_cells_executed
        for _ in range(1 + REPEATS):
            self.code_cells_executed = before
            cell = await super().async_execute_cell(
                cell, cell_index, execution_count, store_history
            )
            if not any(map(unsteady_timings, map(read_text, cell.get("outputs", [])))):
                break
            store_history = False
        return cell


def store(path):
    """Execute and store a notebook; return what keeps it from being stored, as a list."""
    for _ in range(ATTEMPTS):
        notebook = nbformat.read(path, as_version=4)
        execute(notebook, path.parent, PatientClient)
        found = contradictions(notebook)
        if not found:
            nbformat.write(notebook, path)
            break
    return found


def main(paths):
    """Execute and store each notebook; return 1 if one was refused, else 0."""
    refused = False
    for path in map(Path, paths or sorted((ROOT / "notebooks").glob("*.ipynb"))):
        found = store(path)
        if found:
            refused = True
            print(f"{path.name} is not stored. Try again on a quieter machine:", file=sys.stderr)
            print(*(f"  {line}" for line in found), sep="\n", file=sys.stderr)
    return int(refused)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
