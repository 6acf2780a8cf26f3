"""Following the model registry: the follower process, what it publishes, the disk cache."""
