"""What the benchmarks and the tests share: the plain loop, short storms, fresh processes, spreads.

A process that measures the published way must not load the helper. Whatever needs the helper
therefore imports it inside a function. So does what needs a large module, because worker processes
import this file.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROCESSORS = 2


# The plain loop and its pystorms


def plain_loop(scenario_name, controller):
    """Run a scenario as a program without the helper does, and return the finished scenario.

    `controller` is a function of the state, or one opening for all valves.
    """
    import pystorms

    scenario = getattr(pystorms.scenarios, scenario_name)()
    openings = [controller] * len(scenario.config["action_space"])
    done = False
    while not done:
        state = scenario.state()
        done = scenario.step(controller(state) if callable(controller) else openings)
    return scenario


def plain_worker(job):
    """Return the score of a (scenario, controller) pair, run by the plain loop."""
    return plain_loop(*job).performance()


def copy_pystorms(folder, deficit=1, **edits):
    """Copy pystorms as installed into `folder`, for loops that write beside their networks.

    No current engine opens delta because of its seven moisture deficits of 4, so the copy has
    `deficit` in their place. `edits` are functions, text to text, of other scenarios' networks.
    """
    import compileall

    copy = Path(folder, "pystorms")
    source = Path(find_spec("pystorms").origin).parent
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))

    def repair(network):
        repaired = rf"\g<1>{deficit}"
        network, repairs = re.subn(r"(?m)^(sc_\w+ +3 +0\.5 +)4 *$", repaired, network)
        assert repairs == 7
        return network

    for scenario, edit in {"delta": repair, **edits}.items():
        path = copy / "networks" / f"{scenario}.inp"
        path.write_text(edit(path.read_text(encoding="utf-8")), encoding="utf-8")
    compileall.compile_dir(copy, quiet=2)  # or the first process that imports it pays for it


# Job sets and short storms


def swarm_jobs(name):
    """Return the (scenario, opening) pairs of a job set."""
    mixed = [s for s in ("alpha", "gamma", "delta", "zeta", "theta") for _ in range(3)]
    return {
        "gamma2": [("gamma", 1.0), ("gamma", 0.0)],
        "gamma6": [("gamma", 1.0), ("gamma", 0.0)] * 3,
        "alpha6": [("alpha", opening) for opening in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)],
        "theta8": [("theta", (job + 1) / 8) for job in range(8)],
        "theta200": [("theta", (job + 1) / 200) for job in range(200)],
        "mixed": [(s, opening) for s, opening in zip(mixed, (0.3, 0.6, 1.0) * 5, strict=True)],
    }[name]


def helper_configs(jobs):
    """Return the helper's configs of (scenario, opening) pairs."""
    from stormswarm_utils import ConstantOpening

    return [{"scenario": name, "controller": ConstantOpening(opening)} for name, opening in jobs]


def end_at(network, date, time):
    """End a network's simulation at a date and time."""
    network = re.sub(r"(?m)^END_DATE\s.*$", f"END_DATE {date}", network)
    return re.sub(r"(?m)^END_TIME\s.*$", f"END_TIME {time}", network)


def first_hour(network):
    """End a network's simulation an hour after its start."""
    date = re.search(r"(?m)^START_DATE\s+(\S+)", network).group(1)
    hour, rest = re.search(r"(?m)^START_TIME\s+(\d+)(\S+)", network).groups()
    return end_at(network, date, f"{int(hour) + 1:02}{rest}")


def one_day(network):
    """End theta after a day: a run of some fifty milliseconds."""
    return end_at(network, "02/26/2018", "00:00:00")


def ten_minutes(network):
    """End theta after ten minutes, so that the jobs are small and the engine is real."""
    return end_at(network, "02/25/2018", "00:10:00")


def sweep(jobs=200, network=one_day):
    """Return configs of theta whose valves are open a little wider from job to job."""
    pairs = [("theta", (job + 1) / jobs) for job in range(jobs)]
    return [config | {"network": network} for config in helper_configs(pairs)]


# Figures


def start_fresh(answer, function, *arguments, pystorms_copy=None, **environment):
    """Start a fresh process that calls `function` and writes what it returns to the file `answer`.

    `function` belongs to a module of this folder, and its arguments are what JSON can hold. Where
    a folder with a copy of pystorms is given, the process imports that copy. What the process
    prints is written beside the answer, because the engine prints too.
    """
    module = function.__module__
    if module == "__main__":
        module = sys.modules["__main__"].__spec__.name
    search = os.pathsep.join(str(path) for path in (pystorms_copy, ROOT) if path is not None)
    environment = os.environ | {"PYTHONPATH": search} | environment
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # or every process compiles what it imports
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks"]
    command += [module, function.__name__, json.dumps(arguments), str(answer)]
    with open(answer.with_suffix(".log"), "wb") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def in_a_fresh_process(function, *arguments, pystorms_copy=None):
    """Return what a function of this folder returns in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "answer.json")
        process = start_fresh(answer, function, *arguments, pystorms_copy=pystorms_copy)
        if process.wait() != 0:
            log = answer.with_suffix(".log").read_text(encoding="utf-8", errors="replace")
            raise RuntimeError(f"{function.__name__} {arguments} failed:\n{log}")
        return json.loads(answer.read_text(encoding="utf-8"))


def spread(values):
    """Return median, minimum and maximum."""
    import statistics

    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def in_words(figure):
    """Write a spread as a sentence can hold it; a single figure has none."""
    if figure["min"] == figure["max"]:
        return f"{figure['median']:.2f}"
    return f"{figure['median']:.2f} ({figure['min']:.2f} to {figure['max']:.2f})"


def table(*rows):
    """Return the lines of a Markdown table; the first of the rows is its head."""
    head, *body = [f"| {' | '.join(map(str, row))} |" for row in rows]
    return [head, "|---" * len(rows[0]) + "|", *body, ""]


def replace_between(document, mark, lines):
    """Replace what stands in a document between the comments `begin` and `end` of a mark."""
    begin, end = f"<!-- begin {mark} -->\n", f"<!-- end {mark} -->"
    before, rest = document.read_text(encoding="utf-8").split(begin)
    _, after = rest.split(end)
    text = "\n".join(lines).strip("\n")
    document.write_text(f"{before}{begin}\n{text}\n\n{end}{after}", encoding="utf-8")
