"""What a stored notebook must be, beyond what nbval compares."""

import getpass
import re
import socket

NOT_STORED = {
    "a path of somebody's machine": r"(?:/(?:home|root|Users|tmp|work|opt|usr)/|[A-Z]:\\)\S+",
    "a kernel's process id": r"ipykernel_\d+|\bpid[ =:]+\d+",
    "an object's address": r"\bat 0x[0-9a-fA-F]{6,}",
}


def significant_digits(number):
    return len(number.replace(".", "").lstrip("0"))


def problems(notebook):
    """List what is wrong with a notebook's stored outputs; an empty list is what it should be."""
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
