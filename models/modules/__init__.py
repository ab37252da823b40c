"""The modules of action-recognition networks."""
