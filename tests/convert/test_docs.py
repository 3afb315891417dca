"""The file that docs/weights.md walks through is a file."""

import re
from pathlib import Path

from numpy_erniem.checkpoint.paddle_names import our_name
from numpy_erniem.checkpoint.safetensors_file import read_safetensors

DOCS = Path(__file__).resolve().parent.parent.parent / "docs" / "weights.md"


def test_the_bytes_in_the_docs_are_a_safetensors_file(tmp_path):
    text = DOCS.read_text(encoding="utf-8")
    dump = re.search(r"```hexdump\n(.*?)```", text, re.DOTALL)[1]
    content = b"".join(bytes.fromhex(line[6:53]) for line in dump.splitlines())
    (tmp_path / "x").write_bytes(content)
    assert len(content) == 72
    assert read_safetensors(tmp_path / "x")["x"].numpy().tolist() == [1.0, -2.0]


def test_the_names_in_the_docs_are_those_of_the_code():
    row = "`encoder.layers.N.self_attn.{q,k,v}_proj.*` | `encoder.layers.N.self_attn.self_attn."
    assert row in DOCS.read_text(encoding="utf-8")
    name = "encoder.layers.7.self_attn.{}_proj.bias"
    for letter in "qkv":
        want = f"encoder.layers.7.self_attn.self_attn.{letter}_proj.bias"
        assert our_name(name.format(letter)) == want
