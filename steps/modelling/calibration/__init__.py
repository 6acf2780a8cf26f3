"""What brings probabilities in line with observed shares, whatever is unknown."""
