"""What the documents say: commands, examples, links, numbers, timing records, and the site."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import find_spec
from urllib.parse import unquote

import build_site
import draw_hero
import draw_timings
import nbformat
import psutil
import pytest
from bs4 import BeautifulSoup
from check_outputs import read_text
from conftest import ROOT, blocks
from jsonschema import Draft202012Validator
from markdown_it import MarkdownIt
from packages import copy_of_the_checkout
from pystorms.networks import load_network

import stormswarm_utils
from benchmarks import record as timing_record

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
RECORDS = sorted((ROOT / "docs" / "records").glob("2*.json"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def name_of(path):
    return path.relative_to(ROOT).as_posix()


# Commands -----------------------------------------------------------------------------

PROGRAMS = (
    "make pip %pip python python3 py jupyter git uv conda apt-get sudo docker dask srun sbatch"
)
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")


def commands(text):
    """Yield every command of a document: lines of shell blocks, and those quoted in a sentence."""
    for block in blocks(text, "sh", "bash", "console", "bat", "powershell"):
        for line in block.replace("\\\n", " ").splitlines():
            if command := re.sub(r"(^|\s)# .*", "", line).strip():
                yield command
    for block in blocks(text, "python"):
        yield from (line for line in block.splitlines() if line.startswith("%"))
    programs = "|".join(map(re.escape, PROGRAMS.split()))
    for token in MarkdownIt().parse(text):
        for quoted in token.children or []:
            if quoted.type == "code_inline" and re.match(
                rf"([A-Z_]+=\S+ )*({programs})( |$)|help\(", quoted.content
            ):
                yield quoted.content


COMMANDS = {}
for document in DOCUMENTS:
    for one in commands(document.read_text("utf-8")):
        COMMANDS.setdefault(one, name_of(document))


def dry_run(*arguments):
    """Return the commands that make would run, without running them."""
    done = subprocess.run(
        ["make", "--dry-run", "--always-make", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def check_make(words):
    """The target is listed by `make`, takes these variables, and runs files that are there."""
    targets = [word for word in words if "=" not in word]
    for variable in {word.split("=")[0] for word in words if "=" in word} - {"TMPDIR"}:
        assert f"$({variable})" in MAKEFILE or f"$(if $({variable})" in MAKEFILE
    for target in targets:
        assert re.search(rf"(?m)^{target}:.* ## ", MAKEFILE), f"make {target}"
    steps = dry_run(*targets)
    for file in re.findall(r"\b(?:tools|tests)/\w+\.\w+", steps):
        assert (ROOT / file).exists()
    for module in re.findall(r"-m benchmarks\.(\w+)", steps):
        assert (ROOT / "benchmarks" / f"{module}.py").exists()
    if not targets:
        done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
        assert "make run" in done.stdout


def check_script(words):
    """A tool of the project, called as the tool itself says."""
    script, *arguments = words
    text = (ROOT / script).read_text("utf-8")
    assert f"Usage: python {script}" in text
    for argument in arguments:
        assert (ROOT / argument.replace("NAME", NOTEBOOKS[0].stem)).exists()


def check_benchmark(module):
    """A benchmark of the project, called as it says itself."""
    text = (ROOT / f"{module.replace('.', '/')}.py").read_text("utf-8")
    assert f"Usage: python -m {module}\n" in text


def check_install(words):
    """pip is given an extra or a source that the project has; test_packaging.py installs it."""
    (source,) = [word for word in words if not word.startswith("-")]
    repository = f"git+{PROJECT['urls']['Repository']}"
    if source.startswith("stormswarm["):  # extras of what the repository has
        source = "." + source.removeprefix("stormswarm").removesuffix(f" @ {repository}")
    if match := re.fullmatch(r"(?:\.|path/to/stormswarm)\[([\w,]+)\]", source):
        assert set(match[1].split(",")) <= PROJECT["optional-dependencies"].keys()
    else:
        assert source in ("path/to/stormswarm", repository)


def check_dask(words):
    """dask knows the subcommand and its options; a variable sets an option that dask has."""
    if not find_spec("distributed"):
        pytest.skip("dask is not installed")
    import dask.config
    import distributed  # noqa: F401  it adds its own options

    settings = [word for word in words if re.match(r"DASK_\w+=", word)]
    for setting in settings:
        name = setting.split("=")[0].removeprefix("DASK_").lower()
        dask.config.get(name.replace("__", ".").replace("_", "-"))
    command = [sys.executable, "-m", "dask", words[0], "--help"]
    known = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for option in (word for word in words if word.startswith("--")):
        assert re.search(rf"{option}\b", known), option


def check_openssl(command):
    """The guide to scaling out has it: test_cluster_commands.py runs it and uses what it writes."""
    assert COMMANDS[command] == "docs/scaling-out.md"


def check_mpi(words):
    """A test runs a script in the same way, on fewer processes."""
    how = words[words.index("-m") + 1]
    assert f'"{how}"' in (ROOT / "tests" / "test_executors.py").read_text("utf-8")


def check_without_make(command):
    """A step that the documents give in place of make is one of make's own steps."""
    step = re.sub(r"^py -m", "python -m", command.replace("\\", "/").replace("Scripts", "bin"))
    if step.startswith(".venv/bin/jupyter lab "):
        assert find_spec("jupyterlab")
        assert (ROOT / step.split()[-1]).is_dir()
        return
    step = step.replace(" --no-index --find-links build/wheelhouse", "").replace(" --no-index", "")
    steps = dry_run("run", "check", "test").replace(" --quiet --disable-pip-version-check", "")
    steps = steps.replace(" --clear", "").replace("$found -m", "python -m")
    steps = re.sub(r"(?m)^[A-Z]+= ", "", steps)  # a variable that nobody has set
    assert step in [line.strip() for line in steps.splitlines()]


