"""The parts of misc/benchmark.py."""
