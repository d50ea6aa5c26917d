"""The project installed, as a wheel, or copied into another project: a swarm runs there."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib

import pytest
from packages import ROOT, built_wheel, copy_of_the_checkout, install

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
# A script as a user writes it, without `if __name__ == "__main__":`
SCRIPT = """
import sys
from pathlib import Path

import stormswarm_utils
from stormswarm_utils import ConstantOpening, generate_swarm, worker


def first_day(network):
    return network.replace("02/28/2018", "02/26/2018")


theta = {"scenario": "theta", "network": first_day}
configs = [theta | {"controller": ConstantOpening(opening)} for opening in (0.4, 0.8)]
swarm = generate_swarm(configs, worker, 2, checkpoint="sweep.jsonl")
assert swarm == [worker(config) for config in configs]
assert len(set(swarm)) == 2
assert len(Path("sweep.jsonl").read_text().splitlines()) >= 3
print(Path(stormswarm_utils.__file__).parent, *sys.path, sep="\\n")
"""


def copied(folder):
    """Copy the helper and its folder, as README says."""
    folder.mkdir()
    for path in ROOT.glob("stormswarm_*.py"):
        shutil.copy(path, folder)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "stormswarm", folder / "stormswarm", ignore=ignored)
    return folder


WAYS = {
    "pip install path/to/stormswarm": lambda folder: install(copy_of_the_checkout(), folder),
    "wheel": lambda folder: install(built_wheel(), folder),
    "copied": copied,
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_script_elsewhere_runs_a_swarm(way, tmp_path):
    place = WAYS[way](tmp_path / "place")
    project = tmp_path / "project"
    project.mkdir()
    (project / "sweep.py").write_text(SCRIPT, encoding="utf-8")
    installed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    # With -S, Python does not read the file that puts an editable install on its path.
    done = subprocess.run(
        [sys.executable, "-S", "-W", "ignore", "sweep.py"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, [place, *installed]))},
        cwd=project,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found, *search = done.stdout.splitlines()
    assert found == str(place)
    assert str(ROOT) not in search
    assert (place / f"stormswarm-{VERSION}.dist-info").exists() == (way != "copied")


def test_changelog_and_citation_name_the_version():
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.search(r"(?m)^## (\S+)", changes)[1] == VERSION
    assert (
        re.search(r"(?m)^version: (\S+)$", (ROOT / "CITATION.cff").read_text("utf-8"))[1] == VERSION
    )
