"""The work of each entry point: one module each, imported once its parameters are accepted."""
