"""Names, shapes, initialisation, and what is reported when a checkpoint does not fit."""

import json
import warnings

import numpy as np
import pytest
from safetensors.numpy import save_file

from numpy_erniem import ErnieMConfig, ErnieMForMaskedLM, ErnieMModel
from numpy_erniem.checkpoint.folder import read_folder, write_folder
from numpy_erniem.checkpoint.tensors import mapping_of
from numpy_erniem.models.schema import TOKEN_TABLE, encoder_shapes
from numpy_erniem.models.weights import flatten, initial_tensor, load_tensors, nest
from tests.oracles import SMALL, our_model, upstream_model


@pytest.fixture
def folder(tmp_path):
    """A saved small model."""
    our_model().save_pretrained(tmp_path)
    return tmp_path


def rewrite(folder, change):
    """Save the folder's tensors again after change(dict) edited them."""
    flat = {name: t.numpy().copy() for name, t in read_folder(folder).items()}
    change(flat)
    write_folder(folder, flat)


@pytest.mark.parametrize("kind", ["absolute", "relative_key"])
@pytest.mark.parametrize("pooling", [True, False])
def test_names_and_shapes_are_those_of_upstream(kind, pooling, tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.ErnieMConfig(**SMALL, position_embedding_type=kind)
    model = transformers.ErnieMModel(config, add_pooling_layer=pooling)
    want = {name: tuple(t.shape) for name, t in model.state_dict().items()}
    ours = ErnieMConfig(**SMALL, position_embedding_type=kind)
    assert encoder_shapes(ours, pooling) == want


def test_upstream_loads_what_we_save(tmp_path, rng):
    transformers = pytest.importorskip("transformers")
    ours = our_model()
    ours.save_pretrained(tmp_path, max_shard_size="10KB")
    theirs, info = transformers.ErnieMModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    for name, values in flatten(ours.weights).items():
        np.testing.assert_array_equal(theirs.state_dict()[name].numpy(), values)


def test_nest_and_flatten_are_inverse():
    flat = {name: n for n, name in enumerate(encoder_shapes(ErnieMConfig(**SMALL)))}
    flat |= {"ernie_m." + name: -n for name, n in flat.items()}
    assert flatten(nest(flat)) == flat


def test_saved_model_is_equal_when_loaded(folder):
    want, got = our_model(), ErnieMModel.from_pretrained(folder)
    assert got.config.architectures == ["ErnieMModel"]
    assert got.config.extra.pop("torch_dtype") == "float32"
    got.config.architectures = want.config.architectures
    assert got.config == want.config
    for name, values in flatten(want.weights).items():
        np.testing.assert_array_equal(flatten(got.weights)[name], values)


def test_loaded_float32_matrices_are_the_map_of_the_file_and_vectors_copies(folder):
    for name, values in flatten(ErnieMModel.from_pretrained(folder).weights).items():
        assert (mapping_of(values) is None) == (values.ndim == 1), name
        assert not values.flags.writeable, name
        np.testing.assert_array_equal(values, read_folder(folder)[name].numpy())


def test_float64_on_request(folder):
    model = ErnieMModel.from_pretrained(folder, dtype="float64")
    assert model([[3, 4]]).last_hidden_state.dtype == np.float64


@pytest.mark.parametrize("dtype", ["int16", "nonsense", None])
def test_another_dtype_is_refused(dtype, folder):
    if dtype is None:
        dtype = [1]
    with pytest.raises(ValueError, match="is not one of float32, float64"):
        ErnieMModel.from_pretrained(folder, dtype=dtype)


def test_base_model_reads_a_head_checkpoint_and_back(tmp_path, rng):
    flat = flatten(our_model().weights)
    headed = {"ernie_m." + name: v for name, v in flat.items()}
    headed["classifier.weight"] = np.ones((2, 12), np.float32)
    ErnieMConfig(**SMALL).save_pretrained(tmp_path)
    write_folder(tmp_path, headed)
    with pytest.warns(UserWarning, match=r"not used: classifier\.weight"):
        model, info = ErnieMModel.from_pretrained(tmp_path, output_loading_info=True)
    assert info["unexpected_keys"] == ["classifier.weight"]
    assert info["missing_keys"] == []
    np.testing.assert_array_equal(flatten(model.weights)[TOKEN_TABLE], flat[TOKEN_TABLE])

    write_folder(tmp_path, flat)
    expected = {"ernie_m." + n: s for n, s in encoder_shapes(ErnieMConfig(**SMALL)).items()}
    got, report = load_tensors(read_folder(tmp_path), expected, ErnieMConfig(**SMALL))
    assert not report.missing
    assert not report.unexpected
    np.testing.assert_array_equal(got["ernie_m." + TOKEN_TABLE], flat[TOKEN_TABLE])


def test_missing_tensors_are_named_once_and_drawn(folder):
    rewrite(folder, lambda flat: [flat.pop(f"pooler.dense.{x}") for x in ("weight", "bias")])
    with pytest.warns(UserWarning, match=r"drawn at random.*weight, pooler\.dense\.bias") as seen:
        model, info = ErnieMModel.from_pretrained(folder, output_loading_info=True, seed=4)
    assert len(seen) == 1
    assert info["missing_keys"] == ["pooler.dense.weight", "pooler.dense.bias"]
    drawn = our_model(seed=4).weights["pooler"]["dense"]["weight"]
    np.testing.assert_array_equal(model.weights["pooler"]["dense"]["weight"], drawn)


def test_mismatched_tensors_are_an_error_with_both_shapes(folder):
    with pytest.raises(
        ValueError, match=rf"{TOKEN_TABLE}: \(99, 12\) in the file, \(98, 12\) here"
    ):
        ErnieMModel.from_pretrained(folder, vocab_size=98)


def test_mismatched_tensors_are_drawn_when_told_so(folder):
    with pytest.warns(UserWarning, match=f"drawn at random.*{TOKEN_TABLE}"):
        model, info = ErnieMModel.from_pretrained(
            folder, vocab_size=98, ignore_mismatched_sizes=True, output_loading_info=True
        )
    assert info["mismatched_keys"] == [(TOKEN_TABLE, (99, 12), (98, 12))]
    assert model.weights["embeddings"]["word_embeddings"]["weight"].shape == (98, 12)


def test_intermediate_size_is_taken_from_the_weights(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 3072}))
    with pytest.warns(UserWarning, match="says intermediate_size 3072, the weights have 37") as w:
        model = ErnieMModel.from_pretrained(folder)
    assert len(w) == 1
    assert model.config.intermediate_size == 37


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_named(value, folder):
    def spoil(flat):
        flat["encoder.layers.1.linear2.bias"][3] = value

    rewrite(folder, spoil)
    with pytest.warns(UserWarning, match=r"NaN or infinite weights in .*layers\.1\.linear2\.bias"):
        ErnieMModel.from_pretrained(folder)


