"""ERNIE-M in readable NumPy, with a C fast path."""
