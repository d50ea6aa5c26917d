"""Tables, as text and as HTML."""

import numpy as np
import pytest
from bs4 import BeautifulSoup

from stormswarm.measuring import Measurement
from stormswarm_utils import Table


def cells(table):
    """Return the texts of a table's HTML, row by row."""
    rows = BeautifulSoup(table._repr_html_(), "html.parser").find_all("tr")
    return [[cell.text for cell in row.find_all(["th", "td"])] for row in rows]


def test_the_text_is_aligned_names_to_the_left_and_values_to_the_right():
    table = Table({"valves": ["open", "half open"], "score": ["400.5", "7"], "steps": [1, 25433]})
    lines = [
        "valves      score   steps",
        "open        400.5       1",
        "half open       7   25433",
    ]
    assert str(table) == repr(table) == "\n".join(lines)


def test_what_is_no_text_is_shown_as_in_an_f_string():
    values = [None, True, np.int64(194), 0.1, np.float64(2.5)]
    assert cells(Table({"name": range(5), "value": values}))[1:] == [
        ["0", "None"],
        ["1", "True"],
        ["2", "194"],
        ["3", "0.1"],
        ["4", "2.5"],
    ]
    assert str(Table({"a": ["x"], "b": [np.int64(194)]})) == "a     b\nx   194"


def test_the_html_has_headings_of_columns_and_rows():
    table = BeautifulSoup(
        Table({"": ["open", "closed"], "steps": [25433, 9361]})._repr_html_(), "html.parser"
    ).table
    headings = table.thead.find_all("th")
    assert [(one.text, one["scope"]) for one in headings] == [("steps", "col")]
    assert len(table.thead.find_all("td")) == 1  # an empty heading would be read aloud as one
    names = [row.th for row in table.tbody.find_all("tr")]
    assert [(one.text, one["scope"]) for one in names] == [("open", "row"), ("closed", "row")]
    assert all("left" in one["style"] for one in names)
    assert all("right" in row["style"] for row in table.find_all("tr"))
    assert "color" not in str(table)
    assert "background" not in str(table)


def test_text_is_no_markup():
    text = "<script>alert('a & b')</script>"
    table = Table({text: [text], "b": [text]})
    assert "<script" not in table._repr_html_()
    assert cells(table) == [[text, "b"], [text, text]]
    assert str(table).count(text) == 3


def test_columns_that_are_not_equally_long_are_refused():
    with pytest.raises(ValueError, match=r"equally long: 'valves' has 2 values, 'score' has 1"):
        Table({"valves": ["open", "closed"], "steps": [1, 2], "score": [400.5]})
    with pytest.raises(ValueError, match="a table needs at least one column, got none"):
        Table({})


def test_a_measurement_is_shown_as_a_table():
    measured = Measurement({"quick": [1.0, 1.1, 1.2], "slow": [20.0, 20.0, 20.0]}, "time")
    assert cells(measured) == [
        ["", "median", "quartiles"],
        ["quick", "1.10 s", "1.05 s to 1.15 s"],
        ["slow", "20.00 s", "20.00 s to 20.00 s"],
    ]
    assert str(measured) == repr(measured)
    assert "quick    1.10 s     1.05 s to 1.15 s" in str(measured)
