"""What a conversion did, as text for a reader."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Report:
    """What a conversion did to the tensors, the config and the files; str() lists it.

    Attributes
    ----------
    layout : str
        Whose names the source has: "ERNIE-M", "PaddleNLP" or a model_type such as "xlm-roberta".
    renamed : dict of str to str
        Names in the source to names in our file, where they differ.
    transposed : list of str
        Our names of the weights that the source stores as (in, out).
    dropped : dict of str to str
        Names in the source to the reason why they are left out.
    derived : dict of str to (before, after)
        Keys of the config that were corrected or added; before is None if there was none.
    made : dict of str to str
        Our tensors and files that the source does not have, to how they were made.
    notes : list of str
        What a user of the converted checkpoint should know.
    source : str
        The checkpoint that was read, as it was given.
    out : Path
        The folder that was written.
    tensors, parameters, bytes_written : int
        Numbers of tensors and of their elements, and the bytes of their data.
    agreement : object, optional
        How near the result is to the source, where its weights are narrower; str() tells it.
    """

    layout: str = "ERNIE-M"
    renamed: dict[str, str] = field(default_factory=dict)
    transposed: list[str] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)
    derived: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    source: str = ""
    out: Path | None = None
    tensors: int = 0
    parameters: int = 0
    bytes_written: int = 0
    agreement: Any = None

    def derive(self, config: dict[str, Any], key: str, value: Any) -> None:
        """Set a key of a config, and record it if its value changes.

        Parameters
        ----------
        config : dict
            Changed in place.
        key : str
        value : object
        """
        if key not in config or config[key] != value:
            self.derived[key] = (config.get(key), value)
        config[key] = value

    def drop(self, names: Iterable[str], reason: str) -> None:
        """Record tensors that are left out, and why."""
        self.dropped |= dict.fromkeys(names, reason)

    def __str__(self) -> str:
        lines = [
            f"{self.source} ({self.layout}) -> {self.out}",
            f"{self.tensors} tensors, {self.parameters / 1e6:.1f} M parameters, "
            f"{self.bytes_written / 1e6:.1f} MB",
        ]
        if self.renamed:
            old, new = next(iter(self.renamed.items()))
            lines.append(f"renamed {len(self.renamed)} tensors, such as {old} -> {new}")
        if self.transposed:
            lines.append(f"transposed {len(self.transposed)} weights, from (in, out) to (out, in)")
        for reason, count in Counter(self.dropped.values()).items():
            first = next(name for name, why in self.dropped.items() if why == reason)
            more = f" and {count - 1} more" if count > 1 else ""
            lines.append(f"dropped {first}{more}: {reason}")
        lines += [f"derived {key}: {b!r} -> {a!r}" for key, (b, a) in self.derived.items()]
        lines += [f"made {name}: {how}" for name, how in self.made.items()]
        if self.agreement is not None:
            lines += str(self.agreement).splitlines()
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])
