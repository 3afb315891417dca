"""Our numbers against upstream's."""
