"""What a person should be told of a configuration before a run of it starts."""

from collections.abc import Iterator

import ml_collections

from mirrorgan_jax.settings import base as configs

# Pictures below which a GAN from scratch learns its training pictures by heart.
SMALL = 1000


def preset_departures(config: ml_collections.ConfigDict) -> str | None:
    """A sentence on the preset's keys that file, variant or flags have changed.

    Args:
      config: the resolved configuration.
    """
    column = 1 + configs.PRESETS.index(config.preset)
    changed = []
    for row in configs.PRESET_KEYS:
        group, key = row[0].split(".")
        now, was = config[group][key], row[column]
        if now != was:
            changed.append(f"{row[0]} = {now} ({was})")
    if not changed:
        return None
    return (
        f"preset {config.preset}, but the file, variant or flags that come after it"
        f" decide {', '.join(changed)}"
    )


def small_set(
    config: ml_collections.ConfigDict, *, train: int, test: int, validation: int = 0
) -> Iterator[str]:
    """Sentences on what to expect of so few pictures, and what to do.

    Args:
      config: the resolved configuration.
      train: training pictures.
      test: test pictures.
      validation: pictures held out to choose by; 0: the test pictures choose.
    """
    if train < SMALL:
        yield (
            f"{train:,} training pictures are few: what is generated will resemble"
            f" them closely (below {SMALL:,} a GAN from scratch learns them by heart);"
            " --config=small is meant for this, more pictures help most"
        )
        if config.gan.lambda_stream and config.stream.gate_margin:
            yield (
                "STREAM may not pass its gate with so few:"
                " --config.stream.gate_margin=0 switches it off"
            )
    for stage in ("stem", "stream", "gan"):
        batch = config[stage].batch_size
        if batch > train:
            yield (
                f"{stage}.batch_size = {batch} is more than the {train:,} training"
                " pictures, which stand in a batch several times and are no negatives"
                f" of themselves: --config.{stage}.batch_size={max(2, train // 2)}"
            )
    if test < config.eval.pool_size:
        yield (
            f"R-precision is measured among {test:,} test pictures, not"
            f" eval.pool_size = {config.eval.pool_size}: it is easier, and compares"
            " with no other number; a split with that many test pictures makes it"
            " usual"
        )
    if 0 < validation < config.eval.pool_size:
        yield (
            f"{validation:,} validation pictures are few to choose by: steps whose"
            " numbers lie close are not told apart; data.validation ="
            f" {config.data.validation} is their share"
        )
