"""What the tracking store holds of a step: experiment, run, and what earlier runs have left."""
