"""MirrorGAN on your own captioned photographs, from scratch at 64 pixels.

Command:  python -m mirrorgan_jax.main --config=configs/folder.py
              --config.data.source=DIR_OR_ZIP
          DIR_OR_ZIP holds metadata.jsonl, a line an image:
          {"file_name": "images/a.jpg", "captions": ["..."], "class_id": 3,
           "split": "train"}; class_id and split may be left out.
Hardware: 2 CPU cores or any accelerator
Cost:     not yet measured
"""

from mirrorgan_jax import config as configs


def get_config(preset="paper"):
    """The configuration; `preset` is "paper" or "reference"."""
    c = configs.base_config(preset)
    c.data.name = "folder"
    return c
