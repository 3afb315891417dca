"""The documentation site: built without warnings, complete, and usable without a network."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import numpy_erniem
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.skipif(not (REPOSITORY / "csrc").is_dir(), reason="not in a checkout")
EXTRA = ("sphinx", "furo", "myst_nb", "numpydoc", "latex2mathml")
PAGES = (  # one of each kind
    "docs/index.html",
    "docs/kernels.html",
    "docs/reference/pipelines.html",
    "docs/reference/ops.html",
    "tutorials/03_attention.html",
    "docs/migrating.html",
    "_modules/numpy_erniem/ops.html",
    "genindex.html",
    "search.html?q=embed",
)
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
LOADED |= {"object": "data", "embed": "src", "video": "src", "audio": "src"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site."""
    for name in EXTRA:
        pytest.importorskip(name, reason="the extra `docs` is not installed")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", "docs/site"]
    command += ["-d", str(out / "doctrees"), ".", str(out / "html")]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "ignore"}
    built = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, encoding="utf-8"
    )
    assert built.returncode == 0, built.stderr[-5000:]
    assert built.stderr == ""
    return out / "html"


class Page(HTMLParser):
    """What a page loads, where its links lead, and the names in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.ids |= {values[key] for key in ("id", "name") if values.get(key)}
        if tag in LOADED and values.get(LOADED[tag]):
            self.loaded.append(values[LOADED[tag]])
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])


@pytest.fixture(scope="module")
def pages(site):
    """{path: the page}."""
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def outside(address):
    return address.startswith("//") or urlsplit(address).scheme in ("http", "https")


def test_no_page_loads_anything_from_outside(pages, site):
    found = {(path.name, url) for path, page in pages.items() for url in page.loaded}
    assert len(found) > 100
    assert not [pair for pair in found if outside(pair[1])]
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.search(r"""(url\(|@import)\s*["']?(https?:)?//""", text), style


def test_every_link_and_every_file_that_is_loaded_is_in_the_site(pages, site):
    broken = []
    for path, page in pages.items():
        for address in page.links + page.loaded:
            parts = urlsplit(address)
            if parts.scheme or outside(address):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            there = target.is_file() and target.is_relative_to(site.resolve())
            anchor = unquote(parts.fragment)
            if there and anchor and target.suffix == ".html":
                there = anchor in pages[site / target.relative_to(site.resolve())].ids
            if not there:
                broken.append((path.relative_to(site).as_posix(), address))
    assert not broken, broken[:10]


def public_names():
    yield from (f"numpy_erniem.{name}" for name in numpy_erniem.__all__ if name != "__version__")
    for module in ("numpy_erniem.training", "numpy_erniem.plots"):
        names = import_module(module).__all__
        yield from (f"{module}.{name}" for name in names)


def test_every_public_name_is_in_the_reference(pages, site):
    reference = [page for path, page in pages.items() if path.parent == site / "docs/reference"]
    ids = set().union(*(page.ids for page in reference))
    modules = {f"numpy_erniem.{name}" for name in ("ops", "plots", "training")}
    missing = [name for name in public_names() if name not in ids | modules]
    assert not missing
    assert all(any(i.startswith(f"{module}.") for i in ids) for module in modules)


def test_every_page_of_docs_and_every_notebook_is_in_the_menu(pages, site):
    menu = pages[site / "docs/index.html"].links
    sources = [*(REPOSITORY / "docs").glob("*.md"), *(REPOSITORY / "tutorials").glob("*.ipynb")]
    assert len(sources) > 40
    for source in sources:
        page = source.relative_to(REPOSITORY).with_suffix(".html").as_posix()
        if page != "docs/index.html":
            address = os.path.relpath(page, "docs").replace(os.sep, "/")
            assert address in menu, page


def test_formulas_are_mathml(site):
    page = (site / "tutorials/03_attention.html").read_text(encoding="utf-8")
    assert page.count("<math ") > 20
    assert "\\sqrt" not in re.sub(r'aria-label="[^"]*"', "", page)


def test_a_notebook_shows_its_stored_outputs(site):
    page = (site / "tutorials/03_attention.html").read_text(encoding="utf-8")
    assert page.count("<img ") >= 2
    assert 'class="output' in page


@pytest.fixture(scope="module")
def axe():
    package = pytest.importorskip("axe_playwright_python", reason="axe is not installed")
    return (Path(package.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


def show(browser, address, width, colours):
    """Open a page in a window of a width, for a reader who prefers light or dark colours."""
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    preference = {"features": [{"name": "prefers-color-scheme", "value": colours}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", preference)
    browser.get(address)


@pytest.fixture
def window(browser):
    yield browser
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("page", PAGES)
def test_axe_finds_nothing_light_or_dark_wide_or_narrow(site, window, axe, page):
    for colours, width in (("light", 1300), ("dark", 390)):
        show(window, f"{site.as_uri()}/{page}", width, colours)
        window.execute_script(axe)
        # axe does not read MathML, so it takes a heading of a formula for empty.
        options = "{rules: {'empty-table-header': {enabled: false}}}"
        found = window.execute_async_script(
            f"axe.run({options}).then(arguments[arguments.length - 1])"
        )
        assert not [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in found["violations"]]


@pytest.mark.parametrize("page", PAGES)
def test_no_page_is_wider_than_a_phone(site, window, page):
    show(window, f"{site.as_uri()}/{page}", 360, "light")
    assert window.execute_script("return document.documentElement.scrollWidth") <= 360


def test_the_address_of_the_site_leads_to_the_start_page(site, window):
    show(window, f"{site.as_uri()}/index.html", 1300, "light")
    assert window.current_url.endswith("/docs/index.html")
    assert window.title.startswith("numpy-erniem")


def test_dark_colours_are_shown_to_those_who_prefer_them(site, window):
    brightness = {}
    for colours in ("light", "dark"):
        show(window, f"{site.as_uri()}/docs/index.html", 1300, colours)
        colour = window.execute_script("return getComputedStyle(document.body).backgroundColor")
        brightness[colours] = sum(int(part) for part in re.findall(r"\d+", colour)[:3])
    assert brightness["dark"] < 200 < 600 < brightness["light"]


def test_the_search_finds_a_name_without_a_server(site, window):
    show(window, f"{site.as_uri()}/search.html?q=InformationExtractor", 1300, "light")
    window.implicitly_wait(20)
    results = window.find_elements("css selector", "#search-results li a")
    assert any("extract" in link.get_attribute("href") for link in results)
