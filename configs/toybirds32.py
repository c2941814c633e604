"""MirrorGAN on toybirds drawn at 32 pixels, for sweeps and tables.

Command:  python -m mirrorgan_jax.main --config=configs/toybirds32.py
          configs/toybirds32.py:attngan is a row of the tables
          (`mirrorgan_jax/variants.py`).
Hardware: 2 CPU cores
Cost:     not yet measured
Expected: not yet measured
"""

from mirrorgan_jax import recipes, variants


def get_config(preset="paper"):
    """The configuration; `preset` is what `variants.parse` takes."""
    return variants.configured(preset, _settings)


def _settings(c):
    recipes.toybirds(c, image_size=32)
    c.gan.num_steps = 1200
    c.gan.sample_every_steps = 400
    c.gan.eval_every_steps = c.gan.checkpoint_every_steps = 400
