"""The pictures of a prepared split: read as they are stored, or kept resized."""

import itertools
import os
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from etils import epath

from mirrorgan_jax import progress
from mirrorgan_jax.data import damage, formats, images, resized
from mirrorgan_jax.data.sources import records

# What is said of a picture whose bytes are what was written, but no picture.
_UNDECODED = "not decoded"
# What ArrayRecord says of bytes that are not what was written, and of nothing else.
_DAMAGED = ("Riegeli/records file", "ArrayRecord file", _UNDECODED)


def threads() -> int:
    """Threads for the pipeline: half the cores, the others belong to the training."""
    return max(1, min(16, _cores() // 2))


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def with_threads(data: tf.data.Dataset, count: int | None = None) -> tf.data.Dataset:
    """The data set computed on a pool of its own of `count` threads, or `threads()`."""
    options = tf.data.Options()
    options.threading.private_threadpool_size = count or threads()
    options.threading.max_intra_op_parallelism = 1
    options.autotune.enabled = False
    return data.with_options(options)


class Pictures:
    """The pictures of one split; the resized ones that it keeps are of one size.

    Attributes:
      boxes: as given.
      damaged: {index: its error} of pictures that were found to be damaged.

    Args:
      directory: the prepared data set.
      split: name of the prepared split that holds them.
      numbers: [N] of the pictures in that split.
      boxes: [N, 4] int32 boxes that the pictures are cropped to; a width of 0 means
        the whole picture.
      names: of the pictures, for errors.
    """

    def __init__(
        self,
        directory: epath.Path,
        split: str,
        numbers: np.ndarray,
        boxes: np.ndarray,
        names: Sequence[str],
    ):
        prepared = tfds.builder_from_directory(directory)
        self._source = prepared.as_data_source(split).data_source
        self._directory, self._files = directory, prepared.info.splits[split]
        self._split, self._numbers = split, numbers
        self.boxes, self._names = boxes, names
        self._size, self._kept = None, None
        self.damaged: dict[int, damage.Unreadable] = {}

    def __len__(self) -> int:
        return len(self.boxes)

    def examples(self, indices: Sequence[int]) -> list[bytes]:
        """The serialised examples of these pictures (`image` is the encoded bytes).

        Raises:
          Unreadable: the first that cannot be read.
        """
        try:
            return self._source.__getitems__([int(self._numbers[i]) for i in indices])
        except RuntimeError:  # It does not say which.
            return [self._example(int(i)) for i in indices]

    def _example(self, index: int) -> bytes:
        try:
            return self._source.__getitems__([int(self._numbers[index])])[0]
        except RuntimeError as error:
            raise self._unreadable(index, str(error)) from None

    def _unreadable(self, index: int, reason: str) -> damage.Unreadable:
        """The error of a picture; keeps it if the picture is damaged."""
        damaged = any(word in reason for word in _DAMAGED)
        ends = itertools.accumulate(self._files.shard_lengths)
        shard = sum(self._numbers[index] >= end for end in ends)
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

    def resized(self, image_size: int, good: damage.GoodPictures) -> resized.Resized:
        """Every picture cropped to its box and resized as before a random crop.

        They are kept for the next caller; those of another size are let go.

        Args:
          image_size: S, of the crops.
          good: says which picture stands for a damaged one.

        Returns:
          The pictures, the shorter side of each S * 76/64.

        Raises:
          ValueError: more are damaged than may be.
          OSError: the disk is full.
        """
        if self._size != image_size:
            self._size = self._kept = None
            kept, count = resized.Resized(self._directory), len(self)
            every = self._every_resized(image_size, good)
            for picture in progress.counted(every, count, f"resizing {self._split}"):
                kept.append(picture)
            self._size, self._kept = image_size, kept
        return self._kept

    def _every_resized(self, image_size, good) -> Iterator[np.ndarray]:
        count = 0
        while count < len(self):
            try:
                for picture in self._resized_from(count, image_size, good):
                    yield picture
                    count += 1
            except tf.errors.InvalidArgumentError as error:
                # Pictures come in order, so that it is this one.
                (index,) = good.places([count])
                good.pass_over(self._unreadable(int(index), f"{_UNDECODED}: {error}"))

    def _resized_from(self, begin, image_size, good):
        """The resized pictures from number `begin` on, on all cores."""

        def example(index):
            (place,), (found,) = good.read([index])
            return found, self.boxes[place]

        called = damage.Called(example)
        weakly, numbers = called.weakly, range(begin, len(self))
        data = tf.data.Dataset.from_generator(
            lambda: map(weakly, numbers),
            output_signature=(
                tf.TensorSpec([], tf.string),
                tf.TensorSpec([4], tf.int32),
            ),
        ).map(
            lambda example, box: images.resize(
                images.decode_example(example, box), image_size
            ),
            num_parallel_calls=_cores(),
            deterministic=True,
        )
        return called.raising(with_threads(data, _cores()).as_numpy_iterator())
