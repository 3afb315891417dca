"""The error of data that a command reads or writes."""

import errno

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # of an OSError: there is no room for the output


class DataError(ValueError):
    """Rows that cannot be used or written: the message names the file and the row."""


def check_room(error: OSError, place: str, remedy: str = "") -> None:
    """Raise a DataError where an error of writing says that there is no room.

    Parameters
    ----------
    error : OSError
    place : str
        Where it was written to.
    remedy : str
        What is told after the reason.

    Raises
    ------
    DataError
        There is no room.
    """
    if error.errno in FULL:
        raise DataError(f"{place}: {error.strerror}{remedy and '; ' + remedy}") from None
