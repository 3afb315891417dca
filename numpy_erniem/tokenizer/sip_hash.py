"""SipHash-1-3 of a text with the key 0, which Rust's `DefaultHasher` computes.

The package `tokenizers` is written in Rust, and hashes an added token by its text. An added token
of ours that equals one of theirs needs the same hash, or a set would hold both.

References
----------
J.-P. Aumasson, D. J. Bernstein: SipHash, a fast short-input PRF. INDOCRYPT 2012.
"""

WORD = 2**64 - 1
START = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)


def _rotate(word: int, bits: int) -> int:
    return (word << bits | word >> (64 - bits)) & WORD


def _round(a: int, b: int, c: int, d: int) -> tuple[int, int, int, int]:
    a, c = (a + b) & WORD, (c + d) & WORD
    b, d = _rotate(b, 13) ^ a, _rotate(d, 16) ^ c
    a, c = (_rotate(a, 32) + d) & WORD, (c + b) & WORD
    return a, _rotate(b, 17) ^ c, _rotate(c, 32), _rotate(d, 21) ^ a


def hash_of_text(text: str) -> int:
    """Hash of a text, a signed integer of 64 bits.

    Examples
    --------
    >>> hash_of_text("x")
    8312289520117458465
    """
    data = text.encode("utf-8", "surrogatepass") + b"\xff"  # Rust ends each text with this byte
    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) % 256])
    state = START
    for i in range(0, len(padded), 8):
        word = int.from_bytes(padded[i : i + 8], "little")
        a, b, c, d = state
        a, b, c, d = _round(a, b, c, d ^ word)
        state = a ^ word, b, c, d
    a, b, c, d = state
    state = a, b, c ^ 0xFF, d
    for _ in range(3):
        state = _round(*state)
    a, b, c, d = state
    value = a ^ b ^ c ^ d
    return value - 2**64 if value >= 2**63 else value
