"""What users do, in a real browser: the notebook in JupyterLab, and the site from the disk."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from types import SimpleNamespace

import check_notebooks
import nbformat
import psutil
import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import ROOT, scratch_folders, workers_of
from playwright.sync_api import expect, sync_playwright
from run_notebook import write_page

from stormswarm.timing import break_even, makespan, makespan_bound

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None,
        reason="no Chromium here; the system's packages have one, .ci/run installs it",
    ),
]
FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
expect.set_options(timeout=60_000)  # a machine may be busy
SCREENSHOTS = ROOT / "build" / "screenshots"


@pytest.fixture(scope="module")
def browser():
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    sandbox = ["--no-sandbox"] if os.name == "posix" and os.getuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS + sandbox)
        yield browser
        browser.close()


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """Look for scratch folders alone: browser and kernels run on from test to test."""
    scratch = scratch_folders()
    yield
    assert scratch_folders() - scratch == set()


# The site, opened from the disk -------------------------------------------------------


@contextmanager
def open_page(browser, **context):
    """Open an empty page; fail if it writes an error or asks for anything that is not on disk."""
    found = []
    context = browser.new_context(**context)
    page = context.new_page()
    page.on(
        "console",
        lambda said: found.append(f"{page.url}: {said.text}") if said.type == "error" else None,
    )
    page.on("pageerror", lambda error: found.append(f"{page.url}: {error}"))
    page.on(
        "request",
        lambda asked: None if asked.url.startswith(("file:", "data:")) else found.append(asked.url),
    )
    yield page
    context.close()
    assert found == []


AUDIT = """async (rules) => {
    const LOOKS = ["color", "backgroundColor", "backgroundImage", "fontSize", "fontWeight",
        "opacity", "textShadow", "filter", "mixBlendMode", "visibility", "display"];
    const looks = new Map([[null, 0]]), numbers = new Map(), kinds = new Map();
    const look = (element) => {
        if (!looks.has(element)) {
            const style = getComputedStyle(element);
            const key = [look(element.parentElement), ...LOOKS.map((name) => style[name])].join();
            if (!numbers.has(key)) numbers.set(key, numbers.size + 1);
            looks.set(element, numbers.get(key));
        }
        return looks.get(element);
    };
    for (const element of document.querySelectorAll("body *")) {
        const texts = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
        const length = texts.map((node) => node.data.trim()).join("").length;
        const kind = [look(element), length > 1].join();  // of one letter axe is not sure
        if (length) kinds.set(kind, [...(kinds.get(kind) ?? []), element]);
    }
    for (const [kind, [first]] of kinds) first.dataset.kind = kind;
    axe.configure({rules: [{id: "color-contrast", selector: "[data-kind]"}]});
    const run = (rules) => axe.run({
        resultTypes: ["violations", "incomplete"], elementRef: true,
        preload: false,  // it fetches style sheets
        ...(rules ? {runOnly: rules} : {}),
    });
    const results = [await run(rules)];
    const undecided = results[0].incomplete.filter((one) => one.id === "color-contrast")
        .flatMap((one) => one.nodes.map((node) => node.element.dataset.kind));
    for (const [first] of kinds.values()) delete first.dataset.kind;
    for (const kind of undecided)
        for (const other of kinds.get(kind).slice(1)) other.dataset.kind = kind;
    if (undecided.length) results.push(await run(["color-contrast"]));
    return results.flatMap((one) => one.violations).map(
        ({id, impact, nodes}) => ({id, impact, nodes: nodes.map(({html}) => html)})
    );
}"""


CUT = """() => {
    for (const solution of document.querySelectorAll("details")) solution.open = true;
    return [...document.querySelectorAll("article pre")]
        .filter((block) => block.scrollWidth > block.clientWidth)
        .map((block) => block.textContent);
}"""


def audit(page, rules=None):
    """Return what axe finds, of these rules alone if there are any.

    Its slowest rule looks at the contrast of every text. Here it gets one text of those whose
    style is the same up to the root of the page, and all of them where it cannot tell of the one.
    """
    page.evaluate(Axe().axe_script)
    return page.evaluate(AUDIT, rules)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_of_the_main_job_fits_a_phone_and_can_be_read(scheme, browser, tmp_path):
    notebook = ROOT / "notebooks" / "02_serial_versus_parallel.ipynb"
    file = tmp_path / "page.html"
    write_page(nbformat.read(notebook, as_version=4), file, notebook.parent)
    phone = {"width": 390, "height": 844}
    with open_page(browser, viewport=phone, color_scheme=scheme) as page:
        page.goto(file.as_uri())
        page.screenshot(path=SCREENSHOTS / f"main_job_{scheme}.png")
        assert page.evaluate("document.documentElement.scrollWidth") <= phone["width"]
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(17, 17, 17)"}[scheme]
        assert page.locator("img").first.bounding_box()["y"] < phone["height"]
        solution = page.get_by_text("spare_five_and_nine(state)")
        expect(solution).to_be_hidden()
        page.locator("details", has=solution).locator("summary").click()
        expect(solution).to_be_visible()
        assert audit(page, ["color-contrast", "image-alt"]) == []


ALL, SOME = "every page", "one page of each kind"
ONE_OF_EACH_KIND = (
    *("index.html", "troubleshooting.html", "timings.html", "api.html", "genindex.html"),
    *(
        "scheduler.html",
        "search.html",
        "notebooks/02_serial_versus_parallel.html",
        "_modules/stormswarm_utils.html",
    ),
)
weekly = pytest.mark.weekly


def pages(site, which):
    if which == SOME:
        return [site / name for name in ONE_OF_EACH_KIND]
    return [path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts]


@pytest.mark.parametrize(
    ("which", "scheme", "rules"),
    [
        (ALL, "light", None),
        (SOME, "dark", ["color-contrast"]),
        pytest.param(ALL, "dark", ["color-contrast"], marks=weekly),
    ],
)
def test_a_page_loads_and_can_be_read_by_everybody(browser, site, which, scheme, rules):
    """Its pictures are there, axe finds nothing serious, and a desktop cuts no line of code."""
    findings = []
    with open_page(browser, viewport={"width": 1280, "height": 900}, color_scheme=scheme) as page:
        for path in pages(site, which):
            page.goto(path.as_uri())
            name = path.relative_to(site).as_posix()
            for picture in page.locator("article img").all():
                assert len(picture.get_attribute("alt")) >= 40, name
                assert picture.evaluate("picture => picture.naturalWidth") > 0, name
            findings += [
                f"{name}: {finding['id']}: {node[:200]}"
                for finding in audit(page, rules)
                if finding["impact"] in ("serious", "critical")
                for node in finding["nodes"]
            ]
            if name in ONE_OF_EACH_KIND:
                page.screenshot(path=SCREENSHOTS / f"{path.stem}-{scheme}.png", full_page=True)
            findings += [f"{name}: cut: {block}" for block in page.evaluate(CUT)]
    assert findings == []


def test_the_audit_finds_what_is_wrong(browser):
    with open_page(browser) as page:
        page.set_content('<html lang="en"><title>t</title><main><img src="data:,"></main></html>')
        findings = {finding["id"] for finding in audit(page)}
        assert "image-alt" in findings


@pytest.mark.parametrize(
    "pale",
    [
        '<b style="color: #aaa">pale</b>',
        '<b style="background: #555">pale</b>',
        '<i style="background: #555"><b>pale</b></i>',
        '<i style="opacity: 0.4"><b>pale</b></i>',
        '<b style="color: #aaa">i</b> <b style="color: #aaa">pale</b>',
        '<p><b style="color: #aaa">behind</b><img src="data:," width="99" height="15"></p>'
        '<p><b style="color: #aaa">pale</b></p>',
    ],
)
def test_the_audit_finds_the_one_text_that_is_pale(pale, browser):
    covered = "<style>p { position: relative } img { position: absolute; left: 0; top: 0 }</style>"
    with open_page(browser) as page:
        page.set_content(f"{covered}<main>{'<b>dark</b> <i><b>dark</b></i>' * 3} {pale}</main>")
        found = [node for finding in audit(page, ["color-contrast"]) for node in finding["nodes"]]
        assert len(found) == 1
        assert "pale" in found[0]


@pytest.mark.parametrize("which", [SOME, pytest.param(ALL, marks=weekly)])
def test_no_page_is_wider_than_a_phone_and_what_scrolls_can_be_reached(browser, site, which):
    with open_page(browser, viewport={"width": 360, "height": 740}) as page:
        for path in pages(site, which):
            page.goto(path.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, path.name
            assert audit(page, ["scrollable-region-focusable"]) == [], path.name
        page.goto((site / "index.html").as_uri())
        page.screenshot(path=SCREENSHOTS / "index-phone.png")


def test_a_line_of_code_that_is_cut_is_found(browser):
    with open_page(browser) as page:
        page.set_content(f"<article><pre>{'long ' * 500}</pre><pre>short</pre></article>")
        assert len(page.evaluate(CUT)) == 1


def test_code_has_a_copy_button_and_output_has_none(browser, site):
    with open_page(browser) as page:
        page.goto((site / "notebooks" / "00_check_your_machine.html").as_uri())
        code = page.locator("article .cell_input pre").count()
        expect(page.locator("article button.copybtn")).to_have_count(code)
        page.locator("article button.copybtn").first.click()
        expect(page.locator("article button.copybtn").first).to_have_class(re.compile("success"))


def test_search_finds_makespan(browser, site):
    with open_page(browser) as page:
        page.goto((site / "index.html").as_uri())
        page.get_by_role("searchbox").or_(page.locator("input[name=q]")).first.fill("makespan")
        page.keyboard.press("Enter")
        results = page.locator("#search-results li a")
        expect(results.first).to_be_visible()
        assert any("02. How much faster" in text for text in results.all_text_contents())
        page.screenshot(path=SCREENSHOTS / "search.png")
        results.filter(has_text="02. How much faster").first.click()
        expect(page.locator("article h1")).to_contain_text("How much faster")


def test_from_the_landing_page_a_run_that_hangs_is_one_click_away(browser, site):
    with open_page(browser) as page:
        page.goto((site / "index.html").as_uri())
        page.get_by_role("link", name="a pool that never returns").click()
        expect(page.get_by_role("heading", name="It hangs")).to_be_in_viewport()


def test_a_solution_is_hidden_until_it_is_asked_for(browser, site):
    with open_page(browser) as page:
        page.goto((site / "notebooks" / "02_serial_versus_parallel.html").as_uri())
        solution = page.get_by_text("spare_five_and_nine").first
        expect(solution).to_be_hidden()
        page.locator("details.hide", has_text="spare_five_and_nine").locator("summary").press(
            "Enter"
        )
        expect(solution).to_be_visible()


def test_the_bound_of_the_scheduler_moves_with_its_sliders(browser, site):
    with open_page(browser) as page:
        page.goto((site / "scheduler.html").as_uri())
        bound, numbers = page.locator("#gantt .bound"), page.locator("#numbers")
        for slider, key in [("Cores", "ArrowRight"), ("Jobs", "ArrowRight"), ("Cores", "Home")]:
            place, before = bound.get_attribute("points"), numbers.text_content()
            page.get_by_label(slider, exact=True).focus()
            page.keyboard.press(key)
            assert bound.get_attribute("points") != place
            assert numbers.text_content() != before
        page.get_by_label("A job alone, mean (s), typed").fill("12.5")
        page.get_by_label("Jobs, typed").fill("4")
        expect(numbers).to_contain_text("Bound: 50.0 s")  # on one core, all jobs
        page.get_by_label("Cores, typed").fill("")
        expect(numbers).to_contain_text("Bound: 50.0 s")


def test_the_scheduler_counts_as_the_helper_does(browser, site):
    with open_page(browser) as page:
        page.goto((site / "scheduler.html").as_uri())
        for seconds in ([2.0], [3, 3, 2], page.evaluate("jobLengths(11, 2.5, 4)")):
            for cores in (1, 2, 5):
                for name, function in {
                    "makespanBound": makespan_bound,
                    "makespan": makespan,
                }.items():
                    there = page.evaluate(f"{name}({seconds}, {cores})")
                    assert there == pytest.approx(function(seconds, cores))
        lengths = page.evaluate("jobLengths(11, 2.5, 4)")
        assert sum(lengths) == pytest.approx(11 * 2.5)
        assert max(lengths) == pytest.approx(4 * min(lengths))
        for numbers in [
            (1, 0, 1),
            (1, 2, 2, 1.2),
            (0.5, 9.1, 4, 1.3),
            (1, 0.1, 2, 2),
            (0.2, 3, 16, 2),
        ]:
            there = page.evaluate(f"breakEven(...{[*numbers, 1][:4]})")
            assert there == break_even(*numbers)


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_storm_plays(browser, site, width, scheme):
    viewport = {"width": width, "height": 900}
    with open_page(browser, viewport=viewport, color_scheme=scheme) as page:
        page.goto((site / "index.html").as_uri())
        storm, clock = page.locator(".storm"), page.locator(".storm output")
        storm.scroll_into_view_if_needed()
        still = clock.text_content()
        water = storm.locator(".water").first
        before = water.get_attribute("height")
        page.wait_for_timeout(500)
        assert clock.text_content() == still  # it waits to be started
        storm.screenshot(path=SCREENSHOTS / f"storm-{scheme}-{width}.png")
        storm.get_by_role("button").press("Enter")
        expect(clock).to_have_text(re.compile(r"1 h \d\d min"))
        assert water.get_attribute("height") != before
        storm.get_by_role("button").press("Enter")
        paused = clock.text_content()
        page.wait_for_timeout(500)
        assert clock.text_content() == paused != still
        storm.get_by_role("slider").press("ArrowRight")
        expect(clock).not_to_have_text(paused)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_where_motion_is_not_wanted_the_storm_is_a_still_picture_with_a_slider(browser, site):
    with open_page(browser, reduced_motion="reduce") as page:
        page.goto((site / "index.html").as_uri())
        expect(page.locator(".storm button")).to_be_hidden()
        expect(page.locator(".storm").get_by_role("slider")).to_be_enabled()


# Notebooks in JupyterLab --------------------------------------------------------------

PATIENCE = 600  # seconds; notebook 03 takes half a minute on a quiet machine
TIMED = re.compile(r"\d m?s\b|\dx\b")  # seconds, or a ratio of seconds


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Start JupyterLab on copies of the notebooks; return address, folder and process."""
    folder = tmp_path_factory.mktemp("lab")
    notebooks, runtime, settings = folder / "notebooks", folder / "runtime", folder / "settings"
    shutil.copytree(
        ROOT / "notebooks", notebooks, ignore=shutil.ignore_patterns(".ipynb_checkpoints")
    )
    for plugin, values in {
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
        "notebook-extension/tracker": {"windowingMode": "none", "autoStartDefaultKernel": True},
    }.items():
        path = settings / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ServerApp.port=0"]
    command += [f"--ServerApp.root_dir={notebooks}", "--IdentityProvider.token=storm"]
    if os.name == "posix" and os.getuid() == 0:
        command.append("--allow-root")
    environment = os.environ | {
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "IPYTHONDIR": str(folder / "ipython"),
    }
    with open(folder / "log.txt", "w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
    try:
        yield address_of_server(process, runtime, folder / "log.txt"), notebooks, process
    finally:
        children = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        process.wait(30)
        _, alive = psutil.wait_procs(children, timeout=10)
        for child in alive:
            child.kill()


def address_of_server(process, runtime, log):
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up and process.poll() is None:
        for path in runtime.glob("jpserver-*.json"):
            try:
                return json.loads(path.read_text("utf-8"))["url"]
            except ValueError:  # it is being written
                continue
        time.sleep(0.2)
    raise AssertionError(log.read_text())


@pytest.fixture
def open_notebook(browser, lab, request):
    """Open a notebook in JupyterLab, made of these cells if there are any; return page and path."""
    address, folder, _ = lab
    opened = []

    def open_(name, *sources):
        path = folder / name
        if sources:
            cells = [nbformat.v4.new_code_cell(source) for source in sources]
            kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
            nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        opened.append(page)
        page.goto(f"{address}lab/tree/{name}?token=storm&reset", timeout=120_000)
        expect(page.locator(".jp-Notebook .jp-Cell").first).to_be_visible(timeout=120_000)
        status = page.locator("#jp-main-statusbar").get_by_text("Python 3 (ipykernel) | Idle")
        expect(status).to_be_visible(timeout=120_000)
        return page, path

    yield open_
    for page in opened:
        page.screenshot(path=SCREENSHOTS / f"{request.node.name}.png")
        page.close()


def run_all(page):
    """Choose Run All in the menu, again if it came before the kernel was connected."""
    first = page.locator(".jp-CodeCell .jp-InputPrompt").first
    for _ in range(5):
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        with suppress(AssertionError):
            expect(first).not_to_have_text("[ ]:", timeout=10_000)
            return
    raise AssertionError("Run All does nothing")


def run_last(page):
    """Run the last cell, again if the kernel still refuses what had been sent before."""
    cell = page.locator(".jp-CodeCell").last
    prompt = cell.locator(".jp-InputPrompt")
    expect(prompt).to_have_text("[ ]:")  # it no longer waits for what had been sent before
    for _ in range(5):
        cell.locator(".cm-content").click()
        page.keyboard.press("Control+Enter")
        with suppress(AssertionError):
            expect(prompt).not_to_have_text("[ ]:", timeout=10_000)
            return
    raise AssertionError("the last cell does not run")


def wait_until_run(page, cells):
    """Wait until the last of the code cells has its number, or a cell has failed."""
    prompts = page.locator(".jp-CodeCell .jp-InputPrompt")
    expect(prompts).to_have_count(cells)
    failed = page.locator('[data-mime-type="application/vnd.jupyter.error"]')
    give_up = time.monotonic() + PATIENCE
    while prompts.last.text_content() != f"[{cells}]:":
        assert failed.count() == 0, failed.first.text_content()
        assert time.monotonic() < give_up, f"still running after {PATIENCE} s"
        page.wait_for_timeout(500)


def saved(page, path):
    """Save the notebook and read it from the disk."""
    before = path.stat().st_mtime_ns
    page.keyboard.press("Escape")
    page.keyboard.press("Control+s")
    give_up = time.monotonic() + 30
    while path.stat().st_mtime_ns == before:
        assert time.monotonic() < give_up, "the notebook was not saved"
        time.sleep(0.2)
    time.sleep(0.5)
    return nbformat.read(path, as_version=4)


def text(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


def kernels(lab):
    return psutil.Process(lab[2].pid).children()


@pytest.mark.timeout(900)
def test_notebook_06_runs_from_top_to_bottom(browser, lab, open_notebook):
    """The shortest one with a swarm and a figure; `tools/check_notebooks.py` runs all of them.

    Here as there, timings are repeated as rarely as they can be.
    """
    name = "06_when_jobs_fail.ipynb"
    stored = nbformat.read(lab[1] / name, as_version=4)
    for cell in stored.cells:
        check_notebooks.pytest_itemcollected(SimpleNamespace(cell=cell))
    nbformat.write(stored, lab[1] / name)
    page, path = open_notebook(name)
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_role("menuitem", name="Restart Kernel and Clear Outputs of All Cells…").click()
    page.get_by_role("button", name="Confirm Kernel Restart").click()
    expect(page.locator(".jp-OutputArea-output")).to_have_count(0)
    page.get_by_role("menuitem", name="View", exact=True).click()  # solutions have hidden code
    page.get_by_role("menuitem", name="Expand All Code", exact=True).click()
    expect(page.locator(".jp-Placeholder-prompt")).to_have_count(0)
    run_all(page)
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    wait_until_run(page, len(code))
    figures = page.locator(".jp-OutputArea-output img")
    expect(figures).to_have_count(sum(cell.source.count("plt.show()") for cell in code))
    for figure in figures.all():
        figure.scroll_into_view_if_needed()
        assert figure.evaluate("figure => figure.naturalWidth") > 500
    expect(page.get_by_text("valve 1: nan is not an opening").first).to_be_attached()
    ran = [cell for cell in saved(page, path).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in ran] == list(range(1, len(code) + 1))
    kinds = [output.output_type for cell in ran for output in cell.outputs]
    assert "error" not in kinds
    printed = [(text(cell), text(old)) for cell, old in zip(ran, code, strict=True)]
    free = ["nbval-ignore-output" in cell.metadata.get("tags", ()) for cell in code]
    repeated = [
        pair
        for pair, differs in zip(printed, free, strict=True)
        if pair[1] and not differs and not TIMED.search(pair[1])
    ]
    assert len(repeated) > 5
    assert [new for new, _ in repeated] == [old for _, old in repeated]


WAITS = """
import time
from pathlib import Path
from stormswarm_utils import ConstantOpening, generate_swarm, worker

def wait(config):
    Path(f"mark{config}").touch()
    time.sleep(600)

config = {"controller": ConstantOpening(0.5), "scenario": "theta"}
"""


@pytest.mark.skipif(os.name != "posix", reason="Jupyter interrupts by a signal on POSIX only")
def test_the_interrupt_button_ends_a_swarm_and_the_kernel_goes_on(lab, open_notebook):
    page, path = open_notebook(
        "interrupted.ipynb",
        WAITS,
        "generate_swarm([0, 1, 2, 3], wait, 2)",
        "print(generate_swarm([config], worker, 2) == [worker(config)])",
    )
    idle = [process for kernel in kernels(lab) for process in workers_of(kernel)]  # others' workers
    run_all(page)
    give_up = time.monotonic() + 60
    while len(list(path.parent.glob("mark*"))) < 2:
        assert time.monotonic() < give_up, "the swarm did not start"
        time.sleep(0.1)
    workers = [process for kernel in kernels(lab) for process in workers_of(kernel)]
    workers = [process for process in workers if process not in idle]
    assert len(workers) >= 2
    page.get_by_role("button", name="Interrupt the kernel").click()
    expect(page.locator(".jp-OutputArea-output", has_text="KeyboardInterrupt")).to_be_visible()
    assert psutil.wait_procs(workers, timeout=20)[1] == []
    run_last(page)
    result = page.locator(".jp-CodeCell").last.locator(".jp-OutputArea-output")
    expect(result).to_have_text("True")


def test_a_progress_bar_is_drawn(open_notebook):
    page, _ = open_notebook(
        "progress.ipynb",
        "from stormswarm_utils import ConstantOpening, generate_swarm, worker",
        "config = {'controller': ConstantOpening(0.5), 'scenario': 'theta'}",
        "scores = generate_swarm(config, worker, 2, 6, progress=True)",
    )
    run_all(page)
    bar = page.locator(".jp-OutputArea-output .widget-hprogress, .jp-OutputArea-output progress")
    expect(bar.first).to_be_visible()
    expect(page.locator(".jp-OutputArea-output", has_text="6/6").first).to_be_visible()


def test_a_storm_plays_in_jupyterlab(open_notebook):
    page, _ = open_notebook(
        "storm.ipynb",
        "from stormswarm_utils import ConstantOpening, animate_storm, simulate",
        "run = simulate({'controller': ConstantOpening(0.5), 'scenario': 'theta'})",
        "animate_storm({'half open': run}, 'theta', 'A storm that moves', 0.5, (0, 24))",
    )
    run_all(page)
    clock = page.locator(".storm output")
    expect(clock).to_be_visible()
    still = clock.text_content()
    page.locator(".storm button").click()
    expect(clock).to_have_text(re.compile(r"1 h \d\d min"))
    assert clock.text_content() != still
