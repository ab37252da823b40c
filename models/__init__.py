"""Action-recognition networks: the table of them, their checkpoints, and taking stages by hooks."""
