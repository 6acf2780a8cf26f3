"""Fitting and judging a model: pipelines, cross-validation, metrics, calibration by pattern, ONNX."""
