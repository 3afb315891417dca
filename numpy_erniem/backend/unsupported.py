"""What a native kernel returns where it does not support its arguments; NumPy then runs."""


class Unsupported(str):
    """Why a native kernel leaves a call to the NumPy body: `Unsupported("float64 input")`."""


NOT_FLOAT = Unsupported("not float32")
SIZES = Unsupported("empty or mismatched shapes")
