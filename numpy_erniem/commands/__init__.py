"""One module per command of `erniem`: add_arguments(parser) and run(options)."""
