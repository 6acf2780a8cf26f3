"""What a served model is asked and how it turned out: drift, outcomes, alarms."""
