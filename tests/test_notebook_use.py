"""The helper as it is used: in a notebook's kernel, twice at once, and on a read-only install."""

import os
import shutil
import signal
import subprocess
import sys
import threading

import nbformat
import psutil
import pytest
from conftest import PYSTORMS, ROOT, workers_of
from nbclient import NotebookClient

pytestmark = pytest.mark.slow

CONTROLLERS = """
import numpy as np
from benchmarks.common import first_hour
from stormswarm_utils import generate_swarm, simulate, worker


def closure(opening):
    def controller(state):
        return opening

    return controller


class Stateful:
    def __init__(self):
        self.calls = 0

    def __call__(self, state):
        self.calls += 1
        return min(1.0, self.calls / 500)


stateful = Stateful()
controllers = [lambda state: np.clip(state.mean(), 0, 1), closure(0.35), stateful, closure(None)]
scenarios = ["theta", "alpha", "zeta", "gamma", "theta"]
configs = [
    {"controller": controllers[job % 4], "scenario": scenarios[job % 5], "network": first_hour}
    for job in range(40)
]
"""


PLAIN_LOOP = """
import pystorms


def plain_loop(opening):
    scenario = pystorms.scenarios.alpha()
    while not scenario.step([opening] * 5):
        pass
    return scenario.performance()


print(generate_swarm([0.5], plain_loop, 2, 5) == [before] * 5)
"""


def run_cells(*sources, folder, before_interrupt=None):
    """Run cells in a fresh kernel that starts in `folder`; return the notebook."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    notebook = nbformat.v4.new_notebook(cells=cells)
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--IPKernelApp.log_level=40"],
        allow_errors=before_interrupt is not None,
    )
    if before_interrupt is not None:
        threading.Thread(target=before_interrupt, args=[client], daemon=True).start()
    client.execute(env=os.environ | {"PYTHONPATH": path})
    return notebook


def text(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


def test_forty_jobs_of_notebook_functions_in_a_kernel_that_has_run_alpha(tmp_path):
    notebook = run_cells(
        CONTROLLERS,
        "before = worker({'controller': closure(0.5), 'scenario': 'alpha'})",
        "swarm = generate_swarm(configs, worker, 3)",
        "print(swarm == [worker(config) for config in configs], len(set(swarm)), stateful.calls)",
        PLAIN_LOOP,
        folder=tmp_path,
    )
    equal, different, calls = text(notebook.cells[3]).split()
    assert equal == "True"
    assert int(different) > 8
    assert calls == "0"
    assert text(notebook.cells[4]) == "True\n"
    assert list(tmp_path.iterdir()) == []


def test_the_same_call_in_two_kernels_at_once(tmp_path):
    printed = []

    def one():
        cells = [CONTROLLERS, "print(generate_swarm(configs, worker, 2, 80))"]
        printed.append(text(run_cells(*cells, folder=tmp_path).cells[1]))

    kernels = [threading.Thread(target=one) for _ in range(2)]
    for kernel in kernels:
        kernel.start()
    for kernel in kernels:
        kernel.join()
    assert len(printed) == 2
    assert printed[0] == printed[1]
    assert printed[0].count(",") == 79


def test_an_uncaught_failure_is_a_table_in_a_notebook(tmp_path):
    notebook = run_cells(
        "from stormswarm_utils import generate_swarm",
        "generate_swarm([1, 0], lambda config: 1 / config, 1)",
        folder=tmp_path,
        before_interrupt=lambda client: None,  # the error is expected
    )
    (error,) = notebook.cells[1].outputs
    assert error.traceback == [
        "SwarmError: 1 of 2 jobs failed; .results has the others\n"
        "  job 1: ZeroDivisionError: division by zero"
    ]


@pytest.mark.skipif(os.name != "posix", reason="sends the signal that Jupyter sends on POSIX")
def test_an_interrupted_swarm_leaves_the_kernel_usable_and_no_process(tmp_path):
    workers = []

    def interrupt(client):
        while len(list(tmp_path.glob("mark*"))) < 2:
            threading.Event().wait(0.1)
        kernel = psutil.Process(client.km.provisioner.process.pid)
        workers.extend(workers_of(kernel))
        kernel.send_signal(signal.SIGINT)

    notebook = run_cells(
        CONTROLLERS,
        """
import time
from pathlib import Path

def wait(config):
    Path(f"mark{config}").touch()
    time.sleep(600)

generate_swarm([0, 1, 2, 3], wait, 2)
""",
        "clock = time.perf_counter()",
        "print(generate_swarm([configs[0]], worker, 2) == [worker(configs[0])])",
        folder=tmp_path,
        before_interrupt=interrupt,
    )
    assert notebook.cells[1].outputs[-1].ename == "KeyboardInterrupt"
    assert text(notebook.cells[3]) == "True\n"
    assert len(workers) == 2
    assert psutil.wait_procs(workers, timeout=5)[1] == []


READ_ONLY = """
from pathlib import Path
import pystorms
from benchmarks.common import first_hour
from stormswarm_utils import ConstantOpening, generate_swarm, worker

if __name__ == "__main__":
    networks = Path(pystorms.__file__).parent / "networks"
    try:
        (networks / "probe").touch()
    except OSError:
        print("read-only")
    config = {"controller": ConstantOpening(0.5), "scenario": "theta", "network": first_hour}
    print(generate_swarm(config, worker, 2, 4) == [worker(config)] * 4)
    print(sorted(path.suffix for path in networks.iterdir()).count(".inp"))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a folder read-only, as Linux can")
def test_packages_may_be_read_only(tmp_path):
    if os.getuid() == 0:  # root may write where modes forbid it, so mount the folder read-only
        packages = tmp_path
        shutil.copytree(PYSTORMS, packages / "pystorms")
        mount = f"mount --bind {packages} {packages} && mount -o remount,bind,ro {packages}"
        prefix = ["unshare", "--mount", "sh", "-c", f'{mount} && exec "$0" "$@"']
        probe = subprocess.run([*prefix, "true"], capture_output=True, text=True)
        if probe.returncode != 0:
            pytest.skip(f"cannot mount here: {probe.stderr.strip()}")
    else:
        packages, prefix = tmp_path, []
        shutil.copytree(PYSTORMS, packages / "pystorms")
        for path in [packages, *packages.rglob("*")]:
            path.chmod(0o555)
    script = tmp_path.parent / f"{tmp_path.name}.py"
    script.write_text(READ_ONLY)
    done = subprocess.run(
        [*prefix, sys.executable, "-W", "ignore", script],
        env=os.environ | {"PYTHONPATH": f"{packages}{os.pathsep}{ROOT}"},
        cwd=tmp_path.parent,
        capture_output=True,
        text=True,
    )
    if prefix == []:
        for path in [packages, *packages.rglob("*")]:
            path.chmod(0o755)
    assert done.stderr == ""
    assert done.stdout.split() == ["read-only", "True", "7"]
