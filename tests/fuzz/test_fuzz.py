"""A few thousand mutations of the kept corpus at every run; `run.py` does as many as one likes."""

import contextlib
import os
import random
import signal
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from numpy_erniem.checkpoint.paddle_files import read_pdparams
from numpy_erniem.checkpoint.safetensors_file import read_safetensors
from numpy_erniem.checkpoint.torch_files import read_torch

from .mutate import mutate
from .run import attempt, fuzz
from .targets import CORPUS, TARGETS

COUNT = int(os.environ.get("NUMPY_ERNIEM_FUZZ", "150"))  # per target
needs_timer = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")


@needs_timer
@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_give_our_errors_in_time_and_memory(name):
    count = COUNT if TARGETS[name].share >= 0.5 else COUNT // 10
    assert not fuzz([name], count, seed=2021)


def test_every_corpus_file_is_read():
    """So that mutations start from good files, not from ones that are refused at once."""
    used = {target.corpus for target in TARGETS.values()}
    assert {path.name for path in CORPUS.iterdir()} <= used


def test_the_harness_finds_what_is_wrong(tmp_path):
    def broken(path):
        raise KeyError("not ours")

    def greedy(path):
        bytearray(200_000_000)

    tracemalloc.start()
    assert attempt(broken, tmp_path, 1) == "KeyError: 'not ours'"
    assert "bytes of memory" in attempt(greedy, tmp_path, 1)
    tracemalloc.stop()


def test_mutations_are_the_same_for_the_same_seed():
    good = (CORPUS / "zip.bin").read_bytes()
    one, two = (mutate(good, random.Random(7), [good]) for _ in range(2))
    assert one == two
    assert one != good


READERS = {"safetensors": read_safetensors, "torch": read_torch, "pdparams": read_pdparams}


@pytest.mark.parametrize("kind", READERS)
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=st.binary(max_size=400))
def test_any_bytes_at_all(kind, content, tmp_path):
    heads = {"safetensors": b"", "torch": b"PK\x03\x04", "pdparams": b"\x80\x02"}
    for head in (b"", heads[kind]):
        (tmp_path / "x").write_bytes(head + content)
        try:
            for tensor in READERS[kind](tmp_path / "x").values():
                tensor.encode_as()
        except ValueError:
            pass


OPCODES = st.sampled_from(
    [bytes([n]) for n in b"(tN}]RbQuseaqrh2.0)"]
    + [b"K\x01", b"h\x00", b"q\x00", b"\x94", b"\x85"]
    + [b"cnumpy\ndtype\n", b"cnumpy\nndarray\n", b"ccollections\nOrderedDict\n"]
    + [b"cnumpy.core.multiarray\n_reconstruct\n", b"c_codecs\nencode\n", b"cbuiltins\ntuple\n"]
    + [b"\x8c\x02f4", b"\x8c\x01<", b"\x8c\x01a", b"C\x04\x00\x00\x80\x3f", b"\x88", b"\x89"]
)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(parts=st.lists(OPCODES, max_size=60))
def test_any_program_of_allowed_opcodes(parts, tmp_path):
    (tmp_path / "x").write_bytes(b"\x80\x02" + b"".join(parts) + b".")
    with contextlib.suppress(ValueError):
        read_pdparams(tmp_path / "x")
