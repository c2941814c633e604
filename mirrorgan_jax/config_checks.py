"""Checks of configuration keys against one another."""


def _small_trunk_problems(config, sizes):
    """The small trunk takes images as they are, real and generated ones alike."""
    size, regions = sizes[-1], config.stem.region_size
    for stage in ("stem", "stream"):
        if config[stage].encoder != "small":
            continue
        if config[stage].remat != "none":
            yield (
                f"config.{stage}.remat = {config[stage].remat!r}: allowed is 'none',"
                " the small trunk has nothing worth computing again"
            )
        if config[stage].image_size != size:
            yield (
                f"config.{stage}.image_size = {config[stage].image_size}: the small"
                f" trunk must be trained at the size of generated images, {size}"
            )
        allowed = [2**i for i in range(2, size.bit_length() - 1)]
        if regions not in allowed:
            yield (
                f"config.stem.region_size = {regions}: allowed are"
                f" {', '.join(map(str, allowed))}"
            )
            return


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
    if stream.trunk_from_stem and not (stream.encoder == stem.encoder == "small"):
        yield (
            "config.stream.trunk_from_stem = True: needs stem.encoder and"
            " stream.encoder to be small"
        )
    if stream.trunk_from_stem and stream.encoder_width != stem.encoder_width:
        yield (
            f"config.stream.encoder_width = {stream.encoder_width}: trunk_from_stem"
            f" needs stem.encoder_width = {stem.encoder_width}"
        )
    yield from _small_trunk_problems(config, sizes)
    if config.data.name in ("cub", "folder") and not config.data.source:
        what = {
            "cub": "the folder that holds CUB_200_2011/, text/, train/ and test/",
            "folder": "a folder or zip with metadata.jsonl and the images",
        }[config.data.name]
        yield f"config.data.source is empty: give {what}"
    if config.text.eval_words < config.text.num_words:
        yield (
            f"config.text.eval_words = {config.text.eval_words}: allowed are"
            f" text.num_words = {config.text.num_words} or more"
        )
    if config.eval.pool_size < 2:
        yield f"config.eval.pool_size = {config.eval.pool_size}: allowed are 2 or more"
    if not (gan.word_attention or gan.sentence_attention) and gan.stages > 1:
        yield (
            "config.gan.word_attention = False: with sentence_attention = False too"
            " the later stages would not see the caption; one must be True"
        )
