"""Models with narrow weights: loaded, saved, resized, pruned, pickled, and refused."""

import copy
import json
import pickle

import numpy as np
import pytest

from numpy_erniem import ErnieMConfig, ErnieMForMaskedLM, ErnieMModel, layers, load, ops
from numpy_erniem.backend.frozen import freeze
from numpy_erniem.checkpoint.folder import read_folder, write_folder
from numpy_erniem.checkpoint.tensors import mapping_of
from numpy_erniem.config.quantization import quantizable_layers
from numpy_erniem.models.narrow_weights import quantized
from numpy_erniem.models.weights import flatten, nest
from numpy_erniem.quantization.numbers import (
    BFLOAT16,
    STORED_BFLOAT16,
    to_bfloat16,
    widen,
)
from tests.models.conftest import HEADS, SMALL, D, L, V, redrawn

IDS = [[0, 5, 17, 98, 2], [0, 3, 2, 1, 1]]
MAPS = [f"{layer}.weight" for layer in quantizable_layers(L)[1:]]
TABLE = "embeddings.word_embeddings.weight"
QKV = "encoder.layers.1.self_attn.self_attn.q_proj"
f16, f32 = np.dtype(np.float16), np.dtype(np.float32)


def base():
    return redrawn(ErnieMModel(ErnieMConfig(**SMALL), seed=3))


def bits(array):
    return array.view(np.uint16) if array.dtype in (BFLOAT16, STORED_BFLOAT16) else array


def stored_as(folder, dtype):
    """A folder whose floats are all of one dtype."""
    model = base()
    model.config.save_pretrained(folder)
    write_folder(folder, flatten(model.weights), dtype=dtype)
    return folder


@pytest.fixture
def float_folder(tmp_path):
    base().save_pretrained(tmp_path / "float")
    return tmp_path / "float"


@pytest.fixture
def int8_folder(float_folder, tmp_path):
    ErnieMModel.from_pretrained(float_folder, dtype="int8").save_pretrained(tmp_path / "int8")
    return tmp_path / "int8"


def rewrite(folder, change):
    """Change the tensors of a folder: `change` gets them as arrays by name."""
    arrays = {name: tensor.stored() for name, tensor in read_folder(folder).items()}
    change(arrays)
    write_folder(folder, arrays)


def set_key(folder, value):
    values = json.loads((folder / "config.json").read_text())
    values["quantization"] = value
    (folder / "config.json").write_text(json.dumps(values))


@pytest.mark.parametrize(("code", "dtype"), [("F16", f16), ("BF16", STORED_BFLOAT16)])
class TestSixteenBits:
    def test_matrices_stay_mapped_and_what_is_small_is_float32(self, code, dtype, tmp_path):
        model = ErnieMModel.from_pretrained(stored_as(tmp_path, code))
        for name, values in flatten(model.weights).items():
            narrow = name in (*MAPS, TABLE)
            assert values.dtype == (dtype if narrow else f32), name
            assert not narrow or mapping_of(values) is not None, name
            assert not values.flags.writeable

    def test_results_are_those_of_widened_weights(self, code, dtype, tmp_path, backend):
        model = ErnieMModel.from_pretrained(stored_as(tmp_path, code))
        wide = copy.copy(model)
        wide._set_weights({n: freeze(widen(v)) for n, v in flatten(model.weights).items()})
        want = wide(IDS)
        got = model(IDS)
        np.testing.assert_array_equal(got.last_hidden_state, want.last_hidden_state)
        np.testing.assert_array_equal(got.pooler_output, want.pooler_output)

    @pytest.mark.parametrize("asked", ["float32", "float64"])
    def test_float32_and_float64_are_arithmetic(self, code, dtype, tmp_path, asked):
        folder = stored_as(tmp_path, code)
        model = ErnieMModel.from_pretrained(folder, dtype=asked)
        assert (model.precision, model.dtype) == (asked, asked)
        assert model(IDS).last_hidden_state.dtype == asked
        held = flatten(model.weights)[MAPS[0]].dtype
        assert held == (dtype if asked == "float32" else np.float64)

    def test_what_is_saved_is_what_is_in_memory(self, code, dtype, tmp_path):
        model = ErnieMModel.from_pretrained(stored_as(tmp_path, code))
        model.save_pretrained(tmp_path / "out")
        again = ErnieMModel.from_pretrained(tmp_path / "out")
        assert flatten(again.weights)[MAPS[0]].dtype == dtype
        for name, values in flatten(model.weights).items():
            np.testing.assert_array_equal(bits(flatten(again.weights)[name]), bits(values))

    def test_nan_is_told(self, code, dtype, tmp_path):
        stored_as(tmp_path, code)

        def spoil(arrays):
            spoilt = widen(arrays[MAPS[3]])
            spoilt[1, 2] = np.nan
            arrays[MAPS[3]] = spoilt.astype(f16) if code == "F16" else to_bfloat16(spoilt)

        rewrite(tmp_path, spoil)
        with pytest.warns(UserWarning, match=f"NaN or infinite weights in {MAPS[3]}"):
            ErnieMModel.from_pretrained(tmp_path)


