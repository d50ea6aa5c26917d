"""A network of one's own, run by plain pyswmm in a worker function, gets private files."""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import pyswmm
import pytest
from pyswmm import Output, Simulation, SimulationPreConfig
from swmm.toolkit.shared_enum import NodeAttribute

from stormswarm.private_files import anchor_files, slim_report, use_one_thread
from stormswarm_utils import SwarmError, generate_swarm, private_engine

EXAMPLES = Path(find_spec("pyswmm").origin).parent / "tests" / "data"
POLLUTANTS, DYNAMIC_WAVE = EXAMPLES / "model_pollutants.inp", EXAMPLES / "model_full_features.inp"
NETWORK = """
[OPTIONS]
FLOW_UNITS    CMS
INFILTRATION  HORTON
FLOW_ROUTING  DYNWAVE
START_DATE    06/01/2026
START_TIME    00:00:00
END_DATE      06/01/2026
END_TIME      02:00:00
REPORT_STEP   00:05:00
WET_STEP      00:05:00
DRY_STEP      00:05:00
ROUTING_STEP  10
THREADS       4
[EVAPORATION]
CONSTANT 0.0
[RAINGAGES]
Rain INTENSITY 0:05 1.0 TIMESERIES Storm
[SUBCATCHMENTS]
Town Rain Well 4 50 200 1 0
[SUBAREAS]
Town 0.015 0.2 1.5 5 25 OUTLET
[INFILTRATION]
Town 50 5 4 7 0
[JUNCTIONS]
Well 2 2 0 0 0
[OUTFALLS]
River 0 FREE NO
[CONDUITS]
Pipe Well River 200 0.013 0 0 0 0
[XSECTIONS]
Pipe CIRCULAR 0.6 0 0 0
[TIMESERIES]
Storm 0:00 10
Storm 0:05 60
Storm 0:10 90
Storm 0:15 30
Storm 0:20 0
[REPORT]
SUBCATCHMENTS ALL
NODES ALL
LINKS ALL
"""


def variant(percent, network=NETWORK):
    return network.replace("Rain Well 4 50", f"Rain Well 4 {percent}")


def inflows(job):
    """Run a network and read its output, with the names bound above, as without the helper."""
    inp = job["inp"]
    with Simulation(inp) as simulation:
        for _ in simulation:
            pass
    with Output(inp.replace(".inp", ".out")) as output:
        return [
            series
            for node in output.nodes
            for series in output.node_series(node, NodeAttribute.TOTAL_INFLOW).values()
        ]


def depths(job):
    """Run a network in full and return what its nodes were like at every step."""
    with pyswmm.Simulation(job["inp"], sim_preconfig=job.get("changes")) as simulation:
        nodes = list(pyswmm.Nodes(simulation))
        return [
            (node.depth, node.total_inflow, *node.pollut_quality.values())
            for _ in simulation
            for node in nodes
        ]


