"""The entry points of the project: one module each, and nothing else beside them."""

import os

# Counts before the import of onnxruntime only, which would start to report to its maker.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
