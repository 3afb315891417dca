"""Equal to transformers 4.37.2, but for the differences its tests name."""

import gzip
import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest

from numpy_erniem.tokenizer import ErnieMTokenizer

TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "In 2020年 there were 12个月, 365日; 1.5 million words?",
    "北京 東 (京 12 北",
    "cafe\u0301 ½ ﬁ Ⅷ ™ カ\u3099ラス ☃🤯",
    "a [MASK] b[MASK][SEP] <a>  <a>c",
    "",
]
PAIRS = list(itertools.pairwise(TEXTS))


def ids_only(encoding):
    return {k: v for k, v in encoding.items() if k != "attention_mask"}


@pytest.fixture(scope="module")
def both(make, make_upstream):
    ours, theirs = make(), make_upstream()
    for tokenizer in (ours, theirs):
        assert tokenizer.add_tokens(["<a>"]) == 1
    return ours, theirs


@pytest.mark.parametrize("lower", [False, True])
def test_ids_and_tokens(make, make_upstream, lower):
    ours, theirs = make(do_lower_case=lower), make_upstream(do_lower_case=lower)
    for text in TEXTS:
        assert ours.tokenize(text) == theirs.tokenize(text)
        assert ours(text).input_ids == theirs(text)["input_ids"]
        assert ours.encode(text) == theirs.encode(text)


def test_without_an_attention_mask_the_output_is_upstreams(both):
    ours, theirs = both
    assert dict(ours(TEXTS, return_attention_mask=False)) == dict(theirs(TEXTS))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("stride", [0, 2, 5])
@pytest.mark.parametrize("max_length", [4, 7, 12, 30])
def test_truncation_of_single_texts(both, side, stride, max_length):
    ours, theirs = both
    for tokenizer in both:
        tokenizer.lengths_side = side
    options = {
        "max_length": max_length,
        "stride": min(stride, max_length - 1),
        "return_overflowing_tokens": True,
        "return_special_tokens_mask": True,
    }
    for strategy in (True, "longest_first", "only_first"):
        mine = ours(TEXTS, truncation=strategy, return_attention_mask=False, **options)
        assert dict(mine) == dict(theirs(TEXTS, truncation=strategy, **options))
        for text in TEXTS:
            mine = ours(text, truncation=strategy, return_attention_mask=False, **options)
            assert dict(mine) == dict(theirs(text, truncation=strategy, **options))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("strategy", ["longest_first", "only_first", "only_second"])
@pytest.mark.parametrize("max_length", [4, 9, 20, 41])
def test_truncation_of_pairs(both, side, strategy, max_length):
    ours, theirs = both
    for tokenizer in both:
        tokenizer.lengths_side = side
    options = {"truncation": strategy, "max_length": max_length, "return_token_type_ids": True}
    if strategy != "longest_first":
        options |= {"stride": 2, "return_overflowing_tokens": True}
    for a, b in PAIRS:
        mine = ours(a, b, return_attention_mask=False, verbose=False, **options)
        assert dict(mine) == dict(theirs(a, b, **options))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("padding", [True, "max_length", False])
@pytest.mark.parametrize("multiple", [None, 8])
def test_padding(both, side, padding, multiple):
    ours, theirs = both
    for tokenizer in both:
        tokenizer.padding_side = side
    options = {
        "padding": padding,
        "truncation": True,
        "max_length": 24,
        "pad_to_multiple_of": multiple,
        "return_attention_mask": True,
        "return_token_type_ids": True,
        "return_special_tokens_mask": True,
        "return_length": True,
    }
    assert dict(ours(TEXTS, **options)) == dict(theirs(TEXTS, **options))
    for a, b in PAIRS:
        assert dict(ours(a, b, **options)) == dict(theirs(a, b, **options))


def test_words(both):
    ours, theirs = both
    words = [text.split(" ") for text in TEXTS[:4]]
    options = {"is_split_into_words": True, "return_attention_mask": False}
    assert dict(ours(words, **options)) == dict(theirs(words, **options))
    assert dict(ours(words[0], words[1], **options)) == dict(theirs(words[0], words[1], **options))


def test_tensors(both):
    ours, theirs = both
    options = {"padding": True, "return_tensors": "np", "return_attention_mask": True}
    mine, other = ours(TEXTS, **options), theirs(TEXTS, **options)
    for name in other:
        assert mine[name].dtype == other[name].dtype
        assert mine[name].tolist() == other[name].tolist()


