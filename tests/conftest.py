"""What several tests need: a watch on files and processes, fresh interpreters, the site."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
from markdown_it import MarkdownIt

from benchmarks.common import copy_pystorms
from stormswarm_utils import stop_workers

ROOT = Path(__file__).parent.parent
PYSTORMS = Path(find_spec("pystorms").origin).parent
NOT_RUN = re.compile(r"<!-- not run: \S.* -->")  # in the line above a block that no test can run


def blocks(text, *languages, marked=False):
    """Yield the code blocks of a document in these languages, of those marked as not run or not."""
    tokens = MarkdownIt().parse(text)
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type == "fence" and token.info.split(" ")[0] in languages:
            mark = before is not None and NOT_RUN.fullmatch(before.content.strip())
            if bool(mark) == marked:
                yield token.content


def scratch_folders():
    return {entry for entry in os.listdir(tempfile.gettempdir()) if entry.startswith("stormswarm-")}


def workers_of(process):
    """Return the processes below this one, without those that stay while Python runs."""
    found = []
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "resource_tracker" not in " ".join(child.cmdline()):
                found.append(child)
    return found


@pytest.fixture(scope="session", autouse=True)
def temporary_folder_of_this_session(tmp_path_factory):
    """Give this session and its subprocesses a temporary folder that no other program uses.

    The folders that a test leaves behind are looked for there, so neither another swarm on this
    machine nor a second session can make an innocent test fail. Its name is short because the
    paths of sockets, which may lie in it, are limited to a hundred characters.
    """
    tmp_path_factory.getbasetemp()  # pytest's own folders stay where they always are
    with (
        tempfile.TemporaryDirectory(prefix="tests-", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield


def has_ended(pid):
    """Return whether a process has ended, though the one that started it may not know yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """Every test leaves the installed scenarios and the temporary folder alone.

    Of the processes that it has started, only idle workers are left, which `stop_workers` ends.
    """
    files, scratch = set(PYSTORMS.rglob("*")), scratch_folders()
    children = workers_of(psutil.Process())
    yield
    new = {path for path in set(PYSTORMS.rglob("*")) - files if path.suffix != ".pyc"}
    assert {path for path in new if path.name != "__pycache__"} == set()
    assert scratch_folders() - scratch == set()
    stop_workers()
    known = {child.pid for child in children}  # a browser among them starts and ends its own
    left = [child for child in workers_of(psutil.Process()) if child not in children]
    assert [one for one in psutil.wait_procs(left, timeout=10)[1] if one.ppid() not in known] == []


@pytest.fixture
def ctrl_c_is_heard():
    """Let SIGINT interrupt, also where the tests were started in the background, which drops it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def original_pystorms(tmp_path_factory):
    """Return a folder with a copy of pystorms for plain loops, delta's deficits 0.4.

    The helper writes 1; either gives the score of the old engine.
    """
    folder = tmp_path_factory.mktemp("original")
    copy_pystorms(folder, deficit=0.4)
    return folder


@pytest.fixture
def run_python(tmp_path):
    """Run Python source as a script in a fresh interpreter; return what it printed."""

    def run(source, path="", check=True, **environment):
        script = tmp_path / "script.py"
        script.write_text(source, encoding="utf-8")
        search = os.pathsep.join(filter(None, [str(path), str(ROOT)]))
        done = subprocess.run(
            [sys.executable, "-W", "ignore", script],
            env=os.environ | {"PYTHONPATH": search} | environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=500,
        )
        if check:
            assert done.returncode == 0, done.stderr
        return done.stdout if check else done

    return run


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """Return the folder of the built site; a warning of Sphinx's fails every test that uses it."""
    folder = tmp_path_factory.mktemp("docs")
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "build_site.py", folder], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder / "site"
