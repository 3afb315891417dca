"""Texts in, results out: one module per task."""
