"""The error of data that a command reads or writes."""

import errno

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # of an OSError: there is no room for the output


class DataError(ValueError):
    """Rows that cannot be used or written: the message names the file and the row."""
