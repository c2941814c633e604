"""MirrorGAN on toybirds drawn at 32 pixels, for sweeps and tables.

Command:  mirrorgan train --config=toybirds32
          toybirds32:attngan is a row of the tables (`settings/variants.py`).
Hardware: 2 CPU cores
Cost:     about 10 minutes beside other work, 4 of them STEM, STREAM and the
          held-out captioner, which the rows of a table share
Expected: R-precision top-1 43 % generated, 73 % real; Inception Score 4.5 (real 6.3)
          through the toybirds classifier; three seeds in the README, with all 150
          species in training, of which 15 are now held out to choose by, and with
          stream.decoder = lstm
"""

from mirrorgan_jax.settings import recipes, variants


def get_config(preset="paper"):
    """The configuration; `preset` is what `variants.parse` takes."""
    return variants.configured(preset, _settings)


def _settings(c):
    recipes.toybirds(c, image_size=32)
    c.gan.num_steps = 1200
    c.gan.sample_every_steps = 400
    c.gan.eval_every_steps = c.gan.checkpoint_every_steps = 400
