"""ErnieMConfig: config.json as a checked dataclass."""

import json
import os
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from numpy_erniem.activations import ACTIVATIONS
from numpy_erniem.checkpoint.atomic import atomic_write
from numpy_erniem.checkpoint.config_files import read_config

FILE_NAME = "config.json"
POSITION_EMBEDDING_TYPES = ("absolute", "relative_key", "relative_key_query")
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")
MOST_LAYERS = 10_000  # a config from a stranger may ask for more than any memory holds
ALIASES = {"dropout": "classifier_dropout", "num_classes": "num_labels"}


@dataclass(init=False)
class ErnieMConfig:
    """The sizes and options of an ERNIE-M model; the defaults are those of ernie-m-base.

    Parameters
    ----------
    vocab_size, hidden_size, num_hidden_layers, num_attention_heads, intermediate_size : int
        V, D, L, H and F of the shapes in this package.
    hidden_act : str
        Activation of the feed-forward layer, a name in `numpy_erniem.activations.ACTIVATIONS`.
    hidden_dropout_prob, attention_probs_dropout_prob, act_dropout : float
        Dropout rates in [0, 1) of the sublayer outputs, the attention probabilities and the
        activations; used in training only.
    classifier_dropout : float, optional
        Dropout before a task head; None means hidden_dropout_prob. Alias: `dropout`.
    max_position_embeddings : int
        Rows of the position table. Positions start at row 2, so a text may have two tokens less.
    initializer_range : float
        Standard deviation of freshly drawn weights.
    pad_token_id : int
        Token that is hidden where no attention mask is given.
    layer_norm_eps : float
        Added to the variance in layer norm.
    position_embedding_type : {"absolute", "relative_key", "relative_key_query"}
        The relative types add learned scores of the distance between query and key.
    id2label, label2id : dict, optional
        Names of the classes; `num_labels` (alias `num_classes`) alone makes LABEL_0, LABEL_1, ...
    problem_type : str, optional
        "regression", "single_label_classification" or "multi_label_classification".
    output_attentions, output_hidden_states, return_dict, use_cache : bool
        Defaults of the forward arguments of the same name.
    pruned_heads : dict of int to list of int
        Heads that were removed, per layer.
    **extra
        Any other key is kept, readable as an attribute, and written back.

    Raises
    ------
    ValueError
        For a value that cannot be; the message names the key, the value and the rule.

    Notes
    -----
    Mirrors `transformers` 4.37.2, `ErnieMConfig`; there `dropout=` is lost, here it is kept.

    Examples
    --------
    >>> config = ErnieMConfig(hidden_size=12, num_attention_heads=3, num_labels=3)
    >>> config.max_length, config.num_labels, config.id2label[2]
    (512, 3, 'LABEL_2')
    """

    vocab_size: int = 250002
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 514
    initializer_range: float = 0.02
    pad_token_id: int = 1
    layer_norm_eps: float = 1e-5
    classifier_dropout: float | None = None
    act_dropout: float = 0.0
    position_embedding_type: str = "absolute"
    id2label: dict[int, str] = field(default_factory=lambda: {0: "LABEL_0", 1: "LABEL_1"})
    label2id: dict[str, int] = field(default_factory=lambda: {"LABEL_0": 0, "LABEL_1": 1})
    problem_type: str | None = None
    output_attentions: bool = False
    output_hidden_states: bool = False
    return_dict: bool = True
    use_cache: bool = False
    pruned_heads: dict[int, list[int]] = field(default_factory=dict)
    architectures: list[str] | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    model_type = "ernie_m"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        names = [f.name for f in fields(self) if f.name != "extra"]
        if len(args) > len(names):
            raise TypeError(f"ErnieMConfig takes at most {len(names)} positional arguments")
        given = {**kwargs, **dict(zip(names, args, strict=False))}
        given = {ALIASES.get(key, key): value for key, value in given.items()}
        num_labels = given.pop("num_labels", None)
        for f in fields(self):
            default = f.default_factory() if f.default is MISSING else f.default
            setattr(self, f.name, given.pop(f.name, default))
        self.extra = {**self.extra, **given}
        self._settle_labels(num_labels, "id2label" in kwargs, "label2id" in kwargs)
        self.pruned_heads = {int(n): sorted(set(heads)) for n, heads in self.pruned_heads.items()}
        self.validate()

    def _settle_labels(self, num_labels: int | None, names_given: bool, ids_given: bool) -> None:
        if num_labels is not None:
            _require_int("num_labels", num_labels, least=1)
            if names_given and len(self.id2label) != num_labels:
                raise ValueError(
                    f"num_labels {num_labels} contradicts id2label with {len(self.id2label)} "
                    "names; give one of them, or make them agree"
                )
            if not names_given:
                self.num_labels = num_labels
        self.id2label = {int(i): name for i, name in self.id2label.items()}
        if names_given and not ids_given:
            self.label2id = {name: i for i, name in self.id2label.items()}

    def __getattr__(self, name: str) -> Any:
        if name in ALIASES:
            return getattr(self, ALIASES[name])
        try:
            return self.__dict__["extra"][name]
        except KeyError:
            raise AttributeError(f"ErnieMConfig has no {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(ALIASES.get(name, name), value)

    @property
    def num_labels(self) -> int:
        """Number of classes; setting it makes new names LABEL_0, LABEL_1, ..."""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, count: int) -> None:
        _require_int("num_labels", count, least=1)
        if count != len(self.id2label):
            self.id2label = {i: f"LABEL_{i}" for i in range(count)}
            self.label2id = {name: i for i, name in self.id2label.items()}

    @property
    def head_dim(self) -> int:
        """Width d = D / H of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def max_length(self) -> int:
        """Most tokens that a text may have: positions start at row 2 of the position table."""
        return self.max_position_embeddings - 2

    @property
    def hidden_token_id(self) -> int | None:
        """The token that is hidden where no attention mask is given.

        Padding; but where attention_mask_convention is "paddle", as in checkpoints that were
        converted from PaddlePaddle, token 0, [CLS], which PaddleNLP hides in its place.
        """
        return 0 if self.mask_convention == "paddle" else self.pad_token_id

    @property
    def mask_convention(self) -> str:
        """The key attention_mask_convention: "padding", or "paddle"."""
        return self.extra.get("attention_mask_convention", "padding")

    @property
    def use_return_dict(self) -> bool:
        """Upstream's name of `return_dict`."""
        return self.return_dict

    def validate(self) -> None:
        """Check every value; ValueError names the key, the value and the rule."""
        for name in ("vocab_size", "hidden_size", "num_attention_heads", "intermediate_size"):
            _require_int(name, getattr(self, name), least=1)
        _require_int("num_hidden_layers", self.num_hidden_layers, least=0)
        if self.num_hidden_layers > MOST_LAYERS:
            raise ValueError(f"num_hidden_layers {self.num_hidden_layers} is above {MOST_LAYERS}")
        _require_int("max_position_embeddings", self.max_position_embeddings, least=3)
        if self.pad_token_id is not None:
            _require_int("pad_token_id", self.pad_token_id, least=0)
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads "
                f"{self.num_attention_heads}; check {FILE_NAME}"
            )
        _require_in("hidden_act", self.hidden_act, ACTIVATIONS)
        _require_in(
            "position_embedding_type", self.position_embedding_type, POSITION_EMBEDDING_TYPES
        )
        _require_in("attention_mask_convention", self.mask_convention, ("padding", "paddle"))
        _require_in("problem_type", self.problem_type, (None, *PROBLEM_TYPES))
        self._check_pruned_heads()
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "act_dropout"):
            _require_number(name, getattr(self, name), low=0.0, below=1.0)
        if self.classifier_dropout is not None:
            _require_number("classifier_dropout", self.classifier_dropout, low=0.0, below=1.0)
        _require_number("layer_norm_eps", self.layer_norm_eps, low=0.0, below=1.0)
        _require_number("initializer_range", self.initializer_range, low=0.0, below=1e3)

    def _check_pruned_heads(self) -> None:
        L, H = self.num_hidden_layers, self.num_attention_heads
        for n, heads in self.pruned_heads.items():
            wrong = [head for head in heads if head not in range(H)]
            if n not in range(L):
                raise ValueError(f"pruned_heads names layer {n!r}; this model has 0..{L - 1}")
            if wrong:
                raise ValueError(
                    f"pruned_heads of layer {n} names head {wrong[0]!r}; it has 0..{H - 1}"
                )
            if len(heads) == H:
                raise ValueError(
                    f"pruned_heads of layer {n} are all of its {H} heads; keep at least one"
                )

    def to_dict(self) -> dict[str, Any]:
        """Every key of config.json, unknown ones included, as plain values."""
        known = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "extra"}
        return {**self.extra, **known, "model_type": self.model_type}

    def to_json_string(self) -> str:
        """config.json as text."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    def to_json_file(self, path: str | os.PathLike) -> None:
        """Write config.json to `path`."""
        atomic_write(path, self.to_json_string())

    def save_pretrained(self, folder: str | os.PathLike) -> None:
        """Write `folder`/config.json; the folder is made if need be."""
        self.to_json_file(Path(folder) / FILE_NAME)

    @classmethod
    def from_dict(cls, values: dict[str, Any], **overrides: Any) -> "ErnieMConfig":
        """Make a config from the keys of a config.json; `overrides` win."""
        values, overrides = dict(values), dict(overrides)
        model_type = values.pop("model_type", cls.model_type)
        if model_type != cls.model_type:
            raise ValueError(
                f"model_type {model_type!r} is not {cls.model_type!r}; "
                "`erniem convert` makes ERNIE-M of models like XLM-RoBERTa"
            )
        if "id2label" in overrides:  # what the file says of labels would contradict it
            stale = ("label2id", "num_labels", "num_classes")
            values = {k: v for k, v in values.items() if k not in stale}
        if "num_labels" in overrides or "num_classes" in overrides:
            if "id2label" not in overrides and cls(**values).num_labels != overrides.get(
                "num_labels", overrides.get("num_classes")
            ):
                values = {k: v for k, v in values.items() if k not in ("id2label", "label2id")}
            values = {k: v for k, v in values.items() if k not in ("num_labels", "num_classes")}
        return cls(**{**values, **overrides})

    @classmethod
    def from_json_file(cls, path: str | os.PathLike, **overrides: Any) -> "ErnieMConfig":
        """Read a config.json; `overrides` win. ValueError if it is not a JSON object."""
        path = Path(path)
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"{path} is not JSON: {error}") from None
        if not isinstance(values, dict):
            raise ValueError(f"{path} is not a JSON object but a {type(values).__name__}")
        return cls.from_values(values, path, **overrides)

    @classmethod
    def from_values(
        cls, values: dict[str, Any], source: str | os.PathLike, **overrides: Any
    ) -> "ErnieMConfig":
        """As `from_dict`, for values that nobody checked; a ValueError names their source."""
        try:
            return cls.from_dict(values, **overrides)
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{source}: {error}") from None

    @classmethod
    def from_pretrained(
        cls, name: str | os.PathLike, *, revision: str | None = None, **overrides: Any
    ) -> "ErnieMConfig":
        """Read the config of a folder, or of a name on the hub; `overrides` win."""
        from numpy_erniem.checkpoint.hub import resolve_folder

        path = resolve_folder(name, revision=revision, weights=False) / FILE_NAME
        if path.is_file():
            return cls.from_json_file(path, **overrides)
        return cls.from_values(read_config(path.parent), path.parent, **overrides)


def _require_int(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} {value!r} is not an integer of at least {least}")


def _require_number(name: str, value: Any, low: float, below: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value < below:
        raise ValueError(f"{name} {value!r} is not a number in [{low:g}, {below:g})")


def _require_in(name: str, value: Any, allowed: Any) -> None:
    if value not in allowed:
        raise ValueError(f"{name} {value!r} is not one of {', '.join(map(str, allowed))}")