def test_bfloat16_rounds_weights_and_leaves_small_tensors(float_folder):
    wide = flatten(ErnieMModel.from_pretrained(float_folder).weights)
    model = ErnieMModel.from_pretrained(float_folder, dtype="bfloat16")
    assert (model.precision, model.dtype) == ("bfloat16", f32)
    for name, values in flatten(model.weights).items():
        kind = {True: BFLOAT16, name == TABLE: STORED_BFLOAT16, name not in (*MAPS, TABLE): f32}
        assert values.dtype == kind[True], name
        want = wide[name] if kind[True] == f32 else to_bfloat16(wide[name], kind[True])
        np.testing.assert_array_equal(bits(values), bits(want))


def test_bfloat16_of_a_bfloat16_file_is_mapped(tmp_path):
    model = ErnieMModel.from_pretrained(stored_as(tmp_path, "BF16"), dtype="bfloat16")
    held = flatten(model.weights)
    assert held[MAPS[0]].dtype == BFLOAT16
    assert all(mapping_of(held[name]) is not None for name in (*MAPS, TABLE))


def test_bfloat16_rounds_the_inputs_too(float_folder, backend):
    want = ErnieMModel.from_pretrained(float_folder)(IDS).last_hidden_state
    model = ErnieMModel.from_pretrained(float_folder, dtype="bfloat16")
    stored = copy.copy(model)
    stored._set_weights(
        {
            n: freeze(v.view(STORED_BFLOAT16)) if v.dtype == BFLOAT16 else v
            for n, v in flatten(model.weights).items()
        }
    )
    got = model(IDS).last_hidden_state
    assert 1e-4 < np.abs(got - want).max() < 0.1
    assert np.abs(got - stored(IDS).last_hidden_state).max() > 1e-4


@pytest.mark.parametrize(
    ("precision", "kind"), [("float32", f32), ("bfloat16", BFLOAT16), ("int8", np.dtype(np.int8))]
)
def test_attention_is_told_the_kind_of_its_weights(float_folder, precision, kind, monkeypatch):
    seen = []

    def attention(*args, dtype, **options):
        seen.append(dtype)
        return ops.attention(*args, dtype=dtype, **options)

    monkeypatch.setattr(layers, "attention", attention)
    ErnieMModel.from_pretrained(float_folder, dtype=precision)(IDS)
    assert set(seen) == {kind}


def test_int8_quantizes_maps_and_table_at_loading(float_folder):
    wide = flatten(ErnieMModel.from_pretrained(float_folder).weights)
    model = ErnieMModel.from_pretrained(float_folder, dtype="int8")
    held = flatten(model.weights)
    assert (model.precision, model.dtype) == ("int8", f32)
    assert model.config.quantization == {"dtype": "int8", "keep_float": []}
    for name in (*MAPS, TABLE):
        weight, scale = quantized(wide[name])
        np.testing.assert_array_equal(held.pop(name), weight)
        np.testing.assert_array_equal(held.pop(f"{name}.scale"), scale)
    assert all(values.dtype == f32 for values in held.values())
    assert model.weights["encoder"]["layers"][0]["linear1"].keys() == {"weight", "scale", "bias"}
    assert flatten(nest(flatten(model.weights))).keys() == flatten(model.weights).keys()


