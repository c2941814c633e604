"""Prepared pictures that cannot be read: told by name, or passed over in training.

ArrayRecord keeps a checksum of every record, so that a damaged one is found when it is
read, and never decoded.
"""

import math
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf


class Unreadable(ValueError):
    """A prepared picture cannot be read.

    Attributes:
      index: of the picture in its split.
      what: which picture, its file and the reason; the message adds what to do.
      damaged: whether its bytes are; otherwise the file could not be reached.
    """

    def __init__(self, index: int, what: str, advice: str, *, damaged: bool):
        super().__init__(f"{what}; {advice}")
        self.index, self.what, self.damaged = index, what, damaged


class Called:
    """A function for TensorFlow to call, and the errors of Python that it raises.

    TensorFlow keeps for ever what it was given to call, so that it gets `weakly`; of
    errors it passes on the text alone.

    Args:
      function: lives as long as this object, or the values of `raising`, do.
    """

    def __init__(self, function: Callable):
        self._function, self._raised = function, None

    @property
    def weakly(self) -> Callable:
        """Calls the function without keeping it."""
        own = weakref.ref(self)

        def call(*arguments):
            return own()._call(*arguments)

        return call

    def _call(self, *arguments):
        try:
            return self._function(*arguments)
        except (ValueError, OSError) as error:
            self._raised = self._raised or error  # Others may follow it.
            raise

    def raising(self, values: Iterable) -> Iterator:
        """The values that TensorFlow computes; an error comes as it was raised."""
        try:
            yield from values
        except tf.errors.OpError:
            if self._raised is None:
                raise
            raise self._raised from None


class GoodPictures:
    """The pictures of a split for training, without those that are damaged.

    The next good one of the split stands for a damaged one. Which it is depends on the
    files alone: every process takes the same, and so does a resumed run.

    Args:
      pictures: those of the split (`cache.Pictures`).
      share: of the pictures that may be damaged, from 0 to 1, rounded up to a number
        of pictures.
      say: called with a line about every picture that is damaged.

    Raises:
      ValueError: more are damaged than may be, as far as is known.
    """

    def __init__(self, pictures, share: float, say: Callable[[str], object]):
        self._pictures, self._share, self._say = pictures, share, say
        self._limit = min(math.ceil(share * len(pictures)), len(pictures) - 1)
        self._damaged = set()
        for error in pictures.damaged.values():  # met by a stage before this one
            self.pass_over(error)

    def pass_over(self, error: Unreadable) -> None:
        """Counts and tells a damaged picture.

        Raises:
          ValueError: more are damaged than may be.
        """
        count, key = len(self._damaged) + 1, f"data.bad_pictures = {self._share}"
        if count > self._limit:
            raise ValueError(
                f"{error}. {count} of {len(self._pictures):,} pictures are damaged so"
                f" far, and {key} allows {self._limit}"
            )
        self._damaged.add(error.index)  # Always fewer than there are pictures.
        self._say(
            f"{error.what}: the next good picture takes its place"
            f" ({count} so far, {key} allows {self._limit})"
        )

    def _place(self, index: int) -> int:
        while index in self._damaged:
            index = (index + 1) % len(self._pictures)
        return index

    def places(self, indices: Sequence[int]) -> Sequence[int]:
        """The indices, those of known damaged pictures replaced."""
        if not self._damaged:
            return indices
        return np.array([self._place(int(i)) for i in indices], np.int64)

    def read(self, indices: Sequence[int]) -> tuple[Sequence[int], list[bytes]]:
        """Indices of pictures that are not damaged, and their examples.

        Raises:
          ValueError: more are damaged than may be.
          Unreadable: the files cannot be reached.
        """
        while True:
            places = self.places(indices)
            try:
                return places, self._pictures.examples(places)
            except Unreadable as error:
                if not error.damaged:
                    raise
                self.pass_over(error)
