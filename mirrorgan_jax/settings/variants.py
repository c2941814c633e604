"""The rows of the paper's tables as configurations of one cascade (section 4).

A variant changes keys of `config.gan` alone: STEM and STREAM are the same for all
rows of a table, so that one pretraining serves them.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import ml_collections

from mirrorgan_jax.settings import base as configs

# Every variant says all of these, so that a file's own value never mixes in.
_MIRRORGAN = {
    "gan.word_attention": True,
    "gan.sentence_attention": True,
    "gan.condition_context": False,
    "gan.lambda_stream": 20.0,
    "gan.lambda_damsm": 0.0,
}


@dataclasses.dataclass(frozen=True)
class Variant:
    """One row.

    Attributes:
      title: as a table prints it.
      changes: {flattened configuration key: value}.
      source: paper and equation that say so.
      coco: what of the changes is otherwise on COCO.
    """

    title: str
    changes: dict[str, Any]
    source: str
    coco: dict[str, Any]

    def changes_on(self, data: str) -> dict[str, Any]:
        """{flattened configuration key: value} on a data set, `config.data.name`."""
        return {**self.changes, **(self.coco if data == "coco" else {})}


def _keys(changes):
    return {f"gan.{key}": value for key, value in changes.items()}


def _variant(title, source, *, coco=None, **changes):
    changed = {**_MIRRORGAN, **_keys(changes)}
    return Variant(title, changed, source, _keys(coco or {}))


VARIANTS = {
    "mirrorgan": _variant("MirrorGAN", "MirrorGAN, Eq. 3-11; Tables 1 to 3"),
    "lambda_5": _variant("MirrorGAN, lambda 5", "Eq. 9, Table 3", lambda_stream=5.0),
    "lambda_10": _variant("MirrorGAN, lambda 10", "Eq. 9, Table 3", lambda_stream=10.0),
    "lambda_20": _variant("MirrorGAN, lambda 20", "Eq. 9, Table 3", lambda_stream=20.0),
    "no_global_lambda_0": _variant(
        "MirrorGAN without global attention, lambda 0",
        "Eq. 5 and 9, Table 3",
        sentence_attention=False,
        lambda_stream=0.0,
    ),
    "no_global_lambda_20": _variant(
        "MirrorGAN without global attention, lambda 20",
        "Eq. 5 and 9, Table 3; the MirrorGAN Baseline of Fig. 3",
        sentence_attention=False,
        lambda_stream=20.0,
    ),
    "attngan": _variant(
        "AttnGAN",
        "AttnGAN (CVPR 2018): L_G + lambda L_DAMSM, lambda 5 on CUB, 50 on COCO;"
        " Tables 1 and 2",
        coco={"lambda_damsm": 50.0},
        sentence_attention=False,
        lambda_stream=0.0,
        lambda_damsm=5.0,
    ),
    "stackgan_pp": _variant(
        "StackGAN++",
        "StackGAN++ (arXiv 1710.10916): h_i = F_i(h_{i-1}, c),"
        " adversarial terms without the factor 1/2; Table 1",
        word_attention=False,
        sentence_attention=False,
        condition_context=True,
        adversarial_scale=1.0,
        lambda_stream=0.0,
    ),
    "one_stage": _variant("first stage alone", "our own; Eq. 3 with m = 1", stages=1),
    "two_stages": _variant("first two stages", "our own; Eq. 3 with m = 2", stages=2),
}


def apply(config: ml_collections.ConfigDict, name: str) -> ml_collections.ConfigDict:
    """Makes a configuration that of a variant.

    Args:
      config: changed in place: its GAN keys. Image sizes of the first stages stay.
      name: one of `VARIANTS`.

    Returns:
      The configuration.

    Raises:
      ValueError: an unknown variant.
    """
    if name not in VARIANTS:
        raise ValueError(f"variant = {name!r}: allowed are {', '.join(VARIANTS)}")
    changes = VARIANTS[name].changes_on(config.data.name)
    config.update_from_flattened_dict(changes)
    return config


def parse(text: str) -> tuple[str, str | None]:
    """(preset, variant or None) of what follows the colon of `--config`.

    Args:
      text: a preset, a variant, or both: "reference", "attngan", "reference,attngan".

    Raises:
      ValueError: an unknown name, or two of one kind.
    """
    names = [name.strip() for name in text.split(",")]
    presets = [name for name in names if name in configs.PRESETS]
    variants = [name for name in names if name in VARIANTS]
    known = len(presets) + len(variants) == len(names)
    if not known or len(presets) > 1 or len(variants) > 1:
        raise ValueError(
            f"preset = {text!r}: allowed are a preset ({', '.join(configs.PRESETS)}),"
            f" a variant ({', '.join(VARIANTS)}), or both joined by a comma"
        )
    return presets[0] if presets else "paper", variants[0] if variants else None


def configured(
    text: str, settings: Callable[[ml_collections.ConfigDict], None]
) -> ml_collections.ConfigDict:
    """The configuration of a file of configs/ in the wanted preset and variant.

    Args:
      text: see `parse`.
      settings: `settings(config)` makes the file's own changes in place; those of
        the variant come after them. Its batch sizes are the `lr_rule_batch` of stages
        that it gives none.

    Raises:
      ValueError: see `parse`.
    """
    preset, variant = parse(text)
    config = configs.base_config(preset)
    settings(config)
    for stage in configs.STAGES:
        config[stage].lr_rule_batch = configs.rule_batch(config[stage])
    return config if variant is None else apply(config, variant)
