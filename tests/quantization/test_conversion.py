"""convert() to int8 and bfloat16: what is written, what is told, and what is refused."""

import json
import math
import re
import shutil

import numpy as np
import pytest

import numpy_erniem
from numpy_erniem import (
    Embedder,
    ErnieMConfig,
    ErnieMForMaskedLM,
    ErnieMForSequenceClassification,
    ErnieMModel,
    ErnieMTokenizer,
    HybridEmbedder,
    bundled_checkpoint,
    convert,
    load,
)
from numpy_erniem.checkpoint.folder import read_folder, write_folder
from numpy_erniem.checkpoint.hybrid_layers import HybridLayers, write_hybrid_layers
from numpy_erniem.checkpoint.sentence_settings import (
    DenseLayer,
    SentenceSettings,
    write_sentence_settings,
)
from numpy_erniem.cli.main import main
from numpy_erniem.config.quantization import quantizable_layers
from numpy_erniem.models.narrow_weights import quantized
from numpy_erniem.models.weights import flatten
from numpy_erniem.quantization import by_layer, logits
from numpy_erniem.quantization.agreement import drawn_texts, measure
from numpy_erniem.quantization.by_layer import layer_errors
from numpy_erniem.quantization.choice import keep_layers, layers_to_keep
from numpy_erniem.quantization.logits import predictions
from numpy_erniem.quantization.sentences import SENTENCES
from tests.models.conftest import HEADS, SMALL, V, redrawn

L = 3  # layers of the bundled checkpoint
TABLE = "embeddings.word_embeddings.weight"


@pytest.fixture
def source(tmp_path):
    """A small model without a tokenizer."""
    redrawn(ErnieMModel(ErnieMConfig(**SMALL), seed=3)).save_pretrained(tmp_path / "source")
    return tmp_path / "source"


@pytest.fixture(scope="module")
def int8(tmp_path_factory):
    """The bundled checkpoint in int8, and the report."""
    out = tmp_path_factory.mktemp("int8") / "out"
    report = convert(bundled_checkpoint(), out, dtype="int8")
    return out, report


def config_of(folder):
    return json.loads((folder / "config.json").read_text())


def outliers(folder, feature=150.0):
    """Make one layer hard to quantize: an input of linear2 far from all others."""
    tensors = {n: t.stored().copy() for n, t in read_folder(folder).items()}
    tensors["encoder.layers.1.linear1.bias"][0] = feature
    tensors["encoder.layers.1.linear2.weight"][:, 0] = 0
    write_folder(folder, tensors)


