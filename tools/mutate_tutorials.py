"""Change one line of what the notebooks teach at a time, and see whether a notebook fails.

    python tools/mutate_tutorials.py --only losses      # the functions whose name begins so
    python tools/mutate_tutorials.py --most 10          # at most 10 changes of each function, drawn

`tutorials/taught.toml` says which functions a notebook teaches, `code_changes` which changes there
are and which are left out by rule. The notebooks that teach the function and run the changed line
are run with the right answers to their exercises, the fastest first, until one fails. What none
refuses is a *survivor*: a claim that a notebook makes and does not check. The report also lists the
lines of a function that no notebook runs; they are not changed. Changes in taught.toml under
"equivalent" are left out, too; each has a reason.
"""

import argparse
import ast
import functools
import hashlib
import importlib
import importlib.machinery
import importlib.util
import json
import os
import random
import resource
import runpy
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import nbformat
import tomllib
from code_changes import PACKAGE, ROOT, Change, changes, functions_of

MEMORY = 6 << 30  # bytes that a changed package may use
SECONDS = 20  # that a notebook may take besides three times its usual time
RUN = runpy.run_path(str(ROOT / "tutorials" / "run.py"))  # its functions


def cells_of(path: Path) -> list[tuple[int, str]]:
    """(number, code) of a notebook's cells, with the right answers for the exercises."""
    notebook, answers = nbformat.read(path, as_version=4), RUN["solutions_of"](path)
    right = {number: dict(kinds)["right"] for number, kinds in answers.items()}
    exercises = {at: number for number, at in RUN["numbered"](notebook.cells, "exercise").items()}
    code = [(n, cell.source) for n, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    return [(n, right[exercises[n]] if n in exercises else source) for n, source in code]


def warm_up() -> None:
    """Import, once for all processes, what most notebooks import besides the package."""
    os.environ.update(MPLBACKEND="Agg", OPENBLAS_NUM_THREADS="1")
    for name in ("matplotlib.pyplot", "numpy", "safetensors.numpy", "sentencepiece"):
        importlib.import_module(name)


def run_cells(path: Path) -> str:
    """Run a notebook in this process; what failed, or an empty text."""
    os.chdir(path.parent)
    names = {"__name__": "__main__", "display": lambda *shown: None}
    for number, source in cells_of(path):
        try:
            exec(compile(source, f"{path.stem} cell {number}", "exec"), names)
        except BaseException as error:
            return f"cell {number}: {type(error).__name__}: {error}"[:160].replace("\n", " ")
    return ""


class OneModule(importlib.machinery.SourceFileLoader):
    """Loads one module of the package from a changed tree; `sys.meta_path` asks it first."""

    def __init__(self, name: str, path: str, tree: ast.Module) -> None:
        super().__init__(name, path)
        self.tree = tree

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """The place of this one module; None for all others."""
        own = name == self.name
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if own else None

    def get_code(self, name: str) -> Any:
        """The code of the changed tree."""
        return compile(self.tree, self.path, "exec")


def note_lines(ran: dict[str, set[int]]) -> None:
    """From now on, note the lines of the package that run: {file: numbers}.

    A function whose lines have all run is not watched any longer; that saves most of the time.
    """
    left: dict[Any, set[int]] = {}  # the lines of each function that have not run yet

    def inside(frame: Any, event: str, argument: Any) -> Any:
        ran.setdefault(frame.f_code.co_filename, set()).add(frame.f_lineno)
        left[frame.f_code].discard(frame.f_lineno)
        return inside

    def outside(frame: Any, event: str, argument: Any) -> Any:
        code = frame.f_code
        if not code.co_filename.startswith(str(PACKAGE)):
            return None
        if code not in left:
            left[code] = {line for *_, line in code.co_lines() if line}
        return inside if left[code] else None

    threading.settrace(outside)
    sys.settrace(outside)


def in_child(path: Path, limit: int, changed: OneModule | None = None) -> dict[str, Any]:
    """Run a notebook in a forked process.

    Parameters
    ----------
    path : Path
        Of the notebook.
    limit : int
        Seconds of the processor after which the process is ended.
    changed : OneModule, optional
        A module of the package that is changed; left out, the lines that run are noted.

    Returns
    -------
    dict
        "failed", a text, empty if nothing did; "seconds" of the processor; "lines" by file.
    """
    read, write = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(100 * limit)  # for one that waits for ever
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        null, ran = os.open(os.devnull, os.O_WRONLY), {}
        os.dup2(null, 1)
        os.dup2(null, 2)
        kernels = path.name[:2] in RUN["USES_KERNELS"]
        os.environ["NUMPY_ERNIEM_BACKEND"] = "auto" if kernels else "numpy"
        if changed:
            sys.meta_path.insert(0, changed)
        else:
            note_lines(ran)
        failed = run_cells(path)
        sys.settrace(None)
        done = {"failed": failed, "seconds": time.process_time()}
        done["lines"] = {file: sorted(numbers) for file, numbers in ran.items()}
        with os.fdopen(write, "w") as pipe:
            json.dump(done, pipe)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else {"failed": f"ended after {limit} s, or by itself"}


def whole_run(path: Path) -> dict[str, Any]:
    """The result of a notebook with the package as it is; ValueError if it fails."""
    done = in_child(path, 900)
    if done["failed"]:
        raise ValueError(f"{path.stem} fails as it stands: {done['failed']}")
    return done


class Trial:
    """What the notebooks teach, and the results so far, kept in `cache`, a JSON file.

    A result holds as long as the changed file and the notebook stay as they are.
    """

    def __init__(self, cache: Path) -> None:
        self.table = tomllib.loads((ROOT / "tutorials" / "taught.toml").read_text("utf-8"))
        self.equivalent = {(e["function"], e["change"]) for e in self.table["equivalent"]}
        self.package = "".join(p.read_text("utf-8") for p in sorted(PACKAGE.rglob("*.py")))
        self.cache = cache
        self.results = json.loads(cache.read_text("utf-8")) if cache.is_file() else {}

    def remembered(self, key: str, path: Path, run: Any) -> dict[str, Any]:
        """The result of `run()`, or the one that is known for this key and notebook."""
        key += "".join(source for _, source in cells_of(path))
        digest = hashlib.sha256(key.encode()).hexdigest()[:24]
        if digest not in self.results:
            self.results[digest] = run()
            self.cache.write_text(json.dumps(self.results), "utf-8")
        return self.results[digest]

    @functools.cache  # noqa: B019, one object that lives as long as the program
    def usual(self, path: Path) -> dict[str, Any]:
        """A run of a notebook with the package as it is."""
        return self.remembered(self.package, path, lambda: whole_run(path))

    def running(self, name: str, file: Path, line: int) -> list[Path]:
        """The notebooks that teach a function and run one of its lines, the fastest first."""
        teachers = [
            path
            for path in RUN["NOTEBOOKS"]
            if name in self.table["teaches"].get(path.name[:2], ())
        ]
        run = [path for path in teachers if line in self.usual(path)["lines"].get(str(file), ())]
        return sorted(run, key=lambda path: self.usual(path)["seconds"])

    def refused_by(self, name: str, file: Path, tree: ast.Module, change: Change) -> str:
        """Which notebook fails with a change, and where; empty if none does."""
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for path in self.running(name, file, change.line):
            back = change.swap()
            loader = OneModule(module, str(file), ast.fix_missing_locations(tree))
            limit = SECONDS + int(3 * self.usual(path)["seconds"])
            key = f"{name} {ast.unparse(tree)}"
            done = self.remembered(key, path, lambda p=path, n=limit, m=loader: in_child(p, n, m))
            back.swap()
            if done["failed"]:
                return f"{path.stem}, {done['failed']}"
        return ""


def taught_changes(trial: Trial, name: str) -> tuple[Path, ast.Module, list[tuple[str, Change]]]:
    """The file of a function, its tree, and the changes that a notebook has to refuse."""
    file, tree, functions = functions_of(name)
    every = [
        (full, c)
        for full, f in functions.items()
        for c in changes(f, set(trial.table["block_sizes"]))
    ]
    every = [(full, c) for full, c in every if (full, c.what) not in trial.equivalent]
    run = [(full, c) for full, c in every if trial.running(name, file, c.line)]
    unrun = sorted({c.line for _, c in every} - {c.line for _, c in run})
    if unrun:
        print(f"{name}: no notebook that teaches it runs the lines {unrun}", flush=True)
    return file, tree, run


def main() -> int:
    """Try the changes that were asked for; 1 if one survives."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", nargs="+", default=[""], help="functions whose name begins so")
    parser.add_argument("--most", type=int, help="changes of a function, drawn with --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=Path("mutate_tutorials.json"))
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    warm_up()
    trial, tried, survivors = Trial(options.cache.resolve()), 0, 0
    names = dict.fromkeys(n for taught in trial.table["teaches"].values() for n in taught)
    for name in (n for n in names if n.startswith(tuple(options.only))):
        file, tree, every = taught_changes(trial, name)
        most = min(len(every), options.most or len(every))
        for full, change in random.Random(options.seed).sample(every, most):
            if not trial.refused_by(name, file, tree, change):
                survivors += 1
                print(f"survives: {full}, line {change.line}: {change.what}", flush=True)
        tried += most
        print(f"{name}: {most} of {len(every)} changes tried", flush=True)
    print(f"{tried} changes, {survivors} survivors")
    return bool(survivors)


if __name__ == "__main__":
    sys.exit(main())
