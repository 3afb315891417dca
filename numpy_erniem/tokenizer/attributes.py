"""Attributes and methods whose value belongs to a part, or is looked up."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from numpy_erniem.tokenizer.vocabulary import AddedToken

T = TypeVar("T")
P = ParamSpec("P")


def keyword_names(function: Any) -> frozenset[str]:
    """Names of the keyword arguments of a method."""
    code = function.__code__
    return frozenset(code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount])


def part_method(
    part: str, method: Callable[Concatenate[Any, P], T]
) -> Callable[Concatenate[Any, P], T]:
    """Offer a method of a part as a method of the tokenizer, with its signature and docstring.

    Parameters
    ----------
    part : str
        The tokenizer's attribute that holds the part.
    method : callable
        Of the part's class.

    Returns
    -------
    callable
    """

    @functools.wraps(method)
    def call(self: Any, *args: P.args, **kwargs: P.kwargs) -> T:
        return method(getattr(self, part), *args, **kwargs)

    return call


class PartAttribute(Generic[T]):
    """An attribute of a part of the tokenizer, offered by the tokenizer under the same name.

    Parameters
    ----------
    part : str
        The tokenizer's attribute that holds the part.
    doc : str
        One sentence for `help`.
    """

    def __init__(self, part: str, doc: str) -> None:
        self.part = part
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, tokenizer: Any, owner: type | None = None) -> T:
        if tokenizer is None:
            return self  # type: ignore[return-value]
        value: T = getattr(getattr(tokenizer, self.part), self.name)
        return value

    def __set__(self, tokenizer: Any, value: Any) -> None:
        setattr(getattr(tokenizer, self.part), self.name, value)


class TextOption(PartAttribute[T]):
    """An option of the text encoder. Setting it makes the encoder derive its parts anew.

    Parameters
    ----------
    doc : str
        One sentence for `help`.
    """

    def __init__(self, doc: str) -> None:
        super().__init__("text_encoder", doc)

    def __get__(self, tokenizer: Any, owner: type | None = None) -> T:
        if tokenizer is None:
            return self  # type: ignore[return-value]
        value: T = getattr(tokenizer.text_encoder.options, self.name)
        return value

    def __set__(self, tokenizer: Any, value: Any) -> None:
        encoder = tokenizer.text_encoder
        encoder.options = replace(encoder.options, **{self.name: value})


class NamedToken:
    """The text of a named token of `SpecialTokens`, such as `cls_token`; None if it is unset."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, tokens: Any, owner: type | None = None) -> Any:
        if tokens is None:
            return self
        token = tokens.named[self.name]
        return None if token is None else token.content

    def __set__(self, tokens: Any, value: Any) -> None:
        token = None if value is None else AddedToken.special_of(value)
        tokens.named = {**tokens.named, self.name: token}
        tokens.revision += 1


class NamedTokenId:
    """The id of a named token of `SpecialTokens`, such as `cls_token_id`; None if it is unset."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name.removesuffix("_id")

    def __get__(self, tokens: Any, owner: type | None = None) -> Any:
        if tokens is None:
            return self
        token = tokens.named[self.name]
        return None if token is None else tokens.id_of(token.content)

    def __set__(self, tokens: Any, value: int | None) -> None:
        setattr(tokens, self.name, None if value is None else tokens.token_of(value))
