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

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from numpy_erniem.activations import ACTIVATIONS
from numpy_erniem.checkpoint.config_files import CONFIG_FILE
from numpy_erniem.config.checks import (
    checked_pruned_heads,
    require_bool,
    require_in,
    require_int,
    require_names,
    require_number,
)
from numpy_erniem.config.labels import checked_ids, checked_names, class_labels
from numpy_erniem.config.pretrained import PretrainedConfig
from numpy_erniem.config.quantization import checked_quantization

POSITION_EMBEDDING_TYPES = ("absolute", "relative_key", "relative_key_query")
MASK_CONVENTIONS = ("padding", "paddle", "none")
POSITION_CONVENTIONS = ("sequential", "skip_padding")
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")
MOST_LAYERS = 10_000  # a config from a stranger may ask for more than any memory holds


def _alias(name: str) -> property:
    """Another name, in upstream and PaddleNLP, for an attribute."""
    return property(lambda config: getattr(config, name), lambda c, value: setattr(c, name, value))


class ErnieMConfig(PretrainedConfig):
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
        those that are not padding, as XLM-RoBERTa does. A third one, quantization, says that the
        weights are int8, and which are not. Keywords of `from_pretrained`, such as token, are
        refused: they are never stored.

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
    attribute_map: ClassVar[dict[str, str]] = {
        "dropout": "classifier_dropout",
        "num_classes": "num_labels",
    }

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
        self.id2label, self.label2id = class_labels(count, id2label, label2id)
        self.problem_type = problem_type
        self.output_attentions = output_attentions
        self.output_hidden_states = output_hidden_states
        self.return_dict = return_dict
        self.use_cache = use_cache
        self.pruned_heads = {} if pruned_heads is None else pruned_heads
        self.architectures = architectures
        super().__init__(**extra)
        self.validate()

    # Keys of config.json that have a meaning here: the positional arguments.
    KEYS = __init__.__code__.co_varnames[1 : __init__.__code__.co_argcount]

    dropout = _alias("classifier_dropout")
    num_classes = _alias("num_labels")

    @property
    def num_labels(self) -> int:
        """Number of classes; setting it makes new names LABEL_0, LABEL_1, ..."""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, count: int) -> None:
        require_int("num_labels", count, least=1)
        if count != len(self.id2label):
            self.id2label, self.label2id = class_labels(count, None, None)

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
    def quantization(self) -> dict[str, Any] | None:
        """Which weights are int8: {"dtype": "int8", "keep_float": layers that are not}; or None.

        The layers are those of `config.quantization.quantizable_layers`.
        """
        return self.extra.get("quantization")

    @quantization.setter
    def quantization(self, value: Mapping[str, Any] | None) -> None:
        self.extra.pop("quantization", None)
        if value is not None:
            self.extra["quantization"] = value

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
            require_int(name, getattr(self, name), least=1)
        require_int("num_hidden_layers", self.num_hidden_layers, least=0)
        if self.num_hidden_layers > MOST_LAYERS:
            raise ValueError(f"num_hidden_layers {self.num_hidden_layers} is above {MOST_LAYERS}")
        require_int("max_position_embeddings", self.max_position_embeddings, least=3)
        if self.pad_token_id is not None:
            require_int("pad_token_id", self.pad_token_id, least=0)
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads "
                f"{self.num_attention_heads}; check {CONFIG_FILE}"
            )
        for name in ("output_attentions", "output_hidden_states", "return_dict", "use_cache"):
            require_bool(name, getattr(self, name))
        require_in("hidden_act", self.hidden_act, ACTIVATIONS)
        require_in(
            "position_embedding_type", self.position_embedding_type, POSITION_EMBEDDING_TYPES
        )
        require_in("attention_mask_convention", self.mask_convention, MASK_CONVENTIONS)
        require_in("position_convention", self.position_convention, POSITION_CONVENTIONS)
        if self.position_convention == "skip_padding" and self.pad_token_id is None:
            raise ValueError("position_convention 'skip_padding' needs a pad_token_id; it is None")
        require_in("problem_type", self.problem_type, (None, *PROBLEM_TYPES))
        self.id2label, self.label2id = checked_names(self.id2label), checked_ids(self.label2id)
        require_names("architectures", self.architectures)
        heads = self.num_attention_heads
        self.pruned_heads = checked_pruned_heads(self.pruned_heads, self.num_hidden_layers, heads)
        self.quantization = checked_quantization(self.quantization, self.num_hidden_layers)
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "act_dropout"):
            require_number(name, getattr(self, name), low=0.0, below=1.0)
        if self.classifier_dropout is not None:
            require_number("classifier_dropout", self.classifier_dropout, low=0.0, below=1.0)
        require_number("layer_norm_eps", self.layer_norm_eps, low=0.0, below=1.0)
        require_number("initializer_range", self.initializer_range, low=0.0, below=1e3)
