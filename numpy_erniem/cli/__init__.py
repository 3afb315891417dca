"""The command `erniem`: one module per command."""
