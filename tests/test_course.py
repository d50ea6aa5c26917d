"""The notebooks are one course: what each of them has, and where they are listed."""

import itertools
import re
from fnmatch import fnmatch
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
README = (ROOT / "README.md").read_text("utf-8")


def cells(path):
    return nbformat.read(path, as_version=4).cells


def tags(cell):
    return set(cell.metadata.get("tags", ()))


def prose(path):
    return "\n".join(cell.source for cell in cells(path) if cell.cell_type == "markdown")


def minutes(path):
    return re.search(r"\*\*Time to learn:\*\* (\d+) minutes", cells(path)[0].source).group(1)


each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_the_notebooks_are_numbered_without_a_gap():
    assert [int(path.name[:2]) for path in NOTEBOOKS] == list(range(len(NOTEBOOKS)))


@each_notebook
def test_a_notebook_opens_with_question_minutes_and_what_it_needs(path):
    opening = cells(path)[0].source
    assert re.match(r"# [A-Z][^\n]+\n\n\*\*Time to learn:\*\* \d+ minutes\.", opening)
    assert "**Time to run:**" in opening
    for part in ("**What you will do**", "**What you will learn**", "**What you need:**"):
        assert part in opening, part


@each_notebook
def test_a_notebook_closes_with_summary_exercises_and_what_is_next(path):
    headings = re.findall(r"(?m)^## (.+)$", prose(path))
    assert headings[-3:] == ["Summary", "Your turn", "What is next"]


@each_notebook
def test_each_exercise_has_a_check_and_a_hidden_solution(path):
    """In this order, with the answer of the exercise cell as it is stored still wrong."""
    kinds = [
        (kind, cell)
        for cell in cells(path)
        for kind in ("exercise", "check", "solution")
        if kind in tags(cell)
    ]
    assert [kind for kind, _ in kinds] == ["exercise", "check", "solution"] * (len(kinds) // 3)
    assert 2 <= len(kinds) // 3 <= 3
    for kind, cell in kinds:
        if kind == "check":
            printed = "".join(output.get("text", "") for output in cell.outputs)
            assert "right" not in printed, cell.source
        if kind == "solution":
            assert "hide-cell" in tags(cell)
            assert cell.metadata.jupyter.source_hidden


@each_notebook
def test_headings_go_down_by_one_level_at_most(path):
    levels = [len(marks) for marks in re.findall(r"(?m)^(#+) ", prose(path))]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(deeper - level <= 1 for level, deeper in itertools.pairwise(levels))


@each_notebook
def test_readme_and_instructor_guide_give_the_minutes_of_the_notebook(path):
    row = rf"\| \[{path.stem}\]\(notebooks/{path.name}\) \| [^|]+\? \| {minutes(path)} \|"
    assert re.search(row, README)
    guide = (ROOT / "docs" / "instructor-guide.md").read_text("utf-8")
    assert re.search(rf"\| {path.stem[:2]} \| [^|]+ \| {minutes(path)} \|", guide)


@each_notebook
def test_links_between_notebooks_lead_somewhere(path):
    for number in re.findall(r"[Nn]otebooks? (\d\d)", prose(path)):
        assert any(other.name.startswith(number) for other in NOTEBOOKS), number


def test_the_index_of_the_site_has_every_notebook():
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    entries = re.findall(r"(?m)^notebooks/\S+$", index)
    for path in NOTEBOOKS:
        assert any(fnmatch(f"notebooks/{path.stem}", entry) for entry in entries), path.stem
