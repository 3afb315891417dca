"""The figures by which the bundled checkpoint is trained."""

from dataclasses import dataclass

SIZES = {
    "hidden_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 512,
    "initializer_range": 0.05,
    "hidden_dropout_prob": 0.0,  # it sees a sentence too seldom to overfit
    "attention_probs_dropout_prob": 0.0,
}


@dataclass(frozen=True)
class Phase:
    """Steps that draw from the same objectives; one that is named twice is drawn twice as often."""

    steps: int
    objectives: tuple[str, ...]


@dataclass(frozen=True)
class Recipe:
    """The figures of a run; those of the shipped model are the defaults."""

    phases: tuple[Phase, ...] = (
        Phase(12000, (*["mmlm"] * 4, "tlm", "camlm", "retrieve", "retrieve", "language")),
        Phase(15000, ("mmlm", "mmlm", "retrieve", "retrieve", "retrieve", "language")),
    )
    learning_rate: float = 2e-3
    precision: str = "bfloat16"  # of the products of linear maps
    max_length: int = 64  # tokens of a sentence
    mask_probability: float = 0.25
    batch_size: int = 64  # of masked sentences or pairs
    retrieve_batch_size: int = 64  # English sentences
    translations: int = 3  # of each of them
    language_batch_size: int = 64  # sentences
    temperature: float = 0.05
    balance: float = 0.4  # a language with n sentences is drawn in proportion to n ** balance
    english: float = 0.2  # share of English in mmlm
    short: float = 0.5  # share of the texts of `language` that are cut to a few words
    seed: int = 2021
    threads: int = 2

    @property
    def steps(self) -> int:
        """Of all phases."""
        return sum(phase.steps for phase in self.phases)
