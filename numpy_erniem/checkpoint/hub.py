"""Find the folder of a model by its name: on this machine, or on the Hugging Face hub."""

import functools
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from numpy_erniem.checkpoint.config_files import CONFIG_FILE, OLD_PADDLE_CONFIG_FILE
from numpy_erniem.checkpoint.folder import FORMATS, WEIGHTS_FILE
from numpy_erniem.checkpoint.hybrid_layers import HYBRID_FILE, SOURCE_FILES
from numpy_erniem.checkpoint.json_files import read_json
from numpy_erniem.checkpoint.keywords import HubOptions, only_hub_keywords
from numpy_erniem.checkpoint.sentence_settings import DENSE_WEIGHTS_FILE, SENTENCE_SETTINGS_FILE

if TYPE_CHECKING:
    from typing_extensions import Unpack

BUNDLED = Path(__file__).resolve().parents[1] / "tiny"
# The oldest models have no owner: xlm-roberta-base.
NAME = re.compile(r"(?:[A-Za-z0-9][\w.-]{0,95}/)?[A-Za-z0-9][\w.-]{0,95}")

MODULES_FILE = "modules.json"
Choose = Callable[[list[str]], list[str]]
SMALL_FILES = (
    *(CONFIG_FILE, OLD_PADDLE_CONFIG_FILE, "vocab.txt", "sentencepiece.bpe.model"),
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *(SENTENCE_SETTINGS_FILE, DENSE_WEIGHTS_FILE, HYBRID_FILE),
)
FAMILY_FILES = (
    *("tokenizer.json", "modules.json", "config_sentence_transformers.json"),
    *SOURCE_FILES.values(),
)
# Of sentence-transformers: the longest text, and the modules, such as 1_Pooling and 2_Dense.
FAMILY_PATTERN = re.compile(
    r"sentence_[\w-]+_config\.json|\d+_\w+/(?:config\.json|model\.safetensors|pytorch_model\.bin)"
)
OLD_ENCODER_FOLDERS = re.compile(r"0_\w+/")  # of sentence-transformers, such as 0_Transformer/


def bundled_checkpoint() -> Path:
    """The folder of the small checkpoint that comes with the package."""
    return BUNDLED


def resolve_folder(
    model: str | os.PathLike | None,
    *,
    family: bool = False,
    weights: bool = True,
    **hub_options: "Unpack[HubOptions]",
) -> Path:
    """Find the folder of a model; one that is not on this machine is downloaded.

    Parameters
    ----------
    model : path or str, optional
        A folder, or a name on the Hugging Face hub such as "susnato/ernie-m-base_pytorch". None is
        the bundled checkpoint.
    family : bool
        Also download the files that a conversion from the XLM-RoBERTa family needs.
    weights : bool
        Whether to download weights; a tokenizer and a config need none.
    **hub_options
        As of `HubOptions`: revision, cache_dir, local_files_only, subfolder, token,
        force_download; and keywords of transformers that ask for what is done anyway.

    Returns
    -------
    Path
        The folder; with `subfolder`, that one in it.

    Raises
    ------
    FileNotFoundError
        There is no such folder, and no such model on the hub or in the cache.
    ValueError
        The download was broken off, the hub answered with an error, the subfolder is not one, or
        two options contradict each other.
    TypeError
        An unknown keyword.
    """
    asked = only_hub_keywords(hub_options)
    inner = _checked_subfolder(asked.get("subfolder"))
    token, force_download = asked.get("token"), asked.get("force_download", False)
    local_files_only = asked.get("local_files_only", False)
    if force_download and local_files_only:
        raise ValueError("force_download needs the network, which local_files_only excludes")
    folder, name = Path(BUNDLED if model is None else model), model
    if folder.is_dir():
        return _subfolder_of(folder, inner)
    if folder.exists():
        raise FileNotFoundError(f"{folder} is a file; give the folder that holds the checkpoint")
    if not isinstance(name, str) or not NAME.fullmatch(name) or ".." in name:
        raise FileNotFoundError(
            f"{folder} is not a folder here; give a folder with config.json and model.safetensors, "
            "or a name on the Hugging Face hub, OWNER/MODEL"
        )
    try:
        import huggingface_hub
    except ImportError:
        raise FileNotFoundError(
            f"{name} is not a folder here; to download it from the Hugging Face hub, "
            "pip install 'numpy-erniem[hub]'"
        ) from None
    options = {"revision": asked.get("revision"), "cache_dir": asked.get("cache_dir")}
    access = {"token": None if token is True else token, "force_download": force_download}
    choose: Choose = functools.partial(_needed_in, inner, family=family, weights=weights)
    if local_files_only:
        return _cached(huggingface_hub, name, inner, options, weights)
    downloaded = _download(huggingface_hub, name, options, access, choose)
    if downloaded is None:  # the network is down, or is not to be used
        return _cached(huggingface_hub, name, inner, options, weights)
    return _subfolder_of(downloaded, inner)


def _checked_subfolder(subfolder: str | os.PathLike | None) -> str:
    """The subfolder with slashes, "" for none; ValueError for a path that may lead elsewhere."""
    try:
        inner = PurePosixPath(os.fspath(subfolder or "").replace("\\", "/"))
    except TypeError:
        raise ValueError(f"subfolder {subfolder!r} is not a path") from None
    if inner.is_absolute() or ".." in inner.parts or ":" in str(inner):
        raise ValueError(f"subfolder {subfolder!r} is not a folder inside the model's folder")
    return "" if inner == PurePosixPath() else str(inner)


def _subfolder_of(folder: Path, inner: str) -> Path:
    """The subfolder; FileNotFoundError if it is not there."""
    if not (folder / inner).is_dir():
        raise FileNotFoundError(f"{folder} has no subfolder {inner!r}")
    return folder / inner


