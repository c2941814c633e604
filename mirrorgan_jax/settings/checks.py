"""Checks of configuration keys, by themselves and against one another."""

import ml_collections

_REMAT = ("none", "convolutions", "blocks")
_CHOICES = {
    "dtype": ("float32", "bfloat16"),
    "matmul_precision": ("default", "high", "highest"),
    "data.name": ("toybirds", "cub", "folder"),
    "stem.cell": ("lstm", "gru"),
    "stem.encoder": ("inception_v3", "small"),
    "stem.schedule": ("constant", "epoch_decay", "one_cycle"),
    "stem.remat": _REMAT,
    "stream.encoder": ("resnet152", "small"),
    "stream.schedule": ("constant", "one_cycle"),
    "stream.input_norm": ("imagenet", "raw"),
    "stream.caption_reduction": ("mean", "sum"),
    "stream.remat": _REMAT,
    "gan.stages": (1, 2, 3),
    "gan.base_size": (8, 16, 32, 64),
    "gan.sentence_softmax_axis": ("channel", "spatial"),
    "gan.d_norm": ("batch", "spectral", "none"),
    "gan.discriminator_weighting": ("half", "mean"),
    "gan.caption_reduction": ("mean", "sum"),
    "gan.generator_remat": _REMAT,
    "gan.discriminator_remat": _REMAT,
    "eval.inception_kind": ("inception_v3", "inception_fid", "inception_cub"),
    "weights.checkpoint": ("latest", "best"),
}

# Keys that may be zero; every other number must be positive.
_MAY_BE_ZERO = {
    "seed", "data.cache_mib", "stem.dropout", "stream.input_size", "stream.gate_margin",
    "stem.num_steps", "stream.num_steps", "gan.num_steps",
    "stem.adam_b1", "stream.adam_b1", "gan.adam_b1", "gan.d_sentence_dim",
    "gan.lambda_stream", "gan.lambda_damsm", "gan.kl_weight",
    "eval.num_images", "eval.samples", "eval.heldout_steps",
}  # fmt: skip


def _walk(config, prefix=""):
    for key, value in config.items():
        if isinstance(value, ml_collections.ConfigDict):
            yield from _walk(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def value_problems(config, presets, stages):
    """Sentences on keys whose values are not allowed.

    Args:
      config: the resolved configuration.
      presets: the names of presets.
      stages: names of the training stages.
    """
    rules = {f"{stage}.lr_rule": ("none", "sqrt", "linear") for stage in stages}
    choices = {**_CHOICES, "preset": presets, **rules}
    for key, value in _walk(config):
        if key in choices:
            if value not in choices[key]:
                allowed = ", ".join(map(str, choices[key]))
                yield f"config.{key} = {value!r}: allowed are {allowed}"
        elif isinstance(value, int | float) and not isinstance(value, bool):
            if key == "mesh.data" and value == -1:
                continue
            if value < 0 or (value == 0 and key not in _MAY_BE_ZERO):
                bound = "zero or more" if key in _MAY_BE_ZERO else "above zero"
                yield f"config.{key} = {value!r}: allowed are numbers {bound}"
            elif key.endswith(("_b1", "_b2", "dropout")) and value >= 1:
                yield f"config.{key} = {value!r}: allowed are numbers below 1"


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
        if config.stem.region_size not in allowed:
            yield (
                f"config.stem.region_size = {config.stem.region_size}: allowed are"
                f" {', '.join(map(str, allowed))}"
            )
            return


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


def relation_problems(config, stages, sizes):
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
    if config.text.eval_words < config.text.num_words:
        yield (
            f"config.text.eval_words = {config.text.eval_words}: allowed are"
            f" text.num_words = {config.text.num_words} or more"
        )
    for key in ("pool_size", "kid_subset_size"):
        if config.eval[key] < 2:
            yield f"config.eval.{key} = {config.eval[key]}: allowed are 2 or more"
    contexts = ("word_attention", "sentence_attention", "condition_context")
    if gan.stages > 1 and not any(gan[key] for key in contexts):
        yield (
            f"config.gan.{contexts[0]} = False: with {contexts[1]} = False and"
            f" {contexts[2]} = False too the later stages would not see the caption;"
            " one must be True"
        )


def source_problems(config):
    """[] or a sentence on raw data that is needed and not given."""
    what = {
        "cub": "the folder that holds CUB_200_2011/, text/, train/ and test/",
        "folder": "a folder or zip with metadata.jsonl and the images",
    }
    if config.data.source or config.data.name not in what:
        return []
    return [f"config.data.source is empty: give {what[config.data.name]}"]
