"""Settings that several files of configs/ have in common."""

import ml_collections


def learn_from_scratch(
    config: ml_collections.ConfigDict, *, image_size: int, width: int
) -> None:
    """Small towers without pretrained weights and a small GAN, for small images.

    Nobody compares these with a paper's numbers, so that a tenth of the training
    pictures are held out to choose by.

    Args:
      config: changed in place.
      image_size: pixels of the images of every stage, a power of two.
      width: channels of both towers' first stage.
    """
    config.data.validation = 0.1
    for c in (config.stem, config.stream):
        c.image_size = image_size
        c.encoder, c.encoder_width, c.train_trunk = "small", width, True
        c.schedule = "one_cycle"
    config.stem.region_size = 4
    config.stem.word_dim = config.stream.feature_dim = 128
    config.stream.trunk_from_stem = True
    config.stream.input_size = 0
    config.stream.input_norm = "raw"
    c = config.gan
    c.base_size = image_size // 2 ** (c.stages - 1)
    c.ngf = c.ndf = 16
    c.num_residual = 1
    c.d_sentence_dim = 32
    c.wrong_pairs = True
    c.batch_size = 16
    config.stream.batch_size = 48
    config.eval.kid_subset_size = 300


def toybirds(config: ml_collections.ConfigDict, *, image_size: int) -> None:
    """Drawn birds, from scratch; how long the GAN trains is left to the file.

    Args:
      config: changed in place.
      image_size: pixels of a drawn bird, a power of two.
    """
    c = config
    c.data.name = "toybirds"
    c.data.image_size = image_size
    learn_from_scratch(c, image_size=image_size, width=16)

    c.stem.dropout = 0.2
    c.stem.batch_size = 32
    c.stem.num_steps = 1300
    c.stem.learning_rate = 4e-3
    c.stem.eval_every_steps = c.stem.checkpoint_every_steps = 650

    c.stream.decoder = "attention"
    c.stream.end_token = True
    # Captions have fewer words than the map has regions, most of them background.
    c.stream.attention_regularisation = 0.0
    c.stream.hidden_dim = 128
    c.stream.num_steps = 1600
    c.stream.learning_rate = 4e-3
    c.stream.gate_margin = 0.1
    c.stream.eval_every_steps = c.stream.checkpoint_every_steps = 800

    c.gan.z_dim = c.gan.condition_dim = 32
    c.gan.g_learning_rate = c.gan.d_learning_rate = 1e-3
    c.gan.ema_half_life = 1100

    c.eval.heldout_steps = 1600
