"""Columns of pandas and Arrow, given to the package as their users do."""

import numpy as np
import pytest

from numpy_erniem import Embedder, check_parity

TEXTS = ["Open a file", "Datei öffnen", "打开文件"]


@pytest.fixture(scope="module")
def embedder():
    return Embedder.from_pretrained()


@pytest.fixture(scope="module")
def pandas():
    return pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def arrow():
    return pytest.importorskip("pyarrow")


PANDAS = {
    "column": lambda pandas: pandas.DataFrame({"text": TEXTS, "n": [1, 2, 3]})["text"],
    "string dtype": lambda pandas: pandas.Series(TEXTS, dtype="string"),
    "categories": lambda pandas: pandas.Series(TEXTS, dtype="category"),
    "other labels": lambda pandas: pandas.Series(TEXTS, index=["columns", "shape", "keys"]),
    "index": lambda pandas: pandas.Index(TEXTS),
    "values": lambda pandas: pandas.Series(TEXTS).to_numpy(),
}


@pytest.mark.parametrize("kind", PANDAS)
def test_a_column_of_pandas(kind, pandas, embedder, close):
    close(embedder(PANDAS[kind](pandas)), embedder(TEXTS), "exact")


@pytest.mark.parametrize("kind", PANDAS)
def test_token_ids_of_a_column_of_pandas(kind, pandas, embedder):
    tokenizer = embedder.tokenizer
    assert tokenizer(PANDAS[kind](pandas)) == tokenizer(TEXTS)


def test_a_selection_of_a_column_keeps_its_order(pandas, embedder, close):
    column = pandas.Series(TEXTS).sort_index(ascending=False)[[2, 0]]
    close(embedder(column), embedder([TEXTS[2], TEXTS[0]]), "exact")


def test_a_table_of_pandas_is_refused(pandas, embedder):
    table = pandas.DataFrame({"text": TEXTS})
    with pytest.raises(TypeError, match="texts is a DataFrame, a table; give one column"):
        embedder(table)
    with pytest.raises(TypeError, match="2 dimensions"):
        embedder(table.to_numpy())
    with pytest.raises(TypeError, match="a table"):
        check_parity(texts=table)


@pytest.mark.parametrize("missing", ["None", "NA", "NaT", "nan"])
def test_a_missing_value_of_pandas_is_named(missing, pandas, embedder):
    value = {"None": None, "nan": np.nan}.get(missing, getattr(pandas, missing, None))
    with pytest.raises(TypeError, match=r"texts\[1\] .* a value is missing"):
        embedder(pandas.Series(["a", value], dtype=object))


ARROW = {
    "array": lambda arrow: arrow.array(TEXTS),
    "large strings": lambda arrow: arrow.array(TEXTS, arrow.large_string()),
    "dictionary": lambda arrow: arrow.array(TEXTS).dictionary_encode(),
    "chunked array": lambda arrow: arrow.chunked_array([TEXTS[:1], TEXTS[1:]]),
    "column": lambda arrow: arrow.table({"text": TEXTS})["text"],
    "list of scalars": lambda arrow: list(arrow.array(TEXTS)),
}


@pytest.mark.parametrize("kind", ARROW)
def test_a_column_of_arrow(kind, arrow, embedder, close):
    close(embedder(ARROW[kind](arrow)), embedder(TEXTS), "exact")


def test_a_scalar_of_arrow_is_one_text(arrow, embedder, close):
    close(embedder(arrow.array(TEXTS)[1]), embedder(TEXTS[1]), "exact")


@pytest.mark.parametrize("kind", ["Table", "RecordBatch"])
def test_a_table_of_arrow_is_refused(kind, arrow, embedder):
    table = getattr(arrow, kind).from_pydict({"text": TEXTS})
    with pytest.raises(TypeError, match=f"texts is a {kind}, a table; give one column"):
        embedder(table)


def test_a_null_of_arrow_is_named(arrow, embedder):
    with pytest.raises(TypeError, match=r"texts\[1\] is a NoneType, .* a value is missing"):
        embedder(arrow.array(["a", None]))
