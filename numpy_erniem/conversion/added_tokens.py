"""The added tokens of a source tokenizer, with the ids and flags that they have there."""

from collections.abc import Callable, Mapping
from typing import Any

from numpy_erniem.conversion.tokenizer_json import UNDERLINE, FastTokenizer
from numpy_erniem.conversion.unigram import Layout
from numpy_erniem.tokenizer.special_tokens import NAMED_TOKENS
from numpy_erniem.tokenizer.vocabulary import AddedToken

FAST_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"
NAMES_FILE = "special_tokens_map.json"
OLD_FILE = "added_tokens.json"
ROLES = {
    **dict.fromkeys(("bos_token", "cls_token"), "<s>"),
    **dict.fromkeys(("eos_token", "sep_token"), "</s>"),
    **{"pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>"},
}
FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
MOST_TOKENS = 100_000

Found = dict[str, tuple[int | None, AddedToken, str]]  # text → id, token, file that says so


def read_added_tokens(
    files: Mapping[str, dict[str, Any]],
    layout: Layout,
    vocabulary: list[str],
    fast: FastTokenizer | None,
    normalize: Callable[[str], str],
) -> dict[int, AddedToken]:
    """Collect the tokens that a source never cuts, by their ids.

    Parameters
    ----------
    files : mapping of str to dict
        The JSON files of the source by name.
    layout : Layout
    vocabulary : list of str
        Tokens in the order of their ids.
    fast : FastTokenizer or None
        The source's tokenizer.json, if it has one.
    normalize : callable
        Text → normalised text.

    Returns
    -------
    dict of int to AddedToken

    Raises
    ------
    ValueError
        Two files contradict each other, or a flag is not reproduced.
    """
    special = [text for text in (*layout.first, "<mask>") if text.startswith("<")]
    found: Found = {
        text: (None, AddedToken(text, lstrip=text == "<mask>", special=True), "")
        for text in dict.fromkeys(special)
    }
    decoder = files.get(CONFIG_FILE, {}).get("added_tokens_decoder")
    if fast is None and decoder is None:
        _read_named(found, files)
    else:
        _check_names(files)
    if fast is not None:
        for entry in _list_of(fast.added_tokens, FAST_FILE):
            index = entry.get("id") if isinstance(entry, dict) else None
            token = _token(entry, FAST_FILE)
            _check_flags(token, fast, normalize)
            _add(found, index, token, FAST_FILE)
    if decoder is not None:
        for key, entry in _object(decoder, CONFIG_FILE).items():
            token = _token(entry, CONFIG_FILE)
            if fast is not None:
                _check_flags(token, fast, normalize)
            _add(found, int(key) if key.isdecimal() else key, token, CONFIG_FILE)
    else:
        for text, index in files.get(OLD_FILE, {}).items():
            known = found.get(text, (None, AddedToken(text), ""))[1]
            _add(found, index, known, OLD_FILE)
    return _settle(found, vocabulary, fast is not None)


def _check_names(files: Mapping[str, dict[str, Any]]) -> None:
    for file in (CONFIG_FILE, NAMES_FILE):
        for name in NAMED_TOKENS:
            value = files.get(file, {}).get(name)
            text = value.get("content") if isinstance(value, dict) else value
            if text is not None and text != ROLES[name]:
                raise ValueError(f"{file}: {name} is {text!r}, the vocabulary has {ROLES[name]!r}")


def _read_named(found: Found, files: Mapping[str, dict[str, Any]]) -> None:
    """The special tokens by name, with the flags that a file gives them."""
    _check_names(files)
    for file in (CONFIG_FILE, NAMES_FILE):
        values = files.get(file, {})
        for name in NAMED_TOKENS:
            if isinstance(values.get(name), dict):
                token = _token({**values[name], "special": True}, file)
                found[token.content] = None, token, file
        for entry in _list_of(values.get("additional_special_tokens"), file):
            entry = {"content": entry, "normalized": False} if isinstance(entry, str) else entry
            token = _token({**_object(entry, file), "special": True}, file)
            found.setdefault(token.content, (None, token, file))


def _list_of(value: Any, file: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > MOST_TOKENS:
        raise ValueError(f"{file}: {value!r:.60} is not a list of tokens")
    return value


def _object(value: Any, file: str) -> dict[str, Any]:
    if not isinstance(value, dict) or len(value) > MOST_TOKENS:
        raise ValueError(f"{file}: {value!r:.60} is not an object of tokens")
    return value


def _token(entry: Any, file: str) -> AddedToken:
    content = entry.get("content") if isinstance(entry, dict) else None
    if not isinstance(content, str) or not content or "\n" in content or "\r" in content:
        raise ValueError(f"{file}: an added token has the content {content!r:.60}")
    flags = {flag: entry[flag] for flag in FLAGS if flag in entry}
    if not all(isinstance(value, bool) for value in flags.values()):
        raise ValueError(f"{file}: the flags of {content!r:.60} are not true or false")
    return AddedToken(content, **flags)


def _check_flags(token: AddedToken, fast: FastTokenizer, normalize: Callable[[str], str]) -> None:
    """Check that a token is found at the same places as by the source."""
    if token.single_word:
        raise ValueError(
            f"the added token {token.content!r} has single_word, which is not reproduced: "
            "the source looks at letters beside it, ours at spaces"
        )
    if not token.normalized:
        return
    spaces_stay = fast.strips and not fast.splits_at_spaces and not token.lstrip
    if fast.spaces == UNDERLINE or spaces_stay or normalize(token.content) != token.content:
        raise ValueError(
            f"the added token {token.content!r} has normalized, which is not reproduced with this "
            "normalizer"
        )
    note = (
        f"the added token {token.content!r} is found as it is written; the source also finds "
        "other spellings with the same normalised text"
    )
    if note not in fast.notes:
        fast.notes.append(note)


def _add(found: Found, index: Any, token: AddedToken, file: str) -> None:
    if type(index) is not int or index < 0:
        raise ValueError(f"{file}: {token.content!r:.60} has the id {index!r:.60}")
    before, _, other = found.get(token.content, (None, token, ""))
    if before not in (None, index):
        raise ValueError(
            f"{other} gives the added token {token.content!r:.60} the id {before}, {file} {index}"
        )
    found[token.content] = index, token, file


def _settle(found: Found, vocabulary: list[str], contiguous: bool) -> dict[int, AddedToken]:
    """The tokens by id; those without an id get the next ones."""
    known = {text: n for n, text in enumerate(vocabulary)}
    settled: dict[int, AddedToken] = {}
    waiting = []
    for text, (given, token, file) in found.items():
        place = known.get(text)
        index = place if given is None else given
        if index is None:
            waiting.append(token)
            continue
        if place != index and (place is not None or index < len(vocabulary)):
            has = f"has it at {place}" if place is not None else f"has {vocabulary[index]!r} there"
            raise ValueError(
                f"{file} gives the added token {text!r:.60} the id {index}, the vocabulary {has}"
            )
        if index in settled:
            both = f"{settled[index].content!r:.60} and {text!r:.60}"
            raise ValueError(f"{file}: the id {index} is given to {both}")
        settled[index] = token
    last = max([len(vocabulary) - 1, *settled])
    for n, token in enumerate(waiting, 1):
        settled[last + n] = token
    new = sorted(n for n in settled if n >= len(vocabulary))
    for n, index in enumerate(new, len(vocabulary)):
        if contiguous and n != index:
            raise ValueError(
                f"{FAST_FILE}: the added token {settled[index].content!r:.60} has the id {index}, "
                f"the next free one is {n}"
            )
    return dict(sorted(settled.items()))
