"""Prefixes that torch's wrappers put before every name of a state dict."""

import re
from typing import TypeVar

Value = TypeVar("Value")

TOKEN_TABLE_END = "embeddings.word_embeddings.weight"
# DistributedDataParallel, a model that holds the model, and torch.compile
WRAPPERS = ("module.", "model.", "_orig_mod.")
WRAPPED = re.compile(r"(?:(?:module|model|_orig_mod)\.)+")


def unwrap(tensors: dict[str, Value]) -> tuple[dict[str, Value], str]:
    """Remove the prefix of a wrapper, such as "module.", from every name.

    Parameters
    ----------
    tensors : dict of str to object
        By the names in a file.

    Returns
    -------
    tensors : dict of str to object
        By the names without the prefix.
    prefix : str
        What was removed; "" if the names have no such prefix.

    Raises
    ------
    ValueError
        Some names have the prefix, and others do not.

    Examples
    --------
    >>> unwrap({"module.embeddings.word_embeddings.weight": 0, "module.pooler.dense.bias": 1})
    ({'embeddings.word_embeddings.weight': 0, 'pooler.dense.bias': 1}, 'module.')
    """
    table = next((name for name in tensors if name.endswith(TOKEN_TABLE_END)), "")
    found = WRAPPED.match(table)
    prefix = found[0] if found else ""
    for name in tensors if table else ():
        rest = name.removeprefix(prefix)
        if not name.startswith(prefix) or rest.startswith(WRAPPERS):
            raise ValueError(
                f"{name} and {table} begin in different ways: the file mixes names with and "
                f"without a prefix such as {', '.join(WRAPPERS)}; give all names the same"
            )
    return {name.removeprefix(prefix): value for name, value in tensors.items()}, prefix
