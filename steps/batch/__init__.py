"""Scoring many patients, on all cores or on a Dask cluster."""
