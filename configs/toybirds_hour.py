"""MirrorGAN on toybirds for an hour: the recipe of the shipped model.

Command:  mirrorgan train --config=toybirds_hour
Hardware: 2 CPU cores
Cost:     71 minutes beside other work (STEM 3, STREAM 8, GAN 55, the rest 5)
Expected: R-precision top-1 92 % generated, 78 % real; of what captions ask for body
          98, wing 95, belly 99, crown 90 % (chance 11)
"""

from mirrorgan_jax.settings import recipes, variants


def get_config(preset="paper"):
    """The configuration; `preset` is what `variants.parse` takes."""
    return variants.configured(preset, _settings)


def _settings(c):
    recipes.toybirds(c, image_size=64)
    c.stem.num_steps = 2000
    c.stem.eval_every_steps = c.stem.checkpoint_every_steps = 1000
    c.stream.num_steps = 4000
    c.stream.eval_every_steps = c.stream.checkpoint_every_steps = 2000
    c.gan.num_steps = 10000
    c.gan.ema_half_life = 4400
    c.gan.sample_every_steps = 2000
    c.gan.eval_every_steps = c.gan.checkpoint_every_steps = 2000
