"""The networks that a configuration names."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from mirrorgan_jax.models import discriminators as discriminator_modules
from mirrorgan_jax.models import (
    glam,
    image_encoder,
    stem,
    stream,
    stream_attention,
    stream_transformer,
)
from mirrorgan_jax.settings import base as configs

_DECODERS = {
    "lstm": stream.CaptionDecoder,
    "attention": stream_attention.AttentionDecoder,
    "transformer": stream_transformer.TransformerDecoder,
}


class Networks(NamedTuple):
    """The modules of the step.

    Attributes:
      text_encoder: STEM.
      captioner: STREAM.
      generator: GLAM.
      discriminators: {"D64": Discriminator, ...}, coarse to fine.
      image_encoder: the DAMSM image tower; None where the loss has no use for it.
    """

    text_encoder: Any
    captioner: Any
    generator: Any
    discriminators: dict[str, Any]
    image_encoder: Any = None


def _dtype(config):
    return jnp.dtype(config.dtype)


def text_encoder(config, vocab_size):
    """STEM for a vocabulary of `vocab_size` words."""
    c = config.stem
    return stem.TextEncoder(
        vocab_size=vocab_size,
        embed_dim=c.embed_dim,
        word_dim=c.word_dim,
        cell=c.cell,
        dropout=c.dropout,
        dtype=_dtype(config),
    )


def damsm_image_encoder(config):
    """The image tower that STEM is pretrained against."""
    c = config.stem
    return image_encoder.ImageEncoder(
        backbone=c.encoder,
        word_dim=c.word_dim,
        width=c.encoder_width,
        region_size=c.region_size,
        image_size=c.image_size,
        align_corners=c.align_corners,
        freeze_trunk=not c.train_trunk,
        remat=c.remat,
        dtype=_dtype(config),
    )


def captioner(config, vocab_size):
    """STREAM for a vocabulary of `vocab_size` words."""
    c = config.stream
    encoder = stream.CaptionEncoder(
        backbone=c.encoder,
        feature_dim=c.feature_dim,
        input_norm=c.input_norm,
        align_corners=c.align_corners,
        input_size=c.input_size,
        width=c.encoder_width,
        region_size=c.region_size,
        image_size=c.image_size,
        freeze_trunk=not c.train_trunk,
        remat=c.remat,
        dtype=_dtype(config),
    )
    decoder = _DECODERS[c.decoder](
        vocab_size=vocab_size,
        embed_dim=c.feature_dim,
        hidden_dim=c.hidden_dim,
        num_layers=c.num_layers,
        dtype=_dtype(config),
    )
    return stream.Captioner(encoder, decoder, end_token=c.end_token)


def generator(config):
    """GLAM."""
    c = config.gan
    return glam.Generator(
        stages=c.stages,
        base_size=c.base_size,
        ngf=c.ngf,
        condition_dim=c.condition_dim,
        num_residual=c.num_residual,
        softmax_axis=c.sentence_softmax_axis,
        sentence_conv=c.sentence_conv,
        word_context=c.word_attention,
        sentence_context=c.sentence_attention,
        condition_context=c.condition_context,
        context_reduction=c.context_reduction,
        remat=c.generator_remat,
        dtype=_dtype(config),
    )


def discriminators(config):
    """{"D64": discriminator, ...} of the generator's stages, coarse to fine."""
    c = config.gan
    return {
        f"D{size}": discriminator_modules.Discriminator(
            image_size=size,
            ndf=c.ndf,
            norm=c.d_norm,
            sentence_dim=c.d_sentence_dim,
            remat=c.discriminator_remat,
            dtype=_dtype(config),
        )
        for size in configs.stage_sizes(c)
    }


def gan(config, vocab_size):
    """Every module of the GAN step."""
    return Networks(
        text_encoder=text_encoder(config, vocab_size),
        captioner=captioner(config, vocab_size),
        generator=generator(config),
        discriminators=discriminators(config),
        image_encoder=damsm_image_encoder(config),
    )
