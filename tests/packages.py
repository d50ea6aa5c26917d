"""The project as others get it: a copy of the checkout, its wheel, an installation in a folder."""

import functools
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def pip(*arguments):
    options = ["--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run(
        [sys.executable, "-m", "pip", *arguments, *options], check=True, capture_output=True
    )


@functools.cache
def copy_of_the_checkout():
    """Copy what a fresh clone holds, since building leaves files in the folder that it builds."""
    folder = Path(tempfile.mkdtemp()) / "stormswarm"
    ignored = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__")
    return shutil.copytree(ROOT, folder, ignore=ignored)


@functools.cache
def built_wheel():
    """Build the wheel, once in a session, and return its path."""
    folder = Path(tempfile.mkdtemp())
    pip("wheel", "--no-build-isolation", "--wheel-dir", folder, copy_of_the_checkout())
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(source, folder):
    """Install a wheel or a checkout into a folder that PYTHONPATH can name; return the folder."""
    pip("install", "--no-build-isolation", "--target", folder, source)
    return folder
