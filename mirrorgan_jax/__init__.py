"""MirrorGAN (CVPR 2019) in JAX: text-to-image generation by redescription."""

__version__ = "0.1.0"
