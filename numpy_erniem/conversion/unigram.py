"""Read and write SentencePiece models, byte by byte, and the Unigram part of a tokenizer.json.

A SentencePiece model is a protocol buffer: a field is its number and wire type in one varint, then
a varint (type 0), four bytes (5) or a length and that many bytes (2). We need these fields:

    1 pieces {1 text, 2 score, 3 type}   2 trainer {3 Unigram, 40-43 ids}   3 normalizer {1, 2}
"""

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

UNDERLINE = "▁"
NORMAL, UNKNOWN, CONTROL = 1, 2, 3
UNIGRAM = 1
LARGEST_SCORE = 1e30  # a float32 holds it; logarithms of probabilities are above -100


def varint(number: int) -> bytes:
    """Encode seven bits in each byte, low bits first; the top bit says that more bytes follow.

    Examples
    --------
    >>> varint(300).hex()
    'ac02'
    """
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def block(field: int, content: bytes) -> bytes:
    """Serialize a field of wire type 2: a length and that many bytes."""
    return varint(field << 3 | 2) + varint(len(content)) + content


def whole(field: int, number: int) -> bytes:
    """Serialize a field of wire type 0: a varint."""
    return varint(field << 3) + varint(number)


def _piece(text: str, score: float, kind: int = NORMAL) -> bytes:
    """Serialize an entry of the vocabulary."""
    content = block(1, text.encode("utf-8")) + struct.pack("<Bf", 2 << 3 | 5, score)
    return block(1, content + (b"" if kind == NORMAL else whole(3, kind)))