class TestInt8:
    def test_maps_and_table_are_int8_with_scales_and_the_rest_is_float32(self, int8):
        folder, _ = int8
        tensors, before = read_folder(folder), read_folder(bundled_checkpoint())
        before = {name.removeprefix("ernie_m."): tensor for name, tensor in before.items()}
        narrow = {f"{layer}.weight" for layer in quantizable_layers(L)}
        assert tensors.keys() == before.keys() | {f"{name}.scale" for name in narrow}
        for name, tensor in before.items():
            values = tensor.numpy(np.float32)
            if name in narrow:
                weight, scale = quantized(values)
                np.testing.assert_array_equal(tensors[name].numpy(), weight)
                np.testing.assert_array_equal(tensors[f"{name}.scale"].numpy(), scale)
            else:
                assert tensors[name].dtype == "F32"
                np.testing.assert_array_equal(tensors[name].numpy(), values)

    def test_it_is_a_quarter_of_the_size_in_float32(self, int8):
        """A little more, for scales and biases, which are larger beside narrow rows."""
        folder, _ = int8
        values = sum(math.prod(t.shape) for t in read_folder(bundled_checkpoint()).values())
        assert 0.25 < (folder / "model.safetensors").stat().st_size / (4 * values) < 0.3

    def test_the_config_says_so(self, int8):
        config = config_of(int8[0])
        assert config["quantization"] == {"dtype": "int8", "keep_float": []}
        assert config["torch_dtype"] == "float32"

    def test_it_is_loaded_as_at_loading(self, int8):
        folder, _ = int8
        texts = ["Open the file", "打开文件"]
        got = Embedder.from_pretrained(folder)(texts)
        np.testing.assert_array_equal(got, numpy_erniem.embed(texts, dtype="int8"))

    def test_other_files_are_there(self, int8):
        before = {p.name for p in bundled_checkpoint().iterdir()}
        assert {p.name for p in int8[0].iterdir()} == (before - {"__init__.py"}) | {"README.md"}

    def test_the_report_tells_what_it_cost(self, int8):
        folder, report = int8
        told = report.agreement
        assert told.precision == "int8"
        assert told.texts == 3 * len(SENTENCES)
        assert 0.999 < told.lowest < told.mean < 1
        assert told.mean > 0.9997
        assert bool(told.advised) == (told.lowest < 0.999)
        assert told.by_language.keys() == SENTENCES.keys()
        assert min(told.by_language.values()) == told.lowest
        assert told.layers.keys() == set(quantizable_layers(L))
        assert f"{told.lowest:.5f} the lowest" in str(report)
        assert report.tensors == len(read_folder(folder))
        assert report.bytes_written == sum(t.data.nbytes for t in read_folder(folder).values())

    def test_the_card_has_the_same(self, int8):
        text = (int8[0] / "README.md").read_text("utf-8")
        told = int8[1].agreement
        assert f"{told.mean:.5f} in the mean" in text
        assert f"| sw | {told.by_language['sw']:.5f} |" in text
        assert all(f"`{layer}`" in text for layer in quantizable_layers(L))

    def test_the_numbers_are_those_of_the_models(self, int8):
        texts = [text for group in SENTENCES.values() for text in group]
        want = numpy_erniem.embed(texts, normalize=True)
        got = Embedder.from_pretrained(int8[0])(texts, normalize=True)
        cosines = (want * got).sum(axis=1)
        assert int8[1].agreement.mean == pytest.approx(cosines.mean(), abs=1e-6)
        assert int8[1].agreement.lowest == pytest.approx(cosines.min(), abs=1e-6)

    def test_shards(self, tmp_path):
        convert(bundled_checkpoint(), tmp_path / "out", dtype="int8", max_shard_size="1MB")
        assert len(list((tmp_path / "out").glob("model-*.safetensors"))) > 1
        assert load(tmp_path / "out").precision == "int8"

    def test_without_a_tokenizer_ids_are_drawn(self, source, tmp_path):
        report = convert(source, tmp_path / "out", dtype="int8")
        assert report.agreement.are_drawn
        assert "rows of random token ids" in str(report)

    def test_the_head_stays_float32_and_its_logits_are_compared(self, tmp_path, head):
        head.make().save_pretrained(tmp_path / "source")
        report = convert(tmp_path / "source", tmp_path / "out", dtype="int8")
        model = load(tmp_path / "out")
        assert (type(model).__name__, model.precision) == (head.name, "int8")
        moved = report.agreement.logits[head.name]
        assert 0 < moved.apart < moved.largest
        assert f"logits of {head.name}: largest difference" in str(report)

    def test_a_head_that_the_source_lacks_is_not_written(self, source, tmp_path):
        config = config_of(source) | {"architectures": ["ErnieMForTokenClassification"]}
        tensors = {n: t for n, t in read_folder(source).items() if "pooler" not in n}
        write_folder(source, {n: t.numpy().copy() for n, t in tensors.items()})
        (source / "config.json").write_text(json.dumps(config))
        convert(source, tmp_path / "out", dtype="int8")
        assert not any("classifier" in name for name in read_folder(tmp_path / "out"))
        with pytest.warns(UserWarning, match="drawn at random.*classifier"):
            assert load(tmp_path / "out").precision == "int8"

    def test_from_the_xlm_r_family_with_its_settings(self, family_source, tmp_path):
        report = convert(family_source, tmp_path / "out", dtype="int8")
        assert report.layout == "xlm-roberta"
        assert report.agreement.cut > 0
        assert f"{report.agreement.cut} of the texts were cut" in str(report)
        assert not report.agreement.are_drawn
        assert read_folder(tmp_path / "out")[TABLE].dtype == "I8"
        ErnieMTokenizer.from_pretrained(tmp_path / "out")

    def test_from_paddle(self, shared, tmp_path):
        source = tmp_path / "source"
        shutil.copytree(shared / "data/paddle/UIEM", source)
        report = convert(source, tmp_path / "out", dtype="int8", tokenizer=False)
        assert report.layout == "PaddleNLP"
        assert load(tmp_path / "out").precision == "int8"

    def test_sentence_settings_are_followed(self, tmp_path):
        source = shutil.copytree(bundled_checkpoint(), tmp_path / "source")
        write_sentence_settings(source, SentenceSettings("cls", normalize=True))
        by_cls = convert(source, tmp_path / "out", dtype="int8").agreement
        by_mean = convert(bundled_checkpoint(), tmp_path / "mean", dtype="int8").agreement
        assert by_cls.mean != by_mean.mean

    def test_texts_that_the_sentence_settings_cut_are_counted(self, tmp_path):
        source = shutil.copytree(bundled_checkpoint(), tmp_path / "source")
        write_sentence_settings(source, SentenceSettings("mean", max_length=8))
        texts = ["Open the file", "Open the file and close all the others of this folder"]
        told = convert(source, tmp_path / "out", dtype="int8", check=texts).agreement
        assert told.cut == 1
        assert "1 of the texts were cut" in str(told)

    def test_the_card_names_the_folder_of_a_relative_path(self, source, tmp_path, monkeypatch):
        monkeypatch.chdir(source)
        convert(".", tmp_path / "out", dtype="int8")
        text = (tmp_path / "out" / "README.md").read_text("utf-8")
        assert text.startswith("# source, int8\n\nMade of `source` by")

    def test_the_layers_of_bge_m3_come_along(self, tmp_path, rng):
        source = shutil.copytree(bundled_checkpoint(), tmp_path / "source")
        weights = rng.standard_normal((2, 9, 128)).astype(np.float32)
        one = DenseLayer(weights[0, :1], weights[0, :1, 0], "relu")
        many = DenseLayer(weights[1], weights[1, :, 0], "linear")
        write_hybrid_layers(source, HybridLayers(one, many))
        convert(source, tmp_path / "out", dtype="int8")
        got, want = (
            HybridEmbedder.from_pretrained(f)("Open a file") for f in (tmp_path / "out", source)
        )
        cosines = (got["multi"] * want["multi"]).sum(axis=1)
        assert 0.995 < cosines.min() < 1
        assert "sparse" in got

    def test_progress_is_told(self, source, tmp_path):
        told = []
        convert(source, tmp_path / "out", dtype="int8", progress=lambda *n: told.append(n))
        assert told[-1][0] == told[-1][1]


