"""What the data means. Imports neither steps nor serving."""
