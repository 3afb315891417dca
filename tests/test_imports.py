"""The one-way streets between modules, and what an import costs."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import numpy_erniem
from tests.conftest import native_is_built

PACKAGE = Path(numpy_erniem.__file__).parent

# What each room may import, besides itself. Everything is listed: a room that is not here fails.
# A name with a dot allows one module of a room, and no other module of it; on the left, that module
# is a room of its own.
LAYERS = {"checks", "activations", "config", "backend", "ops", "layers", "encoder", "heads"}
LAYERS |= {"packed", "quantization.numbers", "quantization.formula"}
MODELS = LAYERS | {"losses", "checkpoint", "models"}
PIPELINES = MODELS | {"tokenizer", "ranking", "pipelines"}
MAY_IMPORT = {
    "__init__": set(),  # names its modules in strings, and imports them when they are asked for
    "__main__": {"cli"},
    "checks": set(),
    "activations": set(),
    "packed": set(),
    "quantization.numbers": set(),
    "quantization.formula": {"quantization.numbers"},
    "backend": {"quantization.numbers"},
    "checkpoint": {"checks", "quantization.numbers"},
    "losses": {"checks", "activations"},
    "config": {"checks", "activations", "checkpoint"},
    "ops": {"activations", "backend", "packed", "quantization.formula", "quantization.numbers"},
    "layers": {"config", "ops", "packed"},
    "encoder": {"config", "layers"},
    "heads": {"checks", "config", "losses", "ops", "layers"},
    "models": MODELS,
    "tokenizer": {"checks", "checkpoint"},
    "ranking": {"backend"},
    "conversion": {"checks", "checkpoint", "config", "tokenizer"}
    | {"models.narrow_weights", "models.precision", "models.schema"},
    "pipelines": PIPELINES,
    "training": PIPELINES,
    "parity": {"backend", "checkpoint", "config", "conversion"}
    | {"models", "pipelines", "tokenizer"},
    "plots": PIPELINES,
    "explorer": PIPELINES,
    "engines": {"checks", "backend", "checkpoint", "pipelines"},
    "serving": {"backend", "checks", "checkpoint", "models.schema", "pipelines"},
    "quantization": {"backend", "checkpoint", "checks", "config", "conversion"}
    | {"encoder", "layers", "models", "pipelines", "tokenizer"},
    "cli": PIPELINES
    | {"conversion", "training", "parity", "plots", "explorer", "engines", "serving"}
    | {"quantization"},
}
NO_ROOMS = ("__version__", "_kernels")
FILES = sorted(PACKAGE.rglob("*.py"))


def name_of(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def room_of(path):
    room = name_of(path)
    return room if room in MAY_IMPORT else path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def for_type_checkers(node):
    """Whether a statement is never run."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imported(path):
    """Modules of the package that a file imports, anywhere in it, as ("models", "schema").

    What is imported for type checkers alone counts, except in the package's __init__.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if path == PACKAGE / "__init__.py":
        tree.body = [node for node in tree.body if not for_type_checkers(node)]
    found = set()
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:  # stays in its room
                assert node.level == 1, f"{path} climbs out of its folder"
                assert path.parent != PACKAGE, f"{path}: name the module in full"
                continue
            names = [f"{node.module}.{a.name}" for a in node.names]
        for name in names:
            package, *parts = name.split(".")
            if package == "numpy_erniem" and parts and parts[0] not in NO_ROOMS:
                found.add(module_of(parts))
    return found


def module_of(parts):
    """The module that a dotted name lies in: ("models", "schema", "PREFIX") is in the second."""
    if parts[0] in numpy_erniem._MODULE_OF:  # a public name, from the package itself
        parts = [*numpy_erniem._MODULE_OF[parts[0]].split("."), parts[0]]
    room = PACKAGE / parts[0]
    if not room.is_dir():
        return (parts[0],)
    inner = parts[1] if len(parts) > 1 and (room / f"{parts[1]}.py").exists() else "__init__"
    return parts[0], inner


def allowed(module, room):
    """Whether MAY_IMPORT lets a room import a module."""
    return module[0] == room or {module[0], ".".join(module)} & MAY_IMPORT[room]


def test_every_module_is_in_a_room_with_a_rule():
    rooms = {room_of(path) for path in FILES}  # all, and the modules that are rooms of their own
    assert rooms == set(MAY_IMPORT), "say in MAY_IMPORT what the new room may import"
    for path in FILES:
        assert path.parent == PACKAGE or (path.parent / "__init__.py").exists(), path


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_module_imports_only_what_its_room_may(path):
    room = room_of(path)
    refused = {".".join(module) for module in imported(path) if not allowed(module, room)}
    assert not refused


def test_the_rule_has_no_circles():
    left = {
        room: {n if n in MAY_IMPORT else n.partition(".")[0] for n in others} - {room}
        for room, others in MAY_IMPORT.items()
    }
    while left:
        lowest = {room for room, others in left.items() if not others & set(left)}
        assert lowest, f"these rooms import each other: {sorted(left)}"
        left = {room: others for room, others in left.items() if room not in lowest}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_only_the_backend_imports_the_compiled_module(path):
    source = path.read_text(encoding="utf-8")
    if room_of(path) == "__init__":  # which asks whether it is there
        source = source.replace('find_spec(f"{__name__}._kernels")', "")
    assert "_kernels" not in source or room_of(path) == "backend"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_heavy_packages_are_never_imported_at_the_top(path):
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        names = []
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        heavy = {"torch", "transformers", "matplotlib", "huggingface_hub", "onnxruntime", "ray"}
        assert not heavy & {n.split(".")[0] for n in names}


def modules_after(code):
    """Names of the modules that are loaded after code ran in a fresh interpreter."""
    before = "import sys, numpy\nbefore = set(sys.modules)"
    code = f"{before}\n{code}\nprint(*sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NUMPY_ERNIEM_BACKEND": "numpy"},  # nothing warns of missing kernels
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_importing_the_package_imports_nothing_else():
    if native_is_built():
        assert modules_after("import numpy_erniem") == ["numpy_erniem"]
        return
    ours = [name for name in modules_after("import numpy_erniem") if "numpy_erniem" in name]
    assert ours == ["numpy_erniem", "numpy_erniem.backend", "numpy_erniem.backend.missing"]


def test_a_model_needs_no_tokenizer_and_no_torch():
    loaded = modules_after("import numpy_erniem; numpy_erniem.ErnieMModel")
    assert not {"torch", "sentencepiece", "safetensors", "transformers"} & set(loaded)


def test_every_public_name_is_there():
    for name in numpy_erniem.__all__:
        assert getattr(numpy_erniem, name) is not None
    assert dir(numpy_erniem) == sorted(numpy_erniem.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        numpy_erniem.nonsense  # noqa: B018, the access is what is tested


def test_a_checker_is_told_of_exactly_the_public_names():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if for_type_checkers(node))
    told = {a.name: node.module for node in block.body for a in node.names}
    assert told.keys() == set(numpy_erniem.__all__) - {"__version__"}
    for name, module in told.items():
        assert getattr(sys.modules[module], name) is getattr(numpy_erniem, name), name
