"""The folder of wheels holds what each system installs."""

from pathlib import Path

import pytest
from make_wheelhouse import HERE, VERSION, needed
from packaging.requirements import Requirement

LOCK = (Path(__file__).parent.parent / "requirements.txt").read_text("utf-8")


def names(system, version):
    return {line.split("==")[0] for line in needed(LOCK, system, version)}


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14", "3.15"])
@pytest.mark.parametrize("system", ["linux", "macos", "windows"])
def test_every_system_gets_the_packages_and_each_of_them_once(system, version):
    lines = needed(LOCK, system, version)
    assert {"pystorms", "numpy", "pyswmm", "jupyter"} <= names(system, version)
    assert len(lines) == len(names(system, version))
    assert all(";" not in line and "==" in line for line in lines)


def test_what_this_python_asks_for_is_there():
    lines = {line for release in ("0", "99") for line in needed(LOCK, HERE, VERSION, release)}
    asked = [Requirement(line) for line in LOCK.splitlines() if line[:1].isalpha()]
    installed = [one for one in asked if one.marker is None or one.marker.evaluate()]
    assert {f"{one.name}{one.specifier}" for one in installed} <= lines


def test_releases_of_a_python_may_need_other_versions():
    text = "one==1 ; python_full_version < '3.11.5'\none==2 ; python_full_version >= '3.11.5'"
    assert needed(text, "linux", "3.11") == ["one==1"]
    assert needed(text, "linux", "3.11", "99") == ["one==2"]


def test_markers_are_read_for_the_system_that_was_asked_for():
    assert "pywinpty" in names("windows", "3.12")
    assert "pywinpty" not in names("linux", "3.12")
    assert "appnope" in names("macos", "3.12")
    assert "appnope" not in names("windows", "3.12")
    text = "# a comment\n\none==1 ; python_full_version < '3.12'\none==2 ; python_version >= '3.12'"
    assert needed(text, "linux", "3.11") == ["one==1"]
    assert needed(text, "linux", "3.13") == ["one==2"]
