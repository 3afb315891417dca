"""What is fuzzed: each target reads one file, as a user's program would, to the last tensor."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from numpy_erniem import ErnieMConfig, ErnieMModel
from numpy_erniem.checkpoint.config_files import old_paddle_config
from numpy_erniem.checkpoint.folder import read_folder
from numpy_erniem.checkpoint.hub import bundled_checkpoint
from numpy_erniem.checkpoint.json_files import read_json
from numpy_erniem.checkpoint.paddle_files import read_pdparams
from numpy_erniem.checkpoint.safetensors_file import read_safetensors
from numpy_erniem.checkpoint.sentence_settings import read_sentence_settings
from numpy_erniem.checkpoint.torch_files import read_torch
from numpy_erniem.conversion.added_tokens import read_added_tokens
from numpy_erniem.conversion.report import Report
from numpy_erniem.conversion.sentence_transformers import settings_of_source, transformer_folder
from numpy_erniem.conversion.tokenizer_json import read_fast_tokenizer
from numpy_erniem.conversion.unigram import read_rules, sentencepiece_model
from numpy_erniem.parity.golden import read_golden
from numpy_erniem.tokenizer import ErnieMTokenizer

CORPUS = Path(__file__).parent / "corpus"


def tensors_of(read: Callable) -> Callable[[Path], None]:
    def target(path: Path) -> None:
        for tensor in read(path).values():
            tensor.encode_as()

    return target


def load_config(path: Path) -> None:
    """A mutated config beside good weights: everything that its sizes could break."""
    ErnieMConfig.from_json_file(path)
    ErnieMModel.from_pretrained(path.parent)


def load_index(path: Path) -> None:
    for tensor in read_folder(path.parent).values():
        tensor.encode_as()


def load_unigram(path: Path) -> None:
    fast = read_fast_tokenizer(read_json(path))
    read_rules(sentencepiece_model(fast.pieces, fast.charsmap))
    read_added_tokens({}, fast.layout, fast.vocabulary, fast, str)


def load_tokenizer(path: Path) -> None:
    tokenizer = ErnieMTokenizer.from_pretrained(path.parent)
    tokenizer("Hello <x> 世界")


class Target:
    """A corpus file, the name it has in a folder, its reader, and what stands beside it."""

    def __init__(self, corpus, run, name=None, share=1.0):
        self.corpus, self.run, self.share = corpus, run, share
        self.name = name or corpus

    def prepare(self, folder: Path) -> Path:
        """Put good files around the one that will be mutated; its path."""
        if self.run is load_config:
            config = ErnieMConfig.from_json_file(CORPUS / self.corpus)
            ErnieMModel(config).save_pretrained(folder)
        if self.run is load_index:
            shutil.copy(CORPUS / "plain.safetensors", folder)
        if self.run is load_tokenizer:
            for name in ("sentencepiece.bpe.model", "vocab.txt", "tokenizer_config.json"):
                shutil.copy(bundled_checkpoint() / name, folder)
        if self.run is sentence_target:
            (folder / "1_Pooling").mkdir()
            (folder / "1_Pooling/config.json").write_text('{"pooling_mode_mean_tokens": true}')
        return folder / self.name

    def good(self) -> bytes:
        if self.corpus == "golden.npz":
            return golden()
        known = CORPUS / self.corpus
        return (known if known.exists() else bundled_checkpoint() / self.corpus).read_bytes()


def sentence_target(path: Path) -> None:
    transformer_folder(path.parent)
    settings_of_source(path.parent, [], 12, Report())


def golden() -> bytes:
    import io

    file = io.BytesIO()
    arrays = {"input input_ids": np.ones((1, 2), int), "input attention_mask": np.ones((1, 2), int)}
    np.savez_compressed(file, **arrays, **{"output embeddings": np.ones((1, 2, 3), np.float32)})
    return file.getvalue()


TARGETS = {
    "safetensors": Target("plain.safetensors", tensors_of(read_safetensors)),
    "torch zip": Target("zip.bin", tensors_of(read_torch), share=2),
    "torch legacy": Target("legacy.bin", tensors_of(read_torch), share=2),
    "pdparams 2": Target("protocol2.pdparams", tensors_of(read_pdparams)),
    "pdparams 3": Target("protocol3.pdparams", tensors_of(read_pdparams)),
    "pdparams 4": Target("protocol4.pdparams", tensors_of(read_pdparams)),
    "config": Target("config.json", load_config),
    "old config": Target("model_config.json", old_paddle_config, share=0.5),
    "index": Target("model.safetensors.index.json", load_index),
    "modules": Target("modules.json", sentence_target, share=0.5),
    "settings": Target(
        "sentence_embedding.json", lambda path: read_sentence_settings(path.parent), share=0.5
    ),
    "tokenizer.json": Target("tokenizer.json", load_unigram),
    "tokenizer config": Target("tokenizer_config.json", load_tokenizer, share=0.05),
    "vocabulary": Target("vocab.txt", load_tokenizer, share=0.03),
    "sentencepiece": Target("sentencepiece.bpe.model", load_tokenizer, share=0.03),
    "golden": Target("golden.npz", read_golden, share=0.5),
}
