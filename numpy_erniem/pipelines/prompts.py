"""The text before every text, as a checkpoint records it or a caller chooses it."""

from numpy_erniem.checkpoint.sentence_settings import SentenceSettings
from numpy_erniem.checks import nearest
from numpy_erniem.tokenizer import ErnieMTokenizer


def choose_prompt(settings: SentenceSettings, name: str | None, prompt: str | None) -> str:
    """The text to put before every text.

    Parameters
    ----------
    settings : SentenceSettings
        Of a checkpoint; prompts and default_prompt_name are read.
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
    prompts = settings.prompts
    if name is None:
        name = settings.default_prompt_name
        return "" if name is None else prompts[name]
    if not prompts:
        raise ValueError(f"prompt_name {name!r}: the checkpoint records no prompts; use prompt")
    if name not in prompts:
        raise ValueError(f"prompt_name {name!r} is not recorded{nearest(name, list(prompts))}")
    return prompts[name]


def count_prompt_tokens(settings: SentenceSettings, tokenizer: ErnieMTokenizer, prompt: str) -> int:
    """How many tokens of every text belong to its prompt and stay out of the pooling.

    Parameters
    ----------
    settings : SentenceSettings
        Of a checkpoint; with include_prompt there are none.
    tokenizer : ErnieMTokenizer
    prompt : str
        What `choose_prompt` chose.

    Returns
    -------
    int
        As sentence-transformers counts: the tokens of the prompt alone, with [CLS] and without
        [SEP]. An empty prompt has none, so [CLS] is pooled.
    """
    if settings.include_prompt or not prompt:
        return 0
    ids = tokenizer(prompt.strip(), return_attention_mask=False, verbose=False)["input_ids"]
    return len(ids) - 1
