"""Dispatch between the NumPy functions and the C kernels."""