class TestChoice:
    def test_layers_are_kept_by_name(self, source, tmp_path):
        report = convert(source, tmp_path / "out", dtype="int8", keep_float=["linear2"])
        tensors = read_folder(tmp_path / "out")
        assert tensors["encoder.layers.0.linear2.weight"].dtype == "F32"
        assert tensors["encoder.layers.0.linear1.weight"].dtype == "I8"
        kept = ["encoder.layers.0.linear2", "encoder.layers.1.linear2"]
        assert config_of(tmp_path / "out")["quantization"]["keep_float"] == kept
        assert report.agreement.keep_float == kept
        assert not set(kept) & set(report.agreement.layers)
        assert "floats are kept in 2 layers" in str(report)

    def test_a_bad_result_names_the_layers(self, source, tmp_path):
        outliers(source)
        report = convert(source, tmp_path / "out", dtype="int8")
        assert report.agreement.lowest < 0.999
        assert "encoder.layers.1.linear2" in report.agreement.advised
        assert "a cosine is below 0.999: keep these layers in floats" in str(report)
        assert "**A cosine is below 0.999.**" in (tmp_path / "out" / "README.md").read_text()

    def test_the_advice_can_be_followed_as_it_is_printed(self, source, tmp_path):
        """It names the layers that are kept already, too."""
        outliers(source)
        kept = ["encoder.layers.0.linear1"]
        report = convert(source, tmp_path / "one", dtype="int8", keep_float=kept)
        names = str(report).partition("or --keep-float ")[2].splitlines()[0].split()
        assert set(names) == {*kept, *report.agreement.advised}
        told = convert(source, tmp_path / "out", dtype="int8", keep_float=names).agreement
        assert told.is_enough
        assert set(told.keep_float) == set(names)

    def test_auto_keeps_them(self, source, tmp_path):
        outliers(source)
        advised = convert(source, tmp_path / "one", dtype="int8").agreement.advised
        report = convert(source, tmp_path / "out", dtype="int8", keep_float="auto")
        assert report.agreement.lowest >= 0.999
        assert set(report.agreement.keep_float) == set(advised)
        tensors = read_folder(tmp_path / "out")
        assert tensors["encoder.layers.1.linear2.weight"].dtype == "F32"
        again = load(tmp_path / "out")
        assert set(again.config.quantization["keep_float"]) == set(advised)

    def test_auto_keeps_nothing_where_nothing_is_needed(self, tmp_path):
        report = convert(bundled_checkpoint(), tmp_path / "out", dtype="int8", keep_float="auto")
        assert 0.999 <= report.agreement.lowest < 1
        assert report.agreement.keep_float == []

    def test_fewer_layers_would_not_do(self, source):
        wide, narrow = ErnieMModel.from_pretrained(source), None
        narrow = ErnieMModel.from_pretrained(source, dtype="int8")
        texts = drawn_texts(V, 18)
        order = list(layer_errors(wide, narrow, texts.rows))
        bound = 1 - 0.6 * (1 - measure(wide, narrow, texts).lowest)
        kept = layers_to_keep(wide, narrow, texts, order, bound)
        assert kept == order[: len(kept)]
        assert measure(wide, keep_layers(wide, narrow, kept), texts).lowest >= bound
        if len(kept) > 1:
            fewer = keep_layers(wide, narrow, kept[:-1])
            assert measure(wide, fewer, texts).lowest < bound

    def test_all_layers_are_the_float_model(self, source):
        wide = ErnieMModel.from_pretrained(source)
        narrow = ErnieMModel.from_pretrained(source, dtype="int8")
        everything = keep_layers(wide, narrow, quantizable_layers(2))
        assert flatten(everything.weights).keys() == flatten(wide.weights).keys()
        assert measure(wide, everything, drawn_texts(V, 18)).lowest == pytest.approx(1, abs=1e-6)


