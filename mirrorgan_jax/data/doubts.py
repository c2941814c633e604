"""What a person should know of a data set before a run of it starts."""

import ml_collections

from mirrorgan_jax import data
from mirrorgan_jax.data import captions, classes
from mirrorgan_jax.parallel import hosts
from mirrorgan_jax.settings import advice
from mirrorgan_jax.settings import base as configs


def look_at(dataset, config: ml_collections.ConfigDict, *, training: bool) -> None:
    """Says what is doubtful about the data; refuses what cannot be trained on.

    Args:
      dataset: `datasets.Dataset`.
      config: the resolved configuration.
      training: whether a stage is trained on it.

    Raises:
      ValueError: nearly all training pictures are of one class.
    """
    lacking = training and classes.problem(dataset.train.class_ids)
    if lacking:
        raise ValueError(f"data {config.data.name}: {lacking}")
    remarks = captions.remarks(
        dataset.train.texts,
        dataset.train.captions,
        rule=config.data.words,
        batch_size=max(config[group].batch_size for group in configs.STAGES),
    )
    if data.source(config.data.name).NEEDS:  # not drawn as many as are wanted
        counts = {split.name: len(split) for split in dataset.splits}
        remarks += advice.small_set(config, **counts)
    for remark in remarks:
        hosts.say(f"data: {remark}")
