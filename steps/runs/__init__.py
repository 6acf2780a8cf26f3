"""MLflow's runs: parameters, the frame of a step, launching, reuse, tracking and the store."""
