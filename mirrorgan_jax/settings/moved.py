"""Keys that have another name now: old checkpoints keep their meaning."""

from collections.abc import Iterator, Mapping
from typing import Any

import ml_collections

_NETWORKS = (
    "the file of each feature network has a key of its own now, eval.inception_fid (the"
    " default kind before), eval.inception_v3 or eval.inception_cub"
)
# {key of earlier versions: what takes its place}.
KEYS = {"eval.inception": _NETWORKS, "eval.inception_kind": _NETWORKS}


def problems(config: ml_collections.ConfigDict) -> Iterator[str]:
    """Sentences on keys of earlier versions, which a configuration file may set.

    Args:
      config: the resolved configuration.
    """
    for key, instead in KEYS.items():
        group, name = key.split(".")
        if name in config[group]:
            yield f"config.{key} = {config[group][name]!r}: {instead}"


def translated(saved: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration that stands beside a checkpoint, with the keys of today.

    Args:
      saved: its groups and keys; not changed.
    """
    group = dict(saved["eval"])
    path, kind = group.pop("inception", ""), group.pop("inception_kind", "")
    if path:
        group[kind or "inception_fid"] = path
    return {**saved, "eval": group}