class TestNanInALargeTable:
    """A token table above a limit is not read when it is loaded; its rows are checked in use."""

    @pytest.fixture
    def folder(self, folder):
        def spoil(flat):
            flat[TOKEN_TABLE][5, 2] = np.nan

        rewrite(folder, spoil)
        return folder

    @pytest.fixture
    def large(self, monkeypatch):
        monkeypatch.setattr("numpy_erniem.models.nan_checks.CHECKED_AT_LOOKUP", 10)

    @pytest.mark.usefixtures("large")
    def test_a_row_is_named_when_it_is_looked_up(self, folder, backend):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model = ErnieMModel.from_pretrained(folder)
            model([[3, 4]])
        with pytest.warns(UserWarning, match=r"NaN.*embeddings\.word_embeddings\.weight.*row 5"):
            model([[3, 5]])

    @pytest.mark.usefixtures("large")
    def test_a_row_of_a_head_is_named(self, folder):
        with pytest.warns(UserWarning, match="drawn at random"):
            model = ErnieMForMaskedLM.from_pretrained(folder)
        with pytest.warns(UserWarning, match=r"NaN.*row 5"):
            model([[3, 5]])

    def test_the_size_is_tested_once(self, folder, monkeypatch):
        with pytest.warns(UserWarning, match=r"NaN or infinite weights in .*word_embeddings"):
            model = ErnieMModel.from_pretrained(folder)
        monkeypatch.setattr("numpy_erniem.models.nan_checks.CHECKED_AT_LOOKUP", 10)
        model([[3, 5]])  # a warning would be an error

    def test_results_over_a_small_table_are_not_looked_at(self, monkeypatch):
        model = our_model()

        def refuse(*args, **kwargs):
            raise AssertionError("the results were looked at")

        monkeypatch.setattr(np, "isfinite", refuse)
        monkeypatch.setattr("numpy_erniem.models.network.warn_of_nan_rows", refuse)
        model([[3, 5]])

    @pytest.mark.usefixtures("large")
    def test_a_table_that_is_put_in_is_checked_too(self):
        model = our_model()
        table = model.get_input_embeddings().copy()
        table[7] = np.inf
        model.set_input_embeddings(table)
        with pytest.warns(UserWarning, match="row 7"), np.errstate(all="ignore"):
            model([[3, 7]])


