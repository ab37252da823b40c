"""The networks as data, one file per family."""
