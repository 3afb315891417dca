"""Fine-tune the bundled checkpoint on a real task beside torch, and compare the accuracies.

    python benchmarks/finetune_task.py CORPUS [--threads 1] [--seeds 3]

From which program's manual or menus does a sentence come? CORPUS is a folder with parallel.tsv.gz
(language, English, translation) and parallel.source.txt.gz (the source of each row); the model
never saw these six programs. It learns from English sentences, and is tested on other English ones
and, without further training, on translations of those. Ours is `classification_setup`; torch's is
the model of tests/reference.py with torch.optim.AdamW. Both start from the same weights, the head
included, and get the same batches and learning rates. There is no dropout, because the two would
draw it differently.
"""

import argparse
import gzip
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from numpy_erniem import set_num_threads
from numpy_erniem.models.weights import flatten
from numpy_erniem.tokenizer.rows import pad_rows
from numpy_erniem.training import TrainingConfig, classification_setup, schedule
from numpy_erniem.training.batches import Batches

PROGRAMS = (
    "calibre",
    "digikam-data",
    "gimp-data",
    "git",
    "gnucash-common",
    "wesnoth-1.16-data",
)
LANGUAGES = ("de", "ru", "zh", "ko")
FEWEST_WORDS, MAX_LENGTH = 4, 48  # words in English, tokens
TRAIN, TEST = 400, 100  # sentences a program
STEPS, BATCH_SIZE, LEARNING_RATE, WARMUP = 300, 32, 1e-3, 0.1


def read(corpus):
    """{program: {English sentence: {language: translation}}} of sentences of one program alone."""
    found, programs = defaultdict(dict), defaultdict(set)
    with (
        gzip.open(corpus / "parallel.tsv.gz", "rt", encoding="utf-8") as rows,
        gzip.open(corpus / "parallel.source.txt.gz", "rt", encoding="utf-8") as sources,
    ):
        for row, source in zip(rows, sources, strict=True):
            language, english, translation = row.rstrip("\n").split("\t")
            programs[english].add(source.strip())
            if source.strip() in PROGRAMS and len(english.split()) >= FEWEST_WORDS:
                found[source.strip()].setdefault(english, {})[language] = translation
    return {
        program: {text: found[program][text] for text in found[program] if len(programs[text]) == 1}
        for program in PROGRAMS
    }


def split(found, seed):
    """Training examples, and {language: test examples} that translate English test sentences."""
    rng, train, tests = np.random.default_rng(seed), [], defaultdict(list)
    for program, sentences in found.items():
        texts = list(sentences)
        texts = [texts[n] for n in rng.permutation(len(texts))]
        train += [(text, None, program) for text in texts[:TRAIN]]
        rest = texts[TRAIN:]
        tests["en"] += [(text, None, program) for text in rest[:TEST]]
        for language in LANGUAGES:
            known = [sentences[text][language] for text in rest if language in sentences[text]]
            tests[language] += [(text, None, program) for text in known[:TEST]]
    return train, dict(tests)


def encode(setup, examples):
    """Token ids and the numbers of the labels."""
    texts = [text for text, *_ in examples]
    ids = setup.tokenizer(texts, truncation=True, max_length=MAX_LENGTH, verbose=False)["input_ids"]
    names = setup.model.config.id2label
    number = {names[n]: n for n in names}
    return ids, np.array([int(number[label]) for *_, label in examples])


def padded(ids, config):
    """A batch with padding, as torch takes it."""
    lengths = np.array([len(row) for row in ids])
    mask = np.arange(lengths.max()) < lengths[:, None]  # (B, T)
    return {"input_ids": pad_rows(ids, config.pad_token_id), "attention_mask": mask}


def in_blocks(scores, ids, config):
    """The scores (N, K) of all texts."""
    blocks = [ids[at : at + BATCH_SIZE] for at in range(0, len(ids), BATCH_SIZE)]
    return np.concatenate([scores(**padded(block, config)) for block in blocks])


