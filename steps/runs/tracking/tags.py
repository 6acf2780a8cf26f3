"""The tags (and the one file) by which runs of this project are searched and described."""

from __future__ import annotations

STEP_TAG = "heart.step"
KEY_TAG = "heart.key"
WORK_TAG = "heart.run_id"
INPUT_TAG = "heart.input"
OWNER_TAG = "heart.owner"
SOURCE_TAG = "data.source"
ORIGINS_TAG = "data.origins"
"""The parts of prepared patients that are of several files, as JSON: see metadata.Origin."""
DIGEST_TAG = "data.digest"
OUTPUTS_FILE = "outputs.json"
"""The artifact with the SHA-256 of each output of a run."""
OUTPUTS_TAG = "heart.outputs"
"""Was the content of OUTPUTS_FILE, until release 0.2."""
