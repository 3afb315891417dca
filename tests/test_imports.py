"""The one-way streets between modules, and what an import costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import numpy_erniem

PACKAGE = Path(numpy_erniem.__file__).parent

# Each module may import those to its left, and what stands beside the road.
ROAD = [
    *("config", "ops", "layers", "inputs", "encoder", "parts", "heads", "outputs", "pretrained"),
    "models",
]
ABOVE_MODELS = {
    "models",
    "tasks",
    "learn",
    "comparison",
    "upstream",
    "plots",
    "commands",
    "cli",
    "__main__",
}
BESIDE = {
    *("weights", "storage", "tensors", "hub", "tokenizer", "conversion", "sentence_settings"),
    *("activations", "backend", "declined", "fonts", "json_files", "losses", "surgery"),
}


FILES = sorted(PACKAGE.rglob("*.py"))


def name_of(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imported(path):
    """Modules of the package that a file imports, anywhere in it."""
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
def test_imports_go_one_way(path):
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    used = imported(path) - {room}
    if room in ROAD:
        later = set(ROAD[ROAD.index(room) + 1 :]) | (ABOVE_MODELS - {room})
        assert not used & later
    if room in BESIDE:
        assert not used & (ABOVE_MODELS | {"encoder", "parts", "heads", "pretrained"})
    if room not in ("learn", "cli", "commands", "__main__"):
        assert "learn" not in used
    if room not in ("backend", "native"):
        assert "native" not in used, "only the seam knows the C kernels"
    if room.startswith("native"):
        assert "backend" not in used, "the C kernels do not know the seam"


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
