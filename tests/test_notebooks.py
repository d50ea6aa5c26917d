"""The stored notebooks, and the tools that show and check them."""

import re
import subprocess
import sys
from fnmatch import fnmatch

import nbformat
import pytest
from bs4 import BeautifulSoup
from lint_notebooks import NOTEBOOKS, ROOT, problems


def read(path):
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_no_problems(path):
    notebook = read(path)
    nbformat.validate(notebook)
    found = problems(notebook, path.stem)
    assert not found, "\n".join(found)


def break_order(notebook):
    notebook.cells[code_cell(notebook)].execution_count = 99


def strip_outputs(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None


def remove_a_picture(notebook):
    shown(notebook).outputs = []


def remove_alt_text(notebook):
    shown(notebook).metadata = {}


def store(text):
    def change(notebook):
        output = nbformat.v4.new_output("stream", name="stdout", text=text)
        notebook.cells[code_cell(notebook)].outputs.append(output)

    return change


def store_an_error(notebook):
    output = nbformat.v4.new_output("error", ename="ValueError", evalue="", traceback=[])
    notebook.cells[code_cell(notebook)].outputs.append(output)


def time_without_repetitions(notebook):
    notebook.cells[code_cell(notebook)].source = "%%timeit\nworker(config)"


def rename_the_summary(notebook):
    for cell in notebook.cells:
        cell.source = cell.source.replace("## Summary", "## The end")


def skip_a_level(notebook):
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell("### Too deep"))


def name_a_notebook_that_is_not_there(notebook):
    notebook.cells[1].source += "\nSee notebook 42."


def take_longer(notebook):
    first = notebook.cells[0]
    first.source = re.sub(r"learn:\*\* \d+", "learn:** 1234", first.source)


def need_nothing(notebook):
    first = notebook.cells[0]
    first.source = first.source.replace("**What you need:**", "")


def tagged(notebook, tag):
    return next(cell for cell in notebook.cells if tag in cell.metadata.get("tags", ()))


def drop_a_check(notebook):
    notebook.cells.remove(tagged(notebook, "check"))


def show_a_solution(notebook):
    del tagged(notebook, "solution").metadata["jupyter"]


def give_the_answer_away(notebook):
    output = nbformat.v4.new_output("stream", name="stdout", text="That is right.")
    tagged(notebook, "check").outputs = [output]


def code_cell(notebook):
    return next(i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code")


def shown(notebook):
    return next(cell for cell in notebook.cells if "plt.show()" in cell.source)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (break_order, "not executed top to bottom"),
        (strip_outputs, "not executed top to bottom"),
        (remove_a_picture, "1 figures shown, 0 stored"),
        (remove_alt_text, "a picture without alt text"),
        (store("/home/ada/stormswarm"), "a path of somebody's machine: '/home/ada/stormswarm'"),
        (store(r"C:\Users\ada"), "a path of somebody's machine"),
        (store("in ipykernel_4711"), "a kernel's process id"),
        (store("<function f at 0x7f0012345678>"), "an object's address"),
        (store("open   400.5   25433\nclosed   2656.7   9361\n"), "a table is printed"),
        (store("400221923.1344594"), "more than twelve digits"),
        (store_an_error, "a stored error: ValueError"),
        (time_without_repetitions, "a timing without -n and -r"),
        (rename_the_summary, "does not close with Summary"),
        (skip_a_level, "a heading of level 3 below one of level 1"),
        (name_a_notebook_that_is_not_there, "names notebook 42"),
        (take_longer, "README.md does not list it with 1234 minutes"),
        (take_longer, "docs/instructor-guide.md does not list it with 1234 minutes"),
        (need_nothing, "the opening has no"),
        (drop_a_check, "not two or three exercises"),
        (show_a_solution, "a solution that is not hidden"),
        (give_the_answer_away, "the stored answer is right already"),
    ],
)
def test_the_linter_finds(change, problem):
    path = ROOT / "notebooks" / "02_serial_versus_parallel.ipynb"
    notebook = read(path)
    change(notebook)
    assert any(problem in found for found in problems(notebook, path.stem))


def test_the_notebooks_are_numbered_without_a_gap():
    assert [int(path.name[:2]) for path in NOTEBOOKS] == list(range(len(NOTEBOOKS)))


