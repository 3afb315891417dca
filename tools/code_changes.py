"""Small changes of a function's code, one at a time, as changes of its syntax tree.

A change is one of: a statement is deleted; a condition is negated; + and -, * and /, & and |, < and
>=, == and != change places; a factor, a divisor, a minus or a ~ is left out. Left out by rule is
what checks or converts arguments (raise, warn, `check_...`, `as_array`, `x = np.asarray(x)`, the
conditions for them, and names that they alone read), statements that choose how many rows are
computed at a time (block sizes), `del`, docstrings, annotations, decorators and defaults.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "numpy_erniem"
SWAPS = {
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult},
    **{ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.And: ast.Or, ast.Or: ast.And},
    **{ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt},
    **{ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is},
    **{ast.In: ast.NotIn, ast.NotIn: ast.In},
}


class Change(NamedTuple):
    """One change of a syntax tree: `new` at a place of `owner`, a node or a list of nodes."""

    line: int
    what: str
    owner: Any
    place: Any
    new: ast.AST

    def swap(self) -> "Change":
        """Put `new` in its place; the change that puts the old node back."""
        if isinstance(self.owner, list):
            old, self.owner[self.place] = self.owner[self.place], self.new
        else:
            old = getattr(self.owner, self.place)
            setattr(self.owner, self.place, self.new)
        return self._replace(new=old)


def is_check(node: ast.AST) -> bool:
    """Whether a statement checks or converts arguments, and does nothing else."""
    if isinstance(node, ast.If):
        return isinstance(node.body[-1], ast.Raise) or all(map(is_check, node.body))
    if not isinstance(node, (ast.Expr, ast.Assign)) or not isinstance(node.value, ast.Call):
        return isinstance(node, (ast.Raise, ast.Assert))
    name = ast.unparse(node.value.func).rpartition(".")[2].lstrip("_")
    given = [ast.unparse(argument) for argument in node.value.args]
    kept = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in given
    return name.startswith(("check_", "checked_", "warn", "as_array")) or (
        name == "asarray" and kept
    )


def replacements(node: ast.AST, tested: bool) -> Iterator[ast.AST]:
    """What may stand in place of a node; `tested`: the node is a condition."""
    if isinstance(node, ast.stmt) and not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        yield ast.Pass()
    if isinstance(node, ast.AugAssign) and type(node.op) in SWAPS:
        yield ast.AugAssign(node.target, SWAPS[type(node.op)](), node.value)
    if isinstance(node, ast.BinOp) and type(node.op) in SWAPS:
        yield ast.BinOp(node.left, SWAPS[type(node.op)](), node.right)
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mult, ast.Div)):
        yield node.left
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        yield node.right
    if isinstance(node, ast.BoolOp):
        yield ast.BoolOp(SWAPS[type(node.op)](), node.values)
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        yield ast.Compare(node.left, [SWAPS[type(node.ops[0])]()], node.comparators)
    elif isinstance(node, ast.UnaryOp) and not isinstance(node.operand, ast.Constant):
        yield node.operand
    elif tested or isinstance(node, ast.Compare):  # such as a < b < c
        yield ast.UnaryOp(ast.Not(), node)


def only_checked(function: ast.FunctionDef) -> set[str]:
    """Names that nothing but checks reads."""
    checked, read = set(), set()

    def visit(node: ast.AST, names: set[str]) -> None:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            names.add(node.id)
        for child in ast.iter_child_nodes(node):
            visit(child, checked if is_check(child) else names)

    visit(function, read)
    return checked - read


def is_left_out(node: ast.AST, blocks: set[str], checked: set[str]) -> bool:
    """Whether a node is not changed, by rule; `checked` from `only_checked`."""
    text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)  # a docstring
    if text or is_check(node) or isinstance(node, (ast.arguments, ast.Pass, ast.Delete)):
        return True
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in checked:
        return True
    if not isinstance(node, (ast.Assign, ast.AugAssign, ast.Expr)):
        return False
    return bool({inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)} & blocks)


def changes(function: ast.FunctionDef, blocks: set[str]) -> Iterator[Change]:
    """Every change of a function that is not left out by rule; `blocks` names block sizes."""
    checked = only_checked(function)

    def inside(node: ast.AST, line: int) -> Iterator[Change]:
        for name, value in ast.iter_fields(node):
            if name in ("decorator_list", "returns", "annotation"):
                continue
            owner = value if isinstance(value, list) else node
            for place, child in enumerate(value) if isinstance(value, list) else [(name, value)]:
                if not isinstance(child, ast.AST) or is_left_out(child, blocks, checked):
                    continue
                here = child.lineno if isinstance(child, ast.stmt) else line
                for new in replacements(child, name in ("test", "ifs")):
                    old, gone = ast.unparse(child).split("\n")[0], isinstance(new, ast.Pass)
                    what = f"{old}  deleted" if gone else f"{old}  ->  {ast.unparse(new)}"
                    # To delete what did not run changes nothing.
                    at = child.body[0].lineno if gone and hasattr(child, "body") else here
                    yield Change(at, what.replace("\n", " "), owner, place, new)
                yield from inside(child, here)

    yield from inside(function, function.lineno)


def functions_of(name: str) -> tuple[Path, ast.Module, dict[str, ast.FunctionDef]]:
    """The file of "losses.mse", its tree, and the functions that are meant: of a class, all."""
    parts = name.split(".")
    while not (path := PACKAGE.joinpath(*parts).with_suffix(".py")).is_file():
        parts.pop()
        if not parts:
            raise ValueError(f"{name} is no function of the package; correct taught.toml")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found, wanted, module = {}, name.split(".")[len(parts) :], ".".join(parts)
    for node in tree.body:
        inside = node.body if isinstance(node, ast.ClassDef) else ()
        outer = [node.name] if inside else []
        for function in [node, *inside]:
            if isinstance(function, ast.FunctionDef):
                full = [*outer, function.name]
                if full[: len(wanted)] == wanted:
                    found[".".join([module, *full])] = function
    if not found:
        raise ValueError(f"{name} is no function of the package; correct taught.toml")
    return path, tree, found
