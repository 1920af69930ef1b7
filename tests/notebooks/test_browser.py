"""In a real browser: JupyterLab runs notebooks to the end, the explorer answers, the site is whole.

Needs `pip install "merclip[browser]"` and Debian's chromium (or another of that family); for
`merclip test --all`. The site is looked at where `make docs` has built it.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import nbformat
import pytest
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from merclip_lib.study.notebooks import PROFILES

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "build" / "site"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
# What a page may show: no picture or table that reaches over the edge of what holds it.
TOO_WIDE = """() => [...document.querySelectorAll(
    '.jp-OutputArea-output img, .md-content img, .md-content svg.formula')]
  .filter(p => p.offsetParent && p.getBoundingClientRect().right > innerWidth + 1)
  .map(p => p.getBoundingClientRect().right + ' of ' + innerWidth)"""
# On paper nothing can be scrolled.
CUT = """() => [...document.querySelectorAll(
    ':is(.md-content, .jp-Notebook) :is(pre, table, math, img, svg)')]
  .filter(p => p.getBoundingClientRect().right > innerWidth + 1
    || (p.matches('pre') && p.scrollWidth > p.clientWidth + 1))
  .map(p => p.textContent.slice(0, 80) || p.outerHTML.slice(0, 80))"""
PAPER = {"letter": 710, "A4": 688}  # pixels between the margins of docs/print.css
PRINTED = ["start.html", "reference.html", "data_sets.html"]
PRINTED += sorted(f"notebooks/{p.stem}.html" for p in (ROOT / "notebooks").glob("[01]*.ipynb"))
# JupyterLab as a student has it, but with all cells in the page and no question about news.
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false"},
}

pytestmark = pytest.mark.browser
sync_api = pytest.importorskip("playwright.sync_api", reason="pip install 'merclip[browser]'")


@pytest.fixture(scope="module")
def browser():
    if BROWSER is None:
        pytest.skip("no chromium here: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    """A page that keeps what its console calls an error, and what it loads from elsewhere."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.faults = []

    def asked(request):
        if not request.url.startswith(("http://127.0.0.1:", "data:", "blob:", "ws://127.0.0.1:")):
            page.faults.append(f"loads {request.url}")

    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("console", lambda m: page.faults.append(m.text) if m.type == "error" else None)
    page.on("request", asked)
    yield page
    page.close()


def serve(command, folder, **environment):
    """Start a server with a free port at the end of its command; (process, address)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([*command, str(port)], cwd=folder, env=environment, **quiet)
    address = f"http://127.0.0.1:{port}"
    for _ in range(120):
        try:
            urlopen(address).close()
            return server, address
        except URLError:
            time.sleep(0.5)
    server.kill()
    pytest.fail("the server does not answer within a minute")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab on small copies of the notebooks: (folder, address)."""
    root = tmp_path_factory.mktemp("lab")
    folder = root / "notebooks"
    shutil.copytree(ROOT / "notebooks", folder, ignore=shutil.ignore_patterns("study"))
    for name in ("00_start_here", "10_your_own_clip"):
        file = folder / f"{name}.ipynb"
        small = load_notebook_node(str(file))
        if name in PROFILES["smoke"]:
            small = parameterize_notebook(small, PROFILES["smoke"][name])
        for cell in small.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.write(small, file)
    for name, values in SETTINGS.items():
        file = root / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"]
    command += ["--IdentityProvider.token=", "--ServerApp.root_dir=.", "--port"]
    server, address = serve(command, folder, JUPYTERLAB_SETTINGS_DIR=str(root / "settings"))
    yield folder, address
    server.terminate()
    server.wait(30)


def run_all(page, folder, address, name, seconds):
    """Open a notebook, run all its cells and save; its code cells as they then are."""
    page.goto(f"{address}/lab/tree/{name}.ipynb?reset")
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)
    page.wait_for_timeout(5000)  # it says so a little before cells are given to the kernel
    file = folder / f"{name}.ipynb"
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    end, cells = time.monotonic() + seconds, []
    while time.monotonic() < end:
        page.wait_for_timeout(2000)
        page.keyboard.press("Control+s")
        page.wait_for_timeout(1000)
        cells = nbformat.read(file, as_version=4).cells
        cells = [c for c in cells if c.cell_type == "code" and c.source.strip()]
        errors = [o for c in cells for o in c.outputs if o.output_type == "error"]
        assert not errors, errors[0]
        if [c.execution_count for c in cells] == list(range(1, len(cells) + 1)):
            if "python 3." in str(cells[-1].outputs):
                return cells
    pytest.fail(f"{name} was not done: {[c.execution_count for c in cells]}")


def test_the_first_notebook_runs_to_the_end(page, lab):
    cells = run_all(page, *lab, "00_start_here", 240)
    assert any("image/png" in o.get("data", {}) for c in cells for o in c.outputs)
    assert page.evaluate(TOO_WIDE) == [] and page.faults == []


def test_the_last_notebook_runs_and_its_explorer_answers(page, lab):
    run_all(page, *lab, "10_your_own_clip", 500)
    units = page.locator(".jupyter-widgets input[type=text]").first
    units.fill("12")
    units.press("Enter")
    page.locator(".widget-html", has_text="pulling the corners of the lips").first.wait_for()
    assert page.locator(".jupyter-widgets .widget-slider").count() == 1
    assert page.evaluate(TOO_WIDE) == [] and page.faults == []


@pytest.fixture(scope="module")
def site():
    """The address of the site as it was built."""
    if not (SITE / "index.html").is_file():
        pytest.skip("the site is not built: make docs")
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1"]
    server, address = serve(command, SITE)
    yield address
    server.terminate()
    server.wait(30)


@pytest.mark.parametrize("name", ["index.html", "tutorial.html", *PRINTED])
def test_pages_of_the_site_load_nothing_from_elsewhere_and_fit(page, site, name):
    page.goto(f"{site}/{name}")
    page.wait_for_load_state("networkidle")
    assert page.evaluate(TOO_WIDE) == [] and page.faults == []
    assert page.locator("h1").first.inner_text()


@pytest.mark.parametrize("name", PRINTED)
def test_nothing_of_a_page_is_cut_on_paper(page, site, name):
    page.goto(f"{site}/{name}")
    page.emulate_media(media="print")
    for paper, width in PAPER.items():
        page.set_viewport_size({"width": width, "height": 1000})
        assert page.evaluate(CUT) == [], paper


@pytest.mark.parametrize("name", ["02_data_and_manifests", "07_what_the_model_sees"])
def test_nothing_of_a_notebook_is_cut_on_paper(page, tmp_path, name):
    """JupyterLab prints what nbconvert makes; formulas are drawn online only."""
    source = ROOT / "notebooks" / f"{name}.ipynb"
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "--output-dir", str(tmp_path)]
    subprocess.run([*command, str(source)], check=True, capture_output=True)
    page.goto((tmp_path / f"{name}.html").as_uri(), wait_until="domcontentloaded")
    page.emulate_media(media="print")
    for paper, width in PAPER.items():
        page.set_viewport_size({"width": width, "height": 1000})
        assert page.evaluate(CUT) == [], paper
