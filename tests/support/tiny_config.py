"""The smallest configuration that runs every stage; it learns next to nothing.

Command:  python -m mirrorgan_jax.main --config=tests/support/tiny_config.py
Hardware: 1 CPU core
Cost:     half a minute
"""

import os

from mirrorgan_jax.settings import base as configs


def get_config(preset="paper"):
    """The configuration; `preset` is "paper" or "reference"."""
    c = configs.base_config(preset)
    c.compilation_cache = os.environ.get("JAX_COMPILATION_CACHE_DIR", "")
    c.data.image_size = 32
    c.data.validation = 0.1
    c.data.train_images_per_species = c.data.test_images_per_species = 2
    c.text.num_words, c.text.eval_words = 8, 10

    c.stem.image_size = 32
    c.stem.embed_dim = c.stem.word_dim = 8
    c.stem.encoder, c.stem.encoder_width, c.stem.train_trunk = "small", 4, True
    c.stem.batch_size = 4
    c.stem.num_steps = 6
    _cadences(c.stem, log=1, save=2)

    c.stream.image_size = 32
    c.stream.encoder, c.stream.encoder_width, c.stream.train_trunk = "small", 4, True
    c.stream.trunk_from_stem = True
    c.stream.input_size = 0
    c.stream.feature_dim = c.stream.hidden_dim = 16
    c.stream.batch_size = 4
    c.stream.num_steps = 6
    c.stream.gate_margin = 0.0
    _cadences(c.stream, log=1, save=2)

    c.gan.stages, c.gan.base_size = 2, 16
    c.gan.ngf = c.gan.ndf = 4
    c.gan.z_dim = c.gan.condition_dim = 4
    c.gan.num_residual = 1
    c.gan.batch_size = 4
    c.gan.num_steps = 6
    c.gan.sample_every_steps = 3
    _cadences(c.gan, log=1, save=2)

    c.eval.batch_size = c.eval.quick_images = c.eval.num_images = 8
    c.eval.pool_size = 4
    c.eval.samples = 2
    c.eval.mirror_floor = 0.0
    c.eval.classifier_images = 32
    c.eval.classifier_steps = 2
    c.eval.heldout_steps, c.eval.heldout_width = 2, 6
    return c


def _cadences(c, *, log, save):
    c.log_every_steps = log
    c.checkpoint_every_steps = c.eval_every_steps = save
