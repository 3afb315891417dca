import copy
import json
from pathlib import Path

import pytest

from numpy_erniem import ErnieMConfig, ErnieMModel

SEED_DEFAULTS = {
    "vocab_size": 250002,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 514,
    "initializer_range": 0.02,
    "pad_token_id": 1,
    "layer_norm_eps": 1e-05,
    "classifier_dropout": None,
    "act_dropout": 0.0,
}


def test_defaults_are_the_documented_ones_in_the_documented_order():
    config = ErnieMConfig(*SEED_DEFAULTS.values())
    assert config == ErnieMConfig()
    assert {k: getattr(config, k) for k in SEED_DEFAULTS} == SEED_DEFAULTS


def test_defaults_are_those_of_upstream():
    upstream = pytest.importorskip("transformers").ErnieMConfig().to_dict()
    ours = {**ErnieMConfig().to_dict(), "num_labels": 2}
    shared = {k: v for k, v in ours.items() if k in upstream and k != "architectures"}
    assert len(shared) > 18
    assert shared == {k: upstream[k] for k in shared}


def test_upstream_reads_our_config_and_we_read_theirs(tmp_path):
    upstream = pytest.importorskip("transformers").ErnieMConfig
    ErnieMConfig(hidden_size=36, num_labels=5, classifier_dropout=0.3).save_pretrained(tmp_path)
    theirs = upstream.from_pretrained(tmp_path)
    assert (theirs.hidden_size, theirs.num_labels, theirs.classifier_dropout) == (36, 5, 0.3)
    theirs.save_pretrained(tmp_path)
    ours = ErnieMConfig.from_pretrained(tmp_path)
    assert (ours.hidden_size, ours.num_labels, ours.classifier_dropout) == (36, 5, 0.3)


def test_aliases_work_both_ways():
    config = ErnieMConfig(dropout=0.25, num_classes=4)
    assert (config.classifier_dropout, config.num_labels) == (0.25, 4)
    assert (config.dropout, config.num_classes) == (0.25, 4)
    config.dropout = 0.5
    config.num_classes = 7
    assert (config.classifier_dropout, config.num_labels) == (0.5, 7)


def test_unknown_keys_are_kept_read_and_written_back(tmp_path):
    (tmp_path / "config.json").write_text('{"type_vocab_size": 16, "hidden_size": 24}')
    config = ErnieMConfig.from_pretrained(tmp_path)
    assert config.type_vocab_size == 16
    config.save_pretrained(tmp_path / "out")
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert written["type_vocab_size"] == 16
    assert written["model_type"] == "ernie_m"


def test_saved_config_is_equal_when_read(tmp_path):
    config = ErnieMConfig(
        hidden_size=24,
        id2label={0: "no", 1: "yes", 2: "perhaps"},
        problem_type="regression",
        pruned_heads={1: [2, 0]},
        act_dropout=0.3,
        position_embedding_type="relative_key",
    )
    config.save_pretrained(tmp_path)
    again = ErnieMConfig.from_pretrained(tmp_path)
    assert again == config
    assert again.pruned_heads == {1: [0, 2]}
    assert again.label2id == {"no": 0, "yes": 1, "perhaps": 2}
    assert again != ErnieMConfig(hidden_size=24)


def test_a_label_with_half_of_a_surrogate_pair_is_saved(tmp_path):
    config = ErnieMConfig(id2label={0: "打开", 1: "a\ud800b"})
    config.save_pretrained(tmp_path)
    assert ErnieMConfig.from_pretrained(tmp_path) == config


def test_dict_json_and_file_say_the_same(tmp_path):
    config = ErnieMConfig(hidden_size=24, foo="bar")
    config.to_json_file(tmp_path / "c.json")
    assert ErnieMConfig.from_json_file(tmp_path / "c.json") == config
    assert ErnieMConfig.from_dict(json.loads(config.to_json_string())) == config
    assert ErnieMConfig.from_dict(config.to_dict()) == config


