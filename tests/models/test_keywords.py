"""Words of transformers: keywords of loading and saving, and attributes that others read."""

import copy

import numpy as np
import pytest

import numpy_erniem
from numpy_erniem import ErnieMConfig, ErnieMModel
from numpy_erniem.config import DEFAULTS
from tests.models.conftest import HEADS, NAMES, V

CLASSIFIER = dict(zip(NAMES, HEADS, strict=True))["SequenceClassification"]


@pytest.fixture
def folder(tmp_path):
    """A classifier of five classes."""
    CLASSIFIER.make().save_pretrained(tmp_path)
    return tmp_path


HARMLESS = {
    "torch_dtype": ["float32", "auto", np.float32, None],
    "device_map": ["cpu", "auto", {"": "cpu"}, None],
    "low_cpu_mem_usage": [True, False],
    "use_safetensors": [True, None],
    "attn_implementation": ["eager", None],
    "from_tf": [False],
    "load_in_8bit": [False],
    "use_flash_attention_2": [False],
    "adapter_kwargs": [{}],
}
REFUSED = {
    "torch_dtype": ["float16", "torch.int16"],
    "device_map": ["cuda", {"": 0}],
    "use_safetensors": [False],
    "attn_implementation": ["sdpa", "flash_attention_2"],
    "from_tf": [True],
    "load_in_8bit": [True],
    "use_flash_attention_2": [True],
    "adapter_name": ["mine"],
    "quantization_config": [{"load_in_4bit": True}],
    "variant": ["fp16"],
}


OUR_OWN = ("attention_mask_convention", "position_convention", "quantization")


def pairs(table):
    return [(name, value) for name, values in table.items() for value in values]


@pytest.mark.parametrize("load", [numpy_erniem.load, CLASSIFIER.model.from_pretrained])
@pytest.mark.parametrize(("name", "value"), pairs(HARMLESS))
def test_what_is_done_anyway_is_accepted(load, name, value, folder):
    model = load(folder, **{name: value})
    assert model.dtype == "float32"
    assert model.config == load(folder).config


@pytest.mark.parametrize("load", [numpy_erniem.load, CLASSIFIER.model.from_pretrained])
@pytest.mark.parametrize(("name", "value"), pairs(REFUSED))
def test_another_value_is_refused_by_name(load, name, value, folder):
    with pytest.raises(ValueError, match=name):
        load(folder, **{name: value})


def test_torch_dtype_is_another_name_of_dtype(folder):
    assert numpy_erniem.load(folder, torch_dtype="float64").dtype == "float64"
    assert numpy_erniem.load(folder, torch_dtype="auto", dtype="float64").dtype == "float64"
    with pytest.raises(ValueError, match="torch_dtype float32 contradicts dtype float64"):
        numpy_erniem.load(folder, torch_dtype="float32", dtype="float64")
    assert numpy_erniem.load(folder, torch_dtype="bfloat16").precision == "bfloat16"
    assert numpy_erniem.load(folder, torch_dtype="int8").precision == "int8"
    torch = pytest.importorskip("torch")
    assert numpy_erniem.load(folder, torch_dtype=torch.float64).dtype == "float64"
    assert numpy_erniem.load(folder, torch_dtype=torch.bfloat16).precision == "bfloat16"
    assert numpy_erniem.load(folder, device_map=torch.device("cpu")).dtype == "float32"


@pytest.mark.parametrize(
    "load",
    [numpy_erniem.load, CLASSIFIER.model.from_pretrained, ErnieMConfig.from_pretrained],
)
def test_the_name_of_a_checkpoint_has_two_names(load, folder):
    loaded = load(pretrained_model_name_or_path=folder)
    assert getattr(loaded, "config", loaded) == ErnieMConfig.from_pretrained(folder)
    with pytest.raises(TypeError, match="the first argument and pretrained_model_name_or_path"):
        load(folder, pretrained_model_name_or_path=folder)
    with pytest.raises(TypeError, match="neither the first argument nor pretrained_model"):
        load()


@pytest.mark.parametrize("what", [CLASSIFIER.make, ErnieMConfig], ids=["model", "config"])
def test_save_directory_and_what_is_done_anyway(what, tmp_path):
    what().save_pretrained(tmp_path / "one")
    what().save_pretrained(
        save_directory=tmp_path / "two",
        safe_serialization=True,
        push_to_hub=False,
        is_main_process=True,
    )
    one, two = (tmp_path / n / "config.json" for n in ("one", "two"))
    assert one.read_text() == two.read_text()


