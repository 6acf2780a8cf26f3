"""The model registry: versions, aliases, stages, and the gate."""
