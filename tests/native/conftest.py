"""Fixtures for the C kernels: they are built, on every instruction set this processor has."""

import os

import numpy as np
import pytest

from tests.conftest import native_is_built
from tests.native.programs import Programs

# Every number of rows or columns that a loop could get wrong: none, one, one beside the tiles of
# each instruction set (4 × 8, 6 × 16, 9 × 48, 14 × 32), primes, few rows and one more, more than a
# block. Depths that are read in place and that are not.
ROWS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 29, 32, 33, 139, 141)
COLUMNS = (1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 97)
DEPTHS = (1, 2, 17, 64, 512, 767, 768, 769, 1543)


def pytest_collection_modifyitems(items):
    if native_is_built():
        return
    for item in items:
        if "tests/native" in item.path.as_posix():
            item.add_marker(pytest.mark.skip("the C kernels are not built"))


def isas():
    if not native_is_built():
        return ["none"]
    from numpy_erniem.backend import settings

    return settings.available_isas()


@pytest.fixture(params=isas())
def isa(request):
    """Run a test once per instruction set."""
    yield from chosen_isa(request.param)


def chosen_isa(name):
    from numpy_erniem.backend import settings

    settings.choose_isa(name)
    yield name
    settings.choose_isa(settings.available_isas()[0])


def kernels_of(number):
    """The kernels of a number type that this processor has."""
    if not native_is_built():
        return ["none"]
    from numpy_erniem.backend import settings

    return settings.available_kernels(number)


def chosen_kernel(number, name):
    from numpy_erniem.backend import settings

    settings.choose_kernel(number, name)
    yield name
    settings.choose_isa(settings.available_isas()[0])


def float32_kernels():
    """What `choose_isa` takes for products of float32: the instruction sets, and AMX."""
    return [*isas(), *kernels_of("float32")[1:]]


@pytest.fixture(params=float32_kernels())
def float32_kernel(request):
    """Run a test once per kernel of linear maps in float32."""
    yield from chosen_isa(request.param)


def int8_kernels():
    """The names of the int8 kernels."""
    return kernels_of("int8")


@pytest.fixture(params=int8_kernels())
def int8_kernel(request):
    """Run a test once per kernel of int8 weights."""
    yield from chosen_kernel("int8", request.param)


@pytest.fixture(params=kernels_of("bfloat16"))
def bfloat16_kernel(request):
    """Run a test once per kernel of weights of bfloat16."""
    yield from chosen_kernel("bfloat16", request.param)


def kernels_of_16_bits():
    """The number types of 16 bits, each with the names of its kernels."""
    numbers = ("bfloat16", "stored_bfloat16", "float16")
    return [(number, name) for number in numbers for name in kernels_of(number)]


@pytest.fixture(params=kernels_of_16_bits(), ids="-".join)
def kernel_16(request):
    """Run a test once per kernel of weights of 16 bits."""
    for _ in chosen_kernel(*request.param):
        yield request.param


@pytest.fixture
def threads():
    """Set the number of threads inside a test, which may be more than there are cores."""
    from numpy_erniem.backend import settings

    def use(n):
        settings.set_num_threads(n)
        settings.lib.erniem_set_cores(settings.MAX_THREADS)

    before = settings.get_num_threads()
    yield use
    settings.set_num_threads(before)


@pytest.fixture
def kernels():
    """The C interface itself: pointers of arrays, packed weights, and the functions."""
    from numpy_erniem.backend.memory import floats
    from numpy_erniem.backend.native import ffi, lib

    class Kernels:
        null = ffi.NULL
        of = staticmethod(floats)

        def __init__(self):
            self.lib = lib

        @staticmethod
        def strides(*numbers):
            return ffi.new("int64_t[3]", numbers)

        @staticmethod
        def bytes(array):
            return ffi.from_buffer("uint8_t[]", array)

        @staticmethod
        def ints(array):
            return ffi.from_buffer("int64_t[]", array)

        @staticmethod
        def pack(weight):
            packed = ffi.new("struct erniem_packed **")
            assert lib.erniem_pack(*weight.shape, floats(weight), packed) == 0
            return ffi.gc(packed[0], lib.erniem_packed_free)

        @staticmethod
        def pack_queries(queries):
            packed = ffi.new("struct erniem_packed **")
            assert lib.erniem_pack_queries(*queries.shape, floats(queries), packed) == 0
            return ffi.gc(packed[0], lib.erniem_packed_free)

        @staticmethod
        def no_pack(n, k):
            """Status of packing where the weight must not be read, and whether there is a pack."""
            packed = ffi.new("struct erniem_packed **")
            return lib.erniem_pack(n, k, ffi.NULL, packed), packed[0] != ffi.NULL

    return Kernels()


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    """Compiled suites, shared by the processes of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    return Programs(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base)


@pytest.fixture
def strassen():
    """Set which products use Strassen's algorithm, inside a test."""
    from numpy_erniem.backend.native import lib

    before = lib.erniem_get_strassen()
    yield lib.erniem_set_strassen
    lib.erniem_set_strassen(before)


@pytest.fixture
def unset():
    """Arrays full of NaN: whatever a kernel forgets to write will show."""
    return lambda *shape: np.full(shape, np.nan, np.float32)


@pytest.fixture
def native():
    """The kernels of training."""
    from numpy_erniem.backend import native_training

    return native_training
