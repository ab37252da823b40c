"""Whether the measure measures what it says: a module for each question of misc/validate.py."""
