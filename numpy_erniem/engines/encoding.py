"""The encoding of a text file."""

import codecs

# Encodings of Python that are for names and for program text.
NOT_OF_FILES = ("idna", "punycode", "raw-unicode-escape", "unicode-escape")


def check_encoding(encoding: str) -> None:
    """Raise a ValueError where an encoding is unknown, or files of text cannot be read with it.

    Not of text are base64 and its like. With EBCDIC, a line does not end with the byte of a line
    feed.
    """
    try:
        "a".encode(encoding)
        name = codecs.lookup(encoding).name.replace("_", "-")
        end = "\n".encode(encoding)
    except (LookupError, ValueError, TypeError):
        name, end = "", b""
    if not name or name in NOT_OF_FILES:
        raise ValueError(
            f"encoding {encoding!r} is not a known encoding of text; give one such as utf-8"
        )
    if end != b"\n" and not name.startswith("utf-"):
        raise ValueError(
            f"encoding {encoding!r} ends lines with other bytes than a line feed; convert the file "
            "to utf-8"
        )
