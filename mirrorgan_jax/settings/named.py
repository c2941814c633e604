"""Configurations by name: the files that come with the package."""

import os
from pathlib import Path

_PACKAGE = Path(__file__).parent.parent
# In a wheel they lie in the package, in the repository beside it.
_FOLDERS = (_PACKAGE / "configs", _PACKAGE.parent / "configs")


def names() -> list[str]:
    """The names that `--config` knows, such as "toybirds"."""
    folder = next((f for f in _FOLDERS if f.is_dir()), None)
    return sorted(path.stem for path in folder.glob("*.py")) if folder else []


def resolve(text: str) -> str:
    """What `--config` says, with a path in place of a name.

    Args:
      text: a file or a name, and after a colon its preset and variant:
        "configs/cub.py:reference", "cub:reference".

    Raises:
      ValueError: there is neither such a file nor such a name.
    """
    name, colon, rest = text.partition(":")
    if os.path.isfile(name):
        return text
    if name not in names():
        raise ValueError(
            f"--config={text}: there is no file {name!r}; the configurations that"
            f" have a name are {', '.join(names())}"
        )
    path = next(p for f in _FOLDERS if (p := f / f"{name}.py").is_file())
    return f"{path}{colon}{rest}"