def check_archive(words, folder):
    """git makes a copy that can be set up and run, here from a repository with one commit."""
    shutil.copytree(copy_of_the_checkout(), folder, dirs_exist_ok=True)
    author = ["-c", "user.name=A. Author", "-c", "user.email=author@example.org"]
    commit = ["git", *author, "commit", "--quiet", "--message=All files"]
    for command in (["git", "init", "--quiet"], ["git", "add", "--all"], commit, words):
        subprocess.run(command, cwd=folder, capture_output=True, check=True)
    (archive,) = folder.glob("*.zip")
    names = zipfile.ZipFile(archive).namelist()
    assert {"README.md", "Makefile", "requirements.txt", "notebooks/"} <= set(names)


@pytest.mark.skipif(os.name == "nt", reason="reads the Makefile through make")
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[:60])
def test_every_command_in_the_documents(command, run_python, tmp_path):
    if command.startswith(("py ", ".venv\\", ".venv/", "touch ")):
        check_without_make(command)
        return
    if command.startswith("help("):
        assert "Returns" in run_python(f"from stormswarm_utils import *\n{command}\n")
        return
    words = shlex.split(command)
    while re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words = [*words[1:], words[0]]
    program, *rest = words
    if program == "make":
        check_make(rest)
    elif program in ("python", "python3") and rest and rest[0].startswith("tools/"):
        check_script(rest)
    elif program == "python" and rest[:1] == ["-m"] and rest[1].startswith("benchmarks."):
        check_benchmark(rest[1])
    elif program.lstrip("%") == "pip" and rest[:1] == ["install"]:
        check_install(rest[1:])
    elif program == "dask":
        check_dask(rest)
    elif program == "openssl":
        check_openssl(command)
    elif program == "mpiexec":
        check_mpi(rest)
    elif words[:2] == ["git", "archive"]:
        check_archive(words, tmp_path)
    elif command == "git status":
        done = subprocess.run(words, cwd=ROOT, capture_output=True)
        assert done.returncode == 0 or not (ROOT / ".git").exists()
    elif program != "%pip" and words not in (["python3"], ["python3", "-m", "venv", ".venv"]):
        pytest.fail(f"{COMMANDS[command]}: no test runs or checks `{command}`")


def test_the_documents_have_commands():
    assert {"make run", "make test", "make record", "make docs", "help(generate_swarm)"} <= set(
        COMMANDS
    )
    assert any(command.startswith(".venv\\") for command in COMMANDS)


