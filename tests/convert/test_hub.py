"""Names on the hub, against a server on this machine: cache, revisions, breaks, no network."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import numpy_erniem
from numpy_erniem.checkpoint.hub import bundled_checkpoint, needed_files, resolve_folder

from .hub_server import Hub

NAME = "someone/ernie-m-tiny"


def needs_hub():
    if importlib.util.find_spec("huggingface_hub") is None:
        pytest.skip("huggingface_hub is not installed")


@pytest.fixture
def hub():
    needs_hub()
    files = {path.name: path.read_bytes() for path in bundled_checkpoint().iterdir()}
    other = {**files, "README.md": b"the second one"}
    files |= {"pytorch_model.bin": b"x" * 5000, "onnx/model.onnx": b"x" * 5000}
    with Hub({(NAME, "main"): files, (NAME, "v2"): other}) as server:
        yield server


@pytest.fixture
def ask(hub, tmp_path):
    """Run a line of Python in a fresh process that knows this hub alone; its output."""

    def run(code, good=True, **environment):
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
        settings = {
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
            "PYTHONPATH": str(Path(numpy_erniem.__file__).parent.parent),
            **environment,
        }
        done = subprocess.run(
            [sys.executable, "-c", f"import numpy_erniem as n\n{code}"],
            capture_output=True,
            text=True,
            env={**inherited, **settings},
            timeout=120,
        )
        assert (done.returncode == 0) == good, done.stderr
        return done.stdout.strip() if good else done.stderr.strip().split("\n")[-1]

    return run


LOAD = f"print(n.ErnieMModel.from_pretrained({NAME!r}).config.hidden_size)"


def test_a_model_is_fetched_with_only_the_files_that_are_needed(hub, ask):
    assert ask(LOAD) == "128"
    assert set(hub.got()) == {
        "config.json",
        "model.safetensors",
        "vocab.txt",
        "sentencepiece.bpe.model",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "sentence_embedding.json",
    }


def test_the_second_time_nothing_is_fetched(hub, ask):
    ask(LOAD)
    before = len(hub.got())
    assert ask(LOAD) == "128"
    assert len(hub.got()) == before


def test_offline_the_cache_is_used(hub, ask):
    ask(LOAD)
    hub.asked.clear()
    assert ask(LOAD, HF_HUB_OFFLINE="1") == "128"
    local = LOAD.replace(f"{NAME!r})", f"{NAME!r}, local_files_only=True)")
    assert ask(local) == "128"
    assert hub.asked == []


def test_without_a_network_the_cache_is_used(ask):
    ask(LOAD)
    assert ask(LOAD, HF_ENDPOINT="http://127.0.0.1:9") == "128"


def test_offline_and_not_in_the_cache(ask):
    error = ask(LOAD, good=False, HF_HUB_OFFLINE="1")
    assert error.startswith(f"FileNotFoundError: {NAME} is not a folder here and is not in the")


def test_a_name_without_an_owner(hub, ask):
    hub.models["xlm-roberta-base", "main"] = hub.models[NAME, "main"]
    code = LOAD.replace(NAME, "xlm-roberta-base")
    assert ask(code) == "128"
    assert ask(code, HF_HUB_OFFLINE="1") == "128"


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_a_cache_with_half_of_the_files_says_which_is_missing(file, ask, tmp_path):
    ask(LOAD)
    (cached,) = (tmp_path / "home").rglob(file)
    cached.resolve().unlink()
    error = ask(LOAD, good=False, HF_HUB_OFFLINE="1")
    assert f"a part of {NAME} only, without {file}" in error
    if file != "config.json":  # a tokenizer needs no weights
        ask(f"n.ErnieMTokenizer.from_pretrained({NAME!r})", HF_HUB_OFFLINE="1")
    assert ask(LOAD) == "128"


def test_a_shard_that_is_not_in_the_cache_is_named(hub, ask):
    files = hub.models[NAME, "main"]
    del files["model.safetensors"], files["pytorch_model.bin"]
    shards = {f"x{n}": f"model-0000{n}-of-00002.safetensors" for n in (1, 2)}
    files["model.safetensors.index.json"] = json.dumps({"weight_map": shards}).encode()
    files[shards["x1"]] = b"x"
    ask(LOAD, good=False)
    assert f"without {shards['x2']}" in ask(LOAD, good=False, HF_HUB_OFFLINE="1")


def test_a_revision(hub, ask):
    code = f"print(n.checkpoint.hub.resolve_folder({NAME!r}, revision='v2'))"
    ask(f"import numpy_erniem.checkpoint.hub\n{code}")
    hub.asked.clear()
    assert "snapshots" in ask(f"import numpy_erniem.checkpoint.hub\n{code}", HF_HUB_OFFLINE="1")
    main = code.replace(", revision='v2'", "")
    assert "is not in the cache" in ask(
        f"import numpy_erniem.checkpoint.hub\n{main}", good=False, HF_HUB_OFFLINE="1"
    )


def test_a_cache_of_ones_own(ask, tmp_path):
    own = tmp_path / "own"
    ask(LOAD.replace(f"{NAME!r})", f"{NAME!r}, cache_dir={str(own)!r})"))
    assert (own / "models--someone--ernie-m-tiny").is_dir()
    assert not (tmp_path / "home" / "hub" / "models--someone--ernie-m-tiny").exists()


def test_a_download_that_breaks_goes_on_where_it_was(hub, ask):
    content = bytes(range(256)) * 100_000  # huggingface_hub writes stretches of 10 MiB
    hub.models["someone/large", "main"] = {"config.json": b"{}", "model.safetensors": content}
    hub.breaks = 1
    code = "from numpy_erniem.checkpoint import hub\nprint(hub.resolve_folder('someone/large'))"
    try:
        folder = ask(code)
    except AssertionError:  # some versions of huggingface_hub go on when they are asked again
        folder = ask(code)
    assert (Path(folder) / "model.safetensors").read_bytes() == content
    assert hub.breaks == 0
    assert ("GET", "model.safetensors", "bytes=10485760-") in hub.asked


def test_a_download_that_stays_broken_is_one_line_and_no_checkpoint(hub, ask):
    hub.breaks = 10**6
    error = ask(LOAD, good=False)
    assert error.startswith(
        "ValueError: someone/ernie-m-tiny: the download broke off; run it again"
    )
    hub.breaks = 0
    assert ask(LOAD) == "128"


def test_a_file_that_is_cut_in_the_cache_is_refused(ask, tmp_path):
    ask(LOAD)
    (cut,) = (tmp_path / "home").rglob("model.safetensors")
    whole = cut.read_bytes()
    cut.resolve().write_bytes(whole[:-1000])
    assert "model.safetensors" in ask(LOAD, good=False, HF_HUB_OFFLINE="1")


UNKNOWN = {
    "someone/else": "neither a folder here nor a public model",
    "../x/y": "is not a folder here",
    "nowhere": "neither a folder here nor a public model",
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_name_that_nobody_has(name, ask):
    error = ask(f"n.ErnieMModel.from_pretrained({name!r})", good=False)
    assert error.startswith("FileNotFoundError")
    assert UNKNOWN[name] in error


def test_a_revision_that_is_not_there(ask):
    code = LOAD.replace(f"{NAME!r})", f"{NAME!r}, revision='v9')")
    assert "has no revision 'v9'" in ask(code, good=False)


def test_a_subfolder_on_the_hub(hub, ask):
    files = hub.models[NAME, "main"]
    hub.models[NAME, "main"] = {f"large/v1/{name}": data for name, data in files.items()}
    code = LOAD.replace(f"{NAME!r})", f"{NAME!r}, subfolder='large/v1')")
    assert ask(code) == "128"
    assert "large/v1/model.safetensors" in hub.got()
    assert "large/v1/pytorch_model.bin" not in hub.got()
    hub.asked.clear()
    assert ask(code, HF_HUB_OFFLINE="1") == "128"
    assert ask(code.replace("v1')", "v1', local_files_only=True)")) == "128"
    assert hub.asked == []
    assert "has no subfolder 'small'" in ask(code.replace("large/v1", "small"), good=False)


def test_a_token_reaches_the_hub(hub, ask):
    ask(LOAD.replace(f"{NAME!r})", f"{NAME!r}, token='hf_own')"))
    assert set(hub.tokens) == {"Bearer hf_own"}


def test_force_download_fetches_again(hub, ask):
    ask(LOAD)
    hub.asked.clear()
    ask(LOAD.replace(f"{NAME!r})", f"{NAME!r}, force_download=True)"))
    assert "model.safetensors" in hub.got()


def test_force_download_does_not_fall_back_on_the_cache(hub, ask):
    ask(LOAD)
    code = LOAD.replace(f"{NAME!r})", f"{NAME!r}, force_download=True)")
    assert "force_download needs the Hugging Face hub" in ask(code, good=False, HF_HUB_OFFLINE="1")


def test_the_embedder_takes_every_option(hub, ask):
    files = hub.models[NAME, "main"]
    inner = {f"inner/{name}": data for name, data in files.items()}
    hub.models[NAME, "main"] = hub.models[NAME, "v2"] = inner
    options = "revision='v2', subfolder='inner', token='hf_own'"
    code = f"print(n.Embedder.from_pretrained({NAME!r}, {options})(['x']).shape)"
    assert ask(code) == "(1, 128)"
    assert set(hub.tokens) == {"Bearer hf_own"}
    assert "has no revision 'v9'" in ask(code.replace("'v2'", "'v9'"), good=False)
    hub.asked.clear()
    ask(code.replace("'hf_own'", "'hf_own', force_download=True"))
    assert "inner/model.safetensors" in hub.got()


def test_a_tokenizer_needs_no_weights(hub, ask):
    code = f"print(n.ErnieMTokenizer.from_pretrained({NAME!r})('a')['input_ids'][0])"
    assert ask(code) == "0"
    assert "model.safetensors" not in hub.got()
    assert ask(LOAD) == "128"


def test_a_config_needs_no_weights(hub, ask):
    assert ask(f"print(n.ErnieMConfig.from_pretrained({NAME!r}).hidden_size)") == "128"
    assert "model.safetensors" not in hub.got()


def test_convert_fetches_what_the_family_needs(hub, ask, tmp_path):
    files = hub.models[NAME, "main"]
    files["tokenizer.json"] = b"{}"
    files["modules.json"] = b"[]"
    ask(f"n.convert({NAME!r}, {str(tmp_path / 'out')!r})")
    assert {"tokenizer.json", "modules.json"} <= set(hub.got())
    assert json.loads((tmp_path / "out" / "config.json").read_text())["model_type"] == "ernie_m"


def test_without_huggingface_hub_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(FileNotFoundError, match=r"pip install 'numpy-erniem\[hub\]'"):
        resolve_folder("someone/something")


def test_a_folder_is_preferred_to_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(bundled_checkpoint(), tmp_path / "someone" / "ernie-m-tiny")
    assert resolve_folder(NAME) == Path(NAME)


def test_without_a_name_it_is_the_bundled_checkpoint():
    assert resolve_folder(None) == bundled_checkpoint()


def test_one_format_is_needed_the_first_that_is_there():
    both = ["config.json", "pytorch_model.bin", "model.safetensors", "tf_model.h5"]
    assert needed_files(both) == ["config.json", "model.safetensors"]
    assert needed_files(both[:2]) == ["config.json", "pytorch_model.bin"]
    shards = [f"pytorch_model-0000{n}-of-00002.bin" for n in (1, 2)]
    index = "pytorch_model.bin.index.json"
    assert needed_files([*shards, index]) == [index, *shards]


def test_a_conversion_needs_the_modules_of_sentence_transformers():
    dense = ["2_Dense/config.json", "2_Dense/pytorch_model.bin"]
    plain = ["config.json", "model.safetensors", "modules.json", "1_Pooling/config.json", *dense]
    assert set(needed_files([*plain, "onnx/model.onnx", "openvino/config.json"], family=True)) == {
        *plain
    }
    assert set(needed_files(plain)) == {"config.json", "model.safetensors"}


def test_a_conversion_needs_the_encoder_of_an_old_folder():
    encoder = ["config.json", "pytorch_model.bin", "sentence_xlm-roberta_config.json"]
    wanted = ["modules.json", "1_Pooling/config.json", *(f"0_Transformer/{n}" for n in encoder)]
    assert set(needed_files([*wanted, "0_Transformer/tf_model.h5"], family=True)) == {*wanted}


def test_the_command_takes_a_name(hub, ask):
    code = f"from numpy_erniem.cli.main import main; main(['embed', 'a', '--model', {NAME!r}])"
    assert json.loads(ask(code))["text"] == "a"
    code = code.replace("main([", "raise SystemExit(main([").replace("])", "]))")
    assert "no revision 'v9'" in ask(code.replace("'a', ", "'a', '--revision', 'v9', "), good=False)
