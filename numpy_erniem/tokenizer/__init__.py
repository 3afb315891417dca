"""Text ⇄ token ids."""
