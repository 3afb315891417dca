"""Read what sentence-transformers records about a model: modules, prompts, length, similarity.

`modules.json` lists the modules in their order. Each has a folder with a `config.json`; that of the
Transformer is the folder itself, or in old models `0_Transformer`.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy_erniem.checkpoint.json_files import parse_object, read_json
from numpy_erniem.checkpoint.lfs import refuse_pointer
from numpy_erniem.checkpoint.links import inside
from numpy_erniem.checkpoint.sentence_settings import (
    SENTENCE_SETTINGS_FILE,
    DenseLayer,
    SentenceSettings,
)
from numpy_erniem.conversion.dense_modules import read_dense
from numpy_erniem.conversion.report import Report

MODULES_FILE = "modules.json"
SETTINGS_FILE = "config_sentence_transformers.json"
# The first releases had a class for each architecture, and a file named after it.
TRANSFORMERS = ("Transformer", "BERT", "RoBERTa", "CamemBERT", "XLMRoBERTa")
LENGTH_FILES = tuple(
    f"sentence_{name}_config.json"
    for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
SUPPORTED = ("Transformer", "Pooling", "Dense", "Normalize", "Dropout")
# In the order in which sentence-transformers concatenates them.
MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
NAMES_OF_MODES = {
    **{mode: mode for mode in MODES.values()},
    "mean_sqrt_len_tokens": "mean_sqrt_len",
}
OTHER_KEYS = ("word_embedding_dimension", "embedding_dimension", "pooling_mode", "include_prompt")
# E5 was trained with prompts, which its files do not record.
E5 = re.compile(r"\be5[-_](?:small|base|large)(?!.*instruct)", re.IGNORECASE)
E5_PROMPTS = {"query": "query: ", "passage": "passage: "}


def transformer_folder(source: Path) -> Path:
    """The folder of the encoder and its tokenizer; the source itself unless modules.json names one.

    Raises
    ------
    ValueError
        The first module is no Transformer, or a module is not supported.
    """
    modules = _modules(source)
    if not modules:
        return source
    kind, path = modules[0]
    if kind != "Transformer":
        raise ValueError(
            f"{source / MODULES_FILE} begins with a module {kind!r}; it must be a Transformer"
        )
    return inside(source, path) if path else source


def settings_of_source(
    source: Path, names: list[str], hidden_size: int, report: Report
) -> SentenceSettings | None:
    """Read the settings of a sentence-transformers folder.

    Parameters
    ----------
    source : Path
        The folder.
    names : list of str
        The names of the checkpoint; E5 is recognised by them.
    hidden_size : int
        Numbers of a token's vector.
    report : Report
        A line about the settings is added.

    Returns
    -------
    SentenceSettings or None
        None if the folder is not of sentence-transformers.

    Raises
    ------
    FileNotFoundError
        A file that modules.json names is missing.
    ValueError
        A module or an option of one is not supported, or two files contradict each other.
    """
    modules = _modules(source)
    settings = _of_modules(source, modules, hidden_size) if len(modules) > 1 else None
    if any(E5.search(name) for name in names):
        settings = settings or SentenceSettings(normalize=True)
        if not any(settings.prompts.values()):
            prompts = {**settings.prompts, **E5_PROMPTS}
            settings = replace(settings, prompts=prompts, default_prompt_name="query")
    if settings is not None:
        report.made[SENTENCE_SETTINGS_FILE] = ", ".join(
            f"{key} {value!r}" for key, value in settings.to_dict().items()
        )
    return settings


def _of_modules(source: Path, modules: list[tuple[str, str]], hidden_size: int) -> SentenceSettings:
    """The settings that the modules after the Transformer make, in their order."""
    pooling: dict[str, Any] = {}
    layers: list[DenseLayer] = []
    normalize = False
    width = 0
    for kind, path in modules[1:]:
        if (kind == "Transformer") or (kind == "Pooling") == bool(pooling):
            found = " → ".join(name for name, _ in modules)
            raise ValueError(
                f"{source / MODULES_FILE} has {found}; supported is Transformer → Pooling, "
                "then Dense and Normalize"
            )
        if kind == "Pooling":
            pooling = _pooling(source, path, hidden_size)
            width = SentenceSettings(**pooling).width(hidden_size)
        elif kind == "Dense":
            layers.append(read_dense(source, path, width, normalize))
            width, normalize = layers[-1].out_features, False
        elif kind == "Normalize":
            normalize = True
    return SentenceSettings(
        **pooling, dense=tuple(layers), normalize=normalize, **_options(source, modules[0][1])
    )


def _modules(source: Path) -> list[tuple[str, str]]:
    """The kinds and the folders of the modules that modules.json lists; [] if there is none."""
    path = source / MODULES_FILE
    if not path.is_file():
        return []
    content = inside(source, path.name).read_bytes()[:1_000_000]
    refuse_pointer(path, content)
    wrapped = b'{"modules":' + content + b"}"
    modules = parse_object(path, wrapped)["modules"]
    if not isinstance(modules, list) or not all(isinstance(m, dict) for m in modules):
        raise ValueError(f"{path} is not a list of modules")
    found = []
    for module in modules:
        name, folder = str(module.get("type"))[:100], str(module.get("path", ""))
        package, _, kind = name.rpartition(".")
        kind = "Transformer" if kind in TRANSFORMERS else kind
        if package.partition(".")[0] != "sentence_transformers":
            raise ValueError(
                f"{path} has a module {name!r}, which is code of its own; supported are "
                f"{', '.join(SUPPORTED)} of sentence_transformers"
            )
        if kind not in SUPPORTED:
            raise ValueError(f"{path} has a module {kind!r}; supported are {', '.join(SUPPORTED)}")
        if not re.fullmatch(r"[\w.-]{0,100}", folder) or ".." in folder or folder == ".":
            raise ValueError(f"{path} names {folder[:100]!r}, not a folder next to it")
        found.append((kind, folder))
    return found


def _pooling(source: Path, name: str, hidden_size: int) -> dict[str, Any]:
    """The pooling that a module's config.json chooses, and whether it includes the prompt."""
    path = inside(source, f"{name}/config.json")
    if not path.is_file():
        raise FileNotFoundError(f"{source} lacks {name}/config.json, which {MODULES_FILE} names")
    values = read_json(path)
    if unknown := [key for key in values if key not in (*MODES, *OTHER_KEYS)]:
        raise ValueError(f"{path} has {', '.join(unknown)[:200]}, which is not supported")
    for key in OTHER_KEYS[:2]:
        if values.get(key, hidden_size) != hidden_size:
            raise ValueError(
                f"{path} has {key} {values[key]!r:.100}, the model's config.json hidden_size "
                f"{hidden_size}"
            )
    named = values.get("pooling_mode")
    if named is None:  # as in sentence-transformers, a mean that is not mentioned is on
        switches = {mode: values.get(key, mode == "mean") for key, mode in MODES.items()}
        if odd := [repr(on)[:100] for on in switches.values() if not isinstance(on, bool)]:
            raise ValueError(f"{path} has {odd[0]} in place of true or false")
        chosen = [mode for mode, on in switches.items() if on]
    else:
        chosen = named if isinstance(named, list) else [named]
        if unknown := [mode for mode in chosen if mode not in list(NAMES_OF_MODES)]:
            raise ValueError(
                f"{path} pools by {unknown[0]!r:.100}; supported are {', '.join(MODES.values())}"
            )
        chosen = [NAMES_OF_MODES[mode] for mode in chosen]
    if not chosen:
        raise ValueError(f"{path} chooses no pooling; supported are {', '.join(MODES.values())}")
    include_prompt = values.get("include_prompt", True)
    return _checked(path, pooling="+".join(chosen), include_prompt=include_prompt)


def _options(source: Path, transformer: str) -> dict[str, Any]:
    """Prompts, similarity and length, from the files that have them."""
    path = source / SETTINGS_FILE
    values = read_json(inside(source, path.name)) if path.is_file() else {}
    options = _checked(
        path,
        prompts=values.get("prompts") or {},
        default_prompt_name=values.get("default_prompt_name"),
        similarity=values.get("similarity_fn_name") or "cosine",
    )
    for name in LENGTH_FILES:
        if (source / transformer / name).is_file():
            path = inside(source / transformer, name)
            return options | _checked(path, max_length=read_json(path).get("max_seq_length"))
    return options


def _checked(path: Path, **options: Any) -> dict[str, Any]:
    """The options, if they are allowed; else a ValueError that names the file."""
    try:
        SentenceSettings(**options)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return options