def test_overrides_win_over_the_file(tmp_path):
    ErnieMConfig(id2label={0: "a", 1: "b"}).save_pretrained(tmp_path)
    config = ErnieMConfig.from_pretrained(tmp_path, num_labels=3, hidden_act="relu")
    assert config.id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    assert config.hidden_act == "relu"
    same = ErnieMConfig.from_pretrained(tmp_path, num_labels=2)
    assert same.id2label == {0: "a", 1: "b"}


def test_max_length_leaves_room_for_the_first_position():
    assert ErnieMConfig(max_position_embeddings=40).max_length == 38


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden_size": 770}, "770 is not a multiple of num_attention_heads 12"),
        ({"hidden_size": 0}, "hidden_size 0 is not an integer of at least 1"),
        ({"vocab_size": -3}, "vocab_size -3"),
        ({"num_hidden_layers": "12"}, "num_hidden_layers '12'"),
        ({"num_attention_heads": True}, "num_attention_heads True"),
        ({"intermediate_size": 1.5}, "intermediate_size 1.5"),
        ({"max_position_embeddings": 2}, "max_position_embeddings 2 is not .* at least 3"),
        ({"pad_token_id": -1}, "pad_token_id -1"),
        ({"hidden_act": "gleu"}, "hidden_act 'gleu' is not one of .*gelu"),
        ({"position_embedding_type": "rotary"}, "'rotary' is not one of absolute"),
        ({"problem_type": "ranking"}, "problem_type 'ranking'"),
        ({"hidden_dropout_prob": 1.0}, r"hidden_dropout_prob 1.0 is not a number in \[0, 1\)"),
        ({"dropout": -0.1}, "classifier_dropout -0.1"),
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps nan"),
        ({"num_labels": 0}, "num_labels 0"),
        ({"num_labels": 3, "id2label": {0: "a"}}, "num_labels 3 contradicts id2label with 1"),
        ({"id2label": 3}, "id2label 3 is not a dict"),
        ({"id2label": {"x": "a"}}, "id2label {'x': 'a'} is not a dict from numbers"),
        (
            {"id2label": {0: "a", 0.5: "b"}},
            "id2label {0: 'a', 0.5: 'b'} is not a dict from numbers",
        ),
        ({"id2label": {1: "a", "1": "b"}}, "id2label {1: 'a', '1': 'b'} names a class twice"),
        ({"output_attentions": "false"}, "output_attentions 'false' is neither True nor False"),
        ({"output_hidden_states": 2}, "output_hidden_states 2 is neither True nor False"),
        ({"return_dict": None}, "return_dict None is neither True nor False"),
        ({"use_cache": 1.5}, "use_cache 1.5 is neither True nor False"),
        ({"label2id": 3}, "label2id 3 is not a dict"),
        ({"hidden_act": ["gelu"]}, r"hidden_act \['gelu'\] is not one of"),
        ({"problem_type": {}}, "problem_type {} is not one of"),
        ({"architectures": 3}, "architectures 3 is not a list of names"),
        ({"architectures": [5]}, r"architectures \[5\] is not a list of names"),
        ({"pruned_heads": {"a": 1}}, "pruned_heads names layer 'a'; this model has 0..11"),
        ({"pruned_heads": {1.5: [1]}}, "pruned_heads names layer 1.5"),
        ({"pruned_heads": {12: [1]}}, "pruned_heads names layer 12"),
        ({"pruned_heads": {-13: [1]}}, "pruned_heads names layer -13"),
        ({"pruned_heads": [1]}, r"pruned_heads \[1\] is not a dict of lists"),
        ({"pruned_heads": {0: 1}}, r"pruned_heads of layer 0 is 1, not a list"),
        ({"pruned_heads": {0: [-1]}}, "pruned_heads of layer 0 names head -1; it has 0..11"),
        ({"pruned_heads": {0: ["a"]}}, "pruned_heads of layer 0 names head 'a'"),
        ({"pruned_heads": {0: range(12)}}, "pruned_heads of layer 0 are all of its 12 heads"),
        ({"pruned_heads": {0: range(6), -12: range(6, 12)}}, "pruned_heads .* all of its 12 heads"),
    ],
)
def test_a_value_that_cannot_be_is_named(values, message):
    with pytest.raises(ValueError, match=message):
        ErnieMConfig(**values)


