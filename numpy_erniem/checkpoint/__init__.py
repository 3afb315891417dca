"""Checkpoint files: names to tensors."""
