"""Prepared data sets in memory: vocabulary, captions and access to the pictures."""

import dataclasses
import json
import threading
from collections.abc import Sequence

import ml_collections
import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from mirrorgan_jax import data, text
from mirrorgan_jax.data import prepare
from mirrorgan_jax.data.sources import records

# Encoded pictures of a split smaller than this are kept in memory.
_CACHE_BYTES = 512 * 2**20


@dataclasses.dataclass(eq=False)
class Split:
    """One split; all but the pictures is in memory.

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
      resized: {image size: resized pictures}, filled by the pipeline.
    """

    name: str
    class_ids: np.ndarray
    texts: list[list[str]]
    captions: list[list[list[int]]]
    attributes: np.ndarray | None
    boxes: np.ndarray
    names: list[str]
    class_names: list[str]
    crop_to_box: bool
    _directory: epath.Path
    _source: Sequence | None = dataclasses.field(default=None, repr=False)
    _lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    resized: dict[int, list[np.ndarray]] = dataclasses.field(
        default_factory=dict, init=False, repr=False
    )

    def __len__(self) -> int:
        return len(self.class_ids)

    def records(self, indices: Sequence[int]) -> list[bytes]:
        """The serialised examples of these pictures (`image` is the encoded bytes)."""
        with self._lock:
            if self._source is None:
                self._source = self._open()
        indices = [int(i) for i in indices]
        if isinstance(self._source, list):
            return [self._source[i] for i in indices]
        return self._source.__getitems__(indices)

    def _open(self) -> Sequence:
        prepared = tfds.builder_from_directory(self._directory)
        source = prepared.as_data_source(self.name).data_source
        if prepared.info.splits[self.name].num_bytes > _CACHE_BYTES:
            return source
        return list(source.__getitems__(list(range(len(self)))))


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A prepared data set.

    Attributes:
      name: of its source.
      vocab: the words of its captions.
      train, test: its splits.
      truth: what is known beyond pictures and captions, or None.
    """

    name: str
    vocab: text.Vocabulary
    train: Split
    test: Split
    truth: records.Truth | None


def _split(name, rows, vocab, directory, *, crop_to_box) -> Split:
    attributes = [row["attributes"] for row in rows]
    boxes = [row["box"] or (0, 0, 0, 0) for row in rows]
    return Split(
        name=name,
        class_ids=np.array([row["class_id"] for row in rows], np.int32),
        texts=[row["captions"] for row in rows],
        captions=[[vocab.encode(c) for c in row["captions"]] for row in rows],
        attributes=np.array(attributes, np.int32) if attributes[0] else None,
        boxes=np.array(boxes, np.float64).astype(np.int32),
        names=[row["name"] for row in rows],
        class_names=[row["class_name"] for row in rows],
        crop_to_box=crop_to_box,
        _directory=directory,
    )


def load(settings: ml_collections.ConfigDict, *, seed: int) -> Dataset:
    """Loads a data set, preparing it when it is not there yet.

    Args:
      settings: the `data` group of the configuration.
      seed: of the run, for a source that draws.

    Returns:
      The data set. Its vocabulary holds the words of the train captions, then those
      of the test captions, in order of appearance.

    Raises:
      ValueError: as `prepare.prepare`.
    """
    directory = prepare.prepare(settings, seed=seed)
    source = data.source(settings.name)
    rows = json.loads((directory / "metadata.json").read_text())
    vocab = text.Vocabulary.from_captions(
        caption
        for split in records.SPLITS
        for row in rows[split]
        for caption in row["captions"]
    )
    train, test = (
        _split(split, rows[split], vocab, directory, crop_to_box=source.CROP_TO_BOX)
        for split in records.SPLITS
    )
    return Dataset(settings.name, vocab, train, test, source.TRUTH)