def test_int8_is_near_float32(float_folder, backend):
    want = ErnieMModel.from_pretrained(float_folder)(IDS)
    got = ErnieMModel.from_pretrained(float_folder, dtype="int8")(IDS)
    for name in ("last_hidden_state", "pooler_output"):
        a, b = got[name].ravel(), want[name].ravel()
        assert not np.array_equal(a, b)
        assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.998


def test_int8_texts_do_not_depend_on_their_batch(float_folder, same_bits):
    model = ErnieMModel.from_pretrained(float_folder, dtype="int8").prepare()
    both = model(IDS, attention_mask=np.array(IDS) != 1).last_hidden_state
    alone = model([IDS[1][:3]]).last_hidden_state
    np.testing.assert_allclose(both[1, :3], alone[0], atol=1e-5)


def test_an_int8_checkpoint_is_mapped_and_says_so(int8_folder):
    model = ErnieMModel.from_pretrained(int8_folder)
    assert model.precision == "int8"
    held = flatten(model.weights)
    assert all(held[name].dtype == np.int8 for name in (*MAPS, TABLE))
    assert all(mapping_of(held[name]) is not None for name in (*MAPS, TABLE))
    config = json.loads((int8_folder / "config.json").read_text())
    assert config["quantization"] == {"dtype": "int8", "keep_float": []}
    tensors = read_folder(int8_folder)
    assert tensors[TABLE].dtype == "I8"
    assert tensors[f"{TABLE}.scale"].dtype == "F32"


def test_saved_and_loaded_int8_gives_the_same_bits(float_folder, int8_folder, backend):
    at_loading = ErnieMModel.from_pretrained(float_folder, dtype="int8")(IDS)
    from_file = load(int8_folder)(IDS)
    np.testing.assert_array_equal(from_file.last_hidden_state, at_loading.last_hidden_state)


@pytest.mark.parametrize(
    ("code", "asked", "told"),
    [
        ("BF16", None, "bfloat16"),
        ("F16", None, "float16"),
        ("F32", "bfloat16", "bfloat16"),
        ("F16", "int8", "float32"),
        ("BF16", "int8", "float32"),
        ("BF16", "float64", "float64"),
    ],
)
def test_the_config_that_is_saved_names_the_floats_of_the_file(code, asked, told, tmp_path):
    source = stored_as(tmp_path / "source", code)
    values = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(values | {"torch_dtype": "float8"}))
    ErnieMModel.from_pretrained(source, dtype=asked).save_pretrained(tmp_path / "out")
    assert json.loads((tmp_path / "out/config.json").read_text())["torch_dtype"] == told
    names = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}
    tensors = read_folder(tmp_path / "out")
    assert told in {names.get(tensor.dtype) for tensor in tensors.values()}


@pytest.mark.parametrize("asked", ["float32", "float64"])
def test_an_int8_checkpoint_is_widened_on_request(int8_folder, asked):
    model = ErnieMModel.from_pretrained(int8_folder, dtype=asked)
    tensors = read_folder(int8_folder)
    want = widen(tensors[TABLE].numpy(), tensors[f"{TABLE}.scale"].numpy())
    held = flatten(model.weights)[TABLE]
    assert (model.precision, held.dtype) == (asked, asked)
    np.testing.assert_array_equal(held, want)
    assert model.config.quantization is None


