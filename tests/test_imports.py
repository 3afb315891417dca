"""The one-way streets between modules, and what an import costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import numpy_erniem

PACKAGE = Path(numpy_erniem.__file__).parent

# What each room may import, besides itself. Everything is listed: a room that is not here fails.
LAYERS = {"checks", "activations", "config", "backend", "ops", "layers", "encoder", "heads"}
MODELS = LAYERS | {"losses", "checkpoint", "models"}
PIPELINES = MODELS | {"tokenizer", "pipelines"}
MAY_IMPORT = {
    "__init__": set(),  # names its modules in strings, and imports them when they are asked for
    "__main__": {"cli"},
    "checks": set(),
    "activations": set(),
    "backend": set(),
    "checkpoint": {"checks"},
    "losses": {"checks", "activations"},
    "config": {"checks", "activations", "checkpoint"},
    "ops": {"activations", "backend"},
    "layers": {"config", "ops"},
    "encoder": {"config", "layers"},
    "heads": {"checks", "config", "losses", "ops", "layers"},
    "models": MODELS,
    "tokenizer": {"checks", "checkpoint"},
    "conversion": {"checks", "checkpoint", "config", "tokenizer", "models"},
    "pipelines": PIPELINES,
    "training": PIPELINES,
    "parity": PIPELINES,
    "plots": PIPELINES,
    "cli": PIPELINES | {"conversion", "training", "parity", "plots"},
}
FILES = sorted(PACKAGE.rglob("*.py"))


def name_of(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path):
    """Rooms of the package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:  # stays in its room
                assert node.level == 1, f"{path} climbs out of its folder"
                assert path.parent != PACKAGE, f"{path}: name the module in full"
                continue
            names = [node.module] + [f"{node.module}.{a.name}" for a in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "numpy_erniem" and len(parts) > 1:
                found.add(parts[1])
    return {
        name for name in found if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").exists()
    }


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_module_imports_only_what_its_room_may(path):
    room = room_of(path)
    assert room in MAY_IMPORT, f"{room} is new: say in MAY_IMPORT what it may import"
    assert imported(path) - {room} <= MAY_IMPORT[room]


def test_the_rule_has_no_circles_and_names_no_room_that_is_gone():
    assert set(MAY_IMPORT) == {room_of(path) for path in FILES}
    left = {room: set(others) - {room} for room, others in MAY_IMPORT.items()}
    while left:
        lowest = {room for room, others in left.items() if not others & set(left)}
        assert lowest, f"these rooms import each other: {sorted(left)}"
        left = {room: others for room, others in left.items() if room not in lowest}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_only_the_backend_imports_the_compiled_module(path):
    source = path.read_text(encoding="utf-8")
    assert "_kernels" not in source or room_of(path) == "backend"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_heavy_packages_are_never_imported_at_the_top(path):
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        names = []
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        heavy = {"torch", "transformers", "matplotlib", "huggingface_hub", "onnxruntime"}
        assert not heavy & {n.split(".")[0] for n in names}


def modules_after(code):
    """Names of the modules that are loaded after code ran in a fresh interpreter."""
    before = "import sys, numpy\nbefore = set(sys.modules)"
    code = f"{before}\n{code}\nprint(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_importing_the_package_imports_nothing_else():
    assert modules_after("import numpy_erniem") == ["numpy_erniem"]


def test_a_model_needs_no_tokenizer_and_no_torch():
    loaded = modules_after("import numpy_erniem; numpy_erniem.ErnieMModel")
    assert not {"torch", "sentencepiece", "safetensors", "transformers"} & set(loaded)


def test_every_public_name_is_there():
    for name in numpy_erniem.__all__:
        assert getattr(numpy_erniem, name) is not None
    assert set(numpy_erniem.__all__) <= set(dir(numpy_erniem))
    with pytest.raises(AttributeError, match="nonsense"):
        numpy_erniem.nonsense  # noqa: B018, the access is what is tested
