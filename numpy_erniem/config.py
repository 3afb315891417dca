"""ErnieMConfig: config.json, checked; and the letters that stand for sizes in this package.

==== =================================================== =====================================
B    texts of a batch
C    choices of a text, in multiple choice
T    tokens of a text, padding included
N    real tokens of a packed batch, which has no padding
P    past tokens, whose keys and values are cached
S    keys: P + T
D    width of a token's vector                           hidden_size
H    attention heads                                     num_attention_heads
d    width of a head, D / H                              head_dim
F    width between the two maps of a feed-forward layer  intermediate_size
R    rows of the position table                         max_position_embeddings
L    layers                                              num_hidden_layers
V    tokens of the vocabulary                            vocab_size
K    classes                                             num_labels
==== =================================================== =====================================

In C, m, n and k are the sizes of a matrix product.
"""

import json
import operator
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from numpy_erniem.activations import ACTIVATIONS
from numpy_erniem.checkpoint.atomic import atomic_write
from numpy_erniem.checkpoint.config_files import read_config
from numpy_erniem.checkpoint.keywords import (
    NEVER_STORED,
    take_hub_keywords,
    take_path,
    take_saving,
)
from numpy_erniem.checks import nearest, warn

FILE_NAME = "config.json"
POSITION_EMBEDDING_TYPES = ("absolute", "relative_key", "relative_key_query")
MASK_CONVENTIONS = ("padding", "paddle", "none")
POSITION_CONVENTIONS = ("sequential", "skip_padding")
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")
MOST_LAYERS = 10_000  # a config from a stranger may ask for more than any memory holds
ALIASES = {"dropout": "classifier_dropout", "num_classes": "num_labels"}
DEFAULT_NUM_LABELS = 2
# What transformers' PretrainedConfig has for every model, and pipelines read.
DEFAULTS = {
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
    "sep_token_id": None,
    "task_specific_params": None,
    "tie_encoder_decoder": False,
    "tie_word_embeddings": True,
    "tokenizer_class": None,
    "torch_dtype": None,
    "torchscript": False,
    "use_bfloat16": False,
}