def test_layers_are_kept_in_float(float_folder, tmp_path):
    key = {"dtype": "int8", "keep_float": ["linear2", "encoder.layers.0"]}
    model = ErnieMModel.from_pretrained(float_folder, dtype="int8", quantization=key)
    model.save_pretrained(tmp_path / "out")
    again = ErnieMModel.from_pretrained(tmp_path / "out")
    for name in MAPS:
        kept = "layers.0" in name or "linear2" in name
        assert flatten(again.weights)[name].dtype == (f32 if kept else np.int8), name
    kept = again.config.quantization["keep_float"]
    assert kept == [n for n in quantizable_layers(L) if "layers.0" in n or "linear2" in n]


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.name)
@pytest.mark.parametrize("asked", ["int8", "bfloat16"])
def test_every_head_runs_and_stays_float32(head, asked, tmp_path, rng, backend):
    model = head.make()
    model.save_pretrained(tmp_path / "float")
    narrow = head.model.from_pretrained(tmp_path / "float", dtype=asked)
    assert all(narrow.weights[part] is not None for part in narrow.weights)
    for name in narrow.head_shapes(narrow.config):
        assert flatten(narrow.weights)[name].dtype == f32
    narrow.save_pretrained(tmp_path / "narrow")
    again = load(tmp_path / "narrow", dtype=None if asked == "int8" else asked)
    inputs = head.inputs(rng)
    for name in head.scores:
        a, b = narrow(**inputs)[name], model(**inputs)[name]
        assert np.abs(a - b).max() < 0.25 * np.abs(b).max() + 0.1
        np.testing.assert_array_equal(again(**inputs)[name], a)


def test_a_base_checkpoint_goes_into_a_head_and_back(int8_folder, tmp_path):
    with pytest.warns(UserWarning, match="drawn at random"):
        head = ErnieMForMaskedLM.from_pretrained(int8_folder)
    assert head.precision == "int8"
    head.save_pretrained(tmp_path / "head")
    with pytest.warns(UserWarning, match="not used: lm_head"):
        again, told = ErnieMModel.from_pretrained(
            tmp_path / "head", add_pooling_layer=False, output_loading_info=True
        )
    assert not any("scale" in name for name in told["unexpected_keys"])
    np.testing.assert_array_equal(
        again(IDS).last_hidden_state, head.base_model(IDS).last_hidden_state
    )
    assert head.base_model.precision == "int8"


@pytest.mark.parametrize("asked", [None, "int8", "bfloat16"])
def test_tokens_are_added_and_dropped(float_folder, asked):
    model = ErnieMModel.from_pretrained(float_folder, dtype=asked)
    kind = flatten(model.weights)[TABLE].dtype
    before = model(IDS[:1]).last_hidden_state
    table = model.resize_token_embeddings(V + 5)
    assert table.shape == (V + 5, D)
    assert flatten(model.weights)[TABLE].dtype == kind
    np.testing.assert_array_equal(model(IDS[:1]).last_hidden_state, before)
    assert np.isfinite(model([[V + 4]]).last_hidden_state).all()
    model.resize_token_embeddings(50)
    assert model.get_input_embeddings().shape == (50, D)
    assert all(len(part) == 50 for part in model._token_table.values())


@pytest.mark.parametrize("asked", ["int8", "bfloat16"])
def test_the_token_table_is_replaced(float_folder, asked, rng):
    model = ErnieMModel.from_pretrained(float_folder, dtype=asked)
    table = rng.standard_normal((V, D), f32)
    model.set_input_embeddings(table)
    got = model.get_input_embeddings()
    assert got.dtype == f32
    np.testing.assert_allclose(got, table, atol=0.02)


@pytest.mark.parametrize("asked", ["int8", "bfloat16"])
def test_heads_are_pruned(float_folder, asked):
    pruned = ErnieMModel.from_pretrained(float_folder)
    pruned.prune_heads({1: [0]})
    narrow = ErnieMModel.from_pretrained(float_folder, dtype=asked)
    narrow.prune_heads({1: [0]})
    attention = narrow.weights["encoder"]["layers"][1]["self_attn"]["self_attn"]
    if asked == "int8":
        assert attention["q_proj"]["scale"].shape == attention["q_proj"]["weight"].shape[:1]
    want, got = pruned(IDS).last_hidden_state, narrow(IDS).last_hidden_state
    assert np.abs(got - want).max() < 0.3


@pytest.mark.parametrize("asked", [None, "int8", "bfloat16"])
def test_a_pickle_and_a_copy_are_the_same_model(float_folder, asked):
    model = ErnieMModel.from_pretrained(float_folder, dtype=asked)
    want = model(IDS).last_hidden_state
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert other.precision == model.precision
        np.testing.assert_array_equal(other(IDS).last_hidden_state, want)


