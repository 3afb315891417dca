"""Search over vectors in memory and in files: what is found, saved, and refused."""

import json
import math

import numpy as np
import pytest

import numpy_erniem as erniem
from numpy_erniem import SearchIndex
from numpy_erniem.backend.frozen import mapping_of
from numpy_erniem.pipelines import search, search_files
from numpy_erniem.pipelines.search_files import TextLines, map_vectors

TEXTS = ["Öffnen Sie die Datei", "two\nlines", "", "打开文件 😀", "half \ud83d", "a\u2028b", "last"]


def whole(rng, *shape):
    """Small whole numbers: every score is exact, and many are equal."""
    return rng.integers(-2, 3, shape).astype(np.float32)


def full_sort(queries, vectors, k):
    scores = queries.astype(np.float64) @ vectors.T.astype(np.float64)
    indices = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return indices, np.take_along_axis(scores, indices, axis=1).astype(np.float32)


def same(got, want):
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


@pytest.fixture
def vectors(rng):
    return whole(rng, 60, 5)


@pytest.fixture
def queries(rng):
    return whole(rng, 9, 5)


@pytest.fixture
def saved(tmp_path, vectors):
    folder = tmp_path / "index"
    SearchIndex(vectors[:7], TEXTS, {"model": "m"}).save(folder)
    return folder


def test_search_is_a_full_sort(backend, vectors, queries):
    same(SearchIndex(vectors).search(queries, 12), full_sort(queries, vectors, 12))


def test_ten_matches_are_found_unless_more_are_asked_for(vectors, queries):
    assert SearchIndex(vectors).search(queries)[0].shape == (9, 10)


def test_there_are_never_more_matches_than_vectors(backend, vectors, queries):
    same(SearchIndex(vectors).search(queries, top_k=99), full_sort(queries, vectors, 60))


def test_one_query_gives_one_result(backend, vectors, queries):
    index = SearchIndex(vectors)
    indices, scores = index.search(queries[4], 3)
    assert indices.shape == scores.shape == (3,)
    same((indices, scores), [part[4] for part in index.search(queries, 3)])


def test_no_queries_give_no_results(backend, vectors):
    indices, scores = SearchIndex(vectors).search(np.empty((0, 5)), 3)
    assert (indices.shape, indices.dtype) == ((0, 3), np.int64)
    assert (scores.shape, scores.dtype) == ((0, 3), np.float32)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int8, np.uint8, ">f4"])
def test_queries_may_be_any_numbers(backend, vectors, dtype):
    queries = np.array([[0, 1, 2, 3, 1]])
    got = SearchIndex(vectors).search(queries.astype(dtype), 5)
    same(got, full_sort(queries, vectors, 5))
    same(SearchIndex(vectors).search(queries.tolist(), 5), got)


def mapped(path, vectors):
    np.save(path, vectors)
    return np.load(path, mmap_mode="r")


@pytest.mark.parametrize("rows", [1, 7, 59, 60])
@pytest.mark.parametrize(
    "stored",
    [
        lambda v, path: mapped(path, v),
        lambda v, path: mapped(path, v) is not None and path,
        lambda v, path: mapped(path, v) is not None and str(path),
        lambda v, path: mapped(path, np.asfortranarray(v)) is not None and path,
        lambda v, path: mapped(path, v.astype(">f4")) is not None and path,
        lambda v, path: mapped(path, v.astype(np.float16)) is not None and path,
        lambda v, path: np.asfortranarray(v),
        lambda v, path: np.repeat(v, 2, axis=0)[::2],
        lambda v, path: v.astype(">f4"),
        lambda v, path: v.astype(np.float16),
        lambda v, path: v.tolist(),
        lambda v, path: [row.astype(np.float64) for row in v],
    ],
    ids=[
        *("mapped", "path", "str", "Fortran file", "big-endian file", "float16 file", "Fortran"),
        *("strided", "big-endian", "float16", "lists", "list of arrays"),
    ],
)
def test_every_kind_of_vectors_gives_one_result(
    stored, rows, backend, vectors, queries, tmp_path, monkeypatch
):
    monkeypatch.setattr(search_files, "BLOCK_BYTES", rows * 4 * 5)
    index = SearchIndex(stored(vectors, tmp_path / "v.npy"))
    for k in (1, 8, 60):
        same(index.search(queries, k), full_sort(queries, vectors, k))


