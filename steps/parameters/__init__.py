"""The parameters of every entry point: one typed class each, read before anything else happens."""