def test_large_but_finite_weights_raise_no_warning(folder):
    def enlarge(flat):
        flat["encoder.layers.1.linear2.bias"][3] = 1e30  # its square is infinite

    rewrite(folder, enlarge)
    ErnieMModel.from_pretrained(folder)


def test_integer_tensors_are_refused(folder):
    flat = {name: t.numpy().copy() for name, t in read_folder(folder).items()}
    flat["pooler.dense.bias"] = np.zeros(12, np.int32)
    save_file(flat, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"pooler\.dense\.bias holds I32, not floats"):
        ErnieMModel.from_pretrained(folder)


def test_an_unknown_option_names_the_nearest(folder):
    with pytest.raises(ValueError, match="unknown option 'num_lables'; did you mean 'num_labels'"):
        ErnieMModel.from_pretrained(folder, num_lables=3)


def test_config_overrides_and_a_given_config(folder):
    assert ErnieMModel.from_pretrained(folder, hidden_act="relu").config.hidden_act == "relu"
    config = ErnieMConfig(**{**SMALL, "hidden_act": "tanh"})
    model = ErnieMModel.from_pretrained(folder, config=config, layer_norm_eps=0.1)
    assert (model.config.hidden_act, model.config.layer_norm_eps) == ("tanh", 0.1)
    assert config.layer_norm_eps == SMALL["layer_norm_eps"]


def test_a_folder_that_is_none_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        ErnieMModel.from_pretrained(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError, match="is a file; give the folder"):
        ErnieMModel.from_pretrained(tmp_path / "file")


def test_initial_weights_have_the_distribution_of_upstream():
    config = ErnieMConfig(vocab_size=5000, hidden_size=64, num_attention_heads=2)
    words = initial_tensor(TOKEN_TABLE, (5000, 64), config, 0)
    assert abs(float(words[2:].mean())) < 2e-4
    assert float(words[2:].std()) == pytest.approx(0.02, rel=0.01)
    assert not words[1].any()
    assert words[0].any()
    assert (initial_tensor("encoder.layers.0.norm1.weight", (64,), config, 0) == 1).all()
    assert (initial_tensor("embeddings.layer_norm.weight", (64,), config, 0) == 1).all()
    assert not initial_tensor("encoder.layers.0.norm1.bias", (64,), config, 0).any()
    assert not initial_tensor("pooler.dense.bias", (64,), config, 0).any()


def test_initial_weights_depend_on_seed_and_name_alone():
    config = ErnieMConfig(**SMALL)
    one = initial_tensor("pooler.dense.weight", (12, 12), config, 0)
    np.testing.assert_array_equal(one, initial_tensor("pooler.dense.weight", (12, 12), config, 0))
    assert (one != initial_tensor("pooler.dense.weight", (12, 12), config, 1)).all()
    assert (one != initial_tensor("encoder.layers.0.linear1.weight", (12, 12), config, 0)).all()
    prefixed = initial_tensor("ernie_m.pooler.dense.weight", (12, 12), config, 0)
    np.testing.assert_array_equal(one, prefixed)


def test_a_model_without_padding_token_zeroes_no_row():
    config = ErnieMConfig(**{**SMALL, "pad_token_id": None})
    assert initial_tensor(TOKEN_TABLE, (99, 12), config, 0).any(axis=1).all()


def test_num_parameters_equals_upstream(tmp_path):
    theirs = upstream_model(tmp_path)
    ours = ErnieMModel.from_pretrained(tmp_path)
    assert ours.num_parameters() == theirs.num_parameters()
    words_and_positions = (99 + 20) * 12
    assert ours.num_parameters(exclude_embeddings=True) == (
        ours.num_parameters() - words_and_positions
    )
