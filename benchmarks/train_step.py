"""A training step of a masked language model beside torch's, same threads, same batch.

    python benchmarks/train_step.py [--threads 2] [--runs 15] [--precision bfloat16]

Three sizes: 3 layers of 128 (the bundled model) with 64 x 44 tokens, 6 layers of 384 with 16 x 64,
and 12 layers of 768 (the base model) with 8 x 128; vocabulary 12,000, 20 % of the tokens masked, an
attention mask per query as CAMLM has it, no dropout. A step is loss, gradients, clipping to norm 1,
and AdamW. First the loss and the weights after three steps are compared, then steps of both are
timed in turn, each in a process of its own; memory is the growth of that process's peak by then.
"of peak" (ours, torch) is what the best step of each does of the multiply-adds in float32 that the
machine did at best between the steps. torch computes the scores of masked tokens only, too. With
--precision bfloat16 ours rounds the inputs of products, and torch runs under its autocast.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.limits import multiply_add_peak
from benchmarks.workers import Worker
from numpy_erniem import ErnieMConfig, ErnieMForMaskedLM, set_num_threads
from numpy_erniem.models.weights import flatten
from numpy_erniem.training import trainable, value_and_grad
from numpy_erniem.training.optimizer import AdamW, clip_factor

V, MASKED, LEARNING_RATE = 12_000, 0.2, 1e-3
MODULE = "benchmarks.train_worker"
WARM = 2  # steps before those that count
LIMITS = {  # largest difference of a loss, as a share of it, and of a weight, in learning rates
    "float32": (1e-4, 3),
    "bfloat16": (1e-2, 6),
}
SIZES = {  # layers, width, heads, batch, tokens
    "tiny": (3, 128, 4, 64, 44),
    "six layers": (6, 384, 6, 16, 64),
    "base": (12, 768, 12, 8, 128),
}


def setting(size):
    """A model and a batch."""
    L, D, H, B, T = SIZES[size]
    config = ErnieMConfig(
        vocab_size=V,
        hidden_size=D,
        num_hidden_layers=L,
        num_attention_heads=H,
        intermediate_size=4 * D,
    )
    rng = np.random.default_rng(0)
    ids = rng.integers(5, V, (B, T))
    labels = np.where(rng.random((B, T)) < MASKED, ids, -100)
    mask = (rng.random((B, T, T)) < 0.7) | np.eye(T, dtype=bool)
    batch = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    return trainable(ErnieMForMaskedLM(config, seed=1)), batch


def operations(size):
    """Multiplications and additions of a step: of the products, forward and in both gradients."""
    L, D, _, B, T = SIZES[size]
    layers = L * B * T * (12 * D * D + 2 * T * D)  # the maps of D x D and D x 4D, and attention
    head = np.count_nonzero(setting(size)[1]["labels"] != -100) * (D * D + D * V)
    return 3 * 2 * (layers + head)


def ours(size, threads, precision="float32"):
    """A function that makes a step and returns its loss, and the weights."""
    model, batch = setting(size)
    weights, optimizer = flatten(model.weights), AdamW(LEARNING_RATE)

    def step():
        loss, gradients = value_and_grad(model, batch, threads=threads, precision=precision)
        flat = flatten(gradients)
        factor, _ = clip_factor(flat, 1.0, threads)
        optimizer.step(weights, flat, threads=threads, gradient_factor=factor)
        return loss

    return step, weights


def theirs(size, threads, precision="float32"):
    """The same in torch."""
    import torch
    from torch.nn import functional

    from tests.training import oracle

    torch.set_num_threads(threads)
    model, batch = setting(size)
    config, batch = model.config, {k: torch.as_tensor(v) for k, v in batch.items()}
    flat = {
        k: torch.nn.Parameter(torch.from_numpy(v.copy())) for k, v in flatten(model.weights).items()
    }
    w = {k.removeprefix("ernie_m."): v for k, v in flat.items()}
    groups = [
        {"params": [v for v in flat.values() if v.ndim > 1], "weight_decay": 0.01},
        {"params": [v for v in flat.values() if v.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE)
    chosen = batch["labels"] != -100

    def loss_of():
        x = oracle.encode(w, config, batch["input_ids"], batch["attention_mask"])[chosen]
        h = functional.gelu(oracle.linear(x, w, "lm_head.dense"))
        h = oracle.norm(h, w, "lm_head.layer_norm", config.layer_norm_eps)
        scores = h @ w["embeddings.word_embeddings.weight"].T + w["lm_head.bias"]
        return functional.cross_entropy(scores, batch["labels"][chosen])

    def step():
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            loss = loss_of()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(flat.values(), 1.0)
        optimizer.step()
        return loss.item()

    return step, flat


def verify(size, threads, precision):
    """Three steps of each: the same losses, nearly the same weights."""
    (mine, weights), (other, flat) = (make(size, threads, precision) for make in (ours, theirs))
    share, rates = LIMITS[precision]
    for n in range(3):
        a, b = mine(), other()
        assert abs(a - b) < share * b, f"{size}: loss {a} and {b} at step {n}"
    worst = max(
        np.abs(weights[k] - v.detach().numpy()).max()
        for k, v in flat.items()
        if not k.endswith("k_proj.bias")  # its gradient is 0: Adam makes steps of the rounding
    )
    assert worst < rates * LEARNING_RATE, f"{size}: weights differ by {worst}"
    return worst


def step(worker):
    """Milliseconds of a step, and megabytes that all steps so far added to the peak."""
    answer = worker.ask("step")
    if "missing" in answer:
        raise RuntimeError(f"{worker.engine}: {answer['missing']}")
    return answer["ms"], answer["added_mb"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--precision", choices=LIMITS, default="float32")
    options = parser.parse_args()
    set_num_threads(options.threads)  # of the peak
    how = options.threads, options.precision
    print(f"{options.precision}, {options.threads} threads; milliseconds of a step,")
    print(f"median and best of {options.runs}\n")
    print("size        ours            torch            speed  of peak     peak MB   difference")
    engines = [f"{name} {options.precision}" for name in ("ours", "theirs")]
    for size in SIZES:
        worst = verify(size, *how)
        workers = [Worker(name, size, options.threads, MODULE) for name in engines]
        turns, peak = [], 0.0
        for _ in range(WARM + options.runs):
            turns.append([step(worker) for worker in workers])
            peak = max(peak, multiply_add_peak())  # GFLOP/s
        for worker in workers:
            worker.end()
        times, added = np.moveaxis(turns, -1, 0)  # (turn, engine) each
        (mine, other), (least, best) = np.median(times[WARM:], 0), times.min(0)
        memory, shares = added[-1], operations(size) / peak / times.min(0) / 1e6
        print(
            f"{size:10}  {mine:6.0f} {least:6.0f}   {other:6.0f} {best:6.0f}   {other / mine:5.2f}x"
            f"  {shares[0]:.2f} {shares[1]:.2f}  {memory[0]:6.0f} {memory[1]:6.0f}  {worst:.1e}"
        )


if __name__ == "__main__":
    main()
