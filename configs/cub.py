"""MirrorGAN on CUB-200-2011 at the paper's sizes.

Command:  mirrorgan train --config=cub
              --config.data.source=DIR
              --config.weights.inception_v3=inception_v3.pth
              --config.weights.resnet152=resnet152.pth
          DIR holds CUB_200_2011/ or its .tgz, and the captions (docs/data.md);
          the weights are torchvision's or timm's (docs/weights.md).
          cub:reference trains what the authors' released code computes,
          cub:attngan a row of the tables (`settings/variants.py`);
          --config.eval.repeats=10 evaluates on 30,000 images, as the papers do;
          they train on all 150 classes, and so does this unless
          --config.data.validation holds some out to choose by.
Hardware: one GPU or TPU host; a few steps of every stage also run on a CPU
Cost:     not yet measured
Expected: CUB IS 4.56 and R-precision 57.67 % (paper, Tables 1 and 2); our own
          numbers are not yet measured
"""

from mirrorgan_jax.settings import variants


def get_config(preset="paper"):
    """The configuration; `preset` is what `variants.parse` takes."""
    return variants.configured(preset, _settings)


def _settings(c):
    c.data.name = "cub"
