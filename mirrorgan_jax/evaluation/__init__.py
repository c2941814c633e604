"""Numbers of a run: which examples, what the networks say of them, which metrics."""
