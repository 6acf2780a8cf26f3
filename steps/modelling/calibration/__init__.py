"""Calibration of probabilities to observed shares, for each pattern of unknown findings."""
