"""Checks of configuration keys, by themselves and against one another."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ml_collections

from mirrorgan_jax.settings import rules


def value_problems(
    config: ml_collections.ConfigDict, keys: Mapping[str, Any], prefix: str = ""
) -> Iterator[str]:
    """Sentences on keys whose values are not allowed.

    Args:
      config: the resolved configuration.
      keys: what each may be, in groups: `settings.keys.KEYS`.
      prefix: of the keys' names.
    """
    for key, value in keys.items():
        if isinstance(value, dict):
            yield from value_problems(config[key], value, f"{prefix}{key}.")
            continue
        rule = rules.of(value)
        if not rule.holds(config[key]):
            yield (
                f"config.{prefix}{key} = {config[key]!r}: allowed are {rule.allowed}"
            )


def _small_trunk_problems(config, generated):
    """The small trunk sees images of one size; generated ones are enlarged to it."""
    for stage in ("stem", "stream"):
        c = config[stage]
        if c.encoder != "small":
            continue
        if c.remat != "none":
            yield (
                f"config.{stage}.remat = {c.remat!r}: allowed is 'none',"
                " the small trunk has nothing worth computing again"
            )
        size = c.image_size
        if size < max(generated, 16) or size & (size - 1):
            yield (
                f"config.{stage}.image_size = {size}: the small trunk takes powers of"
                f" two, {max(generated, 16)} or more (the size of generated images)"
            )
            continue
        allowed = [2**i for i in range(2, size.bit_length() - 1)]
        if c.region_size not in allowed:
            yield (
                f"config.{stage}.region_size = {c.region_size}: allowed are"
                f" {', '.join(map(str, allowed))}"
            )


def _shared_trunk_problems(stem, stream):
    """STREAM's trunk may start from STEM's where they are one network."""
    if not stream.trunk_from_stem:
        return
    if not stream.encoder == stem.encoder == "small":
        yield (
            "config.stream.trunk_from_stem = True: needs stem.encoder and"
            " stream.encoder to be small"
        )
    for key in ("encoder_width", "image_size"):
        if stream[key] != stem[key]:
            yield (
                f"config.stream.{key} = {stream[key]}: trunk_from_stem"
                f" needs stem.{key} = {stem[key]}"
            )


def _decoder_problems(stream, evaluation, generated):
    """A decoder that looks at regions knows their number, and heads share features.

    Args:
      stream, evaluation: groups of the configuration.
      generated: pixels of the last stage.
    """
    judges = {evaluation.heldout_decoder} if evaluation.heldout_steps else set()
    decoders = {stream.decoder} | judges
    if "transformer" in decoders and stream.feature_dim % 4:
        yield (
            f"config.stream.feature_dim = {stream.feature_dim}: allowed are multiples"
            " of 4, the heads of a transformer"
        )
    resized = stream.encoder == "small" or stream.input_size
    if decoders != {"lstm"} and not resized and generated != stream.image_size:
        yield (
            "config.stream.input_size = 0: a decoder that looks at regions"
            f" ({', '.join(sorted(decoders - {'lstm'}))}) needs one size of images, and"
            f" those generated have {generated} pixels, those of stream.image_size"
            f" {stream.image_size}"
        )


def _weights_problems(weights):
    """Stages that are another run's start from no file."""
    if not weights.pretrained:
        return
    for key in ("text_encoder", "image_encoder", "captioner"):
        if weights[key]:
            yield (
                f"config.weights.{key} = {weights[key]!r}: weights.pretrained takes"
                " STEM and STREAM of another run, so it must be empty"
            )


def relation_problems(
    config: ml_collections.ConfigDict, stages: Sequence[str], sizes: Sequence[int]
) -> Iterator[str]:
    """Sentences on keys that do not fit one another.

    Args:
      config: the resolved configuration; every value by itself is allowed.
      stages: names of the training stages.
      sizes: image sizes of the generator's stages, coarse to fine.
    """
    gan, stream, stem = config.gan, config.stream, config.stem
    for stage in stages:
        c = config[stage]
        if c.batch_size < 2 * c.accumulate:
            yield (
                f"config.{stage}.batch_size = {c.batch_size}: allowed are"
                f" {2 * c.accumulate} or more (a mismatched pair in each of"
                f" {stage}.accumulate = {c.accumulate} parts)"
            )
        if c.checkpoint_every_steps % c.log_every_steps:
            yield (
                f"config.{stage}.checkpoint_every_steps = {c.checkpoint_every_steps}:"
                f" allowed are multiples of log_every_steps = {c.log_every_steps}"
            )
    for stage, other in (("stem", stem), ("stream", stream)):
        if other.encoder == "small" and not other.train_trunk and other.num_steps:
            yield (
                f"config.{stage}.train_trunk = False: the small trunk has no"
                " pretrained weights, so it must be True"
            )
    yield from _shared_trunk_problems(stem, stream)
    yield from _small_trunk_problems(config, sizes[-1])
    yield from _decoder_problems(stream, config.eval, sizes[-1])
    if config.text.eval_words < config.text.num_words:
        yield (
            f"config.text.eval_words = {config.text.eval_words}: allowed are"
            f" text.num_words = {config.text.num_words} or more"
        )
    for key in ("pool_size", "kid_subset_size"):
        if config.eval[key] < 2:
            yield f"config.eval.{key} = {config.eval[key]}: allowed are 2 or more"
    if gan.gradient_penalty != "none" and gan.d_norm == "batch":
        yield (
            f"config.gan.d_norm = 'batch': gan.gradient_penalty ="
            f" {gan.gradient_penalty!r} needs 'spectral' or 'none', as batch norm makes"
            " an image's gradient depend on the other images"
        )
    if gan.condition_context and not gan.context_reduction:
        yield (
            "config.gan.context_reduction = False: gan.condition_context = True joins"
            " the sentence in that convolution, so it must be True"
        )
    yield from _weights_problems(config.weights)
    contexts = ("word_attention", "sentence_attention", "condition_context")
    if gan.stages > 1 and not any(gan[key] for key in contexts):
        yield (
            f"config.gan.{contexts[0]} = False: with {contexts[1]} = False and"
            f" {contexts[2]} = False too the later stages would not see the caption;"
            " one must be True"
        )