def test_the_number_of_parameters_does_not_count_scales(float_folder, int8_folder):
    wide, narrow = map(ErnieMModel.from_pretrained, (float_folder, int8_folder))
    assert narrow.num_parameters() == wide.num_parameters()


@pytest.mark.parametrize("asked", ["int8", "bfloat16"])
def test_a_drawn_model_has_a_precision(asked):
    model = ErnieMModel(ErnieMConfig(**SMALL), dtype=asked)
    assert model.precision == asked
    kind = np.int8 if asked == "int8" else BFLOAT16
    assert flatten(model.weights)[MAPS[0]].dtype == kind
    assert np.isfinite(model(IDS).last_hidden_state).all()


def test_a_large_table_is_quantized_as_a_small_one(rng, monkeypatch):
    values = rng.standard_normal((99, 12), f32)
    want = quantized(values)
    monkeypatch.setattr("numpy_erniem.models.narrow_weights.ROWS", 7)
    for got, each in zip(quantized(values), want, strict=True):
        np.testing.assert_array_equal(got, each)


@pytest.mark.parametrize("asked", ["int8", "bfloat16"])
def test_a_large_file_is_released_while_it_is_narrowed(asked, float_folder, monkeypatch):
    """So that a wide table is never in memory as a whole."""
    module = "numpy_erniem.models.narrow_weights"
    released = []
    monkeypatch.setattr(f"{module}.ROWS", 7)
    monkeypatch.setattr(f"{module}.release_mapped_pages", lambda rows: released.append(len(rows)))
    ErnieMModel.from_pretrained(float_folder, dtype=asked)
    assert max(released) == 7
    assert sum(released) == V + L * (5 * D + SMALL["intermediate_size"])


