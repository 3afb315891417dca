"""Write tests/fuzz/corpus: small good files of every kind that we read.

    python -m tests.fuzz.make_corpus

Needs torch for its own two formats; the files are kept, so that fuzzing does not.
"""

import collections
import json
import pickle
from pathlib import Path

import numpy as np

from numpy_erniem.checkpoint.folder import write_folder

CORPUS = Path(__file__).parent / "corpus"


def tensors():
    rng = np.random.default_rng(5)
    shapes = {"embeddings.word_embeddings.weight": (5, 3), "encoder.layers.0.linear1.bias": (4,)}
    found = {name: rng.standard_normal(s).astype(np.float32) for name, s in shapes.items()}
    return found | {"half": np.float16([1, 2, 3]), "none": np.zeros((0, 2), np.float32)}


def as_json(name, values):
    (CORPUS / name).write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")


def write_torch():
    import torch

    state = collections.OrderedDict((n, torch.from_numpy(x)) for n, x in tensors().items())
    state["tied"] = state["embeddings.word_embeddings.weight"]
    state["columns"] = state["embeddings.word_embeddings.weight"].T
    state["brain"] = torch.ones(3, dtype=torch.bfloat16)
    for name, zipped in (("zip.bin", True), ("legacy.bin", False)):
        torch.save(state, CORPUS / name, _use_new_zipfile_serialization=zipped)


def main():
    CORPUS.mkdir(exist_ok=True)
    (path,) = write_folder(CORPUS, tensors())
    path.rename(CORPUS / "plain.safetensors")
    for protocol in (2, 3, 4):
        content = tensors() | {"StructuredToParameterName@@": {"half": "linear_0.w_0"}}
        (CORPUS / f"protocol{protocol}.pdparams").write_bytes(pickle.dumps(content, protocol))
    write_torch()
    sizes = {"vocab_size": 19, "hidden_size": 12, "num_attention_heads": 3, "intermediate_size": 7}
    labels = {"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 0, "b": 1}, "pruned_heads": {}}
    as_json(
        "config.json",
        {
            **sizes,
            **labels,
            "num_hidden_layers": 1,
            "model_type": "ernie_m",
            "max_position_embeddings": 20,
            "architectures": ["ErnieMModel"],
        },
    )
    arguments = [{**sizes, "init_class": "ErnieMModel"}, 5]
    as_json("model_config.json", {"init_args": arguments, "init_class": "UIEM"})
    as_json(
        "model.safetensors.index.json",
        {"metadata": {"total_size": 9}, "weight_map": {"a": "plain.safetensors"}},
    )
    as_json(
        "modules.json",
        [
            {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            {"idx": 2, "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
        ],
    )
    as_json(
        "sentence_embedding.json",
        {
            "pooling": "mean",
            "normalize": True,
            "max_length": 9,
            "prompts": {"query": "q: "},
            "default_prompt_name": "query",
        },
    )
    pieces = [["<s>", 0.0], ["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0], ["▁a", -1.5], ["▁", -2]]
    metaspace = {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True}
    ends = {"cls": ["<s>", 0], "sep": ["</s>", 2]}
    strip = {"type": "Strip", "strip_left": False, "strip_right": True}
    spaces = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
    normalizer = {"type": "Precompiled", "precompiled_charsmap": "ALQCAACEAAAAAACAAQAAgMz8"}
    as_json(
        "tokenizer.json",
        {
            "model": {"type": "Unigram", "unk_id": 3, "vocab": pieces},
            "normalizer": {"type": "Sequence", "normalizers": [normalizer, strip, spaces]},
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace],
            },
            "post_processor": {"type": "RobertaProcessing", **ends},
            "decoder": metaspace,
            "added_tokens": [{"id": 6, "content": "<mask>", "lstrip": True, "special": True}],
            "padding": {"pad_id": 1, "pad_token": "<pad>", "direction": "Left"},
            "truncation": {"max_length": 9, "direction": "Left"},
        },
    )
    as_json(
        "tokenizer_config.json",
        {
            "cls_token": "[CLS]",
            "mask_token": {"content": "[MASK]", "lstrip": True},
            "cut_pieces": False,
            "model_max_length": 514,
            "do_lower_case": True,
            "added_tokens_decoder": {"8003": {"content": "<x>", "special": True}},
        },
    )


if __name__ == "__main__":
    main()
