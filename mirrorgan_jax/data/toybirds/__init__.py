"""Drawn birds with true captions: the embedded data set."""
