"""The word between the seam and the C kernels: what a twin returns where it has no result."""


class Declined(str):
    """Why a native twin leaves a call to the NumPy body: `Declined("float64 input")`."""
