"""Run the notebooks from a clean kernel and check them.

    python tutorials/run.py              # all of them, as CI does
    python tutorials/run.py 03 05        # some of them
    python tutorials/run.py --write 03   # run, and store the outputs in the notebook

A notebook is stored so that a diff can be read: no execution counts, no outputs of cells that are
tagged "measured" (times differ from machine to machine) or belong to an exercise, small pictures.
An exercise is a cell tagged "exercise-1" and a check tagged "check-1". The check has to fail as the
notebook stands, to say what is wrong with every wrong answer in solutions/ (an assertion with a
message, not a crash), and to pass with the right one.
"""

import argparse
import base64
import io
import os
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent
NOTEBOOKS = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
SECONDS_PER_CELL = 240
PICTURE_BYTES = 60_000
USES_KERNELS = {"07", "08", "14", "15", "16"}  # about them, or training for minutes without
DESCRIPTION = "*In the picture:*"
UNSTORED = {"measured", "raises-exception"}  # tags of cells whose outputs are not kept


def tags(cell) -> set[str]:
    """The tags of a cell."""
    return set(cell.metadata.get("tags", ()))


def solutions_of(path: Path) -> dict[str, list[tuple[str, str]]]:
    """The answers to a notebook's exercises: {"1": [("right", code), ("wrong: ...", code)]}."""
    text = (FOLDER / "solutions" / f"{path.stem}.py").read_text(encoding="utf-8")
    answers: dict[str, list[tuple[str, str]]] = {}
    for block in re.split(r"^# %% exercise ", text, flags=re.MULTILINE)[1:]:
        head, code = block.split("\n", 1)
        number, _, kind = head.partition(", ")
        answers.setdefault(number.strip(), []).append((kind or "right", code.strip()))
    return answers


def numbered(cells: list, kind: str) -> dict[str, int]:
    """Where the cells tagged "exercise-1" or "check-1" stand, by their number."""
    return {
        tag.removeprefix(f"{kind}-"): n
        for n, cell in enumerate(cells)
        for tag in tags(cell)
        if tag.startswith(f"{kind}-")
    }


def with_answers(notebook, answers: dict[str, list[tuple[str, str]]]):
    """The notebook with every answer and its check behind each exercise.

    Returns
    -------
    notebook
        A copy to be run.
    trials : list of (str, index of the check, whether it has to pass)
    """
    exercises, checks = (numbered(notebook.cells, kind) for kind in ("exercise", "check"))
    if not exercises.keys() == checks.keys() == answers.keys():
        raise ValueError(
            f"exercises {sorted(exercises)}, checks {sorted(checks)} and solutions "
            f"{sorted(answers)} do not belong together"
        )
    filled, trials = nbformat.v4.new_notebook(metadata=notebook.metadata), []
    for n, cell in enumerate(notebook.cells):
        filled.cells.append(cell)
        for number in (number for number, at in checks.items() if at == n):
            trials.append((f"exercise {number}, empty", len(filled.cells) - 1, False))
            right_one_last = sorted(answers[number], key=lambda answer: answer[0] == "right")
            for kind, code in right_one_last:
                for source in (code, cell.source):
                    made = nbformat.v4.new_code_cell(source)
                    made.metadata["tags"] = ["raises-exception"]
                    filled.cells.append(made)
                label = f"exercise {number}, {kind}"
                trials.append((label, len(filled.cells) - 1, kind == "right"))
    return filled, trials


def execute(notebook, backend: str = "auto") -> None:
    """Run all cells in a new kernel; an error in a cell that may not fail is raised.

    The package of this checkout is used, installed or not.

    Parameters
    ----------
    backend : {"auto", "numpy"}
        Whether the NumPy functions or the C kernels run.
    """
    places = [str(FOLDER.parent), os.environ.get("PYTHONPATH", "")]
    client = NotebookClient(
        notebook,
        timeout=SECONDS_PER_CELL,
        kernel_name="python3",
        resources={"metadata": {"path": str(FOLDER)}},
    )
    path = os.pathsep.join(filter(None, places))
    settings = {"PYTHONPATH": path, "NUMPY_ERNIEM_BACKEND": backend, "OPENBLAS_NUM_THREADS": "1"}
    client.execute(env={**os.environ, **settings})  # products this small are slower in two threads


def failed(cell) -> bool:
    """Whether a cell that ran ended with an error."""
    return any(output.output_type == "error" for output in cell.get("outputs", ()))


