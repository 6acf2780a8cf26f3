"""Fitting and judging a model: pipelines, cross-validation, metrics, calibration, ONNX."""
