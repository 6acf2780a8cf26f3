"""What a stored model is: what training writes and all others read; what was measured of it."""