class TestBadInput:
    @pytest.mark.parametrize(
        ("scale", "message"),
        [
            (np.zeros(D, f32), r"scale has 0.0 for row 0; a scale is above 0"),
            (-np.ones(D, f32), r"scale has -1.0 for row 0"),
            (np.full(D, np.nan, f32), r"scale has nan for row 0"),
            (np.full(D, np.inf, f32), r"scale has inf for row 0"),
            (np.full(D, 3e38, f32), r"scale has 3e\+38 for row 0; .* so that weights are finite"),
            (np.ones(D - 1, f32), r"is F32 of \(11,\); .* must be F32 of \(12,\)"),
            (np.ones((D, 1), f32), r"is F32 of \(12, 1\)"),
            (np.ones(D, np.float64), r"is F64 of \(12,\)"),
            (None, r"q_proj.weight holds I8, and .*q_proj.weight.scale is missing"),
        ],
    )
    def test_scales(self, int8_folder, scale, message):
        def spoil(arrays):
            arrays.pop(f"{QKV}.weight.scale")
            if scale is not None:
                arrays[f"{QKV}.weight.scale"] = scale

        rewrite(int8_folder, spoil)
        with pytest.raises(ValueError, match=message) as error:
            ErnieMModel.from_pretrained(int8_folder)
        assert str(int8_folder) in str(error.value)
        assert QKV in str(error.value)

    def test_int8_without_the_word_of_the_config(self, int8_folder):
        set_key(int8_folder, None)
        with pytest.raises(ValueError, match=r"holds I8, and config.json has no quantization"):
            ErnieMModel.from_pretrained(int8_folder)

    def test_the_word_of_the_config_without_int8(self, float_folder):
        set_key(float_folder, {"dtype": "int8"})
        with pytest.raises(ValueError, match=r"says int8, and tensor .* holds F32"):
            ErnieMModel.from_pretrained(float_folder)

    def test_int8_in_a_layer_that_is_kept_in_float(self, int8_folder):
        set_key(int8_folder, {"dtype": "int8", "keep_float": [QKV]})
        with pytest.raises(ValueError, match=f"keep_float in config.json names {QKV}"):
            ErnieMModel.from_pretrained(int8_folder)

    def test_an_argument_is_named_where_it_is_at_fault(self, float_folder, int8_folder):
        """And config.json is not."""

        def message(folder, **options):
            with pytest.raises(ValueError, match="quantization") as error:
                ErnieMModel.from_pretrained(folder, **options)
            assert "config.json" not in str(error.value)
            return str(error.value)

        kept = {"dtype": "int8", "keep_float": [QKV]}
        assert "the argument quantization says int8" in message(float_folder, quantization=kept)
        assert 'give dtype="int8", too' in message(float_folder, quantization=kept)
        assert f"in the argument quantization names {QKV}" in message(
            int8_folder, quantization=kept
        )
        assert "quantization=None says that none does; leave it out" in message(
            int8_folder, quantization=None
        )
        assert "with quantization as given: quantization has dtype 'int4'" in message(
            float_folder, quantization={"dtype": "int4"}
        )
        with pytest.raises(ValueError, match=r"with quantization as given: .* 'int4'"):
            ErnieMConfig.from_pretrained(float_folder, quantization={"dtype": "int4"})

    @pytest.mark.parametrize("name", ["pooler.dense.weight", "embeddings.layer_norm.weight"])
    def test_int8_where_no_int8_can_be(self, int8_folder, name):
        def spoil(arrays):
            arrays[name] = np.ones(arrays[name].shape, np.int8)

        rewrite(int8_folder, spoil)
        with pytest.raises(ValueError, match=f"tensor {name} holds I8, which only"):
            ErnieMModel.from_pretrained(int8_folder)

    def test_minus_128(self, int8_folder):
        def spoil(arrays):
            weight = arrays[f"{QKV}.weight"].copy()
            weight[3, 4] = -128
            arrays[f"{QKV}.weight"] = weight

        rewrite(int8_folder, spoil)
        with pytest.raises(ValueError, match=f"{QKV}.weight holds -128"):
            ErnieMModel.from_pretrained(int8_folder)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_weights_that_are_not_finite_name_their_tensor(self, float_folder, value):
        def spoil(arrays):
            arrays[MAPS[3]] = arrays[MAPS[3]].copy()
            arrays[MAPS[3]][1, 2] = value

        rewrite(float_folder, spoil)
        with pytest.raises(ValueError, match=f"tensor {MAPS[3]} cannot be int8: it holds NaN or"):
            ErnieMModel.from_pretrained(float_folder, dtype="int8")

    def test_bfloat16_of_an_int8_checkpoint(self, int8_folder):
        with pytest.raises(ValueError, match="holds int8 weights, of which bfloat16 would lose"):
            ErnieMModel.from_pretrained(int8_folder, dtype="bfloat16")

    def test_a_channel_of_zeros_is_right(self, float_folder):
        def blank(arrays):
            arrays[f"{QKV}.weight"] = np.zeros((D, D), f32)

        rewrite(float_folder, blank)
        model = ErnieMModel.from_pretrained(float_folder, dtype="int8")
        layer = model.weights["encoder"]["layers"][1]["self_attn"]["self_attn"]["q_proj"]
        assert not layer["weight"].any()
        assert (layer["scale"] == 1).all()
        assert np.isfinite(model(IDS).last_hidden_state).all()

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ("int8", "quantization 'int8' is not an object"),
            ({"dtype": "int4"}, "quantization has dtype 'int4'; known: 'int8'"),
            ({}, "quantization has dtype None"),
            ({"dtype": "int8", "bits": 8}, "quantization has the key 'bits'"),
            ({"dtype": "int8", "keep_float": "linear2"}, "is not a list of layers' names"),
            ({"dtype": "int8", "keep_float": ["pooler"]}, "keep_float 'pooler' is no layer"),
            ({"dtype": "int8", "keep_float": ["linear3"]}, "did you mean 'linear2'"),
            ({"dtype": "int8", "keep_float": ["encoder.layers.2"]}, "is no layer"),
        ],
    )
    def test_the_key_of_the_config(self, int8_folder, value, message):
        set_key(int8_folder, value)
        with pytest.raises(ValueError, match=message):
            ErnieMModel.from_pretrained(int8_folder)
