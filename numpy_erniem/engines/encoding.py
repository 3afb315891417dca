"""The encoding of a text file."""


def check_encoding(encoding: str) -> None:
    """Raise a ValueError where an encoding is unknown, or not one of text, such as base64."""
    try:
        "a".encode(encoding)
    except (LookupError, ValueError, TypeError):
        raise ValueError(
            f"encoding {encoding!r} is not a known encoding of text; give one such as utf-8"
        ) from None
