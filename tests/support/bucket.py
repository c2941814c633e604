"""A bucket for tests without a network: TensorFlow's files in memory, "ram://"."""

import contextlib
import os
import pathlib
from typing import ClassVar

import tensorflow as tf
from etils import epath
from etils.epath import stat_utils


@epath.register_path_cls("ram://")
class RamPath(pathlib.PurePosixPath):
    """What `epath.Path("ram://...")` gives: reads as epath's own paths do.

    Attributes:
      changed: time of change of all files, which ram:// does not know.
      wrong: {address: what TensorFlow raises for it, or lists in it}.
      opened: names of the files that were opened, in order.
    """

    changed = 0
    wrong: ClassVar[dict] = {}
    opened: ClassVar[list] = []

    def __fspath__(self):
        return "ram://" + "/".join(self.parts[1:])

    __str__ = __fspath__

    def _tried(self):
        found = self.wrong.get(os.fspath(self))
        if isinstance(found, Exception):
            raise found
        return found

    def stat(self):
        """As epath's."""
        self._tried()
        found = tf.io.gfile.stat(os.fspath(self))
        return stat_utils.StatResult(found.is_directory, found.length, self.changed)

    def iterdir(self):
        """As epath's."""
        return map(self.joinpath, self._tried() or tf.io.gfile.listdir(self))

    @contextlib.contextmanager
    def open(self, mode):
        """As epath's."""
        self._tried()
        self.opened.append(self.name)
        with tf.io.gfile.GFile(os.fspath(self), mode) as file:
            yield file


def upload(source: pathlib.Path) -> str:
    """Copies a folder or a file; returns its address, which is named after its path."""
    for path in [p for p in source.rglob("*") if p.is_file()] or [source]:
        tf.io.gfile.makedirs(f"ram:/{path.parent}")
        if tf.io.gfile.exists(f"ram:/{path}"):
            tf.io.gfile.remove(f"ram:/{path}")  # ram:// would write behind it
        with tf.io.gfile.GFile(f"ram:/{path}", "wb") as file:
            file.write(path.read_bytes())
    return f"ram:/{source}"
