"""Keywords of loading and saving that are not settings of the tokenizer: they are never stored."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from numpy_erniem.checkpoint.hub import resolve_folder
from numpy_erniem.tokenizer.options import refuse_unknown


class _Rule(NamedTuple):
    """Which values of a keyword are accepted, and what to do instead of giving another."""

    accepted: tuple[Any, ...]
    remedy: str


LOGIN = "downloads use your login: run `hf auth login`, or set the environment variable HF_TOKEN"
# Keywords of upstream's from_pretrained that say how to load. The accepted values ask for what is
# done anyway: a download that broke off is resumed, no code is loaded, there is one tokenizer.
_LOADING = {
    "token": _Rule((None, True), LOGIN),
    "use_auth_token": _Rule((None, True), LOGIN),
    "proxies": _Rule((None, {}), "set the environment variable HTTPS_PROXY"),
    "force_download": _Rule((None, False), "remove the model from the cache, then load it again"),
    "resume_download": _Rule((None, False, True), "leave it out"),
    "trust_remote_code": _Rule((None, False, True), "leave it out"),
    "use_fast": _Rule((None, False, True), "leave it out"),
}
_TOKENS = ("token", "use_auth_token")
_SECRET = (*_TOKENS, "proxies")  # an address may have a password in it
LOADING = ("revision", "cache_dir", "local_files_only", "subfolder", *_LOADING)

_SAVING = {
    "push_to_hub": _Rule((None, False), "upload the folder with huggingface_hub"),
    "legacy_format": _Rule((None, True), "leave it out; only this format is written"),
}


def _check(keywords: Mapping[str, Any], rules: Mapping[str, _Rule]) -> None:
    for name, value in keywords.items():
        if not any(type(value) is type(v) and value == v for v in rules[name].accepted):
            shown = "..." if name in _SECRET else repr(value)
            raise ValueError(f"{name}={shown} has no effect here; {rules[name].remedy}")


def take_loading_keywords(keywords: dict[str, Any], is_local: bool) -> None:
    """Remove the keywords of loading from those of a call, and check their values.

    Parameters
    ----------
    keywords : dict
        Changed in place.
    is_local : bool
        The files are on this machine, so that a token is accepted: nothing is downloaded.

    Raises
    ------
    ValueError
        A value that asks for something that is not done. The message never shows a token.
    """
    taken = {name: keywords.pop(name) for name in _LOADING if name in keywords}
    if is_local:
        taken = {name: value for name, value in taken.items() if name not in _TOKENS}
    _check(taken, _LOADING)


def check_saving_keywords(keywords: Mapping[str, Any]) -> None:
    """Check the keywords of upstream's `save_pretrained` that are accepted with one value only.

    Raises
    ------
    TypeError
        An unknown keyword.
    ValueError
        A value that asks for something that is not done.
    """
    refuse_unknown(keywords, (*_SAVING, "save_directory", "filename_prefix"), "save_pretrained")
    _check(keywords, _SAVING)


def find_folder(
    name: str | os.PathLike[str],
    *,
    subfolder: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Path:
    """Find the folder of a tokenizer.

    Parameters
    ----------
    name : path or str
        A folder, or a name on the Hugging Face hub.
    subfolder : str, optional
        Folder in that folder which holds the files.
    **options
        `revision`, `cache_dir` and `local_files_only` of `resolve_folder`.

    Returns
    -------
    Path

    Raises
    ------
    FileNotFoundError
        A folder or subfolder that does not exist.
    ValueError
        A subfolder of a name on the hub.
    """
    subfolder = os.fspath(subfolder or "")
    if subfolder and not Path(name).is_dir():
        raise ValueError(
            f"subfolder={subfolder!r} needs a folder on this machine, got {os.fspath(name)!r}; "
            "download it with huggingface_hub and give its path"
        )
    folder = resolve_folder(name, weights=False, **options) / subfolder
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no subfolder {subfolder!r} in {os.fspath(name)!r}")
    return folder
