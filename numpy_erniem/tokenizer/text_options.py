"""How a text becomes tokens: options that hold for every call."""

from dataclasses import dataclass, field
from typing import Any

from numpy_erniem.tokenizer.options import refuse_unknown

BARE_UNDERLINE = ("hf", "paddle")
SP_MODEL_KWARGS = ("enable_sampling", "nbest_size", "alpha", "num_threads")


@dataclass(frozen=True)
class TextOptions:
    """How a text becomes tokens. `ErnieMTokenizer` documents the options.

    Raises
    ------
    TypeError
        An unknown key of `sp_model_kwargs`.
    ValueError
        An unknown rule as `bare_underline`, or a sampling that has nothing to sample from.
    """

    do_lower_case: bool = False
    split_special_tokens: bool = False
    cut_pieces: bool = True
    bare_underline: str = "hf"
    lower_special_tokens: bool = False
    final_underline: bool = False
    marks_alone: bool = False
    sp_model_kwargs: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings = self.sp_model_kwargs
        refuse_unknown(settings, SP_MODEL_KWARGS, "sp_model_kwargs")
        if settings.get("enable_sampling") and settings.get("nbest_size") in (0, 1):
            raise ValueError(
                f"nbest_size={settings['nbest_size']} leaves nothing to sample from; use -1 for "
                "all segmentations, or a number above 1"
            )
        if self.bare_underline not in BARE_UNDERLINE:
            raise ValueError(
                f"bare_underline={self.bare_underline!r} is unknown; use one of "
                f"{', '.join(BARE_UNDERLINE)}"
            )
        object.__setattr__(self, "sp_model_kwargs", dict(settings))
