"""What a client is told when a request is not answered, in the form that OpenAI's API has."""

from typing import Any

INVALID, SERVER, BUSY = "invalid_request_error", "server_error", "rate_limit_error"
# Codes of OpenAI's API for what is wrong with a field.
MISSING, WRONG_TYPE, WRONG_VALUE = "missing_required_parameter", "invalid_type", "invalid_value"
TOO_MANY, TOO_LONG = "array_above_max_length", "context_length_exceeded"


class RequestError(Exception):
    """A request that gets no result.

    Parameters
    ----------
    status : int
        Of HTTP.
    message : str
        For the person who wrote the request.
    param : str, optional
        Which field of the request is wrong, such as "input[3]".
    code : str
        A word that a program can compare; OpenAI's, where its API has one for the case.
    headers : dict, optional
        Further headers of the response.
    """

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str = WRONG_VALUE,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.headers = headers or {}

    @property
    def kind(self) -> str:
        """The class of the error, as OpenAI names them."""
        if self.status == 429:
            return BUSY
        return SERVER if self.status >= 500 else INVALID

    def body(self) -> dict[str, Any]:
        """The JSON object of the response."""
        error = {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }
        return {"error": error}


def busy(message: str, seconds: int = 1) -> RequestError:
    """A refusal because there is too much to do already; the client may come again."""
    headers = {"Retry-After": str(seconds)}
    return RequestError(429, message, code="rate_limit_exceeded", headers=headers)


def gone() -> RequestError:
    """The end of a request whose client has closed the connection; only the log tells it."""
    return RequestError(499, "the client is gone", code="client_closed_request")
