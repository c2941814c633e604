"""What a source of data is: records, their problems, and what is known to be true.

A source gives light `Record`s whose picture is read, or drawn, on demand; whatever is
wrong with its files is collected, so that one error lists all of it.
"""

import dataclasses
import os
import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import ml_collections
import numpy as np

SPLITS = ("train", "test")
_LISTED = 20

# Of a value in a message: what a stranger nested has no say in how long it is.
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 2, 60, 60
_SHORT.maxtuple = _SHORT.maxlist = _SHORT.maxdict = _SHORT.maxset = 4


@dataclasses.dataclass(frozen=True)
class Record:
    """One picture with its captions.

    Attributes:
      split: "train" or "test".
      name: the picture's name, relative to its data set.
      captions: raw captions, each of at least one word.
      class_id: pictures with the same number are never each other's mismatches.
      class_name: for people; may be empty.
      box: (x, y, width, height) of the object in pixels, or None.
      attributes: true attributes as numbers, empty if none are known.
      where: file and line that list the picture.
      box_where: file and line that give the box.
      read: returns the encoded bytes of the picture.
    """

    split: str
    name: str
    captions: Sequence[str]
    class_id: int
    class_name: str
    read: Callable[[], bytes]
    where: str
    box: tuple[float, float, float, float] | None = None
    attributes: Sequence[int] = ()
    box_where: str = ""


class Found(NamedTuple):
    """What a source found in its files.

    Attributes:
      records: of both splits in their order.
      problems: what is wrong, each as "file:line: what is wrong"; one is enough to
        refuse the data.
      notes: what a person should know of how the files were read, a sentence each;
        preparation prints them.
      vocabulary: words in their order, `<end>` first, where the files give one; None:
        the words of the captions.
    """

    records: Sequence[Record]
    problems: Sequence[str] = ()
    notes: Sequence[str] = ()
    vocabulary: Sequence[str] | None = None


class Mention(NamedTuple):
    """One thing that a caption says.

    Attributes:
      attribute: name of the attribute, a key of `Truth.values`.
      value: one of its values.
      position: number of the word among the caption's tokens.
    """

    attribute: str
    value: str
    position: int


@dataclasses.dataclass(frozen=True, eq=False)
class Truth:
    """What is known of a source's pictures and captions beyond what is in them.

    Attributes:
      parts: the attributes that a classifier can read from a picture.
      values: the values of each attribute, in the order of `Record.attributes`.
      synonyms: the words for each value.
      draw: `draw(count, *, size, seed)` gives pictures [count, size, size, 3] uint8
        whose attributes [count, A], indices into `values`, are independent.
      find: the mentions of a caption, a string or its tokens, in the order of words.
    """

    parts: tuple[str, ...]
    values: Mapping[str, tuple[str, ...]]
    synonyms: Mapping[str, tuple[str, ...]]
    draw: Callable[..., tuple[np.ndarray, np.ndarray]]
    find: Callable[[str | Sequence[str]], list[Mention]]


class Source(Protocol):
    """What a module of `data.SOURCES` holds; it imports without TensorFlow.

    Attributes:
      NEEDS: what `data.source` must be, in words ("a folder with ..."); None where
        the source makes its pictures itself, which nobody needs to check then.
      CROP_TO_BOX: whether pictures are cropped to the square around their box.
      TRUTH: what is known of pictures and captions, or None.
    """

    NEEDS: str | None
    CROP_TO_BOX: bool
    TRUTH: Truth | None

    def read(self, settings: ml_collections.ConfigDict, seed: int) -> Found:
        """Records of both splits, what is wrong, and what should be said.

        Args:
          settings: the `data` group of the configuration.
          seed: of the run, for a source that draws.
        """

    def fingerprint(self, settings: ml_collections.ConfigDict, seed: int) -> str:
        """Name of the prepared folder: other contents, another name."""


def printable(name: object) -> str:
    """A text from outside, with escapes for what a terminal would act on."""
    text = os.fspath(name) if isinstance(name, os.PathLike) else str(name)
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shown(value: object) -> str:
    """A value from outside for a message: as Python writes it, short, on one line."""
    return printable(_SHORT.repr(value))


class DataError(ValueError):
    """Everything that is wrong with a data set's files, in one error.

    Attributes:
      problems: all of them, printable, each as "file:line: what is wrong".
    """

    def __init__(self, source: object, problems: Sequence[str]):
        self.problems = tuple(map(printable, problems))
        count = len(self.problems)
        what = f"{count} problem{'s' if count != 1 else ''}"
        lines = [f"{what} in the data at {printable(source)}:"]
        lines += [f"  {p}" for p in self.problems[:_LISTED]]
        if count > _LISTED:
            lines.append(f"  ... and {count - _LISTED} more")
        super().__init__("\n".join(lines))


def unsafe_path(name: str) -> bool:
    """Whether a listed file name would leave the data set's folder."""
    parts = name.replace("\\", "/").split("/")
    drive = len(parts[0]) == 2 and parts[0][1] == ":"
    return not name or parts[0] == "" or drive or ".." in parts or "\0" in name