class TestMeasure:
    def test_the_error_of_a_layer_is_that_of_its_output(self, source):
        wide = ErnieMModel.from_pretrained(source)
        narrow = ErnieMModel.from_pretrained(source, dtype="int8")
        name = "encoder.layers.1.linear1"
        alone = keep_layers(wide, narrow, [n for n in quantizable_layers(2) if n != name])
        rows = [[0, 5, 17, 2], [0, 98, 2]]
        want = np.concatenate([wide([row]).last_hidden_state[0] for row in rows])
        got = np.concatenate([alone([row]).last_hidden_state[0] for row in rows])
        error = np.linalg.norm(got - want) / np.linalg.norm(want)
        assert layer_errors(wide, narrow, rows)[name] == pytest.approx(error, rel=1e-3)

    def test_logits_of_packs_are_those_of_each_row(self, monkeypatch):
        wide = redrawn(ErnieMForMaskedLM(ErnieMConfig(**SMALL), seed=1))
        narrow = redrawn(ErnieMForMaskedLM(ErnieMConfig(**SMALL), seed=2))
        monkeypatch.setattr(logits, "PACK", 20)
        texts = drawn_texts(V, 18)
        found = measure(wide, narrow, texts)
        a, b = (np.stack([m([row]).logits[0] for row in texts.rows]) for m in (wide, narrow))
        moved = found.logits["ErnieMForMaskedLM"]
        assert moved.apart == pytest.approx(np.abs(a - b).max(), rel=1e-4)
        assert moved.largest == pytest.approx(np.abs(a).max(), rel=1e-4)
        assert moved.changed == pytest.approx((a.argmax(-1) != b.argmax(-1)).mean())

    @pytest.mark.parametrize("dtype", ["int8", "bfloat16"])
    def test_every_head_of_a_checkpoint_of_several_is_measured(self, tmp_path, dtype):
        texts = ["Open the file", "打开文件", "Datei öffnen"]
        source, out = bundled_checkpoint(), tmp_path / "out"
        found = convert(source, out, dtype=dtype, check=texts).agreement
        kinds = (ErnieMForMaskedLM, ErnieMForSequenceClassification)
        assert found.logits.keys() == {kind.__name__ for kind in kinds}
        inputs = ErnieMTokenizer.from_pretrained(source)(texts)["input_ids"]
        for kind in kinds:
            wide, narrow = kind.from_pretrained(source), kind.from_pretrained(out, dtype=dtype)
            pairs = [(wide([row]).logits, narrow([row]).logits) for row in inputs]
            moved = found.logits[kind.__name__]
            assert moved.apart == pytest.approx(
                max(np.abs(a - b).max() for a, b in pairs), rel=1e-3
            )
            assert moved.largest == pytest.approx(max(np.abs(a).max() for a, b in pairs), rel=1e-4)
        assert "logits of ErnieMForMaskedLM" in (out / "README.md").read_text("utf-8")

    def test_own_texts(self, tmp_path):
        options = {"dtype": "int8", "check": ["Open the file", "Close it"]}
        report = convert(bundled_checkpoint(), tmp_path / "out", **options)
        assert report.agreement.texts == 2
        assert report.agreement.by_language == {}
        with pytest.raises(ValueError, match="check is empty"):
            convert(bundled_checkpoint(), tmp_path / "b", dtype="int8", check=[])

    @pytest.mark.parametrize("dtype", ["int8", "bfloat16"])
    def test_own_texts_need_a_tokenizer(self, source, tmp_path, dtype):
        told = re.escape(f"{source} has no tokenizer, which check needs")
        with pytest.raises(ValueError, match=told):
            convert(source, tmp_path / "out", dtype=dtype, check=["Open the file"])
        assert not (tmp_path / "out").exists()

    def test_the_sentences_are_in_twenty_languages_and_more(self):
        assert len(SENTENCES) >= 20
        texts = [text for group in SENTENCES.values() for text in group]
        assert len(set(texts)) == 3 * len(SENTENCES)


