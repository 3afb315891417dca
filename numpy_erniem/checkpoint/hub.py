"""Find the folder of a model by its name: on this machine, or on the Hugging Face hub."""

import functools
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from numpy_erniem.checkpoint.config_files import CONFIG_FILE, OLD_PADDLE_CONFIG_FILE
from numpy_erniem.checkpoint.folder import FORMATS
from numpy_erniem.checkpoint.keywords import HubOptions, only_hub_keywords
from numpy_erniem.checkpoint.sentence_settings import SENTENCE_SETTINGS_FILE

if TYPE_CHECKING:
    from typing_extensions import Unpack

BUNDLED = Path(__file__).resolve().parents[1] / "tiny"
NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")

SMALL_FILES = (
    *(CONFIG_FILE, OLD_PADDLE_CONFIG_FILE, "vocab.txt", "sentencepiece.bpe.model"),
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    SENTENCE_SETTINGS_FILE,
)
FAMILY_FILES = (
    *("tokenizer.json", "modules.json", "1_Pooling/config.json"),
    *("config_sentence_transformers.json", "sentence_bert_config.json"),
)


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
    choose = functools.partial(_needed_in, inner, family=family, weights=weights)
    if local_files_only:
        return _cached(huggingface_hub, name, inner, options)
    return _download(huggingface_hub, name, inner, options, access, choose)


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
    inner: str,
    options: dict[str, Any],
    access: dict[str, Any],
    choose: Callable[[list[str]], list[str]],
) -> Path:
    """Download the files that `choose` chooses, or find them in the cache."""
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
    if files is None:  # the network is down, or is not to be used
        return _cached(hub, name, inner, options)
    try:
        folder = hub.snapshot_download(name, allow_patterns=files, **options, **access)
    except Exception as error:
        raise _one_line_error(name, revision, error) from None
    return _subfolder_of(Path(folder), inner)


def _cached(hub: Any, name: str, inner: str, options: dict[str, Any]) -> Path:
    """The folder of the model in the cache."""
    for file in (CONFIG_FILE, OLD_PADDLE_CONFIG_FILE):
        found = hub.try_to_load_from_cache(name, f"{inner}/{file}".lstrip("/"), **options)
        if isinstance(found, str):
            return Path(found).parent
    raise FileNotFoundError(
        f"{name} is not in the cache, and the Hugging Face hub was not reached; "
        "check the network, or give a folder"
    )


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
