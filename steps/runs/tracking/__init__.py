"""One run in the store: opening and closing it, experiment, datasets, tags, earlier runs."""