EXAMPLES = {
    f"{name_of(document)}-{number}": block
    for document in DOCUMENTS
    for number, block in enumerate(blocks(document.read_text("utf-8"), "python"))
    if not block.startswith("%")
    and "lient" not in block  # those with dask's client are run by test_cluster_commands.py
    and document.name != "five-ways.md"  # run by test_five_ways.py, which compares what they print
}
PRINTED = {
    "README.md-0": r"(.+\n){4}theta, valves 100% open: score 1630\.34222887\n",
    "README.md-1": r"(\d\d % impervious: at most 0\.\d{3} m in P1\n){4}",
    "docs/api.md-0": r"( *\d+% open: .*\n){2}100% open: 1630\.34222887\n.*, 0 failures\n",
    "docs/api.md-1": r"0\.475635\n",
    "docs/api.md-2": r"valves   steps\nopen     25433\nclosed    9361\n",
    "docs/scaling-out.md-2": r"40 217\.776547955\n",
    "docs/troubleshooting.md-0": r"(1630\.34222887\n){2}",
    "docs/troubleshooting.md-1": r"\{.*\}\n(6 jobs on .*: [\d.]+ s\n){2}bound: .*\n",
    "docs/troubleshooting.md-2": r"1 3\n",
    "docs/troubleshooting.md-3": r"\[(np\.float64\()?(?!0\.0\b)[01]\.\d+\)?\]\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_in_the_documents_runs(name, run_python, tmp_path):
    shutil.copy(load_network("theta"), tmp_path / "my_network.inp")  # the reader's own
    assert re.fullmatch(PRINTED.get(name, ""), run_python(EXAMPLES[name]))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_can_be_downloaded_and_launched_from_its_page(path, site):
    page = site / "notebooks" / f"{path.stem}.html"
    download, *launch, differs = [tag["href"] for tag in soup(page).select("article .buttons a")]
    assert (page.parent / download).read_bytes() == path.read_bytes()
    assert (page.parent / differs).exists()
    online = (ROOT / "docs" / "online.md").read_text("utf-8")
    assert len(launch) == 2
    for link in launch:
        assert re.sub(r"0\d_\w+", "", link) in re.sub(r"0\d_\w+", "", online)
        assert path.name in link


def test_the_api_page_has_every_public_name():
    page = (ROOT / "docs" / "api.md").read_text("utf-8")
    shown = set(re.findall(r"(?m)^\.\. (?:auto\w+|py:data):: (?:stormswarm_utils\.)?(\w+)$", page))
    assert set(stormswarm_utils.__all__) <= shown


def wrong_grammar(text):
    """List what is no Python or shell in the blocks of a document that are marked as not run."""
    found = []
    for block in blocks(text, "python", marked=True):
        try:
            compile(block, "block", "exec")
        except SyntaxError as error:
            found.append(str(error))
    if shutil.which("bash"):
        for block in blocks(text, "sh", "bash", marked=True):
            done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
            found += [done.stderr] if done.returncode else []
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_what_is_not_run_has_at_least_the_right_grammar(document):
    assert wrong_grammar(document.read_text("utf-8")) == []


def test_only_what_is_marked_with_a_reason_is_not_run():
    block = "```python\nrun(\n```\n"
    assert list(blocks(block, "python")) == ["run(\n"]
    assert list(blocks(f"<!-- not run: -->\n{block}", "python")) == ["run(\n"]
    marked = f"<!-- not run: needs a cluster -->\n{block}"
    assert list(blocks(marked, "python")) == []
    assert len(wrong_grammar(marked)) == 1


# Links --------------------------------------------------------------------------------


def anchor(heading):
    """Return the anchor of a heading as GitHub and the site make it."""
    plain = re.sub(r"[`*]", "", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def anchors(path):
    if path.suffix != ".md":
        return set()
    text = re.sub(r"(?ms)^```.*?^```", "", path.read_text("utf-8"))
    return {anchor(heading) for heading in re.findall(r"(?m)^#+ (.*)$", text)}


def links(text):
    for token in MarkdownIt().parse(text):
        for child in token.children or []:
            target = child.attrs.get("href") or child.attrs.get("src")
            if target:
                yield target


def broken(text, folder):
    """List the links of a Markdown text, read in this folder, that lead nowhere."""
    found = []
    for link in links(text):
        if re.match(r"[a-z]+:", link):
            found += [] if link.startswith("https://") else [link]
            continue
        file, _, place = unquote(link).partition("#")
        path = folder / file
        if not file or file.startswith("generated/"):  # in this document; made by `make docs`
            continue
        if not path.exists() or (place and place not in anchors(path)):
            found.append(link)
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_of_documents(document):
    text = document.read_text("utf-8")
    assert broken(text, document.parent) == []
    own = {link[1:] for link in links(text) if link.startswith("#")}
    assert own <= anchors(document)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_of_notebooks(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            assert broken(cell.source, path.parent) == []


def test_broken_links_are_found(tmp_path):
    (tmp_path / "page.md").write_text("# What it *is*\n")
    text = "[a](page.md#what-it-is) [b](page.md#what) [c](none.md) [d](http://example.org)"
    assert broken(text, tmp_path) == ["page.md#what", "none.md", "http://example.org"]


def test_badges_and_services_name_one_repository_and_notebooks_that_are_there():
    repository = PROJECT["urls"]["Repository"].removeprefix("https://github.com/")
    for name in ("README.md", "docs/online.md"):
        text = (ROOT / name).read_text("utf-8")
        (binder,) = set(re.findall(r"mybinder\.org/v2/gh/([^)]*?)/HEAD\?labpath=([^)]*)\)", text))
        (colab,) = set(
            re.findall(r"research\.google\.com/github/([^)]*?)/blob/main/([^)]*)\)", text)
        )
        for there, notebook in (binder, colab):
            assert there == repository
            assert (ROOT / unquote(notebook)).exists()


def test_binder_installs_the_lock_on_a_python_that_is_supported():
    folder = ROOT / ".binder"
    assert (folder / "runtime.txt").read_text().strip() in ("python-3.11", "python-3.12")
    (line,) = (folder / "requirements.txt").read_text().splitlines()
    assert (folder / line.removeprefix("--requirement ")).resolve() == ROOT / "requirements.txt"
    install = (folder / "postBuild").read_text().splitlines()[-1]
    steps = MAKEFILE.replace(" --quiet --disable-pip-version-check", "")
    assert install.replace("python", "$(BIN)/python", 1) in steps
    assert os.name == "nt" or os.access(folder / "postBuild", os.X_OK)


# Numbers ------------------------------------------------------------------------------


def test_the_numbers_of_the_reproduced_page_are_those_of_notebook_02():
    notebook = nbformat.read(ROOT / "notebooks" / "02_serial_versus_parallel.ipynb", as_version=4)
    said = "\n".join(
        cell.source + "".join(map(read_text, cell.get("outputs", []))) for cell in notebook.cells
    )
    page = (ROOT / "docs" / "reproduce.md").read_text("utf-8")
    scores = re.findall(r"\d{4,}\.\d{4,}|\d{6,}\.\d+|\d{10,}|\b25\d{3}\b|\b9361\b", page)
    assert len(scores) > 15
    for number in scores:
        assert number in said or number in said.replace(" ", ""), number


def test_the_bounds_of_the_reproduced_page_are_computed():
    page = (ROOT / "docs" / "reproduce.md").read_text("utf-8")
    for row in draw_timings.published_rows():
        jobs, processors = draw_timings.JOB_SETS[row["set"]]
        call = f"`generate_swarm(config, worker, {processors}, {jobs})`"
        (line,) = [line for line in page.splitlines() if line.startswith(f"| {call}")]
        assert f"| {row['parallel']} s ±" in line
        assert f"| {row['bound']:.1f} s |" in line


def test_readme_and_landing_page_show_the_same_picture():
    readme, index = ((ROOT / name).read_text("utf-8") for name in ("README.md", "docs/index.md"))
    (picture,) = re.findall(r"!\[([^\]]*)\]\(docs/hero\.svg\)", readme)
    assert f"![{picture}](hero.svg)" in index
    record = draw_timings.read_records(ROOT / "docs" / "records")[-1]
    assert picture == draw_hero.describe(record)
    assert (ROOT / "docs" / "hero.svg").read_text("utf-8") == draw_hero.draw_hero(record)


# Records ------------------------------------------------------------------------------

SCHEMA = json.loads((ROOT / "docs" / "records" / "schema.json").read_text("utf-8"))


def test_only_records_and_their_schema_are_in_the_folder_of_records():
    others = set((ROOT / "docs" / "records").iterdir()) - set(RECORDS)
    assert {path.name for path in others} == {"schema.json"}


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_records_are_what_the_schema_says(path):
    record = json.loads(path.read_text("utf-8"))
    assert problems(record) == []
    assert record["scores"] == {"open": 400221923.134, "closed": 2656700000.0}


def problems(record):
    """List what is wrong with a record, beyond the schema too."""
    found = [error.message for error in Draft202012Validator(SCHEMA).iter_errors(record)]
    for way, seconds in record.get("seconds", {}).items():
        lengths = {len(seconds[job_set]) for job_set in timing_record.JOB_SETS}
        if lengths != {len(record["busy"])}:
            found.append(f"{way}: not one figure per round")
        if len(seconds["open"]) != len(seconds["closed"]):
            found.append(f"{way}: open and closed runs differ in number")
    return found


@pytest.fixture(scope="module")
def quick_record(tmp_path_factory):
    """Return what `QUICK=1 make record` writes: one round of an hour's rain."""
    folder = tmp_path_factory.mktemp("records")
    subprocess.run(
        [sys.executable, "-m", "benchmarks.record", folder],
        cwd=ROOT,
        env=os.environ | {"QUICK": "1", "FORCE": "1"},
        capture_output=True,
        check=True,
    )
    (path,) = folder.iterdir()
    return json.loads(path.read_text("utf-8"))


@pytest.mark.slow
def test_the_tool_writes_what_the_schema_says(quick_record):
    assert problems(quick_record) != []  # an hour's rain is no record
    record = {key: value for key, value in quick_record.items() if key != "quick"}
    assert problems(record) == []
    assert record["forced"] is True
    for seconds in record["seconds"].values():
        assert len(seconds["open"]) == 4
        assert seconds["2 serial"][0] == pytest.approx(
            seconds["open"][0] + seconds["closed"][0], abs=2e-4
        )


@pytest.mark.slow
def test_problems_of_records_are_found(quick_record):
    record = {key: value for key, value in quick_record.items() if key != "quick"}
    assert problems(record | {"host": "ada"}) != []
    assert problems(record | {"busy": [0.0, 0.0]}) != []
    assert problems(record | {"seconds": {}}) != []


def test_a_busy_machine_is_refused(monkeypatch):
    monkeypatch.setattr(timing_record, "busy_cores", lambda: (psutil.cpu_count(), "storm (99 %)"))
    with pytest.raises(SystemExit, match=r"Not recorded: other programs keep .*storm \(99 %\)"):
        timing_record.wait_until_quiet(0, forced=False)
    assert timing_record.wait_until_quiet(0, forced=True) == psutil.cpu_count()


def test_a_machine_that_tells_a_name_is_refused(monkeypatch):
    monkeypatch.setattr(timing_record.socket, "gethostname", lambda: "2")
    with pytest.raises(SystemExit, match="Not recorded: the description of the machine holds"):
        timing_record.describe()


@pytest.mark.slow
def test_the_picture_without_records_and_with_one(quick_record, tmp_path):
    records = tmp_path / "records"
    records.mkdir()
    draw_timings.draw_timings(records, tmp_path / "none")
    (records / "2026-01-01-a.json").write_text(json.dumps(quick_record), encoding="utf-8")
    draw_timings.draw_timings(records, tmp_path / "one")
    assert "No machine has been recorded" in (tmp_path / "none" / "machines.md").read_text("utf-8")
    assert quick_record["machine"]["system"] in (tmp_path / "one" / "machines.md").read_text(
        "utf-8"
    )
    for folder, rows in (("none", 3), ("one", 9)):
        text = (tmp_path / folder / "timings.md").read_text("utf-8")
        assert text.startswith("![Three panels")
        assert text.count("\n| ") == rows + 1
        assert "<svg" in (tmp_path / folder / "timings.svg").read_text("utf-8")
    today = (tmp_path / "one" / "today.md").read_text("utf-8")
    assert today.count("\n| ") == 6
    plain, helper = (quick_record["seconds"][way]["6 serial"][0] for way in timing_record.WAYS)
    assert f"44.1 s  | {plain:.2f} s | {helper:.2f} s |" in today
    text = (tmp_path / "one" / "timings.md").read_text("utf-8")
    assert "| helper | 6\N{NO-BREAK SPACE}on\N{NO-BREAK SPACE}3 |" in text
    assert "†" in text


# The site -----------------------------------------------------------------------------


def soup(path):
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


@pytest.mark.slow
def test_the_site_asks_no_other_machine_for_anything(site):
    pages = [path for path in site.rglob("*.html") if "_static" not in path.parts]
    assert len(pages) > 10
    for path in pages:
        page = soup(path)
        loaded = [tag["src"] for tag in page.find_all(src=True)]
        loaded += [tag["href"] for tag in page.find_all("link", href=True)]
        assert [url for url in loaded if re.match(r"(https?:)?//", url)] == [], path.name
    for style in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", style.read_text("utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_site_shows_notebooks_as_they_are_stored(path, site):
    cells = nbformat.read(path, as_version=4).cells
    page = soup(site / "notebooks" / f"{path.stem}.html")
    alt = []
    for cell in cells:
        if "mystnb" in cell.metadata:
            alt.append(cell.metadata["mystnb"]["image"]["alt"])
        elif cell.cell_type == "markdown":
            alt += [
                " ".join(text.split()) for text in re.findall(r"!\[(.*?)\]\(", cell.source, re.S)
            ]
    shown = [" ".join(picture["alt"].split()) for picture in page.select("article img")]
    assert shown == alt
    hidden = [cell for cell in cells if "hide-cell" in cell.metadata.get("tags", [])]
    assert len(page.select("article details.hide")) == len(hidden)
    assert page.find("h1").get_text().startswith(path.name.partition("_")[0])
    printed = page.find("article").get_text()
    for cell in cells:
        for output in cell.get("outputs", []):
            assert output.get("text", "").strip() in printed


@pytest.mark.slow
def test_the_api_page_has_every_public_name_that_is_documented(site):
    import stormswarm_utils

    there = {tag["id"] for tag in soup(site / "api.html").find_all("dt", id=True)}
    for name, value in vars(stormswarm_utils).items():
        if not name.startswith("_") and getattr(value, "__module__", "") == "stormswarm_utils":
            assert f"stormswarm_utils.{name}" in there
    page = (ROOT / "docs" / "api.md").read_text("utf-8")
    for names in (stormswarm_utils.SCENARIOS, stormswarm_utils.METRICS):
        assert f": {', '.join(names)}." in page


@pytest.mark.slow
def test_a_formula_needs_no_script(tmp_path):
    shutil.copy(ROOT / "docs" / "conf.py", tmp_path)
    shutil.copytree(ROOT / "docs" / "_static", tmp_path / "_static")
    text = "# Laws\n\nInline $\\frac{1}{s}$.\n\n$$S = \\frac{1}{s + (1 - s) / p}$$\n"
    (tmp_path / "index.md").write_text(text)
    command = [sys.executable, "-m", "sphinx", "-W", "-q", tmp_path, tmp_path / "site"]
    subprocess.run(command, check=True, capture_output=True)
    page = soup(tmp_path / "site" / "index.html")
    assert [formula["display"] for formula in page.find_all("math")] == ["inline", "block"]
    assert len(page.select("math mfrac")) == 2
    assert not [script for script in page.find_all("script", src=True) if "math" in script["src"]]


def test_the_site_is_gathered_without_a_trace_in_the_tree(tmp_path):
    def tree():
        folders = [ROOT / name for name in ("docs", "notebooks")]
        return {path: path.stat().st_mtime_ns for f in folders for path in f.rglob("*")}

    before = tree()
    build_site.gather(tmp_path / "source")
    assert tree() == before
    assert len(list((tmp_path / "source" / "notebooks").glob("*.ipynb"))) == len(NOTEBOOKS)


# The continuous check -------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("bash") is None or os.name == "nt", reason="a script for bash")
@pytest.mark.parametrize(
    ("browser", "apt_get"), [(True, "true"), (False, "true"), (False, "false")]
)
def test_the_ci_script_installs_chromium_where_it_may(browser, apt_get, tmp_path):
    for tool in ("bash", "dirname", "env", "id", "true", "false"):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    scripts = {"apt-get": apt_get, "make": "true", "sudo": 'shift; "$@"'}
    if browser:
        scripts["chromium"] = "true"
    for name, result in scripts.items():
        script = f'#!{shutil.which("bash")}\necho {name} "$@" >> {tmp_path}/log\n{result}\n'
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        [tmp_path / "bash", ROOT / ".ci" / "run"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    ran = (tmp_path / "log").read_text().splitlines()
    assert ran[-1] == "make test"
    installs = [line for line in ran if line.startswith("apt-get install") and "chromium" in line]
    assert len(installs) == (not browser and apt_get == "true")
    assert ("could not be installed" in done.stderr) == (apt_get == "false")
