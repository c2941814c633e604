"""MirrorGAN on CUB-200-2011 at the paper's sizes.

Command:  python -m mirrorgan_jax.main --config=configs/cub.py
              --config.data.source=DIR
              --config.weights.inception_v3=inception_v3.safetensors
              --config.weights.resnet152=resnet152.safetensors
          DIR holds CUB_200_2011/, text/, train/ and test/.
          configs/cub.py:reference trains what the authors' released code computes.
Hardware: one GPU or TPU host; a few steps of every stage also run on a CPU
Cost:     not yet measured
Expected: CUB IS 4.56 and R-precision 57.67 % (paper, Tables 1 and 2); our own
          numbers are not yet measured
"""

from mirrorgan_jax import config as configs


def get_config(preset="paper"):
    """The configuration; `preset` is "paper" or "reference"."""
    c = configs.base_config(preset)
    c.data.name = "cub"
    return c