def message(cell) -> str:
    """The error of a cell that failed, such as "AssertionError: padding must not count"."""
    (error,) = (output for output in cell.outputs if output.output_type == "error")
    return f"{error.ename}: {error.evalue}" if error.evalue else error.ename


def check(path: Path) -> list[str]:
    """Run a notebook with its solutions; those on the formulas with the NumPy backend.

    So a wrong line in a formula shows, although a C kernel would hide it.

    Returns
    -------
    list of str
        What is wrong with its exercises; an error elsewhere is raised.
    """
    notebook, trials = with_answers(nbformat.read(path, as_version=4), solutions_of(path))
    execute(notebook, "auto" if path.name[:2] in USES_KERNELS else "numpy")
    problems = []
    for label, at, has_to_pass in trials:
        cells = notebook.cells[at - 1 : at + 1] if has_to_pass else notebook.cells[at : at + 1]
        if any(map(failed, cells)) == has_to_pass:
            done = "the check fails" if has_to_pass else "the check passes all the same"
            problems.append(f"{path.stem}, {label}: {done}")
        elif ", wrong" in label and not (said := message(cells[0])).startswith("AssertionError: "):
            problems.append(f"{path.stem}, {label}: the check does not say what is wrong: {said}")
    return problems


def small_picture(data: str) -> str:
    """A PNG in base64 with a palette of 128 colours, which is enough for a plot."""
    from PIL import Image

    picture = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    packed = io.BytesIO()
    picture.quantize(128).save(packed, "PNG", optimize=True)
    if packed.tell() > PICTURE_BYTES:
        raise ValueError(f"a picture of {packed.tell()} bytes; at most {PICTURE_BYTES} are kept")
    return base64.b64encode(packed.getvalue()).decode()


def descriptions(cells: list) -> dict[int, str]:
    """What stands in the first line of text after a cell, if it begins with "*In the picture:*".

    Everyone can read it there, and `tidy` makes it the alternative text of the cell's picture.
    """
    found = {}
    for n, cell in enumerate(cells[1:]):
        first = cell.source.strip().partition("\n")[0]
        if cell.cell_type == "markdown" and first.startswith(DESCRIPTION):
            found[n] = first.removeprefix(DESCRIPTION).strip()
    return found


def joined(outputs: list) -> list:
    """The outputs of a cell; printed text that came in several parts is one output."""
    kept: list = []
    for output in outputs:
        both = (kept[-1], output) if kept else ()
        if both and all(one.get("name") == "stdout" for one in both):
            kept[-1].text += output.text
        else:
            kept.append(output)
    return kept


def tidy(notebook) -> None:
    """Leave in a notebook only what is worth a line of a diff, and describe its pictures."""
    spec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": spec, "language_info": {"name": "python"}}
    )
    described = descriptions(notebook.cells)
    for n, cell in enumerate(notebook.cells):
        kept = tags(cell)
        cell.metadata = nbformat.from_dict({"tags": sorted(kept)} if kept else {})
        if cell.cell_type != "code":
            continue
        cell.execution_count = None
        cell.outputs = [] if kept & UNSTORED else joined(cell.outputs)
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = None
            if output.get("name") == "stderr":
                raise ValueError(f"cell {cell.id} wrote to stderr: {output.text}")
            picture = "image/png" in output.get("data", {})
            if picture:
                if n not in described:
                    raise ValueError(f"cell {cell.id} has a picture; after it, say {DESCRIPTION}")
                output.data = {"image/png": small_picture(output.data["image/png"])}
            output.pop("metadata", None) if output.output_type == "stream" else None
            if "metadata" in output:
                output.metadata = {"image/png": {"alt": described[n]}} if picture else {}


def write(path: Path) -> None:
    """Run a notebook as it stands and store its outputs."""
    notebook = nbformat.read(path, as_version=4)
    execute(notebook)
    tidy(notebook)
    path.write_text(nbformat.writes(notebook).rstrip("\n") + "\n", encoding="utf-8")


def main() -> int:
    """Run the notebooks that were asked for; 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("numbers", nargs="*", help="such as 03; none means all")
    parser.add_argument("--write", action="store_true", help="store the outputs")
    options = parser.parse_args()
    problems = []
    for path in NOTEBOOKS:
        if options.numbers and path.name[:2] not in options.numbers:
            continue
        start = time.perf_counter()
        problems += write(path) or [] if options.write else check(path)
        print(f"{path.stem}: {time.perf_counter() - start:.0f} s", flush=True)
    print(*problems, sep="\n", end="\n" if problems else "")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
