"""Read a tokenizer.json: what it does is either what our tokenizer does, or refused by name.

A tokenizer.json is a chain: normalizer, pre_tokenizer, model and post_processor; a decoder makes
text of tokens. SentencePiece does all of it in one step, so only chains that spell out
SentencePiece's own rules can be converted.
"""

import base64
from dataclasses import dataclass, field
from typing import Any

from numpy_erniem.conversion.unigram import Layout, read_vocabulary

UNDERLINE = "▁"
KNOWN = {
    *("version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer"),
    *("post_processor", "decoder", "model"),
}
MEMBERS = {
    "normalizer": "normalizers",
    "pre_tokenizer": "pretokenizers",
    "post_processor": "processors",
    "decoder": "decoders",
}
MOST_STEPS = 100


@dataclass
class FastTokenizer:
    """What a tokenizer.json says.

    Attributes
    ----------
    layout : Layout
        Where the special tokens stand.
    vocabulary : list of str
        Tokens in the order of their ids.
    pieces : list of (str, float)
        Ordinary pieces with their scores.
    charsmap : bytes
        The normalisation rules, as SentencePiece compiles them.
    splits_at_spaces : bool
        Whether WhitespaceSplit removes every space, those around added tokens too.
    strips : bool
        Whether the normalizer removes spaces at the end.
    spaces : str or None
        What several spaces become: " ", "▁", or None for no rule.
    added_tokens : object
        The list of the file, not checked.
    settings : dict
        For tokenizer_config.json.
    notes : list of str
        For the report.
    """

    layout: Layout
    vocabulary: list[str]
    pieces: list[tuple[str, float]]
    charsmap: bytes = b""
    splits_at_spaces: bool = False
    strips: bool = False
    spaces: str | None = None
    added_tokens: Any = None
    settings: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def final_underline(self) -> bool:
        """Whether a text that ends in white space gets a last token "▁"."""
        return not self.splits_at_spaces and not self.strips


def read_fast_tokenizer(content: dict[str, Any]) -> FastTokenizer:
    """Read a tokenizer.json of XLM-R's or CamemBERT's kind.

    Raises
    ------
    ValueError
        The tokenizer is of another kind; the message names what differs.
    """
    unknown = sorted(content.keys() - KNOWN)
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not a key of a tokenizer.json that is known here")
    fast = FastTokenizer(*read_vocabulary(content.get("model")))
    _read_normalizer(fast, _steps(content, "normalizer"))
    _read_pre_tokenizer(fast, _steps(content, "pre_tokenizer"))
    _check_post_processor(_steps(content, "post_processor"), fast.layout)
    _check_decoder(_steps(content, "decoder"))
    _read_padding(fast, content.get("padding"))
    _read_truncation(fast, content.get("truncation"))
    fast.added_tokens = content.get("added_tokens")
    return fast


def _steps(content: dict[str, Any], part: str) -> list[dict[str, Any]]:
    """The steps of a part of the chain, with those of Sequences inside Sequences in one list."""
    steps: list[dict[str, Any]] = []
    waiting = [content.get(part)]
    while waiting:
        step = waiting.pop(0)
        if step is None and not steps and not waiting:
            return []
        if not isinstance(step, dict) or not isinstance(step.get("type"), str):
            raise ValueError(f"{part}: {step!r:.80} is not an object with a type")
        if step["type"] != "Sequence":
            steps.append(step)
        elif step.keys() == {"type", MEMBERS[part]} and isinstance(step[MEMBERS[part]], list):
            waiting = step[MEMBERS[part]] + waiting
        else:
            raise ValueError(f"{part}: Sequence is not a list of {MEMBERS[part]}")
        if len(steps) + len(waiting) > MOST_STEPS:
            raise ValueError(f"{part}: more than {MOST_STEPS} steps")
    return steps


def _refuse(part: str, step: dict[str, Any], reason: str) -> ValueError:
    values = {k: v for k, v in step.items() if k not in ("type", "precompiled_charsmap")}
    shown = f" {values!r:.120}" if values else ""
    return ValueError(f"{part} {step['type']}{shown} is not reproduced: {reason}")


def _read_normalizer(fast: FastTokenizer, steps: list[dict[str, Any]]) -> None:
    """Precompiled, then rules about spaces at the end and several spaces."""
    for n, step in enumerate(steps):
        kind = step["type"]
        if kind == "Precompiled" and n == 0:
            try:
                fast.charsmap = base64.b64decode(step["precompiled_charsmap"], validate=True)
            except (KeyError, TypeError, ValueError):
                raise ValueError("normalizer Precompiled: the rules are not base64") from None
        elif kind == "Strip" and fast.charsmap and fast.spaces != UNDERLINE:
            sides = [step.get(f"strip_{side}") for side in ("left", "right")]
            if len(step) != 3 or not all(isinstance(side, bool) for side in sides):
                raise _refuse("normalizer", step, "strip_left and strip_right are true or false")
            fast.strips = fast.strips or sides[1] is True
        elif kind == "Replace" and fast.charsmap and fast.spaces is None:
            content = step.get("content")
            known = {"type": kind, "pattern": {"Regex": " {2,}"}, "content": content}
            if step != known or content not in (" ", UNDERLINE):
                raise _refuse("normalizer", step, "SentencePiece replaces only several spaces")
            fast.spaces = content
        else:
            raise _refuse(
                "normalizer",
                step,
                "SentencePiece's rules are Precompiled, then Strip and Replace of several spaces, "
                "in this order and each once",
            )
    if not fast.charsmap:
        raise ValueError("normalizer: there are no Precompiled rules, which SentencePiece has")


