"""Prepared data sets in memory: vocabulary, captions and access to the pictures."""

import dataclasses
import functools
import hashlib
import json

import ml_collections
import numpy as np
from etils import epath

from mirrorgan_jax import data, text
from mirrorgan_jax.data import cache, captions, prepare
from mirrorgan_jax.data.sources import records


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """One split; all but the pictures is in memory, and nothing of it changes.

    Attributes:
      name: "train" or "test".
      class_ids: [N] int32.
      texts: captions of each picture as written.
      captions: token ids of each caption of each picture.
      attributes: [N, A] int32 of true attributes, or None.
      boxes: [N, 4] int32 x, y, width, height; zeros where there is no box.
      names: name of each picture.
      class_names: name of each picture's class.
      crop_to_box: whether the pipeline crops the pictures to their boxes.
      directory: the prepared data set.
    """

    name: str
    class_ids: np.ndarray
    texts: tuple[tuple[str, ...], ...]
    captions: tuple[tuple[tuple[int, ...], ...], ...]
    attributes: np.ndarray | None
    boxes: np.ndarray
    names: tuple[str, ...]
    class_names: tuple[str, ...]
    crop_to_box: bool
    directory: epath.Path

    def __len__(self) -> int:
        return len(self.class_ids)

    @functools.cached_property
    def pictures(self) -> cache.Pictures:
        """The split's pictures, opened when they are first asked for."""
        boxes = self.boxes if self.crop_to_box else np.zeros_like(self.boxes)
        return cache.Pictures(self.directory, self.name, boxes, self.names)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A prepared data set.

    Attributes:
      name: of its source.
      vocab: the words of its captions.
      train, test: its splits.
      truth: what is known beyond pictures and captions, or None.
      contents: what the splits hold, as "train captions 1f2e..., train classes ...".
    """

    name: str
    vocab: text.Vocabulary
    train: Split
    test: Split
    truth: records.Truth | None
    contents: str


def _fixed(values, dtype) -> np.ndarray:
    array = np.array(values).astype(dtype)
    array.flags.writeable = False
    return array


def _split(name, rows, vocab, directory, *, crop_to_box) -> Split:
    attributes = [row["attributes"] for row in rows]
    texts = [row["captions"] for row in rows]
    return Split(
        name=name,
        class_ids=_fixed([row["class_id"] for row in rows], np.int32),
        texts=tuple(map(tuple, texts)),
        captions=tuple(
            tuple(tuple(vocab.encode(caption)) for caption in own) for own in texts
        ),
        attributes=_fixed(attributes, np.int32) if attributes[0] else None,
        boxes=_fixed([row["box"] or (0, 0, 0, 0) for row in rows], np.int32),
        names=tuple(row["name"] for row in rows),
        class_names=tuple(row["class_name"] for row in rows),
        crop_to_box=crop_to_box,
        directory=directory,
    )


def _contents(prepared: dict, *, with_boxes: bool) -> str:
    """Hashes of what training and evaluation read, each behind its name."""
    parts = {"captions": "captions", "classes": "class_id"}
    parts |= {"boxes": "box"} if with_boxes else {}
    found = {
        f"{split} {part}": hashlib.sha256(
            json.dumps([row[key] for row in prepared[split]]).encode()
        ).hexdigest()
        for split in records.SPLITS
        for part, key in parts.items()
    }
    # Not there where the data were prepared by a version that did not note them.
    for split, pictures in prepared.get("pictures", {}).items():
        found[f"{split} pictures"] = pictures
    return ", ".join(f"{part} {digest[:12]}" for part, digest in found.items())


def _vocabulary(prepared: dict, rule: str) -> text.Vocabulary:
    if "vocabulary" in prepared:
        return text.Vocabulary(prepared["vocabulary"], rule)
    return text.Vocabulary.from_captions(
        (
            caption
            for split in records.SPLITS
            for row in prepared[split]
            for caption in row["captions"]
        ),
        rule,
    )


def load(settings: ml_collections.ConfigDict, *, seed: int) -> Dataset:
    """Loads a data set, preparing it when it is not there yet.

    Args:
      settings: the `data` group of the configuration.
      seed: of the run, for a source that draws.

    Returns:
      The data set. Its vocabulary is that of the source's files, if they give one;
      otherwise it holds the words of the train captions, then those of the test
      captions, in order of appearance.

    Raises:
      ValueError: as `prepare.prepare`.
      DataError: it was prepared with another rule of words, and captions have none by
        this one.
    """
    directory = prepare.prepare(settings, seed=seed)
    source = data.source(settings.name)
    rows = json.loads((directory / "metadata.json").read_text())
    vocab = _vocabulary(rows, settings.words)
    train, test = (
        _split(split, rows[split], vocab, directory, crop_to_box=source.CROP_TO_BOX)
        for split in records.SPLITS
    )
    problems = [
        f"{name}: {problem}"
        for split in (train, test)
        for name, texts, ids in zip(
            split.names, split.texts, split.captions, strict=True
        )
        for caption, words in zip(texts, ids, strict=True)
        if not words and (problem := captions.problem(caption, settings.words))
    ]
    if problems:
        raise records.DataError(directory, problems)
    contents = _contents(rows, with_boxes=source.CROP_TO_BOX)
    return Dataset(settings.name, vocab, train, test, source.TRUTH, contents)