@pytest.mark.parametrize("name", ["QUERIES", "QUERY_NUMBERS", "RESULTS"])
def test_queries_are_searched_in_groups(name, backend, vectors, queries, monkeypatch):
    sizes = []
    original = search.top_scores

    def count(group, *others):
        sizes.append(len(group))
        return original(group, *others)

    monkeypatch.setattr(search, "top_scores", count)
    monkeypatch.setattr(search, name, {"QUERIES": 4, "QUERY_NUMBERS": 20, "RESULTS": 48}[name])
    same(SearchIndex(vectors).search(queries, 12), full_sort(queries, vectors, 12))
    assert sizes == [3, 3, 3]


def test_vectors_in_memory_are_not_copied(vectors):
    assert np.shares_memory(SearchIndex(vectors).vectors, vectors)


def test_a_file_is_mapped(tmp_path, vectors):
    np.save(tmp_path / "v.npy", vectors)
    assert mapping_of(SearchIndex(tmp_path / "v.npy").vectors) is not None


def test_pages_of_a_mapped_file_are_released(tmp_path, vectors, queries, monkeypatch):
    monkeypatch.setattr(search_files, "BLOCK_BYTES", 20 * 4 * 5)
    index = SearchIndex(mapped(tmp_path / "v.npy", vectors))
    released = []
    monkeypatch.setattr(search, "release_mapped_pages", lambda block: released.append(block.shape))
    index.search(queries, 3)
    assert released == [(20, 5)] * 3


def test_the_scores_of_unit_vectors_are_cosines():
    texts = ["Open a file", "Eine Datei öffnen", "The weather is fine"]
    vectors = erniem.embed(texts, normalize=True)
    indices, scores = SearchIndex(vectors, texts).search(vectors[0], 3)
    assert indices[0] == 0
    np.testing.assert_allclose(scores, (vectors @ vectors[0])[indices], atol=1e-6)


@pytest.mark.usefixtures("same_bits")
def test_native_scores_do_not_depend_on_the_company(rng):
    vectors = rng.standard_normal((301, 384), np.float32)
    queries = rng.standard_normal((150, 384), np.float32)
    index = SearchIndex(vectors)
    together = index.search(queries, 7)
    for n in (0, 77, 149):
        same(index.search(queries[n], 7), [part[n] for part in together])


def test_what_is_saved_is_there_after_loading(backend, tmp_path, vectors, queries):
    index = SearchIndex(vectors, map(str, range(60)), {"model": "m", "normalize": True})
    index.save(tmp_path / "index")
    loaded = SearchIndex.load(str(tmp_path / "index"))
    assert mapping_of(loaded.vectors) is not None
    assert list(loaded.texts) == index.texts
    assert loaded.notes == index.notes
    same(loaded.search(queries, 4), index.search(queries, 4))
    loaded.save(tmp_path / "again")
    for name in ("vectors.npy", "texts.jsonl", "search_index.json"):
        first, second = (tmp_path / folder / name for folder in ("index", "again"))
        assert first.read_bytes() == second.read_bytes()


def test_float16_stays_float16(tmp_path, vectors, queries):
    SearchIndex(vectors.astype(np.float16)).save(tmp_path / "index")
    loaded = SearchIndex.load(tmp_path / "index")
    assert loaded.vectors.dtype == np.float16
    assert loaded.texts is None
    same(loaded.search(queries, 4), full_sort(queries, vectors, 4))


@pytest.mark.parametrize("change", [np.asfortranarray, lambda v: v.astype(">f4")])
def test_files_have_one_order(change, tmp_path, vectors):
    SearchIndex(change(vectors)).save(tmp_path / "index")
    header = (tmp_path / "index" / "vectors.npy").read_bytes()[:100]
    assert b"'<f4'" in header
    assert b"'fortran_order': False" in header
    np.testing.assert_array_equal(SearchIndex.load(tmp_path / "index").vectors, vectors)


def test_texts_are_read_when_they_are_asked_for(saved, monkeypatch):
    monkeypatch.setattr(search_files, "SCAN_BYTES", 3)
    texts = SearchIndex.load(saved).texts
    assert isinstance(texts, TextLines)
    assert [*texts] == TEXTS
    assert texts[-1] == texts[np.int64(6)] == "last"
    assert texts[1:6:2] == TEXTS[1:6:2]
    for outside in (7, -8):
        with pytest.raises(IndexError):
            texts[outside]


