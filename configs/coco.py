"""MirrorGAN on MS COCO at the paper's sizes.

Command:  mirrorgan train --config=coco
              --config.data.source=DIR
              --config.weights.inception_v3=inception_v3.pth
              --config.weights.resnet152=resnet152.pth
          DIR holds annotations/captions_{train,val}2014.json, train2014/, val2014/,
          or is coco_captions as TFDS prepared it (the folder of the version, or a
          data_dir with one); --config.data.subset=True goes on where pictures, or
          shards of TFDS, are missing.
          coco:reference has the losses of the authors' released code and AttnGAN's
          sizes for COCO, since that code has none of its own; coco:reference,attngan
          is AttnGAN there, coco:attngan its row of the tables at the paper's sizes
          (`settings/variants.py`); --config.eval.num_images=30000 evaluates on
          30,000 images, as the papers do; --config.data.validation holds training
          pictures out to choose by.
Hardware: one GPU or TPU host; a few steps of every stage also run on a CPU
Cost:     not yet measured
Expected: COCO IS 26.47 and R-precision 74.52, 76.87, 80.21 % for top-1, 2, 3 (paper,
          Tables 1 and 2); our own numbers are not yet measured
"""

from mirrorgan_jax.settings import variants


def get_config(preset="paper"):
    """The configuration; `preset` is what `variants.parse` takes."""
    return variants.configured(preset, _settings)


def _settings(c):
    c.data.name = "coco"
    c.stem.num_steps = 172_465  # 100 epochs of 82,783 pictures at batch 48; AttnGAN
    # The paper prints neither; AttnGAN trains COCO so.
    c.gan.batch_size = 14
    c.gan.num_steps = 709_569  # 120 epochs
    c.gan.ema_half_life = 9700.0  # a decay of 0.999 a step at batch 14; released code
    if c.preset == "reference":
        c.gan.ngf, c.gan.ndf, c.gan.num_residual = 48, 96, 3  # AttnGAN, COCO
        c.text.num_words, c.text.eval_words = 12, 20  # AttnGAN, COCO
