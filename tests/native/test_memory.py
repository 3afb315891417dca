"""Memory of results and scratch: separate, taken again, cut in training, and given back."""

import contextlib
import mmap
import os
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpy_erniem.backend.kept_memory import memory_is_kept
from tests.conftest import REPOSITORY, native_is_built

if native_is_built():
    from numpy_erniem.backend import memory
    from numpy_erniem.backend.native import lib

MB = 1 << 20
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def test_large_results_are_separate_arrays():
    first, second = memory.new_array((600, 1000)), memory.new_array((600, 1000))
    first[:], second[:] = 1, 2
    assert first.flags.writeable
    assert first.flags.c_contiguous
    part = first[3:5]
    del first
    third = memory.new_array((600, 1000))
    third[:] = 3
    assert (part == 1).all()
    assert (second == 2).all()


def test_memory_of_a_large_result_is_used_again():
    address = memory.new_array((600, 1000)).ctypes.data
    assert memory.new_array((600, 1000)).ctypes.data == address


def resident():
    pages = Path("/proc/self/statm")
    if not pages.is_file():
        pytest.skip("this system does not tell what is resident")
    return int(pages.read_text().split()[1]) * mmap.PAGESIZE


def test_a_thread_gets_its_own_block_back():
    size = 12_345_678
    mine, both_have_one = lib.erniem_acquire(size), threading.Barrier(2, timeout=60)

    def other():
        block = lib.erniem_acquire(size)
        both_have_one.wait()
        both_have_one.wait()
        lib.erniem_release(block)

    thread = threading.Thread(target=other)
    thread.start()
    both_have_one.wait()
    lib.erniem_release(mine)
    both_have_one.wait()
    thread.join()  # its block was released last
    again = lib.erniem_acquire(size)
    lib.erniem_release(again)
    assert again == mine


def take_other_blocks():
    size = 64 * MB
    block = lib.erniem_acquire(size)
    memory.ffi.memmove(block, bytes(size), size)
    lib.erniem_release(block)
    before = resident()
    for _ in range(1000):
        lib.erniem_release(lib.erniem_acquire(100))
    assert before - resident() < 20 * MB
    for _ in range(100):
        lib.erniem_release(lib.erniem_acquire(100))
    assert before - resident() > 40 * MB


def test_a_block_that_nobody_takes_is_given_back():
    """When batches have other sizes by now: after 1,024 other blocks were released."""
    resident()  # or the test is skipped
    in_a_new_process(take_other_blocks)


def test_much_memory_is_kept_while_it_is_asked_for():
    """Blocks of 200 MB are taken again; afterwards at most 128 MB of them stay."""
    size, count = 40 << 20, 5

    def take_and_release():
        blocks = [lib.erniem_acquire(size) for _ in range(count)]
        for block in blocks:
            memory.ffi.memmove(block, bytes(size), size)
            lib.erniem_release(block)
        return {address(block) for block in blocks}

    lib.erniem_forget_memory()
    with memory_is_kept():
        with memory_is_kept():
            places = take_and_release()
        assert take_and_release() == places
        full = resident()
    left = resident()
    lib.erniem_forget_memory()
    assert full - left > size


def address(block):
    return int(memory.ffi.cast("intptr_t", block))