def _needed_in(inner: str, available: Iterable[str], **what: bool) -> list[str]:
    """`needed_files` of the subfolder, by their names in the repository."""
    prefix = f"{inner}/" if inner else ""
    names = [name.removeprefix(prefix) for name in available if name.startswith(prefix)]
    return [prefix + name for name in needed_files(names, **what)]


def _download(
    hub: Any,
    name: str,
    options: dict[str, Any],
    access: dict[str, Any],
    choose: Choose,
) -> Path | None:
    """Download the files that `choose` chooses; None if the hub is not reached."""
    from huggingface_hub import constants

    revision = options["revision"]
    files = None
    if not constants.HF_HUB_OFFLINE:
        try:
            info = hub.HfApi().model_info(name, revision=revision, token=access["token"])
            files = choose([s.rfilename for s in info.siblings or []])
        except Exception as error:  # from huggingface_hub, its HTTP library or the network
            if _is_refusal(error):
                raise _one_line_error(name, revision, error) from None
    if files is None and access["force_download"]:
        raise FileNotFoundError(
            f"{name}: force_download needs the Hugging Face hub, which was not reached; "
            "check the network, or leave it out to use the cache"
        )
    if files is None:
        return None
    try:
        folder = hub.snapshot_download(name, allow_patterns=files, **options, **access)
    except Exception as error:
        raise _one_line_error(name, revision, error) from None
    return Path(folder)


def _cached(hub: Any, name: str, inner: str, options: dict[str, Any], weights: bool) -> Path:
    """The folder of the model in the cache, with its weights if they are asked for."""

    def find(files: Iterable[str]) -> Path | None:
        for file in files:
            found = hub.try_to_load_from_cache(name, f"{inner}/{file}".lstrip("/"), **options)
            if isinstance(found, str):
                return Path(found).parent
        return None

    stored = [file for form in FORMATS for file in (form.single, form.index)]
    folder = find((CONFIG_FILE, OLD_PADDLE_CONFIG_FILE))
    in_modules = find((MODULES_FILE,)) if folder is None else None
    if in_modules is not None:  # of sentence-transformers, with the encoder in a folder of its own
        return in_modules
    if folder is None and find(stored) is None:
        raise FileNotFoundError(
            f"{name} is not a folder here and is not in the cache, and the Hugging Face hub was "
            "not reached; check the network, or give a folder"
        )
    missing = [CONFIG_FILE] if folder is None else missing_weights(folder) if weights else []
    if folder is None or missing:
        raise FileNotFoundError(
            f"the cache has a part of {name} only, without {', '.join(missing)}, and the Hugging "
            "Face hub was not reached; check the network, and ask again to download the rest"
        )
    return folder


def missing_weights(folder: Path) -> list[str]:
    """Names of files with weights that a folder lacks; empty if its weights are complete."""
    for form in FORMATS:
        if (folder / form.index).is_file():
            weight_map = read_json(folder / form.index).get("weight_map")
            shards = {*weight_map.values()} if isinstance(weight_map, dict) else set()
            return sorted(s for s in map(str, shards) if not (folder / s).is_file())
        if (folder / form.single).is_file():
            return []
    return [WEIGHTS_FILE]


def needed_files(available: Iterable[str], family: bool = False, weights: bool = True) -> list[str]:
    """Choose the files of a repository to download.

    Parameters
    ----------
    available : iterable of str
        The names of all its files.
    family : bool
        Whether to choose the files that a conversion from the XLM-RoBERTa family needs.
    weights : bool
        Whether to choose weights: the first format that is there, with its index and shards.

    Returns
    -------
    list of str
    """
    available = list(available)
    wanted = [*SMALL_FILES, *(FAMILY_FILES if family else ())]
    files = [name for name in wanted if name in available]
    if family:
        folders = {m[0] for name in available if (m := OLD_ENCODER_FOLDERS.match(name))}
        files += [
            name
            for name in available
            if FAMILY_PATTERN.fullmatch(name) and not name.startswith(tuple(folders))
        ]
        for folder in sorted(folders):
            inner = [n.removeprefix(folder) for n in available if n.startswith(folder)]
            files += [folder + name for name in needed_files(inner, family, weights)]
    for form in FORMATS if weights else ():
        stem = form.single.removesuffix(form.suffix)
        shard = re.compile(rf"{re.escape(stem)}-\d+-of-\d+{re.escape(form.suffix)}")
        if form.single in available:
            return [*files, form.single]
        if form.index in available:
            return [*files, form.index, *(n for n in available if shard.fullmatch(n))]
    return files


def _is_refusal(error: Exception) -> bool:
    """Whether the hub refused the request; False if it could not be reached."""
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )

    if isinstance(error, LocalEntryNotFoundError | OfflineModeIsEnabled):
        return False
    if isinstance(error, HfHubHTTPError):
        return getattr(error.response, "status_code", 500) < 500
    return isinstance(error, HFValidationError)


def _one_line_error(name: str, revision: str | None, error: Exception) -> Exception:
    """Turn an error of huggingface_hub into one of ours, on one line."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, GatedRepoError):
        return FileNotFoundError(f"{name} is gated: accept its terms on the hub, and log in")
    if isinstance(error, RevisionNotFoundError):
        return FileNotFoundError(f"{name} has no revision {revision!r} on the Hugging Face hub")
    if isinstance(error, RepositoryNotFoundError):
        return FileNotFoundError(
            f"{name} is neither a folder here nor a public model on the Hugging Face hub"
        )
    line = " ".join(str(error).split())[:300]
    if isinstance(error, HfHubHTTPError):
        return ValueError(f"{name}: the Hugging Face hub answered: {line}")
    return ValueError(f"{name}: the download broke off; run it again to continue ({line})")
