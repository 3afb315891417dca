"""Loading with overrides, and load(), which takes the class that config.json names."""

import json
import warnings

import numpy as np
import pytest

import numpy_erniem
import numpy_erniem.checkpoint.config_files as config_files
import numpy_erniem.checkpoint.folder as folder_module
from numpy_erniem import (
    ErnieMConfig,
    ErnieMForMaskedLM,
    ErnieMForSequenceClassification,
    ErnieMModel,
)
from numpy_erniem.models.weights import flatten
from tests.models.conftest import HEADS, NAMES, SMALL, D, L, same_weights

BY_NAME = dict(zip(NAMES, HEADS, strict=True))
CLASSIFIER = BY_NAME["SequenceClassification"]


@pytest.fixture
def folder(tmp_path):
    """A classifier of five classes."""
    CLASSIFIER.make().save_pretrained(tmp_path)
    return tmp_path


class TestLoading:
    def test_saved_and_loaded_is_the_same(self, head, tmp_path, rng):
        model = head.make()
        model.save_pretrained(tmp_path)
        again = head.model.from_pretrained(tmp_path)
        assert same_weights(again, model)
        assert again.config == model.config
        assert again.config.architectures == [head.name]

    def test_upstream_loads_what_we_save(self, upstream_head, tmp_path, transformers, run, rng):
        ours = upstream_head.make()
        ours.save_pretrained(tmp_path)
        theirs, info = getattr(transformers, upstream_head.name).from_pretrained(
            tmp_path, output_loading_info=True
        )
        assert not any(info.values())
        arguments = upstream_head.inputs(rng)
        want = run(theirs.eval(), **arguments)
        for name in upstream_head.scores:
            got = ours(**arguments)[name]
            np.testing.assert_allclose(got, want[name].numpy(), rtol=0, atol=2e-5)

    def test_a_base_checkpoint_into_a_head_names_the_new_tensors(self, head, tmp_path):
        base = ErnieMModel(ErnieMConfig(**SMALL), add_pooling_layer=head.model.pooling, seed=9)
        base.save_pretrained(tmp_path)
        with pytest.warns(UserWarning, match="drawn at random, train them before use"):
            model, info = head.model.from_pretrained(tmp_path, output_loading_info=True)
        assert info["missing_keys"] == list(model.head_shapes(model.config))
        assert info["unexpected_keys"] == info["mismatched_keys"] == info["error_msgs"] == []
        got = flatten(model.weights["ernie_m"])
        assert all(np.array_equal(got[n], v) for n, v in flatten(base.weights).items())

    def test_a_head_checkpoint_into_the_base_names_what_is_not_used(self, folder):
        with pytest.warns(UserWarning, match="not used: classifier.bias, classifier.weight"):
            base = ErnieMModel.from_pretrained(folder)
        head = ErnieMForSequenceClassification.from_pretrained(folder)
        got, want = flatten(base.weights), flatten(head.weights["ernie_m"])
        assert got.keys() == want.keys()
        assert all(np.array_equal(got[name], want[name]) for name in got)

    def test_new_heads_are_drawn_as_upstream_draws_them(self):
        config = ErnieMConfig(**{**SMALL, "hidden_size": 300}, num_labels=200)
        w = ErnieMForSequenceClassification(config).weights["classifier"]
        assert not w["bias"].any()
        assert w["weight"].std() == pytest.approx(SMALL["initializer_range"], rel=0.02)
        lm = ErnieMForMaskedLM(config).weights["lm_head"]
        assert (lm["layer_norm"]["weight"] == 1).all()
        assert not lm["bias"].any()
        assert not lm["layer_norm"]["bias"].any()

    def test_the_seed_draws_the_new_tensors(self, tmp_path):
        ErnieMModel(ErnieMConfig(**SMALL)).save_pretrained(tmp_path)
        with pytest.warns(UserWarning, match="drawn at random"):
            drawn = [
                ErnieMForSequenceClassification.from_pretrained(tmp_path, seed=seed)
                for seed in (1, 1, 2)
            ]
        assert same_weights(drawn[0], drawn[1])
        assert not same_weights(drawn[0], drawn[2])

    def test_num_labels_of_another_size_is_an_error_that_names_both(self, folder):
        with pytest.raises(ValueError, match=r"classifier.weight: \(5, 12\) in the file, \(3, 12"):
            ErnieMForSequenceClassification.from_pretrained(folder, num_labels=3)

    def test_ignore_mismatched_sizes_draws_the_head(self, folder):
        with pytest.warns(UserWarning, match="random.*classifier.weight, classifier.bias"):
            model, info = ErnieMForSequenceClassification.from_pretrained(
                folder, num_labels=3, ignore_mismatched_sizes=True, output_loading_info=True
            )
        assert model([[0, 5, 2]]).logits.shape == (1, 3)
        assert info["mismatched_keys"] == [
            ("classifier.weight", (5, D), (3, D)),
            ("classifier.bias", (5,), (3,)),
        ]
        assert info["missing_keys"] == info["unexpected_keys"] == []

    def test_config_overrides(self, folder):
        names = {0: "a", 1: "b", 2: "c", 3: "d", 4: "e"}
        model = ErnieMForSequenceClassification.from_pretrained(
            folder,
            id2label=names,
            problem_type="multi_label_classification",
            output_attentions=True,
            return_dict=False,
        )
        assert model.config.id2label == names
        assert model.config.label2id == {name: i for i, name in names.items()}
        _, logits, attentions = model([[0, 5, 2]], labels=[[1.0, 0, 0, 1, 0]])
        assert logits.shape == (1, 5)
        assert len(attentions) == L
        with pytest.raises(ValueError, match="multi_label_classification"):
            model([[0, 5, 2]], labels=[3])

    def test_a_config_instead_of_the_folders_is_not_changed(self, folder):
        config = ErnieMConfig(**SMALL, num_labels=5, extra_key={"a": [1]})
        model = ErnieMForSequenceClassification.from_pretrained(
            folder, config=config, problem_type="regression"
        )
        model.config.extra_key["a"].append(2)
        assert model.config.problem_type == "regression"
        assert config.problem_type is None
        assert config.extra_key == {"a": [1]}

    def test_a_wrong_config_is_not_saved_and_writes_no_weights(self, tmp_path):
        model = CLASSIFIER.make()
        model.config.hidden_act = "gleu"
        with pytest.raises(ValueError, match="hidden_act 'gleu'"):
            model.save_pretrained(tmp_path / "out")
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"num_label": 3}, "unknown option 'num_label'; did you mean 'num_labels'"),
            ({"ignore_mismatched_size": True}, "unknown option 'ignore_mismatched_size'"),
            ({"num_labels": 2, "id2label": {0: "a"}}, "num_labels 2 contradicts id2label"),
            ({"problem_type": "multi"}, "problem_type 'multi' is not one of"),
            ({"add_pooling_layer": False}, "unknown option 'add_pooling_layer'"),
            ({"dtype": "float16"}, "dtype 'float16' is for storing, not for computing"),
        ],
    )
    def test_wrong_options_are_named(self, options, message, folder):
        with pytest.raises(ValueError, match=message):
            ErnieMForSequenceClassification.from_pretrained(folder, **options)

    def test_an_answer_has_two_columns(self, folder):
        message = "num_labels 5 is not 2: question answering.*pass num_labels=2"
        with pytest.raises(ValueError, match=message):
            BY_NAME["QuestionAnswering"].model.from_pretrained(folder)
        with pytest.raises(ValueError, match=message):
            BY_NAME["QuestionAnswering"].make(num_labels=5)


