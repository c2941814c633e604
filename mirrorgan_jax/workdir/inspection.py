"""What a run's folder or one of its checkpoints holds, without loading an array."""

import json
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from etils import epath

from mirrorgan_jax.settings import base as configs
from mirrorgan_jax.workdir import layout


class Array(NamedTuple):
    """An array that is not loaded.

    Attributes:
      shape: tuple of sizes.
      dtype: name of its type.
    """

    shape: tuple
    dtype: str

    @property
    def size(self):
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def bytes(self):
        """What they take."""
        return self.size * jnp.dtype(self.dtype).itemsize


class Contents(NamedTuple):
    """What one checkpoint, or one model's folder, holds.

    Attributes:
      step: training step.
      items: {item: {path joined by slashes: `Array`}}.
      config: the configuration as a dictionary.
      words: the vocabulary.
      metrics: {name: number} of that step, or None.
      evaluation: text of the evaluation that stands beside it, or None.
    """

    step: int
    items: dict[str, dict[str, Array]]
    config: dict[str, Any]
    words: list[str]
    metrics: dict[str, float] | None
    evaluation: str | None = None


def stages(workdir):
    """{stage: its steps, the newest last} of a run's folder; {} of any other."""
    steps = {stage: layout.saved_steps(workdir, stage) for stage in configs.STAGES}
    return {stage: sorted(found) for stage, found in steps.items() if found}


def is_checkpoint(folder):
    """Whether a folder is one step's checkpoint."""
    folder = epath.Path(folder)
    return folder.name.isdigit() and (folder / "config").is_dir()


def _saved_json(folder, name):
    """A JSON item of a checkpoint, or None."""
    files = [folder / name / file for file in ("metadata", name)]
    path = next((file for file in files if file.exists()), None)
    if path is None:
        return None
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from None


def _arrays(folder):
    """{path: `Array`} of a tree that Orbax saved."""
    with ocp.PyTreeCheckpointer() as reader:
        tree = reader.metadata(folder).item_metadata.tree
    return {
        "/".join(str(getattr(key, "key", key)) for key in path): Array(
            tuple(leaf.shape), jnp.dtype(leaf.dtype).name
        )
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]
    }


def checkpoint(folder):
    """`Contents` of one step's folder.

    Raises:
      ValueError: it is none, or a part of it is damaged.
    """
    folder = epath.Path(folder).resolve()
    if not is_checkpoint(folder):
        raise ValueError(f"{folder} is no checkpoint: its name is no step")
    config = _saved_json(folder, "config")
    if not isinstance(config, dict) or "preset" not in config:
        raise ValueError(f"{folder / 'config'} holds no configuration: it is damaged")
    items = {n: _arrays(folder / n) for n in ("state", "ema") if (folder / n).is_dir()}
    return Contents(
        int(folder.name),
        items,
        config,
        _saved_json(folder, "vocab") or [],
        _saved_json(folder, "metrics"),
    )
