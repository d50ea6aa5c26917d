"""How do I show a table?"""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any


class Table:
    """A table that Jupyter shows as HTML and that `print` shows as text.

    The first column names the rows and is aligned to the left, all others to the right.

    Parameters
    ----------
    columns : dict
        Heading -> the values of the column, one for each row. A text is shown as it is, and
        anything else as in an f-string.

    Raises
    ------
    ValueError
        There is no column, or the columns are not equally long.
    """

    def __init__(self, columns: Mapping[Any, Iterable[Any]]):
        self.columns = {
            f"{heading}": [f"{value}" for value in values] for heading, values in columns.items()
        }
        if not self.columns:
            raise ValueError("a table needs at least one column, got none")
        first, *others = self.columns
        rows = len(self.columns[first])
        for heading in others:
            if len(self.columns[heading]) != rows:
                raise ValueError(
                    "the columns of a table must be equally long: "
                    f"{first!r} has {rows} values, {heading!r} has {len(self.columns[heading])}"
                )

    def __repr__(self) -> str:
        first, *others = ([heading, *values] for heading, values in self.columns.items())
        padded = [_pad(first, "<"), *(_pad(column, ">") for column in others)]
        return "\n".join("   ".join(row).rstrip() for row in zip(*padded, strict=True))

    def _repr_html_(self) -> str:
        head = [
            f'<th scope="col">{escape(text)}</th>' if text else "<td></td>" for text in self.columns
        ]
        lines = ["<thead>", _row(head), "</thead>", "<tbody>"]
        for name, *values in zip(*self.columns.values(), strict=True):
            cells = [f'<th scope="row">{escape(name)}</th>']
            lines.append(_row(cells + [f"<td>{escape(value)}</td>" for value in values]))
        return "\n".join(["<table>", *lines, "</tbody>", "</table>"])


def _pad(texts, side):
    width = max(map(len, texts))
    return [f"{text:{side}{width}}" for text in texts]


def _row(cells):
    first = cells[0].replace(">", ' style="text-align: left">', 1)
    return f'<tr style="text-align: right">{first}{"".join(cells[1:])}</tr>'
