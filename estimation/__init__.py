"""Moments, estimators and intervals: arrays in, numbers out."""