def test_the_index_of_the_site_has_every_notebook():
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    entries = re.findall(r"(?m)^notebooks/\S+$", index)
    for path in NOTEBOOKS:
        assert any(fnmatch(f"notebooks/{path.stem}", entry) for entry in entries), path.stem


def test_the_table_in_the_readme_lists_the_notebooks_there_are():
    listed = re.findall(r"\(notebooks/(\w+\.ipynb)\)", (ROOT / "README.md").read_text("utf-8"))
    assert sorted(set(listed)) == [path.name for path in NOTEBOOKS]


def test_the_lock_names_exact_versions_and_no_registry():
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    for line in lines:
        assert re.fullmatch(r"#.*|[\w.-]+==[\w.]+( ; .+)?", line), line
    assert not re.search(r"://|index-url|find-links", "\n".join(lines))


@pytest.fixture
def run_notebook(tmp_path):
    """Run tools/run_notebook.py on a notebook of these cells; return what it did and its page."""

    def run(*cells):
        notebook = nbformat.v4.new_notebook(cells=list(cells))
        path = tmp_path / "small.ipynb"
        nbformat.write(notebook, path)
        before = path.read_bytes()
        done = subprocess.run(
            [sys.executable, ROOT / "tools" / "run_notebook.py", path, tmp_path / "build"],
            capture_output=True,
            text=True,
            encoding="utf-8",
        )
        assert path.read_bytes() == before
        return done, (tmp_path / "build" / "small.html").read_text("utf-8")

    return run


@pytest.mark.slow
def test_the_main_job_writes_one_page_without_a_network_and_prints_the_summary(run_notebook):
    figure = nbformat.v4.new_code_cell(
        "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
        metadata={"mystnb": {"image": {"alt": 'A line that rises from "1" to 2'}}},
    )
    table = nbformat.v4.new_code_cell("print('the', 'table')", metadata={"tags": ["summary"]})
    solution = nbformat.v4.new_code_cell("secret = 42", metadata={"tags": ["solution"]})
    opening = "# A title\n\nAn opening, with [the next one](next.ipynb#start)"
    done, page = run_notebook(nbformat.v4.new_markdown_cell(opening), figure, table, solution)
    assert done.returncode == 0, done.stderr
    assert "the table\n" in done.stdout
    assert "small.html" in done.stdout
    assert "A title" in done.stderr  # the progress display says what is running
    parsed = BeautifulSoup(page, "html.parser")
    text = parsed.body.get_text()
    assert text.index("the table") < text.index("An opening") < text.index("print('the'")
    assert [one.text for one in parsed.find_all("h1")] == ["A title¶"]
    folded = parsed.find("details")
    assert "secret" in folded.text
    assert not folded.has_attr("open")
    pictures = parsed.find_all("img")
    assert [picture["alt"] for picture in pictures] == ['A line that rises from "1" to 2']
    assert "data:image/png;base64," in page
    assert re.findall(r"""(?:src|href|import)\s*[=(]\s*["']?(?:https?:)?//[^"' )]+""", page) == []
    assert "<script src" not in page
    links = [link["href"] for link in parsed.select("a[href]") if link.text != "¶"]
    assert links == ["../next.ipynb#start"]  # the page is one folder below the notebook


def test_the_main_job_shows_a_table_on_its_page_and_prints_it_as_text(run_notebook):
    shown = nbformat.v4.new_code_cell(
        "from stormswarm_utils import Table\n"
        "display(Table({'valves': ['open', 'closed'], 'seconds': ['0.97 s', '12.04 s']}))\n"
        "print('That is all.')",
        metadata={"tags": ["summary"]},
    )
    done, page = run_notebook(nbformat.v4.new_markdown_cell("# A title"), shown)
    text = "valves   seconds\nopen      0.97 s\nclosed   12.04 s\n"
    assert f"{text}\nThat is all.\n" in done.stdout
    result, below = BeautifulSoup(page, "html.parser").find_all("table")
    assert result.get_text(" ", strip=True) == "valves seconds open 0.97 s closed 12.04 s"
    assert result == below


@pytest.mark.slow
def test_the_main_job_says_where_it_stopped(run_notebook):
    broken = nbformat.v4.new_code_cell("1 / 0")
    done, page = run_notebook(nbformat.v4.new_code_cell("print('so far')"), broken)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert "small.html" in done.stderr
    assert "so far" in page
