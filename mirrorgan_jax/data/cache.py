"""The pictures of a prepared split: read from disk, or kept resized in memory."""

import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from etils import epath

from mirrorgan_jax import progress
from mirrorgan_jax.data import images

# A guess of the longer side over the shorter.
_ASPECT = 1.4


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

    Args:
      directory: the prepared data set.
      split: name of the split.
      boxes: [N, 4] int32 boxes that the pictures are cropped to; a width of 0 means
        the whole picture.
    """

    def __init__(self, directory: epath.Path, split: str, boxes: np.ndarray):
        prepared = tfds.builder_from_directory(directory)
        self._source = prepared.as_data_source(split).data_source
        self._split, self.boxes = split, boxes
        self._size, self._kept = None, []

    def examples(self, indices: Sequence[int]) -> list[bytes]:
        """The serialised examples of these pictures (`image` is the encoded bytes)."""
        return self._source.__getitems__([int(i) for i in indices])

    def resized(self, image_size: int) -> list[np.ndarray]:
        """Every picture cropped to its box and resized as before a random crop.

        They are kept for the next caller; those of another size are let go.

        Args:
          image_size: S, of the crops.

        Returns:
          [h, w, 3] uint8 each, the shorter side S * 76/64.
        """
        if self._size == image_size:
            return self._kept
        self._size, self._kept = None, []
        count = len(self.boxes)
        examples = tf.data.Dataset.from_generator(
            lambda: (self.examples([i])[0] for i in range(count)),
            output_signature=tf.TensorSpec([], tf.string),
        )
        boxes = tf.data.Dataset.from_tensor_slices(self.boxes)
        data = tf.data.Dataset.zip((examples, boxes)).map(
            lambda example, box: images.resize(
                images.decode_example(example, box), image_size
            ),
            num_parallel_calls=threads(),
            deterministic=True,
        )
        pictures = with_threads(data).as_numpy_iterator()
        counted = progress.counted(pictures, count, f"resizing {self._split}")
        self._kept, self._size = list(counted), image_size
        return self._kept