def listing(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def town(tmp_path):
    """Return a network in a folder of its own, with a name that is hard on programs."""
    folder = tmp_path / "Größere Städte & more"
    folder.mkdir()
    path = folder / "mein Netz ä.inp"
    path.write_text(NETWORK, encoding="utf-8")
    return path


@pytest.fixture
def serially(run_python, tmp_path):
    """Return a function that runs a function of this file on jobs by pyswmm alone."""

    def run(function, jobs):
        return eval(
            run_python(
                "import os, contextlib\n"
                f"from tests.test_own_network import {function.__name__} as function\n"
                "with open(os.devnull, 'w') as nowhere, contextlib.redirect_stdout(nowhere):\n"
                f"    found = [function(job) for job in {jobs!r}]\n"
                "print('found', found)"
            ).rpartition("found")[2]
        )

    return run


def test_two_workers_share_a_network_and_nothing_is_written_beside_it(town, serially):
    before = listing(town.parent)
    swarm = generate_swarm([{"inp": str(town)}] * 6, inflows, 2)
    assert listing(town.parent) == before
    plain = town.with_name("plain.inp")  # what pyswmm writes lies beside this one
    shutil.copy(town, plain)
    assert swarm == serially(inflows, [{"inp": str(plain)}]) * 6
    assert max(swarm[0]) > 0.1
    assert plain.with_suffix(".out").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no folders that cannot be written to")
def test_a_read_only_folder(town):
    expected = generate_swarm([{"inp": str(town)}], inflows, 1)
    town.parent.chmod(0o555)
    town.chmod(0o444)
    try:
        assert generate_swarm([{"inp": str(town)}] * 2, inflows, 2) == expected * 2
    finally:
        town.parent.chmod(0o755)


def test_an_old_output_beside_the_network_is_not_mistaken_for_this_run(town):
    expected = generate_swarm([{"inp": str(town)}], inflows, 1)
    town.with_suffix(".out").write_bytes(b"of another year")
    assert generate_swarm([{"inp": str(town)}], inflows, 1) == expected
    assert town.with_suffix(".out").read_bytes() == b"of another year"


def test_an_edit_that_cannot_be_called_is_refused_before_the_block():
    with (
        pytest.raises(
            TypeError, match=r"network must be a callable from text to text, got 'my\.inp'"
        ),
        private_engine("my.inp"),
    ):
        pytest.fail("the block has begun")


@pytest.mark.parametrize("keep", [5, __file__])
def test_what_is_no_folder_to_keep_results_in_is_refused_before_the_block(keep):
    error = TypeError if keep == 5 else ValueError
    with (
        pytest.raises(error, match="keep must be the path of a folder, got"),
        private_engine(keep=keep),
    ):
        pytest.fail("the block has begun")


def test_an_output_that_another_program_has_written_can_be_read(town, tmp_path):
    with private_engine(keep=tmp_path / "kept"):
        expected = inflows({"inp": str(town)})
    kept = tmp_path / "kept" / town.with_suffix(".out").name
    copied = shutil.copy(kept, tmp_path / "measured.out")

    def read(path):
        with pyswmm.Output(path) as output:
            return [*output.node_series("River", NodeAttribute.TOTAL_INFLOW).values()]

    assert set(generate_swarm([str(copied)], read, 1)[0]) <= set(expected)


FILES = {
    "rain.dat": "".join(
        f"R1 2026 6 1 0 {minute} {6 - minute // 10}\n" for minute in range(0, 60, 5)
    ),
    "weather.txt": "R1 2026 06 01 20 10 *\nR1 2026 06 02 20 10 *\n",
    "levels.txt": "0:00 0.0\n2:00 0.1\n",
}


def test_only_the_lines_that_must_change_are_changed_in_a_copy(tmp_path):
    """Keywords may have any case; comments, other files and other sections stay as they are."""
    (tmp_path / "rain.dat").touch()
    rain = f'"{tmp_path.resolve() / "rain.dat"}"'
    lines = {
        "[options]": "[options]\nTHREADS 1",
        "  threads  3": None,
        "[RAINGAGES]": "[RAINGAGES]",
        "A VOLUME 0:05 1 file rain.dat R1 MM ;FILE rain.dat": f"A VOLUME 0:05 1 file {rain} R1 MM "
        ";FILE rain.dat",
        'B VOLUME 0:05 1 FILE "rain.dat" R1 MM': f"B VOLUME 0:05 1 FILE {rain} R1 MM",
        "; FILE rain.dat": "; FILE rain.dat",
        "C VOLUME 0:05 1 FILE snow.dat R1 MM": "C VOLUME 0:05 1 FILE snow.dat R1 MM",
        "[FILES]": "[FILES]",
        "\tuse rainfall rain.dat": f"\tuse rainfall {rain}",
        "SAVE OUTFLOWS rain.dat": "SAVE OUTFLOWS rain.dat",
        "[REPORT]": "[REPORT]",
        "Input  YES ": "Input NO",
        "NODES ALL": "NODES NONE",
        "LINKS all": "LINKS NONE",
        "SUBCATCHMENTS S1": "SUBCATCHMENTS S1",
    }
    found = anchor_files(use_one_thread("\n".join(lines)), tmp_path)
    expected = "\n".join(line for line in lines.values() if line is not None)
    assert slim_report(found) == expected


def test_files_that_the_network_names_are_found(town, serially, tmp_path, monkeypatch):
    folder = town.parent
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    saving = folder / "first.inp"
    saving.write_text(f'{NETWORK}[FILES]\nSAVE HOTSTART "{tmp_path / "state.hsf"}"\n', "utf-8")
    with private_engine():
        inflows({"inp": str(saving)})
    shutil.copy(tmp_path / "state.hsf", folder / "warm state.hsf")
    network = NETWORK.replace("TIMESERIES Storm", "FILE rain.dat R1 MM")
    network = network.replace("River 0 FREE", "River 0 TIMESERIES Levels")
    network = network.replace("INTENSITY", "VOLUME")
    network += '[FILES]\nUSE HOTSTART "warm state.hsf"\n[TEMPERATURE]\nFILE "weather.txt"\n'
    network += '[TIMESERIES]\nLevels FILE "levels.txt"\n'
    town.write_text(network, encoding="utf-8")
    before = listing(folder)
    monkeypatch.chdir(folder)
    swarm = generate_swarm([{"inp": town.name}] * 2, inflows, 2)  # the network's name is relative
    assert listing(folder) == before
    assert swarm == serially(inflows, [{"inp": str(town)}]) * 2
    for name in ("rain.dat", "warm state.hsf", "weather.txt", "levels.txt"):
        hidden = (folder / name).rename(folder / "hidden")
        with pytest.raises(SwarmError, match="ERROR 3"):
            generate_swarm([{"inp": town.name}], inflows, 1)
        hidden.rename(folder / name)


def test_what_a_network_saves_by_a_relative_name_is_private(town, tmp_path, monkeypatch):
    town.write_text(f"{NETWORK}[FILES]\nSAVE HOTSTART end.hsf\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    before = listing(town.parent), listing(tmp_path)
    generate_swarm([{"inp": str(town)}] * 2, inflows, 2)
    assert (listing(town.parent), listing(tmp_path)) == before


def test_paths_that_are_given_are_respected(town, tmp_path):
    before = listing(town.parent)

    def keep(number):
        report, output = (str(tmp_path / f"{number}.{ending}") for ending in ("txt", "bin"))
        with Simulation(str(town), report, output) as simulation:
            simulation.execute()
        with Output(output) as read:
            return max(read.node_series("River", NodeAttribute.TOTAL_INFLOW).values())

    swarm = generate_swarm([0, 1], keep, 2)
    assert swarm[0] == swarm[1] > 0.1
    for number in range(2):
        assert "Analysis Options" in (tmp_path / f"{number}.txt").read_text(errors="replace")
        assert (tmp_path / f"{number}.bin").stat().st_size > 1000
    assert listing(town.parent) == before

    def beside(path):
        with Simulation(path, outputfile=path.replace(".inp", ".out")) as simulation:
            simulation.execute()
        with Output(path.replace(".inp", ".out")) as output:
            return len(output.nodes)

    assert generate_swarm([str(town)], beside, 1) == [2]
    assert town.with_suffix(".out").stat().st_size > 1000


def test_keep_has_report_and_output_of_every_variant(town, tmp_path):
    template = town.read_text(encoding="utf-8")

    def run(percent):
        folder = tmp_path / "results" / str(percent)
        with private_engine(lambda text: variant(percent, text), keep=folder):
            return inflows({"inp": str(town)})

    percents = [10, 50, 90]
    swarm = generate_swarm(percents, run, 2)
    assert town.read_text(encoding="utf-8") == template
    assert swarm[0] < swarm[1] < swarm[2]
    for percent, expected in zip(percents, swarm, strict=True):
        folder = tmp_path / "results" / str(percent)
        assert {path.name for path in folder.iterdir()} == {f"{town.stem}.rpt", f"{town.stem}.out"}
        with Output(str(folder / f"{town.stem}.out")) as output:
            river = [*output.node_series("River", NodeAttribute.TOTAL_INFLOW).values()]
        assert river == expected[-len(river) :]


def test_keep_has_the_report_of_a_run_that_failed(town, tmp_path):
    town.write_text(NETWORK.replace("Well River", "Well Lake"), encoding="utf-8")
    with pytest.raises(Exception, match="ERROR 200"), private_engine(keep=tmp_path / "kept"):
        inflows({"inp": str(town)})
    report = (tmp_path / "kept" / f"{town.stem}.rpt").read_text(errors="replace")
    assert "ERROR 209" in report
    with pytest.raises(TypeError), private_engine(keep=3):
        pass


@pytest.mark.parametrize("report", [None, "mine.txt"])
def test_a_failing_network_tells_the_errors_of_swmm(town, tmp_path, report):
    town.write_text(NETWORK.replace("Well River", "Well Lake"), encoding="utf-8")

    def run(path):
        with Simulation(path, report and str(tmp_path / report)):
            pass

    with pytest.raises(SwarmError, match="ERROR 209: undefined object Lake") as caught:
        generate_swarm([str(town)], run, 1)
    assert "Pipe Well Lake" in str(caught.value)


def test_a_variant_that_fails_does_so_alone(town):
    def run(percent):
        with private_engine(lambda text: variant(percent, text)):
            return max(inflows({"inp": str(town)}))

    swarm = generate_swarm([10, "much", 90], run, 2, return_exceptions=True)
    assert [*swarm.failures] == [1]
    assert "ERROR 211: invalid number much" in str(swarm.failures[1].__notes__)
    assert swarm[0] < swarm[2]


def test_a_preconfig_changes_the_private_copy_alone(town):
    changes = SimulationPreConfig()
    changes.add_update_by_token("SUBCATCHMENTS", "Town", 4, 90)
    before = listing(town.parent)
    swarm = generate_swarm([{"inp": str(town), "changes": changes}] * 2, depths, 2)
    assert listing(town.parent) == before
    with private_engine(lambda text: variant(90, text)):
        assert swarm == [depths({"inp": str(town)})] * 2
    with private_engine():
        Simulation(str(town), sim_preconfig=changes).execute()
        with Output(str(town).replace(".inp", "_mod.out")) as output:
            assert "River" in output.nodes


@pytest.mark.parametrize("example", [DYNAMIC_WAVE, POLLUTANTS], ids=lambda path: path.stem)
def test_networks_of_other_people_give_what_pyswmm_alone_gives(example, serially, tmp_path):
    jobs = []
    for number in range(4):
        changes = SimulationPreConfig()
        changes.add_update_by_token("SUBCATCHMENTS", "S1", 4, 20 * number)
        if example is DYNAMIC_WAVE:  # a day in place of three
            changes.add_update_by_token("OPTIONS", "END_DATE", 1, "11/02/2015")
        changes.input_file = str(shutil.copy(example, tmp_path / f"{number}.inp"))
        jobs.append({"inp": changes.apply_changes()})
    swarm = generate_swarm(jobs, inflows, 2)
    assert swarm == serially(inflows, jobs)
    assert swarm[0] != swarm[3]


@pytest.fixture
def run_often(town):
    """Return a worker function that runs a short storm so many times."""
    short = NETWORK.replace("END_TIME      02:00:00", "END_TIME      00:05:00")
    town.write_text(short, encoding="utf-8")

    def run(times):
        for _ in range(times):
            with Simulation(str(town)) as simulation:
                steps = sum(1 for _ in simulation)
                assert steps > 0
        return steps, os.getpid()

    return run


@pytest.mark.slow
def test_a_worker_process_runs_a_network_five_thousand_times(run_often):
    """Users of pyswmm report that the 4093rd run in a process fails."""
    [(last, _)], [(first, _)] = (generate_swarm([times], run_often, 1) for times in (5000, 1))
    assert last == first


@pytest.mark.slow
def test_a_worker_process_is_replaced_after_two_thousand_simulations(run_often):
    swarm = [pid for _, pid in generate_swarm([1000] * 5, run_often, 1)]
    assert swarm[0] == swarm[1] != swarm[2] == swarm[3] != swarm[4]
