import copy
import json
import pickle
import shutil

import pytest

from numpy_erniem.tokenizer import AddedToken, ErnieMTokenizer
from numpy_erniem.tokenizer.saving import STORED

TEXTS = ["The quick brown fox, 2020年 [MASK]", "北京 東 (京 ☃", "<a> dog ÉTÉ", ""]
CONFIG = "tokenizer_config.json"


def same(a, b):
    assert a(TEXTS, return_offsets_mapping=True) == b(TEXTS, return_offsets_mapping=True)
    assert a.get_vocab() == b.get_vocab()
    assert a.special_tokens_map == b.special_tokens_map
    assert a.added_tokens_decoder == b.added_tokens_decoder


def changed(make):
    tok = make(
        do_lower_case=True,
        bare_underline="paddle",
        padding_side="left",
        truncation_side="left",
        model_max_length=77,
        clean_up_tokenization_spaces=False,
        split_special_tokens=False,
        sp_model_kwargs={"num_threads": 2},
        additional_special_tokens=["<q>"],
    )
    tok.add_tokens(["<a>", AddedToken("<b>", lstrip=True)])
    return tok


def test_save_and_load_gives_the_same(make, tmp_path):
    tok = changed(make)
    tok.save_pretrained(tmp_path)
    again = ErnieMTokenizer.from_pretrained(tmp_path)
    same(tok, again)
    for name in (*STORED, "model_max_length"):
        assert getattr(tok, name) == getattr(again, name), name


def test_cut_pieces_is_stored(make, tmp_path):
    make(cut_pieces=False).save_pretrained(tmp_path)
    assert json.loads((tmp_path / CONFIG).read_text())["cut_pieces"] is False
    assert ErnieMTokenizer.from_pretrained(tmp_path).tokenize("a1") == make(
        cut_pieces=False
    ).tokenize("a1")


def test_unknown_keys_are_kept_and_written_back(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "in")
    (tmp_path / "in" / CONFIG).write_text(
        '{"chat": {"a": 1}, "tokenizer_class": "ErnieMTokenizer"}'
    )
    ErnieMTokenizer.from_pretrained(tmp_path / "in").save_pretrained(tmp_path / "out")
    assert json.loads((tmp_path / "out" / CONFIG).read_text())["chat"] == {"a": 1}


def test_an_added_token_with_half_of_a_surrogate_pair_is_saved(make, tmp_path):
    tok = make()
    tok.add_tokens(["a\ud800b"])
    tok.save_pretrained(tmp_path)
    same(ErnieMTokenizer.from_pretrained(tmp_path), tok)


def test_save_pretrained_names_every_file_it_wrote(make, tmp_path):
    paths = changed(make).save_pretrained(tmp_path / "new" / "folder")
    assert sorted(paths) == sorted(str(p) for p in (tmp_path / "new" / "folder").iterdir())


def test_save_vocabulary_puts_the_prefix_before_both_files(tok, folder, tmp_path):
    paths = tok.save_vocabulary(tmp_path, "mine")
    assert paths == (
        str(tmp_path / "mine-vocab.txt"),
        str(tmp_path / "mine-sentencepiece.bpe.model"),
    )
    for name in ("vocab.txt", "sentencepiece.bpe.model"):
        assert (tmp_path / f"mine-{name}").read_bytes() == (folder / name).read_bytes()


def test_saving_over_a_file_is_refused(tok, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file; pass the path of a folder"):
        tok.save_pretrained(tmp_path / "file")


def test_arguments_go_before_what_the_files_say(make, tmp_path):
    make(model_max_length=77).save_pretrained(tmp_path)
    assert ErnieMTokenizer.from_pretrained(tmp_path, model_max_length=33).model_max_length == 33


@pytest.mark.parametrize("name", [CONFIG, "special_tokens_map.json", "added_tokens.json"])
@pytest.mark.parametrize(
    ("content", "match"),
    [
        pytest.param(b"{", "not valid JSON", id="cut short"),
        pytest.param(b"\xff", "not valid JSON", id="not UTF-8"),
        pytest.param(b'{"a": ' + b"[" * 50_000, "not valid JSON", id="too deep"),
        pytest.param(b'{"<a>": 1, "<a>": 2}', "duplicate key '<a>'", id="a name twice"),
        pytest.param(b"[]", "a JSON list, not an object", id="a list"),
    ],
)
def test_damaged_json_is_refused_by_name(folder, tmp_path, name, content, match):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / CONFIG).unlink(missing_ok=True)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} .*{match}"):
        ErnieMTokenizer.from_pretrained(tmp_path)


