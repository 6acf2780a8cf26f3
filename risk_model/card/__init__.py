"""The model card: what a model is, for whom, how good, and where it must not be trusted."""
