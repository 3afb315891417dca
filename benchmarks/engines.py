"""The engines: each loads the model of a folder and returns a function from ids to hidden states.

An engine raises ImportError if it is not installed, and FileNotFoundError if the folder does not
have its file. The benchmark then leaves it out.
"""

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from benchmarks.workers import progress

Forward = Callable[[np.ndarray], np.ndarray]  # (B, T) int64 -> (B, T, D) float32


def our_model(folder: Path, backend: str, threads: int) -> Forward:
    from numpy_erniem import ErnieMModel
    from numpy_erniem.backend.dispatch import set_num_threads

    os.environ["NUMPY_ERNIEM_BACKEND"] = backend
    set_num_threads(threads)
    model = ErnieMModel.from_pretrained(folder)
    return lambda ids: model(ids).last_hidden_state


def native(folder: Path, threads: int) -> Forward:
    return our_model(folder, "native", threads)


def choose_amx() -> None:
    """Multiply float32 by AMX from now on; ImportError where that cannot be had."""
    try:
        from numpy_erniem.backend.settings import choose_kernel

        choose_kernel("float32", "amx")
    except ValueError as error:
        raise ImportError(str(error)) from None


def native_by_amx(folder: Path, threads: int) -> Forward:
    choose_amx()
    return native(folder, threads)


def native_with(threading: str) -> Callable[[Path, int], Forward]:
    """Our kernels with one kind of threads; the engine "native, pool" and the like."""

    def engine(folder: Path, threads: int) -> Forward:
        from numpy_erniem.backend.dispatch import set_threading

        try:
            set_threading(threading)
        except ValueError as error:
            raise ImportError(str(error)) from None
        return native(folder, threads)

    return engine


def native_from_text(folder: Path, threads: int) -> Forward:
    """Our kernels with a tokenizer; returns after the vector of a first text."""
    from numpy_erniem.backend.dispatch import set_num_threads
    from numpy_erniem.pipelines.embed import Embedder

    os.environ["NUMPY_ERNIEM_BACKEND"] = "native"
    set_num_threads(threads)
    embedder = Embedder.from_pretrained(folder)
    embedder(["How do I open a file?"])
    return lambda ids: embedder.model(ids).last_hidden_state


def plain_numpy(folder: Path, threads: int) -> Forward:
    return our_model(folder, "numpy", threads)  # NumPy's BLAS has threads of its own


def torch(folder: Path, threads: int) -> Forward:
    import torch
    import transformers

    torch.set_num_threads(threads)
    model = transformers.ErnieMModel.from_pretrained(folder).eval()

    def forward(ids: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(ids)).last_hidden_state.numpy()

    return forward


def onnxruntime(folder: Path, threads: int) -> Forward:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        folder / "model.onnx", options, providers=["CPUExecutionProvider"]
    )
    return lambda ids: session.run(None, {"input_ids": ids})[0]


def openvino(folder: Path, threads: int) -> Forward:
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    model = openvino.Core().compile_model(folder / "model.onnx", "CPU", settings)
    return lambda ids: model([ids])[0]


ENGINES = {
    "native": native,
    "native-amx": native_by_amx,
    "native, from text": native_from_text,
    "numpy": plain_numpy,
    "torch": torch,
    "onnxruntime": onnxruntime,
    "openvino": openvino,
    **{f"native, {name}": native_with(name) for name in ("openmp", "pool", "serial")},
}


def make_model(folder: Path, **sizes: int) -> None:
    """Write a random model of the base size, as a checkpoint."""
    from numpy_erniem import ErnieMConfig, ErnieMModel

    ErnieMModel(ErnieMConfig(**sizes), seed=1).save_pretrained(folder)


def export_if_needed(folder: Path, names: Iterable[str]) -> None:
    """Export the model of a folder to ONNX where it is not there and an engine reads it."""
    needed = any(name.startswith(("onnxruntime", "openvino")) for name in names)
    if not needed or (folder / "model.onnx").exists():
        return
    progress("exporting the model to ONNX")
    try:
        export_onnx(folder)
    except ImportError as error:
        progress(f"ONNX Runtime and OpenVINO are left out, no ONNX export: {error}")


def link_or_copy(path: Path, there: Path) -> None:
    """Put a file into another folder, without a copy where the system can; what is there stays."""
    if Path(there).exists():
        return
    try:
        os.link(path, there)
    except OSError:  # such as another disk
        shutil.copy2(path, there)


def add_tokenizer(folder: Path, tokenizer: Path) -> None:
    """Copy a tokenizer's files into the folder of the model."""
    for name in ("vocab.txt", "sentencepiece.bpe.model", "tokenizer_config.json"):
        if (tokenizer / name).exists() and not (folder / name).exists():
            shutil.copy(tokenizer / name, folder / name)


def export_onnx(folder: Path) -> None:
    import onnx  # noqa: F401 (checked here, because torch's exporter imports it late)
    import torch
    import transformers

    class LastHiddenState(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = transformers.ErnieMModel.from_pretrained(folder).eval()

        def forward(self, input_ids):
            return self.model(input_ids).last_hidden_state

    torch.onnx.export(
        LastHiddenState(),
        (torch.full((2, 7), 5),),
        folder / "model.onnx",
        input_names=["input_ids"],
        output_names=["last_hidden_state"],
        dynamic_axes={"input_ids": {0: "batch", 1: "tokens"}},
        dynamo=False,
    )
