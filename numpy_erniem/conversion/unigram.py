"""Make a SentencePiece model of a tokenizer.json (Unigram), byte by byte.

A SentencePiece model is a protocol buffer: a field is its number and wire type in one varint, then
a varint (type 0), four bytes (5) or a length and that many bytes (2). We need these fields:

    1 pieces {1 text, 2 score, 3 type}   2 trainer {3 Unigram, 40-43 ids}   3 normalizer {1, 2}
"""

import base64
import struct
from typing import Any

# How tokenizer.json spells what SentencePiece does with spaces by itself.
SPACES = (
    {"type": "Strip", "strip_left": False, "strip_right": True},
    {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"},
    {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
)
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


def read_unigram(tokenizer: dict[str, Any]) -> tuple[list[tuple[str, float]], bytes]:
    """Read the pieces and the normalisation of a tokenizer.json of XLM-R's kind.

    Returns
    -------
    pieces : list of (str, float)
        Text and score, without the special tokens.
    charsmap : bytes
        The normalisation rules, as SentencePiece compiles them.

    Raises
    ------
    ValueError
        The tokenizer is of another kind; the message names what differs.
    """
    model = tokenizer.get("model")
    kind = model.get("type") if isinstance(model, dict) else None
    if kind is None and isinstance(model, dict) and "merges" in model:
        kind = "BPE"
    if kind not in (None, "Unigram") or not isinstance(model, dict) or "vocab" not in model:
        raise ValueError(
            f"its tokenizer is {kind or 'of no known kind'}, ours is Unigram (SentencePiece)"
        )
    if model.get("byte_fallback"):
        raise ValueError("its tokenizer has byte_fallback, which XLM-R's does not have")
    vocab = model["vocab"]
    if not isinstance(vocab, list) or not all(map(_is_piece, vocab)):
        raise ValueError("tokenizer.json: the vocabulary is not a list of texts with scores")
    first = [text for text, _ in vocab[:4]]
    if first != ["<s>", "<pad>", "</s>", "<unk>"]:
        raise ValueError(f"the vocabulary begins with {first}, not with XLM-R's special tokens")
    pieces = [(text, float(score)) for text, score in vocab[4:]]
    if pieces and pieces[-1][0] == "<mask>":
        pieces.pop()
    return pieces, _charsmap(tokenizer.get("normalizer"))


def _is_piece(entry: Any) -> bool:
    return (
        isinstance(entry, list)
        and len(entry) == 2
        and isinstance(entry[0], str)
        and isinstance(entry[1], int | float)
        and abs(entry[1]) < LARGEST_SCORE  # false for NaN
    )


def _charsmap(normalizer: Any) -> bytes:
    """The compiled normalisation rules; steps about spaces are left to SentencePiece."""
    steps = normalizer if isinstance(normalizer, dict) else {}
    steps = steps.get("normalizers", [steps])
    compiled = b""
    for step in steps if isinstance(steps, list) else [None]:
        kind = step.get("type") if isinstance(step, dict) else None
        if kind == "Precompiled":
            try:
                compiled = base64.b64decode(step["precompiled_charsmap"], validate=True)
            except (KeyError, TypeError, ValueError):
                raise ValueError("tokenizer.json: the normalisation is not base64") from None
        elif step not in SPACES:
            raise ValueError(f"its tokenizer normalises by {kind}, which SentencePiece cannot")
    if not compiled:
        raise ValueError("its tokenizer has no compiled normalisation rules")
    return compiled