def ours(setup):
    """Train; returns a function from a batch to scores, and the seconds."""
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        setup.train(out)
        seconds = time.perf_counter() - start
    return lambda **batch: setup.model(**batch).logits, seconds


def theirs(weights, config, training, data):
    """The same with torch."""
    import torch
    from torch.nn import functional

    from tests.training import oracle

    torch.set_num_threads(training.threads)
    flat = {k: torch.nn.Parameter(torch.from_numpy(v)) for k, v in weights.items()}
    w = {k.removeprefix("ernie_m."): v for k, v in flat.items()}
    groups = [
        {"params": [v for v in flat.values() if v.ndim > 1], "weight_decay": training.weight_decay},
        {"params": [v for v in flat.values() if v.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=training.learning_rate)
    rates = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: schedule(step, training.steps, training.warmup_steps)
    )

    def scores(input_ids, attention_mask):
        x = oracle.encode(w, config, *map(torch.as_tensor, (input_ids, attention_mask)))
        return oracle.linear(torch.tanh(oracle.linear(x[:, 0], w, "pooler.dense")), w, "classifier")

    ids, labels = data
    batches = Batches([len(row) for row in ids], training.batch_size, training.seed)
    start = time.perf_counter()
    for step in range(training.steps):
        chosen = batches[step]
        batch = padded([ids[n] for n in chosen], config)
        optimizer.zero_grad()
        functional.cross_entropy(scores(**batch), torch.as_tensor(labels[chosen])).backward()
        torch.nn.utils.clip_grad_norm_(flat.values(), training.max_grad_norm)
        optimizer.step()
        rates.step()
    return lambda **batch: scores(**batch).detach().numpy(), time.perf_counter() - start


def compare(found, seed, threads):
    """Both trained from one seed: seconds, and by language what `show` tells."""
    train, tests = split(found, seed)
    options = {"warmup": WARMUP, "seed": seed, "threads": threads}
    training = TrainingConfig(STEPS, BATCH_SIZE, LEARNING_RATE, **options)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*were cut.*")
        setup = classification_setup(train, tests["en"], training, max_length=MAX_LENGTH)
    config = setup.model.config
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    start = {name: value.copy() for name, value in flatten(setup.model.weights).items()}
    other, others_seconds = theirs(start, config, training, encode(setup, train))
    mine, seconds = ours(setup)
    result = {"seconds": (seconds, others_seconds)}
    for language, examples in tests.items():
        ids, labels = encode(setup, examples)
        both = [in_blocks(scores, ids, config) for scores in (mine, other)]
        a, b = (scores.argmax(axis=1) for scores in both)
        apart = np.abs(both[0] - both[1]).max()
        result[language] = ((a == labels).mean(), (b == labels).mean(), (a == b).mean(), apart)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path, nargs="?")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    if options.corpus is None or not (options.corpus / "parallel.tsv.gz").is_file():
        sys.exit("give a folder with parallel.tsv.gz and parallel.source.txt.gz: CORPUS")
    set_num_threads(options.threads)
    found = read(options.corpus)
    print(
        f"{len(PROGRAMS)} programs, {TRAIN} English sentences of each to learn from, up to {TEST} "
        f"in each language to test; {STEPS} steps of {BATCH_SIZE}, {options.threads} thread(s)\n\n"
        "| seed | language | ours | torch | same answer | scores differ by |\n"
        "|---|---|---|---|---|---|"
    )
    results = []
    for seed in range(options.seeds):
        results.append(compare(found, seed, options.threads))
        for language in ("en", *LANGUAGES):
            show(seed, language, results[-1][language])
    for language in ("en", *LANGUAGES):
        show("mean", language, np.mean([r[language] for r in results], axis=0))
    times = np.median([r["seconds"] for r in results], axis=0)
    print(f"\nseconds of a run, median: ours {times[0]:.1f}, torch {times[1]:.1f}")


def show(seed, language, figures):
    mine, other, same, apart = figures
    row = f"| {seed} | {language} | {mine:.3f} | {other:.3f} | {same:.3f} | {apart:.0e} |"
    print(row, flush=True)


if __name__ == "__main__":
    main()
