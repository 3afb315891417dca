"""Token ids of texts, none longer than a model takes."""

from numpy_erniem.checks import warn
from numpy_erniem.tokenizer import ErnieMTokenizer


def cut_token_ids(tokenizer: ErnieMTokenizer, texts: list[str], longest: int) -> list[list[int]]:
    """Token ids of every text, [CLS] X [SEP]; long texts are cut at their end, with a warning.

    Parameters
    ----------
    tokenizer : ErnieMTokenizer
    texts : list of str
    longest : int
        Most tokens of a text, [CLS] and [SEP] included.

    Returns
    -------
    list of lists of int
    """
    ids = tokenizer(texts, return_attention_mask=False, verbose=False)["input_ids"]
    too_long = [n for n, i in enumerate(ids) if len(i) > longest]
    for n in too_long:
        cut = tokenizer.prepare_for_model(
            ids[n][1:-1], truncation=True, max_length=longest, verbose=False
        )
        ids[n] = cut["input_ids"]
    if too_long:
        warn(
            f"{len(too_long)} of {len(texts)} texts have more than {longest} tokens and were "
            f"cut at their end, the first of them text {too_long[0]}"
        )
    return ids
