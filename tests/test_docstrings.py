"""Docstrings tell what a caller has to know: parameters, results, errors."""

import ast
from pathlib import Path

import pytest

import numpy_erniem

PACKAGE = Path(numpy_erniem.__file__).parent
# A command's functions are called by main alone; a native kernel takes the arguments of its
# primitive in ops, which documents them.
EXEMPT = ("cli/", "backend/native.py", "backend/native_attention.py", "backend/native_training.py")
FILES = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if not path.relative_to(PACKAGE).as_posix().startswith(EXEMPT)
]


def public_functions(tree):
    """Functions and methods without an underscore, with the class they belong to."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            methods = (f for f in node.body if isinstance(f, ast.FunctionDef))
            yield from ((node, f) for f in methods if not is_documented_by_base(node, f))
        elif isinstance(node, ast.FunctionDef):
            yield None, node


def is_documented_by_base(owner, function):
    """Whether a pipeline's method does what `Pipeline` documents, or a protocol's states a type."""
    bases = " ".join(ast.unparse(base) for base in owner.bases)
    return "Protocol" in bases or ("Pipeline[" in bases and function.name in ("finish", "run"))


def is_overload(function):
    """Whether it only tells type checkers of one way to call the function that follows."""
    return any(ast.unparse(d).split(".")[-1] == "overload" for d in function.decorator_list)


def arguments(function, owner):
    a = function.args
    names = [x.arg for x in (*a.posonlyargs, *a.args, *a.kwonlyargs)]
    return names[1:] if owner and names[:1] in (["self"], ["cls"]) else names


def raises(function):
    """Whether the function itself raises an error that it makes."""
    return any(isinstance(n, ast.Raise) and n.exc is not None for n in ast.walk(function))


def gives_a_result(function):
    return function.returns is not None and ast.unparse(function.returns) != "None"


def missing(owner, function):
    text = ast.get_docstring(function) or ""
    names = arguments(function, owner)
    if len(names) < 3:
        return []
    told = [] if "Parameters\n---" in text else ["Parameters"]
    if gives_a_result(function) and "Returns\n---" not in text and "Yields\n---" not in text:
        told.append("Returns")
    if raises(function) and "Raises\n---" not in text:
        told.append("Raises")
    if not told:
        told = [name for name in names if name not in text]
    return told


@pytest.mark.parametrize(
    "path", FILES, ids=[".".join(p.relative_to(PACKAGE).with_suffix("").parts) for p in FILES]
)
def test_public_functions_with_three_arguments_or_more_are_documented(path):
    wrong = {}
    for owner, function in public_functions(ast.parse(path.read_text(encoding="utf-8"))):
        if is_overload(function):
            continue
        if not function.name.startswith("_") and (told := missing(owner, function)):
            wrong[function.name] = told
    assert not wrong
