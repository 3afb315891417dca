"""Freeze upstream's numbers, for machines without torch: python -m tests.make_golden

Each folder of tests/golden/ is a small random checkpoint with expected.npz beside it: inputs,
and what transformers 4.37.2 computed from them.
"""

from pathlib import Path

import numpy as np

from tests.oracles import ids_and_mask, run_upstream, upstream_model

GOLDEN = Path(__file__).parent / "golden"
CASES = {
    "absolute": {},
    "relative_key": {"position_embedding_type": "relative_key", "num_hidden_layers": 1},
    "relative_key_query": {"position_embedding_type": "relative_key_query", "hidden_act": "relu"},
}


def main() -> None:
    rng = np.random.default_rng(5)
    for name, sizes in CASES.items():
        folder = GOLDEN / name
        model = upstream_model(folder, **sizes)
        (folder / "generation_config.json").unlink(missing_ok=True)
        ids, mask = ids_and_mask(rng)
        output = run_upstream(
            model,
            input_ids=ids,
            attention_mask=mask,
            output_hidden_states=True,
            output_attentions=True,
        )
        np.savez_compressed(
            folder / "expected.npz",
            input_ids=ids,
            attention_mask=mask,
            hidden_states=np.stack([h.numpy() for h in output.hidden_states]),
            attentions=np.stack([a.numpy() for a in output.attentions]),
            pooler_output=output.pooler_output.numpy(),
        )


if __name__ == "__main__":
    main()