def test_the_index_tells_what_it_is(vectors):
    index = SearchIndex(vectors)
    assert repr(index) == "<SearchIndex of 60 vectors, 5 float32, without texts>"
    assert len(index) == 60
    assert index.width == 5


def test_a_folder_with_something_in_it_is_left_alone(saved, vectors):
    before = sorted(path.name for path in saved.iterdir())
    with pytest.raises(FileExistsError, match=r"index is there already; choose another name"):
        SearchIndex(vectors).save(saved)
    assert sorted(path.name for path in saved.iterdir()) == before
    with pytest.raises(FileExistsError):
        SearchIndex(vectors).save(saved / "vectors.npy")


def test_an_index_that_cannot_be_written_leaves_nothing(tmp_path, vectors):
    with pytest.raises(TypeError, match="JSON"):
        SearchIndex(vectors, notes={"model": object()}).save(tmp_path / "index")
    assert not list(tmp_path.iterdir())


def test_notes_that_are_no_dict_are_refused(vectors):
    with pytest.raises(TypeError, match="notes is a list, not a dict"):
        SearchIndex(vectors, notes=["a"])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_vectors_that_are_not_finite_are_refused_with_their_row(bad, dtype, vectors, monkeypatch):
    monkeypatch.setattr(search_files, "BLOCK_BYTES", 7 * 4 * 5)
    vectors[23, 4] = bad
    with pytest.raises(ValueError, match=r"vectors\[23\] has a number that is NaN or infinite"):
        SearchIndex(vectors.astype(dtype))


def test_a_saved_vector_that_is_not_finite_is_refused(saved):
    content = bytearray((saved / "vectors.npy").read_bytes())
    content[-4:] = np.float32(np.nan).tobytes()
    (saved / "vectors.npy").write_bytes(content)
    with pytest.raises(ValueError, match=r"vectors\[6\]"):
        SearchIndex.load(saved)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.ones((3, 4)), r"float64, neither .* vectors.astype\(np.float32\)"),
        (np.ones((3, 4), np.int8), r"int8, neither"),
        (np.ones((3, 4), bool), r"bool, neither float32 nor float16$"),
        (np.ones(4, np.float32), r"shape \(4,\); it must be \(n, D\)"),
        (np.ones((2, 3, 4), np.float32), r"shape \(2, 3, 4\)"),
        (np.ones((0, 4), np.float32), r"shape \(0, 4\)"),
        (np.ones((4, 0), np.float32), r"shape \(4, 0\)"),
        ([[1.0], [1.0, 2.0]], "its rows differ in length"),
        ([[1e300, 0.0]], r"vectors\[0\]"),
        ([["a"]], "neither float32"),
        (None, "object, neither"),
    ],
)
def test_vectors_that_are_none_are_refused(vectors, message):
    with pytest.raises(ValueError, match=message):
        SearchIndex(vectors)


@pytest.mark.parametrize(
    ("queries", "error", "message"),
    [
        (np.ones(4), ValueError, r"shape \(4,\); the last axis must be 5"),
        (np.ones((2, 6)), ValueError, r"shape \(2, 6\); the last axis must be 5"),
        (np.ones((1, 2, 5)), ValueError, r"shape \(1, 2, 5\)"),
        ([], ValueError, r"shape \(0,\)"),
        (3.0, ValueError, r"shape \(\)|last axis"),
        ([[1] * 5, [1, 1, math.nan, 1, 1]], ValueError, r"queries\[1\] has a number that is NaN"),
        ([1, 1, math.inf, 1, 1], ValueError, r"queries\[0\]"),
        ([1, 1, 1e39, 1, 1], ValueError, r"queries\[0\] .* beyond float32"),
        ([[1] * 5, [1]], ValueError, "its rows differ in length"),
        (np.ones(5, bool), ValueError, "must hold numbers, not bool"),
        ("open", TypeError, "queries are texts; make vectors of them with the Embedder"),
        (["open"], TypeError, "queries are texts"),
    ],
)
def test_queries_that_cannot_be_searched_are_refused(queries, error, message, vectors):
    with pytest.raises(error, match=message):
        SearchIndex(vectors).search(queries)


