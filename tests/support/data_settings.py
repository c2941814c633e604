"""The `data` group of a configuration, for tests that prepare data."""

from mirrorgan_jax.settings import base as configs


def settings(root="", name="toybirds", source="", **changes):
    """The defaults with a root, a data set, its raw data and other keys changed."""
    c = configs.base_config().data
    c.update(root=str(root), name=name, source=str(source), **changes)
    return c
