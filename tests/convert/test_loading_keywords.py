"""Keywords of loading in a source, secrets among them, are never written."""

import json
import shutil

import pytest

from numpy_erniem import ErnieMConfig, ErnieMModel, ErnieMTokenizer, convert
from numpy_erniem.checkpoint.folder import read_folder, write_folder
from numpy_erniem.checkpoint.hub import bundled_checkpoint
from numpy_erniem.checkpoint.paddle_names import LINEAR_WEIGHT

SECRET = "hf_SECRET"
LOADING = {
    **{
        "token": SECRET,
        "use_auth_token": SECRET,
        "proxies": {"https": f"http://me:{SECRET}@proxy"},
    },
    **{"cache_dir": SECRET, "revision": SECRET, "trust_remote_code": True, "use_fast": True},
}
JSON_FILES = ("config.json", "tokenizer_config.json", "special_tokens_map.json")


def add_loading_keywords(folder):
    for name in JSON_FILES:
        path = folder / name
        values = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        path.write_text(json.dumps({**values, **LOADING, "note": "kept"}), "utf-8")


def assert_nothing_is_leaked(folder):
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in folder.iterdir())
    for name in JSON_FILES:
        if (folder / name).is_file():
            assert not LOADING.keys() & json.loads((folder / name).read_text("utf-8")).keys()


def test_a_keyword_of_loading_among_the_sentence_settings_is_refused(tmp_path):
    folder = shutil.copytree(bundled_checkpoint(), tmp_path / "source")
    (folder / "sentence_embedding.json").write_text(json.dumps(LOADING))
    with pytest.raises(ValueError, match=r"sentence_embedding\.json") as caught:
        convert(folder, tmp_path / "out")
    assert SECRET not in str(caught.value)


@pytest.fixture
def leaky(tmp_path):
    folder = tmp_path / "leaky"
    shutil.copytree(bundled_checkpoint(), folder)
    add_loading_keywords(folder)
    return folder


@pytest.mark.filterwarnings("ignore:no keys of a config")
def test_keywords_of_loading_in_the_source_are_not_written(leaky, tmp_path):
    report = convert(leaky, tmp_path / "out")
    assert_nothing_is_leaked(tmp_path / "out")
    for name in JSON_FILES:
        assert json.loads((tmp_path / "out" / name).read_text("utf-8"))["note"] == "kept"
    assert "left out of tokenizer_config.json: cache_dir, proxies, revision, token," in str(report)
    assert SECRET not in str(report)


@pytest.mark.filterwarnings("ignore:no keys of a config")
def test_keywords_of_loading_in_a_family_source_are_not_written(family_source, tmp_path):
    add_loading_keywords(family_source)
    convert(family_source, tmp_path / "out")
    assert_nothing_is_leaked(tmp_path / "out")


@pytest.mark.filterwarnings("ignore:no keys of a config")
def test_keywords_of_loading_in_a_paddle_source_are_not_written(leaky, tmp_path):
    tensors = {
        name.replace(".self_attn.self_attn.", ".self_attn."): (
            tensor.numpy().T.copy() if LINEAR_WEIGHT.search(name) else tensor.numpy()
        )
        for name, tensor in read_folder(leaky).items()
    }
    write_folder(leaky, tensors)
    assert convert(leaky, tmp_path / "out").layout == "PaddleNLP"
    assert_nothing_is_leaked(tmp_path / "out")
    written = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text("utf-8"))
    assert written["bare_underline"] == "paddle"
    assert written["note"] == "kept"


@pytest.mark.filterwarnings("ignore:no keys of a config")
def test_keywords_of_loading_in_a_folder_are_not_saved_again(leaky, tmp_path):
    for make in (ErnieMConfig, ErnieMTokenizer, ErnieMModel):
        make.from_pretrained(leaky).save_pretrained(tmp_path / "out")
    assert_nothing_is_leaked(tmp_path / "out")


def test_an_added_token_may_have_the_name_of_a_keyword(tmp_path):
    shutil.copytree(bundled_checkpoint(), tmp_path / "in")
    size = ErnieMTokenizer.from_pretrained(tmp_path / "in").vocab_size
    text = json.dumps({"token": size})
    (tmp_path / "in" / "added_tokens.json").write_text(text, "utf-8")
    convert(tmp_path / "in", tmp_path / "out")
    assert (tmp_path / "out" / "added_tokens.json").read_text("utf-8") == text
