"""Run the tests of the code, those of the site and the check of the notebooks side by side.

Usage: python tools/run_checks.py

Each line says which of the three lanes it comes from. The tests that failed and the closing line of
each lane are repeated at the end. The tests in the lane of the site share one built site, and often
wait for a browser. WEEKLY=1 in the environment adds what is too slow for every day: the tests that
are marked `weekly`, and every repetition of the notebooks' timings.
"""

import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLOR = f"--color={'yes' if sys.stdout.isatty() else 'auto'}"
WEEKLY = ["-m", ""] if os.environ.get("WEEKLY") else []  # with them, no test is left out
PYTEST = [sys.executable, "-m", "pytest", COLOR, *WEEKLY]
SITE = [f"tests/test_{name}.py" for name in ("browser", "documents", "words")]
LANES = {
    "code": [*PYTEST, "--durations=30", *(f"--ignore={file}" for file in SITE)],
    "site": [*PYTEST, "--durations=10", *SITE],
    "notebooks": [sys.executable, "tools/check_notebooks.py", COLOR, "--durations=5"],
}
FAILURE = re.compile(r"(\x1b\[\d+m)*(FAILED|ERROR)\b.*::")  # in pytest's summary, coloured or not
# An engine with several threads must not keep a core busy with waiting: the other lanes need it.
ENVIRONMENT = {"OMP_WAIT_POLICY": "passive"}
PATIENCE = 60  # seconds in which an interrupted lane may tidy up


def follow(lane, program, failed, closing):
    """Print each line of a lane behind the lane's name; keep what failed, and the last line."""
    for line in program.stdout:
        print(f"{lane:>9} | {line}", end="", flush=True)
        if FAILURE.match(line):
            failed.append(f"{lane:>9} | {line.strip()}")
        if line.strip():
            closing[lane] = line.strip()


def start(command):
    """Start a lane in a session of its own, so that it hears of Ctrl-C once, from `stop`."""
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="backslashreplace",
        start_new_session=True,
    )


def stop(programs):
    """Interrupt the lanes as a terminal would, and end those that do not end by themselves."""
    try:
        for program in programs:
            if program.poll() is None and os.name == "posix":  # elsewhere the console has done it
                os.killpg(program.pid, signal.SIGINT)
        for program in programs:
            with suppress(subprocess.TimeoutExpired):
                program.wait(PATIENCE)
    finally:
        for program in programs:
            if program.poll() is None:
                program.kill()
                program.wait()


def main():
    """Run all lanes; return 0 if all succeed, 1 if one fails, and 130 after Ctrl-C."""
    for name in {"SIGTERM", "SIGHUP"} & set(dir(signal)):
        signal.signal(getattr(signal, name), signal.default_int_handler)
    programs, followers, failed, closing = {}, [], [], {}
    interrupted = False
    try:
        for lane, command in LANES.items():
            programs[lane] = start(command)
            arguments = lane, programs[lane], failed, closing
            follower = threading.Thread(target=follow, args=arguments, daemon=True)
            follower.start()
            followers.append(follower)
        for program in programs.values():
            program.wait()
    except KeyboardInterrupt:
        interrupted = True
        stop(programs.values())
    for follower in followers:
        follower.join(5)
    print("", *failed, sep="\n")
    for lane in programs:
        print(f"{lane:>9} | {closing.get(lane, 'printed nothing')}")
    if interrupted:
        return 130
    return int(any(program.returncode for program in programs.values()))


if __name__ == "__main__":
    sys.exit(main())
