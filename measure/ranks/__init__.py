"""Many processes on one run: each computes some of its clips, the first one does all else."""
