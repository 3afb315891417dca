"""Check that an installed wheel runs on its kernels; for machines that build wheels.

    python tools/try_wheel.py

Run it outside the checkout, with the Python that the wheel was installed for.
"""

import sys
from sysconfig import get_config_var

import numpy_erniem as erniem
from numpy_erniem.backend.settings import available_threading


def main() -> int:
    """Embed two texts; returns the exit code."""
    erniem.show_versions()
    assert erniem.backend_report()["backend"] == "native", "the wheel has no kernels"
    if get_config_var("Py_GIL_DISABLED"):
        assert not sys._is_gil_enabled(), "the kernels switched the GIL on"
    has_openmp = "openmp" in available_threading()
    assert has_openmp == (sys.platform == "linux"), f"OpenMP is there: {has_openmp}"
    vectors = erniem.embed(["Open the file", "打开文件"], normalize=True)
    with erniem.use_backend("numpy"):
        difference = abs(
            vectors - erniem.embed(["Open the file", "打开文件"], normalize=True)
        ).max()
    assert difference < 1e-4, f"kernels and NumPy differ by {difference}"
    return 0


if __name__ == "__main__":
    sys.exit(main())
