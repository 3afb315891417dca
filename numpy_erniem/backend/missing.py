"""What a user is told where the C kernels are missing, or are there but cannot be loaded."""

import os
import warnings
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent  # of the package
REINSTALL = "pip cache remove numpy_erniem; pip install --force-reinstall --no-deps numpy-erniem"


def remedy() -> str:
    """Return how to get the kernels: a command for a checkout, or for an installed package.

    pip keeps the wheel of a build without a compiler, and takes it again when there is one; so it
    has to forget it first.
    """
    command = "python build_ext.py" if (FOLDER.parent / "build_ext.py").is_file() else REINSTALL
    return f"install a C compiler, then run: {command}"


def warn_not_built() -> None:
    """Warn at the import of the package, unless NUMPY_ERNIEM_BACKEND asks for NumPy."""
    if os.environ.get("NUMPY_ERNIEM_BACKEND") != "numpy":
        warnings.warn(
            "numpy_erniem has no C kernels here; it works on NumPy alone, which is slower. To get "
            f"them, {remedy()}. NUMPY_ERNIEM_BACKEND=numpy hides this warning.",
            stacklevel=3,  # the line that imports the package
        )


def why(error: ImportError) -> str:
    """Say why the kernels cannot be used, and warn where they are there but cannot be loaded.

    Parameters
    ----------
    error : ImportError
        Of the import of the kernels.

    Returns
    -------
    str
    """
    if error.name == "numpy_erniem._kernels" and isinstance(error, ModuleNotFoundError):
        return f"the C kernels are not built; {remedy()}"
    reason = f"the C kernels cannot be loaded ({error})"
    warnings.warn(f"numpy_erniem: {reason}; it works on NumPy alone, which is slower", stacklevel=2)
    return reason
