"""Two-stream networks that segment the moving object of a video: modules, masks, Jaccard."""
