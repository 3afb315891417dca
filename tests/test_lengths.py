"""Modules and functions stay short; a longer one is listed here with its reason."""

import ast

import pytest

from tests.conftest import REPOSITORY

LINES, FUNCTION_LINES = 300, 50
# "path" or "path: function" → reason
LONGER = {
    "numpy_erniem/config/ernie_m.py: __init__": "one line for each key of config.json",
    "numpy_erniem/tokenizer/tokenizer.py": "the documentation of what users call",
    "numpy_erniem/tokenizer/tokenizer.py: __init__": "one line for each of upstream's arguments",
    "numpy_erniem/training/gradients.py": "every primitive of ops with its gradient, read together",
}

FOLDERS = ("numpy_erniem", "csrc", "benchmarks", "tools")
FILES = sorted(
    path.relative_to(REPOSITORY).as_posix()
    for folder in FOLDERS
    for kind in ("py", "c", "h")
    for path in (REPOSITORY / folder).rglob(f"*.{kind}")
)


def code_lines(function):
    """Lines of a function, its docstring left out."""
    body = function.body
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        lines -= body[0].end_lineno - body[0].lineno + 1
    return lines


@pytest.mark.parametrize("path", FILES)
def test_modules_and_functions_are_short(path):
    text = (REPOSITORY / path).read_text(encoding="utf-8")
    lengths = {path: (text.count("\n"), LINES)}
    if path.endswith(".py"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                lengths[f"{path}: {node.name}"] = (code_lines(node), FUNCTION_LINES)
    too_long = {name: n for name, (n, most) in lengths.items() if n > most and name not in LONGER}
    assert not too_long


@pytest.mark.skipif(not (REPOSITORY / "csrc").is_dir(), reason="not in a checkout")
def test_every_listed_exception_is_a_file():
    assert {name.split(":")[0] for name in LONGER} <= set(FILES)
