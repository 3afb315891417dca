"""Our outputs compared with upstream's."""
