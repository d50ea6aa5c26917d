"""What a notebook must be, beyond what nbval compares: as a part of the course, and as stored."""

import getpass
import itertools
import re
import socket
from pathlib import Path

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
OPENING = (
    r"# [A-Z][^\n]+\n\n\*\*Time to learn:\*\* \d+ minutes\.",
    r"\*\*Time to run:\*\*",
    r"\*\*What you will do\*\*",
    r"\*\*What you will learn\*\*",
    r"\*\*What you need:\*\*",
)
CLOSING = ["Summary", "Your turn", "What is next"]
EXERCISE = ["exercise", "check", "solution"]
NOT_STORED = {
    "a path of somebody's machine": r"(?:/(?:home|root|Users|tmp|work|opt|usr)/|[A-Z]:\\)\S+",
    "a kernel's process id": r"ipykernel_\d+|\bpid[ =:]+\d+",
    "an object's address": r"\bat 0x[0-9a-fA-F]{6,}",
}


PRINTED_TABLE = re.compile(r"(?m)^(.+\S {2,}\S+.* {2,}\S.*(?:\n|$)){2}")


def significant_digits(number):
    return len(number.replace(".", "").lstrip("0"))


def problems(notebook, stem):
    """List everything that is wrong with a notebook of this name; the list should be empty."""
    return [
        *course_problems(notebook, stem),
        *exercise_problems(notebook),
        *stored_problems(notebook),
    ]


def course_problems(notebook, stem):
    """Yield what keeps a notebook from being a part of the course."""
    opening = notebook.cells[0].source
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for pattern in OPENING:
        if not re.search(pattern, opening):
            yield f"the opening has no {pattern}"
    headings = re.findall(r"(?m)^(#+) (.+)$", prose)
    if [text for marks, text in headings if marks == "##"][-3:] != CLOSING:
        yield f"does not close with {', '.join(CLOSING)}"
    levels = [len(marks) for marks, _ in headings]
    if levels[:1] != [1] or levels.count(1) != 1:
        yield "more or fewer than one title, at the top"
    for level, deeper in itertools.pairwise(levels):
        if deeper - level > 1:
            yield f"a heading of level {deeper} below one of level {level}"
    for number in re.findall(r"[Nn]otebooks? (\d\d)", prose):
        if not any(path.name.startswith(number) for path in NOTEBOOKS):
            yield f"names notebook {number}, which does not exist"
    minutes = re.search(r"\*\*Time to learn:\*\* (\d+) minutes|$", opening)[1]
    for document, row in {
        "README.md": rf"\| \[{stem}\]\(notebooks/{stem}\.ipynb\) \| [^|]+\? \| {minutes} \|",
        "docs/instructor-guide.md": rf"\| {stem[:2]} \| .* \| {minutes} \|",
    }.items():
        if not re.search(row, (ROOT / document).read_text("utf-8")):
            yield f"{document} does not list it with {minutes} minutes"


def exercise_problems(notebook):
    """Yield what is wrong with the exercises: a check and a hidden solution follow each."""
    tagged = [
        (tag, cell)
        for cell in notebook.cells
        for tag in EXERCISE
        if tag in cell.metadata.get("tags", ())
    ]
    tags = [tag for tag, _ in tagged]
    if tags not in (EXERCISE * 2, EXERCISE * 3):
        yield f"not two or three exercises, each with a check and a solution: {tags}"
    for tag, cell in tagged:
        printed = "".join(output.get("text", "") for output in cell.get("outputs", ()))
        if tag == "check" and "right" in printed:
            yield f"the stored answer is right already: {cell.source!r}"
        hidden = cell.metadata.get("jupyter", {}).get("source_hidden")
        if tag == "solution" and not (hidden and "hide-cell" in cell.metadata.tags):
            yield f"a solution that is not hidden: {cell.source!r}"


def stored_problems(notebook):
    """List what is wrong with the stored outputs."""
    found = []
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    counts = [cell.execution_count for cell in code]
    if counts != list(range(1, len(code) + 1)):
        found.append(f"not executed top to bottom in a fresh kernel: {counts}")
    if "widgets" in notebook.metadata:
        found.append("stores widgets, which need a server to be seen")
    for cell in code:
        first_line = cell.source.splitlines()[0] if cell.source else "(empty cell)"
        found += [f"{first_line}: {problem}" for problem in cell_problems(cell)]
    return found


def cell_problems(cell):
    first_line, *_ = cell.source.splitlines() or [""]
    if first_line.startswith("%%timeit") and not re.search(r"-n \d+ -r \d+", first_line):
        yield "a timing without -n and -r written out"
    pictures = [output for output in cell.outputs if "image/png" in output.get("data", {})]
    if cell.source.count("plt.show()") != len(pictures):
        yield f"{cell.source.count('plt.show()')} figures shown, {len(pictures)} stored"
    alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
    if pictures and len(alt) < 40:
        yield "a picture without alt text"
    for output in cell.outputs:
        if output.output_type == "error":
            yield f"a stored error: {output.ename}"
        if output.get("name") == "stderr":
            yield f"stored warnings: {output.text[:80]!r}"
        if PRINTED_TABLE.search(output.get("text", "")):
            yield "a table is printed: show it by `Table`"
        text = output.get("text", "") + output.get("data", {}).get("text/plain", "")
        for what, pattern in NOT_STORED.items():
            if match := re.search(pattern, text):
                yield f"{what}: {match.group()!r}"
        for name in {socket.gethostname(), getpass.getuser()}:
            if re.search(rf"\b{re.escape(name)}\b", text):
                yield f"the name of a host or user: {name!r}"
        for number in re.findall(r"\d+\.\d+", text):
            if significant_digits(number) > 12:
                yield f"more than twelve digits, which differ between versions of Python: {number}"
