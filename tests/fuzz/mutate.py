"""Damage to bytes, to JSON and to pickles, drawn from a random.Random."""

import json
import pickletools
import random
import struct

NUMBERS = [0, 1, 2, 7, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1]
NUMBERS += [2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
VALUES = [None, True, False, 0, -1, 1, 2**31, 2**64, 10**300, 0.5, 1e308, float("nan"), "", "x"]
VALUES += ["../x", "\x00", "é" * 50, [], {}, [[]], [None], {"x": []}, [1, 2], "float32", "[CLS]"]
OPCODES = [ord(op.code) for op in pickletools.opcodes]
SNIPPETS = [b"cos\nsystem\n", b"\x8c\x02os\x8c\x06system\x93", b"}" * 9, b"h\x00h\x00\x86q\x00" * 9]
SNIPPETS += [
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"PK\x01\x02",
    b'{"',
    b"[" * 50,
    b"\xff" * 8,
    b"\x94" * 5,
]


def mutate(content: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """One to four pieces of damage."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        content = rng.choice(DAMAGES)(content, rng, others)
    return content


def place(content, rng):
    return rng.randrange(len(content) + 1)


def flip(content, rng, _):
    if not content:
        return content
    at = rng.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]


def overwrite(content, rng, _):
    at = place(content, rng)
    new = bytes(rng.randrange(256) for _ in range(rng.choice((1, 2, 4, 9))))
    return content[:at] + new + content[at + len(new) :]


def number(content, rng, _):
    """A size or offset that matters."""
    width, form = rng.choice(((2, "<H"), (4, "<I"), (8, "<Q"), (4, ">I")))
    value = rng.choice([*NUMBERS, len(content), len(content) - 1]) % 256**width
    at = place(content, rng)
    return content[:at] + struct.pack(form, value) + content[at + width :]


def opcode(content, rng, _):
    at = place(content, rng)
    return content[:at] + bytes([rng.choice(OPCODES)]) + content[at + rng.randrange(2) :]


def snippet(content, rng, _):
    at = place(content, rng)
    return content[:at] + rng.choice(SNIPPETS) + content[at:]


def truncate(content, rng, _):
    return content[: place(content, rng)]


def delete(content, rng, _):
    at = place(content, rng)
    return content[:at] + content[at + rng.choice((1, 2, 8, 50)) :]


def duplicate(content, rng, _):
    at, size = place(content, rng), rng.choice((1, 4, 20, 200))
    return content[:at] + content[at : at + size] * rng.choice((2, 3, 30)) + content[at + size :]


def splice(content, rng, others):
    other = rng.choice(others)
    return content[: place(content, rng)] + other[place(other, rng) :]


def json_value(content, rng, _):
    """Another value somewhere in a JSON object, or in the header of a safetensors file."""
    head = b""
    if len(content) > 10 and content[8:9] == b"{":
        size = min(int.from_bytes(content[:8], "little"), len(content) - 8)
        head, content, tail = content[:8], content[8 : 8 + size], content[8 + size :]
    try:
        values = json.loads(content)
        _replace(values, rng)
        changed = json.dumps(values).encode()
    except (ValueError, RecursionError, TypeError):
        return head + content + (tail if head else b"")
    return struct.pack("<Q", len(changed)) + changed + tail if head else changed


def _replace(values, rng):
    while True:
        if not isinstance(values, dict | list) or not values:
            return
        keys = list(values) if isinstance(values, dict) else range(len(values))
        key = rng.choice(keys)
        if rng.random() < 0.5 or not isinstance(values[key], dict | list):
            how = rng.randrange(4)
            if how == 0 and isinstance(values, dict):
                values[str(rng.choice(VALUES))[:20]] = values.pop(key)
            elif how == 1:
                del values[key]
            else:
                values[key] = rng.choice(VALUES)
            return
        values = values[key]


DAMAGES = [flip, overwrite, number, opcode, snippet, truncate, delete, duplicate, splice]
DAMAGES += [json_value, json_value, json_value]
