"""Build the site: documents, notebooks with their stored outputs, timing records, API.

Usage: python tools/build_site.py [FOLDER]   (default: build; the site is FOLDER/site/index.html)

Sphinx reads one folder, so the pieces are gathered in FOLDER/source first. Nothing is executed
and nothing is fetched. A warning of Sphinx's is an error.
"""

import re
import shutil
import sys
import tomllib
from pathlib import Path

import nbformat
from draw_timings import draw_timings
from sphinx.cmd.build import main as sphinx_build

ROOT = Path(__file__).resolve().parent.parent
# What a link in a document of the repository points at -> where that is on the site
ON_THE_SITE = [
    ("../notebooks/", "notebooks/"),
    ("../CONTRIBUTING.md", "contributing.md"),
    ("docs/", ""),
    ("CODE_OF_CONDUCT.md", "code_of_conduct.md"),
]
# Ways to run a notebook: what the button says -> where it leads, and how
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"][
    "Repository"
]
BUTTONS = {
    "Download": 'download href="../_static/notebooks/{name}"',
    "Open on Binder": 'href="https://mybinder.org/v2/gh/{place}/HEAD?labpath=notebooks%2F{name}"',
    "Open in Colab": (
        'href="https://colab.research.google.com/github/{place}/blob/main/notebooks/{name}"'
    ),
}
NOTEBOOK_ON_THE_SITE = [("../docs/", "../"), ("../CONTRIBUTING.md", "../contributing.md")]


def relink(text, table):
    """Let the links of a Markdown text point at the same things on the site."""
    for there, here in table:
        text = re.sub(rf"\]\({re.escape(there)}", f"]({here}", text)
    return text


def buttons(name):
    """Return the links by which a reader of this notebook's page can run it."""
    place = REPOSITORY.removeprefix("https://github.com/")
    links = [
        f"<a {target.format(name=name, place=place)}>{text}</a>" for text, target in BUTTONS.items()
    ]
    return (
        f'<p class="buttons">{" ".join(links)} <a href="../online.html">What differs there</a></p>'
    )


def stored_storm():
    """Return the storm that moves as notebook 01 has stored it, for the front page."""
    notebook = nbformat.read(ROOT / "notebooks" / "01_run_one_storm.ipynb", as_version=4)
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    pages = (output.get("data", {}).get("text/html", "") for output in outputs)
    return next(page for page in pages if 'class="storm"' in page)


def gather(folder):
    """Copy everything that the site is made of into one folder."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs", folder)
    for name in ("CONTRIBUTING.md", "CODE_OF_CONDUCT.md"):
        shutil.copy(ROOT / name, folder / name.lower())
    for page in folder.glob("*.md"):
        page.write_text(relink(page.read_text("utf-8"), ON_THE_SITE), encoding="utf-8")
    (folder / "storm.html").write_text(stored_storm(), encoding="utf-8")
    shutil.copytree(ROOT / "notebooks" / "figures", folder / "notebooks" / "figures")
    # To download, with the links as they are in the repository
    shutil.copytree(
        ROOT / "notebooks",
        folder / "_static" / "notebooks",
        ignore=shutil.ignore_patterns(".ipynb_checkpoints"),
    )
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        number = path.name.partition("_")[0]  # by which the notebooks name each other
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = relink(cell.source, NOTEBOOK_ON_THE_SITE)
        first = notebook.cells[0]
        title, _, rest = first.source.removeprefix("# ").partition("\n\n")
        first.source = f"# {number}. {title}\n\n{buttons(path.name)}\n\n{rest}"
        nbformat.write(notebook, folder / "notebooks" / path.name)
    draw_timings(ROOT / "docs" / "records", folder / "generated")


def main(folder="build"):
    """Build the site in `folder`; return the exit code."""
    source, site = Path(folder, "source"), Path(folder, "site")
    gather(source)
    shutil.rmtree(site, ignore_errors=True)
    code = sphinx_build(
        ["-W", "--keep-going", "-q", "-E", "-d", f"{folder}/doctrees", f"{source}", f"{site}"]
    )
    if code == 0:
        print(f"Open {site / 'index.html'} in a browser; it needs no server and no network.")
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
