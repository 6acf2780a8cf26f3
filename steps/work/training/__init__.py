"""What goes into a training, and what is kept of it."""
