"""What other libraries call on a config, beside that of transformers."""

import json

import numpy as np
import pytest

from numpy_erniem import ErnieMConfig
from numpy_erniem.config import DEFAULTS

VALUES = {"hidden_size": 24, "num_attention_heads": 3, "note": 1}


@pytest.fixture
def upstream():
    return pytest.importorskip("transformers").ErnieMConfig


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(VALUES))
    return tmp_path


UNUSED = [
    {},
    {"foo": 1, "num_labels": 3},
    {"note": 2, "trust": True},
    {"torch_dtype": "float32", "device_map": "auto"},
    {"low_cpu_mem_usage": True, "state_dict": {}, "output_attentions": True},
    {"top_k": 3, "use_fast": False},
]
OF_LOADING = {
    "force_download": False,
    "resume_download": True,
    "trust_remote_code": True,
    "local_files_only": True,
    "_from_auto": True,
    "attn_implementation": "eager",
}


@pytest.mark.parametrize("keywords", UNUSED)
def test_unused_keywords_are_returned_as_upstream(keywords, upstream, folder):
    for make in ("from_dict", "from_pretrained"):
        first = dict(VALUES) if make == "from_dict" else folder
        more = {} if make == "from_dict" else OF_LOADING
        want, left = getattr(upstream, make)(first, return_unused_kwargs=True, **keywords, **more)
        ours, unused = getattr(ErnieMConfig, make)(
            first, return_unused_kwargs=True, **keywords, **more
        )
        assert unused == left
        for name in {"num_labels", "note", "output_attentions", "top_k"} & keywords.keys():
            assert getattr(ours, name) == getattr(want, name) == keywords[name]


def test_the_dtype_is_set_and_returned():
    config, unused = ErnieMConfig.from_dict(VALUES, return_unused_kwargs=True, torch_dtype="auto")
    assert (config.torch_dtype, unused) == ("auto", {"torch_dtype": "auto"})


def test_without_it_an_unused_keyword_is_an_error(folder):
    for options in ({}, {"return_unused_kwargs": False}):
        with pytest.raises(ValueError, match="unknown option 'foo'"):
            ErnieMConfig.from_dict(VALUES, foo=1, **options)
        with pytest.raises(ValueError, match="unknown option 'foo'"):
            ErnieMConfig.from_pretrained(folder, foo=1, **options)


def test_secrets_are_not_among_the_unused_keywords(folder):
    config, unused = ErnieMConfig.from_pretrained(
        folder, return_unused_kwargs=True, token="hf_SECRET", revision="main"
    )
    assert unused == {}
    assert "hf_SECRET" not in config.to_json_string()
    assert config.name_or_path == str(folder)


def test_a_wrong_value_names_the_file_whether_or_not_unused_keywords_are_returned(folder):
    for unused in (True, False):
        with pytest.raises(ValueError, match=r"with hidden_size as given: hidden_size 0"):
            ErnieMConfig.from_pretrained(folder, return_unused_kwargs=unused, hidden_size=0)


def test_the_keys_of_a_folder_as_they_are(upstream, folder):
    how = {"device_map": "auto", "local_files_only": True}
    values, left = ErnieMConfig.get_config_dict(folder, **how)
    want, upstream_left = upstream.get_config_dict(folder, **how)
    assert want.pop("_commit_hash") is None
    assert (values, left) == (want, upstream_left) == (VALUES, {"device_map": "auto"})


def test_update_sets_attributes(upstream):
    for make in (upstream, ErnieMConfig):
        config = make(hidden_size=24, num_attention_heads=3)
        config.update({"hidden_size": 36, "num_labels": 3, "note": [1]})
        assert (config.hidden_size, config.num_labels, config.note) == (36, 3, [1])


UPDATE = "hidden_size=36,layer_norm_eps=1e-6,return_dict=No,use_bfloat16=1,hidden_act=relu,top_k=9"


def test_update_from_string_takes_the_types_that_are_there(upstream):
    got = []
    for make in (upstream, ErnieMConfig):
        config = make(hidden_size=24, num_attention_heads=3)
        config.update_from_string(UPDATE)
        got.append([getattr(config, part.split("=")[0]) for part in UPDATE.split(",")])
    assert got[0] == got[1] == [36, 1e-6, False, True, "relu", 9]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hiden_size=3", "'hiden_size=3' is no key=value.*did you mean 'hidden_size'"),
        ("hidden_size", "'hidden_size' is no key=value"),
        ("hidden_size=a", "hidden_size=a is not of type int"),
        ("use_cache=maybe", "use_cache=maybe is neither true nor false"),
        ("id2label=a", "id2label is .*only numbers, bools and names"),
        ("token=hf_x", "^token is a keyword of from_pretrained and no key of a config$"),
    ],
)
def test_what_update_from_string_refuses_changes_nothing(text, message):
    config = ErnieMConfig()
    with pytest.raises(ValueError, match=message):
        config.update_from_string(f"hidden_size=36,{text}")
    assert config == ErnieMConfig()


# As docs/differences.md lists them.
NOT_THERE = {"dict_torch_dtype_to_str", "push_to_hub", "register_for_auto_class", "to_diff_dict"}


def test_only_the_listed_attributes_of_upstream_are_not_there(upstream):
    names = {name for name in dir(upstream()) if not name.startswith("_")}
    assert {name for name in names if not hasattr(ErnieMConfig(), name)} == NOT_THERE


def test_every_key_is_written_and_not_only_what_differs_from_the_defaults(upstream, tmp_path):
    upstream().save_pretrained(tmp_path / "theirs")
    ErnieMConfig().save_pretrained(tmp_path / "ours")
    theirs, ours = (
        json.loads((tmp_path / n / "config.json").read_text()) for n in ("theirs", "ours")
    )
    assert "return_dict" not in theirs
    assert ours["return_dict"] is True
    assert (upstream().max_length, ErnieMConfig().max_length) == (20, 512)


def test_every_default_of_upstream_is_there(upstream):
    config, ours = upstream(), ErnieMConfig()
    names = {n for n in vars(config) if not n.startswith("_")} - {"max_length"}
    assert not {n for n in names if not hasattr(ours, n)}
    assert set(DEFAULTS) - names == {
        "attention_mask_convention",
        "position_convention",
        "quantization",
        "_name_or_path",
    }
    assert not set(DEFAULTS) & ours.to_dict().keys()


def test_a_dtype_is_written_as_its_name(upstream):
    torch = pytest.importorskip("torch")
    for dtype in (np.float32, torch.float32):
        assert ErnieMConfig(torch_dtype=dtype).torch_dtype == "float32"


def test_a_misspelt_keyword_of_loading_is_named(folder):
    with pytest.raises(ValueError, match="unknown option 'revison'; did you mean 'revision'"):
        ErnieMConfig.from_pretrained(folder, revison="main")


def test_the_known_options_are_listed_once(folder):
    with pytest.raises(ValueError, match="; known: ") as caught:
        ErnieMConfig.from_pretrained(folder, qqqqqqqq=1)
    names = str(caught.value).partition("; known: ")[2].split(", ")
    assert sorted(set(names)) == names
