"""What the data means: the 13 features, codings, files of patients, copies, a synthetic cohort."""