SET = {
    "hidden_size": (770, "hidden_size 770 is not a multiple"),
    "hidden_act": ("gleu", "hidden_act 'gleu' is not one of"),
    "pruned_heads": ({99: [0]}, "pruned_heads names layer 99"),
    "attention_mask_convention": ("tf", "attention_mask_convention 'tf' is not one of"),
    "id2label": ([1], r"id2label \[1\] is not a dict"),
    "use_cache": ("no", "use_cache 'no' is neither True nor False"),
    "dropout": (2, "classifier_dropout 2 is not a number"),
    "architectures": ("ErnieMModel", "architectures 'ErnieMModel' is not a list"),
}


@pytest.mark.parametrize("name", SET)
def test_an_attribute_that_was_set_is_checked_when_saved(name, tmp_path):
    config = ErnieMConfig()
    setattr(config, name, SET[name][0])
    for save in (config.save_pretrained, lambda folder: config.to_json_file(folder / "c.json")):
        with pytest.raises(ValueError, match=SET[name][1]):
            save(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", SET)
def test_an_attribute_that_was_set_is_checked_when_a_model_is_made(name):
    config = ErnieMConfig(vocab_size=99, num_hidden_layers=2)
    setattr(config, name, SET[name][0])
    with pytest.raises(ValueError, match=SET[name][1]):
        ErnieMModel(config)


def test_a_negative_layer_counts_from_the_end(tmp_path):
    want = {10: [1], 11: [0, 2, 3]}
    given = {-1: [2, 0], 11: [3], "-2": [1]}
    assert ErnieMConfig(pruned_heads=given).pruned_heads == want
    (tmp_path / "config.json").write_text('{"pruned_heads": {"-1": [2, 0], "11": [3], "-2": [1]}}')
    assert ErnieMConfig.from_pretrained(tmp_path).pruned_heads == want
    config = ErnieMConfig()
    config.pruned_heads = given
    config.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["pruned_heads"] == {
        "10": [1],
        "11": [0, 2, 3],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ("[1]", "holds a JSON list, not an object"),
        ("[" * 100_000, "is not valid JSON"),
        ('{"model_type": "bert"}', "model_type 'bert' is not 'ernie_m'"),
        ('{"hidden_size": null}', "hidden_size None"),
        ('{"id2label": 3}', "config.json: id2label 3"),
        ('{"pruned_heads": {"a": 1}}', "config.json: pruned_heads names layer 'a'"),
        ('{"architectures": 3}', "config.json: architectures 3"),
        ("\xff", "is not valid JSON"),
        ('{"pad_token_id": 1, "pad_token_id": 2}', "duplicate key .pad_token_id."),
    ],
)
def test_a_bad_file_is_named(text, message, tmp_path):
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=message):
        ErnieMConfig.from_pretrained(tmp_path)


def test_a_folder_without_config_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no config\.json"):
        ErnieMConfig.from_pretrained(tmp_path)


def test_an_absent_attribute_is_an_attribute_error():
    assert not hasattr(ErnieMConfig(), "hidden_sizes")


A, B, C = {0: "a", 1: "b"}, {"x": 0, "y": 1}, {0: "a", 1: "b", 2: "c"}


def numbered(count):
    return {i: f"LABEL_{i}" for i in range(count)}


def inverse(names):
    return {name: i for i, name in names.items()}