class TestBfloat16:
    def test_all_is_bfloat16_and_the_cost_is_told(self, tmp_path):
        report = convert(bundled_checkpoint(), tmp_path / "out", dtype="bfloat16")
        assert {t.dtype for t in read_folder(tmp_path / "out").values()} == {"BF16"}
        assert config_of(tmp_path / "out")["torch_dtype"] == "bfloat16"
        assert report.agreement.precision == "bfloat16"
        assert 0.9999 < report.agreement.lowest < 1
        card = (tmp_path / "out" / "README.md").read_text("utf-8")
        assert 'dtype="bfloat16"' in card

    def test_float16_is_not_measured(self, tmp_path):
        report = convert(bundled_checkpoint(), tmp_path / "out", dtype="float16")
        assert report.agreement is None
        assert config_of(tmp_path / "out")["torch_dtype"] == "float16"


class TestRefused:
    def nothing_is_left(self, out):
        assert not out.exists()
        assert not list(out.parent.glob(".saving-*"))

    @pytest.mark.parametrize("dtype", ["int8", "bfloat16", "float16", "float32"])
    def test_quantizing_twice(self, int8, tmp_path, dtype):
        with pytest.raises(ValueError, match="is quantized already, its weights are int8") as error:
            convert(int8[0], tmp_path / "out", dtype=dtype)
        assert str(int8[0]) in str(error.value)
        self.nothing_is_left(tmp_path / "out")

    def test_a_copy_without_a_dtype_is_not_quantizing(self, int8, tmp_path):
        report = convert(int8[0], tmp_path / "out")
        assert report.parameters == int8[1].parameters
        before, after = read_folder(int8[0]), read_folder(tmp_path / "out")
        assert before.keys() == after.keys()
        assert all(np.array_equal(before[n].numpy(), after[n].numpy()) for n in before)
        assert config_of(tmp_path / "out")["quantization"] == {"dtype": "int8", "keep_float": []}

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_weights_that_are_not_finite(self, source, tmp_path, value):
        tensors = {n: t.numpy().copy() for n, t in read_folder(source).items()}
        tensors["encoder.layers.0.linear1.weight"][3, 4] = value
        write_folder(source, tensors)
        told = (
            f"{re.escape(str(source))}: NaN or infinite weights in encoder.layers.0.linear1.weight"
        )
        for dtype in ("int8", "bfloat16"):
            with pytest.raises(ValueError, match=f"{told}; repair"):
                convert(source, tmp_path / "out", dtype=dtype)
            self.nothing_is_left(tmp_path / "out")

    def test_a_layer_that_is_not_there(self, source, tmp_path):
        with pytest.raises(ValueError, match="keep_float 'linear3' is no layer; did you mean"):
            convert(source, tmp_path / "out", dtype="int8", keep_float=["linear3"])
        self.nothing_is_left(tmp_path / "out")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"keep_float": ["linear2"]}, "keep_float is for dtype int8"),
            ({"dtype": "bfloat16", "keep_float": "auto"}, "keep_float is for dtype int8"),
            ({"check": ["a"]}, "check is for dtype int8 and bfloat16"),
            ({"dtype": "int8", "check": ["a"], "tokenizer": False}, "check needs the tokenizer"),
        ],
    )
    def test_options_that_do_not_fit(self, source, tmp_path, options, message):
        with pytest.raises(ValueError, match=message):
            convert(source, tmp_path / "out", **options)
        self.nothing_is_left(tmp_path / "out")

    def test_a_folder_that_is_not_empty(self, source, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "mine").touch()
        with pytest.raises(ValueError, match="not an empty folder"):
            convert(source, tmp_path / "out", dtype="int8")
        assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine"]

    @pytest.mark.parametrize(
        ("name", "values", "message"),
        [
            (f"{TABLE}.scale", None, "weight.scale is missing"),
            (f"{TABLE}.scale", np.zeros(V, np.float32), "scale has 0.0 for row 0"),
            (TABLE, np.full((V, 12), -128, np.int8), "holds -128"),
            (TABLE, np.ones((V, 12), np.float32), "says int8, and tensor .* holds F32"),
            ("pooler.dense.weight", np.ones((12, 12), np.int8), "holds I8, which only"),
        ],
    )
    def test_a_damaged_int8_folder_is_not_copied(self, source, tmp_path, name, values, message):
        convert(source, tmp_path / "int8", dtype="int8")
        tensors = {n: t.stored().copy() for n, t in read_folder(tmp_path / "int8").items()}
        spoiled = {**tensors, name: values} if values is not None else tensors
        if values is None:
            del spoiled[name]
        write_folder(tmp_path / "int8", spoiled)
        with pytest.raises(ValueError, match=message):
            convert(tmp_path / "int8", tmp_path / "out")
        self.nothing_is_left(tmp_path / "out")

    def test_scales_of_a_weight_that_is_not_int8_are_dropped_and_it_is_told(self, int8, tmp_path):
        damaged = shutil.copytree(int8[0], tmp_path / "damaged")
        name = "encoder.layers.0.norm1.weight.scale"
        tensors = {n: t.stored().copy() for n, t in read_folder(damaged).items()}
        write_folder(damaged, tensors | {name: np.ones(128, np.float32)})
        report = convert(damaged, tmp_path / "out")
        assert report.dropped == {name: "not a tensor of this model"}
        assert name not in read_folder(tmp_path / "out")

    def test_a_float_folder_that_says_int8_is_not_copied(self, source, tmp_path):
        values = config_of(source) | {"quantization": {"dtype": "int8"}}
        (source / "config.json").write_text(json.dumps(values))
        with pytest.raises(ValueError, match=r"says int8, .*; .* remove the key if no weight is"):
            convert(source, tmp_path / "out")
        self.nothing_is_left(tmp_path / "out")

    def test_a_failure_while_writing_leaves_nothing(self, source, tmp_path, monkeypatch):
        def fail(*arguments, **options):
            raise OSError("disk full")

        monkeypatch.setattr("numpy_erniem.quantization.conversion.write_folder", fail)
        with pytest.raises(OSError, match="disk full"):
            convert(source, tmp_path / "out", dtype="int8")
        self.nothing_is_left(tmp_path / "out")


