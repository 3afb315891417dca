"""ERNIE-M in readable NumPy, with a C fast path: multilingual text in, vectors out, no torch.

>>> import numpy_erniem as erniem
>>> folder = erniem.bundled_checkpoint()
"""

from importlib import import_module

# name → module; a name is imported when it is first used, so `import numpy_erniem` costs nothing
_PUBLIC = {
    "ErnieMConfig": "config",
    "ErnieMForInformationExtraction": "models",
    "ErnieMForMaskedLM": "models",
    "ErnieMForMultipleChoice": "models",
    "ErnieMForQuestionAnswering": "models",
    "ErnieMForSequenceClassification": "models",
    "ErnieMForTokenClassification": "models",
    "ErnieMModel": "models",
    "ErnieMPreTrainedModel": "models.pretrained",
    "ErnieMTokenizer": "tokenizer",
    "backend_report": "backend.dispatch",
    "bundled_checkpoint": "checkpoint.hub",
    "convert": "conversion",
    "embed": "pipelines.embed",
    "load": "models",
    "check_parity": "parity.compare",
    "get_num_threads": "backend.dispatch",
    "get_threading": "backend.dispatch",
    "reset_backend_report": "backend.dispatch",
    "set_num_threads": "backend.dispatch",
    "set_threading": "backend.dispatch",
    "use_backend": "backend.dispatch",
}

__all__ = [*_PUBLIC, "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
