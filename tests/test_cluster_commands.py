"""The commands and examples of docs/scaling-out.md, run as they stand there, on free ports."""

import contextlib
import re
import shlex
import shutil
import socket
import subprocess
import sys

import psutil
import pytest
from conftest import ROOT, blocks

pytestmark = pytest.mark.slow

GUIDE = (ROOT / "docs" / "scaling-out.md").read_text("utf-8")


def command(beginning):
    """Return the one command of the guide that begins like this."""
    lines = [line for block in blocks(GUIDE, "sh") for line in block.splitlines()]
    (found,) = [line for line in lines if line.startswith(beginning)]
    return found


@contextlib.contextmanager
def programs(folder, port, *commands):
    """Run dask's programs in a folder while the block runs; they end with all their children."""
    started = []
    with open(folder / "programs.log", "wb") as log:
        try:
            for line in commands:
                line = line.replace("8786", str(port)).replace("HOST", "127.0.0.1")
                line = line.replace("--nworkers 8", "--nworkers 2")
                if line.startswith("dask scheduler") and "--port" not in line:
                    line += f" --port {port} --host 127.0.0.1"
                words = [sys.executable, "-m", *shlex.split(line), "--no-dashboard"]
                started.append(
                    subprocess.Popen(words, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
                )
            yield
        finally:
            for program in started:
                with contextlib.suppress(psutil.NoSuchProcess):
                    family = [*psutil.Process(program.pid).children(recursive=True), program]
                    for process in family:
                        with contextlib.suppress(psutil.NoSuchProcess):
                            process.kill()
                program.wait()


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(autouse=True)
def needs_dask():
    pytest.importorskip("distributed")


def test_the_plain_commands_and_the_example(run_python, tmp_path, port):
    example, upload = list(blocks(GUIDE, "python"))[:2]
    example, upload = (text.replace("8786", str(port)) for text in (example, upload))
    example = example.replace("print(", f"{upload}\nprint(")
    with programs(tmp_path, port, command("dask scheduler --host"), command("dask worker tcp")):
        printed = run_python(example)
    scores = eval(printed)
    assert len(scores) == 11
    assert f"{scores[-1]:.12g}" == "1630.34222887"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")
def test_the_commands_for_tls_and_their_example(run_python, tmp_path, port):
    subprocess.run(shlex.split(command("openssl")), cwd=tmp_path, check=True, capture_output=True)
    (example,) = [block for block in blocks(GUIDE, "python") if "Security" in block]
    example = example.replace("HOST:8786", f"127.0.0.1:{port}")
    example += "print(client.submit(sum, [1, 2]).result(timeout=60))\n"
    tls = command("dask scheduler --protocol tls"), command("dask worker tls")
    with programs(tmp_path, port, *tls):
        assert run_python(example) == "3\n"
        plain = f"from distributed import Client\nClient('tcp://127.0.0.1:{port}', timeout=2)"
        assert run_python(plain, check=False).returncode != 0


def test_dask_knows_the_settings_that_the_guide_names():
    import dask
    import distributed  # noqa: F401  (brings its settings)

    settings = re.findall(r"`(distributed\.[\w.-]+)`", GUIDE)
    assert len(settings) >= 2
    for setting in settings:
        assert dask.config.get(setting) is not None, setting
