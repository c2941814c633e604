"""MirrorGAN on a few hundred captioned photographs of your own, at 64 pixels.

Command:  mirrorgan train --config=small --config.data.source=DIR_OR_ARCHIVE
Hardware: 2 CPU cores or any accelerator
Cost:     not yet measured; about a third of the steps of folder.py, by smaller towers
Expected: not yet measured. A few hundred pictures are learnt by heart rather than
          understood: generated images resemble training pictures, and R-precision on
          a small test split says little
"""

from mirrorgan_jax.settings import recipes, variants


def get_config(preset="paper"):
    """The configuration; `preset` is what `variants.parse` takes."""
    return variants.configured(preset, _settings)


def _settings(c):
    c.data.name = "folder"
    c.data.words = "unicode"
    recipes.learn_from_scratch(c, image_size=64, width=16)

    # More steps only make the towers know each picture.
    c.stem.batch_size = 32
    c.stem.num_steps = 600
    c.stem.eval_every_steps = c.stem.checkpoint_every_steps = 200

    c.stream.batch_size = 32
    c.stream.hidden_dim = 128
    c.stream.num_steps = 600
    c.stream.learning_rate = 2e-3
    # So few test pictures cannot tell whether STREAM looks at images.
    c.stream.gate_margin = 0.0
    c.stream.eval_every_steps = c.stream.checkpoint_every_steps = 200

    c.gan.z_dim = c.gan.condition_dim = 32
    c.gan.num_steps = 3000
    c.gan.g_learning_rate = c.gan.d_learning_rate = 4e-4
    c.gan.lambda_stream = 5.0
    c.gan.ema_half_life = 2200
    c.gan.sample_every_steps = 500
    c.gan.eval_every_steps = c.gan.checkpoint_every_steps = 500

    c.eval.kid_subset_size = 30
