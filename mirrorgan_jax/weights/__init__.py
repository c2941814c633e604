"""Weights of PyTorch networks in our trees, and back."""
