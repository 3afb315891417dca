"""Fixtures for all tests: backends, shared data, the one table of tolerances."""

import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from numpy_erniem.backend.dispatch import backend_report, use_backend

# Programs that tests start say nothing of missing kernels, so what else they say can be compared.
os.environ.setdefault("PYTHONWARNINGS", "ignore:numpy_erniem has no C kernels")

REPOSITORY = Path(__file__).resolve().parent.parent

# Largest |difference| allowed, and why.
TOLERANCES = {
    "exact": 0.0,  # the same operations in the same order
    "primitive": 1e-5,  # float32 sums in another order, values of size 1
    "model": 2e-5,  # twelve layers of them
    "trained": 1e-4,  # trained weights have hidden states of size 10
    "float64": 1e-12,  # the same formulas in float64
}


def pytest_collection_modifyitems(items):
    """Begin with the tests that take minutes: at the end, a second process would wait for them."""
    items.sort(key=lambda item: item.path.name not in ("test_sanitizers.py", "test_suite_16.py"))


def native_is_built() -> bool:
    with use_backend("auto"):
        return backend_report()["backend"] == "native"


@pytest.fixture(params=["numpy", "native"])
def backend(request):
    """Run a test on the NumPy formulas, and again on the C kernels where they are built."""
    if request.param == "native" and not native_is_built():
        pytest.skip("the C kernels are not built")
    with use_backend(request.param):
        yield request.param


@pytest.fixture
def same_bits():
    """Skip where the last bits of a result may depend on the batch."""
    if backend_report()["backend"] != "native":
        pytest.skip("NumPy's products depend on the number of rows")


@pytest.fixture(scope="session")
def shared():
    """Folder with the real vocabulary and corpus, which not every machine has."""
    folder = Path(os.environ.get("NUMPY_ERNIEM_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip("the shared data is not on this machine")
    return folder


@pytest.fixture
def rng():
    return np.random.default_rng(20211)


@pytest.fixture(scope="session")
def close():
    """Compare shape, dtype, then values, and say where the largest difference is."""

    def check(got, want, tolerance, name="array"):
        got, want = np.asarray(got), np.asarray(want)
        assert got.shape == want.shape, f"{name}: shape {got.shape}, not {want.shape}"
        assert got.dtype == want.dtype, f"{name}: dtype {got.dtype}, not {want.dtype}"
        if not got.size:
            return
        difference = np.abs(got.astype(np.float64) - want.astype(np.float64))
        worst = np.unravel_index(np.argmax(difference), difference.shape)
        assert np.isfinite(difference).all(), f"{name}: NaN or infinity"
        assert difference[worst] <= TOLERANCES[tolerance], (
            f"{name}{list(map(int, worst))}: {got[worst]} instead of {want[worst]}, "
            f"off by {difference[worst]:.2e}"
        )

    return check


@pytest.fixture(scope="session")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="session")
def transformers(torch):
    """The reference; importing it warns of its own dependencies."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = pytest.importorskip("transformers")
        pytest.importorskip("transformers.models.ernie_m.modeling_ernie_m")
    if module.__version__ != "4.37.2":
        pytest.skip("the reference is transformers 4.37.2")
    return module


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium, as a driver of selenium."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    paths = shutil.which("chromium"), shutil.which("chromedriver")
    if None in paths:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = paths[0]
    for argument in ("--headless", "--no-sandbox", "--disable-gpu", "--window-size=1300,1000"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options, webdriver.ChromeService(paths[1]))
    yield driver
    driver.quit()
