"""Prepared data sets in memory: vocabulary, captions and access to the pictures."""

import dataclasses
import functools
import hashlib
import json
from typing import Any

import ml_collections
import numpy as np
from etils import epath

from mirrorgan_jax import data, text
from mirrorgan_jax.data import cache, captions, holdout, prepare
from mirrorgan_jax.data.sources import records


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """One split; all but the pictures is in memory, and nothing of it changes.

    Attributes:
      name: "train", "validation" or "test".
      class_ids: [N] int32.
      texts: captions of each picture as written.
      captions: token ids of each caption of each picture.
      attributes: [N, A] int32 of true attributes, or None.
      boxes: [N, 4] int32 x, y, width, height; zeros where there is no box.
      names: name of each picture.
      class_names: name of each picture's class.
      crop_to_box: whether the pipeline crops the pictures to their boxes.
      directory: the prepared data set.
      prepared: name of the split in it: validation pictures lie in "train".
      numbers: [N] int64, which of its pictures these are.
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
    prepared: str
    numbers: np.ndarray

    def __len__(self) -> int:
        return len(self.class_ids)

    @functools.cached_property
    def pictures(self) -> cache.Pictures:
        """The split's pictures, opened when they are first asked for."""
        boxes = self.boxes if self.crop_to_box else np.zeros_like(self.boxes)
        return cache.Pictures(
            self.directory, self.prepared, self.numbers, boxes, self.names
        )


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A prepared data set.

    Attributes:
      name: of its source.
      vocab: the words of its captions.
      train, test: its splits.
      validation: the training pictures that are held out, or None.
      truth: what is known beyond pictures and captions, or None.
      contents: what the splits hold, as "train captions 1f2e..., train classes ...".
    """

    name: str
    vocab: text.Vocabulary
    train: Split
    validation: Split | None
    test: Split
    truth: records.Truth | None
    contents: str

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits that there are."""
        splits = (self.train, self.validation, self.test)
        return tuple(split for split in splits if split is not None)

    @property
    def choosing(self) -> Split:
        """What every choice looks at: best steps, STREAM's gate, what people see."""
        return self.test if self.validation is None else self.validation

    @property
    def choice(self) -> str:
        """`choosing` in words, for every table."""
        held = self.validation
        if held is None:
            return "the test images themselves (data.validation = 0)"
        classes = set(held.class_ids.tolist())
        whole = len(classes) < len(held) and not classes & {*self.train.class_ids}
        of = f"of {len(classes)} classes " if whole else ""
        return f"{len(held):,} validation images {of}held out of training"


def _fixed(values, dtype) -> np.ndarray:
    array = np.array(values).astype(dtype)
    array.flags.writeable = False
    return array


def _split(name, prepared, numbers, rows, vocab, directory, *, crop_to_box) -> Split:
    rows = [rows[number] for number in numbers]
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
        prepared=prepared,
        numbers=_fixed(numbers, np.int64),
    )


def _splits(rows: dict, share: float) -> dict[str, tuple[str, np.ndarray]]:
    """{name: (prepared split, numbers of its pictures)} of the splits of a run."""
    held = holdout.numbers(rows["train"], rows["test"], share)
    kept = np.setdiff1d(np.arange(len(rows["train"])), held)
    found = {"train": ("train", kept), "test": ("test", np.arange(len(rows["test"])))}
    return found | ({"validation": ("train", held)} if len(held) else {})


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _contents(prepared: dict, *, with_boxes: bool) -> dict[str, str]:
    """Hashes of what is prepared, by their names."""
    parts = {"captions": "captions", "classes": "class_id"}
    parts |= {"boxes": "box"} if with_boxes else {}
    found = {
        f"{split} {part}": _digest([row[key] for row in prepared[split]])
        for split in records.SPLITS
        for part, key in parts.items()
    }
    # Not there where the data were prepared by a version that did not note them.
    for split, pictures in prepared.get("pictures", {}).items():
        found[f"{split} pictures"] = pictures
    return found


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
      ValueError: as `prepare.prepare`, or no pictures can be held out.
      DataError: it was prepared with another rule of words, and captions have none by
        this one.
    """
    directory = prepare.prepare(settings, seed=seed)
    source = data.source(settings.name)
    rows = json.loads((directory / "metadata.json").read_text())
    vocab = _vocabulary(rows, settings.words)
    splits = {
        name: _split(
            name, prepared, numbers, rows[prepared], vocab, directory,
            crop_to_box=source.CROP_TO_BOX,
        )
        for name, (prepared, numbers) in _splits(rows, settings.validation).items()
    }  # fmt: skip
    problems = [
        f"{name}: {problem}"
        for split in splits.values()
        for name, texts, ids in zip(
            split.names, split.texts, split.captions, strict=True
        )
        for caption, words in zip(texts, ids, strict=True)
        if not words and (problem := captions.problem(caption, settings.words))
    ]
    if problems:
        raise records.DataError(directory, problems)
    contents = _contents(rows, with_boxes=source.CROP_TO_BOX)
    if "validation" in splits:
        contents["validation names"] = _digest(splits["validation"].names)
    return Dataset(
        name=settings.name,
        vocab=vocab,
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits["test"],
        truth=source.TRUTH,
        contents=", ".join(f"{part} {found[:12]}" for part, found in contents.items()),
    )
