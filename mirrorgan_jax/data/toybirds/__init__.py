"""Toybirds: drawn birds with true captions; no raw data is needed."""

import functools
import hashlib
import io
from collections.abc import Callable

import ml_collections
import numpy as np
from PIL import Image

from mirrorgan_jax.data.sources import records
from mirrorgan_jax.data.toybirds import birds, mentions

NEEDS = None
CROP_TO_BOX = False  # Drawn birds are framed as they should be.
TRUTH = records.Truth(
    parts=birds.PARTS,
    values=birds.ATTRIBUTES,
    synonyms=birds.SYNONYMS,
    draw=birds.random_birds,
    find=mentions.find,
)


def _options(settings: ml_collections.ConfigDict, seed: int) -> dict[str, dict]:
    """Arguments of `birds.example` for each split."""
    numbers = {
        "train": settings.train_images_per_species,
        "test": settings.test_images_per_species,
    }
    return {
        split: {
            "seed": seed,
            "images_per_species": number,
            "size": settings.image_size,
        }
        for split, number in numbers.items()
    }


def _png(draw: Callable[[], np.ndarray]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(draw()).save(out, "PNG", compress_level=1)
    return out.getvalue()


def _record(split: str, index: int, options: dict) -> records.Record:
    bird = birds.example(split, index, **options)
    return records.Record(
        split=split,
        name=f"{split}/{index:06d}.png",
        captions=bird.captions,
        class_id=bird.class_id,
        class_name=f"species_{bird.class_id:03d}",
        read=functools.partial(_png, bird.draw),
        where=f"{split}:{index}",
        box=bird.box,
        attributes=bird.attributes,
    )


def read(settings: ml_collections.ConfigDict, seed: int) -> records.Found:
    """Records of both splits; nothing can be wrong with them.

    Args:
      settings: `image_size`, `train_images_per_species`, `test_images_per_species`.
      seed: of the drawn birds.
    """
    found = [
        _record(split, index, options)
        for split, options in _options(settings, seed).items()
        for index in range(birds.num_examples(split, options["images_per_species"]))
    ]
    return records.Found(found)


def fingerprint(settings: ml_collections.ConfigDict, seed: int) -> str:
    """The settings and a hash of a few birds: a better drawing is another data set."""
    options = _options(settings, seed)
    digest = hashlib.sha256(repr(sorted(options.items())).encode())
    for i in range(3):
        bird = birds.example("train", i, **options["train"])
        digest.update(bird.draw().tobytes() + repr(bird.captions).encode())
    train, test = (values["images_per_species"] for values in options.values())
    return f"{settings.image_size}px_{train}_{test}_seed{seed}_{digest.hexdigest()[:8]}"
