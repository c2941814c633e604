"""Data sets: sources, their preparation into ArrayRecord, the stateless pipeline.

A source is one module, `records.Source`, and one line here.
"""

import importlib

import ml_collections

from mirrorgan_jax.data.sources import records

# The module of each `data.name`, imported when it is asked for.
SOURCES = {
    "toybirds": "mirrorgan_jax.data.toybirds",
    "cub": "mirrorgan_jax.data.sources.cub",
    "coco": "mirrorgan_jax.data.sources.coco",
    "folder": "mirrorgan_jax.data.sources.folder",
}


def source(name: str) -> records.Source:
    """The source of this name.

    Raises:
      ValueError: there is none.
    """
    if name not in SOURCES:
        raise ValueError(
            f"config.data.name = {name!r}: allowed are {', '.join(SOURCES)}"
        )
    return importlib.import_module(SOURCES[name])


def check(settings: ml_collections.ConfigDict) -> None:
    """Looks at the `data` group of a configuration; reads no file.

    Raises:
      ValueError: the data set is unknown, or its raw data is needed and not given.
    """
    needed = source(settings.name).NEEDS
    if needed and not settings.source:
        raise ValueError(f"config.data.source is empty: give {needed}")
