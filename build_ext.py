"""Build the C kernels of csrc/ into numpy_erniem._kernels, through cffi in API mode.

`pip install .` runs this by itself; in a checkout, `python build_ext.py` builds in place. Where
there is no compiler, or it fails, one notice is printed and the package works with NumPy alone.
"""

import sys
from pathlib import Path

from cffi import FFI
from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
MODULE = "numpy_erniem._kernels"
DECLARATIONS = "csrc/kernels.cdef.h"
SOURCES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "csrc").rglob("*.c"))
HEADERS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "csrc").rglob("*.h"))

if sys.platform == "win32":  # no pthreads: serial kernels
    FLAGS, LINK = ["/O2", "/std:c11"], []
else:
    FLAGS, LINK = ["-std=c11", "-O3", "-Wall", "-Wextra", "-pthread"], ["-lm", "-pthread"]


def write_glue(path: Path) -> None:
    """Write the C source of the Python module: cffi's glue around kernels.cdef.h."""
    ffi = FFI()
    ffi.cdef((ROOT / DECLARATIONS).read_text(encoding="utf-8"))
    ffi.set_source(MODULE, '#include <stdint.h>\n#include "kernels.cdef.h"')
    path.parent.mkdir(parents=True, exist_ok=True)
    ffi.emit_c_code(str(path))


class BuildKernels(build_ext):
    """Build the extension; a failure leaves a pure-Python package and one clear notice."""

    def build_extension(self, ext: Extension) -> None:
        """Generate cffi's glue and compile it together with the kernels."""
        glue = Path(self.build_temp) / "_kernels.c"
        write_glue(glue)
        ext.sources = [str(glue), *SOURCES]
        ext.depends = HEADERS
        ext.include_dirs = [str(ROOT / "csrc")]
        ext.extra_compile_args = FLAGS
        ext.extra_link_args = LINK
        try:
            super().build_extension(ext)
        except Exception as error:  # whatever a compiler can do wrong, the install goes on
            print(f"numpy-erniem: no C kernels ({error}); NumPy will serve alone.", file=sys.stderr)


if __name__ == "__main__":
    kernels = Extension(MODULE, sources=[], py_limited_api=True, optional=True)
    distribution = Distribution({"ext_modules": [kernels], "cmdclass": {"build_ext": BuildKernels}})
    distribution.script_name = "build_ext.py"
    distribution.script_args = ["build_ext", "--inplace"]
    distribution.parse_command_line()
    distribution.run_commands()