def _alias(name: str) -> property:
    """Another name, in upstream and PaddleNLP, for an attribute."""
    return property(lambda config: getattr(config, name), lambda c, value: setattr(c, name, value))


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
        Token that is masked where no attention mask is given.
    layer_norm_eps : float
        Added to the variance in layer norm.
    position_embedding_type : {"absolute", "relative_key", "relative_key_query"}
        The relative types add learned scores of the distance between query and key.
    id2label, label2id : dict, optional
        Names of the classes; `num_labels` alone makes LABEL_0, LABEL_1, ...
    problem_type : str, optional
        "regression", "single_label_classification" or "multi_label_classification".
    output_attentions, output_hidden_states, return_dict, use_cache : bool
        Defaults of the forward arguments of the same name.
    pruned_heads : dict of int to list of int
        Heads that were removed, per layer. A negative layer counts from the end; the config has
        it as its number from 0.
    architectures : list of str, optional
        Class of the saved model, which `load` takes.
    num_labels : int, optional
        Number of classes, 2 if names and number are left out. Alias: `num_classes`.
    **extra
        Any other key is kept, readable as an attribute, and written back. Two of them say what is
        done where an argument of the forward pass is left out: attention_mask_convention (see
        `hidden_token_id`), and position_convention: "sequential" counts all tokens, "skip_padding"
        those that are not padding, as XLM-RoBERTa does. Keywords of
        `from_pretrained`, such as token, are refused: they are never stored.

    Raises
    ------
    ValueError
        For a value that is not allowed; the message names the key, the value and the rule.

    Notes
    -----
    Mirrors `transformers` 4.37.2, `ErnieMConfig`; there `dropout=` is lost, here it is kept.

    Examples
    --------
    >>> config = ErnieMConfig(hidden_size=12, num_attention_heads=3, num_labels=3)
    >>> config.max_length, config.num_labels, config.id2label[2]
    (512, 3, 'LABEL_2')
    """

    model_type = "ernie_m"
    is_composition = False
    attribute_map = ALIASES

    def __init__(
        self,
        vocab_size: int = 250002,
        hidden_size: int = 768,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 12,
        intermediate_size: int = 3072,
        hidden_act: str = "gelu",
        hidden_dropout_prob: float = 0.1,
        attention_probs_dropout_prob: float = 0.1,
        max_position_embeddings: int = 514,
        initializer_range: float = 0.02,
        pad_token_id: int | None = 1,
        layer_norm_eps: float = 1e-5,
        classifier_dropout: float | None = None,
        act_dropout: float = 0.0,
        position_embedding_type: str = "absolute",
        id2label: Mapping[int, str] | None = None,
        label2id: Mapping[str, int] | None = None,
        problem_type: str | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        return_dict: bool = True,
        use_cache: bool = False,
        pruned_heads: Mapping[int, Iterable[int]] | None = None,
        architectures: list[str] | None = None,
        *,
        num_labels: int | None = None,
        num_classes: int | None = None,
        dropout: float | None = None,
        **extra: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.hidden_act = hidden_act
        self.hidden_dropout_prob = hidden_dropout_prob
        self.attention_probs_dropout_prob = attention_probs_dropout_prob
        self.max_position_embeddings = max_position_embeddings
        self.initializer_range = initializer_range
        self.pad_token_id = pad_token_id
        self.layer_norm_eps = layer_norm_eps
        self.classifier_dropout = dropout if classifier_dropout is None else classifier_dropout
        self.act_dropout = act_dropout
        self.position_embedding_type = position_embedding_type
        count = num_classes if num_labels is None else num_labels
        self.id2label, self.label2id = _labels(count, id2label, label2id)
        self.problem_type = problem_type
        self.output_attentions = output_attentions
        self.output_hidden_states = output_hidden_states
        self.return_dict = return_dict
        self.use_cache = use_cache
        self.pruned_heads = {} if pruned_heads is None else pruned_heads
        self.architectures = architectures
        self.extra: dict[str, Any] = {}
        for name, value in extra.items():
            self._set_extra(name, value)
        self.validate()

    def __getattr__(self, name: str) -> Any:  # called only where there is no such attribute
        extra = self.__dict__.get("extra", {})
        if name in extra:
            return extra[name]
        if name in DEFAULTS:
            return DEFAULTS[name]
        raise AttributeError(f"ErnieMConfig has no {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in KEYS or name == "extra" or name.startswith("_") or hasattr(type(self), name):
            super().__setattr__(name, value)
        else:
            self._set_extra(name, value)

    def _set_extra(self, name: str, value: Any) -> None:
        if name in NEVER_STORED:
            raise ValueError(f"{name} is a keyword of from_pretrained and no key of a config")
        if name == "torch_dtype" and value is not None:  # as config.json has it, "float32"
            value = getattr(value, "__name__", str(value)).removeprefix("torch.")
        self.extra[name] = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ErnieMConfig) and self.to_dict() == other.to_dict()

    def __repr__(self) -> str:
        return f"ErnieMConfig({', '.join(f'{k}={v!r}' for k, v in self.to_dict().items())})"

    dropout = _alias("classifier_dropout")
    num_classes = _alias("num_labels")

    @property
    def num_labels(self) -> int:
        """Number of classes; setting it makes new names LABEL_0, LABEL_1, ..."""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, count: int) -> None:
        _require_int("num_labels", count, least=1)
        if count != len(self.id2label):
            self.id2label, self.label2id = _labels(count, None, None)

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
        """The token that is masked where no attention mask is given.

        It depends on the key attention_mask_convention:

        ========= ==================================================================
        "padding" padding, as in upstream
        "paddle"  token 0, [CLS], and not padding: checkpoints from PaddlePaddle
        "none"    none: checkpoints of the XLM-R family without a tokenizer
        ========= ==================================================================
        """
        hidden = {"padding": self.pad_token_id, "paddle": 0, "none": None}
        return hidden[self.mask_convention]

    @property
    def mask_convention(self) -> str:
        """The key attention_mask_convention: "padding", "paddle" or "none"."""
        return self.extra.get("attention_mask_convention", "padding")

    @property
    def name_or_path(self) -> str:
        """The folder or name that it was loaded from; "" if it was not. It is not stored."""
        return str(self._name_or_path)

    @name_or_path.setter
    def name_or_path(self, name: str | os.PathLike[str]) -> None:
        self._name_or_path = os.fspath(name)

    @property
    def use_return_dict(self) -> bool:
        """Upstream's name of `return_dict`."""
        return self.return_dict

    def validate(self) -> None:
        """Check every value; ValueError names the key, the value and the rule.

        A model does so with the config that it is made from, and saving does, because an attribute
        may have been set. What is written otherwise in a config.json gets its usual form:
        pruned_heads, id2label and label2id.
        """
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
        _require_in("attention_mask_convention", self.mask_convention, MASK_CONVENTIONS)
        _require_in("position_convention", self.position_convention, POSITION_CONVENTIONS)
        if self.position_convention == "skip_padding" and self.pad_token_id is None:
            raise ValueError("position_convention 'skip_padding' needs a pad_token_id; it is None")
        _require_in("problem_type", self.problem_type, (None, *PROBLEM_TYPES))
        self.id2label, self.label2id = _checked_names(self.id2label), _checked_ids(self.label2id)
        _require_names("architectures", self.architectures)
        heads = self.num_attention_heads
        self.pruned_heads = _pruned_heads(self.pruned_heads, self.num_hidden_layers, heads)
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "act_dropout"):
            _require_number(name, getattr(self, name), low=0.0, below=1.0)
        if self.classifier_dropout is not None:
            _require_number("classifier_dropout", self.classifier_dropout, low=0.0, below=1.0)
        _require_number("layer_norm_eps", self.layer_norm_eps, low=0.0, below=1.0)
        _require_number("initializer_range", self.initializer_range, low=0.0, below=1e3)

    def to_dict(self) -> dict[str, Any]:
        """Every key of config.json, unknown ones included, as plain values."""
        known = {key: getattr(self, key) for key in KEYS}
        return {**self.extra, **known, "model_type": self.model_type}

    def to_json_string(self) -> str:
        """config.json as text."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    def to_json_file(self, path: str | os.PathLike[str]) -> None:
        """Write config.json to `path`; ValueError for a value that is not allowed."""
        self.validate()
        atomic_write(path, self.to_json_string())

    def save_pretrained(self, folder: str | os.PathLike[str] | None = None, **options: Any) -> None:
        """Write `folder`/config.json; the folder is created if it does not exist.

        Parameters
        ----------
        folder : path
            Its name may also be given as `save_directory`.
        **options
            Keywords that ask for what is done anyway, such as push_to_hub=False.

        Raises
        ------
        ValueError
            An attribute was set to a value that is not allowed, or an option cannot be honoured.
        """
        folder = take_saving(folder, options)
        self.to_json_file(Path(folder) / FILE_NAME)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], **overrides: Any) -> "ErnieMConfig":
        """Make a config from the keys of a config.json; `overrides` win.

        Overrides are keys that a config has or that `values` has; another one is a ValueError.
        Keywords of `from_pretrained`, such as token, are left out of `values`, with a warning.
        """
        known = [*KEYS, *ALIASES, "num_labels", *DEFAULTS, *values]
        for name in overrides:
            if name not in known:
                raise ValueError(f"unknown option {name!r}{nearest(name, known)}")
        if dropped := sorted(NEVER_STORED & values.keys()):
            warn(f"no keys of a config, left out: {', '.join(dropped)}")
        values = {name: value for name, value in values.items() if name not in NEVER_STORED}
        model_type = values.pop("model_type", cls.model_type)
        if model_type != cls.model_type:
            raise ValueError(
                f"model_type {model_type!r} is not {cls.model_type!r}; "
                "`erniem convert` makes ERNIE-M of models like XLM-RoBERTa"
            )
        for key in _overridden_labels(values, overrides):
            values.pop(key, None)
        return cls(**{**values, **overrides})

    @classmethod
    def from_json_file(cls, path: str | os.PathLike[str], **overrides: Any) -> "ErnieMConfig":
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
        cls, values: dict[str, Any], source: str | os.PathLike[str], **overrides: Any
    ) -> "ErnieMConfig":
        """As `from_dict`, for values that were not checked; a ValueError names their source.

        Parameters
        ----------
        values : dict
            Keys of a config.json.
        source : path or str
            Where they come from, for the error.
        **overrides
            Keys that win over those.

        Returns
        -------
        ErnieMConfig

        Raises
        ------
        ValueError
            A value that is not allowed, or of the wrong type.
        """
        try:
            return cls.from_dict(values, **overrides)
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{source}: {error}") from None

    @classmethod
    def from_pretrained(
        cls,
        model: str | os.PathLike[str] | None = None,
        *,
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        subfolder: str | os.PathLike[str] | None = None,
        token: str | bool | None = None,
        **overrides: Any,
    ) -> "ErnieMConfig":
        """Read the config of a checkpoint.

        Parameters
        ----------
        model : path or str
            A folder, or a name on the Hugging Face hub. It may also be given as
            `pretrained_model_name_or_path`.
        revision : str, optional
            Branch, tag or commit on the hub.
        cache_dir : path, optional
            Where downloads are kept; left out, where huggingface_hub keeps them.
        local_files_only : bool
            Use what was downloaded before, and no network.
        subfolder : path or str, optional
            Folder inside `model` in which the config is.
        token : str or bool, optional
            Password of the hub, as of huggingface_hub. It is never stored.
        **overrides
            Keys of the config that win over the file's; and other keywords of loading, which are
            not stored: use_auth_token and force_download are used, those that ask for what is
            done anyway have no effect, and others are a ValueError.

        Returns
        -------
        ErnieMConfig

        Raises
        ------
        FileNotFoundError
            No such folder, or no config in it.
        ValueError
            A file that is not JSON, or a value that is not allowed.
        """
        from numpy_erniem.checkpoint.hub import resolve_folder

        name = take_path("from_pretrained", model, overrides, "pretrained_model_name_or_path")
        options = take_hub_keywords(
            overrides,
            revision=revision,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            subfolder=subfolder,
            token=token,
        )
        folder = resolve_folder(name, weights=False, **options)
        path = folder / FILE_NAME
        if path.is_file():
            config = cls.from_json_file(path, **overrides)
        else:
            config = cls.from_values(read_config(folder), folder, **overrides)
        config.name_or_path = name
        return config


def _labels(
    num_labels: int | None, id2label: Mapping[Any, str] | None, label2id: Mapping[str, int] | None
) -> tuple[dict[int, str], dict[str, int]]:
    """Names of the classes by id, and ids by name, from what is given of three arguments.

    ========== ======== ======== =============================== ===========================
    num_labels id2label label2id names                           ids
    ========== ======== ======== =============================== ===========================
    -          -        -        LABEL_0, LABEL_1                of the names
    n          -        -        LABEL_0 to LABEL_n-1            of the names
    - or 2     -        given    LABEL_0, LABEL_1                as given
    other n    -        given    LABEL_0 to LABEL_n-1            of the names
    - or n     n names  -        as given                        of the names
    - or n     n names  given    as given                        as given
    n          m names           ValueError
    ========== ======== ======== =============================== ===========================
    """
    if num_labels is not None:
        _require_int("num_labels", num_labels, least=1)
    if id2label is None:
        count = DEFAULT_NUM_LABELS if num_labels is None else num_labels
        names = {i: f"LABEL_{i}" for i in range(count)}
        if count != DEFAULT_NUM_LABELS:
            label2id = None
    else:
        names = _checked_names(id2label)
        if num_labels not in (None, len(names)):
            raise ValueError(
                f"num_labels {num_labels} contradicts id2label with {len(names)} "
                "names; give one of them, or make them agree"
            )
    ids = {name: i for i, name in names.items()} if label2id is None else _checked_ids(label2id)
    return names, ids


def _checked_names(id2label: Any) -> dict[int, str]:
    """Names by integers, which in JSON are strings."""
    try:
        return {int(i): name for i, name in id2label.items()}
    except (AttributeError, TypeError, ValueError):
        raise ValueError(
            f"id2label {id2label!r} is not a dict from numbers to names, such as {{0: 'no'}}"
        ) from None


def _checked_ids(label2id: Any) -> dict[str, int]:
    try:
        return dict(label2id)
    except (TypeError, ValueError):
        raise ValueError(
            f"label2id {label2id!r} is not a dict from names to numbers, such as {{'no': 0}}"
        ) from None


def _pruned_heads(given: Any, L: int, H: int) -> dict[int, list[int]]:
    """Sorted heads by layers from 0; ValueError unless a model of L layers, H heads has them."""
    if not isinstance(given, Mapping):
        raise ValueError(f"pruned_heads {given!r} is not a dict of lists, such as {{0: [1, 2]}}")
    pruned: dict[int, list[int]] = {}
    for n, heads in given.items():
        try:
            layer = int(n) if isinstance(n, str) else operator.index(n)
        except (TypeError, ValueError):
            layer = L
        if layer not in range(-L, L):
            raise ValueError(f"pruned_heads names layer {n!r}; this model has 0..{L - 1}")
        where = f"pruned_heads of layer {n}"
        if not isinstance(heads, Iterable) or isinstance(heads, str):
            raise ValueError(f"{where} is {heads!r}, not a list such as [1, 2]")
        listed = list(heads)
        wrong = [head for head in listed if isinstance(head, bool) or head not in range(H)]
        if wrong:
            raise ValueError(f"{where} names head {wrong[0]!r}; it has 0..{H - 1}")
        layer %= L
        pruned[layer] = sorted({*pruned.get(layer, ()), *map(int, listed)})
        if len(pruned[layer]) == H:
            raise ValueError(f"{where} are all of its {H} heads; keep at least one")
    return pruned


def _overridden_labels(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> set[str]:
    """Keys of labels in a config.json that no longer hold after the overrides.

    ================================ ====================================
    overrides have                   keys of the file that no longer hold
    ================================ ====================================
    neither names nor number         none
    id2label                         label2id, the number
    the number that the file has     the number
    another number                   the number, id2label, label2id
    ================================ ====================================
    """
    number = {"num_labels", "num_classes"}
    if "id2label" in overrides:
        return {"label2id", *number}
    if not number & overrides.keys():
        return set()
    wanted = overrides.get("num_labels", overrides.get("num_classes"))
    in_file = values.get("num_labels", values.get("num_classes"))
    names, _ = _labels(in_file, values.get("id2label"), values.get("label2id"))
    return number if len(names) == wanted else {"id2label", "label2id", *number}


def _require_int(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} {value!r} is not an integer of at least {least}")


def _require_number(name: str, value: Any, low: float, below: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value < below:
        raise ValueError(f"{name} {value!r} is not a number in [{low:g}, {below:g})")


def _require_names(name: str, value: Any) -> None:
    strings = isinstance(value, list | tuple) and all(isinstance(text, str) for text in value)
    if value is not None and not strings:
        raise ValueError(f"{name} {value!r} is not a list of names")


def _require_in(name: str, value: Any, allowed: Any) -> None:
    if not isinstance(value, str | None) or value not in allowed:
        raise ValueError(f"{name} {value!r} is not one of {', '.join(map(str, allowed))}")


# Keys of config.json that ErnieMConfig knows: its positional arguments. Others are in `extra`.
KEYS = ErnieMConfig.__init__.__code__.co_varnames[1 : ErnieMConfig.__init__.__code__.co_argcount]