@pytest.mark.parametrize("what", [CLASSIFIER.make, ErnieMConfig], ids=["model", "config"])
@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"safe_serialization": False}, ValueError, "safe_serialization=False"),
        ({"push_to_hub": True}, ValueError, "push_to_hub=True is not supported: upload"),
        ({"variant": "fp16"}, ValueError, "variant=fp16"),
        ({"save_directory": "x"}, TypeError, "the first argument and save_directory"),
        ({"safe_serialisation": True}, TypeError, "did you mean 'safe_serialization'"),
    ],
)
def test_what_save_pretrained_refuses(what, options, kind, message, tmp_path):
    with pytest.raises(kind, match=message):
        what().save_pretrained(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_key_of_the_file_may_be_overridden(folder):
    CLASSIFIER.make(note=1).save_pretrained(folder)
    model = numpy_erniem.load(folder, note=2)
    assert model.config.to_dict()["note"] == 2
    with pytest.raises(ValueError, match="unknown option 'other'"):
        numpy_erniem.load(folder, other=2)


def test_where_a_model_came_from_is_known_and_not_stored(folder, tmp_path):
    for load in (numpy_erniem.load, CLASSIFIER.model.from_pretrained):
        model = load(folder)
        assert model.name_or_path == model.config.name_or_path == str(folder)
    assert ErnieMConfig.from_pretrained(folder).name_or_path == str(folder)
    assert ErnieMConfig().name_or_path == ""
    model.save_pretrained(tmp_path / "out")
    written = (tmp_path / "out" / "config.json").read_text()
    assert written == (folder / "config.json").read_text()


def test_weights_that_are_no_safetensors(folder):
    (folder / "model.safetensors").rename(folder / "other")
    with pytest.raises(ValueError, match=r"use_safetensors=True.*safetensors are not there"):
        numpy_erniem.load(folder, use_safetensors=True)


def test_attributes_of_a_config_have_the_values_of_transformers():
    upstream = pytest.importorskip("transformers").ErnieMConfig()
    ours = ErnieMConfig()
    for name in (*DEFAULTS, "is_composition", "name_or_path", "attribute_map", "use_return_dict"):
        if name not in OUR_OWN:
            assert getattr(ours, name) == getattr(upstream, name), name


def test_a_default_that_is_only_read_is_not_written():
    config = ErnieMConfig()
    assert not config.is_encoder_decoder
    assert "is_encoder_decoder" not in config.to_dict()
    config.is_decoder = True
    assert config.to_dict()["is_decoder"] is True
    assert ErnieMConfig(torch_dtype=np.float32).to_dict()["torch_dtype"] == "float32"


def test_attributes_of_a_model(head):
    model = head.make()
    assert (model.base_model_prefix, model.main_input_name) == ("ernie_m", "input_ids")
    assert (model.config_class, model.device) == (ErnieMConfig, "cpu")
    assert (model.vocab_size, model.num_labels) == (V, model.config.num_labels)
    assert model.name_or_path == ""
    assert not model.can_generate()
    output = model.get_output_embeddings()
    assert output is (model.get_input_embeddings() if "MaskedLM" in head.name else None)


def test_the_base_model_is_the_encoder_over_the_same_arrays(head, backend, rng):
    model = head.make()
    base = model.base_model
    assert type(base) is ErnieMModel
    assert base.base_model is base
    assert base.get_input_embeddings() is model.get_input_embeddings()
    ids = rng.integers(2, V, (2, 7))
    want = model._encode(
        input_ids=ids,
        **dict.fromkeys(("position_ids", "attention_mask", "head_mask", "inputs_embeds")),
        **dict.fromkeys(("output_hidden_states", "output_attentions")),
    )
    output = base(ids)
    np.testing.assert_array_equal(output.last_hidden_state, want.last_hidden_state)
    assert ("pooler_output" in output) == model.pooling
    before = copy.deepcopy(model.config)
    base.prune_heads({0: [0]})
    assert model.config == before
    assert model(**head.inputs(rng))[head.scores[0]].dtype == np.float32
