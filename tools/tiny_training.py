"""The training of the bundled checkpoint: one encoder, three heads, one objective for each step.

    mmlm, tlm, camlm    masked tokens (docs/training.md); the masked-LM head
    retrieve            translations find each other: contrastive loss of the mean hidden states
    language            which language a sentence, or a few words of one, is in; the classifier

Each step draws one of them. So no head forgets what it learned while another one is trained.
"""

import copy
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from tiny_corpus import LABELS
from tiny_recipe import SIZES, Recipe
from tiny_sampling import repeated, translations_together

from numpy_erniem import (
    ErnieMConfig,
    ErnieMForMaskedLM,
    ErnieMForSequenceClassification,
    ErnieMTokenizer,
)
from numpy_erniem.checkpoint.folder import read_folder, write_folder
from numpy_erniem.checkpoint.sentence_settings import SentenceSettings, write_sentence_settings
from numpy_erniem.models.weights import flatten, nest
from numpy_erniem.training import TrainingConfig, trainable, value_and_grad
from numpy_erniem.training.batches import Batches, collate
from numpy_erniem.training.finetuning.contrastive import (
    find_duplicates,
    mean_of_texts,
    vectors_loss,
)
from numpy_erniem.training.gradient_tree import Gradients
from numpy_erniem.training.heads import HEADS, Head, HeadGradients
from numpy_erniem.training.pretraining import (
    OBJECTIVES,
    Corpus,
    build_batch,
    read_corpora,
    special_tokens,
)
from numpy_erniem.training.trainer import Trainer

ENGLISH = "en"
Ids = Sequence[int]