class TestOpening:
    """A checkpoint's config is read once, and so are the headers of its files."""

    @pytest.fixture
    def opened(self, monkeypatch):
        """Names of the files that were opened."""
        seen = []
        original = folder_module.read_json

        def read_json(path):
            seen.append(path.name)
            return original(path)

        def reader(form):
            def read(path):
                seen.append(path.name)
                return form.read(path)

            return form._replace(read=read)

        monkeypatch.setattr(folder_module, "read_json", read_json)
        monkeypatch.setattr(config_files, "read_json", read_json)
        forms = tuple(map(reader, folder_module.FORMATS))
        monkeypatch.setattr(folder_module, "FORMATS", forms)
        return seen

    def test_load_opens_every_file_once(self, folder, opened):
        numpy_erniem.load(folder)
        assert sorted(opened) == ["config.json", "model.safetensors"]

    def test_load_opens_every_shard_once(self, tmp_path, opened):
        CLASSIFIER.make().save_pretrained(tmp_path, max_shard_size="10KB")
        numpy_erniem.load(tmp_path)
        assert sorted(opened) == sorted({*opened})
        assert len(opened) > 3

    def test_from_pretrained_opens_every_file_once(self, folder, opened):
        ErnieMForSequenceClassification.from_pretrained(folder)
        assert sorted(opened) == ["config.json", "model.safetensors"]

    @pytest.mark.parametrize("load", [numpy_erniem.load, CLASSIFIER.model.from_pretrained])
    def test_where_it_is_found_is_passed_on(self, load, folder, monkeypatch):
        seen = {}

        def resolve_folder(name, **options):
            seen.update(options, name=name)
            return folder

        monkeypatch.setattr("numpy_erniem.models.loading.resolve_folder", resolve_folder)
        options = {"revision": "v2", "cache_dir": "here", "local_files_only": True}
        load("owner/model", **options)
        assert seen == {**options, "name": "owner/model"}
        more = {"subfolder": "a/b", "token": "x", "force_download": True}
        load("owner/model", **options, **more)
        assert seen == {**options, **more, "name": "owner/model"}

    @pytest.mark.parametrize("load", [numpy_erniem.load, CLASSIFIER.model.from_pretrained])
    def test_a_subfolder(self, load, tmp_path):
        model = CLASSIFIER.make()
        model.save_pretrained(tmp_path / "a" / "b", max_shard_size="10KB")
        assert same_weights(load(tmp_path, subfolder="a/b"), model)
        with pytest.raises(FileNotFoundError, match="has no subfolder 'c'"):
            load(tmp_path, subfolder="c")

    @pytest.mark.parametrize("load", [numpy_erniem.load, CLASSIFIER.model.from_pretrained])
    def test_no_keyword_of_loading_is_stored(self, load, folder, tmp_path):
        options = {"token": "hf_SECRET", "trust_remote_code": True, "use_fast": False}
        model = load(folder, resume_download=True, force_download=True, **options)
        model.save_pretrained(tmp_path / "out")
        text = (tmp_path / "out" / "config.json").read_text()
        assert text == (folder / "config.json").read_text()

    @pytest.mark.parametrize("load", [numpy_erniem.load, CLASSIFIER.model.from_pretrained])
    def test_a_keyword_of_loading_that_cannot_be_honoured_is_refused(self, load, folder):
        with pytest.raises(ValueError, match="proxies is not supported"):
            load(folder, proxies={"https": "http://proxy"})

    @pytest.mark.parametrize("load", [numpy_erniem.load, CLASSIFIER.model.from_pretrained])
    def test_a_given_config_replaces_the_file(self, load, folder, opened):
        config = ErnieMConfig.from_pretrained(folder)
        (folder / "config.json").unlink()
        opened.clear()
        assert type(load(folder, config=config)) is ErnieMForSequenceClassification
        assert opened == ["model.safetensors"]


