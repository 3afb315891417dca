"""Keywords that say how to load or save: known by name, used or refused, and never stored."""

import json
import pickle
import shutil

import pytest

from numpy_erniem import tokenizer as room
from numpy_erniem.tokenizer import ErnieMTokenizer

SECRET = "hf_SECRET"
CONFIG = "tokenizer_config.json"
load = ErnieMTokenizer.from_pretrained


def written(tokenizer, folder):
    """All bytes that a tokenizer leaves behind: its files, its pickle, its repr."""
    tokenizer.save_pretrained(folder)
    content = b"".join(path.read_bytes() for path in folder.iterdir())
    return content + pickle.dumps(tokenizer) + repr(tokenizer).encode()


HARMLESS = {
    "token": SECRET,
    "use_auth_token": SECRET,
    "proxies": None,
    "force_download": False,
    "resume_download": True,
    "trust_remote_code": True,
    "use_fast": True,
    "revision": SECRET,
    "cache_dir": SECRET,
    "local_files_only": True,
    "subfolder": "",
}


@pytest.mark.parametrize("name", HARMLESS)
def test_a_keyword_of_loading_is_accepted_and_not_stored(folder, tmp_path, name):
    content = written(load(folder, **{name: HARMLESS[name]}), tmp_path / "out")
    assert SECRET.encode() not in content
    assert name not in json.loads((tmp_path / "out" / CONFIG).read_text())


@pytest.mark.parametrize("name", HARMLESS)
def test_a_keyword_of_loading_in_the_file_is_dropped(folder, tmp_path, name):
    shutil.copytree(folder, tmp_path / "in")
    (tmp_path / "in" / CONFIG).write_text(json.dumps({name: SECRET, "chat": 1}))
    content = written(load(tmp_path / "in"), tmp_path / "out")
    assert SECRET.encode() not in content
    assert json.loads((tmp_path / "out" / CONFIG).read_text())["chat"] == 1


@pytest.mark.parametrize(
    ("keywords", "match"),
    [
        (
            {"proxies": {"https": "http://me:secret@proxy"}},
            "proxies is not supported: .*HTTPS_PROXY",
        ),
        ({"token": "secret", "use_auth_token": "secret"}, "two names of one option"),
    ],
)
def test_a_keyword_that_asks_for_what_is_not_done_is_refused(folder, keywords, match):
    with pytest.raises(ValueError, match=match) as error:
        load(folder, **keywords)
    assert "secret" not in str(error.value)


def test_options_of_the_hub_reach_it(folder, monkeypatch):
    asked = {}

    def resolve(name, **options):
        asked.update(options, name=name)
        return folder

    monkeypatch.setattr(room.files, "resolve_folder", resolve)
    options = {
        **{"revision": "v2", "cache_dir": "cache", "local_files_only": True},
        **{"subfolder": "inner", "token": SECRET, "force_download": True},
    }
    tok = load("owner/model", **options)
    assert asked == {"name": "owner/model", "weights": False, **options}
    assert SECRET not in str(tok.init_kwargs)


def test_a_subfolder_is_read(folder, tmp_path, make):
    shutil.copytree(folder, tmp_path / "inner")
    assert load(tmp_path, subfolder="inner").vocab == make().vocab
    with pytest.raises(FileNotFoundError, match="no subfolder 'outer'"):
        load(tmp_path, subfolder="outer")


def test_the_first_arguments_have_upstreams_names(folder, tmp_path):
    tok = load(pretrained_model_name_or_path=folder)
    assert tok.save_pretrained(save_directory=tmp_path, push_to_hub=False, legacy_format=None)


@pytest.mark.parametrize(
    ("keywords", "error", "match"),
    [
        ({"push_to_hub": True}, ValueError, "upload the folder with huggingface_hub"),
        ({"state_dict": {}}, ValueError, "weights of the model"),
        ({"legacy_format": False}, ValueError, "only this format"),
        ({"file_prefix": "a"}, TypeError, "did you mean 'filename_prefix'"),
    ],
)
def test_a_keyword_of_saving_that_is_not_done_is_refused(tok, tmp_path, keywords, error, match):
    with pytest.raises(error, match=match):
        tok.save_pretrained(tmp_path / "out", **keywords)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "near"),
    [("padding_sid", "padding_side"), ("tokn", "token"), ("do_lowercase", "do_lower_case")],
)
def test_an_unknown_keyword_of_loading_names_the_nearest(folder, name, near):
    with pytest.raises(TypeError, match=f"unknown keyword argument '{name}'; .*'{near}'"):
        load(folder, **{name: SECRET})


@pytest.mark.parametrize("name", ["token", "revision", "use_fast", "padding_sid"])
def test_the_constructor_refuses_what_it_does_not_know(make, name):
    with pytest.raises(TypeError, match=f"unknown keyword argument '{name}'") as error:
        make(**{name: SECRET})
    assert SECRET not in str(error.value)


def test_an_unknown_key_of_the_file_is_no_keyword(folder, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / CONFIG).write_text('{"chat": 1}')
    assert load(tmp_path).extra == {"chat": 1}
    with pytest.raises(TypeError, match="unknown keyword argument 'chat'"):
        load(tmp_path, chat=2)


def test_a_class_derived_from_the_tokenizer_has_arguments_of_its_own(folder):
    class Derived(ErnieMTokenizer):
        def __init__(self, *args, flavour="plain", **options):
            super().__init__(*args, **options)
            self.flavour = flavour

    assert Derived.from_pretrained(folder, flavour="sweet", padding_side="left").flavour == "sweet"
