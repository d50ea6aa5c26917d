"""Run a notebook on this machine, write it as one HTML file, and print its summary.

Usage: python tools/run_notebook.py notebooks/NAME.ipynb [FOLDER]

The page goes to FOLDER/NAME.html, by default in build, and needs no network. The summary is what
the cells with the tag `summary` print, tables included. The page begins with it and with the
pictures of such cells.
The notebook itself is left as it is.
"""

import copy
import os
import re
import sys
from pathlib import Path

import nbformat
from check_outputs import read_text
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter
from tqdm import tqdm

HERE = Path(__file__).resolve().parent


def heading(notebook, index):
    """Return the last heading above the cell, the name of what the reader waits for."""
    for cell in reversed(notebook.cells[:index]):
        if cell.cell_type == "markdown":
            lines = [line for line in cell.source.splitlines() if line.startswith("#")]
            if lines:
                return lines[-1].lstrip("# ")
    return ""


def execute(notebook, folder, client=NotebookClient):
    """Execute the notebook in a fresh kernel that starts in `folder`, showing progress."""
    code = [index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    with tqdm(total=len(code), unit="cell", bar_format="{l_bar}{bar:20}| {elapsed}") as bar:

        def started(cell, cell_index):
            bar.set_description(f"{heading(notebook, cell_index)[:48]:48}")

        def executed(cell, cell_index, execute_reply):
            bar.n = code.index(cell_index) + 1
            bar.refresh()

        client(
            notebook,
            timeout=None,
            kernel_name="python3",
            record_timing=False,
            extra_arguments=["--IPKernelApp.log_level=40"],  # no warning about the local port
            resources={"metadata": {"path": str(folder)}},
            on_cell_execute=started,
            on_cell_executed=executed,
        ).execute()


def with_result_first(notebook):
    """Return a copy of the notebook in which the outputs of the summary follow the title."""
    notebook = copy.deepcopy(notebook)
    cells = [copy.deepcopy(cell) for cell in summary_cells(notebook) if cell.outputs]
    for cell in cells:
        cell.id += "-result"
        cell.metadata["result"] = True  # the page leaves out its source
    first = notebook.cells[0]
    if cells and first.source.startswith("# "):
        title, _, first.source = first.source.partition("\n")
        above = nbformat.v4.new_markdown_cell(f"{title}\n\n## The result on this machine")
        first.source = f"## The notebook\n{first.source}"
        notebook.cells[:0] = [above, *cells]
    return notebook


def write_page(notebook, page, folder):
    """Write the notebook, outputs included, as one HTML file that needs no network.

    Pictures that its text shows are looked for from `folder` on, and so are the files to which it
    links.
    """
    notebook = with_result_first(notebook)
    exporter = HTMLExporter(
        template_name="page", extra_template_basedirs=[str(HERE)], embed_images=True
    )
    body, _ = exporter.from_notebook_node(
        notebook, {"metadata": {"name": page.stem, "path": str(folder)}}
    )
    way = os.path.relpath(folder, page.parent).replace(os.sep, "/")
    body = re.sub(r'<a href="(?![a-z]+:|[#/])', f'<a href="{way}/', body)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(body, encoding="utf-8")


def summary_cells(notebook):
    """Return the cells with the tag `summary`."""
    return [cell for cell in notebook.cells if "summary" in cell.metadata.get("tags", [])]


def summary(notebook):
    """Return what the cells with the tag `summary` printed, and their tables as text."""
    outputs = [output for cell in summary_cells(notebook) for output in cell.get("outputs", [])]
    return "\n".join(filter(None, map(read_text, outputs)))


def main(source, folder="build"):
    """Run the notebook at `source`, write its page into `folder`; return the exit code."""
    source, page = Path(source).resolve(), Path(folder, Path(source).stem + ".html")
    notebook = nbformat.read(source, as_version=4)
    try:
        execute(notebook, source.parent)
    except CellExecutionError as error:
        write_page(notebook, page, source.parent)
        print(f"\n{error}\nThe notebook up to the error: {page}", file=sys.stderr)
        return 1
    write_page(notebook, page, source.parent)
    print(f"\n{summary(notebook)}")
    print(f"Read it with its figures: {page}")
    print("Run and change it yourself: make lab, or jupyter lab notebooks")
    return 0


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
