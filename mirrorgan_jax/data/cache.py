"""The pictures of a prepared split: read from disk, or kept resized in memory."""

import itertools
import os
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from etils import epath

from mirrorgan_jax import progress
from mirrorgan_jax.data import damage, formats, images
from mirrorgan_jax.data.sources import records

# A guess of the longer side over the shorter.
_ASPECT = 1.4
# What ArrayRecord says of bytes that are not what was written, and of nothing else.
_DAMAGED = ("Riegeli/records file", "ArrayRecord file")


def threads() -> int:
    """Threads for the pipeline: half the cores, the others belong to the training."""
    return max(1, min(16, len(os.sched_getaffinity(0)) // 2))


def with_threads(data: tf.data.Dataset) -> tf.data.Dataset:
    """The data set computed on a pool of its own of `threads()`."""
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads()
    options.threading.max_intra_op_parallelism = 1
    options.autotune.enabled = False
    return data.with_options(options)


def resized_bytes(count: int, image_size: int) -> float:
    """About what `count` pictures need that are resized for crops of `image_size`."""
    return 3 * _ASPECT * images.resized_shorter_side(image_size) ** 2 * count


class Pictures:
    """The pictures of one split; the resized ones that it keeps are of one size.

    Attributes:
      boxes: as given.
      damaged: {index: its error} of pictures that were found to be damaged.

    Args:
      directory: the prepared data set.
      split: name of the split.
      boxes: [N, 4] int32 boxes that the pictures are cropped to; a width of 0 means
        the whole picture.
      names: of the pictures, for errors.
    """

    def __init__(
        self,
        directory: epath.Path,
        split: str,
        boxes: np.ndarray,
        names: Sequence[str],
    ):
        prepared = tfds.builder_from_directory(directory)
        self._source = prepared.as_data_source(split).data_source
        self._directory, self._files = directory, prepared.info.splits[split]
        self._split, self.boxes, self._names = split, boxes, names
        self._size, self._kept = None, []
        self.damaged: dict[int, damage.Unreadable] = {}

    def __len__(self) -> int:
        return len(self.boxes)

    def examples(self, indices: Sequence[int]) -> list[bytes]:
        """The serialised examples of these pictures (`image` is the encoded bytes).

        Raises:
          Unreadable: the first that cannot be read.
        """
        try:
            return self._source.__getitems__([int(i) for i in indices])
        except RuntimeError:  # It does not say which.
            return [self._example(int(i)) for i in indices]

    def _example(self, index: int) -> bytes:
        try:
            return self._source.__getitems__([index])[0]
        except RuntimeError as error:
            raise self._unreadable(index, str(error)) from None

    def _unreadable(self, index: int, reason: str) -> damage.Unreadable:
        """The error of a picture; keeps it if the picture is damaged."""
        ends = itertools.accumulate(self._files.shard_lengths)
        shard = sum(index >= end for end in ends)
        damaged = any(word in reason for word in _DAMAGED)
        name = records.printable(self._names[index])
        error = damage.Unreadable(
            index,
            f"{self._split}: the prepared picture {name} is"
            f" {'damaged' if damaged else 'not read'}, in"
            f" {records.printable(self._files.filepaths[shard])}"
            f" ({formats.sentence(reason)})",
            f"remove the folder {records.printable(self._directory)}, and the next run"
            " prepares the data again",
            damaged=damaged,
        )
        if damaged:
            self.damaged[index] = error
        return error

    def resized(
        self, image_size: int, read: Callable | None = None
    ) -> list[np.ndarray]:
        """Every picture cropped to its box and resized as before a random crop.

        They are kept for the next caller; those of another size are let go.

        Args:
          image_size: S, of the crops.
          read: gives (indices, examples) of indices, `damage.GoodPictures.read`; None
            takes these pictures alone.

        Returns:
          [h, w, 3] uint8 each, the shorter side S * 76/64.

        Raises:
          ValueError: as `read`; Unreadable, without it.
        """
        if self._size == image_size:
            return self._kept
        self._size, self._kept = None, []
        errors, count = damage.Errors(), len(self)

        def example(index):
            places, (found,) = (
                read([index]) if read else ([index], self.examples([index]))
            )
            return found, self.boxes[places[0]]

        data = tf.data.Dataset.from_generator(
            lambda: map(errors.kept(example), range(count)),
            output_signature=(
                tf.TensorSpec([], tf.string),
                tf.TensorSpec([4], tf.int32),
            ),
        ).map(
            lambda example, box: images.resize(
                images.decode_example(example, box), image_size
            ),
            num_parallel_calls=threads(),
            deterministic=True,
        )
        pictures = errors.raising(with_threads(data).as_numpy_iterator())
        counted = progress.counted(pictures, count, f"resizing {self._split}")
        self._kept, self._size = list(counted), image_size
        return self._kept
