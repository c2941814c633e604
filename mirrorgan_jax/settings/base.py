"""The configuration: every key of `settings.keys`, by preset, and its check.

`base_config(preset)` holds the keys; files in `configs/` change a few; `validate` is
called before anything slow starts. A preset decides the keys in which the paper and
the authors' released code differ: "paper" is Eq. 3-11, "reference" is what the released
code computes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections

from mirrorgan_jax.settings import checks, moved
from mirrorgan_jax.settings.keys import KEYS, PRESETS
from mirrorgan_jax.settings.rules import of

STAGES = ("stem", "stream", "gan")

# The keys in which the presets differ: key, paper, reference.
PRESET_KEYS = (
    ("gan.sentence_conv", False, True),
    ("gan.adversarial_scale", 0.5, 1.0),
    ("gan.discriminator_weighting", "half", "mean"),
    ("gan.wrong_pairs", False, True),
    ("gan.lambda_stream", 20.0, 10.0),
    ("gan.ema_batch_stats", True, False),
    ("stem.reset_adam_every_epoch", False, True),
    ("stem.align_corners", False, True),
    ("stream.input_norm", "imagenet", "raw"),
    ("stream.align_corners", False, True),
)


def _defaults(keys: Mapping[str, Any]) -> ml_collections.ConfigDict:
    found = ml_collections.ConfigDict()
    for key, value in keys.items():
        found[key] = _defaults(value) if isinstance(value, dict) else of(value).default
    return found


def base_config(preset: str = "paper") -> ml_collections.ConfigDict:
    """The full configuration.

    Args:
      preset: "paper" (Eq. 3-11) or "reference" (the authors' released code).

    Returns:
      A `ConfigDict` with every key that exists.

    Raises:
      ValueError: an unknown preset.
    """
    if preset not in PRESETS:
        raise ValueError(f"preset = {preset!r}: allowed are {', '.join(PRESETS)}")
    config = _defaults(KEYS)
    config.preset = preset
    for key, *values in PRESET_KEYS:
        group, name = key.split(".")
        config[group][name] = values[PRESETS.index(preset)]
    return config


def stage_sizes(gan: ml_collections.ConfigDict) -> tuple[int, ...]:
    """Image sizes of the generator's stages, coarse to fine."""
    return tuple(gan.base_size * 2**i for i in range(gan.stages))


def rule_batch(stage: Mapping[str, Any]) -> int:
    """The batch size that a stage's learning rates were found at.

    Args:
      stage: its group of the configuration.
    """
    return stage["lr_rule_batch"] or stage["batch_size"]


def validate(
    config: ml_collections.ConfigDict,
    *,
    num_devices: int = 1,
    stages: Sequence[str] = STAGES,
) -> None:
    """Checks a resolved configuration before anything slow starts.

    Which data sets there are the data room knows: `data.check`.

    Args:
      config: what `base_config` returned, changed at will.
      num_devices: devices that the mesh will hold.
      stages: those that will be trained: their batches must fit the mesh.

    Raises:
      ValueError: every wrong key with its value and what is allowed, one a line.
    """
    problems = [*moved.problems(config), *checks.value_problems(config, KEYS)]
    if not problems:
        sizes = stage_sizes(config.gan)
        problems = [*checks.relation_problems(config, STAGES, sizes)]
    if not problems:
        spatial = config.mesh.spatial
        data = config.mesh.data if config.mesh.data > 0 else num_devices // spatial
        if data * spatial != num_devices:
            problems.append(
                f"config.mesh.data = {config.mesh.data}, mesh.spatial = {spatial}:"
                f" their product must be the number of devices, {num_devices}"
            )
        for stage in stages:
            c = config[stage]
            if data and c.batch_size % (data * c.accumulate):
                problems.append(
                    f"config.{stage}.batch_size = {c.batch_size}: allowed are"
                    f" multiples of the mesh's data axis, {data}, times"
                    f" {stage}.accumulate, {c.accumulate}"
                )
    if problems:
        raise ValueError("the configuration is wrong:\n  " + "\n  ".join(problems))


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"group.key": value} of nested dictionaries."""
    found = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


# What says where things lie on the machine of a run, and how it is laid out there.
_OF_A_MACHINE = (
    "compilation_cache", "mesh", "weights", "data.root", "data.source",
    "eval.inception_fid", "eval.inception_v3", "eval.inception_cub", "eval.reference",
)  # fmt: skip


def portable(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """A copy of a configuration that says nothing of the machine it was used on."""
    usual, found = base_config(config.preset), config.copy_and_resolve_references()
    for key in _OF_A_MACHINE:
        group, _, name = key.rpartition(".")
        (found[group] if group else found)[name] = (usual[group] if group else usual)[
            name
        ]
    return found


def restored(saved: Mapping[str, Any]) -> ml_collections.ConfigDict:
    """The configuration that was saved beside weights.

    Args:
      saved: its dictionary; keys that came later have their defaults, or what they
        were before, and those that have another name now their value under it.
    """
    config = base_config(saved["preset"])
    for group, values in moved.translated(saved).items():
        if isinstance(values, dict):
            config[group] = ml_collections.ConfigDict(
                {**config[group].to_dict(), **values}
            )
        else:
            config[group] = values
    if "heldout_decoder" not in saved.get("eval", {}):
        config.eval.heldout_decoder = "lstm"  # what it was before there was a choice
    return config
