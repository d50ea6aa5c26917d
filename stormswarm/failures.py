"""Why did my job fail? Every sentence about a failed job is worded here."""

import signal
from contextlib import suppress
from dataclasses import dataclass

# What can happen to a job that gives no answer
DIED, LATE, NEVER_STARTED, DROPPED = "died", "late", "never started", "dropped"


@dataclass
class Loss:
    """How a job was lost that gave no answer, and what is known of its worker process."""

    reason: str  # one of the four above
    exitcode: int | None = None
    pid: int | None = None
    began: float | None = None
    cause: str = ""


ANOTHER_IS_OPEN = (
    "a SWMM simulation is still open in this Python process, and the engine can hold only one at a "
    "time. A controller cannot run a simulation of its own. A simulation that was left open is "
    "closed by `scenario.env.sim.close()`, or by restarting the kernel. generate_swarm runs its "
    "jobs in processes of their own and is not affected."
)
NO_TIME_LIMIT = (
    "timeout needs the helper's own worker processes, because no executor can stop a running job. "
    "Executors offer other means: dask has client.restart_workers, and a dask worker that may "
    "start processes (--no-nanny) can run a job that calls generate_swarm([config], worker, 1, "
    "timeout=...) itself; MPI and batch systems have a time limit for all jobs together"
)
NO_HYDROGRAPHS_IN_A_CHECKPOINT = (
    "a checkpoint holds only what JSON can hold, which leaves out hydrographs: use worker, or a "
    "worker function of your own that returns the numbers that you need"
)
STARTED_BY_AN_IMPORT = (
    "a worker process imports a module that starts a swarm, which would go on for ever: in that "
    'module, put the lines that start the swarm under `if __name__ == "__main__":`'
)
_HOW_TO_SEND_THE_PACKAGE = (
    "install the project there, or send both of its parts in a zip file (dask: client.upload_file)"
)


class Place:
    """Where this process is: the label of the job that it runs, empty outside a swarm."""

    job = ""


def label_job(record):
    """Return how a job is called in messages, from its record in the timeline."""
    return f"job {record['job']}" + (f" ({record['name']})" if record["name"] else "")


def describe(error):
    """Return an exception as one line of text, whatever its own methods do."""
    kind = type(error).__name__
    with suppress(Exception, SystemExit, GeneratorExit):  # its own methods are a user's code
        text = f"{kind}: {error}" if str(error) else kind
        notes = getattr(error, "__notes__", None)
        notes = [note for note in notes if isinstance(note, str)] if type(notes) is list else []
        return " ".join(" ".join([text, *(f"({note})" for note in notes)]).split())
    return kind


def add_note(error, note):
    """Add a note to an exception unless it says the same already."""
    with suppress(Exception, SystemExit, GeneratorExit):
        if note and note not in str(error):
            BaseException.add_note(error, note)


def explain_loss(record, loss, timeout):
    """Return the exception for a job that gave no answer, from how it was lost."""
    label, exitcode = label_job(record), loss.exitcode
    if loss.reason == LATE:
        return TimeoutError(f"{label}: stopped at its time limit of {timeout} s")
    if loss.reason == DROPPED:
        return RuntimeError(
            f"{label}: the executor dropped it: it was shut down, or has lost its scheduler"
        )
    if loss.reason == NEVER_STARTED:
        return RuntimeError(f"{label}: no worker process could be started: {loss.cause}")
    return RuntimeError(f"{label}: its worker process died ({describe_exit(exitcode)})")


def describe_exit(exitcode):
    """Return in words how a process ended."""
    if exitcode is None:
        return "it closed its connection"
    if exitcode < 0:
        with suppress(ValueError):  # a real-time signal has no name
            return f"signal {signal.Signals(-exitcode).name}"
    return f"exit code {exitcode}"


def explain_executor(record, error):
    """Return the exception for a job for which the caller's executor raised `error`."""
    label = label_job(record)
    for cause in (error, error.__cause__):
        name = cause.name if isinstance(cause, ModuleNotFoundError) else None
        if name and name.partition(".")[0] in ("stormswarm", "stormswarm_utils"):
            return ModuleNotFoundError(
                f"{label}: the executor's workers cannot import {name}: {_HOW_TO_SEND_THE_PACKAGE}"
            )
    if type(error).__name__ == "BrokenProcessPool":
        return RuntimeError(
            f"{label}: the executor's processes ended. If none could start, a script needs the "
            "line `if __name__ == '__main__':` above the lines that make the executor"
        )
    return error
