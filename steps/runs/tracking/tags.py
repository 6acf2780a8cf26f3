"""The tags by which runs of this project are found and described."""

from __future__ import annotations

STEP_TAG = "heart.step"
KEY_TAG = "heart.key"
OUTPUTS_TAG = "heart.outputs"
WORK_TAG = "heart.run_id"
INPUT_TAG = "heart.input"
OWNER_TAG = "heart.owner"
SOURCE_TAG = "data.source"
ORIGINS_TAG = "data.origins"
"""The parts of prepared patients that are of several files, as JSON: see metadata.Origin."""
DIGEST_TAG = "data.digest"
