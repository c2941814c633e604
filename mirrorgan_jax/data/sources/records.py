"""What a data set is made of before it is prepared: records and their problems.

The readers (`cub`, `folder`) give light `Record`s whose picture is read on demand;
whatever is wrong with the files is collected, so that one error lists all of it.
"""

import dataclasses
from collections.abc import Callable, Sequence

SPLITS = ("train", "test")
_LISTED = 20


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


class DataError(ValueError):
    """Everything that is wrong with a data set's files, in one error.

    Attributes:
      problems: all of them, each as "file:line: what is wrong".
    """

    def __init__(self, source: object, problems: Sequence[str]):
        self.problems = tuple(problems)
        count = len(self.problems)
        lines = [f"{count} problem{'s' if count != 1 else ''} in the data at {source}:"]
        lines += [f"  {p}" for p in self.problems[:_LISTED]]
        if count > _LISTED:
            lines.append(f"  ... and {count - _LISTED} more")
        super().__init__("\n".join(lines))


def unsafe_path(name: str) -> bool:
    """Whether a listed file name would leave the data set's folder."""
    parts = name.replace("\\", "/").split("/")
    drive = len(parts[0]) == 2 and parts[0][1] == ":"
    return not name or parts[0] == "" or drive or ".." in parts or "\0" in name
