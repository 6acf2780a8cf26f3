"""MLflow's runs: frame of a step, launching, reuse, downloads, lineage (who saw which patients)."""
