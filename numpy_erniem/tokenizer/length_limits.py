"""How many tokens the model takes, and warnings about rows that are longer."""

from numpy_erniem.checks import warn

# ERNIE-M has 514 position embeddings, of which it never uses the first two.
MODEL_TAKES = 512
POSITIONS = 514
# Upstream writes 1e30 for "no limit".
NO_LIMIT = 10**20


class WarnOnce:
    """Warnings and log entries of one tokenizer; each is given once.

    A warning says that the result is not what the options ask for. What upstream only logs is
    logged here too.

    Parameters
    ----------
    verbose : bool
        False: none is given.
    """

    def __init__(self, verbose: bool = True) -> None:
        self.verbose = verbose
        self.given: set[str] = set()

    def warn(self, name: str, message: str, verbose: bool = True) -> None:
        """Warn, unless the warning of that name was given before.

        Parameters
        ----------
        name : str
        message : str
        verbose : bool
            False: do nothing.
        """
        if verbose and self.verbose and name not in self.given:
            self.given.add(name)
            warn(message)

    def log(self, name: str, message: str, verbose: bool = True) -> None:
        """Log a warning, unless the one of that name was logged before.

        Parameters
        ----------
        name : str
        message : str
        verbose : bool
            False: do nothing.
        """
        if verbose and self.verbose and name not in self.given:
            self.given.add(name)
            import logging  # slow to import, and seldom needed

            logging.getLogger(__name__.rpartition(".")[0]).warning(message)


class LengthLimits:
    """How many tokens the model takes, and warnings about it.

    Parameters
    ----------
    model_max_length : int, optional
        512 if it is left out.
    verbose : bool
        False: no warnings.

    Raises
    ------
    TypeError
        A length that is not a number.
    ValueError
        A length below 1.
    """

    def __init__(self, model_max_length: int | None = None, verbose: bool = True) -> None:
        self.model_max_length = model_max_length
        self.warn_once = WarnOnce(verbose)

    @property
    def verbose(self) -> bool:
        """Whether warnings are given."""
        return self.warn_once.verbose

    @verbose.setter
    def verbose(self, value: bool) -> None:
        self.warn_once.verbose = value

    @property
    def model_max_length(self) -> int:
        """How many tokens the model takes: 512 unless set, and also where 514 was set.

        Published configurations say 514, which is the number of position embeddings.
        """
        return self._model_max_length

    @model_max_length.setter
    def model_max_length(self, value: int | None) -> None:
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise TypeError(f"model_max_length is an integer, got {type(value).__name__} {value!r}")
        if value is not None and value < 1:
            raise ValueError(f"model_max_length={value} is too small; ERNIE-M takes {MODEL_TAKES}")
        self.is_known = value is not None and value < NO_LIMIT
        self.is_corrected = value == POSITIONS
        usual = value is None or not self.is_known or self.is_corrected
        self._model_max_length = MODEL_TAKES if usual else int(value)

    def warn_if_corrected(self, verbose: bool) -> None:
        """Warn that 512 is used where 514 was set."""
        if self.is_corrected:
            self.warn_once.warn(
                "corrected",
                f"model_max_length={POSITIONS} counts position embeddings, of which ERNIE-M uses "
                f"{MODEL_TAKES}; {MODEL_TAKES} is used",
                verbose,
            )
