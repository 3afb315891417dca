"""Which narrow map costs how much: each alone in its layer, beside floats."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from numpy_erniem.config.quantization import MAPS, TOKEN_TABLE
from numpy_erniem.encoder import encode
from numpy_erniem.layers import embeddings, encoder_layer
from numpy_erniem.models.inputs import prepare_inputs
from numpy_erniem.models.packed_batch import pack_texts
from numpy_erniem.models.pretrained import ErnieMPreTrainedModel
from numpy_erniem.models.weights import encoder_weights

LAYER_TOKENS = 4096  # of the first texts; the hidden states of all layers are in memory at once


def first_rows(rows: Sequence[list[int]]) -> Sequence[list[int]]:
    """As many of the first rows as have LAYER_TOKENS tokens in all, at least one."""
    tokens = np.cumsum([len(row) for row in rows])
    return rows[: max(1, int(np.searchsorted(tokens, LAYER_TOKENS, side="right")))]


def layer_errors(
    wide: ErnieMPreTrainedModel[Any], narrow: ErnieMPreTrainedModel[Any], rows: Sequence[list[int]]
) -> dict[str, float]:
    """How far the output of a layer moves where one of its maps is narrow and all else is float.

    Parameters
    ----------
    wide, narrow : models of one class
    rows : sequence of list of int
        Token ids.

    Returns
    -------
    dict of str to float
        ‖difference‖ / ‖output‖ by the names of the maps, largest first; the token table is
        measured by the output of the embedding.
    """
    ids, starts = pack_texts(rows)
    config = wide.config
    inputs = prepare_inputs(
        config, wide.dtype, input_ids=ids, starts=starts, output_hidden_states=True
    )
    weights = [encoder_weights(model.weights) for model in (wide, narrow)]
    hidden = encode(inputs, weights[0], config).hidden_states
    errors = {}
    if not _same_kind(*weights, TOKEN_TABLE):
        table = weights[1]["embeddings"]
        embedded = embeddings(inputs.input_ids, inputs.position_ids, table, config)
        errors[TOKEN_TABLE] = _relative(embedded, hidden[0])
    layers = (w["encoder"]["layers"] for w in weights)
    for n, (whole, other) in enumerate(zip(*layers, strict=True)):
        for part in MAPS:
            if _same_kind(whole, other, part):
                continue  # kept in floats
            mixed = _with_part(whole, part, _part(other, part))
            y, _, _ = encoder_layer(hidden[n], mixed, config, inputs.attention[n])
            errors[f"encoder.layers.{n}.{part}"] = _relative(y, hidden[n + 1])
    return dict(sorted(errors.items(), key=lambda item: -item[1]))


def _relative(y: np.ndarray, want: np.ndarray) -> float:
    return float(np.linalg.norm(y - want) / max(np.linalg.norm(want), 1e-30))


def _same_kind(a: Any, b: Any, path: str) -> bool:
    return bool(_part(a, path)["weight"].dtype == _part(b, path)["weight"].dtype)


def _part(w: Any, path: str) -> Any:
    """The weights at a dotted path."""
    for name in path.split("."):
        w = w[name]
    return w


def _with_part(w: Any, path: str, value: Any) -> Any:
    """A copy of nested weights with another value at a dotted path."""
    name, _, rest = path.partition(".")
    return {**w, name: _with_part(w[name], rest, value) if rest else value}