class JointTraining:
    """The batches of all objectives; `loss_and_grad` is what a `Trainer` needs.

    The seed and the step alone decide the objective, the texts and everything else that is drawn.

    Parameters
    ----------
    pairs, sentences : Corpus
    tokenizer : ErnieMTokenizer
    recipe : Recipe
    """

    def __init__(
        self, pairs: Corpus, sentences: Corpus, tokenizer: ErnieMTokenizer, recipe: Recipe
    ) -> None:
        self.pairs, self.sentences, self.recipe = pairs, sentences, recipe
        self._how = {"threads": recipe.threads, "precision": recipe.precision}
        self.special = special_tokens(tokenizer)
        vocabulary = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
        self.starts_word = np.array([token.startswith("\u2581") for token in vocabulary])
        mono = [name for name, _ in sentences.languages]
        balanced = repeated([name for _, name in pairs.languages], recipe.balance)
        english = repeated(mono, recipe.balance, {ENGLISH: recipe.english})
        plan = {  # the corpus, its examples with repetitions, how many are drawn
            "pairs": (pairs, balanced, recipe.batch_size),
            "mmlm": (sentences, english, recipe.batch_size),
            "language": (sentences, repeated(mono, 0), recipe.language_batch_size),
        }
        self.draws = {}
        for n, (name, (corpus, chosen, size)) in enumerate(plan.items()):
            lengths = np.array(corpus.lengths())[chosen]
            self.draws[name] = chosen, Batches(lengths, size, [recipe.seed, n])
        self.groups = translations_together(pairs, balanced, recipe.translations, recipe.seed)
        lengths = [len(pairs.sentences[group[0]][0]) for group in self.groups]
        self.group_batches = Batches(lengths, recipe.retrieve_batch_size, [recipe.seed, len(plan)])

    def _draw(self, name: str, step: int) -> np.ndarray:
        chosen, batches = self.draws[name]
        return chosen[batches[step]]

    def objective(self, step: int, rng: np.random.Generator) -> str:
        """The name of the objective of a step, counted from 0."""
        for phase in self.recipe.phases:
            if step < phase.steps:
                break
            step -= phase.steps
        return phase.objectives[rng.integers(len(phase.objectives))]

    def loss_and_grad(
        self, model: ErnieMForSequenceClassification, step: int, rng: np.random.Generator
    ) -> tuple[float, Gradients]:
        """The loss of a step, and its gradient by every weight that the objective uses."""
        name = self.objective(step, rng)
        if name == "retrieve":
            return self._retrieve(model, step)
        if name == "language":
            return self._language(model, step, rng)
        corpus, draw = (self.sentences, "mmlm") if name == "mmlm" else (self.pairs, "pairs")
        chosen = self._draw(draw, step)
        texts = [corpus.sentences[n] for n in chosen]
        languages = [corpus.languages[n] for n in chosen]
        batch = OBJECTIVES[name](
            build_batch(texts, languages, self.special),
            self.special,
            rng,
            self.recipe.mask_probability,
        )
        head = HEADS[ErnieMForMaskedLM]
        arguments = batch.arguments(model.config)
        return value_and_grad(model, arguments, head=head, **self._how)

    def _retrieve(
        self, model: ErnieMForSequenceClassification, step: int
    ) -> tuple[float, Gradients]:
        groups = [self.groups[n] for n in self.group_batches[step]]
        sources = [self._row(self.pairs.sentences[group[0]][0]) for group in groups]
        targets = [self._row(self.pairs.sentences[n][1]) for group in groups for n in group]
        of = np.repeat(np.arange(len(groups)), self.recipe.translations)  # target -> its source
        head = shared_sources_head(sources, targets, of, self.recipe.temperature)
        batch = collate([*sources, *targets], model.config)
        return value_and_grad(model, batch, head=head, **self._how)

    def _language(
        self, model: ErnieMForSequenceClassification, step: int, rng: np.random.Generator
    ) -> tuple[float, Gradients]:
        rows, labels = [], []
        for n in self._draw("language", step):
            ids = np.array(self.sentences.sentences[n][0])
            short = rng.random() < self.recipe.short
            rows.append(self._row(self.some_words(ids, rng) if short else ids))
            labels.append(LABELS.index(self.sentences.languages[n][0]))
        batch = collate(rows, model.config, {"labels": np.array(labels)})
        return value_and_grad(model, batch, rng=rng, **self._how)

    def _row(self, ids: Ids) -> list[int]:
        return [self.special.cls, *ids, self.special.sep]

    def some_words(self, ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """3 to 8 words of a sentence; 4 to 15 tokens where it has no spaces between words."""
        starts = np.flatnonzero(self.starts_word[ids])
        if len(starts) * 5 < len(ids):  # Chinese, Japanese, Thai
            first, count = rng.integers(len(ids)), rng.integers(4, 16)
            return ids[min(first, max(0, len(ids) - count)) :][:count]
        first, count = rng.integers(len(starts)), rng.integers(3, 9)
        first = min(first, max(0, len(starts) - count))
        end = starts[first + count] if first + count < len(starts) else len(ids)
        return ids[starts[first] : end]


def shared_sources_head(
    sources: Sequence[Ids], targets: Sequence[Ids], of: np.ndarray, temperature: float
) -> Head:
    """`contrastive_loss` where several targets share a source, which is encoded once.

    Parameters
    ----------
    sources, targets : sequences of sequences of int
        Token ids of the A sources and of the B targets; the batch has them in this order.
    of : (B,) integer array
        The source of each target: the same number of times each, in order.
    temperature : float
    """
    A, count = len(sources), len(targets) // len(sources)
    both = np.concatenate([of, A + np.arange(len(targets))])
    duplicates = find_duplicates([sources[n] for n in of], targets)

    def head(
        x: np.ndarray, w: Any, config: ErnieMConfig, labels: Any, rng: Any, threads: int
    ) -> HeadGradients:
        vectors, back = mean_of_texts(x, labels["starts"])  # (1, N, D) -> (A + B, D)
        loss, dboth = vectors_loss(vectors[both], temperature, duplicates)
        dsources, dtargets = np.split(dboth, 2)
        dsources = dsources.reshape(A, count, -1).sum(axis=1)  # (B, D) -> (A, D)
        return loss, back(np.concatenate([dsources, dtargets])), {}

    return head


def trained_model(folder: Path) -> ErnieMForSequenceClassification:
    """The model of a folder of `save`, with the weights of both heads."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*tensors not used: lm_head")
        model = ErnieMForSequenceClassification.from_pretrained(folder)
    model.weights = nest({name: tensor.numpy() for name, tensor in read_folder(folder).items()})
    return model


def new_model(tokenizer: ErnieMTokenizer, recipe: Recipe) -> ErnieMForSequenceClassification:
    """A classifier of languages whose weights have a masked-LM head too, all drawn at random."""
    config = ErnieMConfig(
        vocab_size=len(tokenizer),
        id2label=dict(enumerate(LABELS)),
        problem_type="single_label_classification",
        **SIZES,
    )
    model = trainable(ErnieMForSequenceClassification(config, seed=recipe.seed))
    model.weights["lm_head"] = trainable(ErnieMForMaskedLM(config, seed=recipe.seed)).weights[
        "lm_head"
    ]
    return model


def train(work: Path, tokenizer: ErnieMTokenizer, recipe: Recipe, report) -> Path:
    """Run all steps, or what is left of a run that was stopped; returns the folder."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*are left out")
        pairs, mono = read_corpora(
            work / "parallel.tsv", work / "mono.tsv", tokenizer, recipe.max_length
        )
    joint = JointTraining(pairs, mono, tokenizer, recipe)
    training = TrainingConfig(
        steps=recipe.steps,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        warmup=0.03,
        betas=(0.9, 0.98),
        seed=recipe.seed,
        threads=recipe.threads,
        save_every=1000,
    )
    out = work / "trained"
    Trainer(
        new_model(tokenizer, recipe),
        joint.loss_and_grad,
        training,
        out,
        data={"recipe": asdict(recipe)},
        save=lambda model: save(model, work, out),
        report=report,
    ).run()
    return out


def save(
    model: ErnieMForSequenceClassification, work: Path, out: Path, dtype: type = np.float32
) -> None:
    """Write encoder, pooler and both heads into one folder, with the tokenizer."""
    tensors = {name: value.astype(dtype) for name, value in flatten(model.weights).items()}
    out.mkdir(parents=True, exist_ok=True)
    write_folder(out, tensors)
    config = copy.deepcopy(model.config)
    config.architectures = ["ErnieMModel", "ErnieMForMaskedLM", type(model).__name__]
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.1  # for fine-tuning it
    config.save_pretrained(out)
    write_sentence_settings(out, SentenceSettings(pooling="mean"))
    for file in (work / "tokenizer").iterdir():
        (out / file.name).write_bytes(file.read_bytes())
