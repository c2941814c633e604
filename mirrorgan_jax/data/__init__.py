"""Data sets: sources, their preparation into ArrayRecord, the stateless pipeline.

A source is one module, `records.Source`, and one line here.
"""

import importlib

import ml_collections
from etils import epath

from mirrorgan_jax.data.sources import records, remote

# The module of each `data.name`, imported when it is asked for.
SOURCES = {
    "toybirds": "mirrorgan_jax.data.toybirds",
    "cub": "mirrorgan_jax.data.sources.cub",
    "coco": "mirrorgan_jax.data.sources.coco",
    "folder": "mirrorgan_jax.data.sources.folder",
}

_ROOT = "~/.cache/mirrorgan_jax/data"


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


def root(settings: ml_collections.ConfigDict) -> epath.Path:
    """The folder of prepared data sets.

    Raises:
      ValueError: it is an address. ArrayRecord reads local files alone, and takes what
        lies at an address for empty.
    """
    if remote.is_remote(settings.root):
        raise ValueError(
            f"config.data.root = {settings.root!r}: prepared data lie on a local disk"
            " of each host, so give a folder; config.data.source may be an address"
        )
    return epath.Path(settings.root or _ROOT).expanduser()


def check(settings: ml_collections.ConfigDict) -> None:
    """Looks at the `data` group of a configuration; reads no file.

    Raises:
      ValueError: the data set is unknown, its raw data is needed and not given or at an
        address of an unknown kind, or the folder of prepared data is at an address.
    """
    root(settings)
    if remote.is_remote(settings.source):
        try:
            remote.located(settings.source)
        except ValueError as error:
            raise ValueError(
                f"config.data.source = {settings.source!r}: {error}"
            ) from None
    needed = source(settings.name).NEEDS
    if needed and not settings.source:
        raise ValueError(f"config.data.source is empty: give {needed}")
