"""NaN and infinity in weights: at loading, or, in a large token table, when rows are taken."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from numpy_erniem.checks import warn
from numpy_erniem.models.schema import TOKEN_TABLE
from numpy_erniem.quantization.numbers import bits_of, is_bfloat16, take_rows

CHECKED_AT_LOOKUP = 1 << 26  # a token table of more elements is not read through for NaN
# All bits of the exponent are set in NaN and infinity.
HALF_EXPONENT, BRAIN_EXPONENT = np.uint16(0x7C00), np.uint16(0x7F80)
ROWS = 4096  # checked at a time


def checked_at_lookup(token_table: np.ndarray) -> bool:
    """Whether a token table is too large to be read through for NaN when it is loaded."""
    return token_table.size > CHECKED_AT_LOOKUP


def warn_of_nan_weights(flat: Mapping[str, np.ndarray], source: Any) -> None:
    """Name the tensors that hold NaN or infinity; a very large token table is not read."""
    bad = [
        name
        for name, values in flat.items()
        if not (name.endswith(TOKEN_TABLE) and checked_at_lookup(values))
        and not _are_finite(values)
    ]
    if bad:
        warn(f"{source}: NaN or infinite weights in {', '.join(bad)}")


def _are_finite(values: np.ndarray) -> bool:
    """Whether none is NaN or infinite."""
    if values.dtype.kind == "i":
        return True
    if values.dtype == np.float16 or is_bfloat16(values):
        is_half = values.dtype == np.float16
        bits = values.view(np.uint16) if is_half else bits_of(values)
        exponent = HALF_EXPONENT if is_half else BRAIN_EXPONENT
        blocks = (bits[start : start + ROWS] for start in range(0, len(bits), ROWS))
        return not any(((block & exponent) == exponent).any() for block in blocks)
    with np.errstate(all="ignore"):  # a sum is quick, and finite for all but very large numbers
        return bool(np.isfinite(values.sum()) or np.isfinite(values).all())


def warn_of_nan_rows(table: Mapping[str, np.ndarray], ids: np.ndarray) -> None:
    """Name the rows that hold NaN or infinity, of those that `ids` look up."""
    rows = np.unique(ids)
    finite = np.isfinite(take_rows(table, rows)).all(axis=1)
    if not finite.all():
        bad = ", ".join(map(str, rows[~finite]))
        warn(f"NaN or infinite weights in {TOKEN_TABLE}, row {bad}")
