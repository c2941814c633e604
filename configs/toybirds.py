"""MirrorGAN on toybirds, drawn on the spot: the default, no download.

Command:  mirrorgan train --config=toybirds
Hardware: 2 CPU cores
Cost:     about 15 minutes
Expected: R-precision top-1 82 % generated, 74 % real; of what captions ask for body
          88, wing 78, belly 92, crown 87 % (chance 11)
"""

from mirrorgan_jax.settings import recipes, variants


def get_config(preset="paper"):
    """The configuration; `preset` is what `variants.parse` takes."""
    return variants.configured(preset, _settings)


def _settings(c):
    recipes.toybirds(c, image_size=64)
    c.gan.num_steps = 2450
    c.gan.sample_every_steps = 500
    c.gan.eval_every_steps = c.gan.checkpoint_every_steps = 1000
