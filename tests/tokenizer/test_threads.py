import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.tokenizer.conftest import SENTENCES


def test_threads_that_begin_together_get_the_same_ids(make):
    texts = [s + t for s in SENTENCES for t in SENTENCES]
    expected = make()(texts).input_ids
    for _ in range(5):
        tok = make()  # nothing is looked up yet, so the threads fill the tables together
        with ThreadPoolExecutor(8) as pool:
            batches = list(pool.map(lambda _, tok=tok: tok(texts).input_ids, range(4)))
            singles = list(pool.map(lambda text, tok=tok: tok(text).input_ids, texts))
        assert all(batch == expected for batch in batches)
        assert singles == expected


def test_threads_that_begin_after_a_change_see_it(make):
    texts = [f"{a}<n>{b}" for a in SENTENCES for b in SENTENCES]
    tok, expected = make(), make()
    expected.add_tokens("<n>")
    rows = expected(texts).input_ids
    tok(texts)
    tok.add_tokens("<n>")
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda text: tok(text).input_ids, texts)) == rows


def test_sentencepiece_may_use_several_threads(make):
    texts = SENTENCES * 5
    assert make(sp_model_kwargs={"num_threads": 2})(texts) == make()(texts)


def test_importing_loads_neither_sentencepiece_nor_torch():
    code = (
        "import sys, numpy_erniem.tokenizer; "
        "print([m for m in ('sentencepiece', 'torch', 'transformers') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
