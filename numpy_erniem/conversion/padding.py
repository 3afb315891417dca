"""Which token is padding: the config follows the tokenizer."""

import warnings
from pathlib import Path

from numpy_erniem.config import ErnieMConfig
from numpy_erniem.conversion.report import Report
from numpy_erniem.conversion.tokenizers import MODEL_FILE, VOCABULARY_FILE
from numpy_erniem.tokenizer import ErnieMTokenizer


def settle_padding(folder: Path, config: ErnieMConfig, report: Report) -> None:
    """Make the config agree with the tokenizer about padding.

    The tokenizer makes the padding, so its pad id is right and the config's is corrected. A
    checkpoint of the XLM-R family without a tokenizer hides nothing where no mask is given, as its
    own library does: pad_token_id may be wrong there, as BERT's 0 is for a tokenizer of XLM-R.

    Parameters
    ----------
    folder : Path
        The new folder, with the tokenizer's files if it has them.
    config : ErnieMConfig
        Changed in place.
    report : Report
        The changes are added.

    Raises
    ------
    ValueError
        The tokenizer's files are damaged, or its padding is no token of the model.
    """
    padding = _pad_token_id(folder)
    if "source_model_type" in config.extra:
        convention = "none" if padding is None else "padding"
        if config.mask_convention != convention:
            report.derived["attention_mask_convention"] = (config.mask_convention, convention)
            config.attention_mask_convention = convention
        if padding is None:
            report.notes.append(
                "no tokenizer, so no token is known to be padding: where no attention mask is "
                f"given, nothing is hidden, as in {config.source_model_type}'s own library"
            )
    if padding is None or padding == config.pad_token_id:
        return
    if padding >= config.vocab_size:
        raise ValueError(
            f"the tokenizer pads with token {padding}, the model has {config.vocab_size} tokens; "
            "take both from the same checkpoint"
        )
    report.derived["pad_token_id"] = (config.pad_token_id, padding)
    report.notes.append(
        f"config.json says pad_token_id {config.pad_token_id}, but the tokenizer pads with "
        f"{padding}; the tokenizer is followed"
    )
    config.pad_token_id = padding


def _pad_token_id(folder: Path) -> int | None:
    """What a folder's tokenizer pads with; None without a tokenizer, or without padding."""
    if not all((folder / name).is_file() for name in (MODEL_FILE, VOCABULARY_FILE)):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are for those who load the tokenizer
        return ErnieMTokenizer.from_pretrained(folder).pad_token_id