def sentencepiece_model(pieces: list[tuple[str, float]], charsmap: bytes) -> bytes:
    """Serialize a Unigram model.

    Parameters
    ----------
    pieces : list of (str, float)
        Ordinary pieces with their scores, from SentencePiece id 3.
    charsmap : bytes
        The normalisation rules, as SentencePiece compiles them.
    """
    specials = [("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)]
    head = b"".join(_piece(text, 0.0, kind) for text, kind in specials)
    trainer = whole(3, UNIGRAM) + whole(4, len(pieces) + len(specials))
    trainer += whole(40, 0) + whole(41, 1) + whole(42, 2)
    trainer += varint(43 << 3) + b"\xff" * 9 + b"\x01"  # pad_id -1: there is none
    normalizer = block(1, b"nmt_nfkc") + block(2, charsmap)
    body = b"".join(_piece(text, score) for text, score in pieces)
    return head + body + block(2, trainer) + block(3, normalizer)


@dataclass(frozen=True)
class Layout:
    """Where a family's vocabulary has its special tokens; the pieces follow, then <mask>.

    Attributes
    ----------
    name : str
    first : tuple of str
        The tokens before the pieces, from id 0.
    """

    name: str
    first: tuple[str, ...]

    @property
    def cls_id(self) -> int:
        """Id of <s>."""
        return self.first.index("<s>")

    @property
    def sep_id(self) -> int:
        """Id of </s>."""
        return self.first.index("</s>")

    @property
    def pad_id(self) -> int:
        """Id of <pad>."""
        return self.first.index("<pad>")

    @property
    def unk_id(self) -> int:
        """Id of <unk>."""
        return self.first.index("<unk>")


XLM_R = Layout("XLM-R", ("<s>", "<pad>", "</s>", "<unk>"))
CAMEMBERT = Layout(
    "CamemBERT",
    ("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>"),
)


def read_vocabulary(model: Any) -> tuple[Layout, list[str], list[tuple[str, float]]]:
    """Read the model of a tokenizer.json of XLM-R's or CamemBERT's kind.

    Returns
    -------
    layout : Layout
    vocabulary : list of str
        Tokens in the order of their ids.
    pieces : list of (str, float)
        Text and score, without the special tokens.

    Raises
    ------
    ValueError
        The model is of another kind; the message names what differs.
    """
    kind = model.get("type") if isinstance(model, dict) else None
    if kind is None and isinstance(model, dict) and "merges" in model:
        kind = "BPE"
    if kind not in (None, "Unigram") or not isinstance(model, dict) or "vocab" not in model:
        raise ValueError(
            f"its tokenizer is {kind or 'of no known kind'}, ours is Unigram (SentencePiece)"
        )
    if model.get("byte_fallback"):
        raise ValueError("its tokenizer has byte_fallback, which XLM-R's does not have")
    others = [key for key in model if key not in ("type", "unk_id", "vocab", "byte_fallback")]
    if others:
        raise ValueError(f"the model has {others[0]!r}: {model[others[0]]!r:.60}, unknown here")
    vocab = model["vocab"]
    if not isinstance(vocab, list) or not all(map(_is_piece, vocab)):
        raise ValueError("tokenizer.json: the vocabulary is not a list of texts with scores")
    tokens = [text for text, _ in vocab]
    if tokens[:5] == ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>"]:
        tokens[4] = "<unk>NOTUSED"  # older files of CamemBERT have <unk> twice
    layout = next((x for x in (XLM_R, CAMEMBERT) if tuple(tokens[: len(x.first)]) == x.first), None)
    if layout is None:
        raise ValueError(
            f"the vocabulary begins with {tokens[:4]}, not with the special tokens of XLM-R or "
            "CamemBERT"
        )
    if model.get("unk_id") != layout.unk_id:
        raise ValueError(f"unk_id is {model.get('unk_id')!r}, but <unk> has the id {layout.unk_id}")
    check_tokens(tokens)
    pieces = [(text, float(score)) for text, score in vocab[len(layout.first) :]]
    if pieces and pieces[-1][0] == "<mask>":
        pieces.pop()
    check_pieces([text for text, _ in pieces])
    return layout, tokens, pieces


def check_tokens(tokens: list[str]) -> None:
    """Check that a vocabulary can be written as vocab.txt; ValueError if it cannot."""
    if len(set(tokens)) < len(tokens):
        (text, _), *_ = Counter(tokens).most_common(1)
        raise ValueError(f"the token {text!r} is listed twice")
    if any("\n" in text or "\r" in text or not text for text in tokens):
        raise ValueError("a token is empty or has a line break in it")


def check_pieces(texts: list[str]) -> None:
    """Check that spaces cut a text in the same way with and without a pre_tokenizer."""
    inner = next((text for text in texts if UNDERLINE in text[1:]), None)
    if inner is not None:
        raise ValueError(f'the piece {inner!r} has a "▁" inside: it would cross a space')
    if UNDERLINE not in texts:
        raise ValueError('there is no piece "▁"')


def _is_piece(entry: Any) -> bool:
    return (
        isinstance(entry, list)
        and len(entry) == 2
        and isinstance(entry[0], str)
        and isinstance(entry[1], int | float)
        and abs(entry[1]) < LARGEST_SCORE  # false for NaN
    )


def read_rules(model: bytes) -> tuple[int, bytes, tuple[int, int, int]]:
    """Read the kind and the normalisation of a SentencePiece model.

    Returns
    -------
    kind : int
        1 is Unigram.
    charsmap : bytes
        The normalisation rules.
    flags : (int, int, int)
        add_dummy_prefix, remove_extra_whitespaces and escape_whitespaces; 1 is usual.
    """
    kind, charsmap, flags = UNIGRAM, b"", [1, 1, 1]
    for field, value in _fields(model):
        for inner, content in _fields(value) if field in (2, 3) else ():
            if field == 2 and inner == 3:
                kind = content
            elif field == 3 and inner == 2:
                charsmap = content
            elif field == 3 and inner in (3, 4, 5):
                flags[inner - 3] = content
    return kind, charsmap, (flags[0], flags[1], flags[2])


def _fields(message: Any) -> Iterator[tuple[int, Any]]:
    """Yield the numbers and values of a message: ints, or bytes."""
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while shift < 64:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
        raise ValueError("a number in the SentencePiece model is too long")

    try:
        while at < len(message):
            key = number()
            if key & 7 == 0:
                yield key >> 3, number()
                continue
            if key & 7 not in (1, 2, 5):
                raise ValueError(f"the SentencePiece model has a field of wire type {key & 7}")
            size = number() if key & 7 == 2 else {1: 8, 5: 4}[key & 7]
            at += size
            if at > len(message):
                raise IndexError
            yield key >> 3, message[at - size : at]
    except (IndexError, TypeError):
        raise ValueError("the SentencePiece model is cut off") from None
