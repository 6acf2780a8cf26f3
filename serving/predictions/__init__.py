"""Predictions: request models, one patient, many patients, explanations. Knows no Flask."""
