"""The README's recipe for many variants of one's own network."""

import shutil

import pytest
from conftest import ROOT, blocks
from pystorms.networks import load_network

pytestmark = pytest.mark.slow


def test_variants_run_together_are_those_run_one_by_one_and_leave_no_file(run_python, tmp_path):
    readme = (ROOT / "README.md").read_text("utf-8")
    (recipe,) = [block for block in blocks(readme, "python") if "my_network.inp" in block]
    assert len([line for line in recipe.splitlines() if line.strip()]) <= 15
    shutil.copy(load_network("theta"), tmp_path / "my_network.inp")
    together = run_python(recipe)
    swarm, loop = "generate_swarm(percents, highest_depth)", "map(highest_depth, percents)"
    assert recipe.count(swarm) == 1
    assert run_python(recipe.replace(swarm, loop)) == together
    assert len(set(together.splitlines())) == 4
    assert {path.name for path in tmp_path.iterdir()} == {"my_network.inp", "script.py"}