def _read_pre_tokenizer(fast: FastTokenizer, steps: list[dict[str, Any]]) -> None:
    """Metaspace that puts "▁" before each word, alone or after WhitespaceSplit."""
    part = "pre_tokenizer"
    kinds = [step["type"] for step in steps]
    for step in steps:
        if step["type"] not in ("WhitespaceSplit", "Metaspace"):
            raise _refuse(part, step, "SentencePiece splits only at spaces")
    if kinds not in (["Metaspace"], ["WhitespaceSplit", "Metaspace"]):
        raise ValueError(
            f"{part} {kinds} is not reproduced: SentencePiece's rule is Metaspace, alone or after "
            "WhitespaceSplit"
        )
    _check_metaspace(part, steps[-1])
    fast.splits_at_spaces = len(steps) == 2
    if len(steps) == 2 and len(steps[0]) != 1:
        raise _refuse(part, steps[0], "it has no options")
    if fast.splits_at_spaces and fast.spaces == UNDERLINE and not fast.strips:
        raise ValueError(
            f'{part} WhitespaceSplit after Replace of several spaces by "▁" is not reproduced: '
            "two spaces at the end of a text become a token, and one does not"
        )
    if not fast.splits_at_spaces and fast.spaces is None:
        raise ValueError(
            f"{part} Metaspace without WhitespaceSplit, and without Replace of several spaces in "
            "the normalizer, is not reproduced: every space would be a token"
        )


def _check_metaspace(part: str, step: dict[str, Any]) -> None:
    options = {"replacement": UNDERLINE, "add_prefix_space": True, "prepend_scheme": "always"}
    spelled = step.get("str_rep", UNDERLINE), step.get("split", True)
    wrong = [k for k, usual in options.items() if step.get(k, usual) != usual]
    unknown = step.keys() - {"type", "str_rep", "split", *options}
    if wrong or unknown or spelled[0] != UNDERLINE or not isinstance(spelled[1], bool):
        raise _refuse(
            part, step, 'SentencePiece puts "▁" before each text and in place of each space'
        )


def _check_post_processor(steps: list[dict[str, Any]], layout: Layout) -> None:
    """Check that a text becomes <s> A </s>, and a pair <s> A </s> </s> B </s>."""
    part = "post_processor"
    if len(steps) != 1:
        kinds = [step["type"] for step in steps]
        raise ValueError(f"{part} {kinds} is not reproduced: one step puts <s> and </s> around")
    (step,) = steps
    if step["type"] == "RobertaProcessing":
        ends = {"cls": ["<s>", layout.cls_id], "sep": ["</s>", layout.sep_id]}
        if any(step.get(name) != end for name, end in ends.items()):
            raise _refuse(part, step, f"the ends of a text are {ends}")
        return
    if step["type"] != "TemplateProcessing":
        raise _refuse(part, step, "only TemplateProcessing and RobertaProcessing are")
    for name, want in (("single", "<s> A </s>"), ("pair", "<s> A </s> </s> B </s>")):
        found = _template(step.get(name))
        if found != want:
            raise ValueError(
                f"{part} TemplateProcessing is not reproduced: {name} is {found!r}, ours is {want}"
            )
    tokens = step.get("special_tokens")
    for text, index in (("<s>", layout.cls_id), ("</s>", layout.sep_id)):
        entry = tokens.get(text) if isinstance(tokens, dict) else None
        ids = entry.get("ids") if isinstance(entry, dict) else None
        if ids != [index]:
            raise ValueError(
                f"{part} TemplateProcessing: {text} has the ids {ids!r}, the vocabulary says "
                f"[{index}]"
            )


def _template(items: Any) -> str | None:
    """A template as text, such as "<s> A </s>"; None for what is no template."""
    if not isinstance(items, list):
        return None
    names = []
    for item in items:
        if not isinstance(item, dict) or len(item) != 1:
            return None
        (value,) = item.values()
        names.append(str(value.get("id")) if isinstance(value, dict) else "?")
    return " ".join(names)


def _check_decoder(steps: list[dict[str, Any]]) -> None:
    """Check that tokens are joined and that "▁" becomes a space."""
    spelled = [
        {"type": "Replace", "pattern": {"String": UNDERLINE}, "content": " "},
        {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    ]
    if steps == spelled:
        return
    if len(steps) != 1:
        kinds = [step["type"] for step in steps]
        raise ValueError(f'decoder {kinds} is not reproduced: ours joins tokens; "▁" is a space')
    if steps[0]["type"] != "Metaspace":
        raise _refuse("decoder", steps[0], 'ours joins tokens, and "▁" is a space')
    _check_metaspace("decoder", steps[0])


def _read_padding(fast: FastTokenizer, padding: Any) -> None:
    if padding is None:
        return
    values = padding if isinstance(padding, dict) else {}
    found = values.get("pad_id"), values.get("pad_token")
    if found != (fast.layout.pad_id, "<pad>"):
        raise ValueError(
            f"padding: pad_id and pad_token are {found}, the vocabulary says "
            f"{(fast.layout.pad_id, '<pad>')}"
        )
    fast.settings["padding_side"] = _side("padding", values)
    fast.notes.append("tokenizer.json pads by itself; here padding=True of a call pads")


def _read_truncation(fast: FastTokenizer, truncation: Any) -> None:
    if truncation is None:
        return
    values = truncation if isinstance(truncation, dict) else {}
    fast.settings["truncation_side"] = _side("truncation", values)
    fast.notes.append(
        f"tokenizer.json cuts texts to {values.get('max_length')!r} tokens by itself; here "
        "truncation=True of a call cuts, to what the model takes"
    )


def _side(part: str, values: dict[str, Any]) -> str:
    side = values.get("direction", "Right")
    if side not in ("Left", "Right"):
        raise ValueError(f"{part}: direction is {side!r}, not Left or Right")
    return side.lower()
