"""Two-stream networks that segment the moving object of a video: table, modules, checkpoints."""
