"""Plots, and the pages that people read."""
