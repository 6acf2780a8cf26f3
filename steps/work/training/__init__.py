"""The input of a training, and what is stored of it."""
