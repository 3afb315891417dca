"""The error of data that a command reads or writes."""


class DataError(ValueError):
    """Rows that cannot be used or written: the message names the file and the row."""
