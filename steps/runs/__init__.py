"""MLflow's runs: frame of a step, launching, reuse, downloads, the lineage of models."""