@pytest.mark.parametrize(
    ("given", "names", "ids"),
    [
        ({}, numbered(2), inverse(numbered(2))),
        ({"num_labels": 3}, numbered(3), inverse(numbered(3))),
        ({"num_classes": 3}, numbered(3), inverse(numbered(3))),
        ({"label2id": B}, numbered(2), B),
        ({"num_labels": 2, "label2id": B}, numbered(2), B),
        ({"num_labels": 3, "label2id": B}, numbered(3), inverse(numbered(3))),
        ({"id2label": A}, A, inverse(A)),
        ({"num_labels": 2, "id2label": A}, A, inverse(A)),
        ({"id2label": A, "label2id": B}, A, B),
        ({"id2label": {"0": "a", "1": "b"}}, A, inverse(A)),
    ],
)
def test_labels_from_what_is_given(given, names, ids):
    config = ErnieMConfig(**given)
    assert (config.id2label, config.label2id) == (names, ids)
    assert config.num_labels == len(names)


@pytest.mark.parametrize(
    ("values", "overrides", "names"),
    [
        ({"id2label": A}, {"hidden_act": "relu"}, A),
        ({"id2label": A, "label2id": B}, {"id2label": C}, C),
        ({"num_labels": 2}, {"id2label": C}, C),
        ({"id2label": A, "num_labels": 2}, {"num_labels": 2}, A),
        ({"id2label": A, "label2id": B}, {"num_labels": 4}, numbered(4)),
        ({"num_classes": 5}, {"num_classes": 4}, numbered(4)),
        ({"id2label": A}, {"id2label": C, "num_labels": 3}, C),
    ],
)
def test_labels_of_a_file_give_way_to_overrides(values, overrides, names):
    config = ErnieMConfig.from_dict(values, **overrides)
    assert config.id2label == names
    assert config.label2id == inverse(names)


def test_a_new_number_of_labels_makes_new_names():
    config = ErnieMConfig(id2label=A)
    config.num_labels = 2
    assert config.id2label == A
    config.num_labels = 3
    assert config.id2label == numbered(3)
    assert config.label2id == inverse(numbered(3))


def test_where_a_checkpoint_is_found_is_passed_on(tmp_path, monkeypatch):
    from numpy_erniem.checkpoint import hub

    seen = {}

    def resolve_folder(name, **options):
        seen.update(options, name=name)
        return tmp_path

    ErnieMConfig().save_pretrained(tmp_path)
    monkeypatch.setattr(hub, "resolve_folder", resolve_folder)
    options = {"revision": "v2", "cache_dir": "here", "local_files_only": True}
    ErnieMConfig.from_pretrained("owner/model", **options)
    assert seen == {**options, "name": "owner/model", "weights": False}
    seen.clear()
    more = {"subfolder": "a/b", "token": "x", "force_download": True}
    ErnieMConfig.from_pretrained("owner/model", **options, **more)
    assert seen == {**options, **more, "name": "owner/model", "weights": False}
    ErnieMConfig.from_pretrained("owner/model", use_auth_token="y")
    assert seen["token"] == "y"


LOADING = {
    "token": "hf_SECRET",
    "use_auth_token": "hf_SECRET",
    "force_download": False,
    "resume_download": True,
    "trust_remote_code": True,
    "use_fast": True,
    "low_cpu_mem_usage": True,
    "device_map": "cpu",
    "attn_implementation": "eager",
    "proxies": None,
    "subfolder": "",
    "revision": "main",
    "cache_dir": "here",
    "local_files_only": True,
}


@pytest.mark.parametrize("name", LOADING)
def test_a_keyword_of_loading_is_not_stored(name, tmp_path):
    ErnieMConfig(note="kept").save_pretrained(tmp_path)
    config = ErnieMConfig.from_pretrained(tmp_path, **{name: LOADING[name]})
    assert config == ErnieMConfig(note="kept")
    config.save_pretrained(tmp_path / "out")
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert written["note"] == "kept"
    assert name not in written
    assert "hf_SECRET" not in json.dumps(written)


