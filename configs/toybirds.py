"""MirrorGAN on toybirds, drawn on the spot: the default, no download.

Command:  python -m mirrorgan_jax.main --config=configs/toybirds.py
Hardware: 2 CPU cores
Cost:     about 12 minutes
Expected: R-precision top-1 about 60 % generated, 72 % real; attribute accuracy
          body 54, wing 28, belly 55, crown 29 % (chance 11)
"""

from mirrorgan_jax import config as configs


def get_config(preset="paper"):
    """The configuration; `preset` is "paper" or "reference"."""
    c = configs.base_config(preset)
    c.data.name = "toybirds"
    configs.learn_from_scratch(c, image_size=64, width=16)

    c.stem.dropout = 0.2
    c.stem.batch_size = c.stem.lr_rule_batch = 32
    c.stem.num_steps = 1300
    c.stem.learning_rate = 4e-3
    c.stem.eval_every_steps = c.stem.checkpoint_every_steps = 650

    c.stream.hidden_dim = 128
    c.stream.num_steps = 1600
    c.stream.learning_rate = 2e-3
    c.stream.gate_margin = 0.1
    c.stream.eval_every_steps = c.stream.checkpoint_every_steps = 800

    c.gan.z_dim = c.gan.condition_dim = 32
    c.gan.num_steps = 2450
    c.gan.g_learning_rate = c.gan.d_learning_rate = 1e-3
    c.gan.ema_half_life = 1100
    c.gan.sample_every_steps = 500
    c.gan.eval_every_steps = c.gan.checkpoint_every_steps = 1000
    return c
