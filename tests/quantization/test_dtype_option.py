"""dtype= of every pipeline, and --dtype of every command that runs a model."""

import json
import pickle

import numpy as np
import pytest

import numpy_erniem
from numpy_erniem import Embedder, HybridEmbedder, bundled_checkpoint, embed
from numpy_erniem.cli import options as cli_options
from numpy_erniem.cli.main import main
from numpy_erniem.pipelines.loadable import Loadable

TEXTS = ["Open the file", "Öffnen Sie die Datei", "Fermez la fenêtre"]
PIPELINES = (
    *("ChoiceRanker", "Embedder", "HybridEmbedder", "InformationExtractor", "MaskFiller"),
    *("QuestionAnswerer", "Reranker", "TextClassifier", "TokenTagger", "ZeroShotClassifier"),
)


def folder_for(pipeline, tmp_path):
    """The bundled checkpoint with a drawn head, where the pipeline needs one."""
    if pipeline.model_class == "ErnieMModel":
        return bundled_checkpoint()
    kind = getattr(numpy_erniem, pipeline.model_class)
    config = numpy_erniem.ErnieMConfig.from_pretrained(
        bundled_checkpoint(), id2label={0: "entailment", 1: "contradiction"}
    )
    if pipeline.__name__ == "Reranker":
        config.num_labels = 1
    kind(config, seed=1).save_pretrained(tmp_path)
    numpy_erniem.ErnieMTokenizer.from_pretrained(bundled_checkpoint()).save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.filterwarnings("ignore:.*not used")
@pytest.mark.parametrize("name", PIPELINES)
def test_every_pipeline_is_loaded_in_a_dtype_and_pickled_with_it(name, tmp_path):
    pipeline = getattr(numpy_erniem, name)
    options = {"outputs": ("dense",)} if name == "HybridEmbedder" else {}
    folder = folder_for(pipeline, tmp_path)
    loaded = pipeline.from_pretrained(folder, dtype="int8", **options)
    assert loaded.model.precision == "int8"
    assert pickle.loads(pickle.dumps(loaded)).model.precision == "int8"
    assert pickle.loads(pickle.dumps(loaded.with_options())).model.precision == "int8"


def test_the_list_of_pipelines_is_complete():
    public = (getattr(numpy_erniem, name) for name in numpy_erniem.__all__)
    found = {p.__name__ for p in public if isinstance(p, type) and issubclass(p, Loadable)}
    assert found == set(PIPELINES)


@pytest.mark.parametrize("asked", ["int8", "bfloat16"])
def test_vectors_are_near_those_of_float32(asked):
    want = embed(TEXTS, normalize=True)
    got = embed(TEXTS, normalize=True, dtype=asked)
    cosines = (got * want).sum(axis=1)
    assert not np.array_equal(got, want)
    assert cosines.min() > 0.995


def test_torch_dtype_is_another_name_of_dtype():
    assert Embedder.from_pretrained(torch_dtype="bfloat16").model.precision == "bfloat16"
    with pytest.raises(ValueError, match="torch_dtype int8 contradicts dtype bfloat16"):
        HybridEmbedder.from_pretrained(torch_dtype="int8", dtype="bfloat16")
    with pytest.raises(ValueError, match="float16' is for storing, not for computing"):
        Embedder.from_pretrained(dtype="float16")
    with pytest.raises(TypeError, match="no option 'dtipe'; did you mean 'dtype'"):
        Embedder.from_pretrained(dtipe="int8")


def test_the_command_computes_in_the_dtype(capsys):
    assert main(["embed", *TEXTS, "--dtype", "int8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    got = np.float32([json.loads(line)["vector"] for line in lines])
    np.testing.assert_array_equal(got, embed(TEXTS, dtype="int8"))
    assert main(["embed", *TEXTS, "--dtype", "float32"]) == 0


COMMANDS = (
    *("answer", "choose", "classify", "embed", "explain", "extract", "fill"),
    *("parity", "rerank", "search", "serve", "tag", "zero-shot"),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_runs_a_model_has_the_option(command, capsys):
    with pytest.raises(SystemExit) as error:
        main([command, "--dtype", "float16"])
    assert error.value.code == 2
    assert "invalid choice: 'float16'" in capsys.readouterr().err


def test_the_option_is_an_argument_of_the_pipeline():
    class Options:
        dtype = "int8"
        revision = subfolder = cache_dir = None
        local_files_only = force_download = False

    assert cli_options.model_options(Options())["dtype"] == "int8"


def test_a_search_computes_as_the_index_was_built(tmp_path, capsys, monkeypatch):
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS), "utf-8")
    built = ["search", str(tmp_path / "index"), "--build", str(tmp_path / "texts.txt")]
    assert main([*built, "--dtype", "int8"]) == 0
    loaded = []
    real = Embedder.from_pretrained.__func__

    def load(cls, *args, **options):
        loaded.append(options["dtype"])
        return real(cls, *args, **options)

    monkeypatch.setattr(Embedder, "from_pretrained", classmethod(load))
    assert main(["search", str(tmp_path / "index"), TEXTS[0], "--top-k", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["score"] > 0.99999
    named = ["search", str(tmp_path / "index"), TEXTS[0], "--model", str(bundled_checkpoint())]
    assert main(named) == 0
    assert "warning" not in capsys.readouterr().err
    assert main(["search", str(tmp_path / "index"), TEXTS[0], "--dtype", "float32"]) == 0
    assert "the index was built with --dtype int8; vectors of queries in float32" in (
        capsys.readouterr().err
    )
    assert loaded == ["int8", "int8", "float32"]


def test_a_search_in_a_number_type_that_the_index_has_not_is_told(tmp_path, capsys):
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS), "utf-8")
    folder = str(tmp_path / "index")
    assert main(["search", folder, "--build", str(tmp_path / "texts.txt")]) == 0
    assert main(["search", folder, TEXTS[0]]) == 0
    assert "warning" not in capsys.readouterr().err
    assert main(["search", folder, TEXTS[0], "--dtype", "int8"]) == 0
    assert "the index was built without --dtype" in capsys.readouterr().err
