"""What upstream's PretrainedConfig has for every model, and other libraries read.

Each is an attribute of a config, and is written only if it was set.
"""

from collections.abc import Mapping
from typing import Any

GENERATION = {  # of models that write texts
    "bad_words_ids": None,
    "begin_suppress_tokens": None,
    "diversity_penalty": 0.0,
    "do_sample": False,
    "early_stopping": False,
    "encoder_no_repeat_ngram_size": 0,
    "exponential_decay_length_penalty": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "length_penalty": 1.0,
    "min_length": 0,
    "no_repeat_ngram_size": 0,
    "num_beam_groups": 1,
    "num_beams": 1,
    "num_return_sequences": 1,
    "output_scores": False,
    "remove_invalid_values": False,
    "repetition_penalty": 1.0,
    "return_dict_in_generate": False,
    "suppress_tokens": None,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "typical_p": 1.0,
}
DEFAULTS = {
    **GENERATION,
    "_name_or_path": "",
    "add_cross_attention": False,
    "attention_mask_convention": "padding",  # our own
    "bos_token_id": None,
    "chunk_size_feed_forward": 0,
    "cross_attention_hidden_size": None,
    "decoder_start_token_id": None,
    "eos_token_id": None,
    "finetuning_task": None,
    "is_decoder": False,
    "is_encoder_decoder": False,
    "position_convention": "sequential",  # our own
    "prefix": None,
    "quantization": None,  # our own
    "sep_token_id": None,
    "task_specific_params": None,
    "tf_legacy_loss": False,
    "tie_encoder_decoder": False,
    "tie_word_embeddings": True,
    "tokenizer_class": None,
    "torch_dtype": None,
    "torchscript": False,
    "transformers_version": None,
    "use_bfloat16": False,
}


def in_a_line(name: str, values: Mapping[str, Any], usual: Mapping[str, Any]) -> str:
    """A call that makes a config: only values that differ from the usual ones are in it.

    Parameters
    ----------
    name : str
        Of the class.
    values, usual : dict
        Keys of this config, and of one that was made without arguments.

    Returns
    -------
    str

    Examples
    --------
    >>> in_a_line("Config", {"a": 1, "b": "c"}, {"a": 1, "b": "d"})
    "Config(b='c')"
    """
    own = (f"{k}={v!r}" for k, v in values.items() if (k, v) not in usual.items())
    return f"{name}({', '.join(own)})"
