"""What a comparison found: the differences of every layer, as a table."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Difference:
    """The difference of two arrays: largest and mean |a - b|, and the cosine of all elements."""

    largest: float
    mean: float
    cosine: float

    @classmethod
    def between(cls, got: np.ndarray, want: np.ndarray) -> "Difference":
        """Compare in float64."""
        a, b = got.astype(np.float64).ravel(), want.astype(np.float64).ravel()
        apart = np.abs(a - b)
        lengths = np.linalg.norm(a) * np.linalg.norm(b)
        cosine = float(a @ b / lengths) if lengths else 1.0
        return cls(float(apart.max(initial=0)), float(apart.mean()), cosine)


@dataclass
class ParityReport:
    """The differences of every layer on every backend; str() gives them as a table.

    Attributes
    ----------
    model : str
        The folder of the model that was run.
    reference : str
        What it was compared with.
    tolerance : float
        Largest |difference| that is accepted.
    rows : dict of backend to dict of layer to Difference
    notes : list of str
        What could not be compared, and why.
    least_cosine : float, optional
        In place of the tolerance, for arithmetic of less than float32.
    """

    model: str
    reference: str
    tolerance: float
    rows: dict[str, dict[str, Difference]]
    notes: list[str] = field(default_factory=list)
    least_cosine: float | None = None

    def is_within(self, difference: Difference) -> bool:
        """Whether a difference is accepted; one that is NaN is not."""
        if self.least_cosine is not None:
            return difference.cosine >= self.least_cosine
        return difference.largest <= self.tolerance

    def first_outside(self, backend: str) -> str | None:
        """The first layer whose difference is NaN or above the tolerance; None if all pass."""
        return next((name for name, d in self.rows[backend].items() if not self.is_within(d)), None)

    @property
    def ok(self) -> bool:
        """Whether every number of every backend is within the tolerance."""
        return all(self.first_outside(backend) is None for backend in self.rows)

    def __str__(self) -> str:
        bound = f"tolerance {self.tolerance:g}"
        if self.least_cosine is not None:
            bound = f"cosine at least {self.least_cosine:g}"
        lines = [f"{self.model} against {self.reference}, {bound}", ""]
        heads = "".join(f" | {b:>7}: max     mean   cosine" for b in self.rows)
        lines.append(f"{'':16}{heads}")
        for name in next(iter(self.rows.values())):
            row = f"{name:16}"
            for differences in self.rows.values():
                d = differences[name]
                row += f" | {d.largest:12.2e} {d.mean:8.2e} {d.cosine:8.6f}"
            lines.append(row)
        lines.append("")
        for backend in self.rows:
            first = self.first_outside(backend)
            verdict = f"outside the tolerance from: {first}" if first else "all within tolerance"
            lines.append(f"{backend}: {verdict}")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])