def test_decode(both):
    ours, theirs = both
    for text in TEXTS:
        ids = theirs(text)["input_ids"]
        for skip, clean in itertools.product((True, False), (None, True, False)):
            options = {"skip_special_tokens": skip, "clean_up_tokenization_spaces": clean}
            assert ours.decode(ids, **options) == theirs.decode(ids, **options)


def test_vocabulary(both):
    ours, theirs = both
    assert ours.get_vocab() == theirs.get_vocab()
    assert (len(ours), ours.vocab_size) == (len(theirs), theirs.vocab_size)
    assert ours.special_tokens_map == theirs.special_tokens_map
    assert ours.all_special_ids == theirs.all_special_ids


def test_added_tokens_with_flags(make, make_upstream):
    from transformers import AddedToken

    ours, theirs = make(), make_upstream()
    for tokenizer in (ours, theirs):
        tokenizer.add_tokens(
            [
                AddedToken("<l>", lstrip=True),
                AddedToken("<r>", rstrip=True),
                AddedToken("<w>", single_word=True),
            ]
        )
    for parts in itertools.product(["<l>", "<r>", "<w>", "dog", " ", "  京"], repeat=4):
        text = "".join(parts)
        assert ours.tokenize(text) == theirs.tokenize(text), text


def test_sampling_with_the_same_seed(make, make_upstream):
    import sentencepiece

    settings = {"enable_sampling": True, "nbest_size": -1, "alpha": 0.2}
    drawn = []
    for tokenizer in (make(sp_model_kwargs=settings), make_upstream(sp_model_kwargs=settings)):
        sentencepiece.set_random_generator_seed(5)
        with ThreadPoolExecutor(1) as pool:  # older SentencePiece seeds a thread's first draw only
            draw = pool.submit(lambda t=tokenizer: [t(text)["input_ids"] for text in TEXTS * 3])
            drawn.append(draw.result())
    assert drawn[0] == drawn[1]
    assert drawn[0][: len(TEXTS)] != drawn[0][len(TEXTS) : 2 * len(TEXTS)]


def test_upstream_reads_what_we_save(make, upstream_class, tmp_path):
    ours = make(do_lower_case=True, additional_special_tokens=["<q>"])
    ours.add_tokens(["<a>"])
    ours.save_pretrained(tmp_path)
    theirs = upstream_class.from_pretrained(str(tmp_path))
    assert theirs(TEXTS)["input_ids"] == ours(TEXTS).input_ids
    assert theirs.additional_special_tokens == ["<q>"]


def test_we_read_what_upstream_saves(make_upstream, tmp_path):
    theirs = make_upstream(do_lower_case=True, model_max_length=99)
    theirs.add_special_tokens({"additional_special_tokens": ["<q>"]})
    theirs.add_tokens(["<a>"])
    theirs.save_pretrained(str(tmp_path))
    ours = ErnieMTokenizer.from_pretrained(tmp_path)
    assert theirs(TEXTS)["input_ids"] == ours(TEXTS).input_ids
    assert ours.model_max_length == 99
    assert ours.get_vocab() == theirs.get_vocab()
    assert ours.additional_special_tokens == ["<q>"]


def test_without_a_vocabulary(folder, upstream_class):
    model = folder / "sentencepiece.bpe.model"
    with pytest.warns(UserWarning, match="numbered by SentencePiece id"):
        ours = ErnieMTokenizer(model)
    theirs = upstream_class(str(model))
    assert ours.get_vocab() == theirs.get_vocab()
    assert ours(TEXTS[0]).input_ids == theirs(TEXTS[0])["input_ids"]


def test_every_line_of_the_benchmark(published, published_upstream, shared):
    lines = (shared / "corpus" / "bench.txt").read_text(encoding="utf-8").split("\n")
    theirs = published_upstream(lines)["input_ids"]
    assert published(lines, verbose=False).input_ids == theirs
    assert published(lines, return_offsets_mapping=True, verbose=False).input_ids == theirs
    assert [published.encode(line) for line in lines[::7]] == theirs[::7]


def test_every_text_of_29_languages(published, published_upstream, shared):
    with gzip.open(shared / "corpus" / "dev.tsv.gz", "rt", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    assert len({row[0] for row in rows}) == 29
    texts = [text for row in rows for text in row[1:]]
    theirs = published_upstream(texts)["input_ids"]
    assert published(texts, verbose=False).input_ids == theirs


def test_published_special_ids(published):
    names = ("cls", "pad", "sep", "unk", "mask")
    ids = [getattr(published, f"{name}_token_id") for name in names]
    assert ids == [0, 1, 2, 3, 250001]
    assert published.convert_tokens_to_ids([",", ".", "▁"]) == [4, 5, 6]
    assert published.tokenize("2020年") == ["2020", "年"]
