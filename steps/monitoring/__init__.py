"""Monitoring of a served model: drift, outcomes, alarms."""
