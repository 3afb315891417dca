"""The text before every text, as a checkpoint records it or a caller chooses it."""

from typing import Any

from numpy_erniem.checks import nearest


def choose_prompt(settings: dict[str, Any], name: str | None, prompt: str | None) -> str:
    """The text to put before every text.

    Parameters
    ----------
    settings : dict
        Of a checkpoint; "prompts" (name to text) and "default_prompt_name" are read.
    name : str, optional
        The name of a recorded prompt. Left out, and `prompt` too, the default one, if there is one.
    prompt : str, optional
        The text itself.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        `name` is not recorded, or given together with `prompt`.
    """
    if name is not None and prompt is not None:
        raise ValueError(f"prompt_name {name!r} and prompt {prompt!r} are both given; give one")
    if prompt is not None:
        return prompt
    prompts = settings.get("prompts", {})
    if name is None:
        name = settings.get("default_prompt_name")
        return "" if name is None else prompts[name]
    if not prompts:
        raise ValueError(f"prompt_name {name!r}: the checkpoint records no prompts; use prompt")
    if name not in prompts:
        raise ValueError(f"prompt_name {name!r} is not recorded{nearest(name, list(prompts))}")
    return prompts[name]
