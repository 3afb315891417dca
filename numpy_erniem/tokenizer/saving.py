"""A tokenizer that outlives its process: folders, pickles, copies."""

from __future__ import annotations

import copy
import os
from typing import Any, TypeVar

from numpy_erniem.checkpoint.hub import resolve_folder
from numpy_erniem.tokenizer import files
from numpy_erniem.tokenizer.limits import LengthLimits
from numpy_erniem.tokenizer.special_tokens import SpecialTokens

T = TypeVar("T", bound="Saving")

# Arguments of the constructor that tokenizer_config.json stores under the attribute's name.
STORED = (
    "do_lower_case",
    "encoding",
    "sp_model_kwargs",
    "bare_underline",
    "cut_pieces",
    "padding_side",
    "truncation_side",
    "clean_up_tokenization_spaces",
    "split_special_tokens",
)


class Saving(SpecialTokens, LengthLimits):
    """Mixin: reading, writing and copying `ErnieMTokenizer`."""

    sp_model: Any
    sentencepiece_model_ckpt: str
    encoding: str
    extra: dict[str, Any]
    _lines: list[str]

    @classmethod
    def from_pretrained(
        cls: type[T],
        folder: str | os.PathLike[str],
        *,
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        **overrides: Any,
    ) -> T:
        """Load a tokenizer from a folder, or by its name on the Hugging Face hub.

        Parameters
        ----------
        folder : path or str
            With ``sentencepiece.bpe.model`` and ``vocab.txt``, and if they exist
            ``tokenizer_config.json``, ``special_tokens_map.json`` and ``added_tokens.json``.
        revision, cache_dir, local_files_only
            For a name on the hub: branch, tag or commit; where downloads are kept; no network.
        **overrides
            Arguments of the constructor that go before what the files say.

        Raises
        ------
        FileNotFoundError
            If the folder or its SentencePiece model does not exist.
        ValueError
            If a file is damaged.
        """
        folder = resolve_folder(
            folder,
            revision=revision,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            weights=False,
        )
        try:
            return cls(**{**files.read_folder(folder), **overrides})
        except (TypeError, AttributeError, KeyError) as error:
            if overrides:
                raise
            raise ValueError(f"{str(folder)!r} has a setting of the wrong type: {error}") from error

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """Write everything `from_pretrained` needs, and upstream understands.

        Returns
        -------
        tuple of str
            The paths written.

        Raises
        ------
        ValueError
            If `save_directory` is a file.
        """
        folder = files.make_folder(save_directory)
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        config = {
            **self.extra,
            **{name: getattr(self, name) for name in STORED},
            **self.special_tokens_map,
            "added_tokens_decoder": {
                str(i): token.to_dict() for i, token in self.added_tokens_decoder.items()
            },
            "tokenizer_class": "ErnieMTokenizer",
        }
        if self._length_is_known:
            config["model_max_length"] = self.model_max_length
        contents = {
            files.CONFIG_FILE: config,
            files.SPECIAL_TOKENS_FILE: self.special_tokens_map,
            files.ADDED_TOKENS_FILE: {
                token: i for token, i in self.added_tokens_encoder.items() if i >= len(self.vocab)
            },
        }
        written = []
        for name, content in contents.items():
            if content or name == files.CONFIG_FILE:
                files.write_json(folder / (prefix + name), content)
                written.append(str(folder / (prefix + name)))
        return (*written, *self.save_vocabulary(folder, filename_prefix))

    def save_vocabulary(
        self, save_directory: str | os.PathLike[str], filename_prefix: str | None = None
    ) -> tuple[str, str]:
        """Write ``vocab.txt`` and the SentencePiece model, and return both paths.

        Raises
        ------
        ValueError
            If `save_directory` is a file.
        """
        folder = files.make_folder(save_directory)
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        vocab = folder / (prefix + files.VOCAB_FILE)
        vocab.write_bytes("".join(f"{line}\n" for line in self._lines).encode(self.encoding))
        model = folder / (prefix + files.MODEL_FILE)
        model.write_bytes(self.sp_model.serialized_model_proto())
        return str(vocab), str(model)

    def __getstate__(self) -> dict[str, Any]:
        derived = ("_splitter", "_cutter", "_aligner", "sp_model")
        state = {name: v for name, v in self.__dict__.items() if name not in derived}
        # The model itself, so that a pickle can be read where the file is not.
        return {**state, "sp_model": self.sp_model.serialized_model_proto()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        name = self.sentencepiece_model_ckpt
        self.sp_model = files.parse_sentencepiece(state["sp_model"], name)
        self._tokens_changed()

    def __deepcopy__(self: T, memo: dict[int, Any]) -> T:
        clone = type(self).__new__(type(self))
        memo[id(self)] = clone
        shared = ("_splitter", "_cutter", "_aligner", "sp_model", "_lines")
        for name, value in self.__dict__.items():
            clone.__dict__[name] = value if name in shared else copy.deepcopy(value, memo)
        clone._tokens_changed()
        return clone
