"""Which files may a run touch, and what is changed in its copy of the network?"""

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pystorms.networks import load_network


class PrivateFiles:
    """The files that one run may touch: a folder that is made when an engine opens.

    Parameters
    ----------
    root : str, optional
        Folder in which the private one is made; default: the system's temporary folder.
    edit : callable, optional
        text -> text, edits each private copy of a network.
    keep : path, optional
        Folder to which reports and outputs are moved at the end.
    """

    def __init__(
        self,
        root: str | None = None,
        edit: Callable[[str], str] | None = None,
        keep: str | os.PathLike | None = None,
    ):
        self.root, self.edit = root, edit
        self.keep = None if keep is None else Path(keep).absolute()
        self.folder, self.engines = None, 0
        self.copies = {}  # the output that pyswmm would write -> the private copy of its network
        self.reports = {}  # the same -> the report, which may have a path of the user's own

    def make_folder(self) -> Path:
        """Make the folder unless it is there; return its path."""
        if self.folder is None:
            self.folder = Path(tempfile.mkdtemp(prefix="stormswarm-", dir=self.root))
        return self.folder

    def copy_network(self, path: Path, output: str, slim: bool) -> Path:
        """Write a private copy of a network, in place of an earlier one; return its path."""
        self.engines += 1
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
        number = len(self.copies) + 1  # not every system's engine can open the user's own names
        private = self.copies.setdefault(output, self.make_folder() / f"{number}.inp")
        private.write_text(text, encoding="utf-8", errors="surrogateescape")
        private.with_suffix(".out").unlink(missing_ok=True)
        try:
            str(private).encode("utf-8")
        except UnicodeEncodeError:
            raise RuntimeError(
                f"the engine cannot open files in {os.fsencode(self.folder)!r} under this locale: "
                "set PYTHONUTF8=1, or TMPDIR to a folder whose name has ASCII letters only"
            ) from None
        return private

    def find_output(self, path: str) -> str:
        """Return the private output in place of the one that pyswmm would have written."""
        private = self.copies.get(os.path.abspath(path))
        output = private and private.with_suffix(".out")
        return str(output) if output and output.exists() else path  # or where the user wants it

    def remove(self) -> None:
        """Move what is to be kept, and remove the folder if there is one."""
        try:
            if self.keep is not None:
                self.keep.mkdir(parents=True, exist_ok=True)
                for output, private in self.copies.items():
                    for suffix in (".rpt", ".out"):
                        with suppress(FileNotFoundError):  # it has a path of the user's own
                            kept = self.keep / Path(output).with_suffix(suffix).name
                            shutil.move(private.with_suffix(suffix), kept)
        finally:
            if self.folder is not None:
                shutil.rmtree(self.folder, ignore_errors=True)


def use_one_thread(network: str) -> str:
    """Set one engine thread.

    An engine that splits one small run over the cores mostly waits for itself, and waits long
    when other runs want the same cores.
    """
    # In a large network, a line is found much faster by the "\n" before it than by "^".
    network = re.sub(r"(?i)\n[ \t]*THREADS[ \t].*", "", network)
    return re.sub(r"(?mi)^[ \t]*\[OPTIONS\].*$", r"\g<0>\nTHREADS 1", network, count=1)


def anchor_files(network: str, folder: Path) -> str:
    """Give the files that a network reads by relative names the folder of the network."""

    def anchor(match):
        name = match[2].strip('"')
        if os.path.isabs(name) or not (folder / name).is_file():
            return match[0]
        return f'{match[1]}"{(folder / name).resolve()}"'

    named = re.compile(r'(?i)^([^;]*?\bFILE[ \t]+|[ \t]*USE[ \t]+\w+[ \t]+)("[^"]+"|\S+)')
    lines = network.split("\n")
    for number, line in enumerate(network.upper().split("\n")):
        if "FILE" in line or "USE" in line:  # a quick look first: matching takes long
            lines[number] = named.sub(anchor, lines[number])
    return "\n".join(lines)


def slim_report(network: str) -> str:
    """Leave out the report and output that nobody reads."""
    network = re.sub(r"(?mi)\n(SUBCATCHMENTS|NODES|LINKS)[ \t]+ALL[ \t]*$", r"\n\1 NONE", network)
    return re.sub(r"(?mi)\n(INPUT|CONTROLS)[ \t]+YES[ \t]*$", r"\n\1 NO", network)


def repair_delta(network: str) -> str:
    """Set delta's moisture deficits of 4 to 1, the most that engines from 5.2.1 on accept.

    The infiltration they belong to never limits the run: engine 5.1.14, which opens the
    network as shipped, gives the same score to the last digit with 4 and with 1.
    """

    def repair(section):
        return re.sub(r"(?m)^(\w+(?:[ \t]+\S+){2}[ \t]+)4[ \t]*$", r"\g<1>1", section.group())

    return re.sub(r"(?ms)^\[INFILTRATION\].*?^\[", repair, network)
