"""The entry points of the project: one module each, and the nouns they share."""

import os

# Counts before the import of onnxruntime only, which would start to report to its maker.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