@pytest.fixture(params=HEADS, ids=lambda head: head.name)
def head(request):
    return request.param


class TestCommand:
    def test_it_prints_the_cost(self, tmp_path, capsys):
        (tmp_path / "texts.txt").write_text("Open the file\nClose it\n")
        options = ["--dtype", "int8", "--check", str(tmp_path / "texts.txt")]
        out = tmp_path / "out"
        assert main(["convert", str(bundled_checkpoint()), str(out), *options]) == 0
        assert "int8 beside float32, 2 texts: cosine of the vectors" in capsys.readouterr().out
        assert main(["embed", "Open a file", "--model", str(out)]) == 0

    def test_it_keeps_layers(self, source, tmp_path):
        options = ["--dtype", "int8", "--keep-float", "linear2", "q_proj"]
        assert main(["convert", str(source), str(tmp_path / "out"), *options]) == 0
        kept = config_of(tmp_path / "out")["quantization"]["keep_float"]
        assert kept == [n for n in quantizable_layers(2) if n.endswith(("linear2", "q_proj"))]
        outliers(source)
        options = ["--dtype", "int8", "--keep-float", "auto"]
        assert main(["convert", str(source), str(tmp_path / "auto"), *options]) == 0
        assert config_of(tmp_path / "auto")["quantization"]["keep_float"]

    def test_an_error_is_one_line(self, source, tmp_path, capsys):
        options = ["--dtype", "int8", "--keep-float", "pooler"]
        assert main(["convert", str(source), str(tmp_path / "out"), *options]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_classifier_of_int8_predicts_as_before(tmp_path):
    model = redrawn(ErnieMForSequenceClassification(ErnieMConfig(**SMALL, num_labels=5), seed=3))
    model.save_pretrained(tmp_path / "source")
    report = convert(tmp_path / "source", tmp_path / "out", dtype="int8")
    assert report.agreement.logits["ErnieMForSequenceClassification"].changed <= 0.1


def test_weights_whose_vectors_are_not_finite_are_refused(source, tmp_path):
    tensors = {n: t.stored().copy() for n, t in read_folder(source).items()}
    tensors["encoder.layers.0.linear1.weight"][:] = 3e38  # finite, and their sums are not
    write_folder(source, tensors)
    with pytest.raises(ValueError, match="has no finite vector in float32 or in int8"):
        convert(source, tmp_path / "out", dtype="int8")
    assert not (tmp_path / "out").exists()


class TestPredictions:
    """What is taken from logits is what the pipelines take from them."""

    def model(self, head, **config):
        return getattr(numpy_erniem, f"ErnieMFor{head}")(ErnieMConfig(**SMALL, **config))

    def test_an_answer_has_one_start_in_each_text(self):
        scores = np.array([[0.1, 0.4, 0.3, 0.9, 0.8, 0.2]])
        assert [*predictions(scores, self.model("QuestionAnswering"), [4, 2])] == [3, 0]

    def test_a_token_is_the_start_of_a_span_or_not(self):
        got = predictions(np.array([[-1.0, 2.0]]), self.model("InformationExtraction"), [2])
        assert got.tolist() == [[False, True]]

    def test_each_of_several_labels_is_there_or_not(self):
        several = self.model("SequenceClassification", problem_type="multi_label_classification")
        assert predictions(np.array([[-1.0, 2.0]]), several, [3]).tolist() == [[False, True]]

    def test_one_of_several_labels_is_the_best(self):
        one = self.model("SequenceClassification")
        assert predictions(np.array([[-1.0, 2.0], [4.0, 3.0]]), one, [3, 3]).tolist() == [1, 0]

    @pytest.mark.parametrize("head", ["SequenceClassification", "MultipleChoice"])
    def test_one_score_orders_texts(self, head):
        ranked = self.model(head, num_labels=1)
        got = predictions(np.array([[5.0], [6.0], [4.0]]), ranked, [3, 3, 3])
        assert got.ravel().tolist() == [False, True]


def test_layers_are_measured_by_the_first_texts_and_it_is_told(source, monkeypatch):
    wide, narrow = load(source), load(source, dtype="int8")
    texts = drawn_texts(V, 8)  # rows of 8 tokens
    whole = measure(wide, narrow, texts)
    assert whole.layer_texts == whole.texts == len(texts.rows)
    assert "largest errors of a layer:" in str(whole)
    monkeypatch.setattr(by_layer, "LAYER_TOKENS", 20)
    few = measure(wide, narrow, texts)
    assert few.layer_texts == 2
    assert few.layers == layer_errors(wide, narrow, texts.rows[:2])
    assert (few.texts, few.lowest) == (whole.texts, whole.lowest)
    assert "largest errors of a layer, on the first 2 texts:" in str(few)
    monkeypatch.setattr(by_layer, "LAYER_TOKENS", 1)
    assert measure(wide, narrow, texts).layer_texts == 1  # never none


def test_an_encoder_is_not_run_for_logits_that_it_has_not(source, monkeypatch):
    wide, narrow = load(source), load(source, dtype="int8")
    monkeypatch.setattr(logits, "_packs", lambda rows: pytest.fail("the encoder was run again"))
    assert measure(wide, narrow, drawn_texts(V, 8)).logits == {}


@pytest.mark.parametrize(
    ("keep_float", "error", "message"),
    [
        ([3], TypeError, "keep_float has 3, which is no name; give names such as"),
        (3, TypeError, "keep_float is 3; give 'auto', or a list of layers' names"),
        (None, TypeError, "keep_float is None; give 'auto'"),
        (["auto", "linear2"], ValueError, "'auto' chooses all layers itself; give it alone"),
    ],
)
def test_layers_to_keep_that_are_no_names_are_refused(source, tmp_path, keep_float, error, message):
    with pytest.raises(error, match=message):
        convert(source, tmp_path / "out", dtype="int8", keep_float=keep_float)