class TestLoad:
    def test_the_architecture_picks_the_class(self, head, tmp_path):
        head.make().save_pretrained(tmp_path)
        assert type(numpy_erniem.load(tmp_path)) is head.model

    def rewrite(self, folder, **keys):
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))

    def test_uie_m_by_its_name_in_paddle(self, tmp_path):
        head = BY_NAME["InformationExtraction"]
        head.make().save_pretrained(tmp_path)
        self.rewrite(tmp_path, architectures=["UIEM"])
        assert type(numpy_erniem.load(tmp_path)) is head.model

    @pytest.mark.parametrize("architectures", [None, []])
    def test_without_architectures_it_is_the_bare_model(self, architectures, tmp_path):
        ErnieMModel(ErnieMConfig(**SMALL)).save_pretrained(tmp_path)
        self.rewrite(tmp_path, architectures=architectures)
        assert type(numpy_erniem.load(tmp_path)) is ErnieMModel

    def test_of_several_architectures_the_first_counts(self, folder):
        self.rewrite(folder, architectures=["ErnieMForSequenceClassification", "T5"])
        assert type(numpy_erniem.load(folder)) is ErnieMForSequenceClassification

    def test_an_unknown_architecture_is_an_error_with_the_nearest(self, folder):
        self.rewrite(folder, architectures=["ErnieMForSequenceClassifier"])
        with pytest.raises(ValueError, match="did you mean 'ErnieMForSequenceClassification'"):
            numpy_erniem.load(folder)
        self.rewrite(folder, architectures=["T5"])
        with pytest.raises(ValueError, match=r"a 'T5'; known: .*ErnieMForMaskedLM.*UIEM"):
            numpy_erniem.load(folder)

    def test_options_are_passed_on(self, folder):
        model, info = numpy_erniem.load(
            folder, output_loading_info=True, problem_type="regression", dtype="float64"
        )
        assert info["missing_keys"] == []
        assert model.config.problem_type == "regression"
        assert model.dtype == "float64"

    def test_the_name_of_a_checkpoint_is_called_model(self, folder):
        assert type(numpy_erniem.load(model=folder)) is ErnieMForSequenceClassification
        assert ErnieMForSequenceClassification.from_pretrained(model=folder).config.num_labels == 5
        assert ErnieMConfig.from_pretrained(model=folder).num_labels == 5

    def test_no_folder(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="nowhere"):
            numpy_erniem.load(tmp_path / "nowhere")


def test_new_names_replace_all_that_a_config_says_of_labels():
    values = {"id2label": {"0": "a"}, "label2id": {"a": 0}, "num_labels": 1}
    config = ErnieMConfig.from_dict(values, id2label={0: "x", 1: "y"})
    assert config.num_labels == 2
    assert config.label2id == {"x": 0, "y": 1}


def test_loading_a_checkpoint_that_fits_warns_of_nothing(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ErnieMForSequenceClassification.from_pretrained(folder)
