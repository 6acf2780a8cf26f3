"""The codings that files of patients come in: what they are, how one is recognised, converted."""