@pytest.mark.parametrize(
    ("top_k", "error", "message"),
    [
        (0, ValueError, "top_k 0 is not at least 1"),
        (-1, ValueError, "top_k -1"),
        (True, ValueError, "top_k True"),
        (1.5, TypeError, "top_k is 1.5, not an integer"),
        (None, TypeError, "top_k is None"),
    ],
)
def test_a_number_of_matches_must_be_one(top_k, error, message, vectors, queries):
    with pytest.raises(error, match=message):
        SearchIndex(vectors).search(queries, top_k)


def test_scores_beyond_float32_are_refused():
    index = SearchIndex(np.full((3, 4), 1e30, np.float32))
    with pytest.raises(ValueError, match=r"1e\+30 in the index and 1e\+09 in the queries may give"):
        index.search(np.full(4, 1e9))
    assert np.isfinite(index.search(np.full(4, 1e7))[1]).all()


@pytest.mark.parametrize("texts", [["a"], "a", ["a"] * 61])
def test_another_number_of_texts_is_refused(texts, vectors):
    with pytest.raises(ValueError, match=rf"60 vectors and {len(texts)} texts; give one text"):
        SearchIndex(vectors, texts)


def test_what_is_no_text_is_refused(vectors):
    with pytest.raises(TypeError, match=r"texts\[2\] is a int, not a str"):
        SearchIndex(vectors[:3], ["a", "b", 3])


def header(shape, descr="<f4", more=b""):
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + more


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an .npy file"),
        (b"PK\x03\x04" + bytes(60), "not an .npy file"),
        (b"\x80\x04N.", "not an .npy file"),
        (b"\x93NUMPY\x09\x00" + bytes(20), "not an .npy file"),
        (b"\x93NUMPY\x01\x00\xff\xff(", "not an .npy file"),
        (header("(" * 3000), "not an .npy file"),
        (header((2, 3), "|O", bytes(48)), "holds object, neither"),
        (header((2, 3), "<f8", bytes(48)), "holds float64, neither"),
        (header((2, 3), "<f4", bytes(23)), "bytes; by its header it should have"),
        (header((2, 3), "<f4", bytes(25)), "bytes; by its header it should have"),
        (header((1 << 62, 1 << 62), "<f4", bytes(24)), "bytes; by its header it should have"),
        (header((-2, -3), "<f4", bytes(24)), r"shape \(-2, -3\)"),
        (header((6,), "<f4", bytes(24)), r"shape \(6,\)"),
        (header((0, 3)), r"shape \(0, 3\)"),
    ],
)
def test_files_of_strangers_are_refused(content, message, tmp_path):
    (tmp_path / "v.npy").write_bytes(content)
    for read in (map_vectors, SearchIndex):
        with pytest.raises(ValueError, match=message) as error:
            read(tmp_path / "v.npy")
        assert "v.npy" in str(error.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("version", 2, "version 2; this package reads 1"),
        ("version", None, "version None"),
        ("count", 8, "count 7, but search_index.json says 8"),
        ("width", "5", "width 5, but search_index.json says '5'"),
        ("dtype", "float16", "dtype float32, but"),
        ("texts", "yes", "texts must be true or false"),
        ("notes", [], "notes an object"),
    ],
)
def test_settings_that_do_not_fit_are_refused(key, value, message, saved):
    path = saved / "search_index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(ValueError, match=message):
        SearchIndex.load(saved)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "texts.jsonl is empty"),
        (b'"a"\n' * 6, "has 6 lines, but there are 7 vectors"),
        (b'"a"\n' * 6 + b'"a"', "does not end with a line end"),
    ],
)
def test_texts_that_do_not_fit_are_refused(content, message, saved):
    (saved / "texts.jsonl").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        SearchIndex.load(saved)


@pytest.mark.parametrize("line", [b"a", b"3", b"\xff", b'"a" "b"', b"[" * 100_000])
def test_a_line_that_is_no_text_is_named(line, saved):
    (saved / "texts.jsonl").write_bytes(b'"a"\n' * 2 + line + b"\n" + b'"a"\n' * 4)
    texts = SearchIndex.load(saved).texts
    assert texts[3] == "a"
    with pytest.raises(ValueError, match=r"texts.jsonl line 3 is (no JSON string|not JSON)"):
        texts[2]


@pytest.mark.parametrize("name", ["search_index.json", "vectors.npy", "texts.jsonl"])
def test_a_missing_file_is_named(name, saved):
    (saved / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        SearchIndex.load(saved)
