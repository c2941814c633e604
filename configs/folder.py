"""MirrorGAN on your own captioned photographs, from scratch at 64 pixels.

Command:  python -m mirrorgan_jax.main --config=configs/folder.py
              --config.data.source=DIR_OR_ZIP
          DIR_OR_ZIP holds metadata.jsonl, a line an image:
          {"file_name": "images/a.jpg", "captions": ["..."], "class_id": 3,
           "split": "train"}; class_id and split may be left out.
Hardware: 2 CPU cores or any accelerator
Cost:     about an hour on 2 cores (8 minutes for 2,200 GAN steps were measured)
"""

from mirrorgan_jax import config as configs


def get_config(preset="paper"):
    """The configuration; `preset` is "paper" or "reference"."""
    c = configs.base_config(preset)
    c.data.name = "folder"
    configs.learn_from_scratch(c, image_size=64, width=32)

    c.stem.num_steps = 2000
    c.stem.eval_every_steps = c.stem.checkpoint_every_steps = 1000

    c.stream.hidden_dim = 256
    c.stream.batch_size = 48
    c.stream.num_steps = 1200
    c.stream.learning_rate = 4e-3
    # A trunk from scratch sees little in photographs of unseen classes, but it sees.
    c.stream.gate_margin = 0.02
    c.stream.eval_every_steps = c.stream.checkpoint_every_steps = 300

    c.gan.ngf = c.gan.ndf = 16
    c.gan.z_dim = c.gan.condition_dim = 64
    c.gan.num_residual = 1
    c.gan.d_sentence_dim = 32
    c.gan.wrong_pairs = True
    c.gan.batch_size = 16
    c.gan.num_steps = 12_000
    c.gan.g_learning_rate = c.gan.d_learning_rate = 1e-3
    c.gan.ema_decay = 0.99
    c.gan.sample_every_steps = 1000
    c.gan.eval_every_steps = c.gan.checkpoint_every_steps = 1000
    return c
