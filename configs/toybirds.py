"""MirrorGAN on toybirds, drawn on the spot: the default, no download.

Command:  mirrorgan train --config=toybirds
Hardware: 2 CPU cores
Cost:     about 12 minutes
Expected: R-precision top-1 about 60 % generated, 72 % real, measured with all 150
          species in training, of which 15 are now held out to choose by, and with
          stream.decoder = lstm; attribute accuracy of what is asked not yet measured
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
