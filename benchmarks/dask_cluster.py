"""A real dask cluster for tests and benchmark: scheduler and workers are programs of their own."""

import os
import subprocess
import sys
import sysconfig
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil


class Cluster:
    """Programs on the loopback, a client, and what tests want to know of them."""

    def __init__(self, folder, on_path, packages, settings):
        self.folder = Path(folder)
        self.address_file = self.folder / "scheduler.json"
        (self.folder / "empty").mkdir(parents=True)
        # With -S, Python does not read the file that puts an editable install on its path.
        self.flags = [] if on_path else ["-S"]
        search = filter(None, sys.path)  # what the caller can import
        if not on_path:
            installed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
            search = [*packages, *sorted(installed)]
        self.environment = os.environ | {
            "DASK_DISTRIBUTED__WORKER__DAEMON": "False",  # so that a job may start a pool
            "DASK_TEMPORARY_DIRECTORY": str(self.folder / "space"),
            "PYTHONPATH": os.pathsep.join(map(str, search)),
            **settings,
        }
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self.scheduler, self.nannies, self.client, self.programs = None, [], None, []

    def start(self, kind, *options):
        """Start one of dask's programs."""
        options = [
            *("--scheduler-file", self.address_file, "--host", "127.0.0.1"),
            *("--no-dashboard", *options),
        ]
        with open(self.folder / "programs.log", "ab") as log:
            program = subprocess.Popen(
                [sys.executable, *self.flags, "-m", "dask", kind, *options],
                cwd=self.folder / "empty",
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.programs.append(program)
        return program

    def start_scheduler(self):
        """Start the scheduler and the client."""
        from distributed import Client

        self.scheduler = self.start("scheduler", "--port", "0")
        deadline = time.monotonic() + 60
        while not self.address_file.exists():
            if self.scheduler.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(self.log())
            time.sleep(0.02)
        self.client = Client(scheduler_file=str(self.address_file), set_as_default=False)

    def start_workers(self, number):
        """Start workers of one thread each, and wait for them."""
        self.nannies += [self.start("worker", "--nthreads", "1") for _ in range(number)]
        self.client.wait_for_workers(len(self.nannies), timeout=120)

    def worker_processes(self):
        """Return the processes that run jobs, which the programs named workers watch over."""
        found = []
        for nanny in self.nannies:
            with suppress(psutil.NoSuchProcess):
                for child in psutil.Process(nanny.pid).children():
                    with suppress(psutil.NoSuchProcess):
                        if "resource_tracker" not in " ".join(child.cmdline()):
                            found.append(child)
        return found

    def log(self):
        """Return what the programs have printed."""
        return (self.folder / "programs.log").read_text(encoding="utf-8", errors="replace")

    def stop(self):
        """End everything, whatever state it is in."""
        processes = []
        for program in self.programs:
            with suppress(psutil.NoSuchProcess):
                processes += psutil.Process(program.pid).children(recursive=True)
        if self.client is not None:
            with suppress(Exception):  # its scheduler may have been killed
                self.client.close(timeout=5)
        for program in reversed(self.programs):  # the scheduler last
            program.terminate()
        for program in reversed(self.programs):
            with suppress(subprocess.TimeoutExpired):
                program.wait(timeout=5)
            program.kill()
            program.wait()
        for process in psutil.wait_procs(processes, timeout=5)[1]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=5)


@contextmanager
def dask_cluster(folder, workers=2, *, on_path=True, packages=(), **settings):
    """Start a scheduler and `workers` worker programs of one thread each; yield a `Cluster`.

    They start in an empty folder, and can import what the caller can. Without `on_path` they can
    import what is installed, and what lies in the folders `packages`, but not the project.
    `settings` are environment variables.
    """
    cluster = Cluster(folder, on_path, packages, settings)
    try:
        cluster.start_scheduler()
        if workers:
            cluster.start_workers(workers)
        yield cluster
    finally:
        cluster.stop()
