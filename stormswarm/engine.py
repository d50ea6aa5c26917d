"""How does a run get private files and one thread, and keep the score of the plain loop?"""

import importlib
import itertools
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pystorms
import pyswmm.simulation
from pystorms.networks import load_network
from swmm.toolkit import solver

from stormswarm.failures import ANOTHER_IS_OPEN, add_note

_pystorms_environment = importlib.import_module("pystorms.environment")
_open_simulation = pyswmm.simulation.Simulation.__init__


class PrivateFiles:
    """The files that one run may touch: a folder that is made when an engine opens.

    Parameters
    ----------
    root : str, optional
        Folder in which the private one is made; default: the system's temporary folder.
    edit : callable, optional
        text -> text, edits each private copy of a network.
    """

    def __init__(self, root: str | None = None, edit: Callable[[str], str] | None = None):
        self.root, self.edit = root, edit
        self.folder, self.engines = None, 0

    def make_folder(self) -> Path:
        """Make the folder unless it is there; return its path."""
        if self.folder is None:
            self.folder = Path(tempfile.mkdtemp(prefix="stormswarm-", dir=self.root))
        return self.folder

    def copy_network(self, path: str, slim: bool) -> Path:
        """Write a private copy of a network; return its path."""
        self.engines += 1
        path = Path(path)
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
        text = anchor_files(use_one_thread(text), path.parent)
        if slim:
            text = slim_report(text)
            if path == Path(load_network("delta")):
                text = repair_delta(text)
        if self.edit is not None:
            text = self.edit(text)
            if not isinstance(text, str):
                raise TypeError(f"network must return the edited text, it returned {text!r:.80}")
        copy = self.make_folder() / f"{self.engines}.inp"
        copy.write_text(text, encoding="utf-8", errors="surrogateescape")
        try:
            str(copy).encode("utf-8")
        except UnicodeEncodeError:
            raise RuntimeError(
                f"the engine cannot open files in {os.fsencode(self.folder)!r} under this locale: "
                "set PYTHONUTF8=1, or TMPDIR to a folder whose name has ASCII letters only"
            ) from None
        return copy

    def remove(self) -> None:
        """Remove the folder, if there is one."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


class Engine:
    """The one SWMM engine of this process: its lock, its holder, and the files in use."""

    lock = threading.RLock()
    holder: int | None = None  # the thread that has it
    files: PrivateFiles | None = None


@contextmanager
def private_engine(network: Callable[[str], str] | None = None) -> Iterator[None]:
    """Run simulations of your own in a `with` block, as many as you like, one after the other.

    Every engine that pystorms or `pyswmm.Simulation` opens in the block gets a private copy of
    the network with one engine thread, and leaves no lock behind. Its report and output are
    written to a folder that is removed at the end, unless you give paths for them. A swarm does
    the same for its workers.

    Parameters
    ----------
    network : callable, optional
        text -> text, edits the private copy of the network.

    Raises
    ------
    RuntimeError
        Another simulation is open in this process.
    """
    with hold_engine(PrivateFiles(edit=network)):
        yield


@contextmanager
def hold_engine(files: PrivateFiles) -> Iterator[PrivateFiles]:
    """Hold the engine for a `with` block in which all that is opened uses private files."""
    with Engine.lock:
        free_guard()
        outer = Engine.holder, Engine.files
        if Engine.files is not None:  # a run of `simulate` inside a swarm's job
            files.root = Engine.files.root
        Engine.holder, Engine.files = threading.get_ident(), files
        plain, scenarios = pyswmm.simulation.Simulation, _pystorms_environment.Simulation
        opener, plain.__init__ = plain.__init__, _open_privately
        _pystorms_environment.Simulation = _ScenarioSimulation
        shared_cache = os.environ.get("PYSTORMS_CACHE")
        if hasattr(pystorms.networks, "cache_dir"):  # pystorms 2 rewrites its networks there
            os.environ["PYSTORMS_CACHE"] = str(files.make_folder() / "pystorms")
        failure = None
        try:
            yield files
        except BaseException as error:
            failure = error
            raise
        finally:
            Engine.holder, Engine.files = outer
            plain.__init__, _pystorms_environment.Simulation = opener, scenarios
            if shared_cache is None:
                os.environ.pop("PYSTORMS_CACHE", None)
            else:
                os.environ["PYSTORMS_CACHE"] = shared_cache
            close_engine()
            if failure is not None and files.folder is not None:
                add_note(failure, read_engine_errors(files.folder))
            files.remove()


def _open_privately(
    self, inputfile, reportfile=None, outputfile=None, sim_preconfig=None, slim=False
):
    """Open a simulation on a private copy of its network; given paths of results are kept."""
    free_guard()
    copy = Engine.files.copy_network(inputfile, slim)
    if sim_preconfig is not None:  # it writes its own network beside the one that it is given
        sim_preconfig.input_file = str(copy)
    report, output = reportfile or copy.with_suffix(".rpt"), outputfile or copy.with_suffix(".out")
    _open_simulation(self, str(copy), str(report), str(output), sim_preconfig)


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


def read_engine_errors(folder: Path) -> str:
    """Return what the reports in a folder say of errors: their lines, and the network's lines."""
    found = []
    for report in sorted(folder.glob("*.rpt")):
        lines = report.read_text(encoding="utf-8", errors="replace").splitlines()
        for line, following in itertools.pairwise([*lines, ""]):
            if re.match(r"\s*ERROR \d+", line):
                found.append(" ".join(f"{line} {following}".split()))
    return f"SWMM's report: {'; '.join(found[:3])}" if found else ""


# What is changed in a network ---------------------------------------------------------


def use_one_thread(network: str) -> str:
    """Set one engine thread.

    An engine that splits one small run over the cores mostly waits for itself, and waits long
    when other runs want the same cores.
    """
    network = re.sub(r"(?mi)^[ \t]*THREADS[ \t].*\n?", "", network)
    return re.sub(r"(?mi)^[ \t]*\[OPTIONS\].*$", r"\g<0>\nTHREADS 1", network, count=1)


def anchor_files(network: str, folder: Path) -> str:
    """Give the files that a network reads by relative names the folder of the network."""

    def anchor(match):
        name = match[2].strip('"')
        if os.path.isabs(name) or not (folder / name).is_file():
            return match[0]
        return f'{match[1]}"{(folder / name).resolve()}"'

    named = r'(?mi)^((?!;)[^;\n]*?\bFILE[ \t]+|[ \t]*USE[ \t]+\w+[ \t]+)("[^"\n]+"|\S+)'
    return re.sub(named, anchor, network)


def slim_report(network: str) -> str:
    """Leave out the report and output that nobody reads."""
    network = re.sub(r"(?mi)^(SUBCATCHMENTS|NODES|LINKS)[ \t]+ALL[ \t]*$", r"\1 NONE", network)
    return re.sub(r"(?mi)^(INPUT|CONTROLS)[ \t]+YES[ \t]*$", r"\1 NO", network)


def repair_delta(network: str) -> str:
    """Set delta's moisture deficits of 4 to 1, the most that engines from 5.2.1 on accept.

    The infiltration they belong to never limits the run: engine 5.1.14, which opens the
    network as shipped, gives the same score to the last digit with 4 and with 1.
    """

    def repair(section):
        return re.sub(r"(?m)^(\w+(?:[ \t]+\S+){2}[ \t]+)4[ \t]*$", r"\g<1>1", section.group())

    return re.sub(r"(?ms)^\[INFILTRATION\].*?^\[", repair, network)
