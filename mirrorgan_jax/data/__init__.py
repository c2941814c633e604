"""Data sets prepared into ArrayRecord, and the stateless input pipeline."""
