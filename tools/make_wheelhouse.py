"""Collect the wheels of requirements.txt in a folder, for a room without a network.

Usage: python tools/make_wheelhouse.py [linux|macos|windows ...] [--python 3.12 ...]

Those of this machine's system and Python are always among them. The folder is build/wheelhouse;
docs/instructor-guide.md says how to install from it. Wheels for other systems are those for 64-bit
Intel (Linux, Windows) and Apple processors (macOS).
"""

import argparse
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
HERE = {"Linux": "linux", "Darwin": "macos", "Windows": "windows"}.get(platform.system())
VERSION = ".".join(platform.python_version_tuple()[:2])

# What the markers in requirements.txt ask for, and the platform tags of wheels that fit
SYSTEMS = {
    "linux": (
        {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
        "x86_64",
        [f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 26, 24, 17, 12, 5)]
        + ["manylinux2014_x86_64", "manylinux1_x86_64"],
    ),
    "macos": (
        {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
        "arm64",
        ["macosx_14_0_arm64"],
    ),
    "windows": (
        {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"},
        "AMD64",
        ["win_amd64"],
    ),
}


def needed(requirements, system, version, release="0"):
    """Return the lines of a requirements file that a system with this Python installs.

    pip itself would read the markers for the machine that it runs on. `release` is the last number
    of the full version of Python.
    """
    markers, machine, _ = SYSTEMS[system]
    environment = markers | {
        "platform_machine": machine,
        "python_version": version,
        "python_full_version": f"{version}.{release}",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    lines = [line.strip() for line in requirements.splitlines()]
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return [
        f"{one.name}{one.specifier}"
        for one in found
        if one.marker is None or one.marker.evaluate(environment)
    ]


def download(system, version, folder):
    """Download the wheels for a system and a version of Python into a folder."""
    requirements = (ROOT / "requirements.txt").read_text("utf-8")
    first, last = (needed(requirements, system, version, release) for release in ("0", "99"))
    for lines in (first, [line for line in last if line not in first]):
        if lines:  # pip takes one version of a package at a time
            download_lines(lines, system, version, folder)


def download_lines(lines, system, version, folder):
    """Download the wheels of these lines for a system and a version of Python into a folder."""
    tags = [f"--platform={tag}" for tag in SYSTEMS[system][2]]
    with tempfile.TemporaryDirectory() as scratch:
        chosen = Path(scratch, "requirements.txt")
        chosen.write_text("\n".join(lines), encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        if (system, version) == (HERE, VERSION):  # what has no wheel is built
            command = [*pip, "wheel", f"--wheel-dir={folder}"]
        else:
            command = [*pip, "download", f"--dest={folder}", f"--find-links={folder}"]
            command += ["--only-binary=:all:", f"--python-version={version}", *tags]
        subprocess.run([*command, "--no-deps", f"--requirement={chosen}"], check=True)


def main():
    """Collect the wheels for every system and version that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("systems", nargs="*", metavar="SYSTEM", help=", ".join(SYSTEMS))
    parser.add_argument("--python", nargs="+", default=[VERSION], metavar="VERSION")
    wanted = parser.parse_args()
    for system in wanted.systems:
        if system not in SYSTEMS:
            parser.error(f"unknown system {system!r}; there are {', '.join(SYSTEMS)}")
    folder = ROOT / "build" / "wheelhouse"
    systems = wanted.systems or [HERE]
    others = [(system, version) for system in systems for version in wanted.python]
    for system, version in dict.fromkeys([(HERE, VERSION), *others]):
        print(f"{system}, Python {version}", flush=True)
        download(system, version, folder)
    wheels = list(folder.glob("*.whl"))
    size = sum(wheel.stat().st_size for wheel in wheels) / 2**20
    print(f"{len(wheels)} wheels, {size:.0f} MiB in {folder.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
