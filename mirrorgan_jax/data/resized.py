"""Pictures kept resized, so that an epoch only cuts its crops out of them."""

import os
import shutil
import tempfile
import weakref

import numpy as np

from mirrorgan_jax.data import images

# A guess of the longer side over the shorter.
_ASPECT = 1.4


def needed_bytes(count: int, image_size: int) -> float:
    """About what `count` pictures need that are resized for crops of `image_size`."""
    return 3 * _ASPECT * images.resized_shorter_side(image_size) ** 2 * count


def place(directory: os.PathLike) -> str:
    """The folder for files that nobody else shall see: this one, if it can be."""
    if os.access(directory, os.W_OK):
        return os.fspath(directory)
    return tempfile.gettempdir()


def free_bytes(directory: os.PathLike) -> int:
    """What is free where the pictures of a prepared data set would be kept."""
    return shutil.disk_usage(place(directory)).free


class Resized:
    """[h, w, 3] uint8 pictures of any sizes, in a file without a name.

    The file is gone with its last user, however that ends: there is nothing to become
    stale or to clean up. What is read often stays in the system's page cache, which
    takes only memory that nobody else wants.

    Args:
      directory: the prepared data set; the file is there, or among temporary files
        where that may not be written.
    """

    def __init__(self, directory: os.PathLike):
        self._file = tempfile.TemporaryFile(dir=place(directory), buffering=0)
        weakref.finalize(self, self._file.close)
        self._shapes: list[tuple[int, int]] = []
        self._begins = [0]

    def __len__(self) -> int:
        return len(self._shapes)

    @property
    def nbytes(self) -> int:
        """Bytes of all pictures."""
        return self._begins[-1]

    def append(self, picture: np.ndarray) -> None:
        """Adds a picture.

        Raises:
          OSError: the disk is full.
        """
        data = memoryview(np.ascontiguousarray(picture)).cast("B")
        while data:
            data = data[self._file.write(data) :]
        self._shapes.append(picture.shape[:2])
        self._begins.append(self._begins[-1] + picture.nbytes)

    def shape(self, index: int) -> tuple[int, int]:
        """Height and width of a picture."""
        return self._shapes[index]

    def rows(self, index: int, top: int, count: int) -> np.ndarray:
        """[count, w, 3] uint8, the rows from `top` of a picture.

        Raises:
          OSError: they cannot be read.
        """
        width = self._shapes[index][1]
        size, begin = 3 * width * count, self._begins[index] + 3 * width * top
        # No seek: threads share the file.
        data = os.pread(self._file.fileno(), size, begin)
        return np.frombuffer(data, np.uint8).reshape(count, width, 3)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.rows(index, 0, self._shapes[index][0])
