"""Who holds the one engine of a process, and what does it open?"""

import copy
import importlib
import itertools
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pystorms
import pyswmm.output
import pyswmm.simulation
from swmm.toolkit import solver

from stormswarm.failures import ANOTHER_IS_OPEN, add_note
from stormswarm.private_files import PrivateFiles

_pystorms_environment = importlib.import_module("pystorms.environment")
_open_simulation = pyswmm.simulation.Simulation.__init__
_open_output = pyswmm.output.Output.__init__


class Engine:
    """The one SWMM engine of this process: its lock, its holder, its files, and its runs so far."""

    lock = threading.RLock()
    holder: int | None = None  # the thread that has it
    files: PrivateFiles | None = None
    runs = 0


@contextmanager
def private_engine(
    network: Callable[[str], str] | None = None, *, keep: str | os.PathLike | None = None
) -> Iterator[None]:
    """Run simulations of your own in a `with` block, as many as you like, one after the other.

    Every simulation that pystorms or `pyswmm.Simulation` opens in the block gets a private copy of
    the network with one engine thread, and leaves the engine free afterwards. Files that the
    network reads are found, and nothing is written beside it: report and output are private, unless
    you give paths for them. A swarm does the same for its worker functions.

    In the block `pyswmm.Output` finds the private output under its usual name: that of
    `my_network.inp` is `my_network.out`. At the end of the block the output is removed, or moved to
    `keep`.

    Parameters
    ----------
    network : callable, optional
        text -> text, edits the private copy of the network.
    keep : path, optional
        Folder to which reports and outputs are moved, even those of failed runs. They are named
        after their networks, and replace files of the same name, so give each job of a swarm a
        folder of its own.

    Raises
    ------
    TypeError
        `network` is not callable, or `keep` is not a path.
    ValueError
        `keep` is a file.
    RuntimeError
        Another simulation is open in this process.

    Examples
    --------
    A function that works alone and as a worker function, and keeps what SWMM has written::

        def largest_outflow(row):
            with private_engine(row.edit, keep=f"results/{row.name}"):
                with pyswmm.Simulation("my_network.inp") as simulation:
                    for _ in simulation:
                        pass
                with pyswmm.Output("my_network.out") as output:
                    return max(output.node_series("Outfall", NodeAttribute.TOTAL_INFLOW).values())
    """
    if network is not None and not callable(network):
        raise TypeError(f"network must be a callable from text to text, got {network!r:.80}")
    if keep is not None:
        if not isinstance(keep, str | os.PathLike):
            raise TypeError(f"keep must be the path of a folder, got {keep!r:.80}")
        if os.path.exists(keep) and not os.path.isdir(keep):
            raise ValueError(f"keep must be the path of a folder, got {keep!r:.80}, a file")
    with hold_engine(PrivateFiles(edit=network, keep=keep)):
        yield


@contextmanager
def hold_engine(files: PrivateFiles) -> Iterator[None]:
    """Hold the engine for a `with` block in which all that is opened uses private files."""
    with Engine.lock:
        free_guard()
        if Engine.files is not None:  # a run of `simulate` inside a swarm's job
            files.root = Engine.files.root
        shared_cache = os.environ.get("PYSTORMS_CACHE")
        if hasattr(pystorms.networks, "cache_dir"):  # pystorms 2 rewrites its networks there
            os.environ["PYSTORMS_CACHE"] = str(files.make_folder() / "pystorms")
        failure = None
        try:
            with _replaced(
                (Engine, "holder", threading.get_ident()),
                (Engine, "files", files),
                (pyswmm.simulation.Simulation, "__init__", _open_privately),
                (pyswmm.output.Output, "__init__", _open_private_output),
                (_pystorms_environment, "Simulation", _ScenarioSimulation),
            ):
                yield
        except BaseException as error:
            failure = error
            raise
        finally:
            if shared_cache is None:
                os.environ.pop("PYSTORMS_CACHE", None)
            else:
                os.environ["PYSTORMS_CACHE"] = shared_cache
            close_engine()
            if failure is not None:
                add_note(failure, read_engine_errors(files.reports.values()))
            files.remove()


@contextmanager
def _replaced(*replacements: tuple[Any, str, Any]) -> Iterator[None]:
    """Give attributes of these owners, by these names, other values for a `with` block."""
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in replacements]
    try:
        for owner, name, value in replacements:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


def _open_privately(
    self, inputfile, reportfile=None, outputfile=None, sim_preconfig=None, slim=False
):
    """Open a simulation on a private copy of its network; given paths of results are kept."""
    free_guard()
    Engine.runs += 1
    files, name = Engine.files, Path(inputfile)
    if sim_preconfig is not None:
        name = name.with_stem(name.stem + sim_preconfig.filename_suffix)
    beside = os.path.abspath(name.with_suffix(".out"))
    private = files.copy_network(Path(inputfile), beside, slim)
    if sim_preconfig is not None:  # it writes its own network beside the one that it is given
        sim_preconfig = copy.copy(sim_preconfig)
        sim_preconfig.input_file = str(private)
    report = reportfile or private.with_suffix(".rpt")
    output = outputfile or private.with_suffix(".out")
    files.reports[beside] = Path(report)
    _open_simulation(self, str(private), str(report), str(output), sim_preconfig)


def _open_private_output(self, binfile):
    """Open an output that was written in this block, or any other."""
    _open_output(self, Engine.files.find_output(binfile))


class _ScenarioSimulation(pyswmm.simulation.Simulation):
    """What pystorms opens. Nobody reads its report and output, so little is written to them."""

    def __init__(self, inputfile, *shared_paths):
        _open_privately(self, inputfile, slim=True)
        self._warn_context = False  # the block closes the engine

    def __exit__(self, *exception):
        if is_open():  # closing the engine twice ends the whole process
            super().__exit__(*exception)


def is_open() -> bool:
    """Return whether the engine has a network open."""
    try:
        solver.simulation_get_unit(0)
    except Exception:  # the toolkit raises a bare Exception when no network is open
        return False
    return True


def free_guard() -> None:
    """Free pyswmm's one-simulation guard where the engine behind it has been closed."""
    if is_open():
        raise RuntimeError(ANOTHER_IS_OPEN)
    pyswmm.simulation._sim_state_instance.sim_is_instantiated = False


def close_engine() -> None:
    """Close what an exception, or a loop that stopped early, has left open."""
    if is_open():
        with suppress(Exception):  # fails if the run never started
            solver.swmm_end()
        solver.swmm_close()
    free_guard()


def read_engine_errors(reports: Iterable[Path]) -> str:
    """Return what reports say of errors: their lines, and the network's lines."""
    found = []
    for report in reports:
        lines = report.read_text("utf-8", "replace").splitlines() if report.is_file() else ()
        for line, following in itertools.pairwise([*lines, ""]):
            if re.match(r"\s*ERROR \d+", line):
                found.append(" ".join(f"{line} {following}".split()))
    return f"SWMM's report: {'; '.join(found[:3])}" if found else ""
