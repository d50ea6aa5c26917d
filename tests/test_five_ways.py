"""The programs of docs/five-ways.md print what stands below them."""

import os
import re
import sys
from itertools import pairwise

import pytest
from conftest import ROOT
from markdown_it import MarkdownIt

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "five-ways.md").read_text("utf-8")


def programs():
    """Return each program of the page with what stands below it, by the name of its section."""
    found, tokens = {}, MarkdownIt().parse(PAGE)
    for token, following in pairwise(tokens):
        if token.type == "heading_open":
            section = following.content
        elif token.type == "fence" and token.info == "python":
            program = token.content
        elif token.type == "fence" and token.info == "text":
            found[section] = (program, token.content)
    return found


PROGRAMS = programs()
NEEDS = {
    "Fork": (os.name == "posix", "this system cannot fork"),
    "Spawn and forkserver": (os.name == "posix", "this system has no forkserver"),
    "Subinterpreters": (sys.version_info >= (3, 14), "subinterpreters need Python 3.14"),
}


def test_each_way_of_the_table_has_a_program():
    anchors = re.findall(r"(?m)^\| \[(.+?)\]\(#", PAGE)
    assert len(anchors) == 5
    assert [name.lower() for name in PROGRAMS] == [name.lower() for name in anchors]


@pytest.mark.parametrize("section", PROGRAMS)
def test_what_the_page_says_is_printed(section, run_python):
    possible, reason = NEEDS.get(section, (True, ""))
    if not possible:
        pytest.skip(reason)
    program, printed = PROGRAMS[section]
    assert run_python(program) == printed
