"""Weights of PyTorch networks in our trees, and back."""

from mirrorgan_jax.weights.backbones import inception_v3, resnet152

__all__ = ["inception_v3", "resnet152"]
