"""The entry points of the project: one module each, and the nouns they share."""