def in_a_new_process(check, *arguments):
    """Run a function of this module where no memory is kept from other tests."""
    call = f"from tests.native import test_memory; test_memory.{check.__name__}{arguments!r}"
    done = subprocess.run([sys.executable, "-c", call], capture_output=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr.decode()


@memory_is_kept()
def cut_and_join(*order):
    whole = address(lib.erniem_acquire(40 * MB))
    lib.erniem_release(memory.ffi.cast("void *", whole))
    pieces = [lib.erniem_acquire(n * MB) for n in (10, 20, 5)]
    places = [address(piece) for piece in pieces]
    assert places[0] == whole
    ends = [place + n * MB for place, n in zip(places, (10, 20, 5), strict=True)]
    assert places[0] < ends[0] < places[1] < ends[1] < places[2] < ends[2] <= whole + 40 * MB
    assert all(place % 64 == 0 for place in places)
    for n in order:
        lib.erniem_release(pieces[n])
    again = lib.erniem_acquire(40 * MB)
    assert address(again) == whole
    lib.erniem_release(again)


@memory_is_kept()
def fill_the_list_with_pieces():
    blocks = [lib.erniem_acquire(MB) for _ in range(300)]
    places = {address(block) for block in blocks}
    for block in blocks:
        lib.erniem_release(block)
    size = MB // 8 - 64
    pieces = sorted((lib.erniem_acquire(size) for _ in range(8 * len(blocks))), key=address)
    assert places < {address(piece) for piece in pieces}
    for piece in pieces:
        memory.ffi.memmove(piece, bytes(size), size)
    full = resident()
    for piece in pieces[::2] + pieces[1::2]:
        lib.erniem_release(piece)
    lib.erniem_forget_memory()
    assert full - resident() > 250 * MB


@memory_is_kept()
def take_a_small_and_a_large_block():
    lib.erniem_release(lib.erniem_acquire(40 * MB))
    small, large = lib.erniem_acquire(MB), lib.erniem_acquire(40 * MB)
    assert not address(large) <= address(small) < address(large) + 40 * MB
    for block in (small, large):
        lib.erniem_release(block)


def take_blocks_as_in_inference():
    whole = lib.erniem_acquire(40 * MB)
    lib.erniem_release(whole)
    half = lib.erniem_acquire(21 * MB)
    assert half == whole
    other = lib.erniem_acquire(15 * MB)
    assert not address(whole) <= address(other) < address(whole) + 40 * MB
    for block in (half, other):
        lib.erniem_release(block)


def give_a_block_back_after_its_last_piece():
    size = 80 * MB
    with memory_is_kept():
        lib.erniem_release(lib.erniem_acquire(size))
        pieces = [lib.erniem_acquire(20 * MB) for _ in range(3)]
        for piece in pieces:
            memory.ffi.memmove(piece, bytes(20 * MB), 20 * MB)
    lib.erniem_release(pieces[1])
    lib.erniem_forget_memory()
    full = resident()
    assert bytes(memory.ffi.buffer(pieces[2], 20 * MB)) == bytes(20 * MB)
    for piece in (pieces[0], pieces[2]):
        lib.erniem_release(piece)
    lib.erniem_forget_memory()
    assert full - resident() > 50 * MB


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (0, 2, 1), (1, 0, 2)])
def test_training_cuts_a_block_and_joins_its_pieces(order):
    in_a_new_process(cut_and_join, *order)


def test_more_pieces_than_the_list_holds_are_joined_too():
    """It holds 1,024: every second one of 2,400 is free when the list is full."""
    resident()  # or the test is skipped
    in_a_new_process(fill_the_list_with_pieces)


def test_a_small_result_does_not_cut_a_block_that_is_far_larger():
    in_a_new_process(take_a_small_and_a_large_block)


def test_inference_cuts_no_block():
    """Else a text of another length would find the blocks of the one before in pieces."""
    in_a_new_process(take_blocks_as_in_inference)


def test_a_block_is_given_back_when_its_last_piece_is_free():
    resident()  # or the test is skipped
    in_a_new_process(give_a_block_back_after_its_last_piece)


# A number: take a block of so many bytes. None: release one. "keep", "stop": training begins, ends.
sizes = st.integers(1, 1 << 22)
events = st.lists(st.sampled_from([None, None, "keep", "stop"]) | sizes | sizes, max_size=120)


@given(events=events, seed=st.integers(0, 2**32 - 1))
def test_no_two_blocks_overlap(events, seed):
    rng, blocks, keeping = np.random.default_rng(seed), [], contextlib.ExitStack()

    def release(n):
        block, size, ends = blocks.pop(n)
        view = np.frombuffer(memory.ffi.buffer(block, size), np.uint8)
        assert (view[[0, size // 2, -1]] == ends).all()
        lib.erniem_release(block)

    with keeping:
        for event in events:
            if event == "keep":
                keeping.enter_context(memory_is_kept())
            elif event == "stop":
                keeping.close()
            elif event is not None:
                block, mark = lib.erniem_acquire(event), len(blocks) % 251
                at = address(block)
                assert at % 64 == 0
                assert all(at + event <= address(b) or address(b) + n <= at for b, n, _ in blocks)
                np.frombuffer(memory.ffi.buffer(block, event), np.uint8)[[0, event // 2, -1]] = mark
                blocks.append((block, event, mark))
            elif blocks:
                release(int(rng.integers(len(blocks))))
    while blocks:
        release(-1)


@needs_fork
def test_a_child_takes_and_releases_while_its_parent_does():
    stop, children = threading.Event(), []

    def take_and_release():
        while not stop.is_set():
            blocks = [lib.erniem_acquire(n * MB) for n in (1, 3, 2)]
            for block in blocks:
                lib.erniem_release(block)

    with memory_is_kept():
        lib.erniem_release(lib.erniem_acquire(16 * MB))
        mine = lib.erniem_acquire(5 * MB)
        other = threading.Thread(target=take_and_release)
        other.start()
        for _ in range(30):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # forks beside other threads
                child = os.fork()
            if child == 0:
                signal.alarm(20)  # a child that waits for ever has another exit code
                lib.erniem_release(mine)
                lib.erniem_release(lib.erniem_acquire(5 * MB))
                lib.erniem_forget_memory()
                os._exit(0)
            children.append(child)
        stop.set()
        other.join()
        lib.erniem_release(mine)
    assert [os.waitstatus_to_exitcode(os.waitpid(c, 0)[1]) for c in children] == 30 * [0]