def test_special_tokens_map_and_added_tokens_of_older_versions(folder, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    size = len((folder / "vocab.txt").read_text(encoding="utf-8").splitlines())
    special = {"cls_token": {"content": "[MASK]"}, "additional_special_tokens": ["<q>"]}
    (tmp_path / "special_tokens_map.json").write_text(json.dumps(special))
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<x>": size, "<q>": size + 5}))
    tok = ErnieMTokenizer.from_pretrained(tmp_path)
    assert tok.cls_token == "[MASK]"
    assert tok.convert_tokens_to_ids(["<x>", "<q>"]) == [size, size + 5]
    assert tok.added_tokens_decoder[size + 5].special
    assert not tok.added_tokens_decoder[size].special


def test_a_folder_without_vocab_numbers_by_sentencepiece_id(folder, tmp_path):
    shutil.copy(folder / "sentencepiece.bpe.model", tmp_path)
    with pytest.warns(UserWarning, match="numbered by SentencePiece id"):
        tok = ErnieMTokenizer.from_pretrained(tmp_path)
    assert tok.vocab["▁"] == tok.sp_model.piece_to_id("▁")
    assert tok.unk_token_id == tok.vocab_size
    assert tok("☃", add_special_tokens=False).input_ids[-1] == tok.unk_token_id


def test_the_encoding_of_the_vocabulary(folder, tmp_path, make):
    text = (folder / "vocab.txt").read_text(encoding="utf-8")
    (tmp_path / "vocab.txt").write_text(text, encoding="utf-16")
    model = folder / "sentencepiece.bpe.model"
    tok = ErnieMTokenizer(model, tmp_path / "vocab.txt", encoding="utf-16")
    assert tok.vocab == make().vocab
    with pytest.raises(ValueError, match="is not utf8 text"):
        ErnieMTokenizer(model, tmp_path / "vocab.txt")


def test_windows_line_ends_in_the_vocabulary(folder, tmp_path, make):
    text = (folder / "vocab.txt").read_bytes().replace(b"\n", b"\r\n")
    (tmp_path / "vocab.txt").write_bytes(text)
    tok = ErnieMTokenizer(folder / "sentencepiece.bpe.model", tmp_path / "vocab.txt")
    assert tok.vocab == make().vocab


def test_of_a_token_that_stands_twice_the_last_line_counts(folder, tmp_path):
    text = (folder / "vocab.txt").read_text(encoding="utf-8")
    (tmp_path / "vocab.txt").write_text(text + "[SEP]\n", encoding="utf-8")
    tok = ErnieMTokenizer(folder / "sentencepiece.bpe.model", tmp_path / "vocab.txt")
    lines = text.count("\n")
    assert tok.sep_token_id == lines
    assert tok.convert_ids_to_tokens([2, lines]) == ["[UNK]", "[SEP]"]
    tok.save_vocabulary(tmp_path)
    assert (tmp_path / "vocab.txt").read_text(encoding="utf-8") == text + "[SEP]\n"


def test_pickle(make):
    tok = changed(make)
    same(tok, pickle.loads(pickle.dumps(tok)))


def test_a_pickle_needs_no_file(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "gone")
    tok = ErnieMTokenizer.from_pretrained(tmp_path / "gone")
    content = pickle.dumps(tok)
    shutil.rmtree(tmp_path / "gone")
    same(tok, pickle.loads(content))


def test_a_deep_copy_is_independent(make):
    tok = changed(make)
    clone = copy.deepcopy(tok)
    same(tok, clone)
    clone.add_tokens(["<c>"])
    assert "<c>" not in tok.get_vocab()
    assert "<c>" not in tok.tokenize("a <c>")


def test_a_pickled_encoding_keeps_its_maps(tok):
    enc = pickle.loads(pickle.dumps(tok("dog", "fox")))
    assert enc.sequence_ids() == tok("dog", "fox").sequence_ids()


def test_files_of_another_tokenizer_warn(folder, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / CONFIG).write_text('{"tokenizer_class": "BertTokenizer"}')
    with pytest.warns(UserWarning, match="written by BertTokenizer"):
        ErnieMTokenizer.from_pretrained(tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        ErnieMTokenizer.from_pretrained(tmp_path / "nowhere")


def test_a_missing_model_is_named(tmp_path, folder):
    shutil.copy(folder / "vocab.txt", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no SentencePiece model at .*bpe.model"):
        ErnieMTokenizer.from_pretrained(tmp_path)


def test_a_missing_vocabulary_is_named(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no vocabulary at .*absent"):
        ErnieMTokenizer(folder / "sentencepiece.bpe.model", tmp_path / "absent")


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\n"])
def test_a_file_that_is_no_model_is_refused(tmp_path, folder, content):
    (tmp_path / "model").write_bytes(content)
    with pytest.raises(ValueError, match=r"is not a SentencePiece model|is a Git LFS pointer"):
        ErnieMTokenizer(tmp_path / "model", folder / "vocab.txt")


def test_a_model_cut_short_is_refused(tmp_path, folder):
    content = (folder / "sentencepiece.bpe.model").read_bytes()
    (tmp_path / "model").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="is not a SentencePiece model"):
        ErnieMTokenizer(tmp_path / "model", folder / "vocab.txt")


def test_an_empty_vocabulary_is_refused(folder, tmp_path):
    (tmp_path / "vocab.txt").write_text("")
    with pytest.raises(ValueError, match="is empty"):
        ErnieMTokenizer(folder / "sentencepiece.bpe.model", tmp_path / "vocab.txt")


def test_files_that_do_not_belong_together_are_refused(folder, tmp_path):
    (tmp_path / "vocab.txt").write_text("[CLS]\n[PAD]\n[SEP]\n[UNK]\nsome\nwords\n")
    with pytest.raises(ValueError, match="only 0% of the SentencePiece model's pieces"):
        ErnieMTokenizer(folder / "sentencepiece.bpe.model", tmp_path / "vocab.txt")


def test_a_vocabulary_with_few_of_the_pieces_warns(folder, tmp_path):
    lines = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    few = lines[:4] + lines[4::3]
    (tmp_path / "vocab.txt").write_text("\n".join(few), encoding="utf-8")
    with pytest.warns(UserWarning, match="do both files come from one checkpoint"):
        ErnieMTokenizer(folder / "sentencepiece.bpe.model", tmp_path / "vocab.txt")


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_a_damaged_config_is_refused(folder, tmp_path, content):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / CONFIG).write_text(content)
    with pytest.raises(ValueError, match=CONFIG):
        ErnieMTokenizer.from_pretrained(tmp_path)
