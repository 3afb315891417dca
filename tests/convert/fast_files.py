"""Whole tokenizer.json files of XLM-R's and CamemBERT's kind, made of a SentencePiece model."""

import base64
import json
from functools import lru_cache

from numpy_erniem.checkpoint.hub import bundled_checkpoint
from numpy_erniem.conversion.family_tokenizers import from_xlm_roberta
from numpy_erniem.conversion.report import Report
from numpy_erniem.conversion.unigram import CAMEMBERT, XLM_R, read_rules, sentencepiece_model
from numpy_erniem.tokenizer import ErnieMTokenizer

MODEL_FILE = "sentencepiece.bpe.model"
BUNDLED = bundled_checkpoint() / MODEL_FILE
SPACES = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
UNDERLINES = SPACES | {"content": "▁"}
STRIP = {"type": "Strip", "strip_left": False, "strip_right": True}
METASPACE = {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True}
WHITESPACE_SPLIT = {"type": "WhitespaceSplit"}


def sequence(*steps, part):
    return {"type": "Sequence", part: list(steps)}


def normalizers(charsmap, *more):
    precompiled = {
        "type": "Precompiled",
        "precompiled_charsmap": base64.b64encode(charsmap).decode(),
    }
    return sequence(precompiled, *more, part="normalizers")


def template(layout):
    """The TemplateProcessing of a layout."""
    ids = {"<s>": layout.cls_id, "</s>": layout.sep_id}

    def items(text):
        return [
            {"Sequence": {"id": name, "type_id": 0}}
            if name in ("A", "B")
            else {"SpecialToken": {"id": name, "type_id": 0}}
            for name in text.split()
        ]

    return {
        "type": "TemplateProcessing",
        "single": items("<s> A </s>"),
        "pair": items("<s> A </s> </s> B </s>"),
        "special_tokens": {t: {"id": t, "ids": [n], "tokens": [t]} for t, n in ids.items()},
    }


@lru_cache(maxsize=8)
def pieces_of(model_file=BUNDLED, most=None):
    """Texts and scores of a model's pieces without the special ones, and its rules.

    With `most`, the pieces of one character and as many of the others.
    """
    from sentencepiece import SentencePieceProcessor

    processor = SentencePieceProcessor(model_file=str(model_file))
    pieces = [
        [processor.id_to_piece(n), processor.get_score(n)]
        for n in range(3, processor.get_piece_size())
    ]
    if most is not None:
        pieces = [
            piece for n, piece in enumerate(pieces) if n < most or len(piece[0].strip("▁")) < 2
        ]
    return pieces, read_rules(model_file.read_bytes())[1]


def added(text, index, **flags):
    usual = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": index, "content": text, **usual, "special": True, **flags}


def fast_tokenizer(pieces, charsmap, layout=XLM_R, **changes):
    """The content of a tokenizer.json; `changes` are parts that are put in place of the usual."""
    vocabulary = [[text, 0.0] for text in layout.first] + pieces + [["<mask>", 0.0]]
    special = [
        added(text, n) for n, text in enumerate(layout.first) if not text.endswith("NOTUSED")
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [*special, added("<mask>", len(vocabulary) - 1, lstrip=True)],
        "normalizer": normalizers(charsmap, SPACES),
        "pre_tokenizer": sequence(WHITESPACE_SPLIT, METASPACE, part="pretokenizers"),
        "post_processor": template(layout),
        "decoder": METASPACE,
        "model": {"type": "Unigram", "unk_id": 3, "vocab": vocabulary},
        **changes,
    }


def write(folder, content):
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")


def convert_tokenizer(source, out, rows=10**6, model_type="xlm-roberta"):
    """Convert the tokenizer of a folder alone; the tokenizer and the report."""
    report = Report()
    config = {"vocab_size": rows, "source_model_type": model_type}
    out.mkdir(exist_ok=True)
    for name, content in from_xlm_roberta(source, config, 512, report).items():
        (out / name).write_bytes(content)
    return ErnieMTokenizer.from_pretrained(out), report


def write_model(folder, pieces, charsmap):
    model = sentencepiece_model([tuple(piece) for piece in pieces], charsmap)
    (folder / MODEL_FILE).write_bytes(model)


LAYOUTS = {"xlm-roberta": XLM_R, "camembert": CAMEMBERT}
