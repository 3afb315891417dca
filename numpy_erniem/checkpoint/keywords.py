"""Keywords of `from_pretrained` and `save_pretrained` in transformers: used, ignored or refused.

They say where a checkpoint is, and how it is read or written. None of them is a key of a model's
config, so none is ever stored: a token is a password.
"""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple, TypedDict

from numpy_erniem.checks import nearest


class HubOptions(TypedDict, total=False):
    """Where a checkpoint is: keywords of every function that takes a model.

    Attributes
    ----------
    revision : str, optional
        Branch, tag or commit on the hub; left out, its main branch.
    cache_dir : path, optional
        Where downloads are kept; left out, in the cache of huggingface_hub.
    local_files_only : bool
        Do not use the network; find the model in the cache. So does HF_HUB_OFFLINE=1.
    subfolder : path or str, optional
        Folder inside that folder or repository in which the model is, such as "encoder/v2".
    token : str or bool, optional
        Password of the hub, for models that are not public. Left out or True: that of
        `hf auth login` or the environment variable HF_TOKEN. False: none. It is never stored.
    force_download : bool
        Download again what is in the cache.
    """

    revision: str | None
    cache_dir: str | os.PathLike[str] | None
    local_files_only: bool
    subfolder: str | os.PathLike[str] | None
    token: str | bool | None
    force_download: bool


HUB_KEYWORDS = tuple(HubOptions.__annotations__)
SECRET = ("token", "use_auth_token", "proxies")  # their values are not shown in errors
ANY = ("any value",)


class NoEffect(NamedTuple):
    """A keyword without effect: the values that are accepted beside None, and why no other is."""

    accepted: tuple
    why: str


LOADING = {
    "resume_download": NoEffect(ANY, "a download that was broken off always goes on"),
    "trust_remote_code": NoEffect(ANY, "no code of a checkpoint is ever run"),
    "use_fast": NoEffect(ANY, "there is one tokenizer"),
    "user_agent": NoEffect(ANY, "the hub is not told"),
    "_from_auto": NoEffect(ANY, "the hub is not told"),
    "_from_pipeline": NoEffect(ANY, "the hub is not told"),
    "_commit_hash": NoEffect(ANY, "revision says which commit is read"),
    "_fast_init": NoEffect(ANY, "only tensors that are missing are drawn"),
    "use_safetensors": NoEffect(ANY, "a config needs no weights"),  # models check it themselves
    "low_cpu_mem_usage": NoEffect(ANY, "weights are mapped from the file"),
    "attn_implementation": NoEffect(("eager",), 'there is one attention, "eager"'),
    "use_flash_attention_2": NoEffect((False,), 'there is one attention, "eager"'),
    "adapter_kwargs": NoEffect(({},), "there are no adapters"),
    "adapter_name": NoEffect(("default",), "there are no adapters"),
    "device_map": NoEffect(("cpu", "auto", {"": "cpu"}), "models run on the processor"),
    "max_memory": NoEffect((), "models run on the processor"),
    "offload_folder": NoEffect(ANY, "weights are mapped from the file"),
    "offload_state_dict": NoEffect(ANY, "weights are mapped from the file"),
    "load_in_8bit": NoEffect((False,), 'ask for int8 with dtype="int8"'),
    "load_in_4bit": NoEffect((False,), 'ask for int8 with dtype="int8"'),
    "quantization_config": NoEffect((), 'ask for int8 with dtype="int8"'),
    "from_tf": NoEffect((False,), "weights of TensorFlow are not read"),
    "from_flax": NoEffect((False,), "weights of Flax are not read"),
    "state_dict": NoEffect((), "weights come from a folder or the hub"),
    "variant": NoEffect((), "a folder's weights have one name"),
    "mirror": NoEffect((), "set the environment variable HF_ENDPOINT instead"),
    "proxies": NoEffect(({},), "set the environment variable HTTPS_PROXY instead"),
    "return_unused_kwargs": NoEffect((False,), "a keyword that is not known is an error"),
}
# Those that a config passes on with return_unused_kwargs=True, because a model reads them.
OF_MODELS = frozenset(LOADING) - {
    *("_from_auto", "_from_pipeline", "_commit_hash", "attn_implementation"),
    *("proxies", "resume_download", "trust_remote_code", "return_unused_kwargs"),
}
SAVING = {
    "is_main_process": NoEffect((True,), "call save_pretrained in one process"),
    "state_dict": NoEffect((), "the weights of the model are written"),
    "save_function": NoEffect(ANY, "safetensors are written"),
    "safe_serialization": NoEffect((True,), "safetensors are written, no pickles"),
    "push_to_hub": NoEffect((False,), "upload the folder with huggingface_hub"),
    "variant": NoEffect((), "a folder's weights have one name"),
    "token": NoEffect(ANY, "nothing is uploaded"),
    "use_auth_token": NoEffect(ANY, "nothing is uploaded"),
    "save_peft_format": NoEffect(ANY, "there are no adapters"),
}
NEVER_STORED = frozenset(
    {*HUB_KEYWORDS, "use_auth_token", "proxies", "resume_download", "trust_remote_code", "use_fast"}
)


