"""The `data` group of a configuration, and real data, for tests that prepare data."""

import os
import pathlib

import pytest
from support import ROOT

from mirrorgan_jax.settings import base as configs


def settings(root="", name="toybirds", source="", **changes):
    """The defaults with a root, a data set, its raw data and other keys changed."""
    c = configs.base_config().data
    c.update(root=str(root), name=name, source=str(source), **changes)
    return c


def real(name):
    """A folder of real data, which the repository does not hold: skips without it."""
    folder = os.environ.get("MIRRORGAN_DATA", ROOT.parent / "shared" / "data")
    path = pathlib.Path(folder) / name
    if not path.exists():
        pytest.skip(f"{path} is absent: set MIRRORGAN_DATA to its folder")
    return path