@pytest.mark.parametrize("name", ["token", "use_auth_token", "revision", "trust_remote_code"])
def test_a_keyword_of_loading_is_no_key_of_a_config(name, tmp_path):
    with pytest.raises(ValueError, match=f"{name} is a keyword of from_pretrained"):
        ErnieMConfig(**{name: "hf_SECRET"})
    with pytest.raises(ValueError, match=f"{name} is a keyword of from_pretrained"):
        setattr(ErnieMConfig(), name, "hf_SECRET")
    (tmp_path / "config.json").write_text(json.dumps({name: "hf_SECRET", "note": 1}))
    with pytest.warns(UserWarning, match=f"left out: {name}"):
        config = ErnieMConfig.from_pretrained(tmp_path)
    assert "hf_SECRET" not in config.to_json_string()
    assert config.note == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"proxies": {"https": "http://user:hf_SECRET@proxy"}}, "proxies is not supported.*HTTPS_"),
        ({"attn_implementation": "sdpa"}, "attn_implementation=sdpa is not supported"),
        ({"device_map": {"": "cuda:0"}}, "device_map=.*cuda.* is not supported"),
        ({"token": "hf_SECRET", "use_auth_token": "b"}, "token and use_auth_token are two names"),
        ({"hidden_akt": "relu"}, "unknown option 'hidden_akt'; did you mean 'hidden_act'"),
        ({"mirror": "tuna"}, "mirror=tuna is not supported.*HF_ENDPOINT"),
    ],
)
def test_a_keyword_that_cannot_be_honoured_is_refused_by_name(options, message, tmp_path):
    ErnieMConfig().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=message) as error:
        ErnieMConfig.from_pretrained(tmp_path, **options)
    assert "hf_SECRET" not in str(error.value)


def test_a_key_of_the_file_may_be_overridden(tmp_path):
    ErnieMConfig(note=1).save_pretrained(tmp_path)
    assert ErnieMConfig.from_pretrained(tmp_path, note=2).to_dict()["note"] == 2
    with pytest.raises(ValueError, match="unknown option 'other'"):
        ErnieMConfig.from_pretrained(tmp_path, other=2)


def test_a_subfolder(tmp_path):
    ErnieMConfig(hidden_size=24).save_pretrained(tmp_path / "a" / "b")
    assert ErnieMConfig.from_pretrained(tmp_path, subfolder="a/b").hidden_size == 24
    assert ErnieMConfig.from_pretrained(tmp_path, subfolder=Path("a", "b")).hidden_size == 24
    with pytest.raises(ValueError, match="subfolder 3 is not a path"):
        ErnieMConfig.from_pretrained(tmp_path, subfolder=3)
    with pytest.raises(FileNotFoundError, match="has no subfolder 'c'"):
        ErnieMConfig.from_pretrained(tmp_path, subfolder="c")
    for outside in ("../a", "/etc", "a/../../b", "..\\a", "C:/a"):
        with pytest.raises(ValueError, match="not a folder inside"):
            ErnieMConfig.from_pretrained(tmp_path, subfolder=outside)


def test_an_extra_key_that_is_set_as_an_attribute_is_kept(tmp_path):
    config = ErnieMConfig(note=1)
    config.note, config.other, config._private = 2, 3, 4
    assert (config.note, config.other, config._private) == (2, 3, 4)
    assert config == ErnieMConfig(note=2, other=3)
    assert copy.deepcopy(config).other == 3


def test_a_copy_is_equal_and_its_own():
    config = ErnieMConfig(id2label=A, foo={"a": [1]})
    again = copy.deepcopy(config)
    assert again == config
    again.foo["a"].append(2)
    assert config.foo == {"a": [1]}
    assert again != config


def test_the_text_of_a_config_shows_its_values():
    assert "hidden_size=24" in repr(ErnieMConfig(hidden_size=24))