def without_loading(values: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a file that may be written to another file: no keywords of loading."""
    return {name: value for name, value in values.items() if name not in NEVER_STORED}


def take_path(method: str, path: Any, options: dict[str, Any], name: str) -> Any:
    """The first argument of a method, which transformers calls by another name.

    Parameters
    ----------
    method : str
        For the error.
    path : path or str, optional
        The argument by our name.
    options : dict
        Keywords; `name` is taken out of it.
    name : str
        Of the argument in transformers.

    Returns
    -------
    path or str

    Raises
    ------
    TypeError
        Both are given, or none.
    """
    other = options.pop(name, None)
    if (path is None) == (other is None):
        given = "the first argument and" if path is not None else "neither the first argument nor"
        raise TypeError(f"{method} got {given} {name}; give one of them")
    return other if path is None else path


def take_hub_keywords(options: dict[str, Any], **given: Any) -> dict[str, Any]:
    """What `resolve_folder` gets; keywords of loading that have no effect are checked.

    Parameters
    ----------
    options : dict
        Keywords; those of loading are taken out of it.
    **given
        Keywords of the hub that the caller has taken already.

    Returns
    -------
    dict
        Of the `HubOptions` those that are given.

    Raises
    ------
    ValueError
        A value that cannot be used.
    """
    given |= {name: options.pop(name) for name in HUB_KEYWORDS if name in options}
    old = options.pop("use_auth_token", None)
    if given.get("token") is not None and old is not None:
        raise ValueError("token and use_auth_token are two names of one option; give token")
    if old is not None:
        given["token"] = old
    take_ignored(options, LOADING)
    return {n: value for n, value in given.items() if value or (n == "token" and value is False)}


def only_hub_keywords(options: Mapping[str, Any]) -> dict[str, Any]:
    """As `take_hub_keywords`, for a function that takes no other keywords.

    Raises
    ------
    TypeError
        An unknown keyword; the message names the nearest known one.
    ValueError
        A value that cannot be used.
    """
    others = dict(options)
    if others.pop("use_safetensors", None) is not None:
        raise ValueError("use_safetensors: the files of the folder say what is read; leave it out")
    taken = take_hub_keywords(others)
    if others:
        name = min(others)
        raise TypeError(f"unknown keyword argument {name!r}{nearest(name, HUB_KEYWORDS)}")
    return taken


def take_saving(folder: Any, options: dict[str, Any]) -> Any:
    """The folder of `save_pretrained`, after its other keywords were checked.

    Raises
    ------
    TypeError
        No folder, two folders, or an unknown keyword.
    ValueError
        A keyword that asks for something that is not done here.
    """
    folder = take_path("save_pretrained", folder, options, "save_directory")
    take_ignored(options, SAVING)
    if options:
        name = min(options)
        raise TypeError(f"unknown argument {name!r}{nearest(name, [*SAVING, 'save_directory'])}")
    return folder


def take_ignored(options: dict[str, Any], known: Mapping[str, NoEffect]) -> None:
    """Take the keywords without effect out of `options`.

    Raises
    ------
    ValueError
        A value that asks for something that is not done here.
    """
    for name in [name for name in options if name in known]:
        value, (accepted, why) = options.pop(name), known[name]
        if value is None or accepted is ANY or str(value) in map(str, accepted):
            continue
        shown = name if name in SECRET else f"{name}={str(value)[:60]}"
        raise ValueError(f"{shown} is not supported: {why}; leave it out")
