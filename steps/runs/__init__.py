"""MLflow's runs: the frame of a step, launching, reuse, downloads, tracking and the store."""
